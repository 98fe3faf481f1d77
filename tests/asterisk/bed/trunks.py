"""PJSIP trunks between the test bed's nodes, with addresses of loopback of their own.

Each trunk has an address at each end, so that it can be cut alone: node a is 127.66.N.12 to node b
and 127.66.N.13 to node c. N is the instance's, so that several do not meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asterisk_avp.config.settings import Settings
from asterisk_avp.install.trunks import TRANSPORT, trunks_conf

from .ports import FIRST, SIZE, Ports


@dataclass(frozen=True)
class Trunks:
    """All trunks of one instance. ``ports``: each node's block; ``tokens``: each node's.

    ``tls``: each node's settings of its certificate, for trunks with TLS.
    """

    ports: Mapping[str, Ports]
    tokens: Mapping[str, str]
    direct_media: bool = False
    tls: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def block(self) -> int:
        """A number that no other instance has."""
        return (min(ports.base for ports in self.ports.values()) - FIRST) // SIZE

    def address(self, here: str, there: str) -> str:
        """A node's address of its trunk to another node."""
        return f"127.66.{self.block}.{_number(here) * 10 + _number(there)}"

    def address_setting(self, node: str, there: str) -> dict[str, str]:
        """The address of a node's trunk to another one; of its own, that of its first trunk."""
        if node == there:
            there = next(other for other in self.ports if other != node)
        transport = ";transport=tls" if self.tls else ""
        address = f"{self.address(node, there)}:{self.port(node)}{transport}"
        return {f"AVP_NODES__{node.upper()}__SIP": address}

    def port(self, node: str) -> int:
        """The SIP port of a node's trunks."""
        return self.ports[node].spare[-1]

    def render(self, node: str) -> str:
        """A node's part of pjsip.conf, as the product writes it for two nodes, for each other."""
        return "\n".join(self._trunk(node, other) for other in self.ports if other != node)

    def _trunk(self, node: str, other: str) -> str:
        env = {"AVP_CLUSTER__NODE": node, "AVP_CLUSTER__SERVERS": "nats://127.0.0.1"}
        env |= self.tls.get(node, {})
        for one, to in ((node, other), (other, node)):
            prefix = f"AVP_NODES__{one.upper()}__"
            env[f"{prefix}URL"] = "http://127.0.0.1"
            env[f"{prefix}TOKEN"] = self.tokens[one]
            env |= self.address_setting(one, to)
        settings = Settings.load(env, Path("/nonexistent"), connect=False)
        text = trunks_conf(settings, "the test bed")
        text = text.replace(TRANSPORT, f"{TRANSPORT}-{other}")  # an address for each trunk
        return (
            text.replace("direct_media = no", "direct_media = yes") if self.direct_media else text
        )

    def between(self, one: str, other: str) -> tuple[str, str]:
        """The addresses of a trunk's two ends."""
        return self.address(one, other), self.address(other, one)

    def all(self) -> list[str]:
        return [self.address(a, b) for a in self.ports for b in self.ports if a != b]


def _number(letter: str) -> int:
    return ord(letter) - ord("a") + 1
