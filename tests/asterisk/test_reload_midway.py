"""SIGHUP during a transfer: disabled actions cannot be started, and running ones can end.

Nobody loses a call: it can be completed, cancelled and left as before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, backend_named, match, party

from tests.asterisk import guard
from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import FOURTH, Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

SALES = """
[groups.sales]
account = "acme"
queue = "sales"
extension = "800"
acw_seconds = 2
"""
"""Sales exists only here, so that a reload can remove it."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Bed]:
    # A reload on a busy machine takes long, while somebody waits or is rung.
    demo = world()
    ring = {"AVP_SESSION__RING_SECONDS": "20"}
    patient = replace(demo, max_hold_seconds=60, settings=demo.settings | ring)
    async with Bed(patient, backend=backend_named(None)) as bed:
        (bed.directory / guard.FILE).write_text(SALES)
        nothing = {
            name: "" for name in bed.world.daemon_settings() if name.startswith("AVP_GROUPS__SALES")
        }
        file = f"{bed.backend.for_daemon(bed.name)}/{guard.FILE}"
        await bed.start_daemon({"AVP_CONFIG": file, "AVP_LOG__FORMAT": "json", **nothing})
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(office) as opened:
        yield opened
        await guard.reload(office, SALES)


async def without(scene: Scene, *features: str) -> None:
    """Reload, with these disabled for sales."""
    await guard.reload(scene.bed, SALES + "".join(f"{name} = false\n" for name in features))


async def refused(scene: Scene, method: str, path: str, reason: str, **body: str) -> None:
    answer = await scene.api(method, f"/v1/transfers/{path}", body or None)
    assert (answer.status, answer.body["error"]) == (403, "refused"), answer
    assert answer.body["reason"] == reason


async def outside_is_quiet(scene: Scene) -> None:
    guard.nothing_outside(scene)
    assert {party(c["Channel"]) for c in await scene.ami.channels()}.isdisjoint({"pstn"})


async def test_no_conference_and_no_fourth_party_and_then_it_completes(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await without(scene, "conference")
    await refused(scene, "POST", f"{transfer}/conference", "conference_disabled")
    await refused(scene, "POST", f"{transfer}/parties", "conference_disabled", number=FOURTH)
    await outside_is_quiet(scene)
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.act(transfer, "swap")  # is still allowed
    await scene.hear_one_another("caller1", "1001")
    await scene.complete(transfer)
    await scene.ends(transfer, "completed", "completed")
    await scene.gone("1001")
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")


@pytest.mark.thorough
async def test_a_fourth_party_needs_numbers_outside(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await without(scene, "external_transfer")
    await refused(scene, "POST", f"{transfer}/parties", "external_disabled", number=FOURTH)
    await outside_is_quiet(scene)
    await scene.act(transfer, "conference")
    await scene.hear_one_another("caller1", "1001", "1002")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_a_conference_that_there_is_goes_on(scene: Scene) -> None:
    """With its fourth party, who may stay."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.act(transfer, "conference")
    answer = await scene.api("POST", f"/v1/transfers/{transfer}/parties", {"number": FOURTH})
    assert answer.status == 201, answer
    await scene.phone("pstn").answer()
    await scene.hear_one_another("caller1", "1001", "1002", "pstn")
    await without(scene, "conference", "external_transfer")
    await scene.hear_one_another("caller1", "1001", "1002", "pstn")
    await scene.hang_up("pstn")
    await scene.parties(transfer, "1001", "caller", "1002")
    await refused(scene, "POST", f"{transfer}/parties", "conference_disabled", number=FOURTH)
    await scene.hang_up("1001")
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")


@pytest.mark.parametrize(
    "feature", [pytest.param("session_transfer", marks=pytest.mark.thorough), "internal_transfer"]
)
async def test_no_transfers_any_more_and_it_is_cancelled(scene: Scene, feature: str) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await without(scene, feature)
    if feature == "session_transfer":
        await refused(scene, "POST", f"{transfer}/swap", "transfer_disabled")
        await refused(scene, "POST", f"{transfer}/conference", "transfer_disabled")
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.cancel(transfer)
    await scene.ends(transfer, "cancelled", "cancelled")
    await scene.talking("caller1", "1001")
    assert (await scene.ask("1001", "supervised", "agent", "1002")).status == 403


@pytest.mark.thorough
async def test_a_target_who_rings_gets_the_call_by_a_consultation_only(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await scene.reaches(transfer, "ringing")
    await without(scene, "unsupervised_transfer")
    await scene.act(transfer, "complete", 409)
    assert await scene.state(transfer) == "ringing"
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_an_agent_who_hangs_up_leaves_the_caller_to_the_group(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await without(scene, "unsupervised_transfer")
    await scene.hang_up("1001")
    await scene.ends(transfer, "failed", "transferor_hangup")

    async def only_the_caller_rings() -> bool | None:
        return [call.number for call in scene.phone("1002").live] == ["caller1"] or None

    assert await scene.ami.until(only_the_caller_rings, 6.0)  # by the group now
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    assert await scene.variable("caller1", "AVP_STATE") == "recalled"


@pytest.mark.thorough
async def test_what_is_keyed_in_is_judged_when_it_is_keyed_in(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    await scene.press("1001", "*7")
    await scene.on_music("caller1")
    before = len(guard.records(scene.bed, "decision"))
    mark = await scene.ami.mark()
    await without(scene, "internal_transfer", "external_transfer")
    for count, (digits, reason) in enumerate(
        (("1002", "internal_disabled"), ("2025550100", "external_disabled")), 1
    ):
        await scene.press("1001", digits + "#")

        async def decided(count: int = count) -> bool | None:
            return len(guard.records(scene.bed, "decision")) - before == count or None

        assert await scene.ami.until(decided, 4.0)
        record = guard.records(scene.bed, "decision")[-1]
        assert (record["decision"], record["reason"]) == ("deny", reason)
    await scene.press("1001", "*")
    await scene.talking("caller1", "1001")
    assert scene.ami.seen(match("DialBegin"), mark) == []


@pytest.mark.thorough
async def test_keys_for_what_was_taken_away_only_beep(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await without(scene, "conference")
    mark = await scene.ami.mark()
    for keys in ("*4", "*5"):
        await scene.press("1001", keys)
    await scene.press("1001", "*3")  # done, after the two that were not
    await scene.reaches(transfer, "swapped")
    await scene.hear_one_another("caller1", "1001")
    assert scene.ami.seen(match("DialBegin"), mark) == []
    await scene.press("1001", "*1")
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
@pytest.mark.parametrize("end", ["complete", pytest.param("cancel", marks=pytest.mark.thorough)])
async def test_a_group_that_is_no_more(scene: Scene, end: str) -> None:
    """With its agents. Asterisk still has them, and the call."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await guard.reload(scene.bed, "")
    await refused(scene, "POST", f"{transfer}/conference", "transfer_disabled")
    await refused(scene, "POST", f"{transfer}/parties", "transfer_disabled", number=FOURTH)
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.act(transfer, end)
    other = {"complete": "1002", "cancel": "1001"}[end]
    await scene.talking("caller1", other)
    await scene.plain("caller1", other)


@pytest.mark.thorough
async def test_other_keys_are_the_ones_to_press(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await guard.reload(scene.bed, SALES + '[keys]\nswap = "*9"\n')
    await scene.press("1001", "*3")  # has no meaning any more, and is passed on to the target
    await scene.press("1001", "*9")
    await scene.reaches(transfer, "swapped")
    await scene.press("1001", "*2")
    await scene.ends(transfer, "cancelled", "cancelled")
    await scene.talking("caller1", "1001")
