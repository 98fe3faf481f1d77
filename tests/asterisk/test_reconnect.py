"""AMI and ARI lost and found again: the reports meanwhile, and a complete state afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed import Bed, Wire, Wires, backend_named

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

BACK_WITHIN = 10.0
"""The clients' back-off is at most 5 s."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def wired() -> AsyncIterator[tuple[Bed, Wires]]:
    async with Bed(world(), backend=backend_named(None)) as bed:
        wires = Wires(Wire(bed.ports.ami), Wire(bed.ports.http))
        await wires.start()
        await bed.start_daemon(wires.daemon_env())
        yield bed, wires
        await bed.stop_daemon()
        await wires.stop()


@pytest.fixture
def wires(wired: tuple[Bed, Wires]) -> Wires:
    return wired[1]


@pytest_asyncio.fixture(loop_scope="session")
async def scene(wired: tuple[Bed, Wires]) -> AsyncIterator[Scene]:
    bed, wires = wired
    async with open_scene(bed) as opened:
        try:
            yield opened
        finally:
            wires.mend()
            await ready(opened)


async def ready(scene: Scene, status: int = 200, within: float = BACK_WITHIN) -> None:
    async def look() -> bool | None:
        return (await scene.api("GET", "/readyz")).status == status or None

    assert await scene.ami.until(look, within), await scene.api("GET", "/readyz")


async def cut(scene: Scene, wires: Wires, which: str) -> None:
    for wire in wires.named(which):
        wire.break_off()
    wanted = {name: which not in (name, "both") for name in ("ami", "ari")}

    async def known() -> bool | None:
        """The daemon may notice one of the two first."""
        answer = await scene.api("GET", "/readyz")
        return (answer.status == 503 and wanted.items() <= answer.body.items()) or None

    assert await scene.ami.until(known, 2.0), await scene.api("GET", "/readyz")
    assert (await scene.api("GET", "/healthz")).status == 200


async def mend(scene: Scene, wires: Wires) -> None:
    wires.mend()
    await ready(scene)


@pytest.mark.parametrize(
    "which", [*(pytest.param(x, marks=pytest.mark.thorough) for x in ("ami", "ari")), "both"]
)
async def test_lost_and_found_while_talking(scene: Scene, wires: Wires, which: str) -> None:
    await scene.call("caller1", "1001")
    await cut(scene, wires, which)
    await scene.talking("caller1", "1001")
    answer = await scene.ask("1001", "supervised", "agent", "1002")
    assert answer.status == 503, answer
    assert answer.body["error"] == "asterisk_unavailable", answer
    await mend(scene, wires)
    assert (await scene.agent("1001"))["state"] == "talking"
    assert (await scene.agent("1001"))["call"]["caller"] == "caller1"
    assert (await scene.agent("1002"))["state"] == "available"
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.on_music("caller1")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    await scene.gone("1001")
    await scene.hang_up("1002")
    await scene.gone("caller1")
    await scene.booked(Alice=1, Bob=1)


async def test_what_happened_meanwhile_is_known(scene: Scene, wires: Wires) -> None:
    """A call ended, another began, an agent was paused, and a caller waits in a queue."""
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    await cut(scene, wires, "both")
    await scene.hang_up("caller1")
    await scene.gone("1001")
    await scene.call("caller3", "1003", "support")
    await scene.pause("1004")
    await mend(scene, wires)
    assert (await scene.agent("1001"))["call"] is None
    assert (await scene.agent("1001"))["state"] in ("acw", "available")
    assert (await scene.agent("1003"))["call"]["caller"] == "caller3"
    assert (await scene.agent("1003"))["call"]["group"] == "support"
    assert (await scene.agent("1003"))["state"] == "talking"
    await scene.agent_is("1004", "not_ready")
    assert (await scene.agent("1002"))["call"]["caller"] == "caller2"
    await scene.agent_is("1001", "available", within=5)
    transfer = await scene.transfer("1002", "unsupervised", "1001")
    await scene.phone("1001").answer()
    await scene.talking("caller2", "1001")
    await scene.ends(transfer, "completed", "completed")


async def test_a_consultation_goes_on(scene: Scene, wires: Wires) -> None:
    """Audio does not need the daemon. The commands do, and work again afterwards."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await cut(scene, wires, "both")
    assert (await scene.api("POST", f"/v1/transfers/{transfer}/complete")).status == 503
    await scene.phone("1001").hears({"1002"})
    await scene.phone("caller1").hears({"music"})
    await mend(scene, wires)
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")
    await scene.gone("1001")
    await scene.hang_up("caller1")
    await scene.gone("1002")
    await scene.booked(Alice=1, Bob=1)
