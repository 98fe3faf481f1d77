"""Do other codes of features.conf conflict with the agents' transfer code?

Asterisk runs the first code that the pressed keys match, immediately (bridge_channel.c,
ast_bridge_channel_feature_digit). If one code begins with another, the longer one never runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from asterisk_avp.install.asterisk_conf import Conf
from asterisk_avp.install.checks.dialplan import assignments, calls, letters_of
from asterisk_avp.install.checks.model import Facts, Finding, Severity

_ID = "feature_code"
_EVENT = "AVPFeature"
"""The event that our own entry of [applicationmap] raises."""
_DEFAULTS = {"blindxfer": "#", "disconnect": "*"}
"""Codes that exist without a line for them (features_config.c)."""
_ENABLED_BY = {"blindxfer": "tT", "disconnect": "hH"}
"""The options of Dial() and Queue() that enable each code."""
_ALTERNATIVES = {
    "blindxfer": "#1",
    "disconnect": "*0",
    "atxfer": "*2",
    "parkcall": "#72",
    "automixmon": "*3",
}
"""The codes in Asterisk's sample features.conf."""


@dataclass(frozen=True, slots=True)
class _Code:
    name: str
    keys: str
    where: str
    section: tuple[str, ...] = ()
    """The section header for the fix, if the file has no line for this code."""


def feature_codes(facts: Facts) -> Iterator[Finding]:
    ours = facts.feature_code
    clean = True
    if not ours:
        yield Finding(_ID, Severity.OK, "no transfer code is set")
        return
    for code in (*_codes(facts.file("features.conf")), *_defaults(facts)):
        if not _conflict(code.keys, ours):
            continue
        clean = False
        yield Finding(
            _ID,
            Severity.ERROR,
            f"{code.name} is {code.keys}, which conflicts with the transfer code {ours}",
            "Asterisk runs the shorter code before the longer one is complete, and only one of two"
            " equal codes.",
            code.where,
            (*code.section, _other(code.name, ours)),
        )
    if clean:
        yield Finding(_ID, Severity.OK, f"no other code conflicts with {ours}")


def _conflict(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _other(name: str, ours: str) -> str:
    keys = _ALTERNATIVES.get(name)
    if keys is None or _conflict(keys, ours):
        return f"; change the code of {name}: neither it nor {ours} may begin with the other"
    return f"{name} => {keys}"


def _codes(conf: Conf) -> Iterator[_Code]:
    """The codes in the file: built-in features, applications, and groups of applications."""
    for section in conf.sections:
        if section.template or section.name.lower() == "general":
            continue
        for line in section.lines:
            keys = line.value.split(",")[0].strip()
            if keys and _EVENT not in line.value:
                yield _Code(line.name, keys, str(line.place))


def _defaults(facts: Facts) -> Iterator[_Code]:
    """The default codes without a line in the file, if the dialplan enables them."""
    features, dialplan = facts.file("features.conf"), facts.dialplan()
    written = {line.name for section in features.named("featuremap") for line in section.lines}
    section = "[featuremap](+)" if any(features.named("featuremap")) else "[featuremap]"
    values = assignments(dialplan)
    for name, keys in _DEFAULTS.items():
        if name in written:
            continue
        for call in calls(dialplan):
            if letters_of(call.options, values).found & set(_ENABLED_BY[name]):
                yield _Code(name, keys, "features.conf", (section,))
                break
