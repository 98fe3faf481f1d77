"""Read the variables of screen pops, publish pops, and write each call's history.

No call or request waits for this. A call's variables are read when it first rings an agent, and
again in each queue and bridge that it enters, but not in those of a transfer, before which only our
own dialplan runs. Its history is written to its channel, where a restarted daemon finds it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import structlog

from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.caller import PRESENTATION_VARIABLES, presentation_of
from asterisk_avp.core.model.errors import AvpError
from asterisk_avp.core.pops.board import PopBoard
from asterisk_avp.core.pops.content import read
from asterisk_avp.core.pops.notifications import PopNotification
from asterisk_avp.runtime.tasks import TaskSet

log = structlog.get_logger(__name__)

_CONCURRENT: Final = 4
"""How many pops are read at a time: after a resync there are hundreds, and what agents ask for
waits behind them."""


class Reader(Protocol):
    """Reads the variables of a channel (`ami.reader`). Both raise `AvpError`."""

    async def all_variables(self, channel: str) -> Mapping[str, str]: ...

    async def variables(self, channel: str, names: Sequence[str]) -> Mapping[str, str]: ...


Write = Callable[[str, Mapping[str, str]], Awaitable[None]]
"""Channel id, variables. Raises `AvpError`."""


def pop_event(notification: PopNotification) -> dict[str, Any]:
    """The event of a pop, as the WebSocket and the webhook send it."""
    return {
        "type": "pop",
        "agent": notification.agent,
        "state": notification.state,
        "pop": dict(notification.pop),
    }


class ScreenPops:
    """Reads the variables of calls and publishes their pops.

    ``publish`` receives each event in order, and ``post`` each call's group as it was read.
    ``changed`` is called with the agents whose pops have been read.
    """

    def __init__(
        self,
        board: PopBoard,
        reader: Reader,
        write: Write,
        post: Callable[[ev.Fact], None],
        changed: Callable[[set[str]], None],
        publish: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.board = board
        self._reader = reader
        self._write = write
        self._post = post
        self._changed = changed
        self._publish = publish
        self._tasks = TaskSet("pop")
        self._slots = asyncio.Semaphore(_CONCURRENT)

    def refresh(self, agents: Iterable[str], transfers: Iterable[str]) -> None:
        """Something has changed for these: read what is missing, and publish the pops."""
        if not (agents or transfers or self.board.has_pending):
            return  # as with most events
        notifications, to_read = self.board.refresh(agents, transfers, time.time())
        for call in to_read:
            self._tasks.start(self._read(call))
        for notification in notifications:
            log.info(
                "pop",
                agent=notification.agent,
                call=notification.pop["id"],
                state=notification.state,
            )
            self._publish(pop_event(notification))
        for call, variables in self.board.ledger.unwritten().items():
            self._tasks.start(self._write_history(call, variables))

    async def wait_idle(self, seconds: float) -> None:
        """Wait for pending requests, at most ``seconds``."""
        await self._tasks.wait(seconds)

    def shown(self, agent: str, call: str) -> Mapping[str, Any]:
        """What the agent's screen shows of the call now."""
        return self.board.shown(agent, call, time.time())

    def stop(self) -> None:
        self._tasks.cancel()

    async def _read(self, call: str) -> None:
        try:
            async with self._slots:
                if self.board.presentation_is_read(call):
                    variables, told = await self._reader.all_variables(call), None
                else:
                    variables, told = await asyncio.gather(
                        self._reader.all_variables(call),
                        self._reader.variables(call, PRESENTATION_VARIABLES),
                    )
        except AvpError as error:
            # The channel or the connection is gone. The pop is published without the variables.
            log.debug("pop_read_failed", call=call, error=str(error))
            self.board.ledger.variables_unreadable(call)
        else:
            found = read(variables)
            for ignored in found.ignored:
                log.warning(
                    "pop_variable_ignored",
                    call=call,
                    variable=ignored.variable,
                    reason=ignored.reason,
                )
            if told is not None:
                presentation = presentation_of(*(told.get(x, "") for x in PRESENTATION_VARIABLES))
                self._post(ev.CallerPresentation(call, presentation))
            self.board.ledger.variables_read(call, found)
            self._post(ev.CallGroup(call, variables.get("AVP_GROUP", "")))
        self._changed(self.board.holders(call))

    async def _write_history(self, call: str, variables: Mapping[str, str]) -> None:
        try:
            async with self._slots:
                await self._write(call, variables)
        except AvpError as error:
            log.debug("pop_history_write_failed", call=call, error=str(error))
            self.board.ledger.not_written(call, variables)
