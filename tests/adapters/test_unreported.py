"""Changes of memberships and waits without an event: found by comparison, and then queried."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from servers.waiting import eventually

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AsteriskUnavailable
from asterisk_avp.core.pbx.renewal import PLACEHOLDER
from asterisk_avp.service import unreported
from asterisk_avp.service.unreported import (
    ANSWERS,
    MAX_DOUBLINGS,
    MAX_READINGS_AT_ONCE,
    UnreportedChanges,
)
from tests.core.world import NOW, engine, member

SLOT = "avp-agent-1002"
RINGING, IN_USE, IDLE, AWAY = 6, 2, 1, 5


class Members:
    """In place of `MemberVerifier`, which has tests of its own: what is asked, and the list."""

    def __init__(self, made: TransferEngine) -> None:
        self.engine = made
        self.asked: list[tuple[str, str]] = []
        self.facts: list[ev.Fact] | None = []
        self.reads = 0

    def known(self, queue: str, interface: str) -> ev.MemberSeen | None:
        agent = self.engine.agents.of_member(queue, interface)
        return agent.membership(queue) if agent is not None else None

    def ask(self, queue: str, interface: str) -> None:
        self.asked.append((queue, interface))

    async def read(self, queue: str) -> list[ev.Fact]:
        self.reads += 1
        if self.facts is None:
            raise AsteriskUnavailable("gone")
        return self.facts


class Station:
    def __init__(self) -> None:
        self.engine = engine()
        self.members = Members(self.engine)
        self.again: list[str] = []
        self.part = UnreportedChanges(
            self.engine,
            self.members,  # type: ignore[arg-type]
            self.again.append,
        )

    def feed(self, *facts: ev.Fact) -> None:
        """As the dispatcher does: the part sees a fact before the engine has applied it."""
        for fact in facts:
            self.part.handle(fact)
            self.engine.fact(fact, NOW)

    def counted(self, logged_in: int, available: int, times: int = ANSWERS) -> None:
        for _ in range(times):
            self.feed(ev.QueueWaiting("sales", 0, 0, NOW, logged_in, available))

    async def read(self) -> None:
        """Wait for the queue that is being read."""
        await eventually(lambda: not self.part._tasks)


@pytest.fixture
async def station(monkeypatch: pytest.MonkeyPatch) -> Station:
    monkeypatch.setattr(unreported, "SAME_SECONDS", 0.01)
    return Station()


def of(agent: str, **changes: object) -> ev.MemberSeen:
    return replace(member(agent), **changes)  # type: ignore[arg-type]


async def test_a_phone_has_one_state_in_all_queues(station: Station) -> None:
    """The end of the ring is reported for one queue; the other one is gone by then."""
    station.feed(of("1002", status=RINGING), of("1002", queue=SLOT, status=RINGING))
    station.feed(of("1002", queue=SLOT, status=IDLE))
    await eventually(lambda: station.members.asked)
    assert set(station.members.asked) == {("sales", "PJSIP/1002"), (SLOT, "PJSIP/1002")}
    # An answer that says the same again, as where two states are Asterisk's own, is the end of it.
    station.members.asked.clear()
    station.feed(of("1002", status=RINGING), of("1002", queue=SLOT, status=IDLE))
    assert not station.part._timers


async def test_an_ordinary_change_is_not_queried(station: Station) -> None:
    """Asterisk reports it for one queue after the other."""
    for status in (IDLE, RINGING, 2, IDLE, AWAY):
        station.feed(of("1002", status=status), of("1002", queue=SLOT, status=status))
        assert not station.part._timers
    assert station.members.asked == []


async def test_another_phone_has_a_state_of_its_own(station: Station) -> None:
    station.feed(of("1002", status=IDLE), of("1002", queue=SLOT, state_interface="PJSIP/desk"))
    station.feed(of("1002", queue=SLOT, state_interface="PJSIP/desk", status=2))
    assert not station.part._timers


async def known(station: Station) -> tuple[ev.MemberSeen, ...]:
    """Those whom the engine knows in the queue, with as many in the list."""
    found = tuple(station.part._known("sales"))
    assert len(found) == 2
    station.members.facts = list(found)
    return found


async def test_members_who_are_gone_and_new_ones_are_queried(station: Station) -> None:
    first, second = await known(station)
    station.members.facts = [second, of("1009", queue="sales"), of("1001", interface=PLACEHOLDER)]
    station.counted(3, 3)
    await station.read()
    assert sorted(station.members.asked) == sorted(
        [("sales", first.interface), ("sales", "PJSIP/1009")]
    )


async def test_of_a_queue_that_is_gone_all_members_are(station: Station) -> None:
    found = await known(station)
    station.feed(of("1002", queue=SLOT))
    station.members.facts = []
    station.counted(0, 0)
    await station.read()
    assert set(station.members.asked) == {
        *(("sales", one.interface) for one in found),
        (SLOT, "PJSIP/1002"),  # what a reload does to one queue it may have done to the others
    }


async def test_what_is_counted_alike_is_not_read(station: Station) -> None:
    first, _ = await known(station)
    station.counted(2, 2)
    station.feed(replace(first, status=RINGING))
    station.counted(2, 1)
    station.feed(replace(first, paused=True))
    station.counted(2, 1)
    station.feed(replace(first, status=AWAY))
    station.counted(1, 1)
    assert (station.members.reads, station.again) == (0, [])


async def test_a_difference_that_passes_is_an_event_on_its_way(station: Station) -> None:
    await known(station)
    for _ in range(3):
        station.counted(2, 1, ANSWERS - 1)
        station.counted(2, 2, 1)
        station.counted(1, 1, ANSWERS - 1)
    assert station.members.reads == 0
    assert set(station.again) == {"sales"}


async def test_a_difference_that_stays_is_read_less_and_less_often(station: Station) -> None:
    """Such as of a member who is no agent."""
    await known(station)
    for reading in range(MAX_DOUBLINGS + 3):
        answers = ANSWERS << min(reading, MAX_DOUBLINGS)
        station.counted(4, 4, answers - 1)
        assert station.members.reads == reading
        station.again.clear()
        station.counted(4, 4, 1)
        await station.read()
        assert station.members.reads == reading + 1
        assert bool(station.again) == (reading + 1 < MAX_READINGS_AT_ONCE)
    assert station.members.asked == []


async def test_what_happens_once_more_is_found_once_more(station: Station) -> None:
    """No answer has shown in between that the first time was mended."""
    first, _ = await known(station)
    for _ in range(2):
        station.feed(replace(first, status=IN_USE, in_call=True))
        station.counted(2, 2, 2 * ANSWERS)
        await station.read()
        assert station.members.asked == [("sales", first.interface)]
        station.members.asked.clear()
        station.feed(first)


async def test_a_queue_that_cannot_be_read_is_tried_again(station: Station) -> None:
    await known(station)
    station.members.facts = None
    station.counted(0, 0)
    await station.read()
    station.counted(0, 0)
    await station.read()
    assert station.members.reads == 2


# --- calls that wait -----------------------------------------------------------------------------


async def test_a_call_that_is_in_a_bridge_waits_no_more(station: Station) -> None:
    station.feed(ev.ChannelSeen("u", "PJSIP/caller1-00000001"), ev.QueueJoined(SLOT, "u"))
    station.feed(ev.BridgeEntered("u", "their-bridge"))
    await eventually(lambda: station.members.asked)
    assert station.members.asked == [(SLOT, "")]


@pytest.mark.parametrize("end", [ev.QueueLeft(SLOT, "u"), ev.ChannelGone("u")], ids=str)
async def test_whom_an_agent_answers_has_left_the_queue(
    station: Station, end: ev.Fact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unreported, "SAME_SECONDS", 0.0)
    station.feed(ev.ChannelSeen("u", "PJSIP/caller1-00000001"), ev.QueueJoined(SLOT, "u"))
    station.feed(ev.BridgeEntered("u", "b"), end)
    looked = asyncio.Event()
    asyncio.get_running_loop().call_later(0.0, looked.set)  # behind the look at the queue
    await looked.wait()
    assert station.members.asked == []


async def test_calls_of_groups_are_not_looked_for(station: Station) -> None:
    station.feed(ev.QueueJoined("sales", "u"), ev.BridgeEntered("u", "b"))
    assert not station.part._waiting
