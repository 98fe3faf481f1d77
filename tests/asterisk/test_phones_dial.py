"""Numbers dialled on agents' phones, which the daemon's gate must allow."""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
import statistics
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import quote

import pytest
import pytest_asyncio
from bed import Bed, Group, World, backend_named, match

from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

NUMBER = "+12025550100"
ACCOUNT = "+12025550199"

# The administrator's additions. 700 is an extension of theirs, 999 an emergency number.
ADMINISTRATOR = """
[avp-internal](+)
exten => 700,1,Dial(PJSIP/caller4,30,i)
[avp-emergency](+)
exten => 999,1,Dial(PJSIP/caller3,30,i)
"""

SETTINGS = {
    "AVP_ENTERPRISE__TOLL_FREE_SERVICE": "false",
    "AVP_GROUPS__SUPPORT__MANUAL_DIAL": "false",  # Carol and Dave
    "AVP_AGENTS__1002__COUNTRY": "GB",  # Bob
    "AVP_AGENTS__1003__COUNTRY": "AU",  # Carol
    "AVP_ACCOUNTS__ACME__COUNTRY": "US",
    "AVP_ACCOUNTS__ACME__CALLER_ID": ACCOUNT,
    # Dave's first group, of an account without a number of its own.
    "AVP_GROUPS__DESK__ACCOUNT": "other",
    "AVP_ACCOUNTS__OTHER__COUNTRY": "US",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Bed]:
    groups = (*World().groups, Group("desk", ("1004",), "802"))
    world = replace(World(), groups=groups, settings=SETTINGS, extensions=ADMINISTRATOR)
    async with Bed(world, backend=backend_named(None)) as bed:
        await bed.start_daemon()
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(office) as opened:
        yield opened


async def dial(scene: Scene, text: str, phone: str = "1001") -> float:
    """Dial a text unchanged, whatever it contains."""
    mark = await scene.ami.mark()
    await scene.phone(phone).dial(quote(text, safe="+"))
    return mark


async def rings(scene: Scene, phone: str, mark: float, dialled: str) -> None:
    """The phone rings, from this one Dial() and with this extension."""
    await scene.phone(phone).ringing()
    await scene.ami.wait(match("DialBegin"), 2.0, since=mark)
    begun = scene.ami.seen(match("DialBegin"), mark)
    assert [event["DestChannel"].partition("-")[0] for event in begun] == [f"PJSIP/{phone}"]
    assert begun[0]["Exten"] == dialled


async def refused(scene: Scene, mark: float, phone: str = "1001", *, within: float = 5.0) -> None:
    """A voice explains, then the call ends; there was no channel but the phone's own."""
    mine = scene.phone(phone)
    await mine.established(within=within)
    await mine.has_heard("speech", mark, least=0.2)
    await mine.closed(within=12.0)
    await scene.ami.mark()
    created = {event["Channel"] for event in scene.ami.seen(match("Newchannel"), mark)}
    assert len(created) == 1, created
    assert scene.ami.seen(match("DialBegin"), mark) == []


async def recorded(scene: Scene, since: int) -> dict[str, str]:
    """The one decision in the daemon's log since then, by field."""

    async def look() -> list[str] | None:
        *lines, _ = scene.log_of_daemon(since).split("\n")  # the last one is still being written
        return [line for line in lines if "] decision " in line] or None

    (line,) = await scene.ami.until(look, 3.0) or [""]
    return dict(field.split("=", 1) for field in shlex.split(line) if "=" in field)


@contextmanager
def frozen(bed: Bed) -> Iterator[None]:
    """The daemon accepts connections (the kernel does) and answers nothing."""
    assert bed.daemon is not None
    bed.signal_daemon(signal.SIGSTOP)
    try:
        yield
    finally:
        bed.signal_daemon(signal.SIGCONT)


# --- allowed ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [
        *(NUMBER, "202-555-0100", "01112025550100"),
        *(pytest.param(x, marks=pytest.mark.thorough) for x in ("2025550100", "12025550100")),
    ],
)
async def test_allowed_number(scene: Scene, typed: str) -> None:
    """In whatever form it was typed, the canonical number is dialled."""
    mark = await dial(scene, typed)
    await rings(scene, "pstn", mark, NUMBER)
    await scene.phone("pstn").answer()
    await scene.talking("1001", "pstn")
    await scene.hang_up("1001")
    await scene.gone("pstn")


async def test_the_agents_own_prefix(scene: Scene) -> None:
    """Bob is in Britain: 00 is his international prefix."""
    mark = await dial(scene, "00442079460000", "1002")
    await rings(scene, "pstn", mark, "+442079460000")


@pytest.mark.parametrize(
    ("phone", "typed", "shown"),
    [
        ("1001", NUMBER, ACCOUNT),
        ("1004", NUMBER, "1004"),  # no number of the account: the phone's own
        ("1003", "000", "1003"),  # whoever answers must know the phone
    ],
)
async def test_what_the_other_party_sees(scene: Scene, phone: str, typed: str, shown: str) -> None:
    await dial(scene, typed, phone)
    await scene.phone("pstn").answer()
    assert scene.phone("pstn").call.peer.startswith(f"sip:{shown}@")
    await scene.talking(phone, "pstn")


async def test_a_global_variable_of_that_name(scene: Scene) -> None:
    """The daemon's answer is shown, and nothing that was there before."""
    await scene.ami.command("dialplan set global AVP_GATE_CALLER_ID +12025550666")
    try:
        await dial(scene, NUMBER, "1004")
        await scene.phone("pstn").answer()
        assert scene.phone("pstn").call.peer.startswith("sip:1004@")
    finally:
        await scene.ami.command('dialplan set global AVP_GATE_CALLER_ID ""')


# --- on record -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phone", "typed", "expected"),
    [
        ("1001", NUMBER, ("allow", "ok", "AVP_ENTERPRISE__MANUAL_DIAL")),
        ("1003", NUMBER, ("deny", "manual_dial_disabled", "AVP_GROUPS__SUPPORT__MANUAL_DIAL")),
        (
            "1001",
            "18003569377",
            ("deny", "toll_free_not_enabled", "AVP_ENTERPRISE__TOLL_FREE_SERVICE"),
        ),
        ("1003", "000", ("pass", "emergency", "None")),
    ],
)
async def test_one_record_for_each_decision(
    scene: Scene, phone: str, typed: str, expected: tuple[str, str, str]
) -> None:
    since = len(scene.log_of_daemon())
    mark = await dial(scene, typed, phone)
    record = await recorded(scene, since)
    assert (record["decision"], record["reason"], record["setting"]) == expected
    assert record["target"] == "***" + re.sub(r"\D", "", typed)[-3:]
    assert (record["agent"], record["mode"], record["kind"]) == (phone, "dial", "number")
    assert record["channel"].startswith(f"PJSIP/{phone}-")
    mine = match("Newchannel", Channel=record["channel"])
    channel = await scene.ami.wait(mine, 2.0, mark)
    assert (record["channel"], record["call"]) == (channel["Channel"], channel["Uniqueid"])


@pytest.mark.thorough
async def test_round_trip(scene: Scene) -> None:
    """What the gate adds to a call, as Asterisk sees it."""
    took = []
    for _ in range(20):
        mark = await dial(scene, NUMBER)
        await scene.phone("pstn").ringing()
        await scene.hang_up("1001")
        await scene.gone("pstn")
        await scene.ami.mark()
        starts = scene.ami.seen(match("AGIExecStart"), mark)
        ends = scene.ami.seen(match("AGIExecEnd"), mark)
        assert len(starts) == len(ends) == 4
        state = [
            event
            for event in scene.ami.seen(match("VarSet"), mark)
            if event["Variable"] in ("AVP_GATE", "AGISTATUS")
        ]
        assert state[-1]["Value"] == "SUCCESS"
        took.append((state[-1].at - state[0].at) * 1000)
    print(f"gate: median {statistics.median(took):.1f} ms, longest {max(took):.1f} ms")
    assert statistics.median(took) < 250


# --- refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [
        pytest.param("12", marks=pytest.mark.thorough),
        pytest.param("5551234", marks=pytest.mark.thorough),
        "18003569377",  # toll-free, a service that the client lacks
        pytest.param("+442079460000", marks=pytest.mark.thorough),
        "011442079460000",
        pytest.param("00442079460000", marks=pytest.mark.thorough),
        pytest.param("2" * 18, marks=pytest.mark.thorough),
    ],
)
async def test_refused_number(scene: Scene, typed: str) -> None:
    await refused(scene, await dial(scene, typed))


@pytest.mark.thorough
async def test_number_of_another_country(scene: Scene) -> None:
    await refused(scene, await dial(scene, NUMBER, "1002"), "1002")


async def test_manual_dial_is_off(scene: Scene) -> None:
    mark = await dial(scene, NUMBER, "1003")
    await refused(scene, mark, "1003")
    reasons = [
        event["Value"]
        for event in scene.ami.seen(match("VarSet", Variable="AVP_GATE_REASON"), mark)
    ]
    assert reasons[-1] == "manual_dial_disabled"


@pytest.mark.parametrize(
    ("phone", "typed", "reason"),
    [
        ("1001", "0114930901820", "country_mismatch"),
        pytest.param(*("1001", "+18765550100", "country_mismatch"), marks=pytest.mark.thorough),
        ("1002", "0012025550100", "country_mismatch"),  # 00 is Britain's prefix
        ("1003", "2025550101", "manual_dial_disabled"),  # the preset's number
        ("1003", "0114930901820", "manual_dial_disabled"),  # before the number's own reason
    ],
)
async def test_reason(scene: Scene, phone: str, typed: str, reason: str) -> None:
    """The dialplan gets the answer, and it is recorded."""
    since = len(scene.log_of_daemon())
    mark = await dial(scene, typed, phone)
    told = match("VarSet", Variable="AVP_GATE_REASON", Value=reason)
    await scene.ami.wait(told, 3.0, since=mark)
    record = await recorded(scene, since)
    assert (record["agent"], record["reason"]) == (phone, reason)
    await scene.phone(phone).has_heard("speech", mark, least=0.2)
    await scene.phone(phone).idle()  # if it has not ended already
    await scene.ami.mark()
    assert scene.ami.seen(match("DialBegin"), mark) == []


# --- what needs no gate ----------------------------------------------------------------------


async def everything_inside(scene: Scene) -> None:
    """A colleague, an extension of the administrator's, emergency numbers."""
    for typed, phone, dialled in (
        ("1002", "1002", "1002"),
        ("700", "caller4", "700"),
        ("999", "caller3", "999"),
        ("911", "pstn", "911"),
        ("112", "pstn", "112"),
    ):
        mark = await dial(scene, typed)
        await rings(scene, phone, mark, dialled)
        assert scene.ami.seen(match("AGIExecStart"), mark) == []
        await scene.phone(phone).answer()
        await scene.talking("1001", phone)
        await scene.hang_up("1001")
        await scene.gone(phone)


async def test_inside(scene: Scene) -> None:
    await everything_inside(scene)


async def test_emergency_number_where_manual_dial_is_off(scene: Scene) -> None:
    """An emergency number that only the daemon knows: Carol is in Australia."""
    mark = await dial(scene, "000", "1003")
    await rings(scene, "pstn", mark, "000")


async def test_emergency_number_of_the_agents_country(scene: Scene) -> None:
    mark = await dial(scene, "9-9-9", "1002")
    await rings(scene, "caller3", mark, "9-9-9")


@pytest.mark.thorough
async def test_more_digits_after_an_emergency_number(scene: Scene) -> None:
    await refused(scene, await dial(scene, "9112025550100"))


# --- the daemon ------------------------------------------------------------------------------


@pytest.mark.thorough
async def test_daemon_down(scene: Scene, office: Bed) -> None:
    await office.stop_daemon(kill=True)
    try:
        await refused(scene, await dial(scene, NUMBER))
        await everything_inside(scene)
    finally:
        await office.start_daemon()


async def test_daemon_frozen(scene: Scene, office: Bed) -> None:
    """It accepts the connection without an answer: the dialplan waits 5 seconds."""
    with frozen(office):
        await refused(scene, await dial(scene, NUMBER), within=7.0)
        await everything_inside(scene)


async def test_silent_connections(scene: Scene, office: Bed) -> None:
    """200 silent peers delay nobody's call."""
    peers = [await asyncio.open_connection("127.0.0.1", office.ports.agi) for _ in range(200)]
    try:
        mark = await dial(scene, NUMBER)
        await rings(scene, "pstn", mark, NUMBER)
        await scene.phone("pstn").answer()
        await scene.talking("1001", "pstn")
    finally:
        for _, writer in peers:
            writer.close()
