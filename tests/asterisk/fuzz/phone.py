"""A SIP user agent, with or without an account, that sends inputs and answers calls as told."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import md5
from typing import Final, Self, cast

from .message import Dialog, Line, offer, request

Address = tuple[str, int]

_ANSWER_SECONDS: Final = 0.6
"""How long an answer to a request that Asterisk has understood may take; a busy machine gets more
than one such period (see `Phone.exchange`)."""
_TRIES: Final = 6
_NONCE_USES: Final = 200


@dataclass(frozen=True)
class Reply:
    """How a call is answered: the end of the status line, headers, and whether a session is
    offered."""

    status: str
    more: bytes = b""
    sdp: bool = False


BUSY: Final = Reply("486 Busy Here")
OK: Final = Reply("200 OK", sdp=True)


@dataclass
class Incoming:
    """A call to this phone: its dialog as seen from here."""

    text: bytes
    dialog: Dialog
    acked: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def call_id(self) -> str:
        return self.dialog.call_id


class Phone(asyncio.DatagramProtocol):
    """``password``: None for a sender without an account (or identified by its address)."""

    def __init__(
        self,
        account: str,
        host: str,
        proxy: int,
        password: str | None,
        port: int = 0,
        *,
        registers: bool = True,
    ) -> None:
        self.line = Line(account, host, port, proxy)
        self.password = password
        self._registers = registers and password is not None
        self.reply: Callable[[bytes], Reply] = lambda _invite: BUSY
        self.calls: list[Incoming] = []
        """Incoming calls, oldest first."""
        self.heard: Callable[[bytes], None] = lambda _message: None
        self.rung = asyncio.Event()
        self._answers: dict[str, asyncio.Queue[bytes]] = {}
        self._transport: asyncio.DatagramTransport
        self._challenge: dict[str, str] = {}
        self._uses = 0

    async def start(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=(self.line.host, self.line.port)
        )
        port = self._transport.get_extra_info("sockname")[1]
        self.line = Line(self.line.account, self.line.host, port, self.line.proxy)
        if self._registers:
            await self._register()
        return self

    def stop(self) -> None:
        self._transport.close()

    async def _register(self) -> None:
        us = f"<sip:{self.line.account}@127.0.0.1>".encode()
        tag = b";tag=" + secrets.token_hex(4).encode()
        dialog = Dialog(us + tag, us, f"sip:127.0.0.1:{self.line.proxy}".encode())
        answer = await self.ask("REGISTER", dialog, more=b"Expires: 3600\r\n", tries=_TRIES)
        assert status(answer) == 200, answer

    # asyncio's side --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def error_received(self, exc: Exception) -> None:
        """A datagram could not be sent; its sender notices by the missing answer."""

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.heard(data)
        call_id = header(data, b"Call-ID").decode("latin-1")
        if data.startswith(b"SIP/2.0 "):
            waiting = self._answers.get(call_id)
            if waiting is not None:
                waiting.put_nowait(data)
            return
        method = data.partition(b" ")[0]
        call = next((c for c in self.calls if c.call_id == call_id), None)
        if method == b"ACK":
            if call is not None:
                call.acked.set()
        elif method == b"INVITE" and b";tag=" not in header(data, b"To"):
            self._called(data, call, addr)
        else:
            if call is not None and method in (b"BYE", b"CANCEL"):
                call.over.set()
            body = method in (b"INVITE", b"UPDATE")
            self._respond(data, Reply("200 OK", sdp=body), addr)

    def _called(self, data: bytes, call: Incoming | None, addr: Address) -> None:
        reply = self.reply(data)
        tag = self._respond(data, reply, addr)
        if call is None:  # else it was a retransmission
            target = re.sub(rb"^.*<|>.*$", b"", header(data, b"Contact"))
            theirs, ours = header(data, b"From"), header(data, b"To") + b";tag=" + tag
            call_id = header(data, b"Call-ID").decode("latin-1")
            self.calls.append(Incoming(data, Dialog(ours, theirs, target, call_id)))
            self.rung.set()

    def _respond(self, data: bytes, reply: Reply, addr: Address) -> bytes:
        call_id = header(data, b"Call-ID")
        tag = md5(call_id + self.line.account.encode(), usedforsecurity=False).hexdigest()[:8]
        lines = [b"SIP/2.0 " + reply.status.encode()]
        lines += [b"Via: " + via for via in re.findall(rb"(?im)^Via\s*:\s*(.*?)\r?$", data)]
        to = header(data, b"To")
        if b";tag=" not in to:
            to += b";tag=" + tag.encode()
        lines += [b"From: " + header(data, b"From"), b"To: " + to, b"Call-ID: " + call_id]
        lines += [b"CSeq: " + header(data, b"CSeq")]
        body = offer(self.line) if reply.sdp else b""
        more = reply.more
        if reply.sdp:
            us = f"{self.line.account}@{self.line.host}:{self.line.port}".encode()
            more += b"Contact: <sip:" + us + b">\r\nContent-Type: application/sdp\r\n"
        length = b"Content-Length: " + str(len(body)).encode()
        text = b"\r\n".join(lines) + b"\r\n" + more + length + b"\r\n\r\n" + body
        self._transport.sendto(text, addr)
        return tag.encode()

    # Requests --------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        self._transport.sendto(data, ("127.0.0.1", self.line.proxy))

    async def ask(
        self,
        method: str,
        dialog: Dialog,
        *,
        more: bytes = b"",
        sdp: bool = False,
        tries: int = 1,
        provisional: Callable[[bytes], None] = lambda _answer: None,
        within: float = 8.0,
    ) -> bytes:
        """The final answer, or nothing if Asterisk ignores the request.

        After a provisional answer (100 Trying), ``within`` seconds are left for the rest.
        """
        waiting = self._answers.setdefault(dialog.call_id, asyncio.Queue())
        for _ in range(3):  # with the known challenge, then with the new one
            dialog.number += 1
            credentials = self._authorization(method, more)
            data, via = request(method, dialog, self.line, more=more + credentials, sdp=sdp)
            answer = await self._exchange(data, waiting, dialog, method, tries, provisional, within)
            if method == "INVITE" and answer:
                self._acknowledge(dialog, answer, via)
            if status(answer) not in (401, 407) or self.password is None:
                break
            self._challenge = dict(re.findall(r'(\w+)="([^"]*)"', challenge(answer)))
            self._uses = 0
        return answer

    async def _exchange(
        self,
        data: bytes,
        waiting: asyncio.Queue[bytes],
        dialog: Dialog,
        method: str,
        tries: int,
        provisional: Callable[[bytes], None],
        within: float,
    ) -> bytes:
        ours = f"{dialog.number} {method}".encode()
        for _ in range(tries):
            self.send(data)
            try:
                seconds = _ANSWER_SECONDS
                while True:
                    answer = await asyncio.wait_for(waiting.get(), seconds)
                    if header(answer, b"CSeq") != ours:
                        continue
                    if status(answer) >= 200:
                        return answer
                    seconds = within
                    provisional(answer)
            except TimeoutError:
                continue
        return b""

    def _acknowledge(self, dialog: Dialog, answer: bytes, via: bytes) -> None:
        remote = dialog.remote
        dialog.remote = header(answer, b"To") or remote
        if status(answer) < 300:
            dialog.target = re.sub(rb"^.*<|>.*$", b"", header(answer, b"Contact")) or dialog.target
            via = b""
        self.send(request("ACK", dialog, self.line, via=via)[0])
        if status(answer) >= 300:
            dialog.remote = remote

    def cancel(self, dialog: Dialog, answer: bytes) -> None:
        """Cancel the INVITE of this provisional answer."""
        via = header(answer, b"Via")
        via = re.sub(rb";(received|rport)=[^;]*", b"", via)
        self.send(request("CANCEL", dialog, self.line, via=via)[0])

    def forget(self, dialog: Dialog) -> None:
        self._answers.pop(dialog.call_id, None)

    def _authorization(self, method: str, more: bytes) -> bytes:
        if self.password is None or not self._challenge:
            return b""
        if self._uses >= _NONCE_USES:
            self._challenge = {}
            return b""
        self._uses += 1
        asked, nc, cnonce = self._challenge, f"{self._uses:08x}", secrets.token_hex(4)
        uri = f"sip:127.0.0.1:{self.line.proxy}"
        who = _md5(f"{self.line.account}:{asked['realm']}:{self.password}")
        what = _md5(f"{method}:{uri}")
        response = _md5(f"{who}:{asked['nonce']}:{nc}:{cnonce}:auth:{what}")
        return (
            f'Authorization: Digest username="{self.line.account}", realm="{asked["realm"]}", '
            f'nonce="{asked["nonce"]}", uri="{uri}", response="{response}", algorithm=MD5, '
            f'qop=auth, nc={nc}, cnonce="{cnonce}", opaque="{asked.get("opaque", "")}"\r\n'
        ).encode()


def status(answer: bytes) -> int:
    """The status code, 0 for no answer."""
    found = re.match(rb"SIP/2\.0 (\d{3})", answer)
    return int(found[1]) if found else 0


def header(message: bytes, name: bytes) -> bytes:
    found = re.search(rb"(?im)^" + name + rb"\s*:\s*(.*?)\r?$", message.partition(b"\r\n\r\n")[0])
    return found[1] if found else b""


def challenge(answer: bytes) -> str:
    return header(answer, b"WWW-Authenticate").decode("latin-1")


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
