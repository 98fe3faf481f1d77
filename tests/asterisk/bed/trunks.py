"""PJSIP trunks between the test bed's nodes, with addresses of loopback of their own.

Each trunk has an address at each end, so that it can be cut alone: node a is 127.66.N.12 to node b
and 127.66.N.13 to node c. N is the instance's, so that several do not meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .ports import FIRST, SIZE, Ports

TRUNK = """
[transport-avp-node-{other}]
type = transport
protocol = udp
bind = {here}:{here_port}

[avp-node-{other}]
type = endpoint
transport = transport-avp-node-{other}
context = avp-node-in
message_context = avp-nowhere
disallow = all
allow = ulaw
direct_media = {direct_media}
media_address = {here}
bind_rtp_to_media_address = yes
rtp_symmetric = no
aors = avp-node-{other}
auth = avp-node-{other}-in
outbound_auth = avp-node-{other}-out
trust_id_inbound = yes
trust_id_outbound = yes
send_pai = yes
; Whoever talks over a trunk that is cut, or to a node that is gone, must not be left in silence.
rtp_timeout = 4
rtp_timeout_hold = 4
rtp_keepalive = 1
timers = yes
allow_transfer = no
allow_overlap = no
dtmf_mode = rfc4733
language = en

[avp-node-{other}]
type = aor
contact = sip:{there}:{there_port}
qualify_frequency = 1
qualify_timeout = 1.0

[avp-node-{other}]
type = identify
endpoint = avp-node-{other}
match = {there}/32

[avp-node-{other}-out]
type = auth
auth_type = userpass
username = avp-node-{own}
password = {out_secret}

[avp-node-{other}-in]
type = auth
auth_type = userpass
username = avp-node-{other}
password = {in_secret}
"""


@dataclass(frozen=True)
class Trunks:
    """All trunks of one instance. ``ports``: each node's block; ``secrets``: each node's."""

    ports: Mapping[str, Ports]
    secrets: Mapping[str, str]
    direct_media: bool = False

    @property
    def block(self) -> int:
        """A number that no other instance has."""
        return (min(ports.base for ports in self.ports.values()) - FIRST) // SIZE

    def address(self, here: str, there: str) -> str:
        """A node's address of its trunk to another node."""
        return f"127.66.{self.block}.{_number(here) * 10 + _number(there)}"

    def port(self, node: str) -> int:
        """The SIP port of a node's trunks."""
        return self.ports[node].spare[-1]

    def render(self, node: str) -> str:
        """A node's part of pjsip.conf."""
        return "".join(
            TRUNK.format(
                own=node,
                other=other,
                here=self.address(node, other),
                here_port=self.port(node),
                there=self.address(other, node),
                there_port=self.port(other),
                direct_media="yes" if self.direct_media else "no",
                out_secret=self.secrets[node],
                in_secret=self.secrets[other],
            )
            for other in self.ports
            if other != node
        )

    def between(self, one: str, other: str) -> tuple[str, str]:
        """The addresses of a trunk's two ends."""
        return self.address(one, other), self.address(other, one)

    def all(self) -> list[str]:
        return [self.address(a, b) for a in self.ports for b in self.ports if a != b]


def _number(letter: str) -> int:
    return ord(letter) - ord("a") + 1
