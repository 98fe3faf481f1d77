"""The phone's hold key after transfers, and with both on hold."""

from __future__ import annotations

import pytest

from tests.asterisk.scene import FOURTH, Scene
from tests.asterisk.test_hold_key import hear, hold, resume

pytestmark = [
    pytest.mark.asterisk,
    pytest.mark.thorough,
    pytest.mark.asyncio(loop_scope="session"),
]


async def shown(scene: Scene, agent: str, *, on_hold: bool) -> None:
    async def look() -> bool | None:
        call = (await scene.agent(agent))["call"]
        return (call is not None and call["on_hold"] is on_hold) or None

    assert await scene.ami.until(look, 3.0), await scene.agent(agent)


async def held_and_resumed(scene: Scene, agent: str) -> None:
    """By either side, and both."""
    await scene.phone(agent).hold()
    await shown(scene, agent, on_hold=True)
    await hear(scene, caller1={"music"})
    await scene.phone(agent).resume()
    await shown(scene, agent, on_hold=False)
    await scene.hear_one_another("caller1", agent)
    await scene.phone("caller1").hold()
    await hear(scene, **{f"_{agent}": {"music"}})
    await scene.phone(agent).hold()
    await scene.phone("caller1").resume()
    await hear(scene, caller1={"music"})
    await scene.phone(agent).resume()
    await scene.talking("caller1", agent)


@pytest.mark.parametrize("how", ["complete", "cancel", "unsupervised", "group", "waited"])
async def test_after_it(scene: Scene, how: str) -> None:
    agent = {"cancel": "1001", "group": "1003"}.get(how, "1002")
    if how in ("complete", "cancel"):
        transfer = await scene.consult("caller1", "1001", "1002")
        await scene.act(transfer, how)
    elif how == "waited":
        await scene.call("caller1", "1001")
        await scene.call("caller2", "1002")
        await scene.transfer("1001", "unsupervised", "1002")
        await scene.gone("1001")
        await scene.on_music("caller1")
        await scene.hang_up("caller2")
        await scene.phone("1002").answer(within=8)
    else:
        await scene.call("caller1", "1001")
        if how == "group":
            await scene.pause("1004")
            await scene.transfer("1001", "unsupervised", "support", kind="group")
            await scene.phone("1003").answer(within=8)
            await scene.pause("1004", paused=False)
        else:
            await scene.transfer("1001", "unsupervised", "1002")
            await scene.phone("1002").answer()
    await scene.talking("caller1", agent)
    await held_and_resumed(scene, agent)


async def test_the_caller_was_on_hold_by_their_own_key_in_the_queue(scene: Scene) -> None:
    """Sent unsupervised while the agent has them on hold: the target hears them at once."""
    await scene.call("caller1", "1001")
    await scene.phone("1001").hold()
    await hear(scene, caller1={"music"})
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").answer()
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")
    await hear(scene, caller1={"1002"}, _1002={"caller1"})


async def test_caller_who_holds_themselves(scene: Scene) -> None:
    """Their own hold lasts over the consultation; docs/limits.md has what a target would hear."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await hold(scene, transfer, "caller1")
    await scene.cancel(transfer)
    await scene.plain("caller1", "1001")
    await hear(scene, _1001={"music"})
    await scene.phone("caller1").resume()
    await scene.talking("caller1", "1001")


@pytest.mark.parametrize("begin", ["consulting", "swapped", "conference"])
async def test_both_on_hold(scene: Scene, begin: str) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    if begin != "consulting":
        await scene.act(transfer, "swap" if begin == "swapped" else "conference")
        await scene.reaches(transfer, begin)
    await hold(scene, transfer, "1001")
    await hold(scene, transfer, "1002")
    await hear(scene, caller1={"music"})
    await resume(scene, transfer, "1001")
    expected = {"consulting": {"music"}, "swapped": {"caller1"}, "conference": {"caller1"}}
    await hear(scene, _1001=expected[begin])
    await resume(scene, transfer, "1002")
    match begin:
        case "consulting":
            await scene.hear_one_another("1001", "1002")
            await scene.on_music("caller1")
        case "swapped":
            await scene.hear_one_another("1001", "caller1")
            await scene.on_music("1002")
        case _:
            await scene.hear_one_another("1001", "caller1", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await held_and_resumed(scene, "1002")


@pytest.mark.parametrize("who", ["1001", "pstn"])
async def test_external_target(scene: Scene, who: str) -> None:
    await scene.call("caller1", "1001")
    body = {"mode": "supervised", "target": {"kind": "number", "number": FOURTH}}
    answer = await scene.api("POST", "/v1/agents/1001/transfers", body)
    transfer = str(answer.body["id"])
    await scene.phone("pstn").answer()
    await scene.consulting(transfer, "caller1", "1001", "pstn")
    await scene.phone(who).hold()
    other = "pstn" if who == "1001" else "1001"
    await hear(scene, caller1={"music"}, **{f"_{other}": {"music"}})
    await scene.act(transfer, "complete")
    if who == "pstn":
        await hear(scene, caller1={"music"})
        await scene.phone("pstn").resume()
    await scene.talking("caller1", "pstn")


async def test_while_the_target_rings(scene: Scene) -> None:
    """The transferor holds while the target rings; the target hears music from the answer on."""
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await hold(scene, transfer, "1001")
    await scene.phone("1002").answer()
    await scene.reaches(transfer, "consulting")
    await hear(scene, caller1={"music"}, _1002={"music"})
    await resume(scene, transfer, "1001")
    await scene.consulting(transfer, "caller1", "1001", "1002")
