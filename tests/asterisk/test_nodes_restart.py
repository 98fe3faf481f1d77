"""A daemon of either node is killed and started again in each state of a transfer between nodes.

The caller and Alice, the transferor, are on node a, which makes the transfer; the target is at home
on node b. Whichever daemon was killed, everybody hears what they heard, and the transfer goes on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from bed.nodes import Nodes

from tests.asterisk.nodes_scene import NodesScene, open_nodes

pytestmark = [
    pytest.mark.asterisk,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.thorough,
]

SETTINGS = {
    "AVP_ENTERPRISE__CONFERENCE": "true",
    "AVP_ENTERPRISE__MAX_HOLD_SECONDS": "60",
    "AVP_SESSION__RING_SECONDS": "40",
}
RESTARTED = 10.0
"""Seconds until a daemon that was started again has everything in hand."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two() -> AsyncIterator[Nodes]:
    async with Nodes("ab", relays=False, settings=SETTINGS, rtp_timeout=4) as nodes:
        yield nodes


@pytest_asyncio.fixture(loop_scope="session")
async def scene(two: Nodes) -> AsyncIterator[NodesScene]:
    async with open_nodes(two) as opened:
        await opened.all_free()
        yield opened


# --- the states: how each is reached, and what everybody hears there -------------------------


async def busy(scene: NodesScene) -> None:
    """Carol, the target, talks to caller 3 on her own node."""
    await scene.call("caller3", "1003", "support")
    await scene.sees("a", "1003", state="talking")


async def waiting(scene: NodesScene) -> str:
    await busy(scene)
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1003")
    await scene.at("a").reaches(transfer, "waiting")
    await scene.at("b").waits("avp-agent-1003", "avp-node-a")
    return transfer


async def ringing(scene: NodesScene) -> str:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1003")
    await scene.phone("1003").ringing()
    await scene.at("a").reaches(transfer, "ringing")
    return transfer


async def consulting(scene: NodesScene) -> str:
    return await scene.consult("caller1", "1001", "1003")


async def conference(scene: NodesScene) -> str:
    transfer = await consulting(scene)
    await scene.at("a").act(transfer, "conference")
    await scene.at("a").reaches(transfer, "conference")
    return transfer


async def queued(scene: NodesScene) -> str:
    await busy(scene)
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1003")
    await scene.at("b").waits("avp-agent-1003", "avp-node-a")
    await scene.gone("1001")
    return transfer


async def offered(scene: NodesScene) -> str:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1003")
    await scene.phone("1003").ringing()
    await scene.gone("1001")
    return transfer


async def completed(scene: NodesScene) -> str:
    transfer = await consulting(scene)
    await scene.at("a").complete(transfer)
    await scene.gone("1001")
    return transfer


async def consults(scene: NodesScene) -> None:
    await scene.talking("1001", "1003")
    await scene.on_music("caller1")


async def holds(scene: NodesScene) -> None:
    await scene.on_music("caller1")


async def waits_for_carol(scene: NodesScene) -> None:
    await scene.on_music("caller1")
    await scene.talking("caller3", "1003")


async def confer(scene: NodesScene) -> None:
    await scene.talking("caller1", "1001", "1003")


async def talk(scene: NodesScene) -> None:
    await scene.talking("caller1", "1003")


# --- how each goes on ------------------------------------------------------------------------


async def target_answers(scene: NodesScene, transfer: str) -> None:
    await scene.phone("1003").answer()
    await scene.consulting(transfer, "caller1", "1001", "1003")
    await sent(scene, transfer)


async def carol_is_free(scene: NodesScene, transfer: str) -> None:
    await scene.hang_up("caller3")
    await scene.phone("1003").ringing(6.0)
    await scene.at("a").reaches(transfer, "ringing")
    await target_answers(scene, transfer)


async def sent(scene: NodesScene, transfer: str) -> None:
    await scene.at("a").complete(transfer)
    await ended(scene, transfer)


async def gets_it(scene: NodesScene, transfer: str) -> None:
    await scene.phone("1003").answer()
    await ended(scene, transfer)


async def gets_it_next(scene: NodesScene, transfer: str) -> None:
    await scene.hang_up("caller3")
    await scene.phone("1003").ringing(6.0)
    await gets_it(scene, transfer)


async def ended(scene: NodesScene, transfer: str) -> None:
    await talk(scene)
    await scene.at("a").ends(transfer, "completed", "completed")
    await goes_on(scene, transfer)


async def goes_on(scene: NodesScene, _: str) -> None:
    """Carol has the caller, and can hand the call on, to the node where it came in."""
    await scene.only_legs(1)
    await scene.at("b").has_call("1003", on_hold=False, consult=None)

    async def popped() -> bool | None:
        call = (await scene.at("b").agent("1003"))["call"]
        shown = call["pop"].get("caller", {}).get("number") if call else None
        return shown == call["caller"] if shown else None

    assert await scene.at("b").ami.until(popped, 5.0), await scene.at("b").agent("1003")
    await scene.sees("b", "1002", state="available")
    await scene.transfer("1003", "unsupervised", "1002")
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")


async def cancelled(scene: NodesScene, transfer: str) -> None:
    await scene.at("a").cancel(transfer)
    await scene.at("a").ends(transfer, "cancelled", "cancelled")
    await scene.talking("caller1", "1001")


Begin = Callable[[NodesScene], Awaitable[str]]
Hear = Callable[[NodesScene], Awaitable[None]]
End = Callable[[NodesScene, str], Awaitable[None]]

STATES: dict[str, tuple[Begin, Hear, End, str]] = {
    "waiting": (waiting, waits_for_carol, carol_is_free, "waiting"),
    "waiting, cancelled": (waiting, waits_for_carol, cancelled, "waiting"),
    "ringing": (ringing, holds, target_answers, "ringing"),
    "ringing, cancelled": (ringing, holds, cancelled, "ringing"),
    "consulting": (consulting, consults, sent, "consulting"),
    "consulting, cancelled": (consulting, consults, cancelled, "consulting"),
    "conference": (conference, confer, sent, "conference"),
    "queued": (queued, waits_for_carol, gets_it_next, "waiting"),
    "offered": (offered, holds, gets_it, "ringing"),
    "completed": (completed, talk, goes_on, ""),
}


@pytest.mark.parametrize("node", ["a", "b", "ab"])
@pytest.mark.parametrize("state", STATES)
async def test_killed_and_started_again(scene: NodesScene, state: str, node: str) -> None:
    begin, hear, end, shown = STATES[state]
    transfer = await begin(scene)
    await hear(scene)

    for letter in node:
        await scene.nodes[letter].stop_daemon(kill=True)
    await hear(scene)
    for letter in node:
        await scene.nodes[letter].start_daemon()

    if shown:  # a transfer that has ended is not remembered
        await scene.at("a").reaches(transfer, shown, within=RESTARTED)
    await scene.sees("a", "1003", node="b", within=RESTARTED)
    await scene.sees("b", "1002", node="a", within=RESTARTED)
    await hear(scene)
    await end(scene, transfer)
