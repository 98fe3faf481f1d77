"""The picture of several nodes at one moment: one call centre, and what each node says of it.

`NodesPicture` is a `Picture` of all channels, phones and transfers, whichever node they are on: a
call between two nodes connects like a bridge. Beside its questions it asks those of several nodes:
no call has more legs between nodes than it needs, no agent has two calls, or shares a caller
outside a conference, and every node says the same of agents and transfers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from bed import ActionFailed

from tests.asterisk.happenings import GOOD_NUMBERS
from tests.asterisk.nodes_scene import NodesScene
from tests.asterisk.picture import Line, Picture, look

T = TypeVar("T")

TRUNK = "PJSIP/avp-node-"
OUTSIDE: Final[Mapping[str, tuple[str, ...]]] = {"a": ("pstn", "pstn2"), "b": ("pstn3", "pstn4")}
"""The phones that answer `GOOD_NUMBERS`, by the node whose lines are used."""
_SAME = ("state", "waiting_transfer")
"""What each node says of an agent, wherever the agent is at home."""


@dataclass(frozen=True)
class NodesPicture(Picture):
    nodes: Mapping[str, Picture] = field(default_factory=dict)
    """Each node by itself, with its own agents and the transfers of its own callers."""
    homes: Mapping[str, str] = field(default_factory=dict)
    """Each phone's node."""
    told_agents: Mapping[str, Mapping[str, dict[str, Any]]] = field(default_factory=dict)
    """What each node says of all agents."""
    told_transfers: Mapping[str, Mapping[str, dict[str, Any]]] = field(default_factory=dict)
    faults: frozenset[str] = frozenset()
    """What is broken at this moment, as in `nodes_histories`."""

    def wrong(self, callers: AbstractSet[str], held: AbstractSet[str]) -> list[str]:
        found = super().wrong(callers, held)
        found += [*self._shared_callers(callers), *self._two_calls()]
        if not self._broken("trunk", "cut off"):
            found += self._legs()
        if not self.daemon:
            found += self._of_nodes_with_a_daemon(held)
        elif not self._broken("NATS", "API", "cut off"):
            found += [*self._agents_are_told_alike(), *self._transfers_are_told_alike()]
        return found

    def _of_nodes_with_a_daemon(self, held: AbstractSet[str]) -> Iterator[str]:
        """What a node's daemon has to get right by itself."""
        for letter, node in self.nodes.items():
            if node.daemon:
                alone = replace(node, details={})  # whose calls may be across nodes
                checks = (
                    *alone._unsettled(),
                    *alone._ours_without_transfer(held),
                    *alone._slots(),
                    *alone._agents_are_as_told(),
                    *alone._waiting_for_nothing(),
                )
                yield from (f"{text} on {letter}" for text in checks)

    def _broken(self, *words: str) -> bool:
        return any(word in fault for fault in self.faults for word in words)

    def _waiting_for_nothing(self) -> Iterator[str]:
        """Queues of one name on two nodes are two queues."""
        for letter, picture in self.nodes.items():
            yield from (f"{text} on {letter}" for text in picture._waiting_for_nothing())

    def _legs(self) -> Iterator[str]:
        """A leg for each party who is not where the call came in; one that waits has nobody yet."""
        for part in self.components():
            legs = {line.trunk for line in part if line.trunk}
            for leg in legs:
                ends = [line for line in part if line.trunk == leg]
                if len(ends) != 2:
                    yield f"{[line.name for line in ends]} is one end of a call between nodes"
            phones = {line.phone for line in part if line.phone and line.bridge}
            anchors = {line.node for line in part if line.anchor}
            if len(anchors) > 1:
                yield f"{sorted(phones)} are connected by {len(legs)} calls from {sorted(anchors)}"
            elsewhere = {phone for phone in phones if self.homes[phone] not in anchors}
            if len(legs) > max(1, len(elsewhere)):
                yield f"{sorted(phones)} are connected by {len(legs)} calls between nodes"

    def _shared_callers(self, callers: AbstractSet[str]) -> Iterator[str]:
        for caller in callers:
            agents = {name for name in self.company(caller) if name in self.agents}
            if len(agents) > 1 and self.daemon:
                running = self.transfer_of(caller)
                if running is None or running["state"] != "conference":
                    yield f"{caller} is with {sorted(agents)}: {running}"

    def _two_calls(self) -> Iterator[str]:
        for name in self.agents:
            up = [state for state in self.calls[name] if state == "established"]
            if len(up) > 1:
                yield f"{name} has {len(up)} calls"

    def _agents_are_told_alike(self) -> Iterator[str]:
        for letter, told in self.told_agents.items():
            for name, agent in self.agents.items():
                other = told.get(name)
                if other is None:
                    yield f"{letter} does not know {name}"
                    continue
                cut = self._broken("trunk") and letter != self.homes[name]
                if cut and other["state"] == "offline":
                    continue  # from the moment at which the cut is noticed
                differ = {k: (agent[k], other[k]) for k in _SAME if agent[k] != other[k]}
                if differ:
                    yield f"{letter} says of {name} at {self.homes[name]}: {differ}"

    def _transfers_are_told_alike(self) -> Iterator[str]:
        running = {transfer["id"]: transfer for transfer in self.transfers}
        for letter, told in self.told_transfers.items():
            for id_, transfer in running.items():
                people = {transfer["agent"], *(party["id"] for party in transfer["parties"])}
                if not any(self.homes.get(one) == letter for one in people):
                    continue
                state = told[id_]["state"] if id_ in told else None
                if state != transfer["state"]:
                    yield f"{letter} says transfer {id_} is {state}, not {transfer['state']}"
            for id_, transfer in told.items():
                if transfer["ended_reason"] is None and id_ not in running:
                    yield f"{letter} says transfer {id_} is {transfer['state']}; it is over"


class Looking:
    """Looks at all nodes, and remembers which channels are ends of one call."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], tuple[str, bool]] = {}

    async def look(self, scene: NodesScene, faults: frozenset[str] = frozenset()) -> NodesPicture:
        letters = list(scene.scenes)
        found = await asyncio.gather(*(look(scene.at(letter)) for letter in letters))
        homes = {
            name: node.letter for node in scene.nodes for name in (*node.world.local, *node.phones)
        }
        seen: dict[str, Picture] = {}
        for letter, picture in zip(letters, found, strict=True):
            lines = await asyncio.gather(
                *(self._line(scene, letter, line) for line in picture.lines)
            )
            own = [x for x in picture.transfers if homes.get(x["caller"]) == letter]
            seen[letter] = replace(
                picture,
                lines=tuple(lines),
                agents={k: v for k, v in picture.agents.items() if homes.get(k) == letter},
                transfers=tuple(own),
                ended={k: v for k, v in picture.ended.items() if homes[v["caller"]] == letter},
            )
        pictures = seen.values()
        transfers = [x for picture in pictures for x in picture.transfers]
        return NodesPicture(
            lines=tuple(x for picture in pictures for x in picture.lines),
            members=tuple(x for picture in pictures for x in picture.members),
            entries=tuple(x for picture in pictures for x in picture.entries),
            transfers=tuple(sorted(transfers, key=lambda t: (t["started"], t["agent"]))),
            agents=_merged(picture.agents for picture in pictures),
            details=_merged(picture.details for picture in pictures),
            calls=_merged(picture.calls for picture in pictures),
            heard=_merged(picture.heard for picture in pictures),
            ended=_merged(picture.ended for picture in pictures),
            excluded=_merged(picture.excluded for picture in pictures),
            told_secrets=tuple(x for picture in pictures for x in picture.told_secrets),
            daemon=all(picture.daemon for picture in pictures),
            nodes=seen,
            homes=homes,
            told_agents={x: p.agents for x, p in zip(letters, found, strict=True)},
            told_transfers={
                x: {t["id"]: t for t in (*p.transfers, *p.ended.values())}
                for x, p in zip(letters, found, strict=True)
            },
            numbers=dict(zip(GOOD_NUMBERS, zip(*OUTSIDE.values(), strict=True), strict=True)),
            faults=faults,
        )

    async def _line(self, scene: NodesScene, letter: str, line: Line) -> Line:
        if not line.name.startswith(TRUNK):
            return replace(line, node=letter)
        key = (letter, line.id)
        if key not in self._calls:
            try:
                ami = scene.at(letter).ami
                call = await ami.variable(line.name, "CHANNEL(pjsip,call-id)")
                ours = await ami.variable(line.name, "AVP_REMOTE_TRANSFER")  # by avp-node-pass
                self._calls[key] = (call, bool(ours))
            except ActionFailed:
                return replace(line, node=letter, trunk=line.name)  # gone meanwhile
        call, ours = self._calls[key]
        return replace(line, node=letter, trunk=call, anchor=ours)


def _merged(parts: Iterable[Mapping[str, T]]) -> dict[str, T]:
    return {name: value for part in parts for name, value in part.items()}
