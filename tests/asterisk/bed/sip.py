"""As much SIP as our own phones need, where baresip cannot be told to do what a test is about.

A phone registers like any other (RFC 3261 section 10, digest of RFC 2617) and hears requests and
answers on one UDP socket.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from hashlib import md5
from typing import Final, cast

_COPIED: Final = ("Via", "From", "To", "Call-ID", "CSeq")
_T1_SECONDS: Final = 0.5  # RFC 3261: a request that is not answered is sent again
_TRIES: Final = 10

Address = tuple[str, int]


class SipPhone(asyncio.DatagramProtocol):
    """Registered as an account of the bed; what it does with requests is for those derived from it.

    Answers to our own requests are in ``answers``, in the order of their arrival.
    """

    def __init__(self, name: str, port: int, proxy: int) -> None:
        self.name, self.port, self.proxy = name, port, proxy
        self.password = f"pw-{name}"
        self.tag = secrets.token_hex(4)
        self.answers: asyncio.Queue[str] = asyncio.Queue()
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def listen(self) -> None:
        """All that a trunk does, which does not register."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", self.port), family=socket.AF_INET
        )

    async def start(self) -> None:
        """Listen and register."""
        await self.listen()
        challenge = await self._register(1)
        answer = await self._register(2, self.authorization("REGISTER", self.registrar, challenge))
        assert answer.startswith("SIP/2.0 200"), answer

    def stop(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # asyncio's side --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own transport for datagrams does not derive from the class that describes it.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        text = data.decode(errors="replace")
        method = text.partition(" ")[0]
        if method == "SIP/2.0":
            self.answers.put_nowait(text)
        else:
            self.requested(method, text, addr)

    def requested(self, method: str, text: str, addr: Address) -> None:
        """A request has come; everything but an ACK wants an answer."""
        if method != "ACK":
            self.reply(text, "200 OK", addr)

    # Messages --------------------------------------------------------------------------------

    def send(self, text: str) -> None:
        """To Asterisk."""
        self._send_to(text, ("127.0.0.1", self.proxy))

    def _send_to(self, text: str, addr: Address) -> None:
        assert self._transport is not None, f"{self.name} was not started"
        self._transport.sendto(text.encode(), addr)

    def reply(self, request: str, status: str, addr: Address, more: str = "") -> None:
        lines = [f"SIP/2.0 {status}"]
        for name in _COPIED:
            value = header(request, name)
            if name == "To" and "tag=" not in value:
                value += f";tag={self.tag}"
            lines.append(f"{name}: {value}")
        text = "\r\n".join(lines) + f"\r\n{more}Content-Length: 0\r\n\r\n"
        self._send_to(text, addr)

    async def answer_to(self, text: str) -> str:
        """Send a request, again until there is an answer, which is returned."""
        for _ in range(_TRIES):
            self.send(text)
            try:
                return await asyncio.wait_for(self.next_answer(text), _T1_SECONDS)
            except TimeoutError:
                continue
        raise AssertionError(f"{self.name}: no answer to {text.partition(chr(13))[0]}")

    async def next_answer(self, request: str) -> str:
        """The next one to this request; others are late, of one before it or of another call."""
        while True:
            answer = await self.answers.get()
            if all(header(answer, name) == header(request, name) for name in ("Call-ID", "CSeq")):
                return answer

    def via(self) -> str:
        """The header of a new transaction."""
        return f"Via: SIP/2.0/UDP {self.address};rport;branch=z9hG4bK{secrets.token_hex(6)}\r\n"

    def authorization(self, method: str, uri: str, challenge: str) -> str:
        """The header that answers a 401."""
        asked = dict(re.findall(r'(\w+)="([^"]*)"', header(challenge, "WWW-Authenticate")))
        nc, cnonce = "00000001", secrets.token_hex(4)
        who = _md5(f"{self.name}:{asked['realm']}:{self.password}")
        what = _md5(f"{method}:{uri}")
        response = _md5(f"{who}:{asked['nonce']}:{nc}:{cnonce}:auth:{what}")
        return (
            f'Authorization: Digest username="{self.name}", realm="{asked["realm"]}", '
            f'nonce="{asked["nonce"]}", uri="{uri}", response="{response}", algorithm=MD5, '
            f'qop=auth, nc={nc}, cnonce="{cnonce}", opaque="{asked.get("opaque", "")}"\r\n'
        )

    # Registration ----------------------------------------------------------------------------

    @property
    def registrar(self) -> str:
        return f"sip:127.0.0.1:{self.proxy}"

    async def _register(self, number: int, authorization: str = "") -> str:
        return await self.answer_to(
            f"REGISTER {self.registrar} SIP/2.0\r\n"
            f"{self.via()}Max-Forwards: 70\r\n"
            f"From: <sip:{self.name}@127.0.0.1>;tag={self.tag}\r\n"
            f"To: <sip:{self.name}@127.0.0.1>\r\n"
            f"Call-ID: {self.tag}@{self.address}\r\nCSeq: {number} REGISTER\r\n"
            f"Contact: <sip:{self.name}@{self.address}>\r\nExpires: 3600\r\n"
            f"{authorization}Content-Length: 0\r\n\r\n"
        )


def header(message: str, name: str) -> str:
    found = re.search(rf"(?im)^{name}\s*:\s*(.*?)\r?$", message)
    return found[1] if found else ""


def status(answer: str) -> int:
    """The status code of an answer."""
    return int(answer.split(" ", 2)[1])


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
