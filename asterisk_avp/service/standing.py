"""How the daemon that serves makes sure that it is the only one, and makes room for a standby.

- After the process has stood still, no request reaches Asterisk before Asterisk has said that this
  daemon still owns the Stasis application (`runtime.stall`).
- A daemon that has a standby (`run --standby`) stops acting while ARI is down: until Asterisk has
  it back, the standby may have taken its place.
- A stopping daemon leaves its transfers to a standby that answers, instead of ending them.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog

from asterisk_avp.ari.single_instance import SingleInstanceGuard
from asterisk_avp.core.model.errors import AriError, AsteriskUnavailable
from asterisk_avp.runtime.stall import Gate
from asterisk_avp.runtime.tasks import TaskSet

log = structlog.get_logger(__name__)

_SOONER: Final = 1.2
"""A standby needs one and a half times ``frozen_seconds`` at the least to find a daemon frozen."""
_ALONE_SECONDS: Final = 4.0
"""Less than another daemon, without `--standby`, waits for an answer (`ari.client`)."""
_ANSWER_SECONDS: Final = 1.0
_IDLE_SECONDS: Final = 2.0
_SEEN_SECONDS: Final = 5.0
"""A standby asks several times in this time whether we live."""
_BEGIN_SECONDS: Final = 60.0
"""By then a standby asks that was started with this daemon, or again after its end."""
_AGI: Final = "AVP_AGI"
"""Asterisk's global variable, by which the dialplan finds FastAGI (dialplan/asterisk_avp.conf)."""
GONE: Final = "The standby daemon is gone: nothing would take this one's place."
NONE: Final = "There is no standby daemon, although this one runs with --standby."


class _Gated(Protocol):
    gate: Callable[[], Awaitable[None]] | None


class _Asterisk(Protocol):
    async def set_variable(self, name: str, value: str) -> None: ...


class _Ari(Protocol):
    @property
    def asterisk(self) -> _Asterisk: ...

    @property
    def guard(self) -> SingleInstanceGuard | None: ...

    def use_gate(self, gate: Callable[[], Awaitable[None]]) -> None: ...


class _Hears(Protocol):
    def connection(self, connected: bool) -> None: ...  # noqa: FBT001


class _Workers(Protocol):
    def hold(self) -> None: ...

    async def wait_idle(self, seconds: float) -> None: ...


class Standing:
    """``warm``: this daemon runs with `--standby`, so another may do so too. ``agi_url``: where
    Asterisk reaches this one's FastAGI; None: where the dialplan says. ``frozen_seconds``: as
    `config.standby`.
    """

    def __init__(
        self,
        ari: _Ari,
        ami: _Gated,
        workers: _Workers,
        *,
        warm: bool = False,
        agi_url: str | None = None,
        frozen_seconds: float = 1.0,
    ) -> None:
        self._ari = ari
        self._workers = workers
        self._warm = warm
        self._agi_url = agi_url
        self._tasks = TaskSet("standing")
        self._owned = False
        self._serves_since: float | None = None
        self._asked = 0.0
        limit = min(_ALONE_SECONDS, _SOONER * frozen_seconds) if warm else _ALONE_SECONDS
        self._gate = Gate(self._still_ours, limit)
        ari.use_gate(self._gate.passed)
        ami.gate = self._gate.passed

    async def run(self) -> None:
        """Notice that the process stood still, until cancelled."""
        await self._gate.run()

    def watched(self, ended_logins: _Hears, then: Callable[[bool], None]) -> Callable[[bool], None]:
        """The ``on_connected`` callback for ARI: what this is about, and ``then``."""

        def on_connected(connected: bool) -> None:  # noqa: FBT001 - the client's signature
            self._owned |= connected
            if connected and self._serves_since is None:
                self._serves_since = time.monotonic()
            if self._warm and not connected:
                self._workers.hold()
            if connected and self._agi_url is not None:
                self._tasks.start(self._say_where(self._agi_url))
            ended_logins.connection(connected)
            then(connected)

        return on_connected

    async def _say_where(self, agi_url: str) -> None:
        try:
            await self._ari.asterisk.set_variable(_AGI, agi_url)
        except (AriError, AsteriskUnavailable) as error:
            log.warning("agi_address_not_written", error=str(error))

    async def _still_ours(self) -> None:
        guard = self._ari.guard
        if guard is None or not self._owned:
            return
        try:
            ours = await guard.is_owner()
        except AriError as error:
            raise AsteriskUnavailable(f"after a stand-still: {error}") from None
        if not ours:
            self._workers.hold()
            raise AsteriskUnavailable("another daemon has taken this one's place")

    # --- the standby -------------------------------------------------------------------------

    def asked_by_standby(self) -> None:
        """A standby has asked our API whether we live."""
        self._asked = time.monotonic()

    @property
    def has_standby(self) -> bool:
        return bool(self._asked) and time.monotonic() - self._asked < _SEEN_SECONDS

    @property
    def wants_standby(self) -> bool:
        """Whether there should be a standby: this daemon is one of two, or had one."""
        return self._warm or bool(self._asked)

    def warnings(self) -> tuple[str, ...]:
        """For administrators: there was a standby, and it is gone; or it has never been there."""
        if self.has_standby:
            return ()
        if self._asked:
            return (GONE,)
        since = self._serves_since
        late = since is not None and time.monotonic() - since > _BEGIN_SECONDS
        return (NONE,) if self._warm and late else ()

    async def successor(self) -> str:
        """Say that this daemon stops; the name of the standby that takes its place, empty: none."""
        guard = self._ari.guard
        if guard is None or not (self._warm or self.has_standby):
            return ""
        try:
            return await guard.leave(_ANSWER_SECONDS)
        except (AriError, AsteriskUnavailable) as error:
            log.warning("standby_not_asked", error=str(error))
            return ""

    async def leave(self, successor: str) -> None:
        """Finish what is in flight, and do nothing more: the standby continues."""
        await self._workers.wait_idle(_IDLE_SECONDS)
        self._workers.hold()
        log.info("left_to_standby", standby=successor)
