"""CDR, CEL and queue_log of transferred calls: the data for reports remains correct.

On the demo's call centre, with CDR and CEL as files, Asterisk's default. The view of
docs/reporting.md is run on the queue_log that Asterisk has written.
"""

from __future__ import annotations

import csv
import sqlite3
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from bed import Bed, match, party

from tests.asterisk.scene import FOURTH, Scene
from tests.documentation import blocks, page

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

AFTER = "surveyed"
CONTEXT, DSTCHANNEL, UNIQUEID = 3, 6, 16
"""Columns of cdr_csv with ``loguniqueid``."""

CEL = """[general]
enable = yes
apps = all
events = ALL
"""
MODULES = ("res_cdrel_custom.so", "cel_custom.so")
FIELDS = ("eventtype", "eventtime", "CHANNEL(uniqueid)", "CHANNEL(linkedid)", "CHANNEL(channame)")
MAPPING = "[mappings]\nMaster.csv => " + ",".join(f"${{CSV_QUOTE(${{{x}}})}}" for x in FIELDS)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def books(bed: Bed) -> AsyncIterator[Bed]:
    etc = bed.directory / "etc"
    before = (etc / "cel.conf").read_text()
    (bed.directory / "log" / "cel-custom").mkdir(exist_ok=True)
    (etc / "cel.conf").write_text(CEL)
    (etc / "cel_custom.conf").write_text(MAPPING + "\n")
    bed.backend.give(bed.directory / "log" / "cel-custom")
    for name in MODULES:
        await bed.ami.action("ModuleLoad", Module=name, LoadType="load")
    await bed.ami.command("module reload cel")
    for command in (
        f"dialplan add extension 8300,1,Set,AVP_AFTER={AFTER},s,1 into callers",
        "dialplan add extension 8300,2,Goto,800,1 into callers",
        f'dialplan add extension "s,1,UserEvent,Survey,Of: ${{UNIQUEID}}" into {AFTER}',
    ):
        await bed.ami.command(command)
    yield bed
    (etc / "cel.conf").write_text(before)
    for name in reversed(MODULES):
        await bed.ami.action("ModuleLoad", Module=name, LoadType="unload")
    await bed.ami.command("module reload cel")
    for command in (
        "dialplan remove extension 8300@callers",
        f"dialplan remove extension s@{AFTER}",
    ):
        await bed.ami.command(command)


class Event:
    """A line of CEL."""

    def __init__(self, row: list[str]) -> None:
        self.kind, at, self.channel, self.linked, self.name = row
        self.at = float(at)


def cel(bed: Bed, caller: str) -> list[Event]:
    """The CEL records of the call of this caller's channel, by its linkedid."""
    events = [Event(row) for row in rows_of(bed.directory / "log" / "cel-custom" / "Master.csv")]
    return [event for event in events if event.linked == caller]


def rows_of(file: Path) -> list[list[str]]:
    """What was written so far; a file begins with its first row."""
    if not file.exists():
        return []
    whole, _, _ = file.read_text().rpartition("\n")  # the last line is still being written
    return [row for row in csv.reader(whole.splitlines()) if row]


def talk(events: list[Event]) -> dict[str, float]:
    """How long each phone's channels were in bridges."""
    seconds: dict[str, float] = defaultdict(float)
    for event in events:
        if event.name.startswith("PJSIP/") and event.kind.startswith("BRIDGE_"):
            sign = -1 if event.kind == "BRIDGE_ENTER" else 1
            seconds[party(event.name)] += sign * event.at
    return dict(seconds)


async def ended(scene: Scene, caller: str) -> list[Event]:
    """The call in CEL, once its end is there."""

    async def look() -> list[Event] | None:
        events = cel(scene.bed, caller)
        return events if any(x.kind == "LINKEDID_END" for x in events) else None

    found = await scene.ami.until(look, 5.0)
    assert found is not None, [vars(x) for x in cel(scene.bed, caller)]
    return found


async def partners(scene: Scene, caller: str) -> set[str]:
    """The phones to which the caller talked according to CDR, once the call's last row is there."""

    async def look() -> set[str] | None:
        file = scene.bed.directory / "log" / "cdr-csv" / "Master.csv"
        rows = [row for row in rows_of(file) if row[UNIQUEID] == caller]
        over = any(row[CONTEXT] == AFTER for row in rows)
        found = {row[DSTCHANNEL] for row in rows if row[DSTCHANNEL].startswith("PJSIP/")}
        return {party(name) for name in found} if over else None

    found = await scene.ami.until(look, 5.0)
    assert found is not None
    return found


async def to(scene: Scene, kind: str) -> tuple[str, str]:
    """A call that is transferred in this way. Returns the transfer, and who has the call."""
    if kind == "external":
        body = {"mode": "supervised", "target": {"kind": "number", "number": FOURTH}}
        transfer = (await scene.api("POST", "/v1/agents/1001/transfers", body)).body["id"]
        target = "pstn"
    elif kind == "group":
        transfer = await scene.transfer("1001", "unsupervised", "support", "group")
        target = "1003"
    else:
        mode = "unsupervised" if kind == "unsupervised" else "supervised"
        transfer, target = await scene.transfer("1001", mode, "1002"), "1002"
    await scene.phone(target).answer()
    if kind in ("unsupervised", "group"):
        return transfer, target
    await scene.consulting(transfer, "caller1", "1001", target)
    if kind == "cancelled":
        await scene.cancel(transfer)
        return transfer, "1001"
    if kind == "conference":
        await scene.act(transfer, "conference")
        await scene.hear_one_another("caller1", "1001", target)
    await scene.complete(transfer)
    return transfer, target


@pytest.mark.parametrize(
    "kind",
    [
        *("supervised", "conference", "group"),
        *(
            pytest.param(x, marks=pytest.mark.thorough)
            for x in ("cancelled", "external", "unsupervised")
        ),
    ],
)
async def test_one_call_in_the_books(books: Bed, scene: Scene, kind: str) -> None:
    """One linkedid, each agent's time, and the survey after it."""
    await scene.call("caller1", "1001", number="8300")
    caller = (await scene.ami.channel_of("caller1"))["Uniqueid"]
    transfer, last = await to(scene, kind)
    await scene.talking("caller1", last)
    began = time.time()
    await scene.reaches(transfer, "cancelled" if kind == "cancelled" else "completed")
    await scene.hang_up(last)
    await scene.ami.wait(match("UserEvent", UserEvent="Survey", Of=caller), 5.0, began)
    await scene.gone("caller1")
    events = await ended(scene, caller)
    # All phones that took part are in this one call, and so are the channels in between.
    phones = {party(x.name) for x in events if x.name.startswith("PJSIP/")}
    assert phones == {"caller1", "1001", last} | ({"1002"} if kind == "cancelled" else set())
    consulted = [x for x in events if transfer in x.channel]
    assert bool(consulted) == (kind not in ("unsupervised", "group"))
    assert await partners(scene, caller) == {"1001", last}
    spoken = talk(events)
    await scene.ami.mark()
    bridged = scene.ami.seen(match(("BridgeEnter", "BridgeLeave")), scene.since)
    for phone in phones - {"caller1"}:
        mine = [x for x in bridged if party(x["Channel"]) == phone]
        times = [float(x["Timestamp"]) for x in mine]  # by Asterisk's clock, as CEL's are
        leaves = [x.name == "BridgeLeave" for x in mine]
        seen = sum(at if left else -at for at, left in zip(times, leaves, strict=True))
        assert abs(spoken[phone] - seen) < 0.5, (phone, spoken, seen)


def table(rows: list[tuple[object, ...]], view: int = 0) -> sqlite3.Connection:
    """A database with these rows. ``view``: which statement of the page."""
    database = sqlite3.connect(":memory:")
    columns = "time, callid, queuename, agent, event, data1, data2, data3, data4, data5"
    database.execute(f"CREATE TABLE queue_log ({columns})")
    marks = ",".join("?" * 10)
    padded = [(*row, *[""] * 10)[:10] for row in rows]
    database.executemany(f"INSERT INTO queue_log VALUES ({marks})", padded)  # noqa: S608 - marks
    database.execute(blocks(page("docs/reporting.md"), "sql")[view].text)
    return database


@pytest.mark.thorough
async def test_groups_in_the_books_of_queues(scene: Scene) -> None:
    """Two calls to sales, each transferred once: all of it counts for the group."""
    for mode in ("supervised", "unsupervised"):
        await scene.agent_is("1001", "available", within=6)
        await scene.agent_is("1002", "available", within=6)
        await scene.call("caller1", "1001")
        transfer = await scene.transfer("1001", mode, "1002")
        await scene.phone("1002").answer()
        if mode == "supervised":
            await scene.consulting(transfer, "caller1", "1001", "1002")
            await scene.complete(transfer)
        await scene.talking("caller1", "1002")
        await scene.ends(transfer, "completed", "completed")
        await scene.hang_up("caller1")
    await scene.booked(Alice=2, Bob=2)
    log = scene.bed.queue_log.rows(scene.books_mark)
    rows = [(x.time, x.call, x.queue, x.agent, x.event, *x.data) for x in log]
    database = table(rows)
    done = "event IN ('COMPLETEAGENT', 'COMPLETECALLER')"
    by_agent = database.execute(
        f"SELECT queuename, agent, COUNT(*), SUM(data2) FROM queue_log_by_group WHERE {done} "  # noqa: S608
        "GROUP BY queuename, agent ORDER BY agent"
    ).fetchall()
    told = {name: sum(x.talk for x in found) for name, found in scene.completions().items()}
    assert by_agent == [("sales", "Alice", 2, told["Alice"]), ("sales", "Bob", 2, told["Bob"])]
    offered, in_time = database.execute(
        "SELECT SUM(event = 'ENTERQUEUE'), SUM(event = 'CONNECT' AND data1 + 0 <= 20) "
        "FROM queue_log_by_group WHERE queuename = 'sales' AND transferred = 0"
    ).fetchone()
    assert (offered, in_time) == (2, 2)
    queues = database.execute("SELECT DISTINCT queuename FROM queue_log_by_group").fetchall()
    assert queues == [("sales",)]
