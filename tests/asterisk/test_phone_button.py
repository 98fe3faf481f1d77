"""The phone's own Transfer button: SIP REFER, blind and attended."""

from __future__ import annotations

import pytest

from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]


async def press(scene: Scene, agent: str, number: str) -> str:
    """Press Transfer; the id of the transfer that comes of it."""
    known = {transfer["id"] for transfer in (await scene.api("GET", "/v1/transfers")).body}
    await scene.phone(agent).transfer(number)

    async def look() -> str | None:
        for transfer in (await scene.api("GET", "/v1/transfers")).body:
            if transfer["id"] not in known:
                return str(transfer["id"])
        return None

    found = await scene.ami.until(look, 3.0)
    assert found is not None
    return found


async def test_blind_to_an_agent(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await press(scene, "1001", "1002")
    await scene.phone("1002").answer()
    await scene.ends(transfer, "completed", "completed")
    await scene.gone("1001")
    await scene.talking("caller1", "1002")
    await scene.hang_up("caller1")
    await scene.gone("1002")
    await scene.booked(Alice=1, Bob=1)


async def test_blind_to_a_group(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await press(scene, "1001", "801")
    await scene.phone("1003").answer()
    await scene.ends(transfer, "completed", "completed")
    await scene.gone("1001")
    await scene.talking("caller1", "1003")


@pytest.mark.parametrize("number", ["2025550100", "sip:1002@192.0.2.1", "91", "999999"])
async def test_a_refused_one_brings_the_caller_back_to_the_group(scene: Scene, number: str) -> None:
    """This phone hangs up on hearing that it was refused."""
    await scene.call("caller1", "1001")
    if number.startswith("sip:"):
        pytest.skip("the host is not looked at: 1002 is 1002")
    transfer = await press(scene, "1001", number)
    await scene.gone("1001")
    await scene.ends(transfer, "failed", "unsupervised_external")
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
