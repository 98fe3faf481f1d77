"""The daemon is killed, and a party of a transfer hangs up: nobody is left in silence.

The dialplan sees that the daemon's heartbeat has stopped, and connects those who remain as the
daemon would have done, without waiting for the orphan timeout.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, backend_named

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import FOURTH, Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

SEEN = 12.0
"""Seconds within which the dialplan has seen that no daemon is there, and has acted."""

THOROUGH = pytest.mark.thorough


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mortal() -> AsyncIterator[Bed]:
    made = replace(world(), max_hold_seconds=60)
    async with Bed(made, backend=backend_named(None)) as bed:
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def scene(mortal: Bed) -> AsyncIterator[Scene]:
    if mortal.daemon is None:
        await mortal.start_daemon()
    async with open_scene(mortal) as opened:
        yield opened
        if mortal.daemon is None:
            await mortal.start_daemon()


async def until_killed(scene: Scene, state: str) -> str:
    transfer = await scene.consult("caller1", "1001", "1002")
    if state != "consulting":
        await scene.act(transfer, "swap" if state == "swapped" else "conference")
        await scene.reaches(transfer, state)
    if state == "swapped":  # the state is that of the decision; Asterisk moves the parties after it
        await scene.hear_one_another("caller1", "1001")
        await scene.on_music("1002")
    elif state == "conference":
        await scene.hear_one_another("caller1", "1001", "1002")
    await scene.bed.stop_daemon(kill=True)
    return transfer


async def over(scene: Scene) -> None:
    """The next daemon knows nothing of the call, and leaves it alone."""
    await scene.bed.start_daemon()
    assert (await scene.api("GET", "/v1/transfers")).body == []


@pytest.mark.parametrize(
    ("state", "who", "left"),
    [
        ("swapped", "1001", "1002"),
        pytest.param("swapped", "1002", "1001", marks=THOROUGH),
        pytest.param("consulting", "1001", "1002", marks=THOROUGH),
        pytest.param("consulting", "1002", "1001", marks=THOROUGH),
        pytest.param("conference", "1001", "1002", marks=THOROUGH),
        ("conference", "1002", "1001"),
    ],
)
async def test_an_agent_hangs_up(scene: Scene, state: str, who: str, left: str) -> None:
    await until_killed(scene, state)
    await scene.hang_up(who)
    await scene.talking("caller1", left, within=SEEN)
    await scene.plain("caller1", left)
    await over(scene)
    await scene.talking("caller1", left)
    await scene.hang_up(left)
    await scene.gone("caller1")


@pytest.mark.parametrize(
    "state",
    ["swapped", *(pytest.param(x, marks=THOROUGH) for x in ("consulting", "conference"))],
)
async def test_the_caller_hangs_up(scene: Scene, state: str) -> None:
    await until_killed(scene, state)
    await scene.hang_up("caller1")
    if state == "swapped":
        await scene.gone("1001", "1002", within=SEEN)
    else:
        await scene.plain("1001", "1002", within=SEEN)
        await scene.talking("1001", "1002")
        await scene.hang_up("1002")
        await scene.gone("1001")
    await over(scene)


@THOROUGH
async def test_who_is_left_in_a_conference_of_four_talk_on(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.act(transfer, "conference")
    await scene.api("POST", f"/v1/transfers/{transfer}/parties", {"number": FOURTH})
    await scene.phone("pstn").answer()
    await scene.hear_one_another("caller1", "1001", "1002", "pstn")
    await scene.bed.stop_daemon(kill=True)
    await scene.hang_up("1001")
    await scene.hear_one_another("caller1", "1002", "pstn", within=SEEN)
    await scene.hang_up("pstn")
    await scene.talking("caller1", "1002", within=SEEN)
    await over(scene)


@THOROUGH
async def test_the_transferor_hangs_up_while_the_target_rings(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await scene.bed.stop_daemon(kill=True)
    await scene.hang_up("1001")
    await scene.waits("sales", "caller1", within=SEEN)
    await scene.rung_again("1002")
    await scene.talking("caller1", "1002")
    await over(scene)


@pytest.mark.parametrize("answers", ["before", "after"])
async def test_the_transferor_has_sent_the_caller_on(scene: Scene, answers: str) -> None:
    """The call is in the target's queue, or with the target: nobody takes the caller away.

    The handler of the consult leg that has ended looks at this moment (avp-orphaned), if the daemon
    is killed before its next heartbeat.
    """
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    first = await scene.phone("1002").ringing()
    await scene.act(transfer, "complete")
    await scene.waits("avp-agent-1002", "caller1")
    await scene.phone("1002").closed(first)
    await scene.bed.stop_daemon(kill=True)
    if answers == "before":
        await scene.phone("1002").answer()
        await scene.talking("caller1", "1002")
    caller = await scene.ami.channel_of("caller1")

    async def looks(*, there: bool) -> bool | None:
        found = any(c["Context"] == "avp-orphans" for c in await scene.ami.channels())
        return found is there or None

    await scene.ami.action(
        "Originate",
        Channel=f"Local/{caller['Uniqueid']}@avp-orphans/n",
        Application="NoOp",
        Timeout="600000",
        Async="true",
    )
    assert await scene.ami.until(lambda: looks(there=True), 5.0)
    assert await scene.ami.until(lambda: looks(there=False), SEEN)

    if answers == "after":
        await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    assert len(scene.entered()) == 3  # the group's queue once; the leg and the caller, the target's
    await scene.bed.start_daemon()
    await scene.reaches(transfer, "completed")
    await scene.talking("caller1", "1002")


async def waits_for_resume(scene: Scene, name: str) -> None:
    """The dialplan has seen that no daemon is there, and this phone hears music meanwhile."""

    async def look() -> bool | None:
        return "avp-resumed" in {c["Context"] for c in await scene.ami.channels()} or None

    assert await scene.ami.until(look, SEEN), await scene.ami.channels()
    await scene.phone(name).hearing({"music"}, steady=0.8)


WITH_CALLER = (
    ("1001", "1002", "caller1"),
    pytest.param("1002", "1001", "caller1", marks=THOROUGH),
)


async def until_on_hold(scene: Scene, holder: str, leaves: str, hears: str) -> None:
    await until_killed(scene, "consulting")
    await scene.phone(holder).hold()
    await scene.hang_up(leaves)
    await waits_for_resume(scene, hears)


@pytest.mark.parametrize(
    ("holder", "leaves", "hears"),
    [
        *WITH_CALLER,
        pytest.param("1002", "caller1", "1001", marks=THOROUGH),
        pytest.param("1001", "caller1", "1002", marks=THOROUGH),
    ],
)
async def test_who_is_left_is_on_hold(scene: Scene, holder: str, leaves: str, hears: str) -> None:
    """Bridge() would tell nobody of a hold that is older than it."""
    await until_on_hold(scene, holder, leaves, hears)
    await scene.phone(holder).resume()
    await scene.talking(holder, hears)
    await scene.plain(holder, hears)
    await over(scene)
    await scene.talking(holder, hears)
    await scene.hang_up(holder)
    await scene.gone(hears)


@pytest.mark.parametrize(("holder", "leaves", "hears"), WITH_CALLER)
async def test_who_is_left_is_on_hold_until_a_daemon_is_there(
    scene: Scene, holder: str, leaves: str, hears: str
) -> None:
    await until_on_hold(scene, holder, leaves, hears)
    await scene.bed.start_daemon()
    await scene.plain(holder, hears)
    await scene.phone(hears).hearing({"music"}, steady=0.8)
    await scene.phone(holder).resume()
    await scene.talking(holder, hears)
    await scene.hang_up(holder)
    await scene.gone(hears)


@pytest.mark.parametrize("who", ["caller1", pytest.param("1001", marks=THOROUGH)])
async def test_somebody_leaves_while_on_hold(scene: Scene, who: str) -> None:
    await until_on_hold(scene, "1001", "1002", "caller1")
    await scene.hang_up(who)
    if who == "caller1":
        await scene.gone("1001", within=SEEN)
    else:
        await scene.waits("sales", "caller1", within=SEEN)
    await over(scene)
