"""The daemon of one of two nodes ends, freezes or is stopped, and its standby takes its place.

The call came in at node a, its anchor; the target is at home on node b. The other node does not
lose the one whose daemon is replaced, and the transfer goes on.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from bed.nodes import Nodes
from bed.procs import ProcessId, exited

from tests.asterisk.nodes_scene import NodesScene, open_nodes
from tests.asterisk.nodes_standby import listening, serves, standby_of

SETTINGS = {"AVP_SESSION__RING_SECONDS": "30", "AVP_SESSION__DRAIN_SECONDS": "60"}

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

WAYS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP, "stop": signal.SIGTERM}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two() -> AsyncIterator[Nodes]:
    # Without lines that this process would have to pass on: a busy test must not look like a loss.
    async with Nodes("ab", relays=False, settings=SETTINGS, max_hold_seconds=60) as nodes:
        yield nodes


@pytest_asyncio.fixture(loop_scope="session")
async def scene(two: Nodes) -> AsyncIterator[NodesScene]:
    async with open_nodes(two) as opened:
        await everybody_known(opened)
        yield opened


async def everybody_known(scene: NodesScene) -> None:
    for agent in ("1003", "1004", "1005"):
        await scene.sees("a", agent, within=15.0, state="available", waiting_transfer=False)
    for agent in ("1001", "1002"):
        await scene.sees("b", agent, within=15.0, state="available", waiting_transfer=False)


# --- the moments: what is begun, and what has to become of it ---------------------------------

Then = Callable[[], Awaitable[None]]


async def _completes(scene: NodesScene, transfer: str) -> None:
    await scene.at("a").complete(transfer)
    await scene.at("a").ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1005")
    await scene.gone("1001")


async def waits(scene: NodesScene) -> Then:
    """The caller waits at the anchor for the busy agent of the other node."""
    await scene.call("caller1", "1001", "blend")
    await scene.call("caller3", "1005")
    transfer = await scene.transfer("1001", "unsupervised", "1005")
    await scene.at("a").reaches(transfer, "waiting")
    await scene.sees("a", "1005", waiting_transfer=True)

    async def then() -> None:
        await scene.at("a").reaches(transfer, "waiting")
        # The slot is the queue's: nobody else gets it.
        await scene.sees("a", "1001", within=8.0, state="available")
        await scene.call("caller2", "1001", "blend")
        answer = await scene.ask("1001", "unsupervised", "agent", "1005")
        assert answer.body["reason"] == "target_queue_full"
        await scene.hang_up("caller3")
        await scene.phone("1005").answer(within=10)
        await scene.talking("caller1", "1005")
        await scene.at("a").ends(transfer, "completed", "completed")

    return then


async def rings(scene: NodesScene) -> Then:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1005")
    await scene.phone("1005").ringing()

    async def then() -> None:
        await scene.phone("1005").pick_up()
        await scene.consulting(transfer, "caller1", "1001", "1005")
        await _completes(scene, transfer)

    return then


async def consults(scene: NodesScene) -> Then:
    transfer = await scene.consult("caller1", "1001", "1005")

    async def then() -> None:
        await scene.consulting(transfer, "caller1", "1001", "1005")
        await _completes(scene, transfer)
        await scene.at("b").has_call("1005", caller="caller1")

    return then


async def talks(scene: NodesScene) -> Then:
    """A transfer has been made; its target hands the call on, by the anchor."""
    transfer = await scene.consult("caller1", "1001", "1005")
    await _completes(scene, transfer)

    async def then() -> None:
        await scene.talking("caller1", "1005")
        await scene.at("b").has_call("1005", on_hold=False, consult=None)
        await scene.sees("b", "1002", state="available")
        second = await scene.transfer("1005", "supervised", "1002")
        await scene.phone("1002").answer()
        await scene.at("b").reaches(second, "consulting")
        await scene.at("b").complete(second)
        await scene.talking("caller1", "1002")
        await scene.gone("1005")

    return then


MOMENTS = (waits, rings, consults, talks)
#: What CI runs; the others are further variants.
ALWAYS = {
    ("a", "kill", "rings"),
    ("a", "freeze", "consults"),
    ("b", "stop", "talks"),
}


def cases() -> list[object]:
    found = []
    for node in "ab":
        for way in WAYS:
            for moment in MOMENTS:
                ids = (node, way, moment.__name__)
                marks = () if ids in ALWAYS else pytest.mark.thorough
                found.append(pytest.param(node, way, moment, id="-".join(ids), marks=marks))
    return found


@pytest.mark.parametrize(("node", "way", "moment"), cases())
async def test_a_standby_takes_over(
    scene: NodesScene,
    node: str,
    way: str,
    moment: Callable[[NodesScene], Awaitable[Then]],
) -> None:
    there, other = scene.at(node), "b" if node == "a" else "a"
    bed = scene.nodes[node]
    async with standby_of(bed, there) as standby, listening(scene.nodes) as beats:
        then = await moment(scene)
        said = len(scene.at(other).log_of_daemon())
        began = time.monotonic()
        bed.signal_daemon(WAYS[way])
        await serves(standby, there)
        await then()
        log = scene.at(other).log_of_daemon(said)
        assert "node_lost" not in log, log
        assert "home_moved" not in log, log
        gap = beats.gap(node, began - 1)
        print(f"figure: {node} {way} {moment.__name__}: nobody spoke for {gap:.2f} s")
        assert beats.late(node, began - 1) == 0
        assert "Traceback" not in standby.said()


async def test_what_the_other_node_asks_meanwhile(scene: NodesScene) -> None:
    """Requests of both kinds wait for the standby, and are done once."""
    await _completes(scene, await scene.consult("caller1", "1001", "1005"))
    await scene.at("b").has_call("1005", on_hold=False, consult=None)
    await scene.sees("b", "1002", state="available")
    async with standby_of(scene.nodes.a, scene.at("a")) as standby:
        # The anchor has to decide about a transfer by the other node's agent.
        scene.nodes.a.signal_daemon(signal.SIGKILL)
        transfer = await scene.transfer("1005", "supervised", "1002")
        assert "taking_over" in standby.said()
        await scene.phone("1002").answer()
        await scene.at("b").reaches(transfer, "consulting")
        await scene.at("b").complete(transfer)
        await scene.talking("caller1", "1002")
        await scene.gone("1005")
    await scene.hang_up("1002")
    await everybody_known(scene)
    async with standby_of(scene.nodes.b, scene.at("b")) as standby:
        # The home has to say whether its agent can be had.
        await scene.call("caller2", "1001")
        scene.nodes.b.signal_daemon(signal.SIGKILL)
        transfer = await scene.transfer("1001", "supervised", "1005")
        await scene.phone("1005").answer()
        await scene.at("a").reaches(transfer, "consulting")
        await serves(standby, scene.at("b"))
        await scene.at("a").complete(transfer)
        await scene.talking("caller2", "1005")
        await scene.at("b").has_call("1005", caller="caller2")


@pytest.mark.thorough
async def test_a_frozen_daemon_wakes_up_on_another_machine(scene: NodesScene) -> None:
    """It cannot be ended. When it wakes up it says nothing that the others would believe."""
    bed, there = scene.nodes.b, scene.at("b")
    async with standby_of(bed, there, away=True) as standby, listening(scene.nodes) as beats:
        transfer = await scene.consult("caller1", "1001", "1005")
        said = len(scene.at("a").log_of_daemon())
        own = len(there.log_of_daemon())
        began = time.monotonic()
        bed.signal_daemon(signal.SIGSTOP)
        await serves(standby, there)
        there.expected.add("[error")  # it is told that another program has its application
        served = len(beats.ready("b", began))
        bed.signal_daemon(signal.SIGCONT)
        left = "other_daemon_active"

        async def look() -> bool | None:
            return left in there.log_of_daemon(own) or None

        assert await there.ami.until(look, 10.0), there.log_of_daemon(own)
        # It runs without --standby, and exits.
        assert await asyncio.to_thread(ended, bed.daemon) == 75

        async def beating() -> bool | None:
            return len(beats.ready("b", began)) > served + 4 or None

        assert await there.ami.until(beating, 10.0)
        late = beats.late("b", began)
        print(f"figure: the former daemon spoke {late} times more")
        assert late <= 2  # before it has heard of the other
        await _completes(scene, transfer)
        log = scene.at("a").log_of_daemon(said)
        assert "node_lost" not in log, log
        assert "home_moved" not in log, log


def ended(process: ProcessId | None) -> int:
    assert process is not None
    deadline = time.monotonic() + 15
    while (status := exited(process)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return status
