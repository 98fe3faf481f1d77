"""The messages between the daemons of several nodes, as `cluster.wire` returns them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from asterisk_avp.core.model.nodes import RemoteAgent


class Told(NamedTuple):
    """An agent as their node tells of them, by that node's clock."""

    id: str
    revision: int
    """Of the agent's home; the higher one is right. 0: the home is not stored."""
    seq: int
    """The message of the node in which the agent last changed."""
    agent: RemoteAgent


class Waits(NamedTuple):
    """Callers who wait in a group's queue."""

    group: str
    callers: int
    since: float | None


@dataclass(frozen=True, slots=True)
class Message:
    node: str
    epoch: int
    """Of the daemon that writes: the time of its start in milliseconds."""
    now: float
    """The node's clock, in Unix seconds."""


@dataclass(frozen=True, slots=True)
class Heartbeat(Message):
    seq: int
    """Of the last message about changes."""
    ready: bool
    """Whether the node's daemon knows the state of its Asterisk."""
    version: str
    config_hash: str
    trunks: Mapping[str, bool]
    """Node to whether the trunk to it works, as far as it is known."""
    standby: bool = False
    """Whether it is a standby that writes, which takes the place of the node's daemon if that goes
    away. Never one that is `ready`."""
    asterisk: str = ""
    """When the node's Asterisk was started, as that says; empty: not known."""


@dataclass(frozen=True, slots=True)
class Changes(Message):
    seq: int
    agents: tuple[Told, ...]
    gone: tuple[str, ...]
    """Agents who are no longer at home on the node."""
    refused: int = 0
    """Entries that were not clean."""


@dataclass(frozen=True, slots=True)
class Page(Message):
    """Agents in the order of their ids, those after a given one."""

    seq: int
    agents: tuple[Told, ...]
    next: str
    """The last id of the page, if more follow; else empty."""
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Groups(Message):
    waiting: tuple[Waits, ...]
