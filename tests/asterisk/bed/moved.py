"""A phone that answers every call with 302 Moved Temporarily; baresip cannot be told to.

It registers like any phone (RFC 3261 section 10, digest of RFC 2617) and speaks as much SIP as
refusing a call needs: INVITE -> 302 until the ACK, CANCEL and OPTIONS -> 200.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from hashlib import md5
from typing import Final, cast

_COPIED: Final = ("Via", "From", "To", "Call-ID", "CSeq")
_REGISTER_SECONDS: Final = 0.5  # RFC 3261's T1, after which a request is sent again


class MovedPhone(asyncio.DatagramProtocol):
    """`contact` is the address that calls are to go to instead; `invites` counts them."""

    def __init__(self, name: str, port: int, proxy: int) -> None:
        self.name, self.port, self.proxy = name, port, proxy
        self.contact = ""
        self.invites: list[str] = []
        self._tag = secrets.token_hex(4)
        self._answers: asyncio.Queue[str] = asyncio.Queue()

    async def start(self) -> None:
        """Listen and register."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", self.port), family=socket.AF_INET
        )
        challenge = await self._register(1)
        answer = await self._register(2, self._authorization(challenge))
        assert answer.startswith("SIP/2.0 200"), answer

    def stop(self) -> None:
        self._transport.close()

    # asyncio's side --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own transport for datagrams does not derive from the class that describes it.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        text = data.decode(errors="replace")
        method = text.partition(" ")[0]
        if method == "SIP/2.0":
            self._answers.put_nowait(text)
        elif method == "INVITE":
            call = _header(text, "Call-ID")
            if call not in self.invites:  # else it is the same one, sent again
                self.invites.append(call)
            self._reply(text, "302 Moved Temporarily", addr, f"Contact: <{self.contact}>\r\n")
        elif method != "ACK":
            self._reply(text, "200 OK", addr)

    def _reply(self, request: str, status: str, addr: tuple[str, int], more: str = "") -> None:
        lines = [f"SIP/2.0 {status}"]
        for name in _COPIED:
            value = _header(request, name)
            if name == "To" and "tag=" not in value:
                value += f";tag={self._tag}"
            lines.append(f"{name}: {value}")
        text = "\r\n".join(lines) + f"\r\n{more}Content-Length: 0\r\n\r\n"
        self._transport.sendto(text.encode(), addr)

    # Registration ----------------------------------------------------------------------------

    async def _register(self, number: int, authorization: str = "") -> str:
        us = f"127.0.0.1:{self.port}"
        text = (
            f"REGISTER sip:127.0.0.1:{self.proxy} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {us};rport;branch=z9hG4bK{secrets.token_hex(6)}\r\n"
            "Max-Forwards: 70\r\n"
            f"From: <sip:{self.name}@127.0.0.1>;tag={self._tag}\r\n"
            f"To: <sip:{self.name}@127.0.0.1>\r\n"
            f"Call-ID: {self._tag}@{us}\r\nCSeq: {number} REGISTER\r\n"
            f"Contact: <sip:{self.name}@{us}>\r\nExpires: 3600\r\n"
            f"{authorization}Content-Length: 0\r\n\r\n"
        )
        for _ in range(10):
            self._transport.sendto(text.encode(), ("127.0.0.1", self.proxy))
            try:
                return await asyncio.wait_for(self._answers.get(), _REGISTER_SECONDS)
            except TimeoutError:
                continue
        raise AssertionError(f"no answer to the REGISTER of {self.name}")

    def _authorization(self, challenge: str) -> str:
        asked = dict(re.findall(r'(\w+)="([^"]*)"', _header(challenge, "WWW-Authenticate")))
        uri, nc, cnonce = f"sip:127.0.0.1:{self.proxy}", "00000001", secrets.token_hex(4)
        who = _md5(f"{self.name}:{asked['realm']}:pw-{self.name}")
        what = _md5(f"REGISTER:{uri}")
        response = _md5(f"{who}:{asked['nonce']}:{nc}:{cnonce}:auth:{what}")
        return (
            f'Authorization: Digest username="{self.name}", realm="{asked["realm"]}", '
            f'nonce="{asked["nonce"]}", uri="{uri}", response="{response}", algorithm=MD5, '
            f'qop=auth, nc={nc}, cnonce="{cnonce}", opaque="{asked.get("opaque", "")}"\r\n'
        )


def _header(message: str, name: str) -> str:
    found = re.search(rf"(?im)^{name}\s*:\s*(.*?)\r?$", message)
    return found[1] if found else ""


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
