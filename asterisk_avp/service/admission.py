"""Refuse new transfers while Asterisk is too busy for them (`core.engine.admission`).

A request waits briefly for its turn, before its call is touched: a dozen agents may press Transfer
in the same second. What is under way never waits here, nor does a command about it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog

from asterisk_avp.ami.client import AmiClient
from asterisk_avp.ari.client import AriClient
from asterisk_avp.config.sections import SessionSettings
from asterisk_avp.core.engine.admission import Admission, Bounds
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.model.errors import AsteriskBusy, AvpError
from asterisk_avp.core.model.world import AgentState, PartyState, Target, TargetKind
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.core.transfer.spec import Deadline
from asterisk_avp.service.links import Links
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

PROBE_SECONDS: Final = 0.5
WAIT_SECONDS: Final = 0.5
"""How long a request waits for its turn."""
RETRY_SECONDS: Final = 2
"""When a client may try again (Retry-After)."""

_WARNING: Final = "Asterisk is too busy: new transfers are refused for the moment."
_LATELY_SECONDS: Final = 10.0

Ping = Callable[[], Awaitable[object]]


class Turn:
    """A place among the transfers that are beginning, for one request."""

    def __init__(self, control: AdmissionControl) -> None:
        self._control = control
        self._key = secrets.token_hex(8)
        self._taken = False
        control.admission.begin(self._key, time.monotonic())

    def taken_by(self, session: Session) -> None:
        """The transfer has been decided on."""
        self._taken = True
        self._control.began(self._key, session)

    def give_back(self) -> None:
        """If no transfer has begun."""
        if not self._taken:
            self._control.gave_back(self._key)


class AdmissionControl(Part):
    def __init__(
        self, engine: TransferEngine, admission: Admission, links: Links, *pings: Ping
    ) -> None:
        """``pings``: what asks Asterisk for an answer, one for each connection."""
        self.admission = admission
        self._engine = engine
        self._links = links
        self._pings = pings
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._will_ring: set[str] = set()
        """Transfers that have begun only when the target's phone rings: the target was free."""
        self._refused = 0
        self._refused_at = float("-inf")
        self.refused = 0
        """Since the start."""
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    # --- requests ----------------------------------------------------------------------------

    async def turn(self) -> Turn:
        """Wait for a turn, up to `WAIT_SECONDS`. Raises `AsteriskBusy`."""
        if self._waiting or not self.admission.admits(time.monotonic()):
            if self.admission.busy or len(self._waiting) >= self.admission.limit:
                raise self._refusal()
            await self._wait()
        return Turn(self)

    async def _wait(self) -> None:
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await mine
        except TimeoutError:
            raise self._refusal() from None
        finally:
            with suppress(ValueError):
                self._waiting.remove(mine)

    def warnings(self) -> tuple[str, ...]:
        """A sentence for the administrator while transfers are refused."""
        lately = time.monotonic() - self._refused_at < _LATELY_SECONDS
        return (_WARNING,) if self.admission.busy or lately else ()

    def _refusal(self) -> AsteriskBusy:
        self._refused_at = time.monotonic()
        if not self._refused:
            log.warning("transfers_refused_for_now", **self._figures())
        self._refused += 1
        self.refused += 1
        return AsteriskBusy(RETRY_SECONDS)

    def _figures(self) -> dict[str, object]:
        admission = self.admission
        return {
            "answer_seconds": round(admission.answer_seconds, 3),
            "beginning": admission.beginning,
            "limit": admission.limit,
        }

    def _next(self) -> None:
        """Let as many requests go on as may."""
        now = time.monotonic()
        free = self.admission.limit - self.admission.beginning
        while self._waiting and free > 0 and self.admission.admits(now):
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                free -= 1

    def gave_back(self, key: str) -> None:
        self.admission.cancel(key)
        self._next()

    def began(self, key: str, session: Session) -> None:
        self.admission.rename(key, session.id)
        if session.target is not None and self._is_free(session.target):
            self._will_ring.add(session.id)

    def _is_free(self, target: Target) -> bool:
        agent = self._engine.agents.by_id.get(target.value)
        return (
            target.kind is TargetKind.AGENT
            and agent is not None
            and agent.state is AgentState.AVAILABLE
        )

    # --- what becomes of them ----------------------------------------------------------------

    def perform(self, outcome: Outcome) -> None:
        ended = False
        for session_id in outcome.transfers:
            if self.admission.is_beginning(session_id) and self._has_begun(session_id):
                self.admission.end(session_id, time.monotonic())
                self._will_ring.discard(session_id)
                ended = True
        if ended:
            self._next()

    def _has_begun(self, session_id: str) -> bool:
        record = self._engine.store.records.get(session_id)
        if record is None:
            return True
        spec = record.session.state.spec
        if spec.deadline is Deadline.ASTERISK:
            return False
        waits = spec.deadline.awaits_target and spec.target.shown is PartyState.WAITING
        return not (waits and session_id in self._will_ring)

    # --- Asterisk's answers ------------------------------------------------------------------

    def connected(self) -> None:
        self._cancel()
        self.admission.reset()
        if self._links.both:
            self._tasks = tuple(
                asyncio.create_task(self._probe(ping), name="answers") for ping in self._pings
            )

    async def stop(self) -> None:
        self._cancel()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks = ()

    async def _probe(self, ping: Ping) -> None:
        """Ask, and count an answer that is missing as one that took as long so far."""
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            asked = asyncio.ensure_future(_quietly(ping))
            try:
                while not asked.done():
                    await asyncio.wait((asked,), timeout=PROBE_SECONDS)
                    self._answered(loop.time() - begun)
            finally:
                asked.cancel()
            await asyncio.sleep(max(0.0, begun + PROBE_SECONDS - loop.time()))

    def _answered(self, seconds: float) -> None:
        before = self.admission.busy
        self.admission.answered(seconds)
        if self.admission.busy is not before:
            tell = log.warning if self.admission.busy else log.info
            tell("asterisk_busy" if self.admission.busy else "asterisk_answers", **self._figures())
        if self._refused and not self._waiting and self.admission.beginning < 1:
            log.info("transfers_were_refused", number=self._refused)
            self._refused = 0
        self._next()


def new_admission(
    settings: SessionSettings, engine: TransferEngine, links: Links, ami: AmiClient, ari: AriClient
) -> AdmissionControl:
    bounds = Bounds(settings.busy_begin_seconds, settings.busy_answer_seconds)
    return AdmissionControl(engine, Admission(bounds), links, ami.ping, ari.asterisk.ping)


async def _quietly(ping: Ping) -> None:
    with suppress(AvpError):  # an error is an answer; a lost connection is told otherwise
        await ping()
