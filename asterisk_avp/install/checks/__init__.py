"""The checks of `asterisk-avp check`: does this Asterisk's set-up enforce the transfer rules?

A check is a function from `Facts` to `Finding`s; `CHECKS` lists them in display order. Each check
that applies returns either problems or one finding of severity ``ok``. The command line collects
the facts; no check reads a file or queries a server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from asterisk_avp.install.checks import live, node_members, node_peers, nodes
from asterisk_avp.install.checks.ami_filter import event_filters
from asterisk_avp.install.checks.codecs import codecs
from asterisk_avp.install.checks.dead_phones import dead_phones
from asterisk_avp.install.checks.dialplan import transfer_options
from asterisk_avp.install.checks.exposure import exposure
from asterisk_avp.install.checks.features import feature_codes
from asterisk_avp.install.checks.files import readable_files, valid_settings
from asterisk_avp.install.checks.foreign import foreign_values
from asterisk_avp.install.checks.forwarding import forwarding
from asterisk_avp.install.checks.hangup import hangup_extensions
from asterisk_avp.install.checks.methods import messages, publications
from asterisk_avp.install.checks.model import Facts, Finding
from asterisk_avp.install.checks.override import overridden
from asterisk_avp.install.checks.panel import panel
from asterisk_avp.install.checks.parts import contexts, modules, rendered, sounds
from asterisk_avp.install.checks.passwords import passwords
from asterisk_avp.install.checks.pjsip import agents_endpoints
from asterisk_avp.install.checks.queues import (
    group_queues,
    personal_queues,
    queue_recordings,
    queue_settings,
)
from asterisk_avp.install.checks.refer import refers
from asterisk_avp.install.checks.replaces import replaces
from asterisk_avp.install.checks.standby import standby
from asterisk_avp.install.checks.version import version

Check = Callable[[Facts], Iterable[Finding]]

CHECKS: tuple[Check, ...] = (
    valid_settings,
    readable_files,
    version,
    live.ami,
    event_filters,
    live.ari,
    live.daemon,
    live.agi,
    live.clock,
    modules,
    contexts,
    rendered,
    sounds,
    group_queues,
    queue_settings,
    queue_recordings,
    personal_queues,
    agents_endpoints,
    dead_phones,
    codecs,
    refers,
    replaces,
    messages,
    publications,
    transfer_options,
    forwarding,
    overridden,
    hangup_extensions,
    foreign_values,
    feature_codes,
    exposure,
    panel,
    passwords,
    nodes.trunk_settings,
    nodes.trunks,
    node_peers.apis,
    node_peers.certificates,
    nodes.nats,
    nodes.same,
    node_members.static_members,
    standby,
)


def run(facts: Facts) -> list[Finding]:
    """The findings of all checks."""
    return [finding for check in CHECKS for finding in check(facts)]
