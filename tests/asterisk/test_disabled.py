"""Each feature, disabled by a reload during a call: refused, and not shown.

Also features that are disabled, and targets that disappear, at the very moment of the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio
from bed import Bed, World, backend_named, match

from tests.asterisk import guard
from tests.asterisk.conftest import open_scene
from tests.asterisk.guard import AGENT, GROUP, PRESET, PRESETS_NUMBER, number
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

SETTINGS = {
    "AVP_SESSION__RING_SECONDS": "2",
    "AVP_ENTERPRISE__MAX_HOLD_ACTION": "return",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Bed]:
    world = replace(
        World(), settings=SETTINGS, members="dynamic", wrapuptime=1, max_hold_seconds=4
    ).with_group("sales", strategy="linear")
    async with Bed(world, backend=backend_named(None)) as bed:
        await guard.start_daemon(bed)
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(office) as opened:
        yield opened


# --- switched off -------------------------------------------------------------------------------

PERMISSIONS = (
    "session_transfer",
    "internal_transfer",
    "external_transfer",
    "manual_dial",
    "presets",
    "unsupervised_transfer",
    "conference",
    "toll_free_service",
    "toll_service",
)

NUMBER = number("+12025550100")
INTERNAL = (("supervised", AGENT), ("unsupervised", AGENT), ("unsupervised", GROUP))
EXTERNAL = (("supervised", NUMBER), ("supervised", PRESET))


@dataclass(frozen=True)
class Off:
    """A disabled feature: the setting, the reason, the group that it concerns, and what is not
    shown."""

    setting: str
    reason: str
    requests: tuple[tuple[str, dict[str, str]], ...]
    permissions: tuple[str, ...]
    lists: tuple[str, ...] = ()


OFF = (
    Off(
        "groups.sales.session_transfer",
        "transfer_disabled",
        INTERNAL + EXTERNAL,
        PERMISSIONS,
        ("my_agent_groups", "agent_groups", "external_presets"),
    ),
    Off(
        "accounts.acme.contracted",
        "not_contracted",
        # The contract is checked before mode x target.
        (*INTERNAL, *EXTERNAL, ("supervised", GROUP), ("unsupervised", PRESET)),
        PERMISSIONS,
        ("my_agent_groups", "agent_groups", "external_presets"),
    ),
    Off(
        "groups.sales.internal_transfer",
        "internal_disabled",
        INTERNAL,
        ("internal_transfer",),
        ("my_agent_groups", "agent_groups"),
    ),
    Off(
        "groups.sales.external_transfer",
        "external_disabled",
        EXTERNAL,
        ("external_transfer", "manual_dial", "presets", "toll_free_service", "toll_service"),
        ("external_presets",),
    ),
    Off(
        "groups.sales.manual_dial",
        "manual_dial_disabled",
        (("supervised", NUMBER), ("supervised", number(PRESETS_NUMBER))),
        ("manual_dial",),
    ),
    Off(
        "groups.sales.presets",
        "presets_disabled",
        (("supervised", PRESET),),
        ("presets",),
        ("external_presets",),
    ),
    Off(
        "groups.sales.unsupervised_transfer",
        "unsupervised_disabled",
        (("unsupervised", AGENT), ("unsupervised", GROUP)),
        ("unsupervised_transfer",),
        ("agent_groups",),
    ),
)


async def shown(scene: Scene) -> tuple[set[str], set[str]]:
    """The permissions, and the lists that are not empty."""
    targets = (await scene.api("GET", "/v1/agents/1001/targets")).body
    permissions = set(targets.pop("permissions"))
    return permissions, {name for name, entries in targets.items() if entries}


@pytest.mark.parametrize("off", OFF, ids=lambda off: off.setting.rpartition(".")[2])
async def test_off(scene: Scene, off: Off) -> None:
    everything = (set(PERMISSIONS), {"my_agent_groups", "agent_groups", "external_presets"})
    await scene.call("caller1", "1001")
    began = await scene.ami.mark()
    assert await shown(scene) == everything
    async with guard.settings(scene.bed, f"{off.setting} = false"):
        permissions, lists = everything
        assert await shown(scene) == (permissions - set(off.permissions), lists - set(off.lists))
        for mode, target in off.requests:
            await guard.refuses(scene, off.reason, mode, target)
    assert await shown(scene) == everything
    await guard.undisturbed(scene, began)


# --- at the moment of the request -----------------------------------------------------------------


async def test_switched_off_under_the_request(scene: Scene) -> None:
    """What was decided before the reload continues; later requests are refused."""
    bed = scene.bed
    await scene.call("caller1", "1001")
    called = 0
    for stagger in (0.0, 0.1, 0.3, 0.8):  # seconds, so that each comes first some of the time
        before = len(guard.records(bed, "decision", "reloaded"))
        reloads = len(guard.records(bed, "reloaded"))
        guard.send(bed, "groups.sales.presets = false")
        await asyncio.sleep(stagger)
        answer = await guard.request(scene, "supervised", PRESET)
        await guard.reloaded(bed, reloads + 1)
        events = guard.records(bed, "decision", "reloaded")[before:]
        first = "allow" if events[0]["event"] == "decision" else "deny"
        assert [e["decision"] for e in events if e["event"] == "decision"] == [first]
        assert answer.status == (201 if first == "allow" else 403), answer
        if answer.status == 201:
            called += 1
            await scene.phone("pstn").ringing()
            await scene.cancel(answer.body["id"])
            await scene.ends(answer.body["id"], "cancelled", "cancelled")
            await scene.gone("pstn")
        else:
            assert answer.body["reason"] == "presets_disabled"
        await scene.talking("caller1", "1001")
        assert len(guard.outside_calls(scene)) == called
        await guard.reload(bed, "")
    print(f"{called} of 4 requests came before the reload")


@pytest.mark.parametrize(
    ("mode", "moment"),
    [
        ("supervised", "with the request"),
        ("unsupervised", "before the dialling"),
        pytest.param("supervised", "before the dialling", marks=pytest.mark.thorough),
        pytest.param("unsupervised", "with the request", marks=pytest.mark.thorough),
    ],
)
async def test_target_logs_out_under_the_request(scene: Scene, mode: str, moment: str) -> None:
    """Supervised: the call returns to the transferor. Unsupervised: the max-hold action follows."""
    await scene.call("caller1", "1001")
    mark, former = await scene.ami.mark(), scene.phone("1001").call
    asked = asyncio.create_task(guard.request(scene, mode, AGENT))
    if moment == "before the dialling":  # the first effect of an allowed transfer
        marked = match("VarSet", Variable="AVP_STATE", Value="live")
        await scene.ami.wait(marked, 3.0, since=mark)
    await scene.log_out("1002")
    answer = await asked
    if answer.status == 403:
        assert moment == "with the request"
        assert answer.body["reason"] in ("target_offline", "not_in_group", "unknown_target")
    else:
        assert answer.status == 201, answer
        if mode == "unsupervised":
            await scene.phone("1001").closed(former)
            await scene.phone("1001").answer(within=8)
        await scene.reaches(answer.body["id"], "failed", within=8)
    await scene.talking("caller1", "1001")
    await scene.gone("1002")
    guard.nothing_outside(scene)
