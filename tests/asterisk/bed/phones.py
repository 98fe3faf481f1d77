"""Real SIP phones: one baresip process each, controlled over TCP and heard by its recordings."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import rtp_start
from .audio import RATE, SILENCE, Ear, Labels, Tones, describe, write_tone, write_warble
from .deadlines import deadline, patiently
from .ports import PhonePorts
from .procs import ProcessId, end, spawn

if TYPE_CHECKING:
    from .backend import Backend, Places

TEMPLATES = Path(__file__).resolve().parents[3] / "docker" / "phone"


#: By Asterisk's names: what baresip calls them, and its module.
_CODECS = {
    "ulaw": ("pcmu", "g711"),
    "alaw": ("pcma", "g711"),
    "g722": ("g722", "g722"),
    "gsm": ("gsm", "gsm"),
    "opus": ("opus/48000/2", "opus"),
}
#: Samples a second and channels of what baresip's audio source must have, if others than G.711's.
_SOURCES = {"g722": (16_000, 1), "opus": (48_000, 2)}


class PhoneError(AssertionError):
    """A phone could not do what it was told."""


@dataclass
class Call:
    """One call of a phone. `state`: incoming, outgoing, ringing, established, closed."""

    id: str
    peer: str
    incoming: bool
    state: str
    began: float
    answered: float | None = None
    ended: float | None = None
    reason: str = ""
    noticed: bool = False
    """Whether somebody has waited for it to ring."""

    @property
    def number(self) -> str:
        """The user part of the peer's address."""
        return self.peer.removeprefix("sip:").partition("@")[0]

    @property
    def live(self) -> bool:
        return self.state != "closed"


@dataclass
class Phone:
    """One phone. `answer`: manual or auto."""

    name: str
    backend: Backend
    instance: str
    ports: PhonePorts
    places: Places
    tone: int
    tones: Tones
    display: str = ""
    answer_mode: str = "manual"
    outlive: bool = False
    keys: str = "rtpevent"
    """How it sends key presses: rtpevent (RFC 4733) or info (SIP INFO)."""
    codecs: str = "ulaw"
    """What it offers and takes, first the preferred: Asterisk's names, between commas."""
    call_seconds: int = 300
    """Its longest call."""
    any_rtp_start: bool = False
    """Whether its RTP streams begin at any number (`rtp_start`), not only below 32768."""
    calls: list[Call] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ear = Ear(
            self.directory / "recordings",
            range(self.ports.rtp[0], self.ports.rtp[1] + 1),
            self.tones,
            decoded={"ulaw", "alaw"}.isdisjoint(self.codecs.split(",")),
        )
        self.process: ProcessId | None = None
        self._tokens = itertools.count(1)
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._changed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def directory(self) -> Path:
        return self.backend.directory(self.instance) / "phones" / self.name

    # Life ----------------------------------------------------------------------------------

    def configure(self) -> None:
        inside = f"{self.backend.inside(self.instance)}/phones/{self.name}"
        values = {
            "SIP_PORT": self.ports.sip,
            "CONTROL_PORT": self.ports.control,
            "SERVER": self.places.asterisk,
            "PROXY_PORT": self.places.sip,
            "BIND": self.places.bind,
            "INTERFACE": self.places.interface,
            "RTP_START": self.ports.rtp[0],
            "RTP_END": self.ports.rtp[1],
            "DIR": inside,
            "NAME": self.name,
            "DISPLAY": self.display or self.name,
            "PASSWORD": f"pw-{self.name}",
            "ANSWER": self.answer_mode,
            "DTMF": self.keys,
            "CODECS": ",".join(_CODECS[codec][0] for codec in self.codecs.split(",")),
            "MODULES": "\n".join(
                f"module {name}.so"
                for name in dict.fromkeys(_CODECS[codec][1] for codec in self.codecs.split(","))
            ),
        }
        (self.directory / "recordings").mkdir(parents=True, exist_ok=True)
        for file in ("config", "accounts"):
            text = (TEMPLATES / file).read_text()
            for key, value in values.items():
                text = text.replace(f"@{key}@", str(value))
            (self.directory / file).write_text(text)
        (self.directory / "contacts").touch()
        preferred, sound = self.codecs.partition(",")[0], self.directory / "tone.wav"
        if preferred == "gsm":
            write_warble(sound, self.tone, self.call_seconds)
        else:
            source = _SOURCES.get(preferred, (RATE, 1))
            write_tone(sound, self.tone, self.call_seconds, *source)
        self.backend.give(self.directory)

    async def start(self) -> None:
        """Start the phone (see `configure`) and wait until it is registered."""
        inside = f"{self.backend.inside(self.instance)}/phones/{self.name}"
        argv = ["/usr/bin/baresip", "-f", inside]
        if self.any_rtp_start:
            argv = ["/usr/bin/env", f"LD_LIBRARY_PATH=/{rtp_start.FOLDER}", *argv]
        command = self.backend.command(self.instance, self.name, argv, outlive=self.outlive)
        self.process = spawn(command, log=self.directory / "log")
        await self.attach(self.backend.start_seconds)

    async def attach(self, within: float = 10.0) -> None:
        """Take control of a phone that runs already, and wait until it is registered."""
        over = deadline(within)
        while True:
            try:
                await self._connect()
                while "OK" not in await self.command("reginfo"):
                    if time.monotonic() > over:
                        raise PhoneError(f"phone {self.name} does not register: {self._tail()}")
                    await asyncio.sleep(0.02)
            except OSError:
                # Nobody listens yet; or only a container's engine does, who then hangs up.
                await self.detach()
                if time.monotonic() > over:
                    raise PhoneError(f"phone {self.name} does not start: {self._tail()}") from None
                await asyncio.sleep(0.02)
            else:
                return

    async def _connect(self) -> None:
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self.ports.control)
        self._reader = asyncio.create_task(self._read(reader), name=f"phone {self.name}")

    def _tail(self) -> str:
        log = self.directory / "log"
        return log.read_text(errors="replace")[-600:] if log.exists() else "no log"

    async def detach(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()

    async def stop(self) -> None:
        await self.detach()
        if self.process is not None:
            await asyncio.to_thread(end, self.process)
        self.ear.close()

    # Control -------------------------------------------------------------------------------

    async def command(self, name: str, parameters: str = "", within: float = 5.0) -> str:
        """Run one of baresip's commands; its output."""
        if self._writer is None:
            raise PhoneError(f"phone {self.name} is not started")
        token = str(next(self._tokens))
        message: dict[str, str] = {"command": name, "token": token}
        if parameters:
            message["params"] = parameters
        payload = json.dumps(message).encode()
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[token] = future
        self._writer.write(b"%d:%s," % (len(payload), payload))
        try:
            answer = await asyncio.wait_for(future, patiently(within))
        finally:
            del self._answers[token]
        if not answer["ok"]:
            raise PhoneError(f"phone {self.name}: {name} {parameters}: {answer['data']}")
        return str(answer["data"])

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                size = await reader.readuntil(b":")
                payload = await reader.readexactly(int(size[:-1]) + 1)
            except (OSError, asyncio.IncompleteReadError) as error:
                for future in self._answers.values():
                    if not future.done():
                        future.set_exception(
                            ConnectionError(f"phone {self.name} has gone: {error}")
                        )
                return
            message = json.loads(payload[:-1])
            if message.get("response"):
                future = self._answers.get(message.get("token", ""))
                if future is not None and not future.done():
                    future.set_result(message)
            elif message.get("event"):
                message["at"] = time.time()
                self.events.append(message)
                self._take(message)
                changed, self._changed = self._changed, asyncio.Event()
                changed.set()

    def _take(self, event: dict[str, Any]) -> None:
        kind, call_id, now = event["type"], event.get("id"), event["at"]
        if event.get("class") != "call" or call_id is None:
            return
        call = next((c for c in self.calls if c.id == call_id), None)
        if call is None:
            incoming = event["direction"] == "incoming"
            state = "incoming" if incoming else "outgoing"
            call = Call(call_id, event.get("peeruri", ""), incoming, state, now)
            self.calls.append(call)
        if kind == "CALL_RINGING":
            call.state = "ringing"
        elif kind == "CALL_ESTABLISHED":
            call.state, call.answered = "established", now
        elif kind in ("CALL_CLOSED", "TRANSFER_FAILED"):
            # This phone hangs up on hearing that its transfer failed, without another event
            # (baresip 1.1, src/ua.c, CALL_EVENT_TRANSFER_FAILED).
            call.state, call.ended, call.reason = "closed", now, event.get("param", "")

    async def _until(self, test: Callable[[], Any], within: float, what: str) -> Any:
        over = deadline(within)
        while True:
            changed = self._changed
            if found := test():
                return found
            left = over - time.monotonic()
            if left <= 0:
                states = [f"{c.peer} {c.state} {c.reason}".strip() for c in self.calls[-3:]]
                raise PhoneError(
                    f"phone {self.name}: {what} not within {within} s; calls: {states}"
                )
            try:
                await asyncio.wait_for(changed.wait(), left)
            except TimeoutError:
                continue

    @property
    def live(self) -> list[Call]:
        """Calls that have not ended, oldest first."""
        return [c for c in self.calls if c.live]

    @property
    def call(self) -> Call:
        """The one call there is."""
        if len(self.live) != 1:
            raise PhoneError(f"phone {self.name} has {len(self.live)} calls, not one")
        return self.live[0]

    async def dial(self, number: str) -> Call:
        """Call a number; returns at once."""
        text = await self.command("dial", f"sip:{number}@{self.places.server}")
        call_id = text.split("call id:")[1].split()[0]
        call = next((c for c in self.calls if c.id == call_id), None)
        if call is None:
            call = Call(call_id, number, False, "outgoing", time.time())
            self.calls.append(call)
        return call

    async def ringing(self, within: float = 5.0) -> Call:
        """Wait for an incoming call that rings."""

        def look() -> Call | None:
            return next((c for c in self.calls if c.incoming and c.state == "incoming"), None)

        call: Call = await self._until(look, within, "incoming call")
        call.noticed = True
        return call

    async def established(self, call: Call | None = None, within: float = 5.0) -> Call:
        """Wait until a call (default: any) is up."""

        def look() -> Call | None:
            mine = self.calls if call is None else [call]
            return next((c for c in mine if c.state == "established"), None)

        found: Call = await self._until(look, within, "established call")
        return found

    async def closed(self, call: Call | None = None, within: float = 5.0) -> None:
        """Wait until a call (default: every call) has ended."""
        await self._until(
            lambda: not (self.live if call is None else call.live), within, "end of call"
        )

    async def answer(self, within: float = 5.0) -> Call:
        """Wait for an incoming call, answer it, wait until it is up."""
        call = await self.ringing(within)
        await self.command("accept", call.id)
        return await self.established(call)

    async def pick_up(self, within: float = 5.0) -> Call:
        """Answer an incoming call that need not stay up."""
        call = await self.ringing(within)
        await self.command("accept", call.id)
        return call

    async def auto_answer(self, on: bool = True) -> None:
        """Answer incoming calls at once, or no longer."""
        await self.command("answermode", "auto" if on else "manual")

    async def hangup(self, call: Call | None = None) -> None:
        """End a call (or refuse it with 486) and wait until it has ended."""
        call = call or self.call
        await self.command("hangup", call.id)
        # baresip reports no event for the end of a call it ends itself before an answer, which may
        # be listed for a moment.
        over = deadline(5.0)
        while call.live and time.monotonic() < over:
            if call.id not in await self.command("listcalls"):
                call.state, call.ended, call.reason = "closed", time.time(), "hung up"
        await self.closed(call)

    async def reject(self, within: float = 5.0) -> Call:
        """Refuse the incoming call with 486 Busy Here."""
        call = await self.ringing(within)
        await self.hangup(call)
        return call

    async def do_not_disturb(self, on: bool = True) -> None:
        """Refuse all incoming calls with 480 Temporarily Unavailable."""
        await self.command("dnd", "true" if on else "false")

    async def hold(self, call: Call | None = None) -> None:
        await self.command("hold", (call or self.call).id)

    async def hold_quietly(self, call: Call | None = None) -> None:
        """Hold a call, and wait until the phone hears nothing any more.

        This phone sometimes continues to play a held call; it is then held again.
        """
        held = call or self.call
        for last in (False, False, True):
            await self.hold(held)
            try:
                await self.hearing(set(), within=2.0)
            except PhoneError:
                if last:
                    raise
                await self.resume(held)
            else:
                return

    async def resume(self, call: Call | None = None) -> None:
        try:
            await self.command("resume", (call or self.call).id)
        except PhoneError as error:
            # baresip also holds the active call; without one it resumes and reports this.
            if "Invalid argument" not in str(error):
                raise

    async def select(self, call: Call) -> None:
        """Choose the call that `transfer` and `dtmf` act on, where there are several."""
        await self.command("callfind", call.id)

    async def transfer(self, number: str, call: Call | None = None) -> None:
        """Press Transfer: send a REFER for the call."""
        if call is not None:
            await self.select(call)
        uri = number if number.startswith("sip:") else f"sip:{number}@{self.places.server}"
        await self.command("transfer", uri)

    async def dtmf(self, digits: str, call: Call | None = None) -> None:
        """Press keys, one after the other."""
        if call is not None:
            await self.select(call)
        for digit in digits:
            await self.command("sndcode", digit)
            await asyncio.sleep(0.12)  # a key is held for a while; the phone queues nothing

    async def idle(self) -> None:
        """End whatever calls there are; for the end of a test.

        A queue may ring the phone again for a caller who still waits.
        """
        over = deadline(10.0)
        while ending := self.live:
            await self.command("hangupall")
            listed = await self.command("listcalls")
            for call in ending:  # baresip reports no end of a call that was not answered
                if call.id not in listed:
                    call.state, call.ended, call.reason = "closed", time.time(), "hung up"
            for call in ending:
                await self.closed(call, within=over - time.monotonic())

    # Hearing -------------------------------------------------------------------------------

    def heard(self, since: float, until: float | None = None, least: float = 0.12) -> set[str]:
        """What sounded for at least `least` seconds in all between two wall-clock times:
        names of phones, music, ringback, busy, dialtone, speech, silence."""
        return self.ear.heard(since, time.time() - Ear.SETTLE if until is None else until, least)

    async def has_heard(
        self, what: str, since: float, within: float = 3.0, least: float = 0.12
    ) -> None:
        """Wait until this has sounded since then, even if it is over again (see `heard`)."""
        over = deadline(within + Ear.SETTLE)
        while what not in self.heard(since, least=least):
            if time.monotonic() > over:
                raise PhoneError(
                    f"phone {self.name} has not heard {what} within {within} s, "
                    f"but {self.timeline(since)}"
                )
            await asyncio.sleep(0.04)

    def understood(self, since: float, until: float | None = None) -> set[str]:
        """The same without silence, and without scraps of sound (`Ear.understood`)."""
        return self.ear.understood(since, time.time() - Ear.SETTLE if until is None else until)

    def timeline(self, since: float, until: float | None = None) -> str:
        """What sounded in turn, for people."""
        until = time.time() - Ear.SETTLE if until is None else until
        return describe(self.ear.spans(since, until), since)

    async def hears(self, what: set[str], within: float = 3.0, steady: float = 0.4) -> float:
        """Wait until exactly `what` was heard for `steady` seconds; since when (wall clock).

        An empty set means silence. The time is that of the first frame of the steady stretch,
        which may lie before the call of this method.
        """
        until = await self.hearing(what, within, steady)
        return self.ear.onset(frozenset(what) or SILENCE, until)

    async def hearing(self, what: set[str], within: float = 3.0, steady: float = 0.4) -> float:
        """The same without looking back, which is costly: until when it was heard for certain."""
        wanted: Labels = frozenset(what) or SILENCE
        begin = time.time()
        over = deadline(within + Ear.SETTLE)
        while True:
            now = time.time()
            until = now - Ear.SETTLE
            frames = self.ear.frames(until - steady, until)
            wrong = sum(f != wanted for f in frames)
            if frames and frames[0] == wanted == frames[-1] and wrong <= len(frames) // 10:
                return until
            if time.monotonic() > over:
                raise PhoneError(
                    f"phone {self.name} does not hear {sorted(wanted)} within {within} s, "
                    f"but {self.timeline(begin - 1)}"
                )
            await asyncio.sleep(0.04)
