"""The `eventfilter` of docs/security.md drops events that a caller wrote, for other AMI programs.

AMI sends a caller's number unchanged. The dialplan sets it here to a text that a trunk could send.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed import Bed, backend_named, match
from bed.ami import Probe

from tests.asterisk.conftest import world
from tests.documentation import blocks, page

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

FORGED = "7\r\n\r\nEvent: QueueMember\r\nQueue: sales\r\nInterface: PJSIP/forged\r\n\r\n"
ADDED = "7\r\nVariable: FORGED"


class Walled(Bed):
    """With two more AMI users, of whom one has the filter."""

    def render(self) -> None:
        super().render()
        code = "".join(block.text for block in blocks(page("docs/security.md"), "ini"))
        (line,) = re.findall(r"(?m)^eventfilter.*$", code)
        user = "[{}]\nsecret = {}\nread = system,call,agent\nwrite =\n{}\n"
        etc = self.directory / "etc"
        with (etc / "manager.conf").open("a") as file:
            file.write("\n" + user.format("walled", "walled-1", line))
            file.write(user.format("open", "open-1", ""))
        with (etc / "extensions.conf").open("a") as file:
            file.write("\n[forging]\n")
            for name, number in (
                *(("plain", "7"), ("forged", FORGED), ("added", ADDED), ("last", "8")),
            ):
                text = base64.b64encode(number.encode()).decode()
                file.write(f"exten => {name},1,Set(CALLERID(num)=${{BASE64_DECODE({text})}})\n")
                file.write(" same => n,Set(SEEN=yes)\n same => n,Hangup()\n")

    async def start(self, phones: object = ()) -> None:
        await super().start(())

    async def call(self, extension: str) -> None:
        action = {"Channel": f"Local/{extension}@forging/n", "Async": "true"}
        begin = len(self.ami.events)
        await self.ami.action("Originate", **action, Application="Wait", Data="0.1")
        await self.ami.until(lambda: _ended(self.ami, begin), 5.0)
        await self.ami.assert_clean()


async def _ended(probe: Probe, begin: int) -> bool | None:
    ended = [e for e in probe.events[begin:] if e.get("Event") == "Hangup"]
    return len(ended) >= 2 or None


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bed() -> AsyncIterator[Walled]:
    async with Walled(world(), backend=backend_named(None)) as started:
        yield started


async def test_what_the_filter_drops(bed: Walled) -> None:
    walled = Probe(bed.ports.ami, "walled-1", "walled")
    plain = Probe(bed.ports.ami, "open-1", "open")
    forged = match("QueueMember", Interface="PJSIP/forged")
    try:
        await walled.connect()
        await plain.connect()
        await bed.call("forged")
        await bed.call("added")
        await bed.call("plain")
        # A call whose end comes after all events of those before, to each of them.
        await bed.call("last")
        last = match("Hangup", CallerIDNum="8", Context="forging", Exten="last")
        for probe in (walled, plain):
            await probe.wait(last, within=5.0, since=0.0)
        assert [e for e in plain.events if forged(e)]
        assert not [e for e in walled.events if forged(e)]
        # No filter detects an extra header in one of Asterisk's own events.
        assert [e for e in walled.events if e.get("Variable") == "FORGED"]
        # All events of calls without injected text are there.
        ours = [e for e in plain.events if e.get("Exten") == "plain"]
        assert ours
        assert len([e for e in walled.events if e.get("Exten") == "plain"]) == len(ours)
    finally:
        await walled.close()
        await plain.close()
