"""Contradictions between the settings of several nodes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from asterisk_avp.config.sip_address import SipAddress
from asterisk_avp.config.sources import Inputs, variable
from asterisk_avp.core.model.nodes import NODE_ENDPOINT_PREFIX

if TYPE_CHECKING:
    from asterisk_avp.config.cluster import NodeSettings
    from asterisk_avp.config.settings import Settings

LEAST_TOKEN: Final = 32
MOST_NODES: Final = 10


def cluster(
    settings: Settings, inputs: Inputs, at_fault: Collection[tuple[str, ...]]
) -> Iterator[str]:
    """A line for each fault; none where there is one Asterisk.

    ``at_fault``: settings that have been left out, because they cannot be used.
    """
    own, nodes = settings.cluster.node, settings.nodes
    left_out = {path[1] for path in at_fault if path[0] == "nodes" and len(path) > 1}
    for identifier, agent in settings.agents.items():
        if agent.node is not None and agent.node not in (*nodes, *left_out):
            name = inputs.name(("agents", identifier, "node"))
            yield f"{name}: unknown node {_short(agent.node)}{_known(nodes)}"
    if own is None:
        return
    name = inputs.name(("cluster", "node"))
    if own not in (*nodes, *left_out):
        yield f"{name}: unknown node {own!r}{_known(nodes)}"
    if ("cluster", "servers") not in at_fault:
        yield from _servers(settings, inputs, name)
    if bool(settings.cluster.tls_cert) != bool(settings.cluster.tls_key):
        key = inputs.name(("cluster", "tls_key"))
        yield f"{key}: a certificate and its key must be set together"
    if len(nodes) > MOST_NODES:
        yield f"{variable(('nodes', '<ID>', 'url'))}: at most {MOST_NODES} nodes"
    yield from _tokens(nodes, inputs, left_out)
    yield from _trunks(nodes, inputs)


def _servers(settings: Settings, inputs: Inputs, why: str) -> Iterator[str]:
    name, servers = inputs.name(("cluster", "servers")), settings.cluster.servers
    if not servers:
        yield f"{variable(('cluster', 'servers'))}: is required, because of {why}"
    elif len(set(servers)) < len(servers):
        yield f"{name}: must not contain a server twice"
    elif len({server.partition(":")[0] for server in servers}) > 1:
        yield f"{name}: must have nats:// for all servers, or tls:// for all"


def _tokens(
    nodes: Mapping[str, NodeSettings], inputs: Inputs, left_out: Collection[str]
) -> Iterator[str]:
    tokens: dict[str, str] = {}
    for identifier, node in nodes.items():
        place = inputs.name(("nodes", identifier, "token"))
        token = node.token.get_secret_value()
        if len(token) < LEAST_TOKEN and identifier not in left_out:
            yield f"{place}: must have at least {LEAST_TOKEN} characters"
        elif token and (other := tokens.setdefault(token, identifier)) != identifier:
            yield f"{place}: is that of node {other!r} as well"


def _trunks(nodes: Mapping[str, NodeSettings], inputs: Inputs) -> Iterator[str]:
    """Each node has an address and an endpoint of its own, and all have one transport."""
    addresses: dict[tuple[str, int], str] = {}
    endpoints: dict[str, str] = {}
    transports: dict[str, tuple[str, str]] = {}
    for identifier, node in nodes.items():
        endpoint = node.endpoint or f"{NODE_ENDPOINT_PREFIX}{identifier}"
        if (other := endpoints.setdefault(endpoint, identifier)) != identifier:
            yield f"{inputs.name(('nodes', identifier, 'endpoint'))}: is that of node {other!r}"
        if node.sip is None:
            continue
        name, sip = inputs.name(("nodes", identifier, "sip")), SipAddress.parse(node.sip)
        if (other := addresses.setdefault((sip.host, sip.port), identifier)) != identifier:
            yield f"{name}: is that of node {other!r}"
        first = transports.setdefault("", (sip.transport, identifier))
        if sip.transport != first[0]:
            yield f"{name}: has another transport than that of node {first[1]!r}"


def _short(value: str) -> str:
    return repr(value if len(value) <= LEAST_TOKEN else f"{value[:LEAST_TOKEN]}…")


def _known(ids: object) -> str:
    names = sorted(ids) if isinstance(ids, dict) else []
    return f" (known: {', '.join(names)})" if names else ""
