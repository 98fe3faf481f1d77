"""Asks Asterisk about members and waiting calls before anything follows from an event of AMI.

Whoever can dial can write events of the queues into AMI's stream (`asterisk_avp.ami.integrity`).
Who is a member grants something, who has logged out or paused ends something, and a call that waits
takes a place. Such an event is only a hint here: what counts is Asterisk's answer to an action with
an ActionID that nobody can guess. Two kinds of event need no question:

* a phone's ordinary change of state that the picture of channels, which is ARI's, bears out: the
  phone is said to be in use and has a channel, or to be free and has none;
* what this daemon has just asked for, since the answer to its own action says as much.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import replace
from typing import Final

import structlog

from asterisk_avp.ami.queue_functions import SOMEBODY
from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import AddMember, PauseMember, RemoveMember
from asterisk_avp.core.model.errors import AmiHeaderError, AmiTampered, AvpError, UncleanValue
from asterisk_avp.core.model.world import agent_of_personal_queue
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.transfer.session import is_half
from asterisk_avp.service.inbox import Hint, Message, NeedsResync, Post
from asterisk_avp.service.member_evidence import borne_out, phone_only
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

Told = ev.MemberSeen | ev.MemberRemoved
Change = AddMember | RemoveMember | PauseMember

MAX_EARLY: Final = 50
"""Channels that AMI may be ahead of ARI with; those that somebody has made up never come."""

MAX_QUESTIONS: Final = 2000
"""At the same time; so many agents may log in at once."""

AT_ONCE: Final = 20
"""Questions that Asterisk has to answer at the same time."""

MAX_WAIT_SECONDS: Final = 0.1
"""How long ARI's word of a channel is waited for before Asterisk is asked."""


def _membership(agent: Agent | None, queue: str, interface: str) -> ev.MemberSeen | None:
    known = agent.membership(queue) if agent is not None else None
    return known if known is not None and known.interface == interface else None


class MemberVerifier(Part):
    """Posts what is so, and that the picture has to be read where Asterisk could not be asked."""

    hears = (Hint, ev.ChannelSeen)

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
        """By queue and interface; the interface is empty where it is about who waits."""
        self._room = asyncio.Semaphore(AT_ONCE)
        self._again: set[tuple[str, str]] = set()
        self._later: dict[tuple[str, str], ev.MemberSeen] = {}
        """By queue and interface: changes of phones that no channel bears out yet."""
        self._timer: asyncio.TimerHandle | None = None
        self._early: OrderedDict[str, ev.QueueJoined] = OrderedDict()
        """By channel: who waits according to AMI, while ARI has not told of the channel yet."""
        self._changing: dict[tuple[str, str], Told | None] = {}
        """By queue and interface: what we are changing, and what has been said of it meanwhile."""

    def handle(self, message: Message) -> None:
        match message:
            case ev.ChannelSeen(channel):
                # AMI may have told before where it waits.
                if fact := self._early.pop(channel, None):
                    self._post(fact)
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
        return await self._ami.by_functions(queue, lambda interface: self.known(queue, interface))

    def started(self, effect: Change) -> None:
        """Asterisk is about to be asked for this change."""
        self._changing.setdefault((effect.queue, effect.interface), None)

    def failed(self, effect: Change) -> None:
        """It was not done, or nobody knows."""
        self._changing.pop((effect.queue, effect.interface), None)
        self._ask(effect.queue, effect.interface)

    def done(self, effect: Change) -> None:
        """Asterisk has confirmed it."""
        held = self._changing.pop((effect.queue, effect.interface), None)
        self._confirmed(effect, time.time())
        if held is not None:
            self._member(held)

    def _confirmed(self, effect: Change, now: float) -> None:
        match effect:
            case AddMember():
                self._post(
                    ev.MemberSeen(
                        queue=effect.queue,
                        interface=effect.interface,
                        state_interface=effect.state_interface or effect.interface,
                        name=effect.member_name,
                        status=self._status(effect.queue, effect.interface),
                        paused=effect.paused,
                        in_call=False,
                        last_call=0.0,
                        wrapup_seconds=effect.wrapup_seconds,
                        now=now,
                    )
                )
            case RemoveMember():
                self._post(ev.MemberRemoved(effect.queue, effect.interface, now))
            case PauseMember():
                known = self.known(effect.queue, effect.interface)
                if known is not None:
                    paused = replace(known, paused=effect.paused, paused_reason=effect.reason)
                    self._post(paused)

    async def wait_idle(self, seconds: float) -> None:
        """Wait until what is being asked has been answered, but no longer than that."""
        self._judge()
        if self._asking:
            await asyncio.wait(tuple(self._asking.values()), timeout=seconds)

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in tuple(self._asking.values()):
            task.cancel()

    # --- members -----------------------------------------------------------------------------

    def _member(self, fact: Told) -> None:
        queue, interface = fact.queue, fact.interface
        if not self._engine.agents.concerns(queue):
            return
        if (queue, interface) in self._changing:
            self._changing[queue, interface] = fact  # our own doing, most likely: see `done`
            return
        if (queue, interface) in self._asking:
            self._ask(queue, interface)  # what is being answered may be older
            return
        agent = self._engine.agents.of_member(queue, interface)
        known = _membership(agent, queue, interface)
        if isinstance(fact, ev.MemberRemoved):
            if known is not None:
                self._ask(queue, interface)
        elif agent is None or known is None or not phone_only(known, fact):
            if agent is not None:
                agent.reported_paused = fact.paused
            self._ask(queue, interface)
        elif borne_out(self._engine.calls, agent, known, fact):
            self._later.pop((queue, interface), None)
            self._post(fact)
        else:
            # ARI's word of the channel may be on its way.
            self._later[queue, interface] = fact
            if self._timer is None:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(MAX_WAIT_SECONDS, self._judge)

    def _judge(self) -> None:
        """What was not borne out yet has had its time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        later, self._later = self._later, {}
        for (queue, interface), fact in later.items():
            agent = self._engine.agents.of_member(queue, interface)
            known = _membership(agent, queue, interface)
            if (
                agent is not None
                and known is not None
                and phone_only(known, fact)
                and borne_out(self._engine.calls, agent, known, fact)
            ):
                self._post(fact)
            else:
                self._ask(queue, interface)

    def _status(self, queue: str, interface: str) -> int:
        """What the agent's other memberships say of the same phone; 0: nothing."""
        agent = self._engine.agents.of_member(queue, interface)
        members = agent.memberships.values() if agent is not None else ()
        return next((m.status for m in members if m.interface == interface), 0)

    def known(self, queue: str, interface: str) -> ev.MemberSeen | None:
        """What has been believed so far of this member."""
        return _membership(self._engine.agents.of_member(queue, interface), queue, interface)

    # --- waiting calls -------------------------------------------------------------------------

    def _waiting(self, fact: ev.QueueJoined | ev.QueueLeft) -> None:
        owner = agent_of_personal_queue(fact.queue)
        if owner is None or is_half(fact.channel):
            # A group's: nothing but how long the caller has waited. Our own leg: nobody else knows
            # its id.
            # Its end counts also after ARI has told that the channel is gone, or the place would
            # stay taken.
            if isinstance(fact, ev.QueueLeft):
                self._early.pop(fact.channel, None)
                self._post(fact)
            elif fact.channel in self._engine.calls.channels:
                self._post(fact)
            else:
                self._early[fact.channel] = fact
                if len(self._early) > MAX_EARLY:
                    self._early.popitem(last=False)
        elif owner in self._engine.agents.by_id:
            self._ask(fact.queue, "")

    # --- questions -----------------------------------------------------------------------------

    def _ask(self, queue: str, interface: str) -> None:
        key = (queue, interface)
        self._later.pop(key, None)
        if key in self._asking:
            self._again.add(key)  # the answer may be older than what this event is about
            return
        if len(self._asking) >= MAX_QUESTIONS:
            self._post(NeedsResync())  # whoever makes up so many names: all is read at once instead
            return
        task = asyncio.create_task(self._answer(queue, interface), name="member")
        self._asking[key] = task

    async def _answer(self, queue: str, interface: str) -> None:
        key = (queue, interface)
        try:
            await self._until_answered(key)
        finally:
            # Here, and not in a callback of the task: that comes a moment later, and an event in
            # between would count on a question that has been answered already.
            self._asking.pop(key, None)
            agent = self._engine.agents.of_member(queue, interface) if interface else None
            if agent is not None and not any(i == interface for _, i in self._asking):
                agent.reported_paused = False

    async def _until_answered(self, key: tuple[str, str]) -> None:
        queue, interface = key
        while True:
            self._again.discard(key)
            try:
                async with self._room:
                    found = await self.read(queue, interface)
            except (AmiHeaderError, UncleanValue):
                log.warning(
                    "member_query_failed", queue=queue, hint="no such name can be asked for"
                )
                return
            except AvpError as error:
                log.debug("member_query_failed", queue=queue, error=str(error))
                self._post(NeedsResync())
                return
            self._take(queue, interface, found)
            if key not in self._again:
                return

    def _take(self, queue: str, interface: str, found: list[ev.Fact]) -> None:
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
            return  # there is room for one: it is the one that we know of
        for channel in agent.waiting - joined.keys():
            self._post(ev.QueueLeft(queue, channel))
        for channel in joined.keys() - agent.waiting:
            self._post(joined[channel])
