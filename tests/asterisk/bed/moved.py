"""A phone that answers every call with 302 Moved Temporarily, which baresip cannot do."""

from __future__ import annotations

from .sip import Address, SipPhone, header


class MovedPhone(SipPhone):
    """`contact`: the address to which calls are redirected; `invites` counts them."""

    def __init__(self, name: str, port: int, proxy: int) -> None:
        super().__init__(name, port, proxy)
        self.contact = ""
        self.invites: list[str] = []

    def requested(self, method: str, text: str, addr: Address) -> None:
        if method != "INVITE":
            super().requested(method, text, addr)
            return
        call = header(text, "Call-ID")
        if call not in self.invites:  # else it is a retransmission
            self.invites.append(call)
        self.reply(text, "302 Moved Temporarily", addr, f"Contact: <{self.contact}>\r\n")
