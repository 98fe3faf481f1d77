"""Several Asterisk nodes that are one call centre, as one of them sees the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from asterisk_avp.core.model.agent_state import AgentState

NODE_ENDPOINT_PREFIX: Final = "avp-node-"
"""The PJSIP endpoint of the trunk to node ``b`` is ``avp-node-b``, unless set otherwise."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node's configuration, as the core needs it."""

    id: str
    endpoint: str
    """The PJSIP endpoint of the trunk to it."""


def node_of(nodes: Mapping[str, Node], endpoint: str) -> str:
    """The node whose trunk this PJSIP endpoint is; empty: no node's."""
    return next((node.id for node in nodes.values() if node.endpoint == endpoint), "")


@dataclass(frozen=True, slots=True)
class RemoteAgent:
    """An agent who is at home on another node, as that node has last told."""

    node: str
    state: AgentState
    since: float
    """When the state was entered, in Unix seconds; 0: unknown."""
    groups: tuple[str, ...]
    """The agent's groups there, with those of the configuration."""
    logged_in: tuple[str, ...] = ()
    """The groups that would offer the agent a call after the current one, breaks aside."""
    paused: bool = False
    pause_reason: str = ""
    on_break: tuple[str, ...] = ()
    """Those of ``logged_in`` in which the agent is on a break; in all of them where ``paused``."""
    acw_end: float = 0.0
    """The end of ACW in Unix seconds; 0: the agent is not in ACW."""
    waiting_transfer: bool = False
    """Whether a transferred call waits for the agent or is on its way to them."""
    name: str = ""
    reachable: bool = True
    """False: the node, or the trunk to it, is lost. The agent cannot be a target."""
    cut: bool = False
    """Whether it is the trunk."""
