"""The phone's own Transfer button with a call to the target (SIP REFER with Replaces).

The consultation is dialled on the phone, through avp-agents, and has therefore passed the gate.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import quote

import pytest
import pytest_asyncio
from bed import Bed, Call, Phone, backend_named, match, party

from tests.asterisk import guard, transfer_button
from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene
from tests.asterisk.transfer_button import back_to_the_group, fails, known, pressed

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

NUMBER = "2025550100"
# An extension of the administrator's, for example voicemail.
ADMINISTRATOR = """
[avp-internal](+)
exten => 770,1,Answer()
 same => n,MusicOnHold(default)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Bed]:
    world = replace(transfer_button.world(), extensions=ADMINISTRATOR)
    async with Bed(world, backend=backend_named(None)) as bed:
        await guard.start_daemon(bed)
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(office) as opened:
        yield opened


async def put_on_hold(scene: Scene, phone: Phone, call: Call) -> None:
    await phone.hold_quietly(call)
    await scene.on_music("caller1")


async def second_line(scene: Scene, number: str, target: str | None = None) -> tuple[Call, Call]:
    """1001 talks to caller1, holds that call and dials. Returns the two calls of 1001's phone."""
    await scene.call("caller1", "1001")
    phone = scene.phone("1001")
    first = phone.call
    await put_on_hold(scene, phone, first)
    second = await phone.dial(number)
    if target is not None:
        await scene.phone(target).answer()
        await phone.established(second)
        await scene.hear_one_another("1001", target)
    return first, second


async def attended(
    scene: Scene, calls: tuple[Call, Call], decided: str, reason: str, mode: str = "supervised"
) -> dict[str, str]:
    """Press Transfer. Returns the decision."""
    before = known(scene)
    await scene.bed.attended_transfer(scene.phone("1001"), *calls)
    return await pressed(scene, before, "1001", decided, reason, mode)


async def declined(scene: Scene, first: Call, reason: str) -> None:
    """The phone hangs up on the refusal, and the caller is with the group again."""
    await scene.phone("1001").closed(first)
    assert transfer_button.told(scene.phone("1001"), scene.since) == "refused"
    await back_to_the_group(scene, by="1002")
    await fails(scene, reason)


# --- completed ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "target", "kind"),
    [("1002", "1002", "agent"), (NUMBER, "pstn", "number")],
    ids=["agent", "number"],
)
async def test_target_talks(scene: Scene, number: str, target: str, kind: str) -> None:
    calls = await second_line(scene, number, target)
    decided = await attended(scene, calls, "allow", "ok")
    assert decided["kind"] == kind
    await scene.ends(decided["transfer"], "completed", "completed")
    await scene.gone("1001")
    await scene.talking("caller1", target)
    await scene.plain("caller1", target)
    assert transfer_button.told(scene.phone("1001"), scene.since) == "done"
    if kind == "agent":
        await scene.agent_is("1002", "talking")
        await scene.talks_with("1002", "caller1")
        assert '"case":"4711"' in await scene.variable("caller1", "AVP_POP")
    # With the caller's end the target's call has ended; nothing is played or dialled.
    before, ended = known(scene), await scene.ami.mark()
    await scene.hang_up("caller1")
    await scene.gone(target, within=2)
    assert scene.phone(target).understood(ended) <= {"caller1"}
    await scene.booked(Alice=1)
    assert known(scene) == before


async def test_by_hanging_up_the_target_ends_the_call(scene: Scene) -> None:
    decided = await attended(scene, await second_line(scene, "1002", "1002"), "allow", "ok")
    await scene.ends(decided["transfer"], "completed", "completed")
    await scene.talking("caller1", "1002")
    await scene.hang_up("1002")
    await scene.gone("caller1", "1001")
    await scene.booked(Alice=1)


@pytest.mark.thorough
async def test_without_hold(scene: Scene) -> None:
    """Some phones mix both calls' audio; the REFER is the same."""
    calls = await second_line(scene, "1002", "1002")
    await scene.phone("1001").resume(calls[0])
    await scene.talking("caller1", "1001")
    decided = await attended(scene, calls, "allow", "ok")
    await scene.ends(decided["transfer"], "completed", "completed")
    await scene.gone("1001")
    await scene.talking("caller1", "1002")


async def test_target_still_rings(scene: Scene) -> None:
    """It becomes unsupervised: the phone's own call is dropped, and the caller rings the target."""
    calls = await second_line(scene, "1002")
    await scene.phone("1002").ringing()
    decided = await attended(scene, calls, "allow", "ok", "unsupervised")
    await scene.gone("1001")
    await scene.rung_again("1002")
    await scene.ends(decided["transfer"], "completed", "completed")
    await scene.talking("caller1", "1002")
    assert transfer_button.told(scene.phone("1001"), scene.since) == "done"
    await scene.hang_up("caller1")
    await scene.booked(Alice=1, Bob=1)


@pytest.mark.thorough
async def test_a_call_by_no_queue(scene: Scene) -> None:
    await scene.direct_call("caller1", "1001")
    phone = scene.phone("1001")
    first = phone.call
    await phone.hold(first)
    second = await phone.dial("1002")
    await scene.phone("1002").answer()
    await phone.established(second)
    await scene.hear_one_another("1001", "1002")
    decided = await attended(scene, (first, second), "allow", "ok")
    await scene.ends(decided["transfer"], "completed", "completed")
    await scene.gone("1001")
    await scene.talking("caller1", "1002")


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.thorough
async def test_another_groups_agent(scene: Scene) -> None:
    first, second = await second_line(scene, "1003", "1003")
    await attended(scene, (first, second), "deny", "not_in_group")
    await declined(scene, first, "not_in_group")
    await scene.hear_one_another("1001", "1003")  # what the phone dialled belongs to the phone


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("groups.sales manual_dial", "manual_dial_disabled"),
        pytest.param(
            *("groups.sales external_transfer", "external_disabled"), marks=pytest.mark.thorough
        ),
    ],
)
async def test_a_number_that_is_no_longer_allowed(scene: Scene, setting: str, reason: str) -> None:
    """Allowed when it was dialled, and disabled when the caller is to be transferred."""
    calls = await second_line(scene, NUMBER, "pstn")
    level, name = setting.split()
    text = (
        f"[{level}]\n{name} = false\nmanual_dial = false\n"
        if "ext" in name
        else (f"[{level}]\n{name} = false\n")
    )
    async with guard.settings(scene.bed, text):
        await attended(scene, calls, "deny", reason)
        await declined(scene, calls[0], reason)


@pytest.mark.thorough
async def test_a_number_that_still_rings(scene: Scene) -> None:
    """Before the answer it could only be unsupervised, which is not possible for a number."""
    calls = await second_line(scene, NUMBER)
    await scene.phone("pstn").ringing()
    await attended(scene, calls, "deny", "unsupervised_external", "unsupervised")
    await declined(scene, calls[0], "unsupervised_external")


async def test_what_was_not_gated(scene: Scene) -> None:
    """A caller may not be transferred to an extension of the administrator's."""
    phone = scene.phone("1001")
    first, second = await second_line(scene, "770")
    await phone.established(second)
    await phone.hears({"music"})
    before = known(scene)
    await scene.bed.attended_transfer(phone, first, second)
    record = await transfer_button.decision(scene, before)
    assert record["decision"] == "deny", record
    await phone.closed(first)
    await back_to_the_group(scene)


@pytest.mark.thorough
async def test_another_caller(scene: Scene) -> None:
    """Two callers of one agent are not connected."""
    await scene.call("caller1", "1001")
    phone = scene.phone("1001")
    first = phone.call
    await phone.hold(first)
    await scene.phone("caller2").dial("1001")
    second = await phone.answer()
    await scene.hear_one_another("1001", "caller2")
    await attended(scene, (first, second), "deny", "invalid_format")
    await declined(scene, first, "invalid_format")
    await scene.hear_one_another("1001", "caller2")


async def test_no_such_call(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    before, since = known(scene), await scene.ami.mark()
    proxy = scene.bed.ports.sip
    replaces = "nosuchcall%3Bto-tag%3Daa%3Bfrom-tag%3Dbb"
    first = scene.phone("1001").call
    await scene.phone("1001").transfer(f"sip:1005@127.0.0.1:{proxy}?Replaces={replaces}")
    await pressed(scene, before, "1001", "deny", "unknown_target")
    await scene.phone("1001").closed(first)
    await back_to_the_group(scene)
    assert scene.ami.seen(match("AgentCalled", Interface="PJSIP/1005"), since) == []


async def test_a_colleagues_call(scene: Scene) -> None:
    """Asterisk finds a call by its id and tags, whoever it belongs to."""
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    channel = (await scene.ami.channel_of("1002"))["Channel"]
    parts = [
        await scene.ami.variable(channel, f"CHANNEL(pjsip,{what})")
        for what in ("call-id", "local_tag", "remote_tag")
    ]
    proxy = scene.bed.ports.sip
    replaces = f"{parts[0]}%3Bto-tag%3D{parts[1]}%3Bfrom-tag%3D{parts[2]}"
    before = known(scene)
    await scene.phone("1001").transfer(f"sip:1002@127.0.0.1:{proxy}?Replaces={replaces}")
    await pressed(scene, before, "1001", "deny", "unknown_target", "supervised")
    await scene.gone("1001")
    await scene.talking("caller2", "1002")
    await back_to_the_group(scene, by="1005")


@pytest.mark.thorough
async def test_the_target_has_hung_up(scene: Scene) -> None:
    """And its call with it: nothing is left that the phone could refer to."""
    first, second = await second_line(scene, "1002", "1002")
    before, proxy = known(scene), scene.bed.ports.sip
    rows = [x for x in await scene.ami.channels() if party(x["Channel"]) == "1001"]
    dialogs = [await scene.bed.dialog(row["Channel"]) for row in rows]
    (dialog,) = (x for x in dialogs if x.startswith(f"{second.id};"))
    gone = match("HangupRequest", Channel=(await scene.ami.channel_of("1002"))["Channel"])
    since = await scene.ami.mark()
    await scene.hang_up("1002")
    await scene.ami.wait(gone, 3.0, since)
    replaces = quote(dialog, safe="")
    await scene.phone("1001").transfer(f"sip:1002@127.0.0.1:{proxy}?Replaces={replaces}", first)
    record = await transfer_button.decision(scene, before)
    assert record["agent"] == "1001"
    await scene.phone("1001").closed(first)
    assert transfer_button.told(scene.phone("1001"), scene.since) == "refused"
    await back_to_the_group(scene)


# --- meanwhile ------------------------------------------------------------------------------------


async def test_the_caller_hangs_up_meanwhile(scene: Scene) -> None:
    """Before or just after the bridging; what is left of the calls ends or is unchanged."""
    calls = await second_line(scene, "1002", "1002")
    await scene.bed.attended_transfer(scene.phone("1001"), *calls)
    await scene.hang_up("caller1")
    await scene.phone("1001").closed(calls[0])

    async def over() -> bool | None:
        transfers = (await scene.api("GET", "/v1/transfers")).body
        return all(one["ended_reason"] is not None for one in transfers) or None

    assert await scene.ami.until(over, 6.0)
    since, agent, target = await scene.ami.mark(), scene.phone("1001"), scene.phone("1002")

    async def settled() -> bool | None:
        """A call that is about to end still looks like one for a moment."""
        talking = "1002" in agent.heard(since) and "1001" in target.heard(since)
        return talking or not (agent.live or target.live) or None

    assert await scene.ami.until(settled, 5.0)


@pytest.mark.thorough
async def test_the_phone_dies_having_pressed(scene: Scene) -> None:
    calls = await second_line(scene, "1002", "1002")
    before = known(scene)
    phone = scene.phone("1001")
    await scene.bed.attended_transfer(phone, *calls)
    assert phone.process is not None
    phone.process.signal(signal.SIGKILL)  # it does not send a BYE
    async with scene.without_phone("1001", registered=True):
        record = await pressed(scene, before, "1001", "allow", "ok", "supervised")
        await scene.ends(record["transfer"], "completed", "completed")
        await scene.talking("caller1", "1002")
