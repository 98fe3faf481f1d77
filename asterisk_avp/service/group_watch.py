"""Tell panels what their groups do: who is logged in, and how many callers wait.

Callers who join and leave a queue are reported by AMI, whose events they can forge
(`asterisk_avp.ami.integrity`). So such an event is only the occasion to ask Asterisk how many wait
(QueueSummary), at most every `ASK_SECONDS` for each queue. It is also asked about all of them every
`POLL_SECONDS`, because it does not report what a reload changes (`service.unreported`). Changes are
sent at most every `TELL_SECONDS`, because a list of groups need not follow each call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.groups import group_view
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.remote import RemoteGroupSeen
from asterisk_avp.core.model.errors import AvpError
from asterisk_avp.core.model.work import GroupView
from asterisk_avp.service.inbox import Hint, Message, Post
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

ASK_SECONDS: Final = 1.0
POLL_SECONDS: Final = 5.0
POLL_PAUSE_SECONDS: Final = 0.05
"""The least time between two of them: Asterisk looks through all its queues for each."""
TELL_SECONDS: Final = 0.5


class GroupWatch(Part):
    """Ask who waits in groups' queues, and call ``tell`` with each group that has changed."""

    hears = (Hint, ev.QueueJoined, ev.QueueLeft, ev.QueueWaiting, RemoteGroupSeen)

    def __init__(
        self,
        engine: TransferEngine,
        ami: AmiReader,
        post: Post,
        tell: Callable[[GroupView], None],
    ) -> None:
        self._engine = engine
        self._ami = ami
        self._post = post
        self._tell = tell
        self._told: dict[str, GroupView] = {}
        self._groups: dict[str, tuple[str, ...]] = {}
        """Agent to groups, as they were at the agent's last change."""
        self._changed: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._poll: asyncio.Task[None] | None = None

    def handle(self, message: Message) -> None:
        match message:
            case Hint(ev.QueueJoined() | ev.QueueLeft() as fact):
                self.ask(fact.queue)
            case ev.QueueJoined() | ev.QueueLeft():
                self.ask(message.queue)
            case ev.QueueWaiting():
                self._change(self._engine.agents.group_of_queue(message.queue))
            case RemoteGroupSeen(group_id):
                self._change(group_id)

    def perform(self, outcome: Outcome) -> None:
        for agent_id in outcome.agents:
            now = self._engine.agents.groups_of(agent_id)
            for group_id in {*now, *self._groups.pop(agent_id, ())}:
                self._change(group_id)  # also one that the agent has left
            if now:
                self._groups[agent_id] = now

    async def resynced(self) -> None:
        for group in self._engine.world.groups.values():
            self.ask(group.queue)
        if self._poll is None:
            self._poll = asyncio.create_task(self._ask_all(), name="groups")

    async def stop(self) -> None:
        if self._poll is not None:
            self._poll.cancel()
        if self._timer is not None:
            self._timer.cancel()
        for task in self._asking.values():
            task.cancel()

    # --- who waits -----------------------------------------------------------------------------

    async def _ask_all(self) -> None:
        """Ask about one queue after the other, evenly over `POLL_SECONDS` or longer."""
        while True:
            queues = [group.queue for group in self._engine.world.groups.values()]
            for queue in queues:
                await asyncio.sleep(max(POLL_SECONDS / len(queues), POLL_PAUSE_SECONDS))
                self.ask(queue)
            if not queues:
                await asyncio.sleep(POLL_SECONDS)

    def ask(self, queue: str) -> None:
        """Ask about a group's queue as soon as it may be asked again, and post the answer."""
        if self._engine.agents.group_of_queue(queue) is None:
            return
        if queue in self._asking:
            self._again.add(queue)  # the answer may be older than this event
            return
        self._asking[queue] = asyncio.create_task(self._answer(queue), name="waiting callers")

    async def _answer(self, queue: str) -> None:
        try:
            while True:
                self._again.discard(queue)
                try:
                    self._post(await self._ami.waiting(queue))
                except AvpError as error:
                    log.debug("waiting_callers_unknown", queue=queue, error=str(error))
                    return  # a resync follows as soon as Asterisk answers again
                await asyncio.sleep(ASK_SECONDS)
                if queue not in self._again:
                    return
        finally:
            del self._asking[queue]

    # --- what is told --------------------------------------------------------------------------

    def _change(self, group_id: str | None) -> None:
        if group_id is None:
            return
        self._changed.add(group_id)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(TELL_SECONDS, self._tell_changes)

    def _tell_changes(self) -> None:
        self._timer = None
        changed, self._changed = self._changed, set()
        groups = self._engine.world.groups
        for group_id in self._told.keys() - groups.keys():
            del self._told[group_id]
        for group_id in changed & groups.keys():
            view = group_view(self._engine.agents, self._engine.waiting, group_id)
            if self._told.get(group_id) != view:
                self._told[group_id] = view
                self._tell(view)
