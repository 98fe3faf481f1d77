"""Calls that are being made, until Asterisk's events show them.

AMI answers by one connection, ARI reports bridges by another, and a bridge of two is made of
several events. Whoever has a call keeps it meanwhile. Two kinds:

* a *move*: AMI Bridge brings two channels together. It begins with the action, and ends when events
  show the two parties alone in one bridge. The action's answer can come at any moment in between.
* an *answer*: an agent's phone has answered a channel. It ends when events show the two in one
  bridge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

Pair = tuple[str, str]


@dataclass(slots=True)
class Move:
    moved: Pair
    """The channels that AMI Bridge moves."""
    parties: Pair
    """The same, or for a leg the channel behind it, which takes the leg's place as soon as Asterisk
    optimises the leg away."""
    before: dict[str, str | None]
    """The bridges in which they were when it began."""
    done: bool = False
    """Asterisk has answered that it is so."""

    def other(self, channel: str) -> str:
        first, second = self.parties
        return second if channel == first else first


@dataclass(slots=True)
class Moves:
    _of_party: dict[str, Move] = field(default_factory=dict)
    _of_pair: dict[Pair, Move] = field(default_factory=dict)

    def begin(self, move: Move) -> None:
        for party in move.parties:
            self.end(party)
        self._of_pair[move.moved] = move
        for party in move.parties:
            self._of_party[party] = move

    def of_pair(self, moved: Pair) -> Move | None:
        return self._of_pair.get(moved)

    def of_party(self, channel: str) -> Move | None:
        return self._of_party.get(channel)

    def end(self, party: str) -> None:
        """End the move of this party, if there is one."""
        move = self._of_party.get(party)
        if move is None:
            return
        del self._of_pair[move.moved]
        for each in move.parties:
            del self._of_party[each]

    def all(self) -> list[Move]:
        return [*self._of_pair.values()]


@dataclass(slots=True)
class Answers:
    _by_resource: dict[str, str] = field(default_factory=dict)
    """The prefix of an agent's channels to the channel that the agent has answered."""
    _resources: dict[str, frozenset[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._resources)

    def begin(self, channel: str, resources: Iterable[str]) -> None:
        self.end(channel)
        found = frozenset(resources)
        for resource in found:
            self.end(self._by_resource.get(resource, ""))
        self._resources[channel] = found
        self._by_resource |= dict.fromkeys(found, channel)

    def resources(self, channel: str) -> frozenset[str]:
        """Prefixes of the channels of the agent who has answered this one; empty: nobody has."""
        return self._resources.get(channel, frozenset())

    def by(self, resources: Iterable[str]) -> set[str]:
        """The channels that an agent with these prefixes has answered."""
        return {self._by_resource[one] for one in resources if one in self._by_resource}

    def end(self, channel: str) -> None:
        for resource in self._resources.pop(channel, ()):
            del self._by_resource[resource]

    def clear(self) -> None:
        self._by_resource.clear()
        self._resources.clear()
