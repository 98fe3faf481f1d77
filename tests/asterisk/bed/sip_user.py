"""As much SIP as a phone of our own needs that does what baresip cannot be told to.

It registers like any phone (RFC 3261 section 10, digest of RFC 2617); what it does with the
requests that reach it is for those who derive from it to say.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from hashlib import md5
from typing import Final, Self, cast

Address = tuple[str, int]

_COPIED: Final = ("Via", "From", "To", "Call-ID", "CSeq")
_ANSWER_SECONDS: Final = 0.5  # RFC 3261's T1, after which a request is sent again


class SipPhone(asyncio.DatagramProtocol):
    """A phone with the address of an account's baresip; `start` registers it in its place."""

    def __init__(self, name: str, port: int, proxy: int) -> None:
        self.name, self.port, self.proxy = name, port, proxy
        self.tag = secrets.token_hex(4)
        self._numbers: dict[str, int] = {}
        self._answers: dict[tuple[str, str], asyncio.Future[str]] = {}
        """By Call-ID and CSeq of our requests."""

    async def start(self) -> None:
        """Listen and register."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", self.port), family=socket.AF_INET
        )
        us = f"<sip:{self.name}@127.0.0.1>"
        answer = await self.request(
            "REGISTER",
            f"sip:127.0.0.1:{self.proxy}",
            f"{us};tag={self.tag}",
            us,
            f"{self.tag}@127.0.0.1",
            "Expires: 3600\r\n",
        )
        assert answer.startswith("SIP/2.0 200"), answer

    def stop(self) -> None:
        self._transport.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    def asked(self, method: str, text: str, addr: Address) -> None:
        """A request has come, which may be one sent again."""
        raise NotImplementedError

    # asyncio's side --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own transport for datagrams does not derive from the class that describes it.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        text = data.decode(errors="replace")
        method, _, status = text.partition(" ")
        if method != "SIP/2.0":
            self.asked(method, text, addr)
        elif not status.startswith("1"):
            future = self._answers.get((header(text, "Call-ID"), header(text, "CSeq")))
            if future is not None and not future.done():
                future.set_result(text)

    # Messages --------------------------------------------------------------------------------

    def reply(
        self, request: str, status: str, addr: Address, more: str = "", body: str = ""
    ) -> None:
        lines = [f"SIP/2.0 {status}"]
        for name in _COPIED:
            value = header(request, name)
            if name == "To" and "tag=" not in value:
                value += f";tag={self.tag}"
            lines.append(f"{name}: {value}")
        text = "\r\n".join(lines) + f"\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}"
        self._transport.sendto(text.encode(), addr)

    async def request(
        self, method: str, uri: str, ours: str, theirs: str, call_id: str, more: str = ""
    ) -> str:
        """Send a request, again with our password if asked for it; the final answer."""
        answer = await self._send(method, uri, ours, theirs, call_id, more)
        if answer.startswith("SIP/2.0 401"):
            more += self._authorization(method, uri, answer)
            answer = await self._send(method, uri, ours, theirs, call_id, more)
        return answer

    async def _send(
        self, method: str, uri: str, ours: str, theirs: str, call_id: str, more: str
    ) -> str:
        number = self._numbers[call_id] = self._numbers.get(call_id, 0) + 1
        us = f"127.0.0.1:{self.port}"
        text = (
            f"{method} {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {us};rport;branch=z9hG4bK{secrets.token_hex(6)}\r\n"
            "Max-Forwards: 70\r\n"
            f"From: {ours}\r\nTo: {theirs}\r\n"
            f"Call-ID: {call_id}\r\nCSeq: {number} {method}\r\n"
            f"Contact: <sip:{self.name}@{us}>\r\n"
            f"{more}Content-Length: 0\r\n\r\n"
        )
        future = asyncio.get_running_loop().create_future()
        self._answers[call_id, f"{number} {method}"] = future
        for _ in range(10):
            self._transport.sendto(text.encode(), ("127.0.0.1", self.proxy))
            try:
                return await asyncio.wait_for(asyncio.shield(future), _ANSWER_SECONDS)
            except TimeoutError:
                continue
        raise AssertionError(f"no answer to the {method} of {self.name}")

    def _authorization(self, method: str, uri: str, challenge: str) -> str:
        asked = dict(re.findall(r'(\w+)="([^"]*)"', header(challenge, "WWW-Authenticate")))
        nc, cnonce = "00000001", secrets.token_hex(4)
        who = _md5(f"{self.name}:{asked['realm']}:pw-{self.name}")
        what = _md5(f"{method}:{uri}")
        response = _md5(f"{who}:{asked['nonce']}:{nc}:{cnonce}:auth:{what}")
        return (
            f'Authorization: Digest username="{self.name}", realm="{asked["realm"]}", '
            f'nonce="{asked["nonce"]}", uri="{uri}", response="{response}", algorithm=MD5, '
            f'qop=auth, nc={nc}, cnonce="{cnonce}", opaque="{asked.get("opaque", "")}"\r\n'
        )


def header(message: str, name: str) -> str:
    found = re.search(rf"(?im)^{name}\s*:\s*(.*?)\r?$", message)
    return found[1] if found else ""


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
