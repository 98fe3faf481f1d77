"""Read the groups of the agents' calls from Asterisk, independently of requests.

The settings that apply to a call are those of the group in its channel variable ``AVP_GROUP``.
Asterisk sends no events about variables (unless enabled for all variables, which is expensive). So
the variable is read once an agent is in a bridge with the caller, and again in the next bridge,
because a transfer or the dialplan may have changed it. It is also read when a transfer is
requested, so that a change during a call affects the decision and is shown from then on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

import structlog

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.caller import (
    PRESENTATION_VARIABLES,
    Presentation,
    presentation_of,
)
from asterisk_avp.core.model.errors import AvpError
from asterisk_avp.core.transfer.session import is_half
from asterisk_avp.runtime.tasks import TaskSet
from asterisk_avp.service.inbox import Post
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

VARIABLE: Final = "AVP_GROUP"

_AT_ONCE: Final = 4
"""Channels that are read at a time. There may be hundreds on a start, and what agents ask for waits
behind the questions that have been sent: AMI executes the actions of a connection in order."""

Variables = Callable[[str, Sequence[str]], Awaitable[Mapping[str, str]]]
"""Channel id and names of variables → values; empty: the channel has ended."""


def unread(engine: TransferEngine, agents: Iterable[str]) -> list[str]:
    """The callers of these agents' calls whose group must be read now; returns each only once."""
    found = []
    for agent_id in agents:
        agent = engine.agents.by_id.get(agent_id)
        for call in engine.calls_of(agent) if agent is not None else ():
            caller = engine.calls.channels[call.caller_channel]
            if caller.bridge is None:
                continue  # on the way into a bridge; it keeps its group meanwhile
            if caller.group_read_in != caller.bridge:
                caller.group_read_in = caller.bridge
                found.append(caller.id)
    return found


def presentation_fact(channel: str, variables: Mapping[str, str]) -> ev.CallerPresentation | None:
    """The fact for these variables; None: the channel had ended."""
    found = presentation_of(*(variables.get(name, "") for name in PRESENTATION_VARIABLES))
    return None if found is Presentation.UNKNOWN else ev.CallerPresentation(channel, found)


def group_fact(channel: str, variables: Mapping[str, str]) -> ev.CallGroup | None:
    """The fact for these variables; None: the channel had ended."""
    return ev.CallGroup(channel, variables[VARIABLE]) if VARIABLE in variables else None


class GroupReader(Part):
    """Read groups and post them, in the order of the requests."""

    def __init__(self, engine: TransferEngine, variables: Variables, post: Post) -> None:
        self._engine = engine
        self._variables = variables
        self._post = post
        self._reads = TaskSet("group")
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def perform(self, outcome: Outcome) -> None:
        if outcome.agents:
            self.refresh(outcome.agents)

    def refresh(self, agents: Iterable[str]) -> None:
        """Read the groups of these agents' new calls."""
        for channel in unread(self._engine, agents):
            transfer = self._engine.store.role_of(channel) if is_half(channel) else None
            if transfer is None:
                self._reads.start(self._read(channel))
            else:  # a leg of ours, which has been dialled with it
                self._post(ev.CallGroup(channel, transfer[0].group))

    async def wait_idle(self, seconds: float) -> None:
        """Wait up to ``seconds`` for reads in flight."""
        await self._reads.wait(seconds)

    async def stop(self) -> None:
        self._reads.cancel()

    async def _read(self, channel: str) -> None:
        try:
            async with self._slots:
                found = await self._variables(channel, (VARIABLE, *PRESENTATION_VARIABLES))
        except AvpError as error:
            # The connection is lost or failing; the next resync reads it again.
            log.debug("group_read_failed", channel=channel, error=str(error))
            return
        for fact in (presentation_fact(channel, found), group_fact(channel, found)):
            if fact is not None:
                self._post(fact)
