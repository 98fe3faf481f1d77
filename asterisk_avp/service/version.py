"""Says what is wrong with the version of Asterisk that we are connected to.

In the log; and where it is too old for transfers to work, in `unfit`, so that none is taken.
Asterisk may have been upgraded, or downgraded, while we ran: so it is asked on each connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from asterisk_avp.core.model.errors import AvpError
from asterisk_avp.core.pbx.versions import Problem, support, troubles

log = structlog.get_logger(__name__)


class _Asterisk(Protocol):
    async def version(self) -> str: ...


class VersionWatch:
    """Told of connections and their ends, it asks once for each connection."""

    def __init__(self, asterisk: _Asterisk, changed: Callable[[], None] = lambda: None) -> None:
        """``changed`` is told when `unfit` has changed."""
        self._asterisk = asterisk
        self._changed = changed
        self.unfit = ""
        """Why no transfer can be taken; empty where the version is good enough, or not known."""
        self._connected = False
        self._asking: asyncio.Task[None] | None = None

    def connection(self, *, connected: bool) -> None:
        """Whether ARI is connected; being told the same twice is once."""
        if connected != self._connected:
            self.stop()
            if connected:
                self._asking = asyncio.create_task(self._ask(), name="version")
        self._connected = connected

    def stop(self) -> None:
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
        self._changed()
        for trouble in (*filter(None, (unfit,)), *(() if too_old else troubles(version))):
            log.warning(
                "asterisk_version_trouble",
                version=version,
                problem=trouble.problem.value,
                issue=trouble.issue,
                what=trouble.what,
                remedy=trouble.remedy,
            )
