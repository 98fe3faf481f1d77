"""Who can sign in to the panel as any agent, and where can the panel be embedded?"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from asterisk_avp.install.checks.model import Facts, Finding, Severity

_ID = "panel"


def panel(facts: Facts) -> Iterator[Finding]:
    if facts.panel is None or not (facts.panel.user_header or facts.panel.frame_ancestors):
        return
    found = [*_sign_on(facts), *_frames(facts)]
    yield from found
    if not found:
        yield Finding(
            _ID, Severity.OK, "only the proxy can name the panel's users, as far as known"
        )


def _sign_on(facts: Facts) -> Iterator[Finding]:
    given = facts.panel
    if given is None or not given.user_header or given.secret:
        return
    if not any(_includes_loopback(network) for network in given.proxies):
        return
    others = ", ".join(given.other_users[:5]) + (", …" if len(given.other_users) > 5 else "")  # noqa: PLR2004
    if others:
        severity, which = Severity.ERROR, f"users of this machine ({others})"
    elif given.named:
        return
    else:
        severity, which = Severity.WARNING, "any program on this machine"
    yield Finding(
        _ID,
        severity,
        f"{which} can sign in to the panel as any agent",
        f"The daemon reads {given.user_header} from every connection of this machine"
        + ("." if given.named else ", because AVP_API__TRUSTED_PROXIES names no proxy.")
        + " Share a secret with the proxy, or trust only the address of a proxy elsewhere.",
        "the settings",
        ("# AVP_PANEL__USER_HEADER_SECRET=<output of: openssl rand -hex 32>",),
    )


def _frames(facts: Facts) -> Iterator[Finding]:
    if facts.panel is None or not facts.panel.frame_ancestors:
        return
    if not _includes_only_loopback(facts.addresses.api):
        yield Finding(
            _ID,
            Severity.WARNING,
            "the panel is to be embedded, but can also be reached without TLS on"
            f" {facts.addresses.api}",
            "No page can embed it there, since a browser keeps the cookie of a frame only over"
            " https. Agents must use the proxy's address.",
            "the settings",
            ("AVP_API__HOST=127.0.0.1",),
        )


def _includes_loopback(network: str) -> bool:
    found = ipaddress.ip_network(network, strict=False)
    here = "127.0.0.0/8" if found.version == 4 else "::1/128"  # noqa: PLR2004
    return found.overlaps(ipaddress.ip_network(here))


def _includes_only_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
