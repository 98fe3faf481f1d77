"""When the daemon asks Asterisk about queue members in a database, and what it makes of the answer.

tests/asterisk/test_realtime.py has real databases.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from servers.waiting import eventually
from test_unreported import Members, of

from asterisk_avp.config.sections import AmiSettings
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AsteriskUnavailable
from asterisk_avp.service import realtime
from asterisk_avp.service.inbox import Message, NeedsResync
from asterisk_avp.service.realtime import RealtimeMembers
from asterisk_avp.service.unreported import UnreportedChanges
from tests.core.world import NOW, engine

DRIVER, FUNCTIONS = "res_config_odbc.so", "func_realtime.so"
MEMBERS = "REALTIME_FIELD(queue_members,interface LIKE,%,interface)"
QUEUES = "REALTIME_FIELD(queues,name LIKE,%,name)"


class Asterisk:
    """The modules that run, and the families that have rows."""

    def __init__(self, *modules: str) -> None:
        self.running: frozenset[str] | None = frozenset(modules)
        self.rows: set[str] = set()
        self.asked: list[str] = []

    async def modules(self) -> frozenset[str]:
        self.asked.append("modules")
        if self.running is None:
            raise AsteriskUnavailable("not now")
        return self.running

    async def has_realtime(self, family: str, column: str) -> bool:
        self.asked.append(f"REALTIME_FIELD({family},{column} LIKE,%,{column})")
        return family in self.rows

    async def read_again(self, queue: str) -> bool:
        self.asked.append(f"QUEUE_EXISTS({queue})")
        return True


class OfSales(Members):
    """In the other groups nothing changes."""

    async def read(self, queue: str) -> list[ev.Fact]:
        if queue == "sales":
            return await super().read(queue)
        agents = self.engine.agents.by_id.values()
        members = (agent.membership(queue) for agent in agents)
        return [member for member in members if member is not None]


class Station:
    def __init__(self, asterisk: Asterisk, seconds: float = 0.01) -> None:
        self.asterisk = asterisk
        self.engine = engine()
        self.members = OfSales(self.engine)
        self.posted: list[Message] = []
        unreported = UnreportedChanges(self.engine, self.members, lambda _: None)  # type: ignore[arg-type]
        self.part = RealtimeMembers(
            asterisk,  # type: ignore[arg-type]
            unreported,
            asterisk,  # type: ignore[arg-type]
            AmiSettings(realtime_seconds=seconds),
            self.posted.append,
        )
        for agent in ("1001", "1002"):
            self.engine.fact(of(agent), NOW)
        self.known = sorted(unreported._known("sales"), key=lambda member: member.interface)
        self.members.facts = list(self.known)

    async def asked(self, *questions: str, times: int = 2) -> None:
        """Wait until each of these was asked so often from now on."""
        before = len(self.asterisk.asked)

        def enough() -> bool:
            new = self.asterisk.asked[before:]
            return all(new.count(question) >= times for question in questions)

        await eventually(enough)


@pytest_asyncio.fixture
async def stations(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Station]]:
    monkeypatch.setattr(realtime, "PAUSE_SECONDS", 0.001)
    made: list[Station] = []
    yield made
    for station in made:
        await station.part.stop()


async def started(stations: list[Station], *modules: str, rows: tuple[str, ...] = ()) -> Station:
    asterisk = Asterisk(*modules)
    asterisk.rows.update(rows)
    station = Station(asterisk)
    stations.append(station)
    station.part.connected()
    await station.part.resynced()
    return station


async def test_without_a_driver_only_the_modules_are_asked(stations: list[Station]) -> None:
    station = await started(stations, FUNCTIONS, "app_queue.so")
    other = await started(stations, FUNCTIONS, DRIVER)
    await other.asked(MEMBERS, times=5)
    assert station.asterisk.asked == ["modules"]
    assert set(other.asterisk.asked) == {"modules", MEMBERS}
    assert other.members.reads == 0
    # Another Asterisk may have one.
    station.asterisk.running = frozenset({FUNCTIONS, DRIVER})
    station.part.connected()
    await station.asked(MEMBERS)


async def test_the_first_row_is_noticed_later(stations: list[Station]) -> None:
    station = await started(stations, FUNCTIONS, DRIVER)
    await station.asked(MEMBERS)
    station.asterisk.rows.add("queue_members")
    await station.asked("QUEUE_EXISTS(sales)", QUEUES)
    # Without rows again, everybody has logged out: that is to be noticed as well.
    station.asterisk.rows.clear()
    await station.asked("QUEUE_EXISTS(sales)")
    assert station.members.asked == []  # nothing differs


async def test_a_list_that_reads_the_rows_itself_is_enough(stations: list[Station]) -> None:
    station = await started(stations, FUNCTIONS, DRIVER, rows=("queue_members", "queues"))
    await station.asked(QUEUES, times=3)
    assert station.members.reads > 0
    assert not any("QUEUE_EXISTS" in question for question in station.asterisk.asked)


async def test_without_the_function_the_queues_are_read(stations: list[Station]) -> None:
    station = await started(stations, DRIVER)
    await station.asked("QUEUE_EXISTS(sales)")


async def test_off_where_the_setting_is_0() -> None:
    asterisk = Asterisk(FUNCTIONS, DRIVER)
    station = Station(asterisk, seconds=0)
    station.part.connected()
    await station.part.resynced()
    assert station.part._task is None


async def test_asterisk_does_not_answer(stations: list[Station]) -> None:
    station = await started(stations, FUNCTIONS, DRIVER, rows=("queue_members",))
    await station.asked("QUEUE_EXISTS(sales)")
    station.asterisk.running = None
    station.part.connected()
    await station.asked("modules", times=3)
    station.asterisk.running = frozenset({FUNCTIONS, DRIVER})
    station.members.facts = None  # the queue cannot be read
    await station.asked("QUEUE_EXISTS(sales)", times=3)
    assert station.members.asked == []


@pytest.mark.parametrize(
    "change",
    [
        {"paused": True},
        {"paused_reason": "lunch"},
        {"penalty": 3},
        {"name": "Bobby"},
        {"state_interface": "PJSIP/desk"},
        {"wrapup_seconds": 9},
    ],
)
async def test_what_a_row_changes_is_queried(
    stations: list[Station], change: dict[str, object]
) -> None:
    station = await started(stations, FUNCTIONS, DRIVER, rows=("queue_members",))
    first, second = station.known
    station.members.facts = [first, replace(second, **change)]  # type: ignore[arg-type]
    await eventually(lambda: station.members.asked)
    assert set(station.members.asked) == {("sales", "PJSIP/1002")}


async def test_a_phone_that_rings_is_no_change_of_a_row(stations: list[Station]) -> None:
    """Events tell that."""
    station = await started(stations, FUNCTIONS, DRIVER, rows=("queue_members",))
    busy = {"status": 6, "in_call": True, "last_call": NOW, "login_time": NOW}
    station.members.facts = [replace(one, **busy) for one in station.known]  # type: ignore[arg-type]
    await station.asked("QUEUE_EXISTS(sales)", times=4)
    assert station.members.asked == []


async def test_a_queue_is_empty_only_if_it_is_so_twice(stations: list[Station]) -> None:
    """Asterisk takes the members out as soon as the database does not answer once."""
    station = await started(stations, FUNCTIONS, DRIVER, rows=("queue_members",))
    await station.asked("QUEUE_EXISTS(sales)")
    station.members.facts = []
    await eventually(lambda: "sales" in station.part._emptied)
    station.members.facts = list[ev.Fact](station.known)
    await eventually(lambda: NeedsResync() in station.posted)
    assert station.members.asked == []
    station.members.facts = []
    await eventually(lambda: station.members.asked)
    assert set(station.members.asked) == {("sales", "PJSIP/1001"), ("sales", "PJSIP/1002")}
