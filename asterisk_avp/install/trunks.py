"""Render avp_nodes.conf: the PJSIP trunks from this node to all others.

Between nodes there is a transport of its own, the other node is identified by its address, and each
shows the other a password. What comes over such a trunk starts in the context avp-node-in, the only
one in which the headers of nodes are believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from asterisk_avp.config.node_secrets import trunk_password
from asterisk_avp.config.settings import Settings
from asterisk_avp.config.sip_address import SipAddress
from asterisk_avp.core.model.nodes import NODE_ENDPOINT_PREFIX
from asterisk_avp.install.checks.nodes_model import NEEDED, QUALIFY
from asterisk_avp.install.files import CannotRender

TRANSPORT: Final = "transport-avp-nodes"

_HEAD: Final = """\
; The trunks to the other nodes, for pjsip.conf.
;
; Written by: {command}

; What the nodes send one another has a transport of its own. A node is known by its address, not
; by a name that anybody can write (identify_by), and shows a password as well. A firewall should
; let only the other nodes reach its port, and the ports of RTP.
"""


def missing(settings: Settings) -> list[str]:
    """Sentences about addresses without which a trunk cannot be written."""
    own = settings.cluster.node
    if own is None:
        return []
    without = sorted(name for name, node in settings.nodes.items() if node.sip is None)
    if not without:
        return []
    named = ", ".join(f"AVP_NODES__{name.upper()}__SIP" for name in without)
    return [f"No trunk is written to nodes without a SIP address. Set {named} on every node."]


def trunks_conf(settings: Settings, command: str) -> str:
    """The text of avp_nodes.conf. Raises `CannotRender` if certificates are missing for TLS."""
    own = settings.cluster.node or ""
    mine = settings.nodes[own].sip
    parts = [_HEAD.format(command=command)]
    if mine is None:
        return parts[0]
    here = SipAddress.parse(mine)
    parts.append("\n".join(_transport(settings, here)))
    for name, node in sorted(settings.nodes.items()):
        if name == own or node.sip is None:
            continue
        there = SipAddress.parse(node.sip)
        if there.transport != here.transport:
            raise CannotRender(
                f"AVP_NODES__{name.upper()}__SIP and AVP_NODES__{own.upper()}__SIP have different"
                " transports"
            )
        endpoint = node.endpoint or f"{NODE_ENDPOINT_PREFIX}{name}"
        secrets = (
            trunk_password(settings.nodes[own].token.get_secret_value()),
            trunk_password(node.token.get_secret_value()),
        )
        parts.append("\n".join(_trunk(name, own, endpoint, (here, there), secrets)))
    return "\n".join(parts)


def _transport(settings: Settings, here: SipAddress) -> Iterator[str]:
    yield f"[{TRANSPORT}]"
    yield "type = transport"
    yield f"protocol = {here.transport}"
    yield f"bind = {here.written}"
    if here.transport == "tls":
        cluster = settings.cluster
        files = {
            "cert_file": ("AVP_CLUSTER__TLS_CERT", cluster.tls_cert),
            "priv_key_file": ("AVP_CLUSTER__TLS_KEY", cluster.tls_key),
            "ca_list_file": ("AVP_CLUSTER__TLS_CA", cluster.tls_ca),
        }
        for option, (name, path) in files.items():
            if not path:
                raise CannotRender(f"trunks over TLS need {name}")
            yield f"{option} = {_escaped(name, path)}"
        yield "method = tlsv1_2"
        yield "; Each node shows a certificate, and looks at the other's."
        yield from ("verify_server = yes", "verify_client = yes", "require_client_cert = yes")
    yield ""


def _trunk(
    name: str,
    own: str,
    endpoint: str,
    addresses: tuple[SipAddress, SipAddress],
    secrets: tuple[str, str],
) -> Iterator[str]:
    here, there = addresses
    # Not "sips": if a phone answers at once, an UPDATE may be answered before the INVITE. The
    # answer of Asterisk has a "sip" contact then, and pjproject ends the call: its issue 1735.
    # Without the backslash the rest of the line is a comment (config.c).
    parameter = "" if there.transport == "udp" else f"\\;transport={there.transport}"
    yield f"; --- node {name}"
    yield f"[{endpoint}]"
    yield "type = endpoint"
    yield f"transport = {TRANSPORT}"
    yield f"aors = {endpoint}"
    yield "; Another partner is told without a new negotiation of audio."
    yield "connected_line_method = update"
    yield f"auth = {endpoint}-in"
    yield f"outbound_auth = {endpoint}-out"
    yield "disallow = all"
    yield "allow = ulaw,alaw"
    yield "direct_media = no"
    yield f"media_address = {here.host}"
    yield "bind_rtp_to_media_address = yes"
    yield "dtmf_mode = rfc4733"
    yield "; The other node is told of a phone's hold key; music would go to all who talk there."
    yield "moh_passthrough = yes"
    if here.transport == "tls":
        yield "media_encryption = sdes"
    yield "; Nobody talks into silence when the other node, or the way to it, is gone."
    yield from (f"{option} = {value}" for option, value in NEEDED.items())
    yield from ("timers_min_se = 90", "timers_sess_expires = 120")
    yield ""
    yield f"[{endpoint}]"
    yield "type = aor"
    yield f"contact = sip:{there.written}{parameter}"
    yield from (f"{option} = {value}" for option, value in QUALIFY.items())
    yield ""
    yield f"[{endpoint}]"
    yield "type = identify"
    yield f"endpoint = {endpoint}"
    yield f"match = {there.network}"
    yield ""
    for side, node, secret in (("out", own, secrets[0]), ("in", name, secrets[1])):
        yield f"[{endpoint}-{side}]"
        yield "type = auth"
        yield "auth_type = userpass"
        yield f"username = {NODE_ENDPOINT_PREFIX}{node}"
        yield f"password = {secret}"
        yield ""


def _escaped(name: str, value: str) -> str:
    if not value.isprintable():
        raise CannotRender(f"{name} has control characters, which Asterisk's files cannot hold")
    return value.replace(";", "\\;")
