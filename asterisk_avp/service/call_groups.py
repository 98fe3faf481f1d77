"""Reads the groups of the agents' calls from Asterisk, outside the path of any request.

The settings that decide about a call are those of the group that its channel variable
``AVP_GROUP`` names. Asterisk tells of no variable by itself (unless it is made to tell of all, at
a price), so it is read as soon as an agent has the caller in a bridge, and again in the next
bridge: on the way there a transfer, or the dialplan, may have written another group. It is read
once more when a transfer is requested, so that a change in the middle of a call counts for the
decision, and is shown from then on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

import structlog

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AvpError
from asterisk_avp.runtime.tasks import TaskSet
from asterisk_avp.service.inbox import Post
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

VARIABLE: Final = "AVP_GROUP"

Variables = Callable[[str, Sequence[str]], Awaitable[Mapping[str, str]]]
"""Channel id and names of variables → what they say; empty where the channel is gone."""


def unread(engine: TransferEngine, agents: Iterable[str]) -> list[str]:
    """The callers of these agents' calls whose group is to be read now. Names each only once."""
    found = []
    for agent_id in agents:
        agent = engine.agents.by_id.get(agent_id)
        for call in engine.calls_of(agent) if agent is not None else ():
            caller = engine.calls.channels[call.caller_channel]
            if caller.group_read_in != caller.bridge:
                caller.group_read_in = caller.bridge
                found.append(caller.id)
    return found


def group_fact(channel: str, variables: Mapping[str, str]) -> ev.CallGroup | None:
    """What has been read as a fact; None where there was no channel to read it from."""
    return ev.CallGroup(channel, variables[VARIABLE]) if VARIABLE in variables else None


class GroupReader(Part):
    """Posts what Asterisk answers, in the order in which it was asked."""

    def __init__(self, engine: TransferEngine, variables: Variables, post: Post) -> None:
        self._engine = engine
        self._variables = variables
        self._post = post
        self._reads = TaskSet("group")

    def perform(self, outcome: Outcome) -> None:
        if outcome.agents:
            self.refresh(outcome.agents)

    def refresh(self, agents: Iterable[str]) -> None:
        """Have the groups read of those calls of these agents that are new."""
        for channel in unread(self._engine, agents):
            self._reads.start(self._read(channel))

    async def wait_idle(self, seconds: float) -> None:
        """Wait until what is being read has been read, but no longer than that."""
        await self._reads.wait(seconds)

    async def stop(self) -> None:
        self._reads.cancel()

    async def _read(self, channel: str) -> None:
        try:
            fact = group_fact(channel, await self._variables(channel, (VARIABLE,)))
        except AvpError as error:
            # The connection is lost, or as good as lost: the resync on the next one asks again.
            log.debug("group_read_failed", channel=channel, error=str(error))
            return
        if fact is not None:
            self._post(fact)
