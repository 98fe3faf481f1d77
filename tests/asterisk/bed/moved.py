"""A phone that answers every call with 302 Moved Temporarily; baresip cannot be told to.

It speaks as much SIP as refusing a call needs: INVITE -> 302 until the ACK, CANCEL and
OPTIONS -> 200.
"""

from __future__ import annotations

from .sip import Address, SipPhone, header


class MovedPhone(SipPhone):
    """`contact` is the address that calls are to go to instead; `invites` counts them."""

    def __init__(self, name: str, port: int, proxy: int) -> None:
        super().__init__(name, port, proxy)
        self.contact = ""
        self.invites: list[str] = []

    def asked(self, method: str, text: str, addr: Address) -> None:
        if method == "INVITE":
            call = header(text, "Call-ID")
            if call not in self.invites:  # else it is the same one, sent again
                self.invites.append(call)
            self.reply(text, "302 Moved Temporarily", addr, f"Contact: <{self.contact}>\r\n")
        elif method != "ACK":
            self.reply(text, "200 OK", addr)
