"""Are AMI, ARI, the API or FastAGI exposed without need?"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from asterisk_avp.install.asterisk_conf import Conf, Section, is_true
from asterisk_avp.install.checks.model import Facts, Finding, Severity

_ID = "exposure"


def exposure(facts: Facts) -> Iterator[Finding]:
    found = [
        *_manager(facts),
        *_writers(facts),
        *_http(facts),
        *_ours(facts),
        *_in_the_clear(facts),
    ]
    yield from found
    if not found:
        yield Finding(_ID, Severity.OK, "nothing is exposed to other machines without need")


def _manager(facts: Facts) -> Iterator[Finding]:
    conf = facts.file("manager.conf")
    general = conf.first("general")
    if general is None or not is_true(general.last("enabled")):
        return
    bound = general.last("bindaddr") or "::"  # Asterisk's own default (manager.c)
    if _loopback(bound):
        return
    where = _line(general, "bindaddr", "manager.conf [general]")
    mend = ("bindaddr = 127.0.0.1",)
    unlimited = [s.name for s in _users(conf) if not any(map(s.all, ("permit", "deny", "acl")))]
    if unlimited:
        yield Finding(
            _ID,
            Severity.ERROR,
            f"AMI listens on {bound} and [{'], ['.join(unlimited)}] may connect from anywhere",
            "Only a password protects Asterisk's calls from the network.",
            where,
            mend,
        )
    elif not is_true(general.last("tlsenable")):
        yield Finding(
            _ID,
            Severity.WARNING,
            f"AMI listens on {bound} without TLS",
            "Others can read secrets and telephone numbers on the network. Only the users' permit"
            " lines restrict access.",
            where,
            mend,
        )


def _users(conf: Conf) -> Iterator[Section]:
    for section in conf.sections:
        if not section.template and section.name.lower() != "general":
            yield section


def _writers(facts: Facts) -> Iterator[Finding]:
    """AMI users of other programs that may act and may connect from other machines."""
    conf = facts.file("manager.conf")
    general = conf.first("general")
    if general is None or not is_true(general.last("enabled")):
        return
    if _loopback(general.last("bindaddr") or "::"):
        return
    for user in _users(conf):
        classes = [x.strip() for x in user.last("write").lower().split(",") if x.strip()]
        limited = any(map(user.all, ("permit", "deny", "acl")))  # else `_manager` reports it
        if user.name == facts.addresses.ami_user or not classes or not limited:
            continue
        if _only_from_here(user):
            continue
        worst = [x for x in classes if x in _PROGRAMS]
        can = "run programs on Asterisk's machine" if worst else "move and end calls"
        yield Finding(
            "ami_users",
            Severity.WARNING,
            f"[{user.name}] may write ({', '.join(worst or classes)}) from other machines",
            f"Whoever has its secret, or can read the connection, can {can}, past every rule.",
            _line(user, "write", f"manager.conf [{user.name}]"),
            ("write =", "; or permit = 127.0.0.1/255.255.255.255 for a program on this machine"),
        )


def _only_from_here(user: Section) -> bool:
    """Whether all addresses are denied and only loopback is permitted."""
    denied = False
    for line in user.lines:
        name = line.name.lower()
        if name == "deny":
            denied |= line.value.strip() in {"0.0.0.0/0.0.0.0", "0.0.0.0/0"}
        elif name == "acl":
            return False
        elif name == "permit":
            for word in line.value.split(","):
                if not _loopback(word.strip().partition("/")[0]):
                    return False
    return denied


_PROGRAMS = frozenset({"all", "system", "command", "config", "originate", "dialplan"})
"""Classes whose actions can run arbitrary programs (manager.c)."""


def _http(facts: Facts) -> Iterator[Finding]:
    general = facts.file("http.conf").first("general")
    ari = facts.file("ari.conf").first("general")
    if general is None or not is_true(general.last("enabled")):
        return
    if ari is not None and not is_true(ari.last("enabled", "yes")):
        return
    bound = general.last("bindaddr") or "::"
    if not _loopback(bound):
        yield Finding(
            _ID,
            Severity.ERROR,
            f"ARI listens on {bound} without TLS",
            "Only a password protects Asterisk's calls, and it crosses the network in clear text.",
            _line(general, "bindaddr", "http.conf [general]"),
            ("bindaddr = 127.0.0.1",),
        )


def _ours(facts: Facts) -> Iterator[Finding]:
    given = facts.addresses
    if not _loopback(given.api):
        yield Finding(
            _ID,
            Severity.WARNING,
            f"the daemon's API listens on {given.api} without TLS",
            "Others can read tokens, PINs and screen pops on the network.",
            "the settings",
            ("AVP_API__HOST=127.0.0.1", "# and put a reverse proxy with TLS in front of it"),
        )
    if not _loopback(given.agi):
        local = _loopback(given.ami)
        yield Finding(
            _ID,
            Severity.ERROR if local else Severity.WARNING,
            f"the daemon's FastAGI listens on {given.agi}",
            "FastAGI has no passwords: whoever reaches the port learns which numbers an agent may"
            " dial." + ("" if local else " Use a firewall so that only Asterisk can connect."),
            "the settings",
            ("AVP_AGI__HOST=127.0.0.1",) if local else ("AVP_AGI__HOST=<an internal address>",),
        )


def _in_the_clear(facts: Facts) -> Iterator[Finding]:
    given = facts.addresses
    url = urlsplit(given.ari)
    connections = []
    if not _loopback(given.ami):
        connections.append(f"AMI to {given.ami}")
    if url.scheme == "http" and not _loopback(url.hostname or ""):
        connections.append(f"ARI to {url.hostname}")
    if connections:
        yield Finding(
            _ID,
            Severity.WARNING,
            f"{' and '.join(connections)}: our passwords cross the network in clear text",
            "Whoever reads them can control calls as the daemon does.",
            "the settings",
            ("# run the daemon on Asterisk's machine, or use a tunnel (WireGuard, ssh -L)",),
        )


def _line(section: Section, name: str, default: str) -> str:
    lines = [line for line in section.lines if line.name.lower() == name]
    return str(lines[-1].place) if lines else default


def _loopback(host: str) -> bool:
    """Whether an address, with or without a port, is a loopback address."""
    bare = host.strip().removeprefix("[")
    bare = bare.partition("]")[0] if "]" in bare else bare
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    if bare.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False
