"""What agents ask about their own work: pauses, after-call work (ACW), and their groups.

`core.engine.work` decides. The changes are sent to Asterisk one after the other. What follows from
them (the personal queue follows the agent) is made by `Workers`. The request is answered once
Asterisk has made all of it, so that the answer shows the new state; otherwise it fails.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final
from weakref import WeakValueDictionary

from asterisk_avp.ami.membership import (
    DONE_ALREADY,
    NO_SUCH_QUEUE,
    NOT_DYNAMIC,
    Change,
    MembershipChanges,
)
from asterisk_avp.core.engine import acw, work
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.pause import pause
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.effects import Effect, PauseMember
from asterisk_avp.core.messages.facts import MemberSeen
from asterisk_avp.core.model.errors import AmiError, AsteriskUnavailable
from asterisk_avp.core.model.world import AgentState, agent_of_personal_queue
from asterisk_avp.core.pbx.agent import NOT_IN_USE
from asterisk_avp.core.pbx.renewal import Renewal, renewal, rings_in_use
from asterisk_avp.core.pbx.wrapup import end_of
from asterisk_avp.service.executor import Workers
from asterisk_avp.service.inbox import Handle, Inbox, NeedsResync
from asterisk_avp.service.members import MemberVerifier

MAX_ROUNDS: Final = 5
"""What follows from a change may itself have consequences, so many times at most."""


class AgentWork:
    """``check_connected`` raises `AsteriskUnavailable` while AMI is down."""

    def __init__(
        self,
        inbox: Inbox,
        engine: TransferEngine,
        changes: MembershipChanges,
        members: MemberVerifier,
        workers: Workers,
        check_connected: Callable[[], None],
    ) -> None:
        self._inbox = inbox
        self._engine = engine
        self._changes = changes
        self._members = members
        self._workers = workers
        self._check_connected = check_connected
        self._requests: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Agent to the lock of their requests, while there are any."""

    async def pause(self, agent_id: str, reason: str) -> None:
        """Pause, or change the reason. A pause takes the place of an extended ACW.

        Raises `UnknownAgent`, `WrongState`, `AmiError`, `AsteriskUnavailable`.
        """
        async with self._request(agent_id):
            for effect in pause(self._engine.agents, agent_id, paused=True, reason=reason):
                await self._changes.change(effect)
            agent = self._engine.agents.by_id[agent_id]
            if agent.extended_until and agent.paused:
                await self._acw_ended(agent_id, extension_only=True)

    async def ready(self, agent_id: str, *, keep_acw: bool) -> None:
        """End a pause, and ACW unless ``keep_acw``.

        Raises `UnknownAgent`, `WrongState`, `Refused`, `AmiError`, `AsteriskUnavailable`.
        """
        async with self._request(agent_id):
            todo = work.ready(self._engine.agents, agent_id, time.time(), keep_acw=keep_acw)
            if keep_acw:
                await self._unpause(todo.unpause)
                return
            acw.end_asked(self._engine, agent_id)
            try:
                await self._ready(agent_id, todo)
            finally:
                now = time.time()
                self._run(lambda: acw.end_answered(self._engine, agent_id, now))

    async def _ready(self, agent_id: str, todo: work.Ready) -> None:
        if todo.renew:
            await self._changes.renew(await self._renewals(todo.renew))
        # Before the pauses end, so that the personal queue is rung again, too.
        done = await self._acw_ended(agent_id, extension_only=not todo.renew)
        renewed = {member.queue for member in todo.renew}
        await self._unpause(
            effect for effect in todo.unpause if effect.queue not in renewed and effect not in done
        )

    async def _unpause(self, effects: Iterable[PauseMember]) -> None:
        for effect in effects:
            await self._changes.change(effect)

    async def extend_acw(self, agent_id: str, seconds: int) -> None:
        """Extend after-call work. It ends as before if Asterisk does not make the changes.

        Raises `UnknownAgent`, `WrongState`, `Refused`, `AmiError`, `AsteriskUnavailable`.
        """
        engine = self._engine
        async with self._request(agent_id):
            agent = work.agent_of(engine.agents, agent_id)
            before = agent.extended_until
            changes = self._step(lambda: acw.extend(engine, agent_id, seconds, time.time()))
            extended = agent.extended_until
            try:
                await self._make(changes)
            except (AmiError, AsteriskUnavailable) as error:
                if agent.extended_until == extended:  # nothing else has changed it
                    now = time.time()
                    self._run(lambda: acw.not_extended(engine, agent_id, before, now))
                if isinstance(error, AmiError) and error.message.endswith(NO_SUCH_QUEUE):
                    raise work.refused("no_personal_queue") from None
                raise

    async def log_in(self, agent_id: str, group_id: str) -> None:
        """Raises `UnknownAgent`, `UnknownGroup`, `Refused`, `AmiError`, `AsteriskUnavailable`."""
        async with self._request(agent_id):
            change = work.log_in(self._engine.agents, agent_id, group_id, time.time())
            if change is None:
                return
            found: list[Change] = [change]
            kept = self._engine.agents.by_id[agent_id].left.get(change.queue)
            own = rings_in_use(kept) if kept is not None else None
            if own is not None and own.interface == change.interface:
                found.append(own)
            # Written at once, so that no call is offered in between.
            await asyncio.gather(*(self._once(one) for one in found))

    async def log_out(self, agent_id: str, group_id: str) -> None:
        """Raises `UnknownAgent`, `UnknownGroup`, `Refused`, `AmiError`, `AsteriskUnavailable`."""
        async with self._request(agent_id):
            change = work.log_out(self._engine.agents, agent_id, group_id)
            if change is None:
                return
            member = await self._members.read_with_ring_in_use(change.queue, change.interface)
            if member is not None:
                acw.logged_out(self._engine, agent_id, member)
            try:
                await self._once(change)
            except AmiError as error:
                if error.message.endswith(NOT_DYNAMIC):
                    raise work.refused("static_member") from None
                raise

    @asynccontextmanager
    async def _request(self, agent_id: str) -> AsyncIterator[None]:
        """One request of an agent at a time, and after it what follows from its changes.

        Raises `AsteriskUnavailable`, also if Asterisk may not have made some of that.
        """
        self._check_connected()
        lock = self._requests.setdefault(agent_id, asyncio.Lock())
        async with lock:
            try:
                await self._workers.caught_up()  # no older effect may come after the request's
                yield
                await self._followed(agent_id)
            except AsteriskUnavailable:
                self._inbox.post(NeedsResync())  # Asterisk may have made some of it
                raise

    async def _followed(self, agent_id: str) -> None:
        """Wait until Asterisk has made what follows from the agent's state."""
        before: tuple[Effect, ...] = ()
        for _ in range(MAX_ROUNDS):
            all_made = await self._workers.caught_up()
            agent = self._engine.agents.by_id.get(agent_id)
            pending = agent.pending if agent is not None else ()
            if all_made and pending == before:
                break
            before = pending
        # What has not been made, though performed: refused, or without an answer.
        for effect in before:
            if isinstance(effect, Change):
                await self._changes.perform(effect)

    async def _once(self, change: Change) -> None:
        try:
            await self._changes.change(change)
        except AmiError as error:
            if not error.message.endswith(DONE_ALREADY):
                raise

    async def _acw_ended(self, agent_id: str, *, extension_only: bool) -> list[Effect]:
        """End the ACW. Returns the changes of membership that have been made."""
        engine, now = self._engine, time.time()
        changes = self._step(
            lambda: acw.ended(engine, agent_id, now, extension_only=extension_only)
        )
        await self._make(changes)
        return changes

    def _run(self, decide: Callable[[], Outcome]) -> None:
        self._inbox.run(lambda perform: perform(decide()))

    def _step(self, decide: Callable[[], Outcome]) -> list[Effect]:
        """Take a step. Returns its changes of membership, which nobody could wait for elsewhere."""

        def step(perform: Handle) -> list[Effect]:
            outcome = decide()
            perform(replace(outcome, effects=[]))
            return [effect for _, effect in outcome.effects]

        return self._inbox.run(step)

    async def _make(self, changes: list[Effect]) -> None:
        for effect in changes:
            if not isinstance(effect, Change):
                raise TypeError(f"not a change of membership: {effect!r}")
            await self._once(effect)

    async def _renewals(self, memberships: tuple[MemberSeen, ...]) -> list[Renewal]:
        """The renewals of memberships, read once more: all that is set must be kept."""
        found = []
        for known in memberships:
            member = await self._members.read_with_ring_in_use(known.queue, known.interface)
            if member is not None:
                found.append(self._renewal(known, member))
        if not found:
            raise AsteriskUnavailable("Asterisk does not know the agent's memberships any more.")
        return found

    def _renewal(self, known: MemberSeen, member: MemberSeen) -> Renewal:
        personal = agent_of_personal_queue(known.queue) is not None
        if not member.dynamic and not personal:
            raise work.refused("static_member")
        if not member.state_interface:
            member = replace(member, state_interface=known.state_interface)
        if end_of(member.wrapup_seconds):
            member = replace(member, wrapup_seconds=0)  # it is the end of the ACW that ends now
        return renewal(
            member,
            unpaused=True,
            penalty=0 if personal else member.penalty,
            needs_placeholder=not any(self._others_available(known)),
        )

    def _others_available(self, known: MemberSeen) -> Iterator[bool]:
        """Whether members of the same queue could get a call now, which keeps it open."""
        group = self._engine.agents.group_of_queue(known.queue)
        for agent in self._engine.agents.in_group(group) if group is not None else ():
            other = agent.memberships.get(known.queue)
            yield (
                other is not None
                and other.interface != known.interface
                and other.status == NOT_IN_USE
                and not other.paused
                and agent.state is AgentState.AVAILABLE
            )
