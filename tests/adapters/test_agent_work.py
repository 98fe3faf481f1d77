"""A request about an agent's work is answered once Asterisk has made what follows from it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from servers.waiting import eventually

from asterisk_avp.ami.membership import Change
from asterisk_avp.core.engine import acw
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import (
    AddMember,
    AmiEffect,
    AriEffect,
    PauseMember,
    RemoveMember,
    SetPenalty,
)
from asterisk_avp.core.model.errors import AmiError, AsteriskUnavailable, Refused
from asterisk_avp.core.model.world import AgentState, personal_queue
from asterisk_avp.core.pbx import personal_queues
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.renewal import Renewal
from asterisk_avp.core.transfer.events import SessionEvent
from asterisk_avp.service.executor import Workers
from asterisk_avp.service.inbox import Confirmed, Inbox, Message, NeedsResync
from asterisk_avp.service.members import MemberVerifier
from asterisk_avp.service.part import Dispatcher, Part
from asterisk_avp.service.personal_queues import PersonalQueueMembers
from asterisk_avp.service.work import AgentWork
from tests.core.world import engine, member

SALES, OWN = "sales", personal_queue("1001")
PHONE = "PJSIP/1001"


class Asterisk:
    """The queues' members; changes are made and confirmed in order, each after a while."""

    def __init__(self) -> None:
        self.members: dict[tuple[str, str], ev.MemberSeen] = {}
        self.verifier: MemberVerifier
        self.refuses: list[type[Change]] = []
        self.refusal = "refused"
        self.silent_about: list[type[Change]] = []
        self.slow_about: list[type[Change]] = []
        self.made: list[Change] = []
        self._order = asyncio.Lock()

    # AmiReader

    async def members_of(self, queue: str, interface: str = "") -> list[ev.Fact]:
        await asyncio.sleep(0)
        seen = self.members.get((queue, interface))
        return [seen] if seen is not None else []

    async def ring_in_use(self, _queue: str, _interface: str) -> bool | None:
        return None

    # MembershipChanges

    async def change(self, effect: Change) -> None:
        self.verifier.started(effect)
        async with self._order:
            for _ in range(50 if type(effect) in self.slow_about else 3):
                await asyncio.sleep(0)
            if type(effect) in self.silent_about:
                self.verifier.failed(effect)
                raise AsteriskUnavailable("no answer")
            if type(effect) in self.refuses:
                self.verifier.failed(effect)
                raise AmiError("QueueX", self.refusal)
            self._make(effect)
            self.verifier.done(effect)

    async def perform(
        self, effect: AmiEffect | AriEffect, _report: Callable[[SessionEvent], None] | None = None
    ) -> None:
        assert isinstance(effect, Change)
        with contextlib.suppress(AmiError):
            await self.change(effect)

    async def renew(self, renewals: Iterable[Renewal]) -> None:
        await asyncio.gather(*(self.change(renewal.back) for renewal in renewals))

    def _make(self, effect: Change) -> None:
        self.made.append(effect)
        key = effect.queue, effect.interface
        known = self.members.get(key)
        match effect:
            case AddMember():
                made = replace(member("1001", effect.queue), interface=effect.interface)
                self.members[key] = replace(
                    made,
                    dynamic=True,
                    paused=effect.paused,
                    penalty=effect.penalty,
                    wrapup_seconds=effect.wrapup_seconds,
                )
            case RemoveMember():
                self.members.pop(key, None)
            case PauseMember() if known is not None:
                self.members[key] = replace(
                    known, paused=effect.paused, paused_reason=effect.reason
                )
            case SetPenalty() if known is not None:
                self.members[key] = replace(known, penalty=effect.penalty)


class EngineStep(Part):
    hears = (ev.MemberSeen, ev.MemberRemoved, ev.QueueLeft)

    def __init__(self, station: Station) -> None:
        self._engine = station.engine

    def handle(self, message: Message) -> object:  # type: ignore[override]
        assert isinstance(message, ev.MemberSeen | ev.MemberRemoved | ev.QueueLeft)
        return self._engine.fact(message, time.time())


class Doubts(Part):
    hears = (NeedsResync,)
    count = 0

    def handle(self, _message: Message) -> None:
        self.count += 1


class Station:
    def __init__(self) -> None:
        self.engine = engine()
        self.inbox = Inbox()
        self.asterisk = asterisk = Asterisk()
        reader = _Reader(asterisk)
        asterisk.verifier = verifier = MemberVerifier(self.engine, reader, self.inbox.post)  # type: ignore[arg-type]
        self.workers = Workers(asterisk, asterisk, self.inbox.post)
        self.work = AgentWork(
            self.inbox,
            self.engine,
            asterisk,  # type: ignore[arg-type]
            verifier,
            self.workers,
            lambda: None,
        )
        self.doubts = Doubts()
        queues = PersonalQueueMembers(self.engine, self.workers)
        dispatcher = Dispatcher((queues, self.workers, EngineStep(self), self.doubts))
        self.inbox.consume(dispatcher.handle)

    @property
    def agent(self) -> Agent:
        return self.engine.agents.by_id["1001"]

    def seen(self, queue: str, **more: object) -> None:
        seen = replace(member("1001", queue), dynamic=True, **more)  # type: ignore[arg-type]
        self.asterisk.members[queue, PHONE] = seen
        self.engine.fact(seen, time.time())

    def waits(self) -> None:
        """A transferred call waits for 1001."""
        self.engine.fact(ev.QueueJoined(OWN, "u-caller1"), time.time())

    def own(self) -> ev.MemberSeen:
        return self.asterisk.members[OWN, PHONE]

    def follows(self) -> None:
        """Asterisk has what the engine believes, and nothing is on its way."""
        assert self.workers.running == 0
        assert self.agent.pending == ()
        assert self.own().paused is self.agent.paused
        assert self.agent.personal is not None
        assert self.own().penalty == self.agent.personal.penalty


@pytest.fixture
async def station() -> Station:
    """1001 is in after-call work for 20 s."""
    made = Station()
    ended = time.time()
    for queue in (SALES, OWN):
        made.seen(queue, last_call=ended, wrapup_seconds=20)
    assert made.agent.state is AgentState.ACW
    return made


async def test_the_end_of_an_extension(station: Station) -> None:
    await station.work.extend_acw("1001", 30)
    station.follows()
    assert station.own().penalty > 0
    station.asterisk.made.clear()
    station.asterisk.slow_about = [SetPenalty]
    await station.work.ready("1001", keep_acw=False)
    station.follows()
    assert (station.agent.state, station.own().penalty) == (AgentState.AVAILABLE, 0)
    assert {one.penalty for one in station.asterisk.made if isinstance(one, SetPenalty)} <= {0}


async def test_a_pause_and_its_end_are_in_the_personal_queue_too(station: Station) -> None:
    station.asterisk.slow_about = [PauseMember, SetPenalty]
    await station.work.extend_acw("1001", 30)
    await station.work.pause("1001", "Lunch")
    station.follows()
    assert (station.own().paused, station.own().penalty) == (True, 0)
    await station.work.ready("1001", keep_acw=True)
    station.follows()
    assert not station.own().paused


async def test_a_log_out_and_a_log_in_are_in_the_personal_queue_too(station: Station) -> None:
    station.waits()
    station.asterisk.slow_about = [AddMember, RemoveMember]
    await station.work.log_out("1001", SALES)
    assert (OWN, PHONE) not in station.asterisk.members
    await station.work.log_in("1001", SALES)
    station.follows()


async def test_a_member_that_nobody_needs_is_removed(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_queues, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(personal_queues, "KEPT", 0)
    station.waits()
    station.inbox.post(Outcome(agents={"1001"}))
    await asyncio.sleep(0)
    assert not station.engine.personal_queues.surplus()
    station.inbox.post(ev.QueueLeft(OWN, "u-caller1"))
    station.inbox.post(Outcome(agents={"1001"}))
    await eventually(lambda: (OWN, PHONE) not in station.asterisk.members)
    assert (SALES, PHONE) in station.asterisk.members
    await eventually(lambda: station.agent.personal is None)


async def test_an_older_effect_does_not_come_after_the_request(station: Station) -> None:
    """The daemon itself begins to keep the after-call work, which the agent ends."""
    station.asterisk.slow_about = [SetPenalty, PauseMember]
    now = time.time()
    station.inbox.run(lambda perform: perform(acw.kept(station.engine, "1001", now)))
    await station.work.ready("1001", keep_acw=False)
    station.follows()
    assert not station.asterisk.members[SALES, PHONE].paused
    made = station.asterisk.made
    renewed = next(i for i, one in enumerate(made) if isinstance(one, AddMember))
    assert not [one for one in made[renewed:] if isinstance(one, PauseMember) and one.paused]
    assert (station.agent.state, station.own().penalty) == (AgentState.AVAILABLE, 0)


async def test_requests_of_an_agent_are_made_one_after_the_other(station: Station) -> None:
    await asyncio.gather(
        station.work.extend_acw("1001", 30),
        station.work.ready("1001", keep_acw=False),
        station.work.pause("1001", "Lunch"),
    )
    station.follows()
    assert station.asterisk.members[SALES, PHONE].paused_reason == "Lunch"
    assert (station.agent.extended_until, station.own().penalty) == (0.0, 0)


async def test_what_follows_and_has_no_answer_is_said(station: Station) -> None:
    station.waits()
    station.asterisk.silent_about = [AddMember]
    del station.asterisk.members[OWN, PHONE]
    station.inbox.post(ev.MemberRemoved(OWN, PHONE, time.time()))
    with pytest.raises(AsteriskUnavailable):
        await station.work.pause("1001", "Lunch")
    station.asterisk.silent_about = []
    await station.work.pause("1001", "Lunch")
    station.follows()


async def test_a_personal_queue_that_does_not_exist_stops_nobody(station: Station) -> None:
    """It is logged."""
    station.waits()
    del station.asterisk.members[OWN, PHONE]
    station.asterisk.refuses = [AddMember]
    station.inbox.post(ev.MemberRemoved(OWN, PHONE, time.time()))
    await station.work.pause("1001", "Lunch")
    assert station.agent.paused


async def test_without_a_personal_queue_nothing_keeps_an_extension(station: Station) -> None:
    del station.asterisk.members[OWN, PHONE]
    station.inbox.post(ev.MemberRemoved(OWN, PHONE, time.time()))
    station.asterisk.refuses = [AddMember]
    station.asterisk.refusal = "Unable to add interface to queue: No such queue"
    with pytest.raises(Refused) as refused:
        await station.work.extend_acw("1001", 30)
    assert refused.value.reason == "no_personal_queue"
    assert (station.agent.extended_until, station.agent.state) == (0.0, AgentState.ACW)
    assert not station.asterisk.members[SALES, PHONE].paused


async def test_an_end_without_an_answer_leaves_the_extension(station: Station) -> None:
    await station.work.extend_acw("1001", 30)
    station.asterisk.silent_about = [AddMember]
    with pytest.raises(AsteriskUnavailable):
        await station.work.ready("1001", keep_acw=False)
    assert not station.agent.acw_ending
    assert station.agent.extended_until
    assert station.doubts.count == 1, "what Asterisk has made is read"


async def test_a_penalty_without_an_answer_is_read_anew(station: Station) -> None:
    """Otherwise the personal queue would not ring the agent until something else changes."""
    await station.work.extend_acw("1001", 30)
    station.asterisk.silent_about = [SetPenalty]
    with pytest.raises(AsteriskUnavailable):
        await station.work.pause("1001", "Lunch")
    assert station.doubts.count


async def test_while_a_resync_reads_our_own_changes_count(station: Station) -> None:
    """And once more after what it has read, which may be older."""
    await station.work.extend_acw("1001", 30)
    station.inbox.defer_state_facts()
    await station.work.pause("1001", "Lunch")
    station.follows()
    assert (station.agent.paused, station.agent.extended_until) == (True, 0.0)
    later = station.inbox.deferred_state_facts()
    assert station.own() in later
    assert not [message for message in later if isinstance(message, Confirmed)]


class _Reader:
    def __init__(self, asterisk: Asterisk) -> None:
        self.members = asterisk.members_of
        self.ring_in_use = asterisk.ring_in_use
