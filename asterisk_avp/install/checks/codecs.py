"""Do phones with different codecs hear one another after a transfer?

Debian's packages carry ``2016_opus_plc.patch`` (translate.c), as do packages made from them; all of
them have ``dfsg`` and ``~cs`` in their version. It drops packets of a new partner. The dialplan's
avp-translation makes up for it where a translator is between two formats of G.711. Between others,
signed linear is a step of its own with translators that stay, unless ``transcode_via_sln`` is off;
and with ``genericplc`` such a step is there even where nothing else is to be translated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from asterisk_avp.install.asterisk_conf import Section, is_true
from asterisk_avp.install.checks.agents import endpoints
from asterisk_avp.install.checks.model import Facts, Finding, Severity
from asterisk_avp.install.checks.replaces import denies_all

_ID: Final = "codecs"
_G711: Final = frozenset({"ulaw", "alaw", "g711u", "g711a"})
_PATCHED: Final = (
    "This package of Asterisk has Debian's 2016_opus_plc.patch, which lets a party hear nothing"
    " after a change of partner. The dialplan makes up for it between ulaw and alaw; with other"
    " codecs it needs this setting as well. Restart Asterisk afterwards."
)


def is_patched(version: str) -> bool:
    """Whether Asterisk's version string is that of a package with Debian's patch."""
    return "dfsg" in version and "~cs" in version


def codecs(facts: Facts) -> Iterator[Finding]:
    if facts.version is None or not is_patched(facts.version):
        return
    found = endpoints(facts.file("pjsip.conf")).values()
    spoken = {codec for each in found if not denies_all(each) for codec in _allowed(each)}
    if spoken <= _G711 or len(spoken) == 1:
        yield Finding(_ID, Severity.OK, f"codecs: {', '.join(sorted(spoken)) or 'none'}")
        return
    others = sorted(spoken - _G711)
    faults = list(_settings(facts, others))
    yield from faults
    if not faults:
        yield Finding(_ID, Severity.OK, f"codecs: {', '.join(sorted(spoken))}, with Debian's patch")


def _settings(facts: Facts, others: Iterable[str]) -> Iterator[Finding]:
    shown = ", ".join(others)
    for file, section, name, wanted, default in (
        ("asterisk.conf", "options", "transcode_via_sln", "no", "yes"),
        ("codecs.conf", "plc", "genericplc", "false", "no"),
    ):
        values = [x.last(name) for x in facts.file(file).named(section) if x.last(name)]
        if is_true(values[-1] if values else default):
            yield Finding(
                _ID,
                Severity.WARNING,
                f"{name} is on, and phones or trunks use {shown}",
                _PATCHED,
                file,
                (f"[{section}]", f"{name} = {wanted}"),
            )


def _allowed(endpoint: Section) -> set[str]:
    """The codecs that an endpoint allows, as Asterisk reads it (format_cap.c)."""
    found: set[str] = set()
    for line in endpoint.lines:
        words = [word.strip().lower() for word in line.value.split(",")]
        if line.name.lower() == "disallow":
            found = set() if "all" in words else found - set(words)
        if line.name.lower() == "allow":
            for word in words:
                if word == "!all":
                    found = set()
                elif word.startswith("!"):
                    found.discard(word[1:])
                elif word:
                    found.add(word.partition(":")[0])
    return found
