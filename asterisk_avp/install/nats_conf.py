"""Render nats-server.conf: this node's NATS server, with a user and least rights for each node.

All nodes' users are in one account, because they are to hear one another. Each may speak under its
own name only, so that no node can pretend to be another one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from asterisk_avp.config.node_secrets import nats_password, routes_password
from asterisk_avp.config.settings import Settings
from asterisk_avp.config.sip_address import SipAddress
from asterisk_avp.install.files import NATS, CannotRender

PORT: Final = 4222
ROUTE_PORT: Final = 6222
PREFIX: Final = "avp.v1"
STREAM: Final = "KV_homes"
"""JetStream's name of the bucket with agents' homes."""
_SPOKEN: Final = ("node", "state", "group")
_STORE: Final = "/var/lib/nats/jetstream"


@dataclass(frozen=True, slots=True)
class Server:
    """An address of `AVP_CLUSTER__SERVERS`."""

    host: str
    port: int
    tls: bool

    @classmethod
    def parse(cls, url: str) -> Server:
        parts = urlsplit(url)
        return cls(parts.hostname or "", parts.port or PORT, parts.scheme == "tls")

    @property
    def written(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def publishes(node: str) -> list[str]:
    """The subjects that a node's user may publish."""
    return [
        *(f"{PREFIX}.{kind}.{node}" for kind in _SPOKEN),
        f"{PREFIX}.snapshot.*",  # a question; the answer goes to who asked
        "$KV.homes.*",
        # No consumers: one could have the server deliver a node's words to any subject.
        *(f"$JS.API.STREAM.{what}.{STREAM}" for what in ("INFO", "CREATE", "MSG.GET")),
    ]


def subscribes(node: str) -> list[str]:
    """The subjects that a node's user may hear: all nodes', and the answers to itself."""
    return [
        *(f"{PREFIX}.{kind}.*" for kind in _SPOKEN),
        f"{PREFIX}.snapshot.{node}",
        f"_INBOX.{node}.>",
    ]


def here(settings: Settings) -> Server | None:
    """The server that this node runs: the one whose host is this node's."""
    own = settings.cluster.node
    servers = [Server.parse(url) for url in settings.cluster.servers]
    if own is None or not servers:
        return None
    node = settings.nodes[own]
    hosts = {urlsplit(node.url).hostname}
    if node.sip is not None:
        hosts.add(SipAddress.parse(node.sip).host)
    return next((server for server in servers if server.host in hosts), None)


def credentials(settings: Settings) -> str:
    """The node's own user and password, as the servers have them."""
    own = settings.cluster.node or ""
    return f"{own}:{nats_password(settings.nodes[own].token.get_secret_value())}"


def remarks(settings: Settings) -> list[str]:
    """What the administrator should know about the servers."""
    count = len(settings.cluster.servers)
    found = []
    if count not in (1, 3):
        found.append(
            f"AVP_CLUSTER__SERVERS names {count} NATS servers. Use one to try it and three for"
            " work: homes of agents are kept by a majority."
        )
    if settings.cluster.node is not None and here(settings) is None:
        found.append(
            "No address in AVP_CLUSTER__SERVERS has the host of this node's AVP_NODES__<ID>__URL or"
            f" __SIP, so this node runs no NATS server and {NATS} has none of its addresses."
        )
    return found


def nats_conf(settings: Settings, command: str) -> str:
    """The text of nats-server.conf. Raises `CannotRender` if a server's address cannot be used."""
    return "\n".join([*_lines(settings, command), ""])


def _lines(settings: Settings, command: str) -> Iterator[str]:
    mine = here(settings)
    servers = [Server.parse(url) for url in settings.cluster.servers]
    yield "# The NATS server of the nodes of asterisk_avp."
    yield "#"
    yield f"# Written by: {command}"
    yield ""
    server = mine or servers[0]
    yield f"listen: {_quoted(f'{server.written}:{server.port}')}"
    yield f"server_name: {_quoted(f'avp-{settings.cluster.node}')}"
    yield "max_payload: 256KB"
    yield "jetstream {"
    yield f"  store_dir: {_quoted(_STORE)}"
    yield "  max_mem: 64MB"
    yield "  max_file: 1GB"
    yield "  # From NATS 2.10 on, add this: a home that was written survives a power failure."
    yield "  # sync_interval: always"
    yield "}"
    if server.tls:
        yield from _tls(settings)
    if len(servers) > 1:
        yield from _cluster(settings, server, servers)
    yield "accounts {"
    yield "  AVP {"
    yield "    jetstream: enabled"
    yield "    users: ["
    for node in sorted(settings.nodes):
        password = nats_password(settings.nodes[node].token.get_secret_value())
        yield f"      {{ user: {_quoted(node)}, password: {_quoted(password)}"
        yield "        permissions: {"
        yield f"          publish: {{ allow: {_listed(publishes(node))} }}"
        yield f"          subscribe: {{ allow: {_listed(subscribes(node))} }}"
        yield "          allow_responses: true"
        yield "        } }"
    yield "    ]"
    yield "  }"
    yield "}"


def _cluster(settings: Settings, server: Server, servers: list[Server]) -> Iterator[str]:
    tokens = {name: node.token.get_secret_value() for name, node in settings.nodes.items()}
    password = routes_password(tokens)
    yield "cluster {"
    yield '  name: "avp"'
    yield f"  listen: {_quoted(f'{server.written}:{ROUTE_PORT}')}"
    yield f'  authorization {{ user: "routes", password: {_quoted(password)} }}'
    yield "  # The settings name all servers, by the addresses that certificates have."
    yield "  no_advertise: true"
    yield "  routes: ["
    for other in servers:
        if other != server:
            yield f"    {_quoted(f'nats-route://routes:{password}@{other.written}:{ROUTE_PORT}')}"
    yield "  ]"
    if server.tls:
        yield from (f"  {line}" for line in _tls(settings, both=True))
    yield "}"


def _tls(settings: Settings, *, both: bool = False) -> Iterator[str]:
    cluster = settings.cluster
    if not cluster.tls_cert:
        raise CannotRender("NATS servers with tls:// need AVP_CLUSTER__TLS_CERT and __TLS_KEY")
    yield "tls {"
    yield f"  cert_file: {_quoted(cluster.tls_cert)}"
    yield f"  key_file: {_quoted(cluster.tls_key)}"
    if cluster.tls_ca:
        yield f"  ca_file: {_quoted(cluster.tls_ca)}"
        yield f"  verify: {'true' if both or cluster.tls_ca else 'false'}"
    yield "}"


def _listed(subjects: list[str]) -> str:
    return f"[{', '.join(map(_quoted, subjects))}]"


def _quoted(value: str) -> str:
    """A string of NATS's configuration language, which has JSON's escapes."""
    if not value.isprintable():
        raise CannotRender(f"{value!r} has control characters, which {NATS} cannot hold")
    return json.dumps(value, ensure_ascii=False)
