"""Performs effects: one worker and one timer a session, in order (`core.transfer.concurrency`).

A slow step of one transfer holds up no other. Effects that belong to no session (the membership
of the personal queues) share one worker of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
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
    SetTimer,
)
from asterisk_avp.core.model.errors import AmiError, AriError, AsteriskSilent, AsteriskUnavailable
from asterisk_avp.core.transfer.concurrency import can_run_concurrently
from asterisk_avp.core.transfer.events import SessionEvent
from asterisk_avp.runtime.tasks import TaskSet
from asterisk_avp.service.inbox import Message, NeedsResync, Post, Replaced, Report, TimeUp
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

_Report = Callable[[SessionEvent], None]


class _AmiPerformer(Protocol):
    async def perform(self, effect: AmiEffect, report: _Report) -> None: ...


class _AriPerformer(Protocol):
    async def perform(self, effect: AriEffect, report: _Report) -> None: ...


_AT_WORK_SECONDS: Final = 0.1
"""How soon a timer that met its session at work looks again."""

_SICK_SECONDS: Final = 5.0
"""For so long after a time-out of ARI's a session is spared what can be left out."""


def log_fields(engine: TransferEngine) -> Callable[[str], Mapping[str, str]]:
    """What each line of the log about a transfer has, by the transfer's id."""

    def fields(session_id: str) -> Mapping[str, str]:
        record = engine.store.records.get(session_id)
        call = {"call": record.session.caller.channel} if record is not None else {}
        return {"transfer": session_id, **call}

    return fields


class Workers(Part):
    """Posts outcomes of a session's effects, the expiry of its timer, and every session (or None)
    that needs a resync, since something could not be done that no event will tell.

    ``performed`` is told of every effect that has been performed. ``about`` says what every line of
    the log has that is written while a session's effect is performed.
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
        self._queues: dict[str | None, deque[Effect]] = {}
        self._tasks = TaskSet("effects")
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def handle(self, message: Message) -> None:
        if isinstance(message, Replaced):
            self.hold()  # whoever has the application now acts on the calls

    def perform(self, outcome: Outcome) -> None:
        for session_id, effect in outcome.effects:
            self.start(session_id, effect)

    def start(self, session_id: str | None, effect: Effect) -> None:
        """Have an effect done, after those of the same session that came before it."""
        if self._held:
            return
        if isinstance(effect, AmiEffect | AriEffect):
            queue = self._queues.get(session_id)
            if queue is None:
                queue = self._queues[session_id] = deque()
                self._tasks.start(self._work(session_id, queue))
            queue.append(effect)
        elif session_id is not None:
            handle = self._timers.pop(session_id, None)
            if handle is not None:
                handle.cancel()
            if isinstance(effect, SetTimer):
                self._arm(session_id, effect.seconds)

    def _arm(self, session_id: str, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._timers[session_id] = loop.call_later(seconds, self._expired, session_id)

    def _expired(self, session_id: str) -> None:
        """The time is up; not while we are still at it, for each step has a deadline of its own.

        What a session does about its time would be done after what is under way, which may turn out
        well yet: a Bridge that came late, on an Asterisk with too much to do, was taken for the one
        that brings the caller back, and its leg hung up. The caller went with it.
        """
        if self.is_busy(session_id):
            self._arm(session_id, _AT_WORK_SECONDS)
        else:
            self._post(TimeUp(session_id))

    def is_busy(self, session_id: str) -> bool:
        """Whether something is being done for this session."""
        return session_id in self._queues

    @property
    def running(self) -> int:
        """Sessions, and the personal queues' membership as one, at whose effects we are."""
        return len(self._queues)

    @property
    def timers(self) -> int:
        return len(self._timers)

    async def wait_idle(self, seconds: float) -> None:
        """Wait until what is being done is done, but no longer than that."""
        await self._tasks.wait(seconds)

    def hold(self) -> None:
        """Break off what is being done, and do nothing more until `go_on`."""
        self._held = True
        self._break_off()

    def go_on(self) -> None:
        self._held = False

    @property
    def held(self) -> bool:
        return self._held

    async def stop(self) -> None:
        self._break_off()

    def _break_off(self) -> None:
        for handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        self._tasks.cancel()
        self._queues.clear()

    async def _work(self, session_id: str | None, queue: deque[Effect]) -> None:
        """Perform the effects of one session; the worker leaves when there are none left."""

        def report(event: SessionEvent) -> None:
            if session_id is not None and not self._held:
                self._post(Report(session_id, event))

        worker = _Worker(
            self._ami,
            self._ari,
            report,
            lambda effect: self._performed(session_id, effect),
            lambda: self._post(NeedsResync(session_id)),
        )
        if session_id is not None:
            # Of this task alone: whatever is logged while a step is taken says whose it is.
            structlog.contextvars.bind_contextvars(**self._about(session_id))
        try:
            while queue:
                effects = [queue.popleft()]
                while queue and can_run_concurrently(queue[0], effects):
                    effects.append(queue.popleft())
                if len(effects) == 1:
                    await worker.perform(effects[0])
                else:
                    await asyncio.gather(*map(worker.perform, effects))
        finally:
            if self._queues.get(session_id) is queue:
                del self._queues[session_id]


class _Worker:
    """Performs single effects of one session; whatever becomes of one, the next is not held up."""

    def __init__(
        self,
        ami: _AmiPerformer,
        ari: _AriPerformer,
        report: _Report,
        performed: Callable[[Effect], None],
        needs_resync: Callable[[], None],
    ) -> None:
        self._ami = ami
        self._ari = ari
        self._report = report
        self._performed = performed
        self._needs_resync = needs_resync
        self._sick_until = 0.0

    async def perform(self, effect: Effect) -> None:
        try:
            if isinstance(effect, AmiEffect):
                await self._ami.perform(effect, self._report)
            elif isinstance(effect, AriEffect):
                sick = time.monotonic() < self._sick_until
                if sick and not isinstance(effect, _NEVER_SPARED):
                    return  # the session needs a resync already
                await self._ari.perform(effect, self._report)
            self._performed(effect)
        except (AsteriskUnavailable, AriError, AmiError) as error:
            # Nobody will tell the session, and somebody may sit in silence for it.
            log.warning("effect_failed", effect=type(effect).__name__, error=str(error))
            self._needs_resync()
            if isinstance(effect, AriEffect) and isinstance(error, AsteriskSilent):
                # One time-out after the other would hold up what brings the caller back.
                self._sick_until = time.monotonic() + _SICK_SECONDS
        except Exception:
            # One effect that breaks in an unforeseen way must not stop those after it, which may
            # be what brings the caller back.
            log.exception("effect_crashed", effect=repr(effect))


_NEVER_SPARED: Final = (DialLeg, LeaveStasis)
