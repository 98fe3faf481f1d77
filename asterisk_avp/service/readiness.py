"""Readiness: whether the daemon accepts new transfers, and if not why, as text for administrators.

It includes Asterisk's version, which is queried on each connection because Asterisk may have been
upgraded or downgraded meanwhile. Known faults of the version are logged. If it is too old for
transfers, `VersionWatch.unfit` says so, and no transfer is accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from asterisk_avp.core.model.errors import AsteriskUnavailable, AvpError
from asterisk_avp.core.model.world import Readiness
from asterisk_avp.core.pbx.versions import Problem, support, troubles
from asterisk_avp.runtime import descriptors
from asterisk_avp.service.links import Links
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

_POLL_SECONDS: Final = 1.0


class _Client(Protocol):
    @property
    def connected(self) -> bool: ...

    @property
    def trouble(self) -> str: ...


class _Ami(_Client, Protocol):
    @property
    def silent(self) -> bool: ...


class _Ari(_Client, Protocol):
    @property
    def stuck(self) -> bool: ...


class _Sync(Protocol):
    synced: bool
    trouble: str


class _Asterisk(Protocol):
    async def version(self) -> str: ...


class VersionWatch(Part):
    """Query Asterisk's version once for each connection."""

    def __init__(
        self, asterisk: _Asterisk, links: Links, changed: Callable[[], None] = lambda: None
    ) -> None:
        """``changed`` is called when `unfit` may have changed."""
        self._asterisk = asterisk
        self._links = links
        self._changed = changed
        self.unfit = ""
        """Why no transfer can be accepted; empty: the version is supported, or unknown."""
        self.obeyed = True
        """Whether the version passes a phone's REFER to us (`core.pbx.versions`)."""
        self._connected = False
        self._asking: asyncio.Task[None] | None = None

    def connected(self) -> None:
        connected = self._links.ari
        if connected != self._connected:
            self._cancel()
            if connected:
                self._asking = asyncio.create_task(self._ask(), name="version")
        self._connected = connected

    async def stop(self) -> None:
        self._cancel()

    def _cancel(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    async def _ask(self) -> None:
        try:
            version = await self._asterisk.version()
        except AvpError as error:
            log.warning("asterisk_version_unknown", error=str(error))
            return
        log.info("asterisk_version", version=version)
        unfit = support(version)
        too_old = unfit is not None and unfit.problem is Problem.TOO_OLD
        self.unfit = f"Asterisk {version}: {unfit.what} {unfit.remedy}" if unfit and too_old else ""
        self.obeyed = not any(trouble.serious for trouble in troubles(version))
        self._changed()
        for trouble in (*filter(None, (unfit,)), *(() if too_old else troubles(version))):
            log.warning(
                "asterisk_version_warning",
                version=version,
                problem=trouble.problem.value,
                issue=trouble.issue,
                what=trouble.what,
                remedy=trouble.remedy,
            )


class ReadinessWatch:
    """Call ``publish`` for each change: at once when ``news`` is set, otherwise within a second."""

    def __init__(
        self,
        ami: _Ami,
        ari: _Ari,
        sync: _Sync,
        version: VersionWatch,
        news: asyncio.Event,
        publish: Callable[[Readiness], None],
        *warnings: Callable[[], tuple[str, ...]],
        standby: Callable[[], bool] = lambda: False,
    ) -> None:
        """``warnings``: sentences about what an administrator should mend. ``standby``: whether
        another daemon waits to take this one's place.
        """
        self._standby = standby
        self._warnings = warnings
        self._ami = ami
        self._ari = ari
        self._sync = sync
        self._version = version
        self._news = news
        self._publish = publish
        self._published: Readiness | None = None
        self.stopping = False
        self.displaced = ""
        """Why another daemon serves instead of this one; empty: this one serves."""

    def now(self) -> Readiness:
        ari, ami = self._ari.connected, self._ami.connected
        reason, detail = self._trouble(ari=ari, ami=ami)
        few = descriptors.too_few()
        return Readiness(
            ready=not detail,
            ari=ari,
            ami=ami,
            synced=self._sync.synced,
            detail=detail,
            reason=reason,
            warnings=(*filter(None, (few,)), *(text for each in self._warnings for text in each())),
            standby=self._standby(),
        )

    def _trouble(self, *, ari: bool, ami: bool) -> tuple[str, str]:
        """Code and sentence; empty: ready."""
        if self.displaced:
            return "other_daemon", self.displaced
        if self.stopping:
            return "stopping", "The daemon is stopping and accepts no new transfers."
        troubles = [x.trouble for x, up in ((self._ari, ari), (self._ami, ami)) if not up]
        if ami and self._ari.stuck:
            return "not_connected", " ".join(filter(None, troubles))
        if not (ari and ami):
            missing = [name for name, up in (("ARI", ari), ("AMI", ami)) if not up]
            what = f"Not connected to Asterisk: {' and '.join(missing)}."
            return "not_connected", " ".join((what, *filter(None, troubles)))
        if self._version.unfit:
            return "version", self._version.unfit
        if self._ami.silent:
            return "silent", "AMI does not answer: an action has timed out."
        if not self._sync.synced:
            reading = "Reading the state of Asterisk."
            trouble = self._sync.trouble
            return "reading", f"{reading} It failed: {trouble}" if trouble else reading
        return "", ""

    def check_ami(self) -> None:
        """Raises `AsteriskUnavailable` while AMI is down."""
        if not self._ami.connected:
            raise AsteriskUnavailable(self.now().detail)

    def changed(self) -> None:
        """Publish the readiness if it has changed."""
        now = self.now()
        if now != self._published:
            self._published = now
            self._publish(now)

    async def run(self) -> None:
        """Until cancelled: some things change without anybody saying so."""
        while True:
            self._news.clear()
            self.changed()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._news.wait()
