"""A standby: wait until no daemon serves Asterisk (`asterisk-avp run --standby`).

What is asked, and what the answers mean:

    Stasis application   the daemon's API   then
    no owner             refuses            it was killed, has stopped or never began: take over;
                                            if its API was never reached, as in the next line
    no owner             answers            it reconnects: take over only after `_RECONNECT` times
                                            its longest pause
    no owner             silent             take over after 1.5 times ``frozen_seconds``
    owner                answers            it serves
    owner                refuses, silent    after half of ``frozen_seconds``, ask it through
                                            Asterisk, and its API once more: if neither
                                            answers for ``frozen_seconds``: take over
    no answer            refuses            after `_ALONE_SECONDS`: serve, so that the API can say
                                            that Asterisk is away
    no answer            anything else      wait

Asterisk's answer about the application is long where there are many calls. So while the API
answers, it is asked only every `_OWNED_SECONDS`.

A daemon that is about to stop says so in Asterisk. The standby answers, and takes over as soon as
the application has no owner. `ari.single_instance` has the last word in each case.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable
from typing import Final, Protocol, TypeVar

import structlog

from asterisk_avp.core.model.errors import AriError, AsteriskUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

_RECONNECT: Final = 2.0
_SILENT: Final = 1.5
_LAG: Final = 0.3
"""If this process is late itself by so much of ``frozen_seconds``, the machine is overloaded, and a
silence proves nothing, …"""
_LATEST: Final = 10.0
"""… unless it has lasted for so many of them."""
_LAG_STEP_SECONDS: Final = 0.05
_ALONE_SECONDS: Final = 5.0
_HANDOVER_POLL_SECONDS: Final = 0.03
_HANDOVER_SECONDS: Final = 10.0
_REFUSED: Final = frozenset({401, 403})
_OWNED_SECONDS: Final = 2.0


class Health(enum.Enum):
    ANSWERS = "answers"
    REFUSES = "refuses"
    SILENT = "silent"


class Reason(enum.Enum):
    """Why the standby takes over."""

    GONE = "no daemon serves"
    LEFT = "the active daemon has stopped"
    UNREACHABLE = "the active daemon has lost Asterisk"
    FROZEN = "the active daemon does not answer"
    ALONE = "neither Asterisk nor a daemon answers"


class Fence(Protocol):
    """Asterisk's Stasis application (`ari.single_instance.SingleInstanceGuard`)."""

    async def owned(self, *, seconds: float | None = None) -> bool: ...

    async def ask(self, answer_seconds: float, *, by_standby: bool = False) -> str: ...

    async def leaving(self) -> str: ...

    async def succeed(self, leaving: str) -> None: ...


class Api(Protocol):
    """The active daemon's API."""

    async def health(self, seconds: float) -> Health: ...


class StandbyWatch:
    """``reconnect_seconds``: the longest pause of the active daemon before it reconnects."""

    def __init__(
        self,
        fence: Fence,
        api: Api,
        *,
        poll_seconds: float,
        frozen_seconds: float,
        reconnect_seconds: float,
    ) -> None:
        self._fence = fence
        self._api = api
        self._poll_seconds = poll_seconds
        self._frozen_seconds = frozen_seconds
        self._reconnect_seconds = reconnect_seconds
        self._seen_at: float | None = None
        """When Asterisk last answered."""
        self._health = Health.ANSWERS
        self._reached = False
        self._owner_seen = False
        self._told: set[str] = set()
        self._unowned_since: float | None = None
        self._apart_since: float | None = None
        self._unwell_since: float | None = None
        self._answered = ""
        self._answered_at = 0.0
        self._owned_at: float | None = None

    async def wait(self) -> Reason:
        """Return as soon as this standby is to serve."""
        while True:
            reason = await self._once()
            if reason is not None:
                return reason
            pause = _HANDOVER_POLL_SECONDS if self._handing_over else self._poll_seconds
            await asyncio.sleep(pause)

    @property
    def sees_asterisk(self) -> bool:
        """Whether Asterisk answers."""
        if self._seen_at is None:
            return False
        return self._now() - self._seen_at < self._frozen_seconds + 2 * self._poll_seconds

    @property
    def _handing_over(self) -> bool:
        return bool(self._answered) and self._now() - self._answered_at < _HANDOVER_SECONDS

    async def _once(self) -> Reason | None:
        await self._ask_health()
        now = self._now()
        surely = self._health is Health.ANSWERS and not self._handing_over
        try:
            if surely and self._owned_at is not None and now - self._owned_at < _OWNED_SECONDS:
                owned = True
            else:
                owned = await self._fence.owned(seconds=self._frozen_seconds * 2)
                self._owned_at = self._now() if owned else None
            leaving = await self._fence.leaving()
            if leaving and leaving != self._answered and owned:
                await self._fence.succeed(leaving)
                self._answered, self._answered_at = leaving, self._now()
                log.info("standby_succeeds")
        except AriError as error:
            if error.status in _REFUSED:
                self._say("standby_login_refused", str(error))
            self._unowned_since = self._apart_since = self._owned_at = self._seen_at = None
            return None
        except AsteriskUnavailable as error:
            self._seen_at = None
            self._say("standby_without_asterisk", str(error))
            return self._apart()
        self._apart_since = None
        self._seen_at = self._now()
        return await self._owned() if owned else self._unowned(leaving)

    def _apart(self) -> Reason | None:
        """Asterisk does not answer."""
        self._unowned_since = self._owned_at = None
        self._apart_since = self._apart_since or self._now()
        alone = self._health is Health.REFUSES
        if not alone:
            self._apart_since = None
        elif self._now() - self._apart_since > _ALONE_SECONDS:
            return Reason.ALONE
        return None

    def _unowned(self, leaving: str) -> Reason | None:
        if leaving and leaving == self._answered:
            return Reason.LEFT
        self._unowned_since = self._unowned_since or self._now()
        since = self._now() - self._unowned_since
        if self._health is Health.REFUSES and (self._reached or not self._owner_seen):
            return Reason.GONE
        if self._health is Health.SILENT:
            return Reason.FROZEN if since > _SILENT * self._frozen_seconds else None
        # It may act for as long as it does not know that it has lost ARI.
        return Reason.UNREACHABLE if since > _RECONNECT * self._reconnect_seconds else None

    async def _owned(self) -> Reason | None:
        self._unowned_since = None
        self._owner_seen = True
        if self._health is Health.ANSWERS:
            self._told.clear()
            return None
        assert self._unwell_since is not None  # noqa: S101 - set with it
        if self._now() - self._unwell_since < self._frozen_seconds / 2:
            return None
        lag = _Lag()
        try:
            who, health = await lag.during(
                asyncio.gather(
                    self._fence.ask(self._frozen_seconds, by_standby=True),
                    self._api.health(self._frozen_seconds),
                )
            )
            if health is Health.ANSWERS:
                return None  # the next look notes it
            silent = self._now() - self._unwell_since
            if lag.most > _LAG * self._frozen_seconds and silent < _LATEST * self._frozen_seconds:
                self._say("standby_is_late", f"by {lag.most:.2f} s: this machine is overloaded")
                return None
            if not who and not await self._fence.owned():
                return None  # it has gone meanwhile; the next look says why
        except (AriError, AsteriskUnavailable) as error:
            self._say("standby_without_asterisk", str(error))
            return None
        if who:
            self._unwell_since = self._now()
            self._say("active_answers_by_asterisk_only", f"{who}; its API: {self._health.value}")
            return None
        return Reason.FROZEN

    async def _ask_health(self) -> None:
        now = self._now()
        self._health = await self._api.health(self._frozen_seconds / 2)
        if self._health is Health.ANSWERS:
            self._reached = True
            self._unwell_since = None
        elif self._unwell_since is None:
            self._unwell_since = now

    def _say(self, event: str, why: str) -> None:
        """Log it once, until all is well."""
        if event not in self._told:
            self._told.add(event)
            log.warning(event, reason=why)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


class _Lag:
    """How late the event loop is while something is awaited: `most`, in seconds."""

    def __init__(self) -> None:
        self.most = 0.0

    async def during(self, awaited: Awaitable[T]) -> T:
        meter = asyncio.create_task(self._measure(), name="lag")
        try:
            return await awaited
        finally:
            meter.cancel()

    async def _measure(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _LAG_STEP_SECONDS
            await asyncio.sleep(_LAG_STEP_SECONDS)
            self.most = max(self.most, loop.time() - due)
