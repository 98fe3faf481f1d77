"""Keep the list of ended log-ins in Asterisk, where the next daemon finds it.

It is in global variables, some entries in each. They last as long as Asterisk runs; a daemon that
serves writes them again when it reconnects.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import structlog

from asterisk_avp.api.ended_logins import MOST, EndedLogins
from asterisk_avp.core.model.errors import AriError, AsteriskUnavailable
from asterisk_avp.runtime.tasks import TaskSet

log = structlog.get_logger(__name__)

VARIABLE: Final = "AVP_ENDED_LOGINS_"
_EACH: Final = 20
"""Entries in a variable: they travel in the line of a request, which Asterisk limits to 4 KiB."""
_VARIABLES: Final = MOST // _EACH


class _Asterisk(Protocol):
    async def get_variable(self, name: str) -> str: ...

    async def set_variable(self, name: str, value: str) -> None: ...


class EndedLoginsInAsterisk:
    def __init__(self, ended: EndedLogins, asterisk: _Asterisk) -> None:
        self._ended = ended
        self._asterisk = asterisk
        self._written: list[str] = []
        self._tasks = TaskSet("ended log-ins")
        self._again = asyncio.Event()
        ended.changed = self._again.set

    async def read(self) -> None:
        """Learn what an earlier daemon has written down.

        Raises `AriError` and `AsteriskUnavailable`.
        """
        self._written = []
        for number in range(_VARIABLES):
            text = await self._asterisk.get_variable(f"{VARIABLE}{number}")
            if not text:
                break
            self._written.append(text)
            self._ended.absorb(text.split())

    def connection(self, connected: bool) -> None:  # noqa: FBT001 - the client's signature
        """ARI was established or lost."""
        self._tasks.cancel()
        if connected:
            self._tasks.start(self._run())

    def stop(self) -> None:
        self._tasks.cancel()

    async def _run(self) -> None:
        """Read once, then write what changes, until cancelled."""
        try:
            await self.read()
            while True:
                self._again.clear()
                await self._write()
                await self._again.wait()
        except (AriError, AsteriskUnavailable) as error:
            # Repeated at the next connection.
            log.warning("ended_logins_not_shared", error=str(error))

    async def _write(self) -> None:
        lines = self._ended.lines()
        texts = [" ".join(lines[at : at + _EACH]) for at in range(0, len(lines), _EACH)]
        wanted = [*texts, *[""] * (len(self._written) - len(texts))]
        before = [*self._written, *[""] * (len(wanted) - len(self._written))]
        for number, (text, known) in enumerate(zip(wanted, before, strict=True)):
            if text != known:
                await self._asterisk.set_variable(f"{VARIABLE}{number}", text)
        self._written = texts
