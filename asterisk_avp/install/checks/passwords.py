"""Are there passwords that an attacker would try first? No password is ever shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from asterisk_avp.install.asterisk_conf import Section
from asterisk_avp.install.checks.model import Facts, Finding, Severity

_ID = "password"
_SHORT: Final = 8
_SHORT_TOKEN: Final = 16
_KNOWN: Final = frozenset(
    {
        # from the demo, Asterisk's samples and defaults of distributions, and common ones
        *("choose-one", "choose-another", "a-long-random-token"),
        *("mysecret", "secret", "asterisk", "unsecurepassword", "amp111", "peekaboo", "mark"),
        *("password", "passw0rd", "password1", "changeme", "change-me", "change_me", "default"),
        *("admin", "root", "test", "guest", "user", "letmein", "qwerty", "welcome", "voip", "sip"),
        *("1234", "12345", "123456", "1234567", "12345678", "123456789", "1234567890", "0000"),
        *("1111", "4321", "000000", "111111", "abc123", "abcd1234"),
    }
)


def passwords(facts: Facts) -> Iterator[Finding]:
    found = [*_ours(facts), *_manager(facts), *_ari(facts), *_pjsip(facts)]
    yield from found
    if not found:
        yield Finding(_ID, Severity.OK, "no password is easy to guess")


def fault(password: str, names: Iterable[str]) -> str:
    """What is wrong with the password, in words that do not reveal it; or an empty string."""
    lower = password.lower()
    if not password:
        return "is empty"
    if lower in _KNOWN:
        return "is a well-known one"
    for name in filter(None, (name.lower() for name in names)):
        if lower in {name, name[::-1], name * 2}:
            return "is the name"
        rest = lower.replace(name, "", 1)
        if name in lower and (len(rest) < 4 or rest in _KNOWN):  # noqa: PLR2004 - pw-, 123, ...
            return "is little more than the name"
    if len(set(lower)) == 1:
        return "is a single character, repeated"
    return ""


def _ours(facts: Facts) -> Iterator[Finding]:
    for secret in facts.secrets:
        wrong = fault(secret.value, secret.names)
        if not wrong and "TOKEN" in secret.variable and len(secret.value) < _SHORT_TOKEN:
            wrong = f"has fewer than {_SHORT_TOKEN} characters"
        if wrong:
            severity = Severity.WARNING if secret.variable.endswith("__PIN") else Severity.ERROR
            line = f"# {secret.variable}=<output of: openssl rand -base64 24>"
            if secret.variable.endswith("__PIN"):
                line = f"# {secret.variable}_HASH=<output of: asterisk-avp pin-hash>"
            yield Finding(
                _ID,
                severity,
                f"{secret.variable} {wrong}",
                "Whoever guesses it can transfer calls in the name of others.",
                "the settings",
                (line,),
            )


def _manager(facts: Facts) -> Iterator[Finding]:
    for section in facts.file("manager.conf").sections:
        if section.template or section.name.lower() == "general" or not section.lines:
            continue
        yield from _one(section, "secret", "manager.conf", Severity.ERROR)


def _ari(facts: Facts) -> Iterator[Finding]:
    for section in facts.file("ari.conf").sections:
        if section.template or section.last("type").lower() != "user":
            continue
        if section.last("password_format", "plain").lower() == "plain":
            yield from _one(section, "password", "ari.conf", Severity.ERROR)


def _pjsip(facts: Facts) -> Iterator[Finding]:
    """Phones with the same fault share one finding."""
    weak: dict[str, list[Section]] = {}
    for section in facts.file("pjsip.conf").sections:
        if section.template or section.last("type").lower() != "auth":
            continue
        if section.last("auth_type", "userpass").lower() not in {"userpass", "digest"}:
            continue
        password = section.last("password")
        if not password and (section.all("password_digest") or section.all("md5_cred")):
            continue
        wrong = fault(password, (section.name, section.last("username")))
        if not wrong and len(password) < _SHORT:
            wrong = f"has fewer than {_SHORT} characters"
        if wrong:
            weak.setdefault(wrong, []).append(section)
    for wrong, sections in weak.items():
        names = ", ".join(f"[{section.name}]" for section in sections[:5])
        more = f" and {len(sections) - 5} more" if len(sections) > 5 else ""  # noqa: PLR2004
        serious = "fewer than" not in wrong and "little more" not in wrong
        yield Finding(
            _ID,
            Severity.ERROR if serious else Severity.WARNING,
            f"the password of {names}{more} {wrong}",
            "Whoever guesses it controls that phone: its calls, and every number that it may dial.",
            _place(sections[0], "password", "pjsip.conf"),
            ("; password = <output of: openssl rand -base64 24>",),
        )


def _one(section: Section, name: str, file: str, severity: Severity) -> Iterator[Finding]:
    wrong = fault(section.last(name), (section.name,))
    short = len(section.last(name)) < _SHORT
    if wrong or short:
        yield Finding(
            _ID,
            severity,
            f"the {name} of [{section.name}] {wrong or f'has fewer than {_SHORT} characters'}",
            "Whoever guesses it controls Asterisk's calls.",
            _place(section, name, file),
            (f"; {name} = <output of: openssl rand -base64 24>",),
        )


def _place(section: Section, name: str, file: str) -> str:
    lines = [line for line in section.lines if line.name.lower() == name]
    return str(lines[-1].place) if lines else f"{file} [{section.name}]"
