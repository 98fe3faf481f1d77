"""The daemon runs in uvloop with httptools where they are installed, and without them elsewhere."""

from __future__ import annotations

import asyncio
import sys

import pytest

from asterisk_avp.runtime import loop
from tests.benchmarks.growth_centre import Size, call_centre, pairs

SIZE = Size(agents=4, queues=4, sessions=0, panels=0)
WITHOUT = """
import sys
sys.modules.update(uvloop=None, httptools=None)
sys.argv = ["asterisk-avp", "run"]
from asterisk_avp.__main__ import main
sys.exit(main())
"""


async def _module() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_the_fastest_loop_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop.run(_module()).startswith("asyncio.")
    monkeypatch.undo()
    pytest.importorskip("uvloop")
    assert loop.run(_module()) == "uvloop"


@pytest.mark.parametrize("program", [("-m", "asterisk_avp", "run"), ("-c", WITHOUT)])
async def test_a_transfer_by_each(program: tuple[str, ...]) -> None:
    async with call_centre(SIZE) as place:
        place.program = program
        await place.start()
        some = pairs(SIZE, 0, 1)[0]
        done = [await place.transfer(some) for _ in range(2)]
        assert {x["id"]: x["state"] for x in await place.get("/v1/transfers")} == dict.fromkeys(
            done, "completed"
        )
        log = (place.folder / "daemon.log").read_text()
        assert "[error" not in log
        process = place.process
        await place.stop()
        assert process is not None
        assert process.returncode == 0
