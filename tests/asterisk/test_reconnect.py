"""AMI and ARI lost and found again: what is told meanwhile, and that all is known afterwards."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from bed import Bed, backend_named

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

BACK_WITHIN = 10.0
"""The clients' back-off is at most 5 s."""


@dataclass
class Wire:
    """A TCP connection to Asterisk that can be cut."""

    target: int
    cut: bool = False
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cut:
            writer.close()
            return
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        self._open |= {writer, there_writer}
        await asyncio.gather(
            self._pump(reader, there_writer, writer), self._pump(there_reader, writer, there_writer)
        )

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        other: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        for writer in (sink, other):
            self._open.discard(writer)
            writer.close()

    def break_off(self) -> None:
        self.cut = True
        for writer in tuple(self._open):
            writer.transport.abort()

    def mend(self) -> None:
        self.cut = False

    async def stop(self) -> None:
        self.break_off()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()


@dataclass
class Wires:
    bed: Bed
    ami: Wire
    ari: Wire

    def named(self, which: str) -> list[Wire]:
        return [self.ami, self.ari] if which == "both" else [getattr(self, which)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def wires() -> AsyncIterator[Wires]:
    async with Bed(world(), backend=backend_named(None)) as bed:
        wires = Wires(bed, Wire(bed.ports.ami), Wire(bed.ports.http))
        await wires.ami.start()
        await wires.ari.start()
        await bed.start_daemon(
            {
                "AVP_AMI__PORT": str(wires.ami.port),
                "AVP_ARI__URL": f"http://127.0.0.1:{wires.ari.port}/ari",
            }
        )
        yield wires
        await bed.stop_daemon()
        await wires.ami.stop()
        await wires.ari.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def scene(wires: Wires) -> AsyncIterator[Scene]:
    async with open_scene(wires.bed) as opened:
        try:
            yield opened
        finally:
            for wire in wires.named("both"):
                wire.mend()
            await ready(opened)


async def ready(scene: Scene, status: int = 200, within: float = BACK_WITHIN) -> None:
    async def look() -> bool | None:
        return (await scene.api("GET", "/readyz")).status == status or None

    assert await scene.ami.until(look, within), await scene.api("GET", "/readyz")


async def cut(scene: Scene, wires: Wires, which: str) -> None:
    for wire in wires.named(which):
        wire.break_off()
    await ready(scene, 503, within=2)
    answer = await scene.api("GET", "/readyz")
    for name in ("ami", "ari"):
        assert answer.body[name] is (which not in (name, "both")), answer
    assert (await scene.api("GET", "/healthz")).status == 200


async def mend(scene: Scene, wires: Wires) -> None:
    for wire in wires.named("both"):
        wire.mend()
    await ready(scene)


@pytest.mark.parametrize("which", ["ami", "ari", "both"])
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
    """A call ended, another began, somebody went on a break, and a caller waits in a queue."""
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
    paused = (await scene.ami.members("avp-agent-1004"))["Dave"]
    assert paused["Paused"] == "1"
    assert (await scene.agent("1002"))["call"]["caller"] == "caller2"
    await scene.agent_is("1001", "available", within=5)
    transfer = await scene.transfer("1002", "unsupervised", "1001")
    await scene.phone("1001").answer()
    await scene.talking("caller2", "1001")
    await scene.ends(transfer, "completed", "completed")


@pytest.mark.parametrize("which", ["ami", "ari", "both"])
async def test_a_consultation_goes_on(scene: Scene, wires: Wires, which: str) -> None:
    """Audio does not need us. The commands do, and work again afterwards."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await cut(scene, wires, which)
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


async def test_the_caller_hangs_up_meanwhile(scene: Scene, wires: Wires) -> None:
    """Found gone after the connections are back: the consultation ends, nobody is left over."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await cut(scene, wires, "both")
    await scene.hang_up("caller1")
    await mend(scene, wires)
    await scene.ends(transfer, "abandoned", "caller_hangup")
    await scene.gone("1001", "1002")
