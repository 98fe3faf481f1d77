"""The feature code and the keys during a consultation, on real phones.

What an agent may dial, what they hear on a refusal, and that nobody is ever left with neither a
party nor music. `tests/core/test_feature_code.py` covers the meaning of keys in each state.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, World, backend_named, match, party

from asterisk_avp.core.policy import policy
from asterisk_avp.core.transfer import prompts
from tests.asterisk import guard
from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

OUTSIDE = "2025550100"


def patient() -> World:
    """Keys are pressed while a target waits or rings, and on a busy machine they take long."""
    demo = world()
    ring = {"AVP_SESSION__RING_SECONDS": "20"}
    return replace(demo, max_hold_seconds=60, settings=demo.settings | ring)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Bed]:
    async with Bed(patient(), backend=backend_named(None)) as started:
        await guard.start_daemon(started)
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(office) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def other_office() -> AsyncIterator[Bed]:
    """Members are Local/…/n, agents' phones send keys as SIP INFO, and the keys are different."""
    keys = {
        "AVP_KEYS__COMPLETE": "##",
        "AVP_KEYS__CANCEL": "*00",
        "AVP_KEYS__SWAP": "1",
        "AVP_KEYS__ADD_PARTY": "#4",
    }
    demo = patient()
    other = replace(
        demo,
        settings=demo.settings | keys,
        local_members=True,
        keys_by_info=("1001", "1002"),
    )
    async with Bed(other, backend=backend_named(None)) as started:
        await guard.start_daemon(started)
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def other(other_office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(other_office) as opened:
        yield opened


# --- the words of these tests --------------------------------------------------------------------


async def press(scene: Scene, keys: str, agent: str = "1001") -> None:
    await scene.press(agent, keys)


async def begun(scene: Scene, agent: str = "1001", caller: str = "caller1") -> str:
    """The code is pressed in a call: the caller hears music, and the agent a prompt."""
    before = {transfer["id"] for transfer in (await scene.api("GET", "/v1/transfers")).body}
    asked = time.time()
    await press(scene, "*7", agent)

    async def look() -> str | None:
        for transfer in (await scene.api("GET", "/v1/transfers")).body:
            if transfer["id"] not in before:
                assert (transfer["state"], transfer["target"]) == ("starting", None)
                return str(transfer["id"])
        return None

    found = await scene.ami.until(look, 3.0)
    assert found is not None
    await scene.on_music(caller)
    await told(scene, agent, asked)
    return found


async def told(scene: Scene, agent: str, since: float) -> None:
    """The agent has heard a prompt."""
    await scene.phone(agent).has_heard("speech", since)


async def refused(scene: Scene, keys: str, reason: str) -> None:
    """1001 keys this in, which is refused, and hears so: the first digit has ended the prompt."""
    known = len(decisions(scene))
    await press(scene, keys)
    began = time.time()

    async def decided() -> bool | None:
        return len(decisions(scene)) > known or None

    assert await scene.ami.until(decided, 3.0)
    assert decisions(scene)[known:][0][2:] == ("deny", reason)
    await told(scene, "1001", began)


async def asked(scene: Scene, agent: str = "1001") -> str:
    """A call from the group, and the code in it."""
    await scene.call("caller1", agent)
    return await begun(scene, agent)


async def consulting(scene: Scene) -> str:
    """With keys only: 1001 consults 1002."""
    transfer = await asked(scene)
    await press(scene, "1002#")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    return transfer


def sent(scene: Scene, name: str) -> str:
    """The keys that Asterisk has sent to a phone since the test began."""
    events = scene.ami.seen(match("DTMFEnd", Direction="Sent"), scene.since)
    return "".join(event["Digit"] for event in events if party(event["Channel"]) == name)


async def receives(scene: Scene, name: str, keys: str) -> None:
    async def look() -> bool | None:
        return sent(scene, name) == keys or None

    assert await scene.ami.until(look, 4.0), sent(scene, name)


def decisions(scene: Scene) -> list[tuple[str | None, ...]]:
    """The audit records of the test's requests: mode, kind, decision and reason."""
    found = guard.records(scene.bed, "decision")
    mine = [record for record in found if record["timestamp"] >= _stamp(scene.since)]
    return [(r["mode"], r["kind"], r["decision"], r["reason"]) for r in mine]


def _stamp(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


ASKED = ("supervised", None, "allow", "ok")


# --- where to ------------------------------------------------------------------------------------


@pytest.mark.smoke("feature code")
async def test_code_to_an_agent_then_complete(scene: Scene) -> None:
    transfer = await consulting(scene)
    await press(scene, "*1")
    await scene.ends(transfer, "completed", "completed")
    await scene.gone("1001")
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    assert decisions(scene) == [ASKED, ("supervised", "agent", "allow", "ok")]
    assert [sent(scene, name) for name in ("caller1", "1002")] == ["", ""], "none but 1001's"
    await scene.hang_up("caller1")
    await scene.gone("1002")
    await scene.booked(Alice=1, Bob=1)


async def test_swap_conference_cancel(scene: Scene) -> None:
    transfer = await asked(scene)
    await press(scene, "1002")  # a pause has the same effect as #
    await scene.phone("1002").answer(within=9)
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await press(scene, "*3")
    await scene.reaches(transfer, "swapped")
    await scene.hear_one_another("caller1", "1001")
    await scene.on_music("1002")
    await press(scene, "*3")
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await press(scene, "*4")
    await scene.reaches(transfer, "conference")
    await scene.hear_one_another("caller1", "1001", "1002")
    await press(scene, "*2")
    await scene.ends(transfer, "cancelled", "cancelled")
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")
    assert [sent(scene, name) for name in ("caller1", "1002")] == ["", ""]


async def test_a_busy_agent_is_waited_for(scene: Scene) -> None:
    """And a key without a meaning yet beeps, without leaving anybody in silence."""
    await scene.call("caller2", "1001")
    await scene.call("caller1", "1002")
    transfer = await begun(scene, "1002")
    await press(scene, "1001#", "1002")
    await scene.reaches(transfer, "waiting")
    await scene.on_music("1002", "caller1")
    await press(scene, "*3", "1002")
    await scene.phone("1002").hears({"music"}, steady=1.0)
    await scene.hang_up("caller2")
    await scene.gone("1001")
    await scene.phone("1001").ringing(within=6)
    await scene.phone("1002").hears({"ringback"})
    await press(scene, "*4", "1002")
    await scene.phone("1002").hears({"ringback"}, within=5.0)
    assert await scene.state(transfer) == "ringing"
    await scene.phone("1001").answer()
    await scene.consulting(transfer, "caller1", "1002", "1001")
    await press(scene, "*1", "1002")
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_refused_then_a_group(scene: Scene) -> None:
    transfer = await asked(scene)
    await scene.pause("1002")
    await scene.agent_is("1002", "not_ready")
    await refused(scene, "1002#", "target_not_ready")
    await scene.pause("1002", paused=False)
    assert await scene.state(transfer) == "starting"
    await press(scene, "801#")
    await scene.gone("1001")
    await scene.on_music("caller1")
    await scene.phone("1003").answer()
    await scene.talking("caller1", "1003")
    await scene.ends(transfer, "completed", "completed")
    await scene.plain("caller1", "1003")
    assert decisions(scene) == [
        ASKED,
        ("supervised", "agent", "deny", "target_not_ready"),
        ("unsupervised", "group", "allow", "ok"),
    ]
    await scene.hang_up("caller1")
    await scene.gone("1003")
    await scene.booked(Alice=1, Carol=1)


@pytest.mark.thorough
async def test_a_preset_and_keys_for_it(scene: Scene) -> None:
    """Other keys reach the other party; a lone * does so after a pause."""
    transfer = await asked(scene)
    await press(scene, "91#")
    await scene.phone("pstn").answer()
    await scene.consulting(transfer, "caller1", "1001", "pstn")
    await press(scene, "5*9")
    await receives(scene, "pstn", "5*9")
    await press(scene, "*")
    await receives(scene, "pstn", "5*9*")
    await press(scene, "1")
    await receives(scene, "pstn", "5*9*1")
    assert await scene.state(transfer) == "consulting"
    assert sent(scene, "caller1") == ""
    await press(scene, "*2")
    await scene.ends(transfer, "cancelled", "cancelled")
    await scene.talking("caller1", "1001")


async def test_refused_numbers_then_a_good_one(scene: Scene) -> None:
    transfer = await asked(scene)
    await refused(scene, "011442079460000#", "country_mismatch")
    await refused(scene, "911#", "emergency")
    guard.nothing_outside(scene)
    await press(scene, f"{OUTSIDE}#")
    await scene.phone("pstn").answer()
    await scene.consulting(transfer, "caller1", "1001", "pstn")
    await press(scene, "*1")
    await scene.ends(transfer, "completed", "completed")
    await scene.gone("1001")
    await scene.talking("caller1", "pstn")
    assert decisions(scene)[1:] == [
        ("supervised", "number", "deny", "country_mismatch"),
        ("supervised", "number", "deny", "emergency"),
        ("supervised", "number", "allow", "ok"),
    ]


@pytest.mark.thorough
async def test_wrong_three_times(scene: Scene) -> None:
    async with guard.settings(scene.bed, "groups.sales.manual_dial = false"):
        transfer = await asked(scene)
        await press(scene, f"{OUTSIDE}#{OUTSIDE}#")
        assert await scene.state(transfer) == "starting"
        await press(scene, f"{OUTSIDE}#")
        await scene.ends(transfer, "failed", "manual_dial_disabled", within=2.0)
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")
    guard.nothing_outside(scene)


@pytest.mark.parametrize("typed", ["10", pytest.param("", marks=pytest.mark.thorough)])
async def test_back(scene: Scene, typed: str) -> None:
    """Also while the prompt still plays: it does not delay the cancellation."""
    transfer = await asked(scene)
    await press(scene, typed + "*")
    await scene.ends(transfer, "cancelled", "cancelled", within=1.5)
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")


@pytest.mark.thorough
async def test_nothing_typed(scene: Scene) -> None:
    transfer = await asked(scene)
    await scene.ends(transfer, "failed", "no_input", within=17.0)
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_agent_hangs_up_while_asked(scene: Scene) -> None:
    transfer = await asked(scene)
    await press(scene, "10")
    await scene.hang_up("1001")
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await scene.ends(transfer, "failed", "transferor_hangup")


@pytest.mark.thorough
async def test_caller_hangs_up_while_the_agent_is_asked(scene: Scene) -> None:
    transfer = await asked(scene)
    await scene.hang_up("caller1")
    await scene.gone("1001")
    await scene.ends(transfer, "abandoned", "caller_hangup")


# --- during a consult ----------------------------------------------------------------------------


@pytest.mark.thorough
async def test_four_by_keys(scene: Scene) -> None:
    transfer = await consulting(scene)
    began = time.time()
    await press(scene, "*5")
    await told(scene, "1001", began)
    await refused(scene, "12#", "invalid_format")
    await press(scene, f"{OUTSIDE}#")
    await scene.phone("pstn").answer()
    await scene.hear_one_another("1001", "1002", "pstn")
    await scene.on_music("caller1")
    await press(scene, "*4")
    await scene.hear_one_another("caller1", "1001", "1002", "pstn")
    await press(scene, "*5")  # there can be no fifth: a beep
    await scene.hear_one_another("caller1", "1001", "1002", "pstn")
    assert [sent(scene, name) for name in ("caller1", "1002", "pstn")] == ["", "", ""]
    await press(scene, "*1")
    await scene.gone("1001")
    await scene.hear_one_another("caller1", "1002", "pstn")
    await scene.hang_up("pstn")
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")
    assert decisions(scene)[2:] == [
        ("party", "number", "deny", "invalid_format"),
        ("party", "number", "allow", "ok"),
    ]


@pytest.mark.thorough
@pytest.mark.parametrize(
    "action",
    ["swap", *(pytest.param(x, marks=pytest.mark.thorough) for x in ("cancel", "complete"))],
)
async def test_nobody_waits_for_the_end_of_a_prompt(scene: Scene, action: str) -> None:
    """Keys and the API together: the prompt of three seconds has just begun."""
    transfer = await consulting(scene)
    began = time.time()
    await press(scene, "*5")
    await told(scene, "1001", began)
    asked_at = time.time()
    await scene.act(transfer, action)
    pair = ("caller1", "1002") if action == "complete" else ("caller1", "1001")
    for name, other in (pair, pair[::-1]):
        heard = await scene.phone(name).hears({other})
        assert heard - asked_at < 1.5, scene.phone(name).timeline(began)
    if action == "swap":
        await press(scene, "*3")  # no digit of a number that is no longer requested
        await scene.consulting(transfer, "caller1", "1001", "1002")


# --- whose code it is, and when ------------------------------------------------------------------


async def test_a_code_that_does_nothing(scene: Scene) -> None:
    """Callers have none; agents have none where session transfer is off."""
    await scene.call("caller1", "1001")
    await press(scene, "*7", "caller1")
    await receives(scene, "1001", "*7")
    async with guard.settings(scene.bed, "groups.sales.session_transfer = false"):
        mark = await scene.ami.mark()
        await press(scene, "*7")
        await scene.ami.wait(match("UserEvent", UserEvent="AVPFeature"), 3.0, since=mark)
        known = await scene.ami.mark()

        async def decided() -> bool | None:
            return decisions(scene) == [("supervised", None, "deny", "transfer_disabled")] or None

        assert await scene.ami.until(decided, 3.0), decisions(scene)
        await guard.undisturbed(scene, known)
    assert (await scene.api("GET", "/v1/agents/1001")).body["call"]["transfer"] is None


async def test_the_daemon_is_down(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    await scene.bed.stop_daemon(kill=True)
    try:
        mark = await scene.ami.mark()
        await press(scene, "*7")
        await scene.ami.wait(match("UserEvent", UserEvent="AVPFeature"), 3.0, since=mark)
        await scene.talking("caller1", "1001")
    finally:
        await guard.start_daemon(scene.bed)
    transfer = await begun(scene)
    await press(scene, "*")
    await scene.ends(transfer, "cancelled", "cancelled")


@pytest.mark.parametrize("kind", [pytest.param("direct", marks=pytest.mark.thorough), "outbound"])
@pytest.mark.thorough
async def test_calls_that_came_by_no_queue(scene: Scene, kind: str) -> None:
    caller = "caller1"
    if kind == "direct":
        await scene.direct_call(caller, "1001")
    else:
        caller = "pstn"
        await scene.phone("1001").dial(OUTSIDE)
        await scene.phone(caller).answer()
        await scene.talking(caller, "1001")
    transfer = await begun(scene, caller=caller)
    await press(scene, "1002#")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, caller, "1001", "1002")
    await press(scene, "*1")
    await scene.ends(transfer, "completed", "completed")
    await scene.gone("1001")
    await scene.talking(caller, "1002")


@pytest.mark.thorough
async def test_other_keys_other_phones(other: Scene) -> None:
    """With SIP INFO, the administrator's own codes, and members that are Local/…/n."""
    transfer = await asked(other)
    await press(other, "1002#")
    await other.phone("1002").answer()
    await other.consulting(transfer, "caller1", "1001", "1002")
    await press(other, "1")
    await other.reaches(transfer, "swapped")
    await other.hear_one_another("caller1", "1001")
    await other.on_music("1002")
    await press(other, "1")
    await other.consulting(transfer, "caller1", "1001", "1002")
    await press(other, "*00")
    await other.ends(transfer, "cancelled", "cancelled")
    await other.talking("caller1", "1001")
    transfer = await begun(other)
    await press(other, "91#")
    await other.phone("pstn").answer()
    await other.consulting(transfer, "caller1", "1001", "pstn")
    await press(other, "*5")
    await receives(other, "pstn", "*5")
    await press(other, "##")
    await other.ends(transfer, "completed", "completed")
    await other.gone("1001")
    await other.talking("caller1", "pstn")
    assert sent(other, "caller1") == ""


async def test_the_sounds_are_there(office: Bed) -> None:
    """Every prompt is in Debian's package of core sounds, which is all that Asterisk needs."""
    sounds = f"{office.backend.data}/sounds/en"
    listing = ["/bin/ls", f"{sounds}/", f"{sounds}/digits"]
    command = office.backend.command(office.name, "ls", listing, outlive=False)
    listed = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=True
    )
    there = {name.partition(".")[0] for name in listed.stdout.split()}
    said = {prompts.ASK, prompts.NOT_NOW} | {
        prompts.wrong(reason, "1002", again=again)
        for reason in policy.REASONS
        for again in (True, False)
    }
    names = {name for media in said for name in media}
    used = {name.removeprefix("sound:") for name in names if name.startswith("sound:")}
    assert used - there == set()
    assert {name for name in names if not name.startswith("sound:")} == {"digits:1002"}
    assert set("0123456789") <= there
