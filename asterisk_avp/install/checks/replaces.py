"""Can anybody take over a party of somebody else's call with an INVITE with Replaces (RFC 3891)?

Asterisk answers such an INVITE before the dialplan runs (res_pjsip_refer.c,
refer_incoming_invite_request). Before that, it identifies the sender, authenticates it if the
endpoint has an `auth` (pjsip_distributor.c, authenticate), and requires that the extension exists
in the endpoint's context; `pickupexten` exists in every context (res_pjsip_session.c,
get_destination). The remedy: identify every such INVITE as an endpoint that nobody can log in to
and that has no extensions.

The files show whether this is set up; `Live.sip` has Asterisk's answers.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator
from typing import Final

from asterisk_avp.install.asterisk_conf import Conf, Section
from asterisk_avp.install.checks.agents import endpoints
from asterisk_avp.install.checks.mend import addition
from asterisk_avp.install.checks.methods import extensions
from asterisk_avp.install.checks.model import Attempt, Facts, Finding, Severity
from asterisk_avp.install.checks.passwords import fault
from asterisk_avp.install.checks.pjsip import NO_REPLACES, order_lines, order_of
from asterisk_avp.install.checks.sip import auth_names, auths, pickup_extension, transports

_ID: Final = "invite_replaces"
_WHY: Final = (
    "The sender of an INVITE with Replaces takes the place of a party of any call. Neither the"
    " dialplan nor allow_transfer nor PJSIP_TRANSFER_HANDLING applies to it."
)
_SAMPLE: Final = "a84b4c76e66710@192.0.2.1;to-tag=7743;from-tag=6472"
"""An example of the value of a Replaces header."""
_SHORT: Final = 16
"""The minimum length here: nobody needs to type this password."""
_DENY: Final = ("deny = 0.0.0.0/0.0.0.0", "deny = ::/0")
_AUTH_TYPES: Final = frozenset({"userpass", "digest", "md5"})
_REFUSED: Final = frozenset({400, 401, 403, 404, 405, 407, 413, 420, 484, 501, 513})
"""Answers before Asterisk looks up the dialog that Replaces names: about the log-in, the extension
or the message itself (RFC 3261 section 21.4), and 420 without res_pjsip_refer."""
_OBEYED: Final = frozenset({415, 481, 488})
"""481: no such dialog. The other two are about the media, which Asterisk checks after the log-in
and the extension (res_pjsip_session.c, new_invite): with other media it looks up the dialog."""


def replaces(facts: Facts) -> Iterator[Finding]:
    """Is every INVITE with Replaces identified as an endpoint that nobody can use?"""
    conf = facts.file("pjsip.conf")
    found = [*_static(facts)] if conf.found else []
    found += _answers(facts)
    yield from found
    tried = facts.live is not None and facts.live.sip is not None and facts.live.sip.attempts
    if (conf.found or tried) and not found:
        yield Finding(_ID, Severity.OK, "INVITE with Replaces is refused")


def _static(facts: Facts) -> Iterator[Finding]:
    conf = facts.file("pjsip.conf")
    order = [word.strip() for word in order_of(conf).split(",")]
    if order[0] != "header":
        lines = order_lines(conf)
        what = f"endpoint_identifier_order is {','.join(order)}, which does not begin with header"
        yield Finding(_ID, Severity.ERROR, what, _WHY, "pjsip.conf", lines)
    known = endpoints(conf)
    catching = [known.get(section.last("endpoint")) for section in _identifies(conf)]
    if not any(catching):
        what = "no identify section catches an INVITE with Replaces"
        yield Finding(_ID, Severity.ERROR, what, _WHY, "pjsip.conf", NO_REPLACES)
    else:
        yield from _other_headers(conf, {x.name for x in catching if x is not None})
    for endpoint in filter(None, dict.fromkeys(x.name if x else "" for x in catching)):
        yield from _endpoint(facts, known[endpoint])


def _endpoint(facts: Facts, endpoint: Section) -> Iterator[Finding]:
    """Check the endpoint that INVITEs with Replaces are identified as."""
    context = endpoint.last("context", "default")
    overlap = endpoint.last("overlap_context")
    for name, value in (("context", context), ("overlap_context", overlap)):
        if value and extensions(facts, value):
            what = f"the {name} {value} of [{endpoint.name}] has extensions"
            line = f"{name} = avp-nowhere"
            yield Finding(_ID, Severity.ERROR, what, _WHY, "pjsip.conf", addition(endpoint, line))
    pickup = pickup_extension(facts.file("features.conf"))
    why = f"{_WHY} {pickup or 'pickupexten'} is an extension in every context (features.conf)."
    if denies_all(endpoint):
        return
    wanted = auth_names(endpoint)
    found = {section.name: section for section in auths(facts.file("pjsip.conf"), wanted)}
    subject = f"[{endpoint.name}], which INVITEs with Replaces are identified as,"
    lines = tuple(line for deny in _DENY for line in addition(endpoint, deny))
    if not wanted:
        what = f"{subject} neither denies all addresses nor has an auth"
        yield Finding(_ID, Severity.ERROR, what, why, "pjsip.conf", lines)
    for name in wanted:
        section = found.get(name)
        weak = _weakness(section) if section is not None else "is not in pjsip.conf"
        if weak:
            what = f"{subject} does not deny all addresses, and its auth [{name}] {weak}"
            yield Finding(_ID, Severity.ERROR, what, why, "pjsip.conf", lines)


def denies_all(endpoint: Section) -> bool:
    """Whether the endpoint denies all addresses.

    Asterisk then challenges with an artificial endpoint that has no password (pjsip_distributor.c,
    apply_acls and artificial_endpoint). The last rule that an address matches wins (acl.c,
    ast_apply_ha).
    """
    denied: set[int] = set()
    for line in endpoint.lines:
        name = line.name.lower()
        if name not in {"deny", "permit"}:
            continue
        for word in line.value.split(","):
            try:
                network = ipaddress.ip_network(word.strip(), strict=False)
            except ValueError:
                network = None
            if name == "permit":
                denied -= {network.version} if network is not None else {4, 6}
            elif network is not None and network.prefixlen == 0:
                denied.add(network.version)
    return denied == {4, 6}


def _weakness(auth: Section) -> str:
    """Why somebody could pass this log-in, in words; an empty string if nobody can."""
    if auth.last("auth_type", "userpass").lower() not in _AUTH_TYPES:
        return f"has auth_type {auth.last('auth_type')}, which asks for no password"
    password = auth.last("password")
    if not password and (auth.last("password_digest") or auth.last("md5_cred")):
        return ""
    wrong = fault(password, (auth.name, auth.last("username")))
    if wrong or len(password) < _SHORT:
        return f"has a password that {wrong or f'has fewer than {_SHORT} characters'}"
    return ""


def _other_headers(conf: Conf, catching: Collection[str]) -> Iterator[Finding]:
    """Check identify sections that match another header.

    If a request matches several sections, Asterisk takes the first in the order of a hash of their
    names (res_sorcery_config.c; common_identify): an INVITE with both headers may be identified as
    the other endpoint.
    """
    known = endpoints(conf)
    for section in _all_identifies(conf):
        name = section.last("match_header").partition(":")[0].strip()
        endpoint = known.get(section.last("endpoint"))
        if not name or name.lower() == "replaces" or endpoint is None:
            continue
        if endpoint.name in catching or denies_all(endpoint):
            continue
        lines = [x for x in section.lines if x.name.lower() == "match_header"]
        yield Finding(
            _ID,
            Severity.ERROR,
            f"[{section.name}] identifies [{section.last('endpoint')}] by the header {name}, which"
            " anybody can send along with Replaces",
            f"{_WHY} A hash of the names decides which of two matching sections wins.",
            str(lines[-1].place) if lines else "pjsip.conf",
            ("match = <the address that the requests come from>",),
        )


# --- what Asterisk answers ----------------------------------------------------------------------


def _answers(facts: Facts) -> Iterator[Finding]:
    if facts.live is None or facts.live.sip is None:
        return
    test = facts.live.sip
    for attempt in test.attempts:
        yield from _answer(facts, attempt)
    for what in dict.fromkeys(test.untried):
        yield Finding(
            _ID,
            Severity.WARNING,
            f"INVITE with Replaces was not tested: {what}",
            "Only the files were checked. Asterisk's answer is unknown.",
            "pjsip.conf",
        )


def _answer(facts: Facts, attempt: Attempt) -> Iterator[Finding]:
    """What one answer means. If a large INVITE is not answered, a firewall dropped it."""
    status = attempt.answer
    if status in _REFUSED or (status is None and attempt.large):
        return
    who = f"[{attempt.sender}]" if attempt.sender else "somebody without an account"
    size = " of more than 4 kB" if attempt.large else ""
    sent = (
        f"{attempt.address}: an INVITE to {attempt.dialled} with a Replaces header{size} by {who}"
    )
    if status is None or not (status in _OBEYED or status < 300 or status >= 600):  # noqa: PLR2004
        what = f"{sent} is answered {status}" if status else f"{sent} is not answered"
        why = "It is unknown whether Asterisk refuses or obeys it."
        yield Finding(_ID, Severity.WARNING, what, why, "pjsip.conf")
    elif attempt.large:
        local = _local(facts, attempt.address)
        yield Finding(
            _ID,
            Severity.WARNING if local else Severity.ERROR,
            f"{sent} is obeyed ({status})",
            f"{_WHY} Asterisk's match_header skips a header of more than 4,095 bytes, and no"
            f" setting limits its size{'. Only this machine can reach the transport' * local}.",
            "",
            _firewall(attempt.address),
        )
    else:
        yield Finding(
            _ID,
            Severity.ERROR,
            f"{sent} is obeyed ({status})",
            _WHY,
            "pjsip.conf",
            (
                "; fix the other findings of invite_replaces first. If there are none, Asterisk",
                "; did not read the file; it applies endpoint_identifier_order only at its start:",
                "; asterisk -rx 'core restart when convenient'",
            ),
        )


def _firewall(address: str) -> tuple[str, ...]:
    protocol, _, place = address.partition(" ")
    port = place.rpartition(":")[2]
    off = (
        "# or in modules.conf, which also disables Replaces and the phones' Transfer button:",
        "noload = res_pjsip_refer.so",
    )
    if protocol == "udp":
        return (
            "# in the firewall of Asterisk's machine, /etc/nftables.conf:",
            "table inet asterisk_avp {",
            "    chain sip {",
            "        type filter hook prerouting priority -300; policy accept;",
            f"        udp dport {port} udp length > 4096 counter drop",
            "    }",
            "}",
            *off,
        )
    return (
        f"# over {protocol.upper()}, a firewall cannot see the length of a header. Remove Replaces",
        "# in a session border controller, or remove this transport, use UDP only and a firewall,",
        *off,
    )


def _local(facts: Facts, address: str) -> bool:
    known = transports(facts.file("pjsip.conf"), "")
    return any(x.local and str(x) == address for x in known)


# --- sections -----------------------------------------------------------------------------------


def _all_identifies(conf: Conf) -> Iterator[Section]:
    for section in conf.sections:
        if not section.template and section.last("type").lower() == "identify":
            yield section


def _identifies(conf: Conf) -> Iterator[Section]:
    """The identify sections that match every Replaces header."""
    for section in _all_identifies(conf):
        name, _, value = section.last("match_header").partition(":")
        if name.strip().lower() == "replaces" and _matches(value.strip()):
            yield section


def _matches(value: str) -> bool:
    if not (len(value) > 1 and value.startswith("/") and value.endswith("/")):
        return False
    try:
        return re.search(value[1:-1], _SAMPLE) is not None
    except re.error:
        return False
