"""What `asterisk-avp render all` writes on a node of several: the trunks and the NATS server."""

from __future__ import annotations

from asterisk_avp.config.settings import Settings
from asterisk_avp.install.checks.nodes_model import NODES
from asterisk_avp.install.files import NATS
from asterisk_avp.install.nats_conf import nats_conf
from asterisk_avp.install.nats_conf import remarks as nats_remarks
from asterisk_avp.install.trunks import missing, trunks_conf


def texts(settings: Settings, command: str, remarks: list[str]) -> dict[str, str]:
    """The text of each further file; none if there is one Asterisk.

    ``remarks`` receives what the administrator should know, a sentence each. Raises `CannotRender`.
    """
    if settings.cluster.node is None:
        return {}
    remarks += [*missing(settings), *nats_remarks(settings)]
    return {NODES: trunks_conf(settings, command), NATS: nats_conf(settings, command)}
