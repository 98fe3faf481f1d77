"""Verify AMI events about queue members and waiting calls with Asterisk before they count.

Anyone who can dial can inject queue events into AMI's stream (`asterisk_avp.ami.integrity`). A
membership grants permissions, a log-out or pause ends something, and a waiting call takes a slot.
So such an event is only a hint; Asterisk's response to an action with an unguessable ActionID is
what counts. Two kinds of event need no query:

* an ordinary change of a phone's state that ARI's channels confirm: the phone is reported in use
  and has a channel, or is reported idle and has none;
* a change that this daemon has just requested, because the response to its action confirms it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import replace
from typing import Final

import structlog

from asterisk_avp.ami.membership import Change
from asterisk_avp.ami.queue_functions import SOMEBODY, IncompleteQueue
from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AmiHeaderError, AmiTampered, AvpError, UncleanValue
from asterisk_avp.core.model.world import agent_of_personal_queue
from asterisk_avp.core.pbx.agent import Agent, on_break
from asterisk_avp.core.pbx.renewal import PLACEHOLDER
from asterisk_avp.core.transfer.session import is_half
from asterisk_avp.service.inbox import Confirmed, Hint, Message, NeedsResync, Post
from asterisk_avp.service.member_evidence import after, is_confirmed_by_ari, is_phone_change
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

MemberFact = ev.MemberSeen | ev.MemberRemoved

MAX_AWAITING_CHANNEL: Final = 50
"""Calls that AMI reports before ARI reports their channels; invented channels never follow."""

MAX_QUESTIONS: Final = 2000
"""Queries at the same time; as many agents may log in at once."""

AT_ONCE: Final = 20
"""Queries sent to Asterisk at the same time."""

MAX_WAIT_SECONDS: Final = 0.1
"""Time to wait for ARI's confirmation before Asterisk is queried."""

MAX_LOOKED_AT: Final = 20
"""So many changes that wait for it are compared with each channel that ARI reports. More of them
are an attack, or everybody's phones are back: they are decided when that time is over."""


def _membership(agent: Agent | None, queue: str, interface: str) -> ev.MemberSeen | None:
    return agent.member(queue, interface) if agent is not None else None


class MemberVerifier(Part):
    """Post verified facts, and `NeedsResync` if Asterisk could not be queried."""

    hears = (Hint, ev.ChannelSeen, ev.ChannelGone)

    def __init__(
        self,
        engine: TransferEngine,
        ami: AmiReader,
        post: Post,
    ) -> None:
        self._engine = engine
        self._ami = ami
        self._post = post
        self._asking: dict[tuple[str, str], asyncio.Task[None]] = {}
        """Queue and interface to query; an empty interface means the waiting calls."""
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._again: set[tuple[str, str]] = set()
        self._outdated: set[tuple[str, str]] = set()
        """Those whose query in flight began before a change of ours that is confirmed now."""
        self._later: dict[tuple[str, str], ev.MemberSeen] = {}
        """Queue and interface to a phone's change that no channel confirms yet."""
        self._timer: asyncio.TimerHandle | None = None
        self._awaiting_channel: OrderedDict[str, ev.QueueJoined] = OrderedDict()
        """Channel to a waiting call that AMI reports before ARI has reported the channel."""
        self._changing: dict[tuple[str, str], MemberFact | None] = {}
        """Queue and interface of a change in flight to the last AMI event about it."""

    def handle(self, message: Message) -> None:
        match message:
            case ev.ChannelSeen(channel):
                # AMI may have reported earlier where it waits.
                if fact := self._awaiting_channel.pop(channel, None):
                    self._post(fact)
                self._take_confirmed()
            case ev.ChannelGone():
                self._take_confirmed()
            case Hint(ev.MemberSeen() | ev.MemberRemoved() as fact):
                self._member(fact)
            case Hint(ev.QueueJoined() | ev.QueueLeft() as fact):
                self._waiting(fact)

    async def read(self, queue: str, interface: str = "") -> list[ev.Fact]:
        """The member of a queue (all of them, where ``interface`` is empty) and who waits there.

        Raises `AvpError`.
        """
        try:
            return await self._ami.members(queue, interface)
        except AmiTampered as error:
            log.warning("queue_read_by_functions", queue=queue, error=str(error))
        try:
            return await self._ami.by_functions(
                queue, lambda interface: self.known(queue, interface)
            )
        except IncompleteQueue as error:
            kept = self._known_of(queue)
            if not kept:
                raise
            # More than some 80 members, and a caller with line ends in their number waits. New
            # transfers need not wait until that caller leaves; it is read again meanwhile.
            log.warning("queue_kept", queue=queue, error=str(error))
            self._post(NeedsResync())
            return kept

    async def read_with_ring_in_use(self, queue: str, interface: str) -> ev.MemberSeen | None:
        """The member as Asterisk reports it, with its ``ringinuse``; None: not a member.

        Raises `AvpError`.
        """
        for fact in await self.read(queue, interface):
            if isinstance(fact, ev.MemberSeen) and fact.interface == interface:
                return replace(fact, ring_in_use=await self._ami.ring_in_use(queue, interface))
        return None

    def _known_of(self, queue: str) -> list[ev.Fact]:
        """What has been believed so far of a queue: its members, and who waits for the agent."""
        agents = self._engine.agents.by_id
        memberships = (agent.membership(queue) for agent in agents.values())
        owner = agents.get(agent_of_personal_queue(queue) or "")
        waiting = owner.waiting if owner is not None else ()
        return [
            *(member for member in memberships if member is not None),
            *(owner.others.values() if owner is not None else ()),
            *(ev.QueueJoined(queue, channel) for channel in waiting),
        ]

    def started(self, effect: Change) -> None:
        """Note that this change is about to be requested."""
        self._changing.setdefault((effect.queue, effect.interface), None)

    def failed(self, effect: Change) -> None:
        """The change failed, or its outcome is unknown."""
        self._changing.pop((effect.queue, effect.interface), None)
        self.ask(effect.queue, effect.interface)

    def done(self, effect: Change) -> None:
        """Asterisk has confirmed the change."""
        held = self._changing.pop((effect.queue, effect.interface), None)
        if (effect.queue, effect.interface) in self._asking:
            # The response may be read already, and is from before the change.
            self._outdated.add((effect.queue, effect.interface))
        known = self.known(effect.queue, effect.interface)
        status = self._status(effect.queue, effect.interface)
        fact = after(effect, known, status, time.time())
        if fact is not None:
            self._post(Confirmed(fact))
        if held is not None:
            self._member(held)

    async def wait_idle(self, seconds: float) -> None:
        """Wait up to ``seconds`` for the queries in flight."""
        self._decide_later()
        if self._asking:
            await asyncio.wait(tuple(self._asking.values()), timeout=seconds)

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in tuple(self._asking.values()):
            task.cancel()

    # --- members -----------------------------------------------------------------------------

    def _member(self, fact: MemberFact) -> None:
        queue, interface = fact.queue, fact.interface
        if not self._engine.agents.concerns(queue) or interface == PLACEHOLDER:
            return
        if (queue, interface) in self._changing:
            self._changing[queue, interface] = fact  # probably our own change, see `done`
            return
        if (queue, interface) in self._asking:
            self.ask(queue, interface)  # the response in flight may be older
            return
        agent = self._engine.agents.of_member(queue, interface)
        known = _membership(agent, queue, interface)
        if isinstance(fact, ev.MemberRemoved):
            if known is not None:
                self.ask(queue, interface)
        elif agent is None or known is None or not is_phone_change(known, fact):
            if agent is not None:
                agent.reported_paused = on_break(fact)
            self.ask(queue, interface)
        elif is_confirmed_by_ari(self._engine.calls, agent, known, fact):
            self._later.pop((queue, interface), None)
            self._post(fact)
        else:
            # ARI's event about the channel may be on its way.
            self._later[queue, interface] = fact
            if self._timer is None:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(MAX_WAIT_SECONDS, self._decide_later)

    def _take_confirmed(self) -> None:
        """Post the changes that a channel confirms which ARI has just reported."""
        if not self._later or len(self._later) > MAX_LOOKED_AT:
            return
        for key, fact in tuple(self._later.items()):
            if self._is_confirmed(fact):
                del self._later[key]
                self._post(fact)

    def _decide_later(self) -> None:
        """Decide about the changes that ARI had not confirmed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        later, self._later = self._later, {}
        for (queue, interface), fact in later.items():
            if self._is_confirmed(fact):
                self._post(fact)
            else:
                self.ask(queue, interface)

    def _is_confirmed(self, fact: ev.MemberSeen) -> bool:
        agent = self._engine.agents.of_member(fact.queue, fact.interface)
        known = _membership(agent, fact.queue, fact.interface)
        return (
            agent is not None
            and known is not None
            and is_phone_change(known, fact)
            and is_confirmed_by_ari(self._engine.calls, agent, known, fact)
        )

    def _status(self, queue: str, interface: str) -> int:
        """The phone's status in the agent's other memberships; 0: unknown."""
        agent = self._engine.agents.of_member(queue, interface)
        members = agent.memberships.values() if agent is not None else ()
        return next((m.status for m in members if m.interface == interface), 0)

    def known(self, queue: str, interface: str) -> ev.MemberSeen | None:
        """The member as verified so far; None: not a member."""
        return _membership(self._engine.agents.of_member(queue, interface), queue, interface)

    # --- waiting calls -------------------------------------------------------------------------

    def _waiting(self, fact: ev.QueueJoined | ev.QueueLeft) -> None:
        owner = agent_of_personal_queue(fact.queue)
        if owner is None or is_half(fact.channel):
            # A group's queue only affects the caller's waiting time, and nobody else knows the id
            # of our own leg. The end of the wait counts even after the end of the channel;
            # otherwise the slot would stay occupied.
            if isinstance(fact, ev.QueueLeft):
                self._awaiting_channel.pop(fact.channel, None)
                self._post(fact)
            elif fact.channel in self._engine.calls.channels:
                self._post(fact)
            else:
                self._awaiting_channel[fact.channel] = fact
                if len(self._awaiting_channel) > MAX_AWAITING_CHANNEL:
                    self._awaiting_channel.popitem(last=False)
        elif owner in self._engine.agents.by_id:
            self.ask(fact.queue, "")

    # --- queries -------------------------------------------------------------------------------

    def ask(self, queue: str, interface: str) -> None:
        """Query a member, or who waits where ``interface`` is empty, and post what has changed."""
        key = (queue, interface)
        self._later.pop(key, None)
        if key in self._asking:
            self._again.add(key)  # the response in flight may be older than this event
            return
        if len(self._asking) >= MAX_QUESTIONS:
            self._post(NeedsResync())  # so many names are an attack: read everything at once
            return
        task = asyncio.create_task(self._answer(queue, interface), name="member")
        self._asking[key] = task

    async def _answer(self, queue: str, interface: str) -> None:
        key = (queue, interface)
        try:
            await self._until_answered(key)
        finally:
            # Not in a callback of the task, which runs later: an event in between would rely on a
            # query that has been answered already.
            self._asking.pop(key, None)
            agent = self._engine.agents.of_member(queue, interface) if interface else None
            if agent is not None and not any(i == interface for _, i in self._asking):
                agent.reported_paused = False

    async def _until_answered(self, key: tuple[str, str]) -> None:
        queue, interface = key
        while True:
            self._again.discard(key)
            self._outdated.discard(key)
            try:
                async with self._slots:
                    found = await self.read(queue, interface)
            except (AmiHeaderError, UncleanValue):
                log.warning(
                    "member_query_failed", queue=queue, hint="the name is not valid in a query"
                )
                return
            except AvpError as error:
                log.debug("member_query_failed", queue=queue, error=str(error))
                self._post(NeedsResync())
                return
            if key in self._outdated:
                continue
            self._accept(queue, interface, found)
            if key not in self._again:
                return

    def _accept(self, queue: str, interface: str, found: list[ev.Fact]) -> None:
        if interface:
            seen = [
                fact
                for fact in found
                if isinstance(fact, ev.MemberSeen) and fact.interface == interface
            ]
            if seen:
                self._post(seen[0])
            elif self.known(queue, interface) is not None:
                self._post(ev.MemberRemoved(queue, interface, time.time()))
            return
        agent = self._engine.agents.by_id.get(agent_of_personal_queue(queue) or "")
        if agent is None:
            return
        joined = {fact.channel: fact for fact in found if isinstance(fact, ev.QueueJoined)}
        if SOMEBODY in joined and agent.waiting:
            return  # the queue holds one call: it is the one that we know
        for channel in agent.waiting - joined.keys():
            self._post(ev.QueueLeft(queue, channel))
        for channel in joined.keys() - agent.waiting:
            self._post(joined[channel])
