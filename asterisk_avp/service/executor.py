"""Perform effects: in order and one timer for each session (`core.transfer.concurrency`).

A slow step of one transfer does not delay others. Effects without a session (membership of the
personal queues) share one worker; what sends a call into such a queue waits for its changes.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Final, Protocol

import structlog

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.effects import (
    AmiEffect,
    AriEffect,
    DialLeg,
    Effect,
    LeaveStasis,
    LimitCall,
    SetTimer,
)
from asterisk_avp.core.model.errors import AmiError, AriError, AsteriskSilent, AsteriskUnavailable
from asterisk_avp.core.transfer.concurrency import next_to_begin, queue_changed, queue_entered
from asterisk_avp.core.transfer.events import SessionEvent
from asterisk_avp.runtime.tasks import TaskSet
from asterisk_avp.service.deferred import DeferredEffects
from asterisk_avp.service.inbox import Message, NeedsResync, Post, Replaced, Report, TimeUp
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

_Report = Callable[[SessionEvent], None]


class _AmiPerformer(Protocol):
    async def perform(self, effect: AmiEffect, report: _Report) -> None: ...


class _AriPerformer(Protocol):
    async def perform(self, effect: AriEffect, report: _Report) -> None: ...


_BUSY_RETRY_SECONDS: Final = 0.1
"""Delay of a timer that expires while an effect of its session is in flight."""

_DEGRADED_SECONDS: Final = 5.0
"""After a timeout of ARI, non-essential effects of the session are skipped for this time."""


def log_fields(engine: TransferEngine) -> Callable[[str], Mapping[str, str]]:
    """The log fields of a transfer, by its id."""

    def fields(session_id: str) -> Mapping[str, str]:
        record = engine.store.records.get(session_id)
        call = {"call": record.session.caller.channel} if record is not None else {}
        return {"transfer": session_id, **call}

    return fields


class Workers(Part):
    """Perform effects and timers, and post their outcomes and expiries.

    Posts `NeedsResync` if an effect failed in a way that no event will report. ``performed`` is
    called for every performed effect. ``about`` returns the log fields of a session.
    """

    hears = (Replaced,)

    def __init__(
        self,
        ami: _AmiPerformer,
        ari: _AriPerformer,
        post: Post,
        performed: Callable[[str | None, Effect], None] = lambda _session, _effect: None,
        about: Callable[[str], Mapping[str, str]] = lambda session: {"transfer": session},
    ) -> None:
        self._ami = ami
        self._ari = ari
        self._post = post
        self._performed = performed
        self._held = False
        self._about = about
        self._lines: dict[str | None, _Line] = {}
        self._deferred = DeferredEffects(self._start_all)
        self._tasks = TaskSet("effects")
        self._queued = self._performed_so_far = 0
        """Effects without a session, since the start."""
        self._progress = asyncio.Event()
        """Set, and replaced, whenever some of those have been performed."""
        self._changes: Counter[str] = Counter()
        """Queue to the number of changes of its members that are queued or in flight."""
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def handle(self, message: Message) -> None:
        if isinstance(message, Replaced):
            self.hold()  # the new owner of the application acts on the calls

    def perform(self, outcome: Outcome) -> None:
        for session_id, effect in outcome.effects:
            self.start(session_id, effect)

    def start(self, session_id: str | None, effect: Effect) -> None:
        """Queue an effect after earlier effects of the same session."""
        if self._held:
            return
        if session_id is not None and not isinstance(effect, LimitCall):
            self._start_all(session_id, self._deferred.take(session_id))
        if isinstance(effect, AmiEffect | AriEffect):
            line = self._append(session_id, effect)
            if session_id is None:
                self._queued += 1
                self._changes[queue_changed(effect)] += 1
            self._advance(line)
        elif session_id is not None:
            handle = self._timers.pop(session_id, None)
            if handle is not None:
                handle.cancel()
            if isinstance(effect, SetTimer):
                self._arm(session_id, effect.seconds)

    def _append(self, session_id: str | None, effect: Effect) -> _Line:
        line = self._lines.get(session_id)
        if line is None:
            line = self._lines[session_id] = self._new_line(session_id)
        line.queue.append(effect)
        return line

    def _start_all(self, session_id: str, effects: Iterable[Effect]) -> asyncio.Future[None] | None:
        """Queue effects; returns what is done when all of the session have been performed."""
        for effect in effects:
            self._advance(self._append(session_id, effect))
        line = self._lines.get(session_id)
        return line.done if line is not None else None

    def defer(self, effects: Mapping[str, Sequence[Effect]]) -> None:
        """Perform effects of several sessions when there is time for them (`service.deferred`)."""
        if not self._held:
            self._deferred.add(effects)

    async def wait_deferred(self) -> None:
        """Wait until deferred effects have been performed."""
        await self._deferred.wait()

    def _arm(self, session_id: str, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._timers[session_id] = loop.call_later(seconds, self._expired, session_id)

    def _expired(self, session_id: str) -> None:
        """The timer has expired. Postpone it while an effect of the session is in flight.

        Each effect has its own deadline, and may still succeed. Without this, a late Bridge on an
        overloaded Asterisk was taken for the one that returns the caller, and its leg was hung up
        together with the caller.
        """
        if self.is_busy(session_id):
            self._arm(session_id, _BUSY_RETRY_SECONDS)
        else:
            self._post(TimeUp(session_id))

    def is_busy(self, session_id: str | None) -> bool:
        """Whether an effect of this session (None: of none) is in flight or queued."""
        return session_id in self._lines

    @property
    def running(self) -> int:
        """Sessions with effects in flight; the personal queues' membership counts as one."""
        return len(self._lines)

    @property
    def timers(self) -> int:
        return len(self._timers)

    async def wait_idle(self, seconds: float) -> None:
        """Wait up to ``seconds`` for effects that are in flight or queued."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while len(self._tasks) and loop.time() < end:
            await self._tasks.wait(end - loop.time())

    async def caught_up(self) -> bool:
        """Wait until those effects without a session that are queued now have been performed.

        Each has its own deadline, and may fail. Returns whether no others have been queued
        meanwhile.
        """
        wanted = self._queued
        while self._performed_so_far < wanted:
            await self._progress.wait()
        return self._queued == wanted

    async def _may_enter(self, effect: Effect) -> None:
        """Wait for earlier changes of the queue that the effect sends a call into, if it does."""
        if queue := queue_entered(effect):
            while self._changes[queue] > 0:
                await self._progress.wait()

    def _count(self, performed: int) -> None:
        self._performed_so_far += performed
        self._progress.set()
        self._progress = asyncio.Event()

    def hold(self) -> None:
        """Cancel all effects and timers, and perform nothing until `resume`."""
        self._held = True
        self._cancel_all()

    def resume(self) -> None:
        self._held = False

    @property
    def held(self) -> bool:
        return self._held

    async def stop(self) -> None:
        self._cancel_all()

    def _cancel_all(self) -> None:
        for handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        self._deferred.clear()
        self._tasks.cancel()
        for line in self._lines.values():
            line.done.cancel()
        self._lines.clear()
        self._changes.clear()
        self._count(self._queued - self._performed_so_far)

    def _new_line(self, session_id: str | None) -> _Line:
        def report(event: SessionEvent) -> None:
            if session_id is not None and not self._held:
                self._post(Report(session_id, event))

        worker = _Worker(
            self._ami,
            self._ari,
            report,
            lambda effect: self._performed(session_id, effect),
            lambda: self._post(NeedsResync(session_id)),
            self._may_enter,
        )
        context = contextvars.copy_context()
        if session_id is not None:
            # Log entries during the session's effects contain these fields.
            fields = self._about(session_id)
            context.run(lambda: structlog.contextvars.bind_contextvars(**fields))
        return _Line(session_id, worker, context)

    def _advance(self, line: _Line) -> None:
        """Begin effects in their order, each as soon as none in flight prevents it."""
        while line.queue:
            at = next_to_begin(line.queue, line.running.values())
            if at is None:
                break
            effect = line.queue[at]
            del line.queue[at]
            number = next(line.numbers)
            line.running[number] = effect
            self._tasks.start(self._perform_one(line, number, effect), line.context)

    async def _perform_one(self, line: _Line, number: int, effect: Effect) -> None:
        try:
            await line.worker.perform(effect)
        finally:
            if self._lines.get(line.session_id) is line:
                del line.running[number]
                if line.session_id is None:
                    self._changes[queue_changed(effect)] -= 1
                    self._count(1)
                self._advance(line)
                if not line.running:
                    del self._lines[line.session_id]
                    if not line.done.done():  # who waits for it may have been cancelled
                        line.done.set_result(None)


class _Line:
    """The effects of one session, in their order."""

    def __init__(
        self, session_id: str | None, worker: _Worker, context: contextvars.Context
    ) -> None:
        self.session_id = session_id
        self.worker = worker
        self.context = context
        self.queue: deque[Effect] = deque()
        self.running: dict[int, Effect] = {}
        self.numbers = count()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class _Worker:
    """Perform single effects of one session; a failure does not affect the next."""

    def __init__(
        self,
        ami: _AmiPerformer,
        ari: _AriPerformer,
        report: _Report,
        performed: Callable[[Effect], None],
        needs_resync: Callable[[], None],
        may_begin: Callable[[Effect], Awaitable[None]],
    ) -> None:
        self._ami = ami
        self._ari = ari
        self._report = report
        self._performed = performed
        self._needs_resync = needs_resync
        self._may_begin = may_begin
        self._degraded_until = 0.0

    async def perform(self, effect: Effect) -> None:
        await self._may_begin(effect)
        if isinstance(effect, DialLeg):
            # What describes the call to a later daemon must be on its way to Asterisk before the
            # call: AMI's actions of one moment are written at the end of that moment.
            await asyncio.sleep(0)
        try:
            if isinstance(effect, AmiEffect):
                await self._ami.perform(effect, self._report)
            elif isinstance(effect, AriEffect):
                degraded = time.monotonic() < self._degraded_until
                if degraded and not isinstance(effect, _NEVER_SKIPPED):
                    return  # the session needs a resync already
                await self._ari.perform(effect, self._report)
            self._performed(effect)
        except (AsteriskUnavailable, AriError, AmiError) as error:
            # No event will report it, and a party may be left in silence.
            log.warning("effect_failed", effect=type(effect).__name__, error=str(error))
            self._needs_resync()
            if isinstance(effect, AriEffect) and isinstance(error, AsteriskSilent):
                # A series of timeouts would delay the effects that return the caller.
                self._degraded_until = time.monotonic() + _DEGRADED_SECONDS
        except Exception:
            # An unexpected failure must not prevent later effects, which may return the caller.
            log.exception("effect_crashed", effect=repr(effect))


_NEVER_SKIPPED: Final = (DialLeg, LeaveStasis)
