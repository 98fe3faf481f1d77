"""The call centre of two nodes in random histories: who is where, and what is possible there.

Each node has callers, agents and outside lines of its own. `sales` and `blend` span both nodes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from bed import Group
from bed.audio import PHONE_TONES, Tones
from bed.nodes import Nodes

from tests.asterisk.happenings import GOOD_NUMBERS, SHORT_HOLD, CallCentre
from tests.asterisk.histories import call_centre
from tests.asterisk.nodes_picture import OUTSIDE
from tests.asterisk.nodes_scene import NodesScene
from tests.asterisk.picture import WITHHOLDS
from tests.asterisk.scene import Scene
from tests.asterisk.withheld import watched, withholding

T = TypeVar("T")

GROUPS: Final = (
    Group("sales", ("1001", "1002", "1005"), number="800", strategy="linear", timeout=90),
    Group("support", ("1003", "1004"), number="801", strategy="linear", timeout=90),
    Group("blend", ("1001", "1002", "1003", "1004", "1005"), number="802", timeout=90),
)


def two_nodes() -> Nodes:
    """The world of the histories on one Asterisk, twice; without daemons."""
    one = call_centre()
    nodes = Nodes(
        "ab",
        daemons=False,
        groups=GROUPS,
        members=one.members,
        wrapuptime=one.wrapuptime,
        rtp_timeout=one.rtp_timeout,
        max_hold_seconds=one.max_hold_seconds,
        settings=one.settings,
    )
    outside = tuple(name for names in OUTSIDE.values() for name in names)
    for node in nodes:
        world = node.world
        callers = one.extensions.partition("\n[avp-external]")[0]
        lines = "\n".join(
            f"exten => {number},1,Dial(PJSIP/{phone},60,i)"
            for number, phone in zip(GOOD_NUMBERS, OUTSIDE[node.letter], strict=True)
        )
        first = OUTSIDE[node.letter][0]
        here = WITHHOLDS in world.callers
        secret = withholding(WITHHOLDS, first) if here else watched(first)
        everywhere = (*(x for x in world.everywhere if x not in outside), *outside)
        node.world = replace(
            world,
            outside=OUTSIDE[node.letter],
            everywhere=everywhere,
            extensions=f"{callers}\n[avp-external](+)\n{lines}\n",
            pjsip=world.pjsip + secret,
        )
        node.tones = Tones(dict(zip(everywhere, PHONE_TONES, strict=False)))
    return nodes


@dataclass
class NodesCentre(CallCentre):
    """``scene`` is a `NodesScene`, ``picture`` a `NodesPicture`."""

    @property
    def nodes(self) -> Nodes:
        return self._scene.nodes

    @property
    def _scene(self) -> NodesScene:
        assert isinstance(self.scene, NodesScene)
        return self.scene

    @property
    def agents(self) -> list[str]:
        return [agent.id for node in self.nodes for agent in node.world.agents]

    @property
    def callers(self) -> list[str]:
        return [caller for node in self.nodes for caller in node.world.callers]

    def scenes(self) -> list[Scene]:
        return list(self._scene.scenes.values())

    def of(self, name: str) -> Scene:
        return self._scene.of(name)

    def where(self, scene: Scene) -> str:
        return next(f" on {x}" for x, each in self._scene.scenes.items() if each is scene)

    def groups_of(self, agent: str) -> tuple[Group, ...]:
        return tuple(group for group in GROUPS if agent in group.agents)

    def numbers_of(self, caller: str) -> tuple[str, ...]:
        """Nobody is a member of support on node a."""
        here = self.nodes.home(caller).world
        return (*(group.number or "" for group in here.groups if group.agents), SHORT_HOLD)

    def group_names(self) -> tuple[str, ...]:
        return tuple(group.queue for group in GROUPS)

    def dialled_by(self, agent: str) -> list[str]:
        here = self.nodes.home(agent).world
        return [*here.callers, *(one.id for one in here.agents)]

    def transferring(self) -> set[str]:
        """Also those who are consulted."""
        parties = [party for transfer in self.picture.transfers for party in transfer["parties"]]
        return super().transferring() | {party["id"] for party in parties}

    def outside(self, agent: str) -> Mapping[str, str]:
        """The lines of the node where the agent's call came in."""
        running = self.picture.given_by(agent)
        with_them = {running["caller"]} if running else self.picture.company(agent)
        callers = [name for name in sorted(with_them) if name in self.callers]
        node = self.nodes.home(callers[0] if callers else agent)
        return dict(zip(GOOD_NUMBERS, OUTSIDE[node.letter], strict=True))

    async def until(self, look: Callable[[], Awaitable[T | None]], within: float) -> T | None:
        return await self.nodes.a.ami.until(look, within)
