"""The feature code and the keys during a consult."""

from __future__ import annotations

import pytest

from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]


async def begun(scene: Scene, agent: str = "1001") -> str:
    """The code has been pressed: the caller hears music, the agent a prompt."""
    await scene.call("caller1", agent)
    await scene.phone(agent).dtmf("*7")

    async def look() -> str | None:
        for transfer in (await scene.api("GET", "/v1/transfers")).body:
            if transfer["state"] == "starting" and transfer["target"] is None:
                return str(transfer["id"])
        return None

    found = await scene.ami.until(look, 3.0)
    assert found is not None
    await scene.on_music("caller1")
    return found


async def test_code_to_an_agent_then_complete(scene: Scene) -> None:
    transfer = await begun(scene)
    await scene.phone("1001").dtmf("1002#")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.phone("1001").dtmf("*1")
    await scene.ends(transfer, "completed", "completed")
    await scene.gone("1001")
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")


async def test_swap_conference_cancel(scene: Scene) -> None:
    transfer = await begun(scene)
    await scene.phone("1001").dtmf("1002")  # a pause is as good as #
    await scene.phone("1002").answer(within=9)
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.phone("1001").dtmf("*3")
    await scene.reaches(transfer, "swapped")
    await scene.hear_one_another("caller1", "1001")
    await scene.on_music("1002")
    await scene.phone("1001").dtmf("*4")
    await scene.reaches(transfer, "conference")
    await scene.hear_one_another("caller1", "1001", "1002")
    await scene.phone("1001").dtmf("*2")
    await scene.ends(transfer, "cancelled", "cancelled")
    await scene.talking("caller1", "1001")


async def test_wrong_then_right_then_fourth(scene: Scene) -> None:
    transfer = await begun(scene)
    await scene.phone("1001").dtmf("999#")
    await scene.phone("1001").hears({"speech"}, within=3.0, steady=0.2)
    await scene.phone("1001").dtmf("91#")
    await scene.phone("pstn").answer()
    await scene.consulting(transfer, "caller1", "1001", "pstn")
    await scene.phone("1001").dtmf("*2")
    await scene.ends(transfer, "cancelled", "cancelled")


async def test_back(scene: Scene) -> None:
    transfer = await begun(scene)
    await scene.phone("1001").dtmf("10*")
    await scene.ends(transfer, "cancelled", "cancelled")
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")
