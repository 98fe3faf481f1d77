"""Find changes of memberships and waiting calls that Asterisk does not report.

A reload of queues.conf removes queues with their members, and adds static members and removes them,
without an event (app_queue.c, ``reload_queues``). What happens to a phone meanwhile is reported for
the queues that there are at that moment. Nor is a caller reported whom AMI Bridge takes out of a
queue. Three signs cost no query while all is well:

* The memberships of a phone have different states. Asterisk has one state for a phone and reports
  it for all memberships at once; those that differ for longer are queried.
* Asterisk counts other members of a group's queue than we do, by the same number several times in
  succession. The queue is read, and what differs is queried, in the agents' personal queues too.
  While the difference stays, it is read again, each time after twice as many answers: members may
  be nobody's, which no reading mends, or the same may have happened once more.
* A call that waits for an agent is in a bridge, and goes on waiting.

A query is all that a difference leads to, so the facts come from Asterisk's answers
(`service.members`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import structlog

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AvpError
from asterisk_avp.core.model.world import agent_of_personal_queue, personal_queue
from asterisk_avp.core.pbx.agent import NOT_IN_USE, NOT_THERE, Agent
from asterisk_avp.core.pbx.renewal import PLACEHOLDER
from asterisk_avp.runtime.tasks import TaskSet
from asterisk_avp.service.members import MemberVerifier
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

SAME_SECONDS: Final = 0.5
"""How long the states of one phone may differ, while events and queries are on their way."""

ANSWERS: Final = 3
"""So many answers in succession must differ by the same numbers before a queue is read: events may
be on their way at the moment of an answer."""

MAX_READINGS_AT_ONCE: Final = 3
"""After so many readings, a difference is looked at as often as all queues are (`GroupWatch`)."""

MAX_DOUBLINGS: Final = 6
"""A difference that stays makes a queue be read every 200 answers in the end."""

_UNKNOWN: Final = 0


@dataclass(slots=True)
class _Difference:
    """By how much Asterisk's count of a queue's members differs from ours."""

    logged_in: int = 0
    available: int = 0
    answers: int = 0
    """Answers in succession with this difference since the queue was last read."""
    readings: int = 0
    """How often the queue has been read because of it."""

    @property
    def needed(self) -> int:
        """The answers before it is read again."""
        return ANSWERS << min(self.readings, MAX_DOUBLINGS)


@dataclass(frozen=True, slots=True)
class Comparison:
    """How Asterisk's members of a queue differ from ours."""

    changed: tuple[str, ...]
    """The interfaces of those that differ, or are on one side only."""
    emptied: bool
    """Whether Asterisk has no member any more."""


class UnreportedChanges(Part):
    """Query what may have changed. ``ask_again`` asks for another `QueueWaiting` of a queue."""

    hears = (
        ev.MemberSeen,
        ev.QueueWaiting,
        ev.QueueJoined,
        ev.QueueLeft,
        ev.BridgeEntered,
        ev.ChannelGone,
    )

    def __init__(
        self, engine: TransferEngine, members: MemberVerifier, ask_again: Callable[[str], None]
    ) -> None:
        self._engine = engine
        self._members = members
        self._ask_again = ask_again
        self._timers: dict[str, asyncio.TimerHandle] = {}
        """A timer for each agent whose memberships differ."""
        self._differences: dict[str, _Difference] = {}
        self._waiting: dict[str, str] = {}
        """Channel to the personal queue in which it waits."""
        self._tasks = TaskSet("unreported changes")

    def handle(self, message: object) -> None:
        match message:
            case ev.MemberSeen():
                self._compare_phone(message)
            case ev.QueueWaiting():
                self._compare_count(message)
            case ev.QueueJoined(queue, channel) if agent_of_personal_queue(queue):
                self._waiting[channel] = queue
            case ev.QueueLeft(_, channel) | ev.ChannelGone(channel):
                self._waiting.pop(channel, None)
            case ev.BridgeEntered(channel) if channel in self._waiting:
                # Whom an agent answers leaves the queue at the same moment.
                loop = asyncio.get_running_loop()
                loop.call_later(SAME_SECONDS, self._query_waiting, channel)

    async def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._tasks.cancel()

    def _query_waiting(self, channel: str) -> None:
        if (queue := self._waiting.get(channel)) is not None:
            self._members.ask(queue, "")

    # --- one phone's memberships ---------------------------------------------------------------

    def _compare_phone(self, seen: ev.MemberSeen) -> None:
        """``seen`` is verified, and not applied yet."""
        known = self._members.known(seen.queue, seen.interface)
        if known is not None and known.status == seen.status:
            return  # no news, as what a query finds usually is; so queries come to an end
        agent = self._engine.agents.of_member(seen.queue, seen.interface)
        if agent is None:
            return
        if timer := self._timers.pop(agent.id, None):
            timer.cancel()
        if any(member.status != seen.status for member in _same_phone(agent, seen)):
            loop = asyncio.get_running_loop()
            self._timers[agent.id] = loop.call_later(
                SAME_SECONDS, self._query_phone, agent.id, seen
            )

    def _query_phone(self, agent_id: str, seen: ev.MemberSeen) -> None:
        del self._timers[agent_id]
        agent = self._engine.agents.by_id.get(agent_id)
        if agent is None:
            return
        known = self._members.known(seen.queue, seen.interface)
        members = [*_same_phone(agent, seen), *([known] if known is not None else [])]
        if len({member.status for member in members}) > 1:
            for member in members:
                self._members.ask(member.queue, member.interface)

    # --- a queue's members ---------------------------------------------------------------------

    def _compare_count(self, answer: ev.QueueWaiting) -> None:
        logged_in = answer.logged_in
        available = answer.available
        for member in self._known(answer.queue):
            if member.status not in NOT_THERE:
                logged_in -= 1
                available -= member.status in (NOT_IN_USE, _UNKNOWN) and not member.paused
        last = self._differences.setdefault(answer.queue, _Difference())
        if (logged_in, available) != (last.logged_in, last.available):
            last = self._differences[answer.queue] = _Difference(logged_in, available)
        if not (logged_in or available):
            return
        last.answers += 1
        if last.answers >= last.needed:
            last.answers = 0
            last.readings += 1
            self._tasks.start(self._query_queue(answer.queue))
        if last.readings < MAX_READINGS_AT_ONCE:
            self._ask_again(answer.queue)

    async def _query_queue(self, queue: str) -> None:
        try:
            changed = (await self.compare(queue, _lasting)).changed
        except AvpError as error:
            log.debug("queue_unknown", queue=queue, error=str(error))
            self._differences.pop(queue, None)
            return
        if changed:
            log.info("queue_changed_without_events", queue=queue, members=len(changed))
        self.query(queue, changed)

    def queues(self) -> tuple[str, ...]:
        """The groups' queues."""
        return tuple(group.queue for group in self._engine.world.groups.values())

    async def compare(self, queue: str, compared: Callable[[ev.MemberSeen], object]) -> Comparison:
        """Read a group's queue and compare its members with ours. Raises `AvpError`.

        ``compared``: what of a membership counts.
        """
        facts = await self._members.read(queue)
        found = {
            fact.interface: compared(fact)
            for fact in facts
            if isinstance(fact, ev.MemberSeen) and fact.interface != PLACEHOLDER
        }
        known = {member.interface: compared(member) for member in self._known(queue)}
        interfaces = sorted(known.keys() | found.keys())
        changed = tuple(i for i in interfaces if known.get(i) != found.get(i))
        return Comparison(changed, emptied=bool(known) and not found)

    def query(self, queue: str, interfaces: Iterable[str]) -> None:
        """Query these members of a group's queue, and what the personal queues make of them."""
        for interface in interfaces:
            agent = self._engine.agents.of_member(queue, interface)
            self._members.ask(queue, interface)
            if agent is not None and agent.personal is not None:
                self._members.ask(personal_queue(agent.id), agent.personal.interface)

    def _known(self, queue: str) -> Iterator[ev.MemberSeen]:
        group = self._engine.agents.group_of_queue(queue)
        for agent in self._engine.agents.in_group(group) if group is not None else ():
            member = agent.memberships.get(queue)
            if member is not None:
                yield member


def _same_phone(agent: Agent, seen: ev.MemberSeen) -> Iterator[ev.MemberSeen]:
    """The agent's other memberships with the same phone."""
    personal = [agent.personal] if agent.personal is not None else []
    for member in (*agent.memberships.values(), *personal):
        if member.queue != seen.queue and _phone(member) == _phone(seen):
            yield member


def _phone(member: ev.MemberSeen) -> str:
    return member.state_interface or member.interface


def _lasting(member: ev.MemberSeen) -> ev.MemberSeen:
    """The membership without what differs from one report of it to the next."""
    return replace(member, now=0.0, last_call=0.0, login_time=0.0, ring_in_use=None)
