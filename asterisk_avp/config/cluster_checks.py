"""Contradictions between the settings of several nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from asterisk_avp.config.sources import Inputs, variable

if TYPE_CHECKING:
    from asterisk_avp.config.settings import Settings

LEAST_TOKEN: Final = 32
MOST_NODES: Final = 10


def cluster(settings: Settings, inputs: Inputs) -> Iterator[str]:
    """A line for each fault; none where there is one Asterisk."""
    own, nodes = settings.cluster.node, settings.nodes
    for identifier, agent in settings.agents.items():
        if agent.node is not None and agent.node not in nodes:
            name = inputs.name(("agents", identifier, "node"))
            yield f"{name}: unknown node {agent.node!r}{_known(nodes)}"
    if own is None:
        return
    name = inputs.name(("cluster", "node"))
    if own not in nodes:
        yield f"{name}: unknown node {own!r}{_known(nodes)}"
    if not settings.cluster.servers:
        yield f"{variable(('cluster', 'servers'))}: is required, because of {name}"
    if bool(settings.cluster.tls_cert) != bool(settings.cluster.tls_key):
        key = inputs.name(("cluster", "tls_key"))
        yield f"{key}: a certificate and its key must be set together"
    if len(nodes) > MOST_NODES:
        yield f"{variable(('nodes', '<ID>', 'url'))}: at most {MOST_NODES} nodes"
    tokens: dict[str, str] = {}
    for identifier, node in nodes.items():
        place = inputs.name(("nodes", identifier, "token"))
        token = node.token.get_secret_value()
        if len(token) < LEAST_TOKEN:
            yield f"{place}: must have at least {LEAST_TOKEN} characters"
        elif (other := tokens.setdefault(token, identifier)) != identifier:
            yield f"{place}: is that of node {other!r} as well"


def _known(ids: object) -> str:
    names = sorted(ids) if isinstance(ids, dict) else []
    return f" (known: {', '.join(names)})" if names else ""
