"""Keep after-call work where app_queue does not (`core.pbx.shared_lastcall`), and say so.

And the opposite: a member that would be in after-call work for years (`core.pbx.wrapup`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.core.engine import acw
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.effects import AddMember
from asterisk_avp.core.messages.facts import Fact, MemberSeen
from asterisk_avp.core.model.errors import AvpError
from asterisk_avp.core.pbx import shared_lastcall
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.wrapup import end_of
from asterisk_avp.runtime.tasks import TaskSet
from asterisk_avp.service.inbox import Inbox
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

AGAIN_SECONDS: Final = 0.3
"""app_queue reports the end of a call just before it notes its time (app_queue.c,
``handle_hangup``), so one answer is not enough to say that it does not."""

LOOKS_SECONDS: Final = (AGAIN_SECONDS, 3.0)
"""The pauses before a member that was added in ACW is queried. While app_queue notes the end of a
call in one queue after the other (``update_queue``), a member may be added, and gets a ``lastcall``
that no event tells. With many queues, or on a busy machine, this takes a moment."""

_HINT: Final = (
    "queue reload members has switched shared_lastcall off in Asterisk's memory, or queues.conf "
    "does not have it; the daemon pauses agents in after-call work until: "
    "touch queues.conf, then queue reload all"
)


class SharedLastcallWatch(Part):
    """Query an agent's memberships when their ACW begins, and pause them where it would be lost."""

    def __init__(
        self,
        inbox: Inbox,
        engine: TransferEngine,
        ami: AmiReader,
        show: Callable[[bool], None],
    ) -> None:
        """``show`` gets whether `off` is set, when it changes."""
        self._inbox = inbox
        self._engine = engine
        self._ami = ami
        self._show = show
        self._checked: dict[str, float] = {}
        """Agent to the end of the call after which Asterisk was queried."""
        self._tasks = TaskSet("shared_lastcall")
        self._looks = TaskSet("added_members")
        self.off = False
        """Whether app_queue did not keep ACW after the last call that could tell."""

    def perform(self, outcome: Outcome) -> None:
        for _, effect in outcome.effects:
            if isinstance(effect, AddMember) and end_of(effect.wrapup_seconds):
                self._looks.start(self._look(effect))
        now = time.time()
        for agent_id in outcome.agents:
            agent = self._engine.agents.by_id.get(agent_id)
            if agent is None or not shared_lastcall.needs_check(agent, now):
                continue
            checked = self._checked.get(agent_id, 0.0)
            if agent.last_call > checked + shared_lastcall.TOLERANCE_SECONDS:
                self._checked[agent_id] = agent.last_call
                self._tasks.start(self._check(agent))

    async def wait_idle(self, seconds: float) -> None:
        await self._tasks.wait(seconds)

    async def stop(self) -> None:
        self._tasks.cancel()
        self._looks.cancel()

    async def _look(self, added: AddMember) -> None:
        """Tell the engine if app_queue has noted a call's end in a member that was added after it.

        Its wrap-up time, the end of ACW, then counts as a duration, and nobody would ring it.
        """
        for seconds in LOOKS_SECONDS:
            await asyncio.sleep(seconds)
            try:
                facts = await self._ami.members(added.queue, added.interface)
            except AvpError as error:
                log.debug("added_member_unknown", queue=added.queue, error=str(error))
                continue
            late = [fact for fact in facts if _is_late(added, fact)]
            if late:
                log.info("added_before_the_call_ended", queue=added.queue)
                self._inbox.post(late[0])
                return

    async def _check(self, agent: Agent) -> None:
        ended = agent.last_call
        if self.off:
            self._keep(agent)  # at once: a caller who waits would be offered before the answer
        try:
            found = await self._read(agent)
            forgetful = shared_lastcall.forgetful(agent, found)
            if forgetful:
                self._keep(agent)
                await asyncio.sleep(AGAIN_SECONDS)
                found = await self._read(agent)
                forgetful = shared_lastcall.forgetful(agent, found)
        except AvpError as error:
            log.debug("shared_lastcall_unknown", agent=agent.id, error=str(error))
            return
        same_call = agent.last_call <= ended + shared_lastcall.TOLERANCE_SECONDS
        if same_call and shared_lastcall.needs_check(agent, time.time()):
            self._conclude(agent, forgetful, len(found))

    def _keep(self, agent: Agent) -> None:
        now = time.time()
        self._inbox.run(lambda perform: perform(acw.kept(self._engine, agent.id, now)))

    async def _read(self, agent: Agent) -> tuple[MemberSeen, ...]:
        """The memberships; those that do not show the call's end yet are queried.

        Raises `AvpError`, also where the list of the queue cannot be relied on: the functions that
        replace it do not tell when a call ended.
        """
        found: list[MemberSeen] = []
        for known in shared_lastcall.memberships(agent):
            if not shared_lastcall.forgetful(agent, (known,)):
                found.append(known)
                continue
            facts = await self._ami.members(known.queue, known.interface)
            found += (
                fact
                for fact in facts
                if isinstance(fact, MemberSeen) and fact.interface == known.interface
            )
        return tuple(found)

    def _conclude(self, agent: Agent, forgetful: tuple[MemberSeen, ...], memberships: int) -> None:
        proofs = [m.queue for m in forgetful if shared_lastcall.is_proof(agent, m)]
        if proofs and not self.off:
            self.off = True
            log.warning("shared_lastcall_off", agent=agent.id, queues=proofs, hint=_HINT)
        elif self.off and not forgetful and memberships > 1:  # a single one shows nothing
            self.off = False
            log.info("shared_lastcall_on", agent=agent.id)
        self._show(self.off)


def _is_late(added: AddMember, seen: Fact) -> bool:
    """Whether the added member has noted the end of a call."""
    return (
        isinstance(seen, MemberSeen)
        and seen.interface == added.interface
        and seen.wrapup_seconds == added.wrapup_seconds
        and seen.last_call > 0
    )
