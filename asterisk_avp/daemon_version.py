"""Says in the log what is wrong with the version of Asterisk that we are connected to.

Asterisk may have been upgraded, or downgraded, while we ran: so it is asked on each connection.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from asterisk_avp.core.errors import AvpError
from asterisk_avp.core.versions import troubles

log = structlog.get_logger(__name__)


class _Asterisk(Protocol):
    async def version(self) -> str: ...


class VersionWatch:
    """Told of connections and their ends, it asks once for each connection."""

    def __init__(self, asterisk: _Asterisk) -> None:
        self._asterisk = asterisk
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
        for trouble in troubles(version):
            log.warning(
                "asterisk_version_trouble",
                version=version,
                problem=trouble.problem.value,
                issue=trouble.issue,
                what=trouble.what,
                remedy=trouble.remedy,
            )
