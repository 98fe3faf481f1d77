"""The vocabulary of tests on several nodes: who calls whom, across nodes, and what each node shows.

Each node has a `Scene` of its own (`NodesScene.at`), for what concerns one node alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from bed import Phone
from bed.nodes import Nodes
from bed.nodes_world import NUMBERS

from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Answer, Scene


class NodesScene:
    """One test's view of the nodes."""

    def __init__(self, nodes: Nodes, scenes: dict[str, Scene]) -> None:
        self.nodes = nodes
        self.scenes = scenes

    def at(self, letter: str) -> Scene:
        """A node's scene."""
        return self.scenes[letter]

    def of(self, name: str) -> Scene:
        """The scene of the node where an agent, or a caller, is at home."""
        return self.scenes[self.nodes.home(name).letter]

    def phone(self, name: str) -> Phone:
        return self.nodes.phone(name)

    # --- calls -------------------------------------------------------------------------------

    async def call(self, caller: str, agent: str, group: str = "sales", number: str = "") -> None:
        """``caller`` dials the group's number at their node, ``agent`` answers on any node."""
        await self.phone(caller).dial(number or NUMBERS[group])
        await self.phone(agent).answer()
        await self.talking(caller, agent)
        await self.of(agent).known(agent)

    async def talking(self, *names: str, within: float = 5.0) -> None:
        """These hear one another and nothing else, on whichever nodes."""
        for name in names:
            await self.phone(name).hearing({other for other in names if other != name}, within)

    async def on_music(self, *names: str, within: float = 4.0) -> None:
        for name in names:
            await self.phone(name).hearing({"music"}, within)

    async def hang_up(self, *names: str) -> None:
        for name in names:
            await self.phone(name).hangup()

    async def gone(self, *names: str, within: float = 5.0) -> None:
        """These phones have no call (any more)."""
        for name in names:
            if self.phone(name).live:
                await self.phone(name).closed(within=within)

    # --- the API -----------------------------------------------------------------------------

    async def ask(self, agent: str, mode: str, kind: str, target: str, **more: object) -> Answer:
        """Request a transfer at the agent's own node, whatever the answer."""
        return await self.of(agent).ask(agent, mode, kind, target, **more)

    async def transfer(
        self, agent: str, mode: str, target: str, kind: str = "agent", **more: object
    ) -> str:
        """Request a transfer at the agent's own node, which must be accepted. Returns its id."""
        return await self.of(agent).transfer(agent, mode, target, kind, **more)

    async def sees(
        self, letter: str, agent: str, within: float = 5.0, **fields: object
    ) -> dict[str, Any]:
        """Wait until a node's API shows an agent, at home anywhere, with these fields."""
        scene = self.at(letter)

        async def look() -> dict[str, Any] | None:
            answer = await scene.api("GET", f"/v1/agents/{agent}")
            if answer.status != 200:
                return None
            found: dict[str, Any] = answer.body
            return found if all(found.get(k) == v for k, v in fields.items()) else None

        seen = await scene.ami.until(look, within)
        assert seen is not None, await scene.api("GET", f"/v1/agents/{agent}")
        return seen

    async def all_free(self) -> None:
        """Nodes a and b see each other's agents as available, without a waiting transfer."""
        for node, agents in (("a", ("1003", "1004", "1005")), ("b", ("1001", "1002"))):
            for agent in agents:
                await self.sees(node, agent, state="available", waiting_transfer=False)

    async def history(self, agent: str, count: int) -> list[dict[str, Any]]:
        """Wait until the agent's own node shows their latest transfers as completed; the last
        one first.

        That node hears of the end of a transfer that another one makes after the parties do.
        """
        scene = self.of(agent)

        async def look() -> list[dict[str, Any]] | None:
            found = (await scene.api("GET", f"/v1/agents/{agent}/transfers")).body[:count]
            done = [x["state"] for x in found] == ["completed"] * count
            return found if done else None

        seen = await scene.ami.until(look, 5.0)
        assert seen, await scene.api("GET", f"/v1/agents/{agent}/transfers")
        return seen

    async def consult(
        self, caller: str, agent: str, target: str, group: str = "sales", number: str = ""
    ) -> str:
        """A call, a supervised transfer to an agent of any node, and the target's answer."""
        await self.call(caller, agent, group, number)
        transfer = await self.transfer(agent, "supervised", target)
        await self.phone(target).answer()
        await self.consulting(transfer, caller, agent, target)
        return transfer

    async def consulting(self, transfer: str, caller: str, agent: str, target: str) -> None:
        """The consultation is private and two-way, and the caller hears only music."""
        await self.of(caller).reaches(transfer, "consulting")
        await self.talking(agent, target)
        await self.on_music(caller)

    # --- what is left ------------------------------------------------------------------------

    async def legs(self, one: str, other: str) -> int:
        """How many channels the trunk between two nodes has, as node ``one`` shows it."""
        channels = await self.at(one).ami.channels()
        return sum(c["Channel"].startswith(f"PJSIP/avp-node-{other}-") for c in channels)

    async def only_legs(self, count: int, within: float = 4.0) -> None:
        """Wait until the trunk between nodes a and b has this many channels, on both nodes.

        A channel is gone a moment after its party hears the next one.
        """
        for one, other in (("a", "b"), ("b", "a")):

            async def look(one: str = one, other: str = other) -> bool | None:
                return await self.legs(one, other) == count or None

            found = await self.at(one).ami.until(look, within)
            assert found, await self.at(one).ami.channels()

    async def quiet(self) -> None:
        """Nobody has a call any more, and no node has anything left of one."""
        for scene in self.scenes.values():
            await scene.revive()
        await asyncio.gather(*(p.idle() for node in self.nodes for p in node.phones.values()))
        await self.nodes.nothing_left()


@asynccontextmanager
async def open_nodes(nodes: Nodes) -> AsyncIterator[NodesScene]:
    """A test's scene: everybody is free on all nodes; at the end nothing is left on any.

    Asks each node the questions of `conftest.open_scene`. The daemons must run.
    """
    await asyncio.gather(*(p.idle() for node in nodes for p in node.phones.values()))
    await nodes.idle()
    async with AsyncExitStack() as stack:
        scenes = {node.letter: await stack.enter_async_context(open_scene(node)) for node in nodes}
        scene = NodesScene(nodes, scenes)
        try:
            yield scene
        finally:
            nodes.mend()
        await scene.quiet()
