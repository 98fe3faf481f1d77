"""Do the daemons of the other nodes answer this one, and do the nodes' certificates fit?"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

from asterisk_avp.install.checks.model import Facts, Finding, Severity

SOON_DAYS: Final = 14.0
"""A certificate that ends earlier is reported."""
_SETTINGS: Final = "the settings"


def apis(facts: Facts) -> Iterator[Finding]:
    """Does every other node's daemon answer, and know this node's token?"""
    nodes = facts.nodes
    if nodes is None or nodes.peers is None:
        return
    own, clean = nodes.own.upper(), True
    for node, answer in sorted(nodes.peers.items()):
        if answer.status == HTTPStatus.OK:
            continue
        clean = False
        url = f"AVP_NODES__{node.upper()}__URL"
        if answer.status == HTTPStatus.UNAUTHORIZED:
            yield Finding(
                "node_api",
                Severity.ERROR,
                f"the daemon of node {node} does not know this node's token",
                "It refuses what this node's agents ask for about its calls. The passwords of"
                " trunks and of NATS follow from the tokens, and do not fit either.",
                _SETTINGS,
                (f"; the same AVP_NODES__{own}__TOKEN on both nodes; then render on both again",),
            )
        elif answer.status:
            yield Finding(
                "node_api",
                Severity.ERROR,
                f"the address of node {node}'s daemon answers {answer.status}",
                "A reverse proxy must pass /v1/cluster/ on to the daemon, and the daemon there"
                " must be one of several nodes.",
                _SETTINGS,
                (f"; {url}",),
            )
        else:
            yield Finding(
                "node_api",
                Severity.ERROR,
                f"the daemon of node {node} cannot be reached: {answer.problem}",
                "What its agents ask for about calls of this node, and the other way round, is"
                " refused. Look whether the daemon runs, listens on an address that this machine"
                " reaches (AVP_API__HOST), and whether a firewall lets it through.",
                _SETTINGS,
                (f"; {url}",),
            )
    if clean and nodes.peers:
        yield Finding("node_api", Severity.OK, "the other nodes' daemons answer")


def certificates(facts: Facts) -> Iterator[Finding]:
    """Do the nodes accept each other's certificates, also in two weeks?"""
    nodes = facts.nodes
    if nodes is None or not nodes.certificates:
        return
    clean = True
    for address, shown in sorted(nodes.certificates.items()):
        if shown.problem:
            clean = False
            at = f"node {shown.node} at {address}: " if address else ""
            yield Finding(
                "node_tls",
                Severity.ERROR,
                f"{at}{shown.problem}",
                "Calls or requests do not get to that node. A certificate must be signed by an"
                " authority of AVP_CLUSTER__TLS_CA on both nodes, be valid now, and name the"
                " address that is written in the settings.",
                _SETTINGS,
                ("; AVP_CLUSTER__TLS_CA, AVP_CLUSTER__TLS_CERT, AVP_CLUSTER__TLS_KEY",),
            )
        elif shown.days < SOON_DAYS:
            clean = False
            yield Finding(
                "node_tls",
                Severity.WARNING,
                f"the certificate of node {shown.node} at {address} ends in {shown.days:.0f} days",
                "Then no call and no request gets to that node. Asterisk reads a new file when it"
                " is restarted, and so does the daemon.",
            )
    if clean:
        yield Finding("node_tls", Severity.OK, "the nodes' certificates are accepted")
