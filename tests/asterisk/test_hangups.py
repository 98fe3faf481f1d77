"""Parties that hang up, and app_queue's records then: DESIGN section 1, last paragraph.

`matrix` has each party in every state of a transfer.
"""

from __future__ import annotations

import pytest
from bed import party

from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]


# --- while the target rings ----------------------------------------------------------------------


async def ringing(scene: Scene) -> str:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await scene.on_music("caller1")
    return transfer


async def test_agent_hangs_up_while_it_rings(scene: Scene) -> None:
    """It becomes unsupervised: the caller waits for the target and reaches them."""
    transfer = await ringing(scene)
    await scene.hang_up("1001")
    await scene.on_music("caller1")
    await scene.rung_again("1002")
    await scene.talking("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")
    await scene.hang_up("caller1")
    await scene.gone("1002")
    await scene.booked(Alice=1, Bob=1)


async def test_caller_hangs_up_while_it_rings(scene: Scene) -> None:
    transfer = await ringing(scene)
    await scene.hang_up("caller1")
    await scene.gone("1001", "1002")
    await scene.ends(transfer, "abandoned", "caller_hangup")
    await scene.booked(Alice=1)


# --- while the target is busy --------------------------------------------------------------------


# --- during the consult --------------------------------------------------------------------------


async def test_agent_hangs_up_in_the_consult(scene: Scene) -> None:
    """It completes the transfer."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.hang_up("1001")
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")
    await scene.hang_up("1002")
    await scene.gone("caller1")
    await scene.booked(Alice=1, Bob=1)
    assert len(scene.entered()) == 2


async def test_caller_hangs_up_in_the_consult(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.hang_up("caller1")
    await scene.gone("1001", "1002")
    await scene.ends(transfer, "abandoned", "caller_hangup")
    await scene.booked(Alice=1, Bob=1)


async def test_target_hangs_up_in_the_consult(scene: Scene) -> None:
    """The transferor is back with the caller, and can try again."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.hang_up("1002")
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")
    await scene.ends(transfer, "failed", "target_hangup")
    await scene.hang_up("caller1")
    await scene.gone("1001")
    await scene.booked(Alice=1, Bob=1)


# --- at the very moment of a step ----------------------------------------------------------------


async def test_agent_hangs_up_as_it_is_cancelled(scene: Scene) -> None:
    """The transferor cancels and hangs up immediately: the call ends as usual, or, if the bridge
    came too late, the caller is back in the group's queue."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.cancel(transfer)
    await scene.hang_up("1001")
    await scene.gone("1002")

    async def look() -> str | None:
        state = await scene.state(transfer)
        return state if state in ("cancelled", "failed") else None

    assert await scene.ami.until(look, 5.0)

    async def settled() -> str | None:
        """The caller's call ends a moment after that of the agent who was its last party."""
        if not scene.phone("caller1").live:
            return "ended"
        waiting = [party(entry["Channel"]) for entry in await scene.ami.waiting("sales")]
        return "queued" if waiting == ["caller1"] else None

    found = await scene.ami.until(settled, 5.0)
    assert found is not None
    if found == "queued":
        await scene.on_music("caller1")
        await scene.phone("1002").answer(within=6)
        await scene.talking("caller1", "1002")


# --- after an unsupervised transfer --------------------------------------------------------------


async def test_caller_hangs_up_in_the_personal_queue(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.gone("1001")
    await scene.on_music("caller1")
    await scene.hang_up("caller1")
    await scene.ends(transfer, "abandoned", "caller_hangup")
    await scene.slot_is_free("1002")
    await scene.talking("caller2", "1002")


@pytest.mark.thorough
async def test_agent_hangs_up_with_no_permission_to_go_on(scene: Scene) -> None:
    """A call to a target that may not receive it returns to the head of the group's queue."""
    transfer = await ringing(scene)
    await scene.pause("1002")  # the target may no longer be queued for

    async def paused() -> bool | None:
        return (await scene.agent("1002"))["paused"] or None

    assert await scene.ami.until(paused, 3.0)
    await scene.hang_up("1001")
    await scene.reaches(transfer, "failed", within=6)
    # The max-hold action of the group decides; the caller hears speech or music.
    await scene.gone("1001")
