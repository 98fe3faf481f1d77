"""The daemon is killed before it answers the phone's Transfer button: nobody stays in silence."""

from __future__ import annotations

import pytest
from bed import Bed, Wire, Wires, backend_named, party

from tests.asterisk import transfer_button
from tests.asterisk.conftest import open_scene

pytestmark = [
    pytest.mark.asterisk,
    pytest.mark.thorough,
    pytest.mark.asyncio(loop_scope="session"),
]


async def test_the_transferor_is_let_go() -> None:
    """The caller is with the target by then. Until they are answered, phones wait."""
    async with Bed(transfer_button.world(), backend=backend_named(None)) as bed:
        wires = Wires(Wire(bed.ports.ami), Wire(bed.ports.http))
        await wires.start()
        await bed.start_daemon(wires.daemon_env())
        async with open_scene(bed) as scene:
            await scene.call("caller1", "1001")
            hold = wires.ami.hold("action: redirect", "avp-agent-queue")
            await scene.phone("1001").transfer("1002")
            await hold.caught.wait()
            wires.ari.deafen()
            hold.release()
            await scene.phone("1002").answer(within=8)
            await scene.talking("caller1", "1002")

            async def waits_in_stasis() -> bool | None:
                rows = await scene.ami.channels()
                there = [party(row["Channel"]) for row in rows if row["Application"] == "Stasis"]
                return there == ["1001"] or None

            assert await scene.ami.until(waits_in_stasis, 5.0)
            await bed.stop_daemon(kill=True)
            await scene.gone("1001", within=20)
            await scene.talking("caller1", "1002")
            await scene.hang_up("caller1")
            await scene.gone("1002")
            await bed.start_daemon()
        await wires.stop()
