"""Would a standby daemon (`asterisk-avp run --standby`) take over, and be found?"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from asterisk_avp.install.checks.model import Facts, Finding, Severity, StandbyFacts

_ID: Final = "standby"
_QUESTIONS: Final = 3
"""How many times ``frozen_seconds`` pass at most before a frozen daemon is replaced."""


def standby(facts: Facts) -> Iterator[Finding]:
    given = facts.standby
    if given is None or given == StandbyFacts(
        orphan_seconds=given.orphan_seconds, api_port=given.api_port
    ):
        return
    found = [*_addresses(given, facts.addresses.agi), *_times(given)]
    yield from found
    if not found:
        yield Finding(_ID, Severity.OK, "the settings of the standby fit together")


def _addresses(given: StandbyFacts, agi: str) -> Iterator[Finding]:
    if not given.active_url:
        return
    parts = urlsplit(given.active_url)
    if _is_loopback(parts.hostname or "") and parts.port == given.api_port:
        yield Finding(
            _ID,
            Severity.WARNING,
            "AVP_STANDBY__ACTIVE_URL is this machine's own API",
            "It is for an active daemon on another machine. With it, the standby does not end a"
            " frozen daemon on this one, whose address it needs.",
            "the settings",
            ("# without AVP_STANDBY__ACTIVE_URL",),
        )
    elif _is_loopback(agi) and not given.agi_url:
        yield Finding(
            _ID,
            Severity.WARNING,
            f"the active daemon is on another machine, and FastAGI listens on {agi}",
            "One of the two is not on Asterisk's machine. When that one serves, Asterisk cannot ask"
            " it about dialled numbers, and refuses them.",
            "the settings",
            ("AVP_AGI__HOST=<an address that Asterisk reaches>", "AVP_STANDBY__AGI_URL=agi://…"),
        )


def _times(given: StandbyFacts) -> Iterator[Finding]:
    needed = _QUESTIONS * given.frozen_seconds
    if needed > given.orphan_seconds / 2:
        yield Finding(
            _ID,
            Severity.WARNING,
            f"a frozen daemon is replaced after up to {needed:g} s",
            f"After {given.orphan_seconds:g} s (AVP_SESSION__ORPHAN_SECONDS) without a daemon,"
            " callers in transfers are moved to the head of their group's queue.",
            "the settings",
            ("AVP_STANDBY__FROZEN_SECONDS=1",),
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
