"""The daemon notices that a phone's guard is gone, and that it is back."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import requests
from bed import Bed, backend_named

from tests.asterisk.conftest import world

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

OBEYED = "set_var = PJSIP_TRANSFER_HANDLING()=core"
CHANGED = "; changed:\n"
GAUGE = "asterisk_avp_unguarded_phones"
LONG = 30.0
"""Two looks for a reload, and a look at each phone, on a busy machine."""


class Guarded(Bed):
    async def configure(self, endpoint: str = "", *lines: str) -> None:
        """Change an endpoint as somebody would who knows nothing of us, and reload it.

        Earlier changes are gone.
        """
        file = self.directory / "etc" / "pjsip.conf"
        written = file.read_text().partition(CHANGED)[0]
        change = [CHANGED, f"[{endpoint}](+type=endpoint)", *lines, ""] if endpoint else []
        file.write_text(written + "\n".join(change))
        await self.ami.command("module reload res_pjsip.so")

    def state(self) -> tuple[bool, list[str], float]:
        """Whether the daemon is ready, its warnings, and the gauge."""
        ready = requests.get(f"{self.url}/readyz", timeout=5).json()
        text = requests.get(f"{self.url}/metrics", timeout=5).text
        found = re.search(rf"^{GAUGE} (.*)$", text, re.MULTILINE)
        assert found is not None
        return ready["ready"], ready["warnings"], float(found[1])

    async def until(self, unguarded: int) -> list[str]:
        async def there() -> bool | None:
            ready, warnings, gauge = await asyncio.to_thread(self.state)
            assert ready
            return (gauge == unguarded and bool(warnings) == bool(unguarded)) or None

        assert await self.ami.until(there, LONG), (unguarded, self.state())
        return self.state()[1]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The daemon's log lines of one kind."""
        text = (self.directory / "log" / "daemon.log").read_text()
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bed() -> AsyncIterator[Guarded]:
    async with Guarded(world(), backend=backend_named(None)) as started:
        await started.start_daemon({"AVP_LOG__FORMAT": "json"})
        yield started


async def test_a_guard_that_is_taken_away_is_said_and_its_return_withdraws_it(bed: Guarded) -> None:
    assert await bed.until(0) == []
    assert bed.logged("phones_unguarded") == []

    await bed.configure("1002", OBEYED)
    (warning,) = await bed.until(1)
    assert "1 agent's phone is not guarded" in warning
    (line,) = bed.logged("phones_unguarded")
    assert (line["agents"], line["unguarded"], line["level"]) == (["1002"], 1, "warning")

    await bed.configure()
    assert await bed.until(0) == []
    (line,) = bed.logged("phones_guarded")
    assert (line["agents"], line["unguarded"]) == (["1002"], 0)


@pytest.mark.thorough
async def test_the_other_guard_counts_as_well(bed: Guarded) -> None:
    await bed.configure("1003", OBEYED)
    await bed.until(1)
    await bed.configure("1003", OBEYED, "allow_transfer = no")
    await bed.until(0)


@pytest.mark.thorough
async def test_a_phone_is_looked_at_when_it_is_a_members(bed: Guarded) -> None:
    await bed.configure("pstn", "allow_transfer = yes")
    await bed.ami.command("queue add member PJSIP/pstn to sales")
    await bed.until(1)
    assert bed.logged("phones_unguarded")[-1]["agents"] == ["pstn"]
    await bed.ami.command("queue remove member PJSIP/pstn from sales")
    await bed.until(0)
