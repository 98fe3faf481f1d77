"""The daemon is killed, and parties hang up where `test_hang_up_without_daemon` does not look."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, backend_named

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import FOURTH, Scene
from tests.asterisk.test_conference import conference, consult_of_three, four, swapped
from tests.asterisk.test_hang_up_without_daemon import SEEN, over

pytestmark = [
    pytest.mark.asterisk,
    pytest.mark.thorough,
    pytest.mark.asyncio(loop_scope="session"),
]


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


async def kill(scene: Scene) -> None:
    await scene.bed.stop_daemon(kill=True)


async def outside(scene: Scene) -> None:
    """The transferor consults an outside number."""
    await scene.call("caller1", "1001")
    body = {"mode": "supervised", "target": {"kind": "number", "number": FOURTH}}
    answer = await scene.api("POST", "/v1/agents/1001/transfers", body)
    await scene.phone("pstn").answer()
    await scene.consulting(str(answer.body["id"]), "caller1", "1001", "pstn")


async def consulting(scene: Scene) -> None:
    await scene.consult("caller1", "1001", "1002")


BEGINNINGS = {
    "consulting": consulting,
    "swapped": swapped,
    "conference": conference,
    "three": consult_of_three,
    "four": four,
}


@pytest.mark.parametrize("begin", [*BEGINNINGS])
async def test_both_agents_hang_up(scene: Scene, begin: str) -> None:
    await BEGINNINGS[begin](scene)
    await kill(scene)
    await scene.hang_up("1001", "1002")
    if begin in ("three", "four"):
        await scene.hear_one_another("caller1", "pstn", within=SEEN)
        if begin == "three":
            await scene.plain("caller1", "pstn", within=SEEN)
            await scene.hang_up("pstn")
            await scene.gone("caller1")
            return
        await scene.hang_up("pstn")
    await scene.waits("sales", "caller1", within=SEEN)
    await scene.on_music("caller1")


@pytest.mark.parametrize("who", ["1001", "pstn", "caller1"])
async def test_an_outside_target(scene: Scene, who: str) -> None:
    await outside(scene)
    await kill(scene)
    await scene.hang_up(who)
    if who == "caller1":
        await scene.hear_one_another("1001", "pstn", within=SEEN)
        await scene.hang_up("1001")
        await scene.gone("pstn")
    else:
        left = "pstn" if who == "1001" else "1001"
        await scene.talking("caller1", left, within=SEEN)
        await scene.hang_up(left)
        await scene.gone("caller1")
    await over(scene)


@pytest.mark.parametrize("who", ["1001", "1002", "pstn", "caller1"])
async def test_a_consultation_of_three(scene: Scene, who: str) -> None:
    """Whoever is left is heard by somebody, or hears music, and nobody else's call ends."""
    await consult_of_three(scene)
    await kill(scene)
    await scene.hang_up(who)
    rest = {"1001", "1002", "pstn"} - {who}
    if who in ("pstn", "1002"):
        await scene.hear_one_another(*rest, within=SEEN)
        await scene.on_music("caller1")
    elif who == "caller1":
        await scene.hear_one_another(*rest, within=SEEN)
    else:
        # A daemon that comes back brings them together.
        await scene.hear_one_another(*rest, within=SEEN)
        await scene.on_music("caller1")
        await scene.bed.start_daemon()
        await scene.hear_one_another("caller1", *rest, within=SEEN)


async def test_while_the_target_rings(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await kill(scene)
    await scene.hang_up("caller1")
    await scene.gone("1001", "1002", within=SEEN)
    await over(scene)


async def test_the_keypad_is_asked(scene: Scene) -> None:
    """The feature code has been keyed in; the transferor hangs up."""
    await scene.call("caller1", "1001")
    await scene.press("1001", "*7")
    await scene.on_music("caller1")
    await kill(scene)
    await scene.hang_up("1001")
    await scene.waits("sales", "caller1", within=SEEN)
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")


async def test_the_fourth_party_had_become_the_target(scene: Scene) -> None:
    await consult_of_three(scene)
    await scene.hang_up("1002")
    await scene.hear_one_another("1001", "pstn")
    await kill(scene)
    await scene.hang_up("1001")
    await scene.talking("caller1", "pstn", within=SEEN)


async def test_swapped_with_a_fourth_party(scene: Scene) -> None:
    """The caller would hear nothing: they talk to the target."""
    transfer = await consult_of_three(scene)
    await scene.act(transfer, "swap")
    await scene.hear_one_another("caller1", "1001")
    await kill(scene)
    await scene.hang_up("1001")
    await scene.talking("caller1", "1002", within=SEEN)
    await scene.gone("pstn")


@pytest.mark.parametrize("who", ["1001", "1002"])
async def test_a_call_by_no_queue(scene: Scene, who: str) -> None:
    await scene.direct_call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await kill(scene)
    await scene.hang_up(who)
    (left,) = {"1001", "1002"} - {who}
    await scene.talking("caller1", left, within=SEEN)
    await over(scene)
