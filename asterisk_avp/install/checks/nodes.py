"""Do the nodes reach one another, with the same settings, versions and clocks?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from asterisk_avp.install.asterisk_conf import Conf, Section, is_true
from asterisk_avp.install.checks.agents import endpoints
from asterisk_avp.install.checks.model import Facts, Finding, Severity
from asterisk_avp.install.checks.nodes_model import NEEDED, NODES, QUALIFY, NatsFacts, NodesFacts

MOST_SECONDS: Final = 1.0
"""The accepted difference between the clocks of two nodes: times of states go from one to another,
and a heartbeat is on its way for a moment."""
_REACHED: Final = "Reachable"
_QUORUM_OF: Final = 3
_RENDER: Final = ("; render it again: asterisk-avp render all --output FOLDER",)
_SERIOUS: Final = ("context", "identify_by", "allow_transfer", "message_context")
_WHY: Final = {
    "context": "What comes from the other node would start somewhere else in the dialplan.",
    "identify_by": "By default Asterisk also believes the name in From, from any address.",
    "allow_transfer": "A REFER over the trunk would send callers and agents past every rule.",
    "message_context": "A text message over the trunk would run the dialplan.",
    "rtp_timeout": "Who talks over the trunk stays in silence when the other node is gone.",
    "rtp_timeout_hold": "Who waits on hold over the trunk stays there when the other node is gone.",
    "rtp_keepalive": "Without packets in silence, rtp_timeout ends calls that are well.",
    "timers": "A call whose other end is gone, and has no audio, would never end.",
    "qualify_frequency": "Only the contact's state tells the dialplan that a node is gone.",
    "qualify_timeout": "Asterisk would learn seconds later that a node is gone.",
}
_OTHER: Final = (
    "Numbers and names of callers would not arrive, or the call would be set up wrongly."
)


def trunk_settings(facts: Facts) -> Iterator[Finding]:
    """Is there a trunk to each other node, with what it needs and a way to know who calls?"""
    nodes, conf = facts.nodes, facts.file("pjsip.conf")
    if nodes is None or not conf.found:
        return
    known = endpoints(conf)
    clean = True
    for node, name in sorted(nodes.trunks.items()):
        endpoint = known.get(name)
        if endpoint is None:
            clean = False
            yield Finding(
                "node_trunk_settings",
                Severity.ERROR,
                f"there is no endpoint {name}, the trunk to node {node}",
                "No call reaches that node, and none comes from it.",
                "pjsip.conf",
                (f"; set AVP_NODES__{node.upper()}__SIP on all nodes and", *_RENDER),
            )
            continue
        for finding in (*_options(endpoint), *_identity(conf, endpoint), *_aor(conf, endpoint)):
            clean = False
            yield finding
    if clean and nodes.trunks:
        yield Finding("node_trunk_settings", Severity.OK, "the trunks have the settings they need")


def _options(endpoint: Section) -> Iterator[Finding]:
    for option, value in NEEDED.items():
        written = endpoint.last(option, "yes" if option in ("allow_transfer", "timers") else "")
        if _same(option, written, value):
            continue
        yield Finding(
            "node_trunk_settings",
            Severity.ERROR if option in _SERIOUS else Severity.WARNING,
            f"[{endpoint.name}] has {option} = {written or 'nothing'}, not {value}",
            _WHY.get(option, _OTHER),
            NODES,
            (f"[{endpoint.name}](+type=endpoint)", f"{option} = {value}"),
        )


def _same(option: str, written: str, wanted: str) -> bool:
    if option == "timers":
        return written.lower() in _ALWAYS
    if wanted in ("yes", "no"):
        return is_true(written) is (wanted == "yes")
    if wanted.isdecimal():
        return written.isdecimal() and 0 < int(written) <= int(wanted)
    return written == wanted


_ALWAYS: Final = frozenset({"always", "required", "forced"})


def _identity(conf: Conf, endpoint: Section) -> Iterator[Finding]:
    """Both an address and a password say who calls."""
    by_address = any(
        section.last("type").lower() == "identify"
        and section.last("endpoint") == endpoint.name
        and section.all("match")
        for section in conf.sections
        if not section.template
    )
    for there, what, line in (
        (by_address, "no section of type identify with its address", "match = ADDRESS"),
        (bool(endpoint.last("auth")), "no auth", f"auth = {endpoint.name}-in"),
        (
            bool(endpoint.last("outbound_auth")),
            "no outbound_auth",
            f"outbound_auth = {endpoint.name}-out",
        ),
    ):
        if not there:
            yield Finding(
                "node_trunk_settings",
                Severity.ERROR,
                f"[{endpoint.name}] has {what}",
                "Headers of a node are believed, so nobody else may call as one. Both nodes show"
                " one another a password, and are known by their address.",
                NODES,
                (f"; {line}", *_RENDER),
            )


def _aor(conf: Conf, endpoint: Section) -> Iterator[Finding]:
    names = {name.strip() for name in endpoint.last("aors").split(",")}
    for section in conf.sections:
        if section.template or section.last("type").lower() != "aor" or section.name not in names:
            continue
        for contact in section.all("contact"):
            if contact.lower().startswith("sips:"):
                address = contact[5:].partition(";")[0].rstrip("\\")
                yield Finding(
                    "node_trunk_settings",
                    Severity.ERROR,
                    f"[{section.name}] has the contact {contact}, which is a sips address",
                    "Asterisk ends calls over it that a phone answers at once (pjproject's issue"
                    " 1735).",
                    NODES,
                    (rf"; instead of it: contact = sip:{address}\;transport=tls",),
                )
        for option, value in QUALIFY.items():
            written = section.last(option)
            if not _positive(written) or float(written) > float(value):
                yield Finding(
                    "node_trunk_settings",
                    Severity.WARNING,
                    f"[{section.name}] has {option} = {written or 'nothing'}, not {value}",
                    _WHY[option],
                    NODES,
                    (f"[{section.name}](+type=aor)", f"{option} = {value}"),
                )


def _positive(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal() and text.isascii() and float(text) > 0


def trunks(facts: Facts) -> Iterator[Finding]:
    """Does the other node answer over the trunk, and this one the other?"""
    nodes = facts.nodes
    if nodes is None or nodes.contacts is None:
        return
    told = nodes.nats.told if nodes.nats is not None else {}
    clean = True
    for node, name in sorted(nodes.trunks.items()):
        status = nodes.contacts.get(node, "")
        if status != _REACHED:
            clean = False
            yield Finding(
                "node_trunk",
                Severity.ERROR,
                f"node {node} does not answer over the trunk {name} ({status or 'no contact'})",
                "Its agents cannot get a call of this node. Look whether its Asterisk runs, and"
                " whether a firewall lets SIP and RTP through both ways (docs/cluster.md). With"
                " TLS, look also in the log of each Asterisk for transport-avp-nodes: it may not be"
                " allowed to read the key.",
                NODES,
                _RENDER,
            )
        other = told.get(node)
        if other is not None and other.trunks.get(nodes.own) is False:
            clean = False
            yield Finding(
                "node_trunk",
                Severity.ERROR,
                f"node {node} gets no answer from this node over its trunk",
                "Our agents cannot get a call of that node: see there what check says.",
                NODES,
                _RENDER,
            )
    if clean and nodes.trunks:
        yield Finding("node_trunk", Severity.OK, "all other nodes answer over their trunks")


def nats(facts: Facts) -> Iterator[Finding]:
    """Do the servers answer, with rights that are enough and no more, and a majority of copies?"""
    nodes = facts.nodes
    if nodes is None or nodes.nats is None:
        return
    found = [*_servers(nodes, nodes.nats), *_rights(nodes.nats), *_store(nodes, nodes.nats)]
    yield from found
    if not found:
        yield Finding("nats", Severity.OK, f"all NATS servers answer ({nodes.servers})")


def _servers(nodes: NodesFacts, nats: NatsFacts) -> Iterator[Finding]:
    for server, why in nats.away.items():
        yield Finding(
            "nats",
            Severity.WARNING if len(nats.away) < nodes.servers else Severity.ERROR,
            f"{server} cannot be used: {why}",
            "Without a majority of the servers agents keep their homes where they are. Without any,"
            " agents of other nodes cannot be targets after 30 s.",
            "the settings",
            ("; AVP_CLUSTER__SERVERS, AVP_CLUSTER__CREDENTIALS", *_RENDER),
        )
    if nats.error and not nats.away:
        yield Finding(
            "nats",
            Severity.ERROR,
            nats.error,
            "The daemon needs it where there are several nodes.",
            "",
            ("pip install nats-py",),
        )
    if nodes.servers not in (1, _QUORUM_OF):
        yield Finding(
            "nats",
            Severity.WARNING,
            f"there are {nodes.servers} NATS servers, not 1 or {_QUORUM_OF}",
            "A majority must be there for an agent to change home: of two servers that is both.",
            "the settings",
            ("AVP_CLUSTER__SERVERS=tls://nats1:4222,tls://nats2:4222,tls://nats3:4222",),
        )


def _rights(nats: NatsFacts) -> Iterator[Finding]:
    for error in nats.denied:
        yield Finding(
            "nats_rights",
            Severity.ERROR,
            f"the servers refuse this node's user: {error}",
            "The states of agents do not get from node to node.",
            "nats-server.conf",
            _RENDER,
        )
    if nats.excess:
        yield Finding(
            "nats_rights",
            Severity.WARNING,
            "this node's user may publish more than a node needs",
            "Whoever has one node's password could speak as every other node.",
            "nats-server.conf",
            _RENDER,
        )


def _store(nodes: NodesFacts, nats: NatsFacts) -> Iterator[Finding]:
    if nats.store:
        yield Finding(
            "nats",
            Severity.ERROR,
            f"the homes of agents cannot be read: {nats.store}",
            "No agent can log in at another node than before. JetStream must be on, and a majority"
            " of the servers must be there.",
            "nats-server.conf",
            _RENDER,
        )
    elif nats.copies and nats.current < min(nodes.servers, _QUORUM_OF):
        yield Finding(
            "nats",
            Severity.WARNING,
            f"{nats.current} of {min(nodes.servers, _QUORUM_OF)} copies of the homes are current",
            "If another server is lost, no agent can log in at another node. A server that was away"
            " catches up by itself. What was stored while there was one server keeps one copy: stop"
            " all servers, delete /var/lib/nats/jetstream on each, and start them again.",
            "nats-server.conf",
        )


def same(facts: Facts) -> Iterator[Finding]:
    """Is every node there, with the same settings and version, and its clock right?"""
    nodes = facts.nodes
    if nodes is None or nodes.nats is None or nodes.nats.error:
        return
    found = list(_different(nodes, nodes.nats))
    yield from found
    if not found:
        yield Finding("nodes", Severity.OK, "all nodes have the same settings, versions and clocks")


def _different(nodes: NodesFacts, nats: NatsFacts) -> Iterator[Finding]:
    for node in nats.twins:
        yield Finding(
            "nodes",
            Severity.ERROR,
            f"two daemons say that they are node {node}",
            "The other nodes believe the one that began later, and the agents of the other one"
            " cannot be targets. Each node has a letter of its own; a second daemon of one Asterisk"
            " is a standby (docs/operations.md).",
            "the settings",
            ("; AVP_CLUSTER__NODE on each machine",),
        )
    for node in sorted({*nodes.trunks, nodes.own}):
        told = nats.told.get(node)
        if told is None:
            yield Finding(
                "nodes",
                Severity.ERROR,
                f"nothing is heard from the daemon of node {node}",
                "Its agents cannot be targets. Look at its log: journalctl -u asterisk-avp.",
            )
            continue
        if not told.ready:
            yield Finding(
                "nodes",
                Severity.WARNING,
                f"the daemon of node {node} is not ready",
                "It is not connected to its Asterisk. asterisk-avp check on that node says more.",
            )
        if told.config_hash != nodes.hash:
            yield Finding(
                "nodes",
                Severity.ERROR,
                f"node {node} has other settings ({told.config_hash}) than this one ({nodes.hash})",
                "An agent may do with a call of one node what is refused with one of another."
                " Policy, accounts, groups, presets, agents, codes and rules of breaks must be the"
                " same on all nodes. Compare: asterisk-avp settings.",
                "the settings",
            )
        if told.version != nodes.version:
            yield Finding(
                "nodes",
                Severity.WARNING,
                f"node {node} has version {told.version}, this one {nodes.version}",
                "That is well during an upgrade, and no longer.",
            )
        if abs(told.ahead) > MOST_SECONDS:
            direction = "ahead of" if told.ahead > 0 else "behind"
            yield Finding(
                "nodes",
                Severity.WARNING,
                f"the clock of node {node} is {abs(told.ahead):.1f} s {direction} ours",
                "Times of states and of after-call work would be wrong on the other nodes.",
                "",
                ("systemctl enable --now systemd-timesyncd",),
            )
