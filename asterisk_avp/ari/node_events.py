"""Translate the dialplan's own events about calls between nodes into facts.

Their values come from another node's headers, or from Asterisk. They are dropped where they are not
clean, as the dialplan does (avp-node-read).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from asterisk_avp.core.messages import clean
from asterisk_avp.core.messages.facts import Fact
from asterisk_avp.core.messages.remote import NodeCall, RemoteEnded, RemoteLeg

Told = Mapping[str, Any]
NodeOf = Callable[[str], str]
"""The PJSIP endpoint of a trunk to the id of its node; empty: it is no trunk's."""


def _ident(told: Told, name: str) -> str:
    value = told.get(name)
    return clean.ident(value) if isinstance(value, str) else ""


def _leg(channel: str, told: Told, node_of: NodeOf) -> Fact:
    node = node_of(_ident(told, "Trunk"))
    return RemoteLeg(channel, _ident(told, "Agent"), node, _ident(told, "Transfer"))


def _ended(channel: str, told: Told, _node_of: NodeOf) -> Fact:
    cause = _ident(told, "Cause")
    return RemoteEnded(
        channel,
        _ident(told, "Status"),
        int(cause) if cause.isascii() and cause.isdigit() else 0,
        to_group=_ident(told, "Next") == "group",
    )


def _node_in(channel: str, told: Told, node_of: NodeOf) -> Fact:
    return NodeCall(
        channel,
        agent=_ident(told, "Agent"),
        queue=_ident(told, "Queue"),
        transfer=_ident(told, "Transfer"),
        anchor=node_of(_ident(told, "Trunk")),
        anchor_call=_ident(told, "Call"),
        group=_ident(told, "Group"),
        leg=_ident(told, "Leg"),
        transferor=_ident(told, "Transferor"),
    )


NODE_EVENTS: Final[Mapping[str, Callable[[str, Told, NodeOf], Fact]]] = {
    "AVPRemoteLeg": _leg,
    "AVPRemoteEnded": _ended,
    "AVPNodeIn": _node_in,
}
"""Names of the UserEvents that our dialplan sends about calls between nodes."""
