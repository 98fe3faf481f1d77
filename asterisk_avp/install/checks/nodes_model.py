"""What was collected about the other nodes, where several Asterisk are one call centre."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

NODES: Final = "avp_nodes.conf"
"""The file with the trunks to the other nodes, included by pjsip.conf."""

NEEDED: Final[Mapping[str, str]] = {
    "context": "avp-node-in",
    "identify_by": "ip",
    "message_context": "avp-nowhere",
    "allow_transfer": "no",
    "allow_overlap": "no",
    "rtp_timeout": "4",
    "rtp_timeout_hold": "4",
    "rtp_keepalive": "1",
    "timers": "always",
    "trust_id_inbound": "yes",
    "trust_id_outbound": "yes",
    "send_pai": "yes",
}
"""What every trunk needs, whoever has written it."""
QUALIFY: Final[Mapping[str, str]] = {"qualify_frequency": "1", "qualify_timeout": "1.0"}
"""… and its AOR."""


@dataclass(frozen=True, slots=True)
class NodeTold:
    """A node's heartbeat. ``ahead``: its clock, in seconds ahead of ours."""

    version: str
    config_hash: str
    ahead: float
    ready: bool
    trunks: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class NatsFacts:
    """``error``: why no server could be used. ``away``: servers that could not, each with why.

    ``told``: the nodes that were heard. ``twins``: those for which two daemons speak by turns,
    neither of which is a standby. ``denied``: what the node's user may not do and needs.
    ``excess``: whether it may speak where no node needs to. ``store``: why the homes of agents
    cannot be read; ``copies`` of them there are (0: none yet), ``current`` of which are up to date.
    ``at_home``: agents who are logged in on other nodes, with the node.
    """

    error: str = ""
    away: Mapping[str, str] = field(default_factory=dict)
    told: Mapping[str, NodeTold] = field(default_factory=dict)
    twins: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    excess: bool = False
    store: str = ""
    copies: int = 0
    current: int = 0
    at_home: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """The HTTP status with which another node's API answered; 0: it did not, and why."""

    status: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a node showed at one address: why it cannot be used, or for how many days it is valid.

    The problem may also be that the node refuses ours.
    """

    node: str
    problem: str = ""
    days: float = 0.0


@dataclass(frozen=True, slots=True)
class NodesFacts:
    """``own``: this node. ``trunks``: the others' PJSIP endpoints by node.

    ``contacts``: what Asterisk says of each trunk (PJSIP_CONTACT's status); None: not asked.
    ``hash`` and ``version``: this node's. ``nats`` None: not asked. ``servers``: how many are set.

    ``peers``: what the other nodes' APIs answered, by node; None: not asked. ``certificates``: by
    address; an empty one is this node's own file.
    """

    own: str
    trunks: Mapping[str, str]
    hash: str
    version: str
    servers: int = 1
    contacts: Mapping[str, str] | None = None
    nats: NatsFacts | None = None
    peers: Mapping[str, PeerAnswer] | None = None
    certificates: Mapping[str, Certificate] = field(default_factory=dict)
