"""Events about members are hints; Asterisk's answers decide (`service.members`)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from servers.waiting import eventually

from asterisk_avp.ami.queue_functions import IncompleteQueue
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import AddMember, PauseMember, RemoveMember
from asterisk_avp.core.model.errors import AmiTampered, AsteriskUnavailable
from asterisk_avp.core.model.world import AgentState
from asterisk_avp.service.inbox import Confirmed, Hint, Message, NeedsResync
from asterisk_avp.service.members import (
    AT_ONCE,
    MAX_AWAITING_CHANNEL,
    MAX_LOOKED_AT,
    MAX_QUESTIONS,
    MemberVerifier,
)
from tests.core.world import NOW, engine, member

SLOT = "avp-agent-1002"


class Asterisk:
    """Answers with ``facts``, once `free` is set."""

    def __init__(self) -> None:
        self.facts: list[ev.Fact] = []
        self.answers: list[list[ev.Fact]] = []
        """The next answers, before `facts`."""
        self.asked: list[tuple[str, str]] = []
        self.away = False
        self.disturbed = False
        self.free = asyncio.Event()
        self.free.set()

    async def members(self, queue: str, interface: str = "") -> list[ev.Fact]:
        self.asked.append((queue, interface))
        await self.free.wait()
        if self.away:
            raise AsteriskUnavailable("gone")
        if self.disturbed:
            raise AmiTampered("somebody has written into the answer")
        return self.answers.pop(0) if self.answers else list(self.facts)

    async def by_functions(self, queue: str, _known: object) -> list[ev.Fact]:
        raise IncompleteQueue(f"the functions of queue {queue} return an incomplete list")


class Station:
    def __init__(self) -> None:
        self.engine: TransferEngine = engine()
        self.asterisk = Asterisk()
        self.doubts = 0
        self.fed: list[ev.Fact] = []
        self.members = MemberVerifier(self.engine, self.asterisk, self.post)

    def post(self, message: Message) -> None:
        if isinstance(message, Confirmed):
            self.feed(message.fact)
        elif isinstance(message, ev.Fact):
            self.feed(message)
        else:
            assert message == NeedsResync()
            self.doubts += 1

    def feed(self, fact: ev.Fact) -> None:
        self.fed.append(fact)
        self.engine.fact(fact, NOW)

    async def told(self, fact: ev.Fact) -> None:
        self.members.handle(Hint(fact))
        await self.members.wait_idle(5)

    def known(self, agent: str, queue: str = "sales") -> ev.MemberSeen | None:
        return self.engine.agents.by_id[agent].memberships.get(queue)


@pytest.fixture
async def station() -> Station:
    return Station()


def of(agent: str, **changes: object) -> ev.MemberSeen:
    return replace(member(agent), **changes)  # type: ignore[arg-type]


async def test_nobody_is_a_member_before_asterisk_says_so(station: Station) -> None:
    new = of("1003", queue="sales")
    await station.told(new)
    assert station.asterisk.asked == [("sales", "PJSIP/1003")]
    assert station.known("1003") is None
    station.asterisk.facts = [new]
    await station.told(new)
    assert station.known("1003") == new


async def test_an_answer_about_somebody_else_is_none(station: Station) -> None:
    station.asterisk.facts = [of("1004", queue="sales")]
    await station.told(of("1003", queue="sales"))
    assert station.fed == []


async def test_nobody_is_logged_out_before_asterisk_says_so(station: Station) -> None:
    here = of("1002")
    station.feed(here)
    station.asterisk.facts = [here]
    await station.told(ev.MemberRemoved("sales", "PJSIP/1002", NOW))
    assert station.known("1002") == here
    station.asterisk.facts = []
    await station.told(ev.MemberRemoved("sales", "PJSIP/1002", NOW))
    assert station.known("1002") is None


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
    station: Station, changes: dict[str, object]
) -> None:
    here = of("1002", status=1)
    station.feed(here)
    station.asterisk.facts = [here]
    await station.told(replace(here, **changes))  # type: ignore[arg-type]
    assert station.asterisk.asked == [("sales", "PJSIP/1002")]
    assert station.known("1002") == here


@pytest.mark.parametrize("status", [2, 3, 6, 7, 8])
async def test_a_phone_with_a_channel_may_be_in_use_and_one_without_is_free(
    station: Station, status: int
) -> None:
    here = of("1002", status=1)
    station.feed(here)
    station.feed(ev.ChannelSeen("u", "PJSIP/1002-00000001"))
    busy = replace(here, status=status)
    await station.told(busy)
    assert station.known("1002") == busy
    station.feed(ev.ChannelGone("u"))
    await station.told(here)
    assert station.known("1002") == here
    assert station.asterisk.asked == []


async def test_a_change_that_ari_confirms_later_counts_at_that_moment(station: Station) -> None:
    """AMI and ARI are two connections. A pause that keeps after-call work must not come later."""
    here, rung = of("1002", status=1), of("1002", status=6)
    station.feed(here)
    station.members.handle(Hint(rung))
    assert station.known("1002") == here
    for fact in (ev.ChannelSeen("v", "PJSIP/1003-00000001"), ev.ChannelGone("v")):
        station.feed(fact)
        station.members.handle(fact)
        assert station.known("1002") == here, "it is somebody else's"
    seen = ev.ChannelSeen("u", "PJSIP/1002-00000001")
    station.feed(seen)
    station.members.handle(seen)
    assert station.known("1002") == rung
    station.members.handle(Hint(here))
    assert station.known("1002") == rung
    gone = ev.ChannelGone("u")
    station.feed(gone)
    station.members.handle(gone)
    assert station.known("1002") == here
    await station.members.wait_idle(5)
    assert station.asterisk.asked == []


async def test_many_changes_without_a_channel_do_not_make_each_channel_dearer(
    station: Station,
) -> None:
    """Whoever can inject events could report all phones at once. They are asked about instead."""
    agents = [str(number) for number in range(2000, 2001 + MAX_LOOKED_AT)]
    for agent in agents:
        station.feed(of(agent, queue="sales", status=1))
        station.members.handle(Hint(of(agent, queue="sales", status=6)))
    station.fed.clear()
    seen = ev.ChannelSeen("u", "PJSIP/2000-00000001")
    station.engine.fact(seen, NOW)
    station.members.handle(seen)
    assert station.fed == []
    await station.members.wait_idle(5)
    assert station.known("2000") == of("2000", queue="sales", status=6)
    assert len(station.asterisk.asked) == MAX_LOOKED_AT


async def test_after_a_call_of_a_queue_its_end_needs_no_question(station: Station) -> None:
    here = of("1002", status=1)
    station.feed(here)
    station.feed(ev.ChannelSeen("u", "PJSIP/1002-00000001"))
    station.feed(ev.AgentConnected("sales", "u-caller", "PJSIP/1002"))
    await station.told(replace(here, status=2, in_call=True))
    station.feed(ev.ChannelGone("u"))
    await station.told(replace(here, last_call=NOW - 1))
    assert station.asterisk.asked == []
    assert station.engine.agents.by_id["1002"].state is AgentState.ACW


async def test_queues_of_others_are_not_asked_about(station: Station) -> None:
    await station.told(of("1002", queue="theirs"))
    assert station.asterisk.asked == []


async def test_many_hints_are_one_question_and_one_more_for_what_came_meanwhile(
    station: Station,
) -> None:
    station.asterisk.free.clear()
    for paused in (True, False):
        station.members.handle(Hint(of("1003", queue="sales", paused=paused)))
    await eventually(lambda: station.asterisk.asked)
    for paused in (True, False):
        station.members.handle(Hint(of("1003", queue="sales", paused=paused)))
    station.asterisk.facts = [of("1003", queue="sales")]
    station.asterisk.free.set()
    await station.members.wait_idle(5)
    assert len(station.asterisk.asked) == 2
    assert station.known("1003") is not None


@pytest.mark.parametrize("back", [True, False])
async def test_an_answer_that_is_older_than_the_last_event_does_not_stay(
    station: Station,
    back: bool,
) -> None:
    """A phone disappears for a moment, and the answer comes when it is back; or the reverse."""
    here, away = of("1002", status=1), of("1002", status=5)
    before, meanwhile = (here, away) if back else (away, here)
    station.feed(before)
    station.feed(ev.ChannelSeen("u", "PJSIP/1002-00000001"))  # so that nothing is confirmed
    station.asterisk.free.clear()
    station.asterisk.answers = [[meanwhile], [before]]
    station.members.handle(Hint(meanwhile))
    await eventually(lambda: station.asterisk.asked)
    station.members.handle(Hint(before))
    station.asterisk.free.set()
    await station.members.wait_idle(5)
    assert station.asterisk.answers == []
    assert station.known("1002") == before


async def test_however_many_names_are_made_up_asterisk_is_asked_few_at_a_time(
    station: Station,
) -> None:
    station.asterisk.free.clear()
    for number in range(MAX_QUESTIONS + 100):
        station.members.handle(Hint(of("1002", interface=f"PJSIP/made-up-{number}")))
    await eventually(lambda: len(station.asterisk.asked) == AT_ONCE)
    assert station.doubts == 100
    assert len(station.asterisk.asked) == AT_ONCE
    station.asterisk.free.set()
    await station.members.wait_idle(30)
    assert len(station.asterisk.asked) == MAX_QUESTIONS
    assert station.fed == []


async def test_a_break_that_is_being_asked_about_is_a_reason_already(
    station: Station,
) -> None:
    """The queue returns the call at the same moment, and ARI may report it first."""
    here = of("1002", status=1)
    station.feed(here)
    station.asterisk.free.clear()
    station.members.handle(Hint(replace(here, paused=True)))
    agent = station.engine.agents.by_id["1002"]
    assert (agent.paused, agent.reported_paused) == (False, True)
    station.asterisk.facts = [here]
    station.asterisk.free.set()
    await station.members.wait_idle(5)
    assert (agent.paused, agent.reported_paused) == (False, False)


async def test_where_asterisk_cannot_be_asked_all_is_read_anew(station: Station) -> None:
    station.asterisk.away = True
    await station.told(of("1003", queue="sales"))
    assert (station.fed, station.doubts) == ([], 1)


# --- calls that wait -----------------------------------------------------------------------------


async def test_a_place_is_taken_only_by_a_call_that_is_there(station: Station) -> None:
    await station.told(ev.QueueJoined(SLOT, "u-caller1"))
    assert station.asterisk.asked == [(SLOT, "")]
    assert not station.engine.slot_taken("1002")
    station.asterisk.facts = [ev.QueueJoined(SLOT, "u-caller1")]
    await station.told(ev.QueueJoined(SLOT, "u-caller1"))
    assert station.engine.slot_taken("1002")
    await station.told(ev.QueueLeft(SLOT, "u-caller1"))
    assert station.engine.slot_taken("1002")
    station.asterisk.facts = []
    await station.told(ev.QueueLeft(SLOT, "u-caller1"))
    assert not station.engine.slot_taken("1002")


async def test_of_a_groups_queue_nothing_is_asked(station: Station) -> None:
    await station.told(ev.QueueJoined("sales", "nobody"))
    assert station.fed == []
    station.feed(ev.ChannelSeen("u", "PJSIP/caller1-00000001"))
    await station.told(ev.QueueJoined("sales", "u"))
    assert station.asterisk.asked == []
    assert station.fed[-1] == ev.QueueJoined("sales", "u")


async def test_a_call_may_be_in_the_queue_before_ari_tells_of_it(station: Station) -> None:
    """Its waiting time would be lost."""
    await station.told(ev.QueueJoined("sales", "u"))
    assert station.fed == []
    station.feed(ev.ChannelSeen("u", "PJSIP/caller1-00000001"))
    station.members.handle(ev.ChannelSeen("u", ""))
    assert station.fed[-1] == ev.QueueJoined("sales", "u")
    station.members.handle(ev.ChannelSeen("u", ""))
    assert station.fed.count(ev.QueueJoined("sales", "u")) == 1
    await station.told(ev.QueueJoined("sales", "v"))
    await station.told(ev.QueueLeft("sales", "v"))
    station.members.handle(ev.ChannelSeen("v", ""))
    assert ev.QueueJoined("sales", "v") not in station.fed


async def test_calls_that_never_come_do_not_pile_up(station: Station) -> None:
    for number in range(MAX_AWAITING_CHANNEL + 10):
        await station.told(ev.QueueJoined("sales", f"made-up-{number}"))
    assert len(station.members._awaiting_channel) == MAX_AWAITING_CHANNEL


# --- what the daemon itself changes --------------------------------------------------------------

ADD = AddMember(SLOT, "PJSIP/1002", "PJSIP/1002", "Bob", paused=False, wrapup_seconds=0)


async def test_a_leg_that_is_gone_leaves_no_place_taken(station: Station) -> None:
    """ARI may report the end of the channel before AMI reports that it has left the queue."""
    leg = "avp-t1-leg-queue"
    station.engine.fact(ev.ChannelSeen(leg, "Local/1002@avp-agent-queue-00000001;2"), NOW)
    await station.told(ev.QueueJoined(SLOT, leg))
    assert station.engine.slot_taken("1002")
    station.engine.fact(ev.ChannelGone(leg), NOW)
    await station.told(ev.QueueLeft(SLOT, leg))
    assert not station.engine.slot_taken("1002")


async def test_our_own_change_is_so_once_it_is_answered(station: Station) -> None:
    station.feed(of("1002", status=1))
    agent = station.engine.agents.by_id["1002"]
    event = of("1002", queue=SLOT, name="Bob", state_interface="PJSIP/1002", status=1)
    station.members.started(ADD)
    station.members.handle(Hint(event))  # it may come before the answer
    assert agent.personal is None
    station.members.done(ADD)
    assert agent.personal is not None
    assert (agent.personal.status, agent.personal.paused) == (1, False)
    station.members.handle(Hint(event))  # or after it
    pause = PauseMember(SLOT, "PJSIP/1002", paused=True)
    station.members.started(pause)
    station.members.done(pause)
    assert agent.personal.paused
    remove = RemoveMember(SLOT, "PJSIP/1002")
    station.members.started(remove)
    station.members.done(remove)
    assert agent.personal is None
    assert station.asterisk.asked == []


async def test_an_answer_from_before_our_change_does_not_undo_it(station: Station) -> None:
    """Both answers may be read at once: ours counts at that moment, whoever asks goes on later."""
    here = of("1002")
    station.feed(here)
    paused = replace(here, paused=True, paused_reason="lunch")
    station.asterisk.answers = [[here]]
    station.asterisk.facts = [paused]
    station.asterisk.free.clear()
    station.members.handle(Hint(replace(here, name="Bobby")))
    await eventually(lambda: station.asterisk.asked)
    change = PauseMember("sales", "PJSIP/1002", paused=True, reason="lunch")
    station.members.started(change)
    station.fed.clear()
    station.asterisk.free.set()
    station.members.done(change)
    await station.members.wait_idle(5)
    assert station.known("1002") == paused
    assert here not in station.fed


async def test_a_change_that_was_refused_is_looked_at(station: Station) -> None:
    station.members.started(ADD)
    station.members.failed(ADD)
    await station.members.wait_idle(5)
    assert station.asterisk.asked == [(SLOT, "PJSIP/1002")]


async def test_another_change_behind_ours_is_not_lost(station: Station) -> None:
    station.feed(of("1002", status=1))
    station.members.started(ADD)
    station.members.handle(Hint(of("1002", queue=SLOT, paused=True)))
    station.members.done(ADD)
    await station.members.wait_idle(5)
    assert station.asterisk.asked == [(SLOT, "PJSIP/1002")]


async def test_of_a_queue_that_cannot_be_read_what_was_known_stays(station: Station) -> None:
    """A caller with line ends in their number waits in a queue of too many members for functions:
    the picture stays as it was, and is read again, so that it becomes true once they have left."""
    alice, bob = of("1001"), of("1002")
    for fact in (alice, bob, of("1003", queue="support"), of("1002", queue=SLOT)):
        station.feed(fact)
    station.feed(ev.ChannelSeen("u", "PJSIP/caller1-00000001"))
    station.feed(ev.QueueJoined(SLOT, "u"))
    station.asterisk.disturbed = True
    assert await station.members.read("sales") == [alice, bob]
    assert await station.members.read(SLOT) == [of("1002", queue=SLOT), ev.QueueJoined(SLOT, "u")]
    assert station.doubts == 2
    with pytest.raises(AsteriskUnavailable):
        await station.members.read("of-which-nothing-is-known")
    station.asterisk.disturbed = False
    station.asterisk.facts = [bob]
    assert await station.members.read("sales") == [bob]
    assert station.doubts == 2
