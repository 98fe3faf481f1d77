"""docker/demo --nodes 2: transfers from one Asterisk to another, each step verified before it is
printed."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from bed import Backend
from bed.nodes import Nodes
from bed.nodes_world import GROUPS

from tests.asterisk.demo import Interrupted, PopNotification, paragraph, unless
from tests.asterisk.nodes_scene import NodesScene
from tests.asterisk.scene import Scene
from tests.benchmarks import moments

INTRODUCTION = """
A call centre on two Asterisk with real SIP phones. Node A: agents Alice and Bob, and caller1. Node
B: agents Carol, Dave and Erin, and caller3. Group sales (number 800) spans both. Each phone sends a
tone of its own, so what a phone hears tells who speaks. Each line is printed after it was seen on
Asterisk's channels or heard by a phone. Times are milliseconds: from the start of the scene, and
"+" after the step.
"""
_NODE = "avp-node-"
"""How the endpoints of trunks begin."""


class Notification(PopNotification):
    """The lines of a scene whose parties are on two nodes."""

    def __init__(self, stage: NodesScene) -> None:
        super().__init__(stage.at("a"))
        self._stage = stage

    def name(self, phone: str) -> str:
        names = {agent.id: agent.name for node in self._stage.nodes for agent in node.world.agents}
        return names.get(phone, phone)

    async def _now(self) -> tuple[str, list[str]]:
        heard = self._stage.phone(self.caller).heard(time.time() - 0.5)
        heard = heard - {"silence"} or heard  # a busy machine causes gaps
        groups: list[set[str]] = []
        across: set[str] = set()
        """Whoever is connected by the trunk: in these scenes there is one such call."""
        for node in self._stage.nodes:
            bridges = [bridge.channels for bridge in await node.ami.bridges()]
            for names in moments.conversations(bridges):
                people = {self.name(name) for name in names if name in node.world.local}
                if any(name.startswith(_NODE) for name in names):
                    across |= people
                else:
                    groups.append(people)
        groups.append(across)
        shown = sorted(" - ".join(sorted(g)) for g in groups if len(g) > 1)
        return " + ".join(sorted(map(self.name, heard))), shown or ["nobody"]


async def supervised(stage: NodesScene, tell: Notification) -> str:
    """Alice of node A speaks with Erin of node B, and hands caller1 over."""
    since = tell.step("caller1 calls sales at node A; Alice answers")
    await stage.call("caller1", "1001")
    heard = moments.heard_from(stage.phone("caller1"), {"1001"}, since, time.time())
    await tell.then((heard, "they talk"))
    asked = tell.step("Alice asks for a supervised transfer to Erin")
    transfer = await stage.transfer("1001", "supervised", "1005")
    ringing = await stage.phone("1005").ringing()
    await stage.on_music("caller1")
    music = moments.heard_from(stage.phone("caller1"), {"music"}, asked, time.time())
    await tell.then(
        (music, "caller1 hears music"), (ringing.began, "Erin's phone rings, at node B")
    )
    answered = tell.step("Erin answers")
    await stage.phone("1005").answer()
    await stage.consulting(transfer, "caller1", "1001", "1005")
    await tell.then(
        (_heard(stage, "1001", "1005", answered), "Alice hears Erin"),
        (_heard(stage, "1005", "1001", answered), "Erin hears Alice"),
    )
    private = stage.phone("caller1").heard(music or asked, time.time() - 0.3) - {"silence"}
    assert private == {"music"}, f"caller1 hears {sorted(private)} while Alice and Erin consult"
    asked = tell.step("Alice completes the transfer")
    await stage.at("a").complete(transfer)
    await stage.talking("caller1", "1005")
    await stage.gone("1001")
    await stage.at("a").ends(transfer, "completed", "completed")
    await tell.then(
        (stage.phone("1001").calls[-1].ended, "Alice is off the call"),
        (_heard(stage, "caller1", "1005", asked), "caller1 hears Erin"),
        (_heard(stage, "1005", "caller1", asked), "Erin hears caller1"),
    )
    assert await stage.legs("a", "b") == 1, "one leg of the trunk"
    tell.step("Erin hangs up")
    await stage.hang_up("1005")
    await stage.gone("caller1")
    await stage.at("a").booked(Alice=1)
    await stage.at("b").booked(Erin=1)
    return (
        "caller1 heard music and nothing of the consult; then caller1 and Erin heard each other"
        " only, over one leg of the trunk. The queue log of node A has one completed call for"
        " Alice, that of node B one for Erin."
    )


async def to_a_busy_agent(stage: NodesScene, tell: Notification) -> str:
    """caller1 waits at node A for Erin, who is busy at node B."""
    since = tell.step("caller1 calls sales at node A; Alice answers")
    await stage.call("caller1", "1001")
    await tell.then((_heard(stage, "caller1", "1001", since), "they talk"))
    since = tell.step("caller3 calls sales at node B; Erin answers")
    await stage.call("caller3", "1005")
    await tell.then((_heard(stage, "caller3", "1005", since), "they talk"))
    asked = tell.step("Alice transfers caller1 to Erin, unsupervised")
    transfer = await stage.transfer("1001", "unsupervised", "1005")
    await stage.gone("1001")
    await stage.on_music("caller1")
    await stage.at("a").reaches(transfer, "waiting")
    await stage.talking("caller3", "1005")
    await tell.then(
        (stage.phone("1001").calls[-1].ended, "Alice is off the call"),
        (_heard(stage, "caller1", "music", asked), "caller1 hears music, and waits for Erin"),
    )
    tell.step("caller3 hangs up; Erin has 2 seconds of after-call work")
    await stage.hang_up("caller3")
    await stage.gone("1005")
    ringing = await stage.phone("1005").ringing(within=8)
    await tell.then((ringing.began, "Erin's phone rings"))
    answered = tell.step("Erin answers")
    await stage.phone("1005").answer()
    await stage.talking("caller1", "1005")
    await stage.at("a").ends(transfer, "completed", "completed")
    await tell.then((_heard(stage, "caller1", "1005", answered), "caller1 hears Erin"))
    return "Erin's talk with caller3 went on undisturbed, and her next call was caller1."


def _heard(stage: NodesScene, name: str, what: str, since: float) -> float | None:
    return moments.heard_from(stage.phone(name), {what}, since, time.time())


@dataclass(frozen=True)
class Show:
    title: str
    what: str
    play: Callable[[NodesScene, Notification], Awaitable[str]]


SHOWS = (
    Show(
        "Supervised transfer to an agent of another node",
        "Alice speaks with Erin, whose phone is at node B, and hands caller1 over to her.",
        supervised,
    ),
    Show(
        "Unsupervised transfer to a busy agent of another node",
        "Alice lets go at once. caller1 waits at node A and is the next call that Erin gets.",
        to_a_busy_agent,
    ),
)


async def _free(stage: NodesScene) -> None:
    """Everybody is available, as each node sees it."""
    await asyncio.gather(*(p.idle() for node in stage.nodes for p in node.phones.values()))
    for scene in stage.scenes.values():
        await scene.everybody_free()
    for letter in stage.scenes:
        for node in stage.nodes:
            for agent in node.world.agents:
                await stage.sees(letter, agent.id, within=15, state="available")
    for scene in stage.scenes.values():
        scene.begin()


async def _play_all(nodes: Nodes, numbers: Iterable[int]) -> list[int]:
    """Show these. Returns the ones that failed."""
    failed = []
    for number in numbers:
        show = SHOWS[number - 1]
        stage = NodesScene(nodes, {node.letter: Scene(node) for node in nodes})
        tell = Notification(stage)
        try:
            await _free(stage)
            tell.title(number, show.title, show.what)
            verified = await show.play(stage, tell)
            await stage.quiet()
        except (AssertionError, OSError, TimeoutError) as error:
            paragraph("NOT AS IT SHOULD BE:", " ".join(str(error).split()) or repr(error))
            failed.append(number)
            with contextlib.suppress(AssertionError, TimeoutError):
                await nodes.idle()
            continue
        paragraph("Verified:", f"{verified} After the last hang-up nothing is left on any node.")
    return failed


async def demonstrate(options: argparse.Namespace, backend: Backend) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    nodes = Nodes("abc"[: options.nodes], backend=backend, groups=GROUPS[:2], max_hold_seconds=30)
    try:
        began = time.monotonic()
        await unless(stop, nodes.start())
        seconds = time.monotonic() - began
        print(f"{options.nodes} Asterisk, their daemons, phones and NATS up in {seconds:.1f} s.")
        print(INTRODUCTION, end="", flush=True)
        numbers = options.scene or range(1, len(SHOWS) + 1)
        failed = await unless(stop, _play_all(nodes, numbers))
    except Interrupted:
        with contextlib.suppress(AssertionError, TimeoutError):
            await asyncio.gather(*(p.idle() for node in nodes for p in node.phones.values()))
        raise
    finally:
        await nodes.stop()
    wrong = f"Not so: {', '.join(map(str, failed))}. " if failed else ""
    count = len(numbers)
    print(f"\n{count - len(failed)} of {count} transfers were as they should be.", end=" ")
    print(f"{wrong}Everything that was started has ended.")
    return 1 if failed else 0
