"""Two lines `shared_lastcall` in [general] of queues.conf: what app_queue takes, and check says.

Up to Asterisk 22 it takes the first, from 23 on the last (main/config.c, ast_variable_retrieve).
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from bed import Bed, backend_named

from asterisk_avp.core.pbx.versions import takes_last
from tests.asterisk.conftest import world
from tests.asterisk.faults import version
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

LINE = "shared_lastcall = yes\n"


class TwoLines(Bed):
    values = ("no", "yes")

    def render(self) -> None:
        super().render()
        file = self.directory / "etc" / "queues.conf"
        text = file.read_text()
        assert text.count(LINE) == 1
        lines = "".join(f"shared_lastcall = {value}\n" for value in self.values)
        file.write_text(text.replace(LINE, lines))

    async def queue_settings(self) -> list[dict[str, Any]]:
        """What check finds in [general] of queues.conf."""
        process = await asyncio.create_subprocess_exec(
            *(str(self.program), "check", "--config-dir", str(self.directory / "etc"), "--json"),
            env={**self._inherited(), **self.daemon_env()},
            cwd=self.directory,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        return [x for x in json.loads(output)["findings"] if x["id"] == "queue_settings"]


async def last_call(bed: Bed, queue: str) -> int:
    (alice,) = [x for x in (await bed.ami.members(queue)).values() if x["Name"] == "Alice"]
    return int(alice["LastCall"])


async def is_shared(bed: Bed) -> bool:
    """Whether another queue of the agent learns of a call of the group."""
    scene = Scene(bed)
    await scene.everybody_free()
    scene.begin()
    await scene.log_in("1001", "support")
    await scene.phone("caller1").dial("800")
    await scene.phone("1001").answer()
    await scene.talking("caller1", "1001")
    await scene.hang_up("caller1")
    await scene.gone("1001")

    async def counted() -> bool | None:
        return await last_call(bed, "sales") > 0 or None

    assert await bed.ami.until(counted, 3.0)
    # app_queue notes it in all queues before it reports the end (app_queue.c, update_queue).
    await bed.ami.mark()
    return await last_call(bed, "support") > 0


@pytest.mark.parametrize("values", [("no", "yes"), ("yes", "no")], ids="-".join)
async def test_check_reads_the_line_that_app_queue_takes(values: tuple[str, str]) -> None:
    bed = TwoLines(replace(world(), wrapuptime=2), backend=backend_named(None))
    bed.values = values
    async with bed:
        await bed.start_daemon()
        running = await version(bed)
        line = 1 if takes_last(running) else 0
        found = await bed.queue_settings()
        assert await is_shared(bed) is (values[line] == "yes"), running
    (finding,) = found
    if values[line] == "yes":
        assert finding["severity"] == "ok"
    else:
        assert finding["severity"] == "error"
        assert finding["mend"] == ["shared_lastcall = yes"]
        assert "replace line" in finding["what"]
