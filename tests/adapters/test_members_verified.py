"""Events about members are hints: what counts is what Asterisk answers (`daemon_members`)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from servers.waiting import eventually

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import AddMember, PauseMember, RemoveMember
from asterisk_avp.core.model.errors import AsteriskUnavailable
from asterisk_avp.core.model.world import AgentState
from asterisk_avp.service.members import AT_ONCE, MAX_EARLY, MAX_QUESTIONS, MemberVerifier
from tests.core.world import NOW, engine, member

SLOT = "avp-agent-1002"


class Asterisk:
    """Answers with what is in `facts`, once `free` is set."""

    def __init__(self) -> None:
        self.facts: list[ev.Fact] = []
        self.answers: list[list[ev.Fact]] = []
        """The next ones, before `facts`."""
        self.asked: list[tuple[str, str]] = []
        self.away = False
        self.free = asyncio.Event()
        self.free.set()

    async def query(self, queue: str, interface: str) -> list[ev.Fact]:
        self.asked.append((queue, interface))
        await self.free.wait()
        if self.away:
            raise AsteriskUnavailable("gone")
        return self.answers.pop(0) if self.answers else list(self.facts)


class Station:
    def __init__(self) -> None:
        self.engine: TransferEngine = engine()
        self.asterisk = Asterisk()
        self.doubts = 0
        self.fed: list[ev.Fact] = []
        self.members = MemberVerifier(self.engine, self.asterisk.query, self.feed, self.doubt)

    def feed(self, fact: ev.Fact) -> None:
        self.fed.append(fact)
        self.engine.fact(fact, NOW)

    def doubt(self) -> None:
        self.doubts += 1

    async def told(self, fact: ev.Fact) -> None:
        assert self.members.hint(fact)
        await self.members.settle(5)

    def known(self, agent: str, queue: str = "sales") -> ev.MemberSeen | None:
        return self.engine.agents.by_id[agent].memberships.get(queue)


@pytest.fixture
async def desk() -> Station:
    return Station()


def of(agent: str, **changes: object) -> ev.MemberSeen:
    return replace(member(agent), **changes)  # type: ignore[arg-type]


async def test_nobody_is_a_member_before_asterisk_says_so(desk: Station) -> None:
    new = of("1003", queue="sales")
    await desk.told(new)
    assert desk.asterisk.asked == [("sales", "PJSIP/1003")]
    assert desk.known("1003") is None
    desk.asterisk.facts = [new]
    await desk.told(new)
    assert desk.known("1003") == new


async def test_an_answer_about_somebody_else_is_none(desk: Station) -> None:
    desk.asterisk.facts = [of("1004", queue="sales")]
    await desk.told(of("1003", queue="sales"))
    assert desk.fed == []


async def test_nobody_is_logged_out_before_asterisk_says_so(desk: Station) -> None:
    here = of("1002")
    desk.feed(here)
    desk.asterisk.facts = [here]
    await desk.told(ev.MemberRemoved("sales", "PJSIP/1002", NOW))
    assert desk.known("1002") == here
    desk.asterisk.facts = []
    await desk.told(ev.MemberRemoved("sales", "PJSIP/1002", NOW))
    assert desk.known("1002") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"paused": True},
        {"paused_reason": "lunch"},
        {"name": "Mallory"},
        {"state_interface": "PJSIP/1009"},
        {"wrapup_seconds": 9},
        {"status": 5},
        {"status": 4},
        {"status": 0},
        {"status": 2},
        {"status": 6},
        {"status": 1, "in_call": True},
        {"last_call": NOW},
    ],
    ids=str,
)
async def test_what_the_channels_do_not_bear_out_is_asked(
    desk: Station, changes: dict[str, object]
) -> None:
    here = of("1002", status=1)
    desk.feed(here)
    desk.asterisk.facts = [here]
    await desk.told(replace(here, **changes))  # type: ignore[arg-type]
    assert desk.asterisk.asked == [("sales", "PJSIP/1002")]
    assert desk.known("1002") == here


@pytest.mark.parametrize("status", [2, 3, 6, 7, 8])
async def test_a_phone_with_a_channel_may_be_in_use_and_one_without_is_free(
    desk: Station, status: int
) -> None:
    here = of("1002", status=1)
    desk.feed(here)
    desk.feed(ev.ChannelSeen("u", "PJSIP/1002-00000001"))
    busy = replace(here, status=status)
    await desk.told(busy)
    assert desk.known("1002") == busy
    desk.feed(ev.ChannelGone("u"))
    await desk.told(here)
    assert desk.known("1002") == here
    assert desk.asterisk.asked == []


async def test_after_a_call_of_a_queue_its_end_needs_no_question(desk: Station) -> None:
    here = of("1002", status=1)
    desk.feed(here)
    desk.feed(ev.ChannelSeen("u", "PJSIP/1002-00000001"))
    desk.feed(ev.AgentConnected("sales", "u-caller", "PJSIP/1002"))
    await desk.told(replace(here, status=2, in_call=True))
    desk.feed(ev.ChannelGone("u"))
    await desk.told(replace(here, last_call=NOW - 1))
    assert desk.asterisk.asked == []
    assert desk.engine.agents.by_id["1002"].state is AgentState.ACW


async def test_queues_of_others_are_not_asked_about(desk: Station) -> None:
    await desk.told(of("1002", queue="theirs"))
    assert desk.asterisk.asked == []
    assert not desk.members.hint(ev.MusicChanged("c", playing=True))


async def test_many_hints_are_one_question_and_one_more_for_what_came_meanwhile(
    desk: Station,
) -> None:
    desk.asterisk.free.clear()
    for paused in (True, False):
        desk.members.hint(of("1003", queue="sales", paused=paused))
    await eventually(lambda: desk.asterisk.asked)
    for paused in (True, False):
        desk.members.hint(of("1003", queue="sales", paused=paused))
    desk.asterisk.facts = [of("1003", queue="sales")]
    desk.asterisk.free.set()
    await desk.members.settle(5)
    assert len(desk.asterisk.asked) == 2
    assert desk.known("1003") is not None


@pytest.mark.parametrize("back", [True, False])
async def test_an_answer_that_is_older_than_the_last_event_does_not_stay(
    desk: Station,
    back: bool,
) -> None:
    """A phone is gone for a moment: the answer says so when it is back already; or the reverse."""
    here, away = of("1002", status=1), of("1002", status=5)
    before, meanwhile = (here, away) if back else (away, here)
    desk.feed(before)
    desk.feed(ev.ChannelSeen("u", "PJSIP/1002-00000001"))  # so that nothing is borne out
    desk.asterisk.free.clear()
    desk.asterisk.answers = [[meanwhile], [before]]
    desk.members.hint(meanwhile)
    await eventually(lambda: desk.asterisk.asked)
    desk.members.hint(before)
    desk.asterisk.free.set()
    await desk.members.settle(5)
    assert desk.asterisk.answers == []
    assert desk.known("1002") == before


async def test_however_many_names_are_made_up_asterisk_is_asked_few_at_a_time(
    desk: Station,
) -> None:
    desk.asterisk.free.clear()
    for number in range(MAX_QUESTIONS + 100):
        desk.members.hint(of("1002", interface=f"PJSIP/made-up-{number}"))
    await eventually(lambda: len(desk.asterisk.asked) == AT_ONCE)
    assert desk.doubts == 100
    assert len(desk.asterisk.asked) == AT_ONCE
    desk.asterisk.free.set()
    await desk.members.settle(30)
    assert len(desk.asterisk.asked) == MAX_QUESTIONS
    assert desk.fed == []


async def test_a_break_that_is_being_asked_about_is_a_reason_already(
    desk: Station,
) -> None:
    """The queue gives the call back in the same moment, and ARI may be first to say so."""
    here = of("1002", status=1)
    desk.feed(here)
    desk.asterisk.free.clear()
    desk.members.hint(replace(here, paused=True))
    agent = desk.engine.agents.by_id["1002"]
    assert (agent.paused, agent.reported_paused) == (False, True)
    desk.asterisk.facts = [here]
    desk.asterisk.free.set()
    await desk.members.settle(5)
    assert (agent.paused, agent.reported_paused) == (False, False)


async def test_where_asterisk_cannot_be_asked_all_is_read_anew(desk: Station) -> None:
    desk.asterisk.away = True
    await desk.told(of("1003", queue="sales"))
    assert (desk.fed, desk.doubts) == ([], 1)


# --- calls that wait -----------------------------------------------------------------------------


async def test_a_place_is_taken_only_by_a_call_that_is_there(desk: Station) -> None:
    await desk.told(ev.QueueJoined(SLOT, "u-caller1"))
    assert desk.asterisk.asked == [(SLOT, "")]
    assert not desk.engine.slot_taken("1002")
    desk.asterisk.facts = [ev.QueueJoined(SLOT, "u-caller1")]
    await desk.told(ev.QueueJoined(SLOT, "u-caller1"))
    assert desk.engine.slot_taken("1002")
    await desk.told(ev.QueueLeft(SLOT, "u-caller1"))
    assert desk.engine.slot_taken("1002")
    desk.asterisk.facts = []
    await desk.told(ev.QueueLeft(SLOT, "u-caller1"))
    assert not desk.engine.slot_taken("1002")


async def test_of_a_groups_queue_nothing_is_asked(desk: Station) -> None:
    await desk.told(ev.QueueJoined("sales", "nobody"))
    assert desk.fed == []
    desk.feed(ev.ChannelSeen("u", "PJSIP/caller1-00000001"))
    await desk.told(ev.QueueJoined("sales", "u"))
    assert desk.asterisk.asked == []
    assert desk.fed[-1] == ev.QueueJoined("sales", "u")


async def test_a_call_may_be_in_the_queue_before_ari_tells_of_it(desk: Station) -> None:
    """How long it has waited would be lost."""
    await desk.told(ev.QueueJoined("sales", "u"))
    assert desk.fed == []
    desk.feed(ev.ChannelSeen("u", "PJSIP/caller1-00000001"))
    desk.members.channel_seen("u")
    assert desk.fed[-1] == ev.QueueJoined("sales", "u")
    desk.members.channel_seen("u")
    assert desk.fed.count(ev.QueueJoined("sales", "u")) == 1
    await desk.told(ev.QueueJoined("sales", "v"))
    await desk.told(ev.QueueLeft("sales", "v"))
    desk.members.channel_seen("v")
    assert ev.QueueJoined("sales", "v") not in desk.fed


async def test_calls_that_never_come_do_not_pile_up(desk: Station) -> None:
    for number in range(MAX_EARLY + 10):
        await desk.told(ev.QueueJoined("sales", f"made-up-{number}"))
    assert len(desk.members._early) == MAX_EARLY


# --- what the daemon itself changes --------------------------------------------------------------

ADD = AddMember(SLOT, "PJSIP/1002", "PJSIP/1002", "Bob", paused=False, wrapup_seconds=0)


async def test_a_leg_that_is_gone_leaves_no_place_taken(desk: Station) -> None:
    """ARI may tell of the end of the channel before AMI tells that it has left the queue."""
    leg = "avp-t1-leg-queue"
    desk.engine.fact(ev.ChannelSeen(leg, "Local/1002@avp-agent-queue-00000001;2"), NOW)
    await desk.told(ev.QueueJoined(SLOT, leg))
    assert desk.engine.slot_taken("1002")
    desk.engine.fact(ev.ChannelGone(leg), NOW)
    await desk.told(ev.QueueLeft(SLOT, leg))
    assert not desk.engine.slot_taken("1002")


async def test_our_own_change_is_so_once_it_is_answered(desk: Station) -> None:
    desk.feed(of("1002", status=1))
    agent = desk.engine.agents.by_id["1002"]
    event = of("1002", queue=SLOT, name="Bob", state_interface="PJSIP/1002", status=1)
    desk.members.started(ADD)
    desk.members.hint(event)  # it may come before the answer
    assert agent.personal is None
    desk.members.done(ADD)
    assert agent.personal is not None
    assert (agent.personal.status, agent.personal.paused) == (1, False)
    desk.members.hint(event)  # or behind it
    pause = PauseMember(SLOT, "PJSIP/1002", paused=True)
    desk.members.started(pause)
    desk.members.done(pause)
    assert agent.personal.paused
    remove = RemoveMember(SLOT, "PJSIP/1002")
    desk.members.started(remove)
    desk.members.done(remove)
    assert agent.personal is None
    assert desk.asterisk.asked == []


async def test_a_change_that_was_refused_is_looked_at(desk: Station) -> None:
    desk.members.started(ADD)
    desk.members.failed(ADD)
    await desk.members.settle(5)
    assert desk.asterisk.asked == [(SLOT, "PJSIP/1002")]


async def test_another_change_behind_ours_is_not_lost(desk: Station) -> None:
    desk.feed(of("1002", status=1))
    desk.members.started(ADD)
    desk.members.hint(of("1002", queue=SLOT, paused=True))
    desk.members.done(ADD)
    await desk.members.settle(5)
    assert desk.asterisk.asked == [(SLOT, "PJSIP/1002")]
