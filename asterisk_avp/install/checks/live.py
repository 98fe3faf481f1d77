"""Do the daemon's users reach Asterisk, with the rights that it needs, and does the daemon run?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from asterisk_avp.core.pbx.ami_rights import ACTIONS, DANGEROUS, READ, WRITE
from asterisk_avp.core.pbx.guard import UNGUARDED
from asterisk_avp.install.asterisk_conf import Section
from asterisk_avp.install.checks.model import Facts, Finding, Severity

_ALL_RIGHTS: Final = "all"
EVENT_OF_CLASS: Final = {"call": "Hangup"}
"""For each event class that the self-test can test, an event that it raises and that the filters of
our user let through (`ami_rights.EVENTS`)."""
MOST_SECONDS: Final = 1.5
"""The accepted clock difference, in seconds. Asterisk reports whole seconds."""


def ami(facts: Facts) -> Iterator[Finding]:
    """Can the daemon log in to AMI, and does its user have the needed rights and no others?"""
    live = facts.live
    if live is None:
        yield from _by_file(facts)
        return
    if live.ami:
        yield Finding(
            "ami",
            Severity.ERROR,
            live.ami,
            "Without AMI there are no agent states and no transfers.",
            "manager.conf",
            (
                "; [general] needs enabled = yes and the port of AVP_AMI__PORT. To render the user",
                "; with its secret, and a permit for the daemon's address, into avp_manager.conf:",
                "; asterisk-avp render all --output FOLDER",
            ),
        )
        return
    yield Finding("ami", Severity.OK, "logged in to AMI")
    yield from _rights(facts, live.actions or frozenset())


def _by_file(facts: Facts) -> Iterator[Finding]:
    """Check the daemon's user in manager.conf, if Asterisk was not queried."""
    user = facts.addresses.ami_user
    section = facts.file("manager.conf").first(user) if user else None
    if section is None:
        return
    clean = True
    for name, needed in (("write", WRITE), ("read", READ)):
        has = {word.strip().lower() for word in section.last(name).split(",")}
        missing = [x for x in needed if x not in has and _ALL_RIGHTS not in has]
        if missing:
            clean = False
            yield Finding(
                "ami_rights",
                Severity.WARNING,
                f"[{user}] lacks {', '.join(missing)} in `{name}`",
                "Needed: " + "; ".join(f"{x} ({needed[x]})" for x in missing) + ".",
                _where(section, user, name),
                (f"{name} = {','.join(needed)}",),
            )
    if clean:
        yield Finding("ami_rights", Severity.OK, f"[{user}] has all classes that it needs")


def _rights(facts: Facts, actions: frozenset[str]) -> Iterator[Finding]:
    user = facts.addresses.ami_user
    section = facts.file("manager.conf").first(user)
    lacking = sorted(name for name in ACTIONS if ACTIONS[name] and name not in actions)
    excess = [DANGEROUS[name] for name in DANGEROUS if name in actions]
    write = f"write = {','.join(WRITE)}"
    read = f"read = {','.join(READ)}"
    clean = True
    if lacking:
        clean = False
        classes = [x for x in WRITE if any(x in ACTIONS[y] for y in lacking)]
        yield Finding(
            "ami_rights",
            Severity.ERROR,
            f"[{user}] may not send {', '.join(lacking)}",
            f"It needs the write classes {', '.join(classes)}: "
            + "; ".join(f"{name} ({WRITE[name]})" for name in classes)
            + ".",
            _where(section, user, "write"),
            (write,),
        )
    if excess:
        clean = False
        yield Finding(
            "ami_rights",
            Severity.WARNING,
            f"[{user}] has more rights than the daemon needs: {', '.join(excess)}",
            "Whoever obtains its secret can run commands or rewrite the configuration.",
            _where(section, user, "write"),
            (write,),
        )
    for finding in _read_rights(facts, section, user, read):
        clean = False
        yield finding
    if clean:
        yield Finding("ami_rights", Severity.OK, f"[{user}] has the rights it needs and no others")


def _read_rights(facts: Facts, section: Section | None, user: str, line: str) -> Iterator[Finding]:
    """Asterisk does not report read rights: take them from the file, or from the self-test."""
    missing: list[str] = []
    if section is not None:
        has = {word.strip().lower() for word in section.last("read").split(",")}
        missing = [name for name in READ if name not in has and _ALL_RIGHTS not in has]
    elif facts.live is not None and facts.live.selftest is not None and facts.live.selftest.ran:
        heard = facts.live.selftest.heard
        missing = [name for name, event in EVENT_OF_CLASS.items() if event not in heard]
    if missing:
        yield Finding(
            "ami_rights",
            Severity.ERROR,
            f"[{user}] does not receive events of {', '.join(missing)}",
            "Needed: " + "; ".join(f"{name} ({READ[name]})" for name in missing) + ".",
            _where(section, user, "read"),
            (line,),
        )


def _where(section: Section | None, user: str, name: str) -> str:
    lines = [line for line in section.lines if line.name.lower() == name] if section else []
    return str(lines[-1].place) if lines else f"manager.conf [{user}]"


def ari(facts: Facts) -> Iterator[Finding]:
    """Can the daemon use ARI, with write access?"""
    live = facts.live
    if live is None:
        return
    user = facts.addresses.ari_user
    if live.ari:
        yield Finding(
            "ari",
            Severity.ERROR,
            live.ari,
            "Without ARI, the daemon cannot take a call out of its queue for a transfer.",
            "ari.conf",
            (
                "; http.conf: [general] enabled = yes, bindaddr and bindport as in AVP_ARI__URL;",
                "; ari.conf: [general] enabled = yes, and the user. To render avp_ari.conf:",
                "; asterisk-avp render all --output FOLDER",
            ),
        )
    elif live.selftest is not None and live.selftest.refused:
        section = facts.file("ari.conf").first(user)
        lines = [x for x in section.lines if x.name.lower() == "read_only"] if section else []
        yield Finding(
            "ari",
            Severity.ERROR,
            f"[{user}] may not create a channel: {live.selftest.refused}",
            "The daemon makes consultations, and everything during them, through ARI.",
            str(lines[-1].place) if lines else f"ari.conf [{user}]",
            ("read_only = no",),
        )
    else:
        yield Finding("ari", Severity.OK, "ARI allows reading and writing")


def clock(facts: Facts) -> Iterator[Finding]:
    """Do the clocks of Asterisk and of this machine agree?"""
    if facts.live is None or facts.live.clock is None:
        return
    ahead = facts.live.clock
    if abs(ahead) <= MOST_SECONDS:
        yield Finding("clock", Severity.OK, "the clocks of Asterisk and of this machine agree")
        return
    yield Finding(
        "clock",
        Severity.ERROR,
        f"Asterisk's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} ours",
        "The daemon computes the end of after-call work from Asterisk's times. It would show agents"
        " as available too early or too late.",
        "",
        ("# on both machines: timedatectl set-ntp true",),
    )


def daemon(facts: Facts) -> Iterator[Finding]:
    """Does the daemon run, and is it ready for transfers?"""
    if facts.live is None:
        return
    state = facts.live.daemon
    if state is None:
        yield Finding(
            "daemon",
            Severity.ERROR,
            "the daemon does not answer at its API",
            "Calls still reach agents, but nobody can transfer them until the daemon runs.",
            "",
            ("# systemctl start asterisk-avp, or asterisk-avp run; journalctl -u asterisk-avp",),
        )
    elif state.get("ready") is not True:
        yield Finding(
            "daemon",
            Severity.ERROR,
            f"the daemon runs but is not ready: {state.get('detail') or 'it gives no reason'}",
            "It accepts no transfers until it is ready. Its log says what it is waiting for.",
            "",
            ("# journalctl -u asterisk-avp",),
        )
    else:
        yield Finding("daemon", Severity.OK, "the daemon is ready for transfers")
    warnings = state.get("warnings") if state is not None else None
    for sentence in warnings if isinstance(warnings, list) else ():
        if UNGUARDED in str(sentence):
            continue  # `transfer_button` reports each phone
        yield Finding(
            "daemon_limits",
            Severity.WARNING,
            str(sentence),
            "Clients that open many connections could cut the daemon off from Asterisk, and agents"
            " off from the panel.",
            "asterisk-avp.service [Service]",
            ("LimitNOFILE=65536",),
        )


def agi(facts: Facts) -> Iterator[Finding]:
    """Does Asterisk reach the daemon's FastAGI, which checks numbers dialled on phones?"""
    live = facts.live
    if live is None or live.selftest is None or live.selftest.refused:
        return
    test = live.selftest
    if not test.ran or live.daemon is None:
        return  # `dialplan` and `daemon` report it
    if test.answer:
        yield Finding("agi", Severity.OK, f"Asterisk reaches the daemon at {test.address}")
        return
    yield Finding(
        "agi",
        Severity.ERROR,
        f"Asterisk does not reach the daemon at {test.address} ({test.agi or 'no answer'})",
        "External numbers that agents dial on phones in the context avp-agents are all refused.",
        "extensions.conf",
        (
            "[globals](+)",
            f"AVP_AGI = agi://{_reachable(facts.addresses.agi)}:{facts.addresses.agi_port}",
        ),
    )


def _reachable(host: str) -> str:
    everywhere = {"0.0.0.0", "::"}  # noqa: S104 - compared, not listened on
    return "<the daemon's address>" if host in everywhere else host
