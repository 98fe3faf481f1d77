"""Random histories of a call centre of two nodes: `tests/run histories --nodes 2`.

What happens is what happens on one Asterisk (`happenings`), by callers and agents of both, and what
breaks are also daemons, NATS, the trunk, and the lines between the daemons, one or two at once. The
picture is that of both nodes (`nodes_picture`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from bed import Phone, Wire
from bed.nodes import Node, Nodes
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.asterisk.conftest import open_scene
from tests.asterisk.happenings import SETTINGS, CallCentre, reload_asterisk, reload_daemon
from tests.asterisk.histories import ALONE, NUMBERS, OTHER, Histories, Office, missing
from tests.asterisk.nodes_centre import NodesCentre, two_nodes
from tests.asterisk.nodes_picture import Looking
from tests.asterisk.nodes_scene import NodesScene
from tests.asterisk.nodes_standby import replace_daemon
from tests.asterisk.picture import WITHHOLDS, Picture
from tests.asterisk.withheld import Told

FAULTS: Final = (
    *("daemon a killed", "daemon b killed", "daemon b stopped"),
    *("standby of a takes over", "standby of b takes over"),
    *("AMI of a cut", "ARI of b cut"),
    *("NATS stopped", "NATS frozen", "NATS lost to a", "NATS lost to b"),
    *("trunk cut", "trunk to a cut", "trunk to b cut"),
    *("API of a away", "API of b silent"),
)
TWO: Final = (
    "daemon a killed and daemon b killed",
    "daemon a killed and trunk cut",
    "daemon b killed and NATS stopped",
    "NATS stopped and trunk cut",
    "NATS stopped and API of b away",
    "node b cut off",
)
"""Several at once."""


class NodesOffice(Office):
    """``bed`` is node a's."""

    rests_broken = True
    nodes: Nodes
    wires: Mapping[str, Wire]
    looking: Looking
    faults: set[str]

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Office]:
        with asyncio.Runner() as runner:
            nodes = two_nodes()
            a, b = nodes
            wires = Wire(a.ports.ami), Wire(a.ports.http)
            office = cls(runner, a, *wires, _AllTold(nodes))
            office.nodes = nodes
            office.wires = {
                "AMI of a": wires[0],
                "ARI of a": wires[1],
                "AMI of b": Wire(b.ports.ami),
                "ARI of b": Wire(b.ports.http),
            }
            office.looking = Looking()
            office.faults = set()
            try:
                runner.run(office._start())
                yield office
            finally:
                runner.run(office._stop())

    async def _start(self) -> None:
        await self.nodes.start()
        for wire in self.wires.values():
            await wire.start()
        for node in self.nodes:
            (node.directory / SETTINGS).touch()
        await self._start_daemons()

    async def _stop(self) -> None:
        await self.secrets.stop()
        await self.nodes.stop()
        for wire in self.wires.values():
            await wire.stop()

    async def _start_daemons(self) -> None:
        await asyncio.gather(*(self._start_daemon(node) for node in self.nodes if missing(node)))

    async def _start_daemon(self, node: Node) -> None:
        await node.start_daemon(self._lines_of(node), within=60.0)
        await self._each_told[node.letter].listen()

    def _lines_of(self, node: Node) -> dict[str, str]:
        ami, ari = self.wires[f"AMI of {node.letter}"], self.wires[f"ARI of {node.letter}"]
        return {
            "AVP_AMI__PORT": str(ami.port),
            "AVP_ARI__URL": f"http://127.0.0.1:{ari.port}/ari",
            "AVP_CONFIG": f"{node.backend.for_daemon(node.name)}/{SETTINGS}",
        }

    @property
    def _each_told(self) -> Mapping[str, Told]:
        assert isinstance(self.secrets, _AllTold)
        return self.secrets.each

    # --- what a history needs --------------------------------------------------------------------

    @property
    def phones(self) -> Mapping[str, Phone]:
        return {name: phone for node in self.nodes for name, phone in node.phones.items()}

    def history(self) -> type[Histories]:
        return NodesHistories

    def open_scene(self) -> Any:
        return _Opened(self)

    def centre(self, scene: Any, picture: Picture) -> CallCentre:
        return NodesCentre(scene, picture)

    async def look(self, scene: Any) -> Picture:
        return await self.looking.look(scene, frozenset(self.faults))

    # --- what breaks -----------------------------------------------------------------------------

    def nobody_acts(self, fault: str) -> bool:
        return "AMI of" in fault or "ARI of" in fault

    def nobody_tells(self, fault: str) -> bool:
        return "daemon" in fault or self.nobody_acts(fault)

    async def break_off(self, fault: str) -> None:
        self.faults |= set(fault.split(" and "))
        for one in sorted(self.faults):
            match one.split():
                case ["daemon", letter, "killed"]:
                    node = self.nodes[letter]
                    await node.stop_daemon(kill=True)
                    await self._each_told[letter].stop()
                case ["daemon", letter, "stopped"]:
                    await self.nodes[letter].stop_daemon()
                    await self._each_told[letter].stop()
                case ["standby", "of", letter, *_]:
                    node = self.nodes[letter]
                    await replace_daemon(node, self._lines_of(node))
                    await self._each_told[letter].stop()
                    await self._each_told[letter].listen()
                case ["AMI" | "ARI", "of", letter, "cut"]:
                    self.wires[one.removesuffix(" cut")].break_off()
                case ["NATS", "stopped"]:
                    await self.nodes.nats.stop(kill=True)
                case ["NATS", "frozen"]:
                    self.nodes.nats.freeze()
                case ["NATS", "lost", "to", letter]:
                    self.nodes.engine[letter].silence()
                case ["trunk", "cut"]:
                    self.nodes.cut("a", "b")
                case ["trunk", "to", letter, "cut"]:
                    a, b = self.nodes
                    self.nodes.cut_one_way(letter, "b" if letter == "a" else "a")
                    await asyncio.gather(
                        a.reaches("b", reached=False), b.reaches("a", reached=False)
                    )
                case ["API", "of", letter, how]:
                    other = "b" if letter == "a" else "a"
                    relay = self.nodes.peers[other, letter]
                    (relay.break_off if how == "away" else relay.silence)()
                case ["node", letter, "cut", "off"]:
                    self.nodes.cut_node(letter)
                case _:
                    raise ValueError(one)

    async def mend(self, scene: Any) -> None:
        self.nodes.mend()
        self.nodes.nats.thaw()
        if self.nodes.nats.process is None:
            await self.nodes.nats.start()
        for wire in self.wires.values():
            wire.mend()
        await self._start_daemons()

        async def ready() -> bool | None:
            for each in scene.scenes.values():
                if (await each.api("GET", "/readyz")).status != 200:
                    return None
            return True

        assert await self.nodes.a.ami.until(ready, 15.0), "a daemon does not get ready again"
        await self.nodes.trunks_up()
        self.faults.clear()

    async def as_before(self, scene: Any) -> None:
        for each in scene.scenes.values():
            if (each.bed.directory / SETTINGS).read_text():
                await reload_daemon(each, "")
            await reload_asterisk(each, "queue reload all")


class _AllTold(Told):
    """Of each node. The nodes tell one another."""

    def __init__(self, nodes: Nodes) -> None:
        ports = {node.letter: nodes.trunks.port(node.letter) for node in nodes}
        self.each = {node.letter: Told(node, WITHHOLDS, *ports.values()) for node in nodes}
        self.looked_at = self.calls = 0

    async def stop(self) -> None:
        for one in self.each.values():
            await one.stop()

    def begin(self) -> None:
        for one in self.each.values():
            one.begin()

    async def found(self, scene: Any, daemon_log: str) -> list[str]:
        found = []
        for letter, one in self.each.items():
            found += await one.found(scene.at(letter), daemon_log)
        self.looked_at = sum(one.looked_at for one in self.each.values())
        self.calls = sum(one.calls for one in self.each.values())
        return found


class _Scene(NodesScene):
    @property
    def expected(self) -> set[str]:
        return next(iter(self.scenes.values())).expected

    @expected.setter
    def expected(self, messages: set[str]) -> None:
        for scene in self.scenes.values():
            scene.expected = messages


class _Opened:
    """`open_scene` of each node."""

    def __init__(self, office: NodesOffice) -> None:
        self._office = office
        self._each = {node.letter: open_scene(node) for node in office.nodes}
        self._failed = False

    async def __aenter__(self) -> NodesScene:
        await self._all_hang_up()
        scenes = {}
        for letter, each in self._each.items():
            scenes[letter] = await each.__aenter__()
        return _Scene(self._office.nodes, scenes)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for each in self._each.values():
            await each._scene.revive()
        await self._all_hang_up()
        errors = []
        for each in self._each.values():
            try:
                await each.__aexit__(kind, None, None)
            except BaseException as error:  # noqa: BLE001 - the other nodes' scenes end as well
                errors.append(error)
        if errors:
            raise errors[0]

    async def _all_hang_up(self) -> None:
        """Callers first: an agent who hangs up is rung again for a caller who still waits."""
        callers = {caller for node in self._office.nodes for caller in node.world.callers}
        for name, phone in sorted(self._office.phones.items(), key=lambda x: x[0] not in callers):
            del name
            await phone.idle()

    def since(self, name: str) -> str:
        return "".join(each.since(name) for each in self._each.values())

    def failed(self) -> str:
        self._failed = True
        return "\n".join(
            f"=== node {letter}\n{each.failed()}" for letter, each in self._each.items()
        )


class NodesHistories(Histories):
    @rule(
        fault=st.sampled_from((*FAULTS, *FAULTS, *TWO, *TWO, *ALONE)),
        who=NUMBERS,
        meanwhile=st.lists(OTHER, max_size=2),
    )
    def fault(self, fault: str, who: int, meanwhile: list[tuple[str, int, int]]) -> None:
        if fault in ALONE:
            self._happens((fault, who, who))
        else:
            self._breaks(fault, meanwhile)
