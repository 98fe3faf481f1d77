"""Write one line to Asterisk's queue_log for each transfer that has ended.

    1769850307|1769850300.25|sales|Alice|AVPTRANSFER|supervised|agent:1002|completed|completed|9f3c…

The fields are the time, the caller's channel id, the queue of the call's group and the transferor,
as app_queue writes them; then mode, target, outcome, reason and the transfer's id. The event's name
is our own: reports count the names that they know (CONNECT, COMPLETECALLER, ATTENDEDTRANSFER…), and
app_queue writes those exactly as it would without us.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import clean
from asterisk_avp.core.model.errors import AvpError
from asterisk_avp.core.model.world import Target, TargetKind
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.observe.log import masked
from asterisk_avp.runtime.tasks import TaskSet

log = structlog.get_logger(__name__)

EVENT: Final = "AVPTRANSFER"
_MOST_REMEMBERED: Final = 10_000


class QueueLogWriter:
    """Writes the lines. ``send``: sends an AMI action.

    ``enabled``: whether lines are written. ``numbers``: whether telephone numbers are written in
    full.
    """

    def __init__(
        self,
        engine: TransferEngine,
        send: Callable[[str, Mapping[str, str]], Awaitable[object]],
        *,
        enabled: bool,
        numbers: bool,
    ) -> None:
        self._engine = engine
        self._send = send
        self.enabled = enabled
        self.numbers = numbers
        self._written: dict[str, None] = {}
        """Ids of written transfers, oldest first: an end may be reported more than once."""
        self._writes = TaskSet("queue_log")

    def transfer(self, session: Session) -> None:
        """A transfer has changed. Its end is written once."""
        if not self.enabled or not session.state.final or session.id in self._written:
            return
        self._written[session.id] = None
        if len(self._written) > _MOST_REMEMBERED:
            del self._written[next(iter(self._written))]
        self._writes.start(self._write(session))

    async def wait_idle(self, seconds: float) -> None:
        """Wait for pending lines, at most ``seconds``."""
        await self._writes.wait(seconds)

    async def _write(self, session: Session) -> None:
        group = self._engine.world.groups.get(session.group)
        queue = group.queue if group is not None else "NONE"
        fields = (
            session.mode.value,
            self._target(session.target),
            session.state.spec.reported.value,
            session.reason,
            session.id,
        )
        headers = {
            "Queue": queue,
            "UniqueId": session.caller.channel,
            "Interface": self._member_name(session.agent, queue),
            "Event": EVENT,
            "Message": "|".join(map(_field, fields)),
        }
        try:
            await self._send("QueueLog", headers)
        except AvpError as error:
            log.warning(
                "queue_log_write_failed",
                transfer=session.id,
                call=session.caller.channel,
                error=str(error),
            )

    def _member_name(self, agent_id: str, queue: str) -> str:
        """The agent's name in app_queue's own lines."""
        agent = self._engine.agents.by_id.get(agent_id)
        if agent is None:
            return agent_id
        members = [agent.memberships.get(queue), *agent.memberships.values(), agent.personal]
        named = (clean.member_name(m.name) for m in members if m is not None)
        return next(filter(None, named), agent_id)

    def _target(self, target: Target | None) -> str:
        if target is None:
            return ""
        hidden = target.kind is TargetKind.NUMBER and not self.numbers
        return f"{target.kind.value}:{masked(target.value) if hidden else target.value}"


def _field(text: str) -> str:
    """Replace separators, line breaks and characters with a meaning elsewhere."""
    return "".join(c if c == ":" or clean.harmless(c) else "_" for c in text)
