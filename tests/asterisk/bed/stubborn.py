"""A phone whose Transfer button is controlled by the test, and which keeps its call on a refusal.

baresip hangs up when its transfer is refused, always answers NOTIFY and writes the headers of its
REFER itself. This phone takes one call at a time, answers it immediately, and sounds like the phone
that it replaces.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .audio import RATE, tone_ulaw
from .deadlines import deadline
from .phones import Phone
from .sip_user import Address, SipPhone, header

_FRAME_SECONDS = 0.02
_FRAME = int(RATE * _FRAME_SECONDS)


@dataclass
class Talk:
    """A call of the phone."""

    invite: str
    live: bool = True
    notified: list[str] = field(default_factory=list)
    """The results of its transfers that the phone received: ``100 Trying``, ``200 OK``…"""


class StubbornPhone(SipPhone):
    """Replaces `phone`, which must be off; its ears continue to hear."""

    def __init__(self, phone: Phone, tone: int) -> None:
        super().__init__(phone.name, phone.ports.sip, phone.places.sip)
        self.calls: list[Talk] = []
        self.deaf = False
        """NOTIFY is not answered."""
        self._media_port = phone.ports.rtp[0]
        self._tone = tone_ulaw(tone)
        self._changed = asyncio.Event()

    async def start(self) -> None:
        await super().start()
        self._media = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._media.bind(("127.0.0.1", self._media_port))
        self._media.setblocking(False)
        self._sounding: asyncio.Task[None] | None = None

    def stop(self) -> None:
        if self._sounding is not None:
            self._sounding.cancel()
        self._media.close()
        super().stop()

    @property
    def talk(self) -> Talk:
        """The one call there is."""
        (talk,) = (t for t in self.calls if t.live)
        return talk

    # What it does ----------------------------------------------------------------------------

    async def refer(self, to: str, more: str = "") -> str:
        """Press Transfer. Returns the status of the answer. ``to``: the content of Refer-To."""
        answer = await self._within("REFER", f"Refer-To: {to}\r\n{more}")
        return answer.partition("\r\n")[0].partition(" ")[2]

    async def hang_up(self) -> None:
        talk = self.talk
        await self._within("BYE")
        talk.live = False

    async def told(self, status: str, within: float = 5.0) -> None:
        """Wait until this is the last result of its transfer that the phone received."""
        await self._until(lambda: self.calls[-1].notified[-1:] == [status], within, status)

    async def answered(self, within: float = 5.0) -> None:
        """Wait until the phone is in a call."""
        await self._until(lambda: any(t.live for t in self.calls), within, "a call")

    async def over(self, within: float = 5.0) -> None:
        """Wait until the phone's calls have been ended."""
        await self._until(lambda: not any(t.live for t in self.calls), within, "the end")

    # SIP ---------------------------------------------------------------------------------------

    def asked(self, method: str, text: str, addr: Address) -> None:
        call = header(text, "Call-ID")
        talk = next((t for t in self.calls if header(t.invite, "Call-ID") == call), None)
        match method:
            case "INVITE":
                if talk is None:
                    self.calls.append(Talk(text))
                self._sound(text)
                contact = f"Contact: <sip:{self.name}@127.0.0.1:{self.port}>\r\n"
                kind = "Content-Type: application/sdp\r\n"
                self.reply(text, "200 OK", addr, contact + kind, self._description())
            case "NOTIFY":
                if talk is not None:
                    status = text.rpartition("\r\n\r\n")[2].strip().removeprefix("SIP/2.0 ")
                    if talk.notified[-1:] != [status]:  # else it is a retransmission
                        talk.notified.append(status)
                if not self.deaf:
                    self.reply(text, "200 OK", addr)
            case "BYE":
                if talk is not None:
                    talk.live = False
                self.reply(text, "200 OK", addr)
            case "ACK":
                pass
            case _:
                self.reply(text, "200 OK", addr)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _within(self, method: str, more: str = "") -> str:
        """Send a request within the dialog of the call."""
        invite = self.talk.invite
        contact = header(invite, "Contact").partition("<")[2].partition(">")[0]
        return await self.request(
            method,
            contact,
            f"{header(invite, 'To')};tag={self.tag}",
            header(invite, "From"),
            header(invite, "Call-ID"),
            more,
        )

    def _description(self) -> str:
        return (
            f"v=0\r\no=- {secrets.randbits(30)} 1 IN IP4 127.0.0.1\r\ns=-\r\n"
            "c=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {self._media_port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
        )

    # Audio -------------------------------------------------------------------------------------

    def _sound(self, invite: str) -> None:
        """Send our tone to where the INVITE wants it."""
        if self._sounding is not None:
            self._sounding.cancel()
        port = int(invite.partition("m=audio ")[2].partition(" ")[0])
        self._sounding = asyncio.create_task(self._send_tone(("127.0.0.1", port)))

    async def _send_tone(self, to: Address) -> None:
        source, begin, sent = secrets.randbits(32), time.monotonic(), 0
        while True:
            while sent * _FRAME_SECONDS <= time.monotonic() - begin:
                head = struct.pack(
                    "!BBHII", 0x80, 0, sent & 0xFFFF, (sent * _FRAME) & 0xFFFFFFFF, source
                )
                at = sent * _FRAME % len(self._tone)
                self._media.sendto(head + self._tone[at : at + _FRAME], to)
                sent += 1
            await asyncio.sleep(_FRAME_SECONDS)

    async def _until(self, test: Callable[[], bool], within: float, what: str) -> None:
        over = deadline(within)
        while not test():
            left = over - time.monotonic()
            if left <= 0:
                said = [(t.live, t.notified) for t in self.calls]
                raise AssertionError(f"phone {self.name}: no {what} within {within} s: {said}")
            changed = self._changed
            try:
                await asyncio.wait_for(changed.wait(), left)
            except TimeoutError:
                continue
