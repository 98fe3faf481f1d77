"""Do other codes of features.conf get in the way of the agents' transfer code?

Asterisk runs the first code that the pressed keys match, as soon as they do (bridge_channel.c,
ast_bridge_channel_feature_digit). So of two codes of which one begins with the other, the longer
one can never be pressed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from asterisk_avp.install.asterisk_conf import Conf
from asterisk_avp.install.checks.dialplan import assignments, calls, letters_of
from asterisk_avp.install.checks.model import Facts, Finding, Severity

_ID = "feature_code"
_OURS = "AVPFeature"
"""What our own entry of [applicationmap] holds: the event that it raises."""
_DEFAULTS = {"blindxfer": "#", "disconnect": "*"}
"""Codes that are there without a line for them (features_config.c)."""
_SWITCHED_ON_BY = {"blindxfer": "tT", "disconnect": "hH"}
"""Options of Dial() and Queue()."""
_OTHERS = {
    "blindxfer": "#1",
    "disconnect": "*0",
    "atxfer": "*2",
    "parkcall": "#72",
    "automixmon": "*3",
}
"""What Asterisk's own sample of features.conf proposes."""


@dataclass(frozen=True, slots=True)
class _Code:
    name: str
    keys: str
    where: str
    section: tuple[str, ...] = ()
    """The line before it, where it is none of the file's lines yet."""


def feature_codes(facts: Facts) -> Iterator[Finding]:
    ours = facts.feature_code
    clean = True
    if not ours:
        yield Finding(_ID, Severity.OK, "there is no transfer code")
        return
    for code in (*_codes(facts.file("features.conf")), *_defaults(facts)):
        if not _clash(code.keys, ours):
            continue
        clean = False
        yield Finding(
            _ID,
            Severity.ERROR,
            f"{code.name} is {code.keys}, which clashes with the transfer code {ours}",
            "Asterisk runs the shorter code before the longer one is complete; of two equal ones it"
            " runs only one.",
            code.where,
            (*code.section, _other(code.name, ours)),
        )
    if clean:
        yield Finding(_ID, Severity.OK, f"no other code clashes with {ours}")


def _clash(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _other(name: str, ours: str) -> str:
    keys = _OTHERS.get(name)
    if keys is None or _clash(keys, ours):
        return f"; {name} with another code, one that neither begins {ours} nor begins with it"
    return f"{name} => {keys}"


def _codes(conf: Conf) -> Iterator[_Code]:
    """What is written there: built-in features, applications, and groups of applications."""
    for section in conf.sections:
        if section.template or section.name.lower() == "general":
            continue
        for line in section.lines:
            keys = line.value.split(",")[0].strip()
            if keys and _OURS not in line.value:
                yield _Code(line.name, keys, str(line.place))


def _defaults(facts: Facts) -> Iterator[_Code]:
    """Those without a line, where the dialplan switches them on."""
    features, dialplan = facts.file("features.conf"), facts.dialplan()
    written = {line.name for section in features.named("featuremap") for line in section.lines}
    section = "[featuremap](+)" if any(features.named("featuremap")) else "[featuremap]"
    values = assignments(dialplan)
    for name, keys in _DEFAULTS.items():
        if name in written:
            continue
        for call in calls(dialplan):
            if letters_of(call.options, values).found & set(_SWITCHED_ON_BY[name]):
                yield _Code(name, keys, "features.conf", (section,))
                break
