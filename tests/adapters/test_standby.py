"""A standby takes over whenever the active daemon is gone, and never while it lives."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import Mock

import aiohttp
import pytest
from servers.ari_server import Answer
from servers.killable import WITHIN, Killable, consulting, members
from servers.pbx import Pbx
from servers.standbys import Pair, Standby, pair, until
from servers.waiting import eventually

from asterisk_avp.service import standing
from asterisk_avp.service.standing import NONE
from tests.ports import free_port


@pytest.fixture
async def two(many_agents: Pbx, tmp_path: Path) -> AsyncIterator[Pair]:
    async with pair(tmp_path, many_agents) as made:
        yield made


async def with_transfers(two: Pair, many: int = 3) -> set[str]:
    """Transfers of a daemon that is killed before those of the test begin."""
    before = Killable(two.pbx)
    await before.ready()
    callers = await consulting(before, two.pbx, many)
    await before.kill()
    await eventually(lambda: two.pbx.ari.owner is None, WITHIN)
    return set(callers)


async def serves_all(one: Standby, transfers: set[str]) -> None:
    await one.ready()
    assert await one.transfers() == dict.fromkeys(transfers, "consulting")


# --- the endings of the active daemon ----------------------------------------------------------


async def test_it_is_killed(two: Pair) -> None:
    transfers = await with_transfers(two)
    first, second = await two.both()
    await serves_all(first, transfers)
    first.signal(signal.SIGKILL)
    await serves_all(second, transfers)
    assert (await second.says("taking_over"))["reason"] == "no daemon serves"
    status, _ = await second.ask("POST", f"/v1/transfers/{min(transfers)}/cancel")
    assert status == 200


async def test_it_is_frozen_on_this_machine(two: Pair) -> None:
    """It is ended, so that its address is free and it cannot wake."""
    transfers = await with_transfers(two)
    first, second = await two.both()
    first.signal(signal.SIGSTOP)
    await serves_all(second, transfers)
    assert await first.left() == -signal.SIGKILL
    assert (await second.says("taking_over"))["reason"] == "the active daemon does not answer"
    assert (await second.says("frozen_daemon_ended"))["process"] == first.process.pid


async def test_it_is_frozen_on_another_machine_and_wakes_up(two: Pair) -> None:
    """It finds itself displaced before it sends anything but its question, and is the standby."""
    transfers = await with_transfers(two)
    away = free_port()
    first = two.start("first", port=away)
    await first.ready()
    second = two.start("second", AVP_STANDBY__ACTIVE_URL=first.url)
    await second.says("standby_ready")
    first.signal(signal.SIGSTOP)
    await serves_all(second, transfers)
    assert first.alive
    two.pbx.ari.asked.clear()
    of_first = two.pbx.ami.connections[1]  # after the one that began the transfers
    asked = len(of_first.actions)
    first.signal(signal.SIGCONT)
    await first.says("other_daemon_active")
    await first.says("standby_ready", 2)
    assert (await first.ask("GET", "/healthz"))[0] == 0
    await serves_all(second, transfers)
    assert len(second.said("taking_over")) == 1
    of_transfers = [x for x in two.pbx.ari.asked if x.method != "GET" and "/bridges" in x.path]
    assert of_transfers == []
    assert {action["Action"] for action in of_first.actions[asked:]} <= {"Ping", "Logoff"}
    second.signal(signal.SIGKILL)  # and back
    first.write(AVP_STANDBY__ACTIVE_URL=second.url)
    await serves_all(first, transfers)


async def test_it_is_stopped(two: Pair) -> None:
    """It leaves its transfers as they are, and the standby continues them at once."""
    transfers = await with_transfers(two)
    first, second = await two.both()
    first.signal(signal.SIGTERM)
    assert await first.left() == 0
    await serves_all(second, transfers)
    assert (await second.says("taking_over"))["reason"] == "the active daemon has stopped"
    assert first.said("left_to_standby")
    assert not first.said("transfers_returned")


async def test_it_is_stopped_and_there_is_no_standby(two: Pair) -> None:
    await with_transfers(two, 1)
    only = two.start("only", AVP_SESSION__DRAIN_SECONDS="0.2")
    await only.ready()
    only.signal(signal.SIGTERM)
    assert await only.left() == 0
    assert only.said("drained")


async def test_it_was_never_started(two: Pair) -> None:
    transfers = await with_transfers(two)
    await serves_all(two.start("only"), transfers)


async def test_both_start_at_once(two: Pair) -> None:
    one, other = two.start("one"), two.start("other")
    await one.ready()
    await other.says("standby_ready")
    await other.ready()
    serving = [x for x in (one, other) if x.said("ari_connected")]
    assert len(serving) == 1
    serving[0].signal(signal.SIGKILL)
    (left,) = {one, other} - {*serving}
    await until(lambda: bool(left.said("ari_connected")), "its turn")
    await left.ready()


# --- what is no ending --------------------------------------------------------------------------


async def test_the_standby_is_restarted(two: Pair) -> None:
    first, second = await two.both()
    second.signal(signal.SIGTERM)
    assert await second.left() == 0
    third = two.start("third")
    await third.says("standby_ready")
    first.signal(signal.SIGKILL)
    await third.ready()


async def test_asterisk_restarts_while_both_live(two: Pair) -> None:
    # The standby waits for twice as long as its own setting says: much longer.
    first, second = await two.both(reconnect="0.5", AVP_STANDBY__FROZEN_SECONDS="3")
    pbx = two.pbx
    await pbx.ari.stop()
    await second.says("standby_without_asterisk")
    pbx.ari.variables.clear()
    await pbx.ari.listen()
    await until(lambda: len(first.said("ari_connected")) == 2, "its reconnection")
    await first.ready()
    assert not second.said("taking_over")


async def test_the_active_one_loses_asterisk_and_the_standby_does_not(two: Pair) -> None:
    first = two.start("first", AVP_ARI__RECONNECT_MAX_SECONDS="0.3")
    await first.ready()
    second = two.start(
        "second",
        port=free_port(),
        AVP_STANDBY__ACTIVE_URL=first.url,
        AVP_STANDBY__FROZEN_SECONDS="3",
    )
    await second.says("standby_ready")
    first.signal(signal.SIGSTOP)
    two.pbx.ari.sockets[-1].drop()  # the connection is cut, and the process lives
    first.signal(signal.SIGCONT)
    await until(lambda: len(first.said("ari_connected")) == 2, "its reconnection")
    await first.ready()
    assert not second.said("taking_over")


async def test_wrong_credentials(two: Pair) -> None:
    first = two.start("first")
    await first.ready()
    second = two.start("second", AVP_ARI__PASSWORD="wrong")
    await second.says("standby_login_refused")
    assert "s3cret" not in second.log_file.read_text()
    first.signal(signal.SIGKILL)
    assert await first.left() == -signal.SIGKILL
    assert second.alive
    assert not second.said("taking_over")


async def test_a_slow_asterisk_is_no_reason(two: Pair) -> None:
    """Neither the active daemon's API nor Asterisk is quick, and both live."""
    first, second = await two.both(AVP_STANDBY__FROZEN_SECONDS="3")
    ari = two.pbx.ari
    slow = asyncio.Event()
    ari.answers["GET", "/applications/asterisk_avp"] = Answer(
        200, {"channel_ids": ["__AST_CHANNEL_ALL_TOPIC"], "bridge_ids": []}, hold=slow
    )
    for _ in range(3):
        await asyncio.sleep(2.4)  # how slow it is
        slow.set()
        slow.clear()
    del ari.answers["GET", "/applications/asterisk_avp"]
    slow.set()
    await first.ready()
    assert first.alive
    assert not second.said("taking_over")


async def test_an_api_that_is_away_is_no_reason_while_the_daemon_answers(two: Pair) -> None:
    first = two.start("first")
    await first.ready()
    second = two.start(
        "second",
        port=free_port(),
        AVP_STANDBY__ACTIVE_URL=f"http://127.0.0.1:{free_port()}",
        AVP_STANDBY__FROZEN_SECONDS="3",
        AVP_ARI__RECONNECT_MAX_SECONDS="0.5",
    )
    await second.says("active_answers_by_asterisk_only")
    await until(lambda: len(first.said("standby_answered")) >= 2, "a second question")
    assert not second.said("taking_over")
    first.signal(signal.SIGKILL)
    await second.ready()
    assert (await second.says("taking_over"))["reason"] == "the active daemon has lost Asterisk"


# --- settings, and who may know ----------------------------------------------------------------


async def test_it_reads_its_settings_again_while_it_waits(two: Pair) -> None:
    first, second = await two.both()
    second.write(AVP_AGENTS__1000__NAME="Anna")
    second.signal(signal.SIGHUP)
    await second.says("standby_ready", 2)
    second.write(AVP_AGENTS__1000__GROUPS="nowhere")
    second.signal(signal.SIGHUP)
    assert "nowhere" in str((await second.says("reload_refused"))["problems"])
    await second.says("standby_ready", 3)
    first.signal(signal.SIGKILL)
    await second.ready()
    _, agent = await second.ask("GET", "/v1/agents/1000")
    assert agent["name"] == "Anna"


async def test_log_ins_outlive_the_daemon_and_sign_outs_too(two: Pair) -> None:
    first, second = await two.both()

    async def log_in() -> str:
        _, answer = await first.ask("POST", "/v1/login", agent="1000", pin="1111")
        return str(answer["token"])

    async def knows(one: Standby, token: str) -> bool:
        return bool((await one.ask("GET", "/v1/agents/1000", token))[0] == 200)

    kept, ended = await log_in(), await log_in()
    cookies = {"Cookie": f"avp_session={ended}", "X-AVP-Panel": "1"}
    async with (
        aiohttp.ClientSession(headers=cookies) as http,
        http.delete(f"{first.url}/v1/session") as answer,
    ):
        assert answer.status < 300
    assert await knows(first, kept)
    assert not await knows(first, ended)
    variables = two.pbx.ari.variables
    await until(lambda: bool(variables.get("AVP_ENDED_LOGINS_0")), "the list in Asterisk")
    assert ended not in str(variables)
    first.signal(signal.SIGKILL)
    await second.ready()
    assert await knows(second, kept)
    await until(lambda: bool(second.said("ari_connected")), "the list")
    assert not await knows(second, ended)
    second.write(AVP_AGENTS__1000__PIN="2222")
    second.signal(signal.SIGHUP)
    await second.says("reloaded")
    assert not await knows(second, kept)


async def test_the_active_one_knows_of_its_standby(two: Pair) -> None:
    first, second = await two.both()

    async def gauge(name: str) -> float:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{first.url}/metrics") as answer,
        ):
            lines = (await answer.text()).splitlines()
        return next(float(x.split()[1]) for x in lines if x.startswith(name))

    async def waits() -> bool:
        return await gauge("asterisk_avp_standby ") == 1

    await until(waits, "its standby")

    assert await first.has_standby()
    second.signal(signal.SIGKILL)

    async def warned() -> bool:
        _, answer = await first.ask("GET", "/readyz")
        return any("standby" in text for text in (answer or {}).get("warnings", ()))

    await until(warned, "the warning")


def test_a_daemon_that_never_had_a_standby_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs with --standby, but the other is not there: after a take-over, say."""
    for warm, seconds, expected in ((True, -1.0, NONE), (True, 60.0, None), (False, -1.0, None)):
        monkeypatch.setattr(standing, "_BEGIN_SECONDS", seconds)
        ari, ami = Mock(), Mock()
        one = standing.Standing(ari, ami, Mock(), warm=warm)
        assert one.warnings() == ()  # it does not serve yet
        one.watched(Mock(), Mock())(True)
        assert one.warnings() == ((expected,) if expected else ())
        assert one.wants_standby is warm


def test_there_are_enough_agents() -> None:
    assert "1000" in members()
