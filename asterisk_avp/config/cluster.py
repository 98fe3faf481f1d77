"""The settings of several Asterisk nodes that are one call centre; without them there is one.

All nodes read the same settings, so that the same rules hold on each. Only ``AVP_CLUSTER__NODE``,
and what names this machine's own Asterisk, differ.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from asterisk_avp.config.node_addresses import NatsCredentials, NatsUrl, NodeToken, NodeUrl
from asterisk_avp.config.sections import Section
from asterisk_avp.config.sip_address import NodeSip
from asterisk_avp.config.types import CommaList, Endpoint, File, SectionId


class ClusterSettings(Section):
    """The directory that the daemons of several nodes share, over NATS."""

    node: SectionId | None = None
    """This node's id in `AVP_NODES__<ID>__…`. Without it there is one Asterisk, and no other
    setting of this section has an effect."""
    servers: Annotated[tuple[NatsUrl, ...], CommaList] = ()
    """Addresses of the NATS servers, separated by commas: `tls://nats1.example:4222`."""
    credentials: NatsCredentials = SecretStr("")
    """The node's user and password at the NATS servers: `user:password`."""
    tls_ca: File = ""
    """File with the certificates of the authorities that sign those of servers and nodes. Empty:
    the system's."""
    tls_cert: File = ""
    """File with this node's certificate, for servers and for clients, which names its addresses."""
    tls_key: File = ""
    """File with the key of that certificate, without a password."""
    lost_seconds: Annotated[float, Field(ge=1.0, le=60.0)] = 1.5
    """After how long without a heartbeat a node counts as lost. It sends one every 0.5 seconds."""


class NodeSettings(Section):
    """A node: one Asterisk and its daemon."""

    url: NodeUrl
    """Address of the node's API for the other nodes: `https://a.example:8443`."""
    endpoint: Endpoint | None = None
    """PJSIP endpoint of the trunk to the node, on every other node."""
    sip: NodeSip | None = None
    """The node's address for the trunks of the others, of their own transport: `192.0.2.11:5070`,
    or `192.0.2.11:5071;transport=tls` with encrypted audio. `asterisk-avp render all` writes the
    trunks from it."""
    token: NodeToken = SecretStr("")
    """What the node's daemon shows to the others; at least 32 characters."""
