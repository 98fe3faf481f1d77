"""Several nodes that are one call centre: Asterisk, phones and a daemon each, trunks, one NATS.

    async with Nodes("ab") as nodes:                 # or "abc"
        await nodes.phone("caller1").dial("800")     # caller 1 is on node a
        node = nodes.home("1003")                    # a `Node`, which is a `Bed`: ami, api, url, …
        nodes.cut("a", "b")                          # their trunk loses every packet, silently
        nodes.mend()
        nodes.a.freeze_asterisk()                    # … thaw_asterisk(), kill_asterisk()
        nodes.b.freeze_daemon()                      # … thaw_daemon(), stop_daemon(kill=True)
        await nodes.nats.stop()                      # … start(), freeze(), thaw()
        nodes.engine["a"].break_off()                # node a's line to NATS: silence(), mend()
        nodes.peers["a", "b"].silence()              # node a's line to node b's API

`nodes_world` says who is where. Cutting a trunk needs root and iproute2; all of it is loopback, or
a line with delay and loss (`tests.network.line`).
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.network import line

from .backend import Backend
from .cut import Cut
from .instance import Bed, backend_named
from .nats import Nats
from .nodes_tls import Tls
from .nodes_world import NodeWorld, worlds
from .phones import Phone
from .relay import Relay
from .trunks import Trunks

NOTE = "nodes.json"


class Node(Bed):
    """One node of `Nodes`."""

    world: NodeWorld

    def __init__(self, world: NodeWorld, backend: Backend, **options: object) -> None:
        super().__init__(world, backend=backend, **options)  # type: ignore[arg-type]
        self.letter = world.letter
        self._given = world.settings
        #: The certificates of its trunks, if these have any.
        self.tls: Tls | None = None

    def render(self) -> None:
        if self.tls is not None:
            self.tls.install(self.letter, self.directory)
        super().render()

    async def start(self, phones: Iterable[str] | None = None) -> None:
        """Start Asterisk and phones (default: those of this node)."""
        await super().start(self.world.local if phones is None else phones)

    def settle(self, cluster: Mapping[str, str]) -> None:
        """Take the settings that follow from the other nodes; those of the world win."""
        self.world = replace(self.world, settings={**cluster, **self._given})

    def freeze_asterisk(self) -> None:
        """It keeps its sockets and does nothing; `thaw_asterisk` lets it go on."""
        assert self.asterisk is not None
        self.backend.signal(self.name, "asterisk", self.asterisk, signal.SIGSTOP)

    def thaw_asterisk(self) -> None:
        if self.asterisk is not None:
            self.backend.signal(self.name, "asterisk", self.asterisk, signal.SIGCONT)

    def freeze_daemon(self) -> None:
        self.signal_daemon(signal.SIGSTOP)

    def thaw_daemon(self) -> None:
        if self.daemon is not None:
            self.signal_daemon(signal.SIGCONT)

    async def reaches(self, *others: str, reached: bool = True, within: float = 15.0) -> None:
        """Wait until the contacts of the trunks to these nodes are (not) available."""
        wanted = "Avail" if reached else "Unavail"

        async def look() -> bool | None:
            for other in others:
                text = await self.ami.command(f"pjsip show aor avp-node-{other}")
                if f" {wanted} " not in text:
                    return None
            return True

        if await self.ami.until(look, within) is None:
            text = await self.ami.command("pjsip show contacts")
            raise AssertionError(f"trunks of {self.letter} to {others} are not {wanted}: {text}")

    async def stop(self) -> None:
        self.thaw_asterisk()
        self.thaw_daemon()
        await super().stop()


class Nodes:
    """The nodes of these letters.

    ``daemons``: start them. ``pinned``: AVP_AGENTS__<ID>__NODE is set. ``relays``: between daemons,
    and to NATS, lines that can be cut; they pass through this process, and where it stands still
    for LOST_SECONDS, a node counts as lost. ``tls``: for all of them (`nodes_tls`). ``name``: of
    the instance; each node's is with its letter. ``changes``: fields of `World`, for all nodes.
    """

    def __init__(
        self,
        letters: str = "ab",
        *,
        daemons: bool = True,
        pinned: bool = False,
        relays: bool = True,
        direct_media: bool = False,
        tls: bool = False,
        backend: Backend | None = None,
        name: str = "",
        outlive: bool = False,
        program: Path | None = None,
        **changes: object,
    ) -> None:
        # On a line with delay and loss, what goes to NATS and to other daemons takes it as well.
        far = line.VARIABLE in os.environ
        self.letters, self.daemons, self._with_relays = letters, daemons, relays or far
        self.backend = backend or backend_named(None)
        self.nodes: dict[str, Node] = {}
        for letter, world in worlds(letters, pinned=pinned, **changes).items():  # type: ignore[arg-type]
            own = f"{name}-{letter}" if name else None
            options = {"name": own, "outlive": outlive, "program": program}
            self.nodes[letter] = Node(world, self.backend, **options)
        first = self.nodes[letters[0]]
        #: Of each node, and what it shows to the others and to NATS.
        self.tokens = {letter: secrets.token_hex(24) for letter in letters}
        folder = _folder(self.backend, name or first.name)
        self.tls = Tls(folder / "tls", self.tokens) if tls else None
        self.trunks = Trunks(
            {letter: node.ports for letter, node in self.nodes.items()},
            self.tokens,
            direct_media,
            {
                letter: self.tls.for_asterisk(self.backend.directories(node.name)["ETC"])
                for letter, node in self.nodes.items()
                if self.tls is not None
            },
        )
        #: Where the relays listen: an address of this instance's trunks, or any of loopback.
        self._lines = f"127.66.{self.trunks.block}.200" if far else "127.0.0.1"
        self._cut = Cut(f"avpcut{self.trunks.block}")
        port = first.ports.spare[-2]
        self.nats = Nats(folder, port, self.tokens, outlive=outlive, backend=self.backend)
        #: The lines to NATS by node, and to other nodes' APIs by (node, other).
        self.engine: dict[str, Relay] = {}
        self.peers: dict[tuple[str, str], Relay] = {}
        for letter, node in self.nodes.items():
            text = f"{node.world.pjsip}\n{self.trunks.render(letter)}"
            node.world = replace(node.world, pjsip=text)
            if self.tls is not None:
                others = [other for other in letters if other != letter]
                addresses = [self.trunks.address(letter, x) for x in others]
                self.tls.issue(letter, [*addresses, self._lines])
                node.tls = self.tls
        if self.tls is not None:
            text = self.tls.nats(letters[0], self.nats.port, folder / "jetstream")
            self.nats.configuration = text

    def __getitem__(self, letter: str) -> Node:
        return self.nodes[letter]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    @property
    def a(self) -> Node:
        return self.nodes["a"]

    @property
    def b(self) -> Node:
        return self.nodes["b"]

    @property
    def c(self) -> Node:
        return self.nodes["c"]

    def home(self, name: str) -> Node:
        """The node of an agent's or a caller's phone."""
        return next(node for node in self if name in node.world.local)

    def phone(self, name: str) -> Phone:
        """A phone on whichever node. Each node has a ``pstn`` of its own: `node.phones`."""
        return self.home(name).phones[name]

    # Start and end ---------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self, phones: Iterable[str] | None = None) -> None:
        """Start everything, and wait for all trunks. ``phones``: default all."""
        self._cut.mend(self.trunks.all())  # what a run that was killed has left
        await self.nats.start()
        await self.start_relays()
        self.settle()
        wanted = None if phones is None else set(phones)
        await asyncio.gather(
            *(
                node.start([x for x in node.world.local if wanted is None or x in wanted])
                for node in self
            )
        )
        await self.trunks_up()
        if self.daemons:
            await self.start_daemons()

    async def start_relays(self) -> None:
        if not self._with_relays:
            return
        for letter in self.letters:
            self.engine[letter] = Relay(self.nats.port, host=self._lines)
            for other in self.letters:
                if other != letter:
                    context = self.tls.before_api(other) if self.tls is not None else None
                    port = self.nodes[other].ports.api
                    self.peers[letter, other] = Relay(port, context, self._lines)
        await asyncio.gather(*(relay.start() for relay in self._relays()))

    def _relays(self) -> list[Relay]:
        return [*self.engine.values(), *self.peers.values()]

    def settle(self) -> None:
        """Write each node's settings of the cluster."""
        for letter, node in self.nodes.items():
            node.settle(self.settings_of(letter))

    def settings_of(self, letter: str) -> dict[str, str]:
        """The settings that make a daemon one of several."""
        engine = self.engine[letter].port if self.engine else self.nats.port
        http, nats = ("https", "tls") if self.tls is not None else ("http", "nats")
        env = {
            "AVP_CLUSTER__NODE": letter,
            "AVP_CLUSTER__SERVERS": f"{nats}://{self._lines}:{engine}",
            "AVP_CLUSTER__CREDENTIALS": f"{letter}:{self.tokens[letter]}",
        }
        if found := os.environ.get(line.VARIABLE):
            env["AVP_CLUSTER__LOST_SECONDS"] = str(line.Quality.parse(found).lost_seconds)
        if self.tls is not None:
            env |= self.tls.for_daemon(letter, self.nodes[letter].directory)
            for other in self.letters:
                env |= self.trunks.address_setting(other, letter)
        for other, node in self.nodes.items():
            relay = self.peers.get((letter, other))
            port = relay.port if relay is not None else node.ports.api
            env[f"AVP_NODES__{other.upper()}__URL"] = f"{http}://{self._lines}:{port}"
            env[f"AVP_NODES__{other.upper()}__TOKEN"] = self.tokens[other]
        return env

    async def start_daemons(self, env: dict[str, str] | None = None) -> None:
        await asyncio.gather(*(node.start_daemon(env) for node in self if node.daemon is None))

    async def trunks_up(self, within: float = 15.0) -> None:
        """Wait until every node reaches every other one by its trunk."""
        for letter, node in self.nodes.items():
            others = [other for other in self.letters if other != letter]
            await node.reaches(*others, within=within)

    async def stop(self) -> None:
        async with AsyncExitStack() as ends:  # the last one first
            ends.callback(self._cut.mend, self.trunks.all())
            ends.push_async_callback(self.nats.end)
            for relay in self._relays():
                ends.push_async_callback(relay.stop)
            ends.push_async_callback(self._stop_nodes)

    async def _stop_nodes(self) -> None:
        results = await asyncio.gather(*(node.stop() for node in self), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    # Nodes that outlive their starter --------------------------------------------------------

    def save(self) -> None:
        """Note what belongs to the instance, for `end_saved`."""
        note = {"letters": self.letters, "nats": self.nats.note()}
        (self.nats.folder / NOTE).write_text(json.dumps(note, indent=2))

    async def detach(self) -> None:
        """Let go of the nodes and leave them running."""
        self.save()
        for node in self:
            await node.detach()

    # What happens to lines -------------------------------------------------------------------

    def cut(self, one: str, other: str) -> None:
        """From now on the trunk between two nodes loses everything. Raises `Unavailable`."""
        self._cut.cut(self.trunks.between(one, other))

    def cut_one_way(self, to: str, other: str) -> None:
        """From now on nothing that node ``other`` sends over the trunk arrives at node ``to``."""
        self._cut.cut([self.trunks.address(to, other)])

    def cut_node(self, letter: str, *, silent: bool = True) -> None:
        """The node is cut off from the others and from NATS; its phones are not.

        ``silent``: connections stay open and nothing arrives; otherwise they are closed.
        """
        for other in self.letters:
            if other != letter:
                self.cut(letter, other)
        lines = [relay for pair, relay in self.peers.items() if letter in pair]
        for relay in [self.engine[letter], *lines]:
            if silent:
                relay.silence()
            else:
                relay.break_off()

    def mend(self) -> None:
        """All lines are as at first."""
        self._cut.mend(self.trunks.all())
        for relay in self._relays():
            relay.mend()

    # Between tests ---------------------------------------------------------------------------

    async def idle(self) -> None:
        """Everything runs and is connected; no calls, pauses or members that a test has added."""
        self.mend()
        self.nats.thaw()
        for node in self:
            node.thaw_asterisk()
            node.thaw_daemon()
        if self.nats.process is None:
            await self.nats.start()
        await self.trunks_up()
        if self.daemons:  # which remove what one that was killed has left
            await self.start_daemons()
        for node in self:
            await node.idle()

    async def nothing_left(self, within: float = 5.0) -> None:
        """No channel and no bridge on any node."""
        over = time.monotonic() + within
        for node in self:
            await node.ami.assert_clean(max(1.0, over - time.monotonic()))


def running(backend: Backend, name: str) -> bool:
    """Whether an instance of several nodes of this name is there and runs."""
    note = _noted(backend, name)
    if note is None:
        return False
    nats = Nats.saved(_folder(backend, name), note["nats"], backend)
    return nats.process is not None and nats.process.alive()


async def end_saved(backend: Backend, name: str) -> bool:
    """End the nodes of this name that have outlived their starter. False: there are none."""
    note = _noted(backend, name)
    if note is None:
        return False
    for letter, world in worlds(note["letters"]).items():
        own = f"{name}-{letter}"
        if (backend.directory(own) / "instance.json").exists():
            await Bed.saved(own, backend, world).stop()
    await Nats.saved(_folder(backend, name), note["nats"], backend).end()
    return True


def _folder(backend: Backend, name: str) -> Path:
    return backend.directory(f"{name}.nats")


def _noted(backend: Backend, name: str) -> dict[str, Any] | None:
    try:
        note: dict[str, Any] = json.loads((_folder(backend, name) / NOTE).read_text())
    except FileNotFoundError:
        return None
    return note
