"""Call centres whose queues, members and agents' phones are in a database.

The same tests on SQLite (res_config_sqlite3) and PostgreSQL (res_config_odbc). The personal queues
are in the file that `render` writes, beside the groups' queues of the database. Agents log in by
rows, as a program of the administrator's would write them.
"""

# ruff: noqa: S608 - the statements are the tests' own

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import textwrap
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from bed import Event
from bed.database import RealtimeBed, RealtimeWorld

from asterisk_avp.cli.check import collect
from asterisk_avp.install import checks
from asterisk_avp.install.checks.model import Severity
from tests.asterisk import guard
from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import FOURTH, Scene
from tests.asterisk.transfer_button import press

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

GUARD = "PJSIP_TRANSFER_HANDLING()=ari-only"
FEATURE = "DYNAMIC_FEATURES=avp_transfer"
SECONDS = 0.5
"""How often these daemons look at the database."""
DATABASES = ("sqlite3", "postgresql")


def centre(database: str) -> RealtimeWorld:
    demo = world()
    variables = {"AVP_HEARTBEAT_SECONDS": "120"}
    if database == "sqlite3":
        # One value for each column: the feature code is switched on for everybody instead.
        variables["DYNAMIC_FEATURES"] = "avp_transfer"
    return RealtimeWorld(
        groups=demo.groups,
        wrapuptime=2,
        max_hold_seconds=30,
        variables=variables,
        settings={
            **demo.settings,
            "AVP_SESSION__RING_SECONDS": "10",
            "AVP_AMI__REALTIME_SECONDS": str(SECONDS),
            "AVP_AMI__RECONNECT_MAX_SECONDS": "0.5",
            "AVP_ARI__RECONNECT_MAX_SECONDS": "0.5",
        },
    )


def skip_where_it_cannot_be(database: str) -> None:
    """CI runs as root, on Debian's Asterisk."""
    if database == "postgresql" and (os.geteuid() != 0 or os.environ.get("AVP_ROOTFS")):
        pytest.skip("PostgreSQL needs root, and Debian's packages beside Asterisk's")


_FIRST, *_MORE = DATABASES
EACH = [_FIRST, *(pytest.param(name, marks=pytest.mark.thorough) for name in _MORE)]
"""SQLite each time, PostgreSQL by `tests/run thorough`: it has a server and packages of its own."""


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=EACH)
async def office(request: pytest.FixtureRequest) -> AsyncIterator[RealtimeBed]:
    """Installed while it runs, by what the product prints."""
    skip_where_it_cannot_be(request.param)
    async with RealtimeBed(centre(request.param), request.param) as bed:
        remarks = await bed.install()
        assert ("[globals]" in remarks) == (request.param == "sqlite3"), remarks
        await guard.start_daemon(bed)
        yield bed


class RealtimeScene(Scene):
    bed: RealtimeBed

    async def personal(self, agent: str, *, paused: bool = False) -> Event:
        """Wait until the agent's queue has this one member."""

        async def look() -> Event | None:
            found = list((await self.ami.members(f"avp-agent-{agent}")).values())
            fits = len(found) == 1 and found[0]["Paused"] == str(int(paused))
            return found[0] if fits else None

        found = await self.ami.until(look, 5.0)
        assert found is not None, await self.ami.members(f"avp-agent-{agent}")
        return found

    async def no_personal(self, agent: str) -> None:
        async def look() -> bool | None:
            return None if await self.ami.members(f"avp-agent-{agent}") else True

        assert await self.ami.until(look, 5.0)


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: RealtimeBed) -> AsyncIterator[RealtimeScene]:
    async with open_scene(office) as opened:
        opened.__class__ = RealtimeScene
        yield opened  # type: ignore[misc]


async def test_log_in_break_and_log_out_by_rows(scene: RealtimeScene) -> None:
    """Asterisk tells nobody, and nobody asks about the queue; the panel and the rules follow."""
    bed = scene.bed
    await bed.remove_member("1002", "sales")
    await scene.agent_is("1002", "offline")
    await scene.no_personal("1002")
    await scene.call("caller1", "1001")
    assert await scene.refused("1001", "supervised", "agent", "1002") == "target_offline"

    await bed.add_member("1002", "sales")
    await scene.agent_is("1002", "available")
    transfer = await scene.transfer("1001", "supervised", "1002")
    member = await scene.personal("1002")
    assert (member["Location"], member["Membership"]) == ("PJSIP/1002", "dynamic")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")

    await bed.change_member("1002", "sales", paused=1, reason_paused="lunch")
    await scene.agent_is("1002", "not_ready")
    assert await scene.refused("1001", "supervised", "agent", "1002") == "target_not_ready"
    await bed.change_member("1002", "sales", paused=0)
    await scene.agent_is("1002", "available", within=10)


@pytest.mark.thorough
async def test_a_penalty_and_a_change_of_agent_at_the_same_time(scene: RealtimeScene) -> None:
    """The number of members stays the same, and that of free ones too."""
    bed = scene.bed
    mark = len(guard.records(bed, "queue_changed_in_database"))
    await bed.sql(
        "DELETE FROM queue_members WHERE uniqueid = 'sales-1002';",
        "INSERT INTO queue_members (queue_name, interface, membername, penalty, paused, uniqueid)"
        " VALUES ('sales', 'PJSIP/1003', 'Carol', 0, 0, 'sales-1003');",
        "UPDATE queue_members SET penalty = 3 WHERE uniqueid = 'sales-1001';",
    )
    await scene.agent_is("1002", "offline")
    await scene.no_personal("1002")

    async def groups() -> bool | None:
        return "sales" in (await scene.agent("1003"))["groups"] or None

    assert await scene.ami.until(groups, 5.0), await scene.agent("1003")
    found = guard.records(bed, "queue_changed_in_database")[mark:]
    assert [(record["queue"], record["members"]) for record in found] == [("sales", 3)]
    await bed.remove_member("1003", "sales")


async def test_supervised_with_wrap_up(scene: RealtimeScene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    async with scene.passing("1001", "acw"):
        await scene.complete(transfer)
        await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    async with scene.passing("1002", "acw"):
        await scene.hang_up("caller1")
    await scene.booked(Alice=1, Bob=1)


@pytest.mark.thorough
async def test_unsupervised_to_an_agent_who_talks(scene: RealtimeScene) -> None:
    await scene.call("caller1", "1001")
    await scene.phone("caller2").dial("800")
    await scene.phone("1002").answer()
    await scene.talking("caller2", "1002")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.gone("1001")
    await scene.reaches(transfer, "waiting")
    await scene.on_music("caller1")
    # A third party asks about the queues meanwhile; the call stays where it is.
    await scene.ami.list("QueueStatus")
    await scene.hang_up("caller2")
    await scene.phone("1002").answer(within=10)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_a_target_who_is_logged_out_by_a_row_gets_no_call(scene: RealtimeScene) -> None:
    """Their call was waiting: supervised, the transferor has the caller back."""
    await scene.call("caller1", "1001")
    await scene.phone("caller2").dial("800")
    await scene.phone("1002").answer()
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.reaches(transfer, "waiting")
    await scene.bed.remove_member("1002", "sales")
    await scene.ends(transfer, "failed", "target_offline", within=10)
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_group(scene: RealtimeScene) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "support", "group")
    await scene.phone("1003").answer()
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1003")
    assert await scene.variable("caller1", "AVP_GROUP") == "support"


@pytest.mark.thorough
async def test_button(scene: RealtimeScene) -> None:
    await scene.call("caller1", "1001")
    transfer = await press(scene, "1001", "1002")
    await scene.gone("1001")
    await scene.phone("1002").answer()
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_feature_code(scene: RealtimeScene) -> None:
    """A caller who presses the same keys has no effect, also where the code is on for all."""
    await scene.call("caller1", "1001")
    await scene.press("caller1", "*7")
    asked = time.time()
    await scene.press("1001", "*7")
    await scene.on_music("caller1")
    (transfer,) = [
        one for one in (await scene.api("GET", "/v1/transfers")).body if not one["ended_reason"]
    ]
    assert transfer["agent"] == "1001"
    await scene.phone("1001").has_heard("speech", asked)
    await scene.press("1001", "1002#")
    await scene.phone("1002").answer()
    await scene.consulting(transfer["id"], "caller1", "1001", "1002")
    await scene.press("1001", "*1")
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_external(scene: RealtimeScene) -> None:
    await scene.call("caller1", "1001")
    answer = await scene.api(
        "POST",
        "/v1/agents/1001/transfers",
        {"mode": "supervised", "target": {"kind": "number", "number": FOURTH}},
    )
    assert answer.status == 201, answer
    await scene.phone("pstn").answer()
    await scene.consulting(answer.body["id"], "caller1", "1001", "pstn")
    await scene.complete(answer.body["id"])
    await scene.talking("caller1", "pstn")


@pytest.mark.thorough
async def test_direct_and_outbound_calls(scene: RealtimeScene) -> None:
    await scene.direct_call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.hang_up("caller1")
    await scene.gone("1002")
    await scene.phone("1001").dial(FOURTH)
    await scene.phone("pstn").answer()
    await scene.talking("1001", "pstn")
    transfer = await press(scene, "1001", "1002")
    await scene.phone("1002").answer(within=10)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("pstn", "1002")


@pytest.mark.thorough
async def test_our_members_are_no_rows(scene: RealtimeScene) -> None:
    """The daemon's own changes leave the administrator's tables alone."""
    await scene.consult("caller1", "1001", "1002")
    await scene.personal("1002")
    queues = "SELECT name FROM queues ORDER BY name;"
    assert await scene.bed.sql(queues) == [("sales",), ("support",)]
    rows = "SELECT DISTINCT queue_name FROM queue_members ORDER BY queue_name;"
    assert await scene.bed.sql(rows) == [("sales",), ("support",)]


@pytest.mark.thorough
async def test_daemon_killed_in_a_consult(scene: RealtimeScene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.bed.stop_daemon(kill=True)
    await scene.hear_one_another("1001", "1002")
    await guard.start_daemon(scene.bed)
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_asterisk_restarted(scene: RealtimeScene) -> None:
    """Members come from the rows again, the agents' own memberships from Asterisk's database."""
    bed = scene.bed
    scene.expected.add('"level": "error')  # its web server answers before ARI is there
    await bed.kill_asterisk()
    await bed.start_asterisk()
    for phone in bed.phones.values():
        await phone.idle()
    for agent in bed.world.agents:
        await scene.agent_is(agent.id, "available", within=20)
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await bed.remove_member("1004", "support")
    await scene.agent_is("1004", "offline", within=10)
    await scene.no_personal("1004")


# --- what a column holds ----------------------------------------------------------------------


async def variables(bed: RealtimeBed, agent: str) -> set[str]:
    """Those of an endpoint. Asterisk shows each like an option of its own."""
    shown = await bed.ami.command(f"pjsip show endpoint {agent}")
    pairs = (line.partition(" : ") for line in shown.splitlines())
    found = {f"{name.strip()}={value.strip()}" for name, _, value in pairs}
    return found & {GUARD, FEATURE, "COLOUR=red"}


@pytest.mark.thorough
async def test_variables_of_an_endpoint(scene: RealtimeScene) -> None:
    """ODBC separates them at `;`. SQLite has one: who has another gets no Transfer button."""
    bed = scene.bed
    sqlite = bed.database.driver.startswith("sqlite3")
    assert await variables(bed, "1001") == ({GUARD} if sqlite else {GUARD, FEATURE})
    await bed.sql("UPDATE ps_endpoints SET set_var = 'COLOUR=red' WHERE id = '1004';")
    try:
        await bed.install()
        ours = set() if sqlite else {GUARD, FEATURE}
        assert await variables(bed, "1004") == {"COLOUR=red"} | ours
        (allowed,) = await bed.sql("SELECT allow_transfer FROM ps_endpoints WHERE id = '1004';")
        assert allowed == ("no" if sqlite else "",)
    finally:
        await bed.sql(
            "UPDATE ps_endpoints SET set_var = NULL, allow_transfer = NULL WHERE id = '1004';"
        )
        await bed.install()


# --- other shapes -----------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="session")
async def members_only() -> AsyncIterator[RealtimeScene]:
    """The queues are in queues.conf, only their members are rows. Nobody is logged in at first."""
    async with RealtimeBed(centre("sqlite3"), "sqlite3", queues_in_database=False) as bed:
        await bed.install()
        await guard.start_daemon(bed)
        await bed.ami.mark()
        for agent in bed.world.agents:
            assert await RealtimeScene(bed).agent_is(agent.id, "offline")
        async with open_scene(bed) as opened:
            opened.__class__ = RealtimeScene
            yield opened  # type: ignore[misc]


@pytest.mark.thorough
async def test_rows_for_members_of_queues_in_the_file(members_only: RealtimeScene) -> None:
    scene, bed = members_only, members_only.bed
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await bed.remove_member("1001", "sales")
    await scene.agent_is("1001", "offline")
    await scene.no_personal("1001")


@pytest_asyncio.fixture(loop_scope="session")
async def all_rows() -> AsyncIterator[RealtimeScene]:
    """The personal queues are rows as well."""
    skip_where_it_cannot_be("postgresql")
    async with RealtimeBed(centre("postgresql"), "postgresql", personal_in_database=True) as bed:
        await bed.install()
        await guard.start_daemon(bed)
        async with open_scene(bed) as opened:
            opened.__class__ = RealtimeScene
            yield opened  # type: ignore[misc]


@pytest.mark.thorough
async def test_personal_queues_as_rows(all_rows: RealtimeScene) -> None:
    """One call waits, it is the next one, and the members are no rows."""
    scene, bed = all_rows, all_rows.bed
    await scene.call("caller1", "1001")
    await scene.phone("caller2").dial("800")
    await scene.phone("1002").answer()
    await scene.phone("caller3").dial("800")
    await scene.waits("sales", "caller3")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    # Otherwise the transferor could get the call that waits for the group.
    await scene.pause("1001")
    await scene.reaches(transfer, "waiting")
    await scene.hang_up("caller2")
    await scene.phone("1002").answer(within=10)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")
    assert await bed.member_row("1001", "sales", "paused") == "1"  # Asterisk writes it
    await scene.pause("1001", paused=False)
    await scene.phone("1001").ringing()
    rows = "SELECT count(*) FROM queue_members WHERE queue_name LIKE 'avp-%';"
    assert await bed.sql(rows) == [("0",)]
    assert (await scene.personal("1002"))["Membership"] == "dynamic"
    # A restart of Asterisk forgets nobody.
    await scene.over()
    scene.expected.add('"level": "error')
    await bed.kill_asterisk()
    await bed.start_asterisk()
    for phone in bed.phones.values():
        await phone.idle()
    for agent in bed.world.agents:
        await scene.agent_is(agent.id, "available", within=20)


# --- check, and what INSTALL.txt says -----------------------------------------------------------


async def errors(bed: RealtimeBed) -> dict[str, str]:
    """The errors that `check` finds: id to what it says. Without the start of a process."""
    with pytest.MonkeyPatch.context() as patched:
        for name in [*os.environ]:
            patched.delenv(name)
        for name, value in {**bed._inherited(), **bed.daemon_env()}.items():
            patched.setenv(name, value)
        patched.chdir(bed.directory)
        found = checks.run(await collect(bed.directory / "etc"))
    return {one.id: one.what for one in found if one.severity is Severity.ERROR}


GUARDS = {
    "transfer_button": "set_var",
    "redirect_method": "redirect_method",
    "sip_message": "message_context",
}
"""Finding to the column in which an agent's phone lacks its guard."""


async def test_check_and_install_txt(office: RealtimeBed, tmp_path: Path) -> None:
    """Each guard that is taken out of the database is an error; INSTALL.txt has the SQL."""
    bed = office
    await bed.idle()
    assert await errors(bed) == {}
    for finding, column in GUARDS.items():
        ((there,),) = await bed.sql(f"SELECT {column} FROM ps_endpoints WHERE id = '1001';")
        without = "'uri_pjsip'" if column == "redirect_method" else "NULL"
        await bed.sql(f"UPDATE ps_endpoints SET {column} = {without} WHERE id = '1001';")
        found = await errors(bed)
        assert set(found) == {finding}, found
        assert "[1001]" in found[finding]
        await bed.sql(f"UPDATE ps_endpoints SET {column} = '{there}' WHERE id = '1001';")
    await bed.sql("UPDATE ps_endpoints SET set_var = NULL, message_context = NULL;")
    done = await asyncio.to_thread(
        subprocess.run,
        [
            *(str(bed.program), "render", "all", "--output", str(tmp_path / "ours")),
            *("--config-dir", f"{bed.directory}/etc"),
        ],
        env={**bed._inherited(), **bed.daemon_env()},
        cwd=bed.directory,
        capture_output=True,
        text=True,
        check=False,
    )
    printed = done.stdout + done.stderr
    (sql,) = re.findall(
        r"the database, table ps_endpoints, as SQL:\n\n((?:    .*\n)+)", printed
    ) or [printed]
    assert "'1001', '1002', '1003', '1004'" in sql
    await bed.sql(textwrap.dedent(sql))
    assert await errors(bed) == {}


@pytest.mark.thorough
@pytest.mark.parametrize("office", ["postgresql"], indirect=True)
async def test_a_database_that_is_away(scene: RealtimeScene) -> None:
    """Talk and transfer go on, agents are offline meanwhile, and all is as before afterwards."""
    bed = scene.bed
    transfer = await scene.consult("caller1", "1001", "1002")
    await asyncio.to_thread(bed.database.stop)
    for agent in ("1003", "1004"):
        await scene.agent_is(agent, "offline", within=15)
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await asyncio.to_thread(bed.database.start)
    for agent in ("1003", "1004"):
        await scene.agent_is(agent, "available", within=30)
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    transfer = await scene.transfer("1002", "unsupervised", "support", "group")
    await scene.phone("1003").answer()
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1003")
