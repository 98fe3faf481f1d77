"""A caller hears, in every part of a transfer, the music that the administrator chose for the call.

Two queues have a music class each, with a tone of its own in place of music. What has no class
hears the bed's music, which is called "music".
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
from bed import Bed, World, backend_named
from bed.audio import PHONE_TONES, Tones, write_tone

from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

CLASSES: Final = {"jazz": PHONE_TONES[-1], "waltz": PHONE_TONES[-2]}
"""Tones that no phone of this small world has."""

# A class for one call, and a caller who hears ringing in the queue.
INBOUND = """
[callers](+)
exten => 7800,1,Set(AVP_MAX_HOLD=12)
 same => n,Goto(800,1)
exten => 8801,1,Set(CHANNEL(musicclass)=waltz)
 same => n,Goto(800,1)
exten => 8802,1,Answer()
 same => n,Queue(sales,ir)
exten => 8803,1,Answer()
 same => n,Queue(sales,im(waltz))
"""


class MusicalBed(Bed):
    def __init__(self, world: World) -> None:
        super().__init__(world, backend=backend_named(None))
        phones = dict(zip(world.accounts, PHONE_TONES, strict=False))
        self.tones = Tones(phones | CLASSES)

    def render(self) -> None:
        super().render()
        conf = self.directory / "etc" / "musiconhold.conf"
        text = conf.read_text()
        place = text.split("directory = ")[1].split()[0]
        for name, tone in CLASSES.items():
            (self.directory / "moh" / name).mkdir()
            write_tone(self.directory / "moh" / name / "tone.wav", tone, 10)
            text += f"\n[{name}]\nmode = files\ndirectory = {place}/{name}\n"
        conf.write_text(text)


def world() -> World:
    return (
        World(
            extensions=INBOUND,
            max_hold_seconds=30,
            settings={
                "AVP_SESSION__RING_SECONDS": "20",
                "AVP_GROUPS__SALES__MAX_HOLD_ACTION": "return",
            },
        )
        .with_group("sales", strategy="linear", options={"musicclass": "jazz"})
        .with_group("support", strategy="linear", options={"musicclass": "waltz"})
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    async with MusicalBed(world()) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    if centre.daemon is None:
        await centre.start_daemon()
    async with open_scene(centre) as opened:
        yield opened


async def hears(scene: Scene, music: str, name: str = "caller1") -> None:
    """Steadily, so that no other music begins over it."""
    await scene.phone(name).hearing({music}, within=4.0, steady=0.8)


async def consult(
    scene: Scene, agent: str, target: str, music: str, caller: str = "caller1"
) -> str:
    transfer = await scene.transfer(agent, "supervised", target)
    await hears(scene, music, caller)
    await scene.phone(target).answer()
    await scene.reaches(transfer, "consulting")
    await hears(scene, music, caller)
    return transfer


async def test_in_supervised_transfers(scene: Scene) -> None:
    """From the queue's first agent to the last: after swaps, a cancel and a completion."""
    await scene.phone("caller1").dial("800")
    await scene.phone("1001").ringing()
    await hears(scene, "jazz")
    await scene.phone("1001").answer()
    await scene.talking("caller1", "1001")
    transfer = await consult(scene, "1001", "1002", "jazz")
    await scene.act(transfer, "swap")
    await hears(scene, "music", "1002")
    await scene.act(transfer, "swap")
    await hears(scene, "jazz")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await scene.agent_is("1002", "available")
    transfer = await consult(scene, "1001", "1002", "jazz")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    await scene.agent_is("1001", "available")
    transfer = await consult(scene, "1002", "1001", "jazz")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_in_unsupervised_transfers(scene: Scene) -> None:
    """In personal queues that of the queue before; in another group's queue, and after it, that."""
    await scene.call("caller1", "1001", number="7800")
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await hears(scene, "jazz")
    await scene.waits("avp-agent-1002", "caller1", within=0)
    await scene.agent_is("1001", "available")
    await scene.call("caller3", "1001")
    await scene.waits("avp-agent-1001", "caller1", within=13)
    await hears(scene, "jazz")
    await scene.waits("avp-agent-1001", "caller1", within=0)
    await scene.hang_up("caller3")
    await scene.phone("1001").answer(within=8)
    await scene.talking("caller1", "1001")
    assert await scene.state(transfer) == "failed"
    await scene.transfer("1001", "unsupervised", "support", kind="group")
    await scene.phone("1003").ringing()
    await hears(scene, "waltz")
    await scene.phone("1003").answer()
    await scene.talking("caller1", "1003")
    transfer = await consult(scene, "1003", "1004", "waltz")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1003")


@pytest.mark.thorough
async def test_a_class_of_the_call_itself(scene: Scene) -> None:
    await scene.call("caller1", "1001", number="8801")
    transfer = await consult(scene, "1001", "1002", "waltz")
    await scene.hang_up("1002")
    await scene.ends(transfer, "failed", "target_hangup")
    await scene.talking("caller1", "1001")
    await scene.agent_is("1002", "available")
    await scene.call("caller2", "1002")
    await scene.transfer("1001", "unsupervised", "1002")
    await scene.waits("avp-agent-1002", "caller1")
    await hears(scene, "waltz")
    await scene.hang_up("caller2")
    await scene.phone("1002").answer(within=8)
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_a_daemon_that_was_not_there_when_the_caller_waited(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    await scene.bed.stop_daemon(kill=True)
    await scene.bed.start_daemon()
    await scene.agent_is("1001", "talking")
    transfer = await consult(scene, "1001", "1002", "jazz")
    await scene.bed.stop_daemon(kill=True)
    await hears(scene, "jazz")
    await scene.bed.start_daemon()
    await scene.reaches(transfer, "consulting")
    await scene.act(transfer, "swap")
    await scene.talking("caller1", "1001")
    await scene.act(transfer, "swap")
    await hears(scene, "jazz")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("number", "music"), [("8802", "music"), ("8803", "waltz"), ("1001", "music")]
)
async def test_other_ways_to_an_agent(scene: Scene, number: str, music: str) -> None:
    """Who heard ringing in the queue, Queue()'s own class, and a call without a queue."""
    await scene.call("caller1", "1001", number=number)
    transfer = await consult(scene, "1001", "1002", music)
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
