"""Attempts to bypass the policy: odd targets, hostile numbers, and phones that forward a call.

After each, the caller talks to the transferor or waits for an agent, and no number was dialled.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Agent, Bed, Group, MovedPhone, World, backend_named, match

from tests.asterisk import guard
from tests.asterisk.conftest import open_scene
from tests.asterisk.guard import PRESET, PRESETS_NUMBER, number
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

# A speed dial of the administrator's: a moved call would reach it by its extension.
ADMINISTRATOR = """
[avp-internal](+)
exten => 770,1,Dial(PJSIP/pstn,30,i)
"""

# The effect of a 302: Bob's becomes an extension in the context of his phone (the default),
# Carol's is an address that the dialplan never sees.
PJSIP = """
[1003](+type=endpoint)
redirect_method = uri_core
"""

MOVED = ("1002", "1003")


def world() -> World:
    return replace(
        World(),
        agents=tuple(
            Agent(str(1001 + i), n) for i, n in enumerate(("Alice", "Bob", "Carol", "Dave"))
        ),
        groups=(
            Group("sales", ("1001", "1002", "1003"), number="800", strategy="linear"),
            Group("support", ("1002", "1003", "1004"), number="801", strategy="linear"),
            Group("back", ("1004",)),
        ),
        settings={
            "AVP_ENTERPRISE__MAX_HOLD_ACTION": "return",
            "AVP_PRESETS__BILLING__GROUP": "back",
        },
        wrapuptime=1,
        max_hold_seconds=3,
        extensions=ADMINISTRATOR,
        pjsip=PJSIP,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[tuple[Bed, dict[str, MovedPhone]]]:
    bed = Bed(world(), backend=backend_named(None))
    moved: dict[str, MovedPhone] = {}
    try:
        await bed.start(name for name in bed.world.accounts if name not in MOVED)
        for name in MOVED:
            port = bed.ports.phone(bed.world.accounts.index(name)).sip
            moved[name] = MovedPhone(name, port, bed.ports.sip)
            await moved[name].start()
        moved["1002"].contact = f"sip:770@127.0.0.1:{bed.ports.sip}"
        pstn = bed.ports.phone(bed.world.accounts.index("pstn")).sip
        moved["1003"].contact = f"sip:pstn@127.0.0.1:{pstn}"
        await guard.start_daemon(bed)
        yield bed, moved
    finally:
        for phone in moved.values():
            phone.stop()
        await bed.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: tuple[Bed, dict[str, MovedPhone]]) -> AsyncIterator[Scene]:
    async with open_scene(office[0]) as opened:
        yield opened


@pytest.fixture
def moved(office: tuple[Bed, dict[str, MovedPhone]]) -> dict[str, MovedPhone]:
    for phone in office[1].values():
        phone.invites.clear()
    return office[1]


async def reached(scene: Scene, phone: MovedPhone, times: int = 1) -> None:
    """Wait until the phone has been rung so often: it reads a call a moment after Asterisk."""

    async def look() -> bool | None:
        return len(phone.invites) >= times or None

    assert await scene.ami.until(look, 10.0), phone.invites


# --- requests -------------------------------------------------------------------------------------


async def test_targets(scene: Scene) -> None:
    """Targets that a mode does not allow, other groups' agents, and ids with additions."""
    await scene.call("caller1", "1001")
    began = await scene.ami.mark()
    for reason, mode, kind, target in (
        ("unsupervised_external", "unsupervised", "preset", "billing"),
        ("unsupervised_external", "unsupervised", "preset", "none such"),
        ("supervised_group", "supervised", "group", "support"),
        ("not_in_group", "supervised", "agent", "1004"),
        ("not_in_group", "unsupervised", "agent", "1004"),
        ("unknown_target", "supervised", "preset", PRESETS_NUMBER),
        ("unknown_target", "supervised", "preset", "billing&PJSIP/pstn"),
        ("unknown_target", "supervised", "agent", "1002&PJSIP/pstn"),
        ("unknown_target", "supervised", "agent", "pstn"),
        ("unknown_target", "unsupervised", "agent", "1002@avp-agent-queue"),
        ("unknown_target", "unsupervised", "agent", "+12025550100"),
        ("unknown_target", "unsupervised", "group", "support,tT"),
        ("unknown_target", "unsupervised", "group", "avp-agent-1002"),
        ("unknown_target", "unsupervised", "group", "+12025550100"),
    ):
        await guard.refuses(scene, reason, mode, {"kind": kind, "id": target})
    for typed in ("+12025550100", "911"):
        await guard.refuses(scene, "unsupervised_external", "unsupervised", number(typed))
    await guard.undisturbed(scene, began)


async def test_hostile_numbers(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    began = await scene.ami.mark()
    for reason, typed in (
        ("invalid_format", "+12025550100&PJSIP/pstn"),
        ("invalid_format", "+12025550100&Local/+12025550101@avp-external"),
        ("invalid_format", "+12025550100@avp-external@callers"),
        ("invalid_format", "Local/+12025550100@avp-external/n"),
        ("invalid_format", "PJSIP/+12025550100@pstn"),
        ("invalid_format", "+12025550100/n"),
        ("invalid_format", "+12025550100^avp-external^1"),
        ("invalid_format", "+12025550100\r\nAction: Redirect\r\nExten: 770"),
        ("invalid_format", "+12025550100\0"),
        ("invalid_format", "+1202555${EXTEN}"),
        ("invalid_format", "${CALLERID(num)}"),
        ("invalid_format", "$[2025550100]"),
        ("invalid_format", "+12025550100,60,G(avp-external^911^1)"),
        ("invalid_format", "2025550100w911"),
        ("invalid_format", "2025550100;ext=911"),
        ("invalid_format", "*672025550100"),
        ("invalid_format", "00 44 20 7946 0000"),  # 00 has no meaning in the United States
        ("country_mismatch", "011 49 30 901820"),
        ("country_mismatch", "+٤٤٢٠٧٩٤٦٠٠٠٠"),
        ("emergency", "112"),
        ("emergency", "9-1-1"),
        ("emergency", "011 911"),
        ("emergency", "911 202 555 0100"),
    ):
        await guard.refuses(scene, reason, "supervised", number(typed))
    await guard.undisturbed(scene, began)


@pytest.mark.thorough
async def test_international_prefix_of_another_country(scene: Scene) -> None:
    """1001 is in Britain: 00 leads abroad, to the client's own country too."""
    await scene.call("caller1", "1001")
    began = await scene.ami.mark()
    async with guard.settings(scene.bed, 'agents.1001.country = "GB"'):
        for typed in ("00 1 202 555 0100", "00 49 30 901820", "+1 202 555 0100"):
            await guard.refuses(scene, "country_mismatch", "supervised", number(typed))
        await guard.refuses(scene, "country_mismatch", "supervised", PRESET)
        await guard.refuses(scene, "emergency", "supervised", number("999"))
    await guard.undisturbed(scene, began)


# --- phones that send the call elsewhere (302) --------------------------------------------------


@pytest.mark.thorough
async def test_moved_target_of_a_consultation(scene: Scene, moved: dict[str, MovedPhone]) -> None:
    """It rings again and again until the transferor or max hold ends it; nothing else rings."""
    await scene.call("caller1", "1001")
    for target, how in (("1002", "cancelled"), ("1003", "max_hold")):
        transfer = await scene.transfer("1001", "supervised", target)
        await scene.on_music("caller1")
        await scene.ami.wait(match("AgentCalled", Interface=f"PJSIP/{target}"), 3.0, scene.since)
        await reached(scene, moved[target])
        if how == "cancelled":
            await scene.cancel(transfer)
            await scene.ends(transfer, "cancelled", "cancelled")
        else:
            await scene.ends(transfer, "failed", how, within=6)
        await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")
    guard.nothing_outside(scene)


async def test_moved_target_of_an_unsupervised_transfer(
    scene: Scene, moved: dict[str, MovedPhone]
) -> None:
    """The caller waits for max hold, and returns."""
    await scene.call("caller1", "1001")
    for target in MOVED:
        former = scene.phone("1001").call
        transfer = await scene.transfer("1001", "unsupervised", target)
        await scene.phone("1001").closed(former)
        await scene.on_music("caller1")
        await scene.phone("1001").answer(within=7)
        await scene.talking("caller1", "1001")
        assert moved[target].invites
        await scene.reaches(transfer, "failed")
    guard.nothing_outside(scene)


@pytest.mark.thorough
async def test_moved_members_of_a_group(scene: Scene, moved: dict[str, MovedPhone]) -> None:
    """The first agents that are rung are skipped; the caller reaches the next."""
    await scene.call("caller1", "1001")
    transfer = await scene.ask("1001", "unsupervised", "group", "support")
    assert transfer.status == 201, transfer
    await scene.phone("1004").answer(within=6)
    await scene.talking("caller1", "1004")
    await scene.gone("1001")
    assert all(phone.invites for phone in moved.values())
    await scene.ends(transfer.body["id"], "completed", "completed")
    guard.nothing_outside(scene)


async def test_moved_colleague_dialled_directly(scene: Scene, moved: dict[str, MovedPhone]) -> None:
    for target in MOVED:
        await scene.phone("1001").dial(target)
        await scene.phone("1001").closed()
        assert moved[target].invites
    await scene.ami.mark()  # all events until now have been read
    since = scene.since
    dialled = [event["DestChannel"] for event in scene.ami.seen(match("DialBegin"), since)]
    assert [name.partition("-")[0] for name in dialled] == [f"PJSIP/{name}" for name in MOVED]
    guard.nothing_outside(scene)


@pytest.mark.parametrize(
    "contact",
    [
        "sip:770@127.0.0.1",
        pytest.param("sip:+12025550100@127.0.0.1", marks=pytest.mark.thorough),
        pytest.param("sip:911@127.0.0.1", marks=pytest.mark.thorough),
        "sip:Local%2F%2B12025550100%40avp-external@127.0.0.1",
        pytest.param("sip:PJSIP%2Fpstn@127.0.0.1", marks=pytest.mark.thorough),
    ],
)
async def test_an_ordinary_call_that_a_phone_sends_elsewhere(
    scene: Scene, moved: dict[str, MovedPhone], contact: str
) -> None:
    """A call of Queue(sales,i), before any transfer request."""
    phone = moved["1002"]
    before, phone.contact = phone.contact, contact
    try:
        await scene.pause("1001")
        await scene.pause("1003")
        await scene.phone("caller1").dial("800")
        await reached(scene, phone, times=2)  # the first 302 has ended
        await scene.ami.mark()
        dialled = scene.ami.seen(match("DialBegin"), scene.since)
        names = {event["DestChannel"].partition("-")[0] for event in dialled}
        assert names == {"PJSIP/1002"}
        created = {x["Channel"] for x in scene.ami.seen(match("Newchannel"), scene.since)}
        assert {name.partition("-")[0] for name in created} == {"PJSIP/caller1", "PJSIP/1002"}
        guard.nothing_outside(scene)
        await scene.hang_up("caller1")
    finally:
        phone.contact = before
        await scene.pause("1001", paused=False)
        await scene.pause("1003", paused=False)
