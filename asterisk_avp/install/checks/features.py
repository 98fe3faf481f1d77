"""Do other codes of features.conf conflict with the agents' transfer code?

Asterisk runs the first code that the pressed keys match, immediately (bridge_channel.c,
ast_bridge_channel_feature_digit). If one code begins with another, the longer one never runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from asterisk_avp.install.asterisk_conf import Conf, members
from asterisk_avp.install.checks.agents import endpoints
from asterisk_avp.install.checks.dialplan import assignments, calls, letters_of
from asterisk_avp.install.checks.model import Facts, Finding, Severity
from asterisk_avp.install.dialplan_text import steps

_ID = "feature_code"
_EVENT = "AVPFeature"
"""The event that our own entry of [applicationmap] raises."""
_DEFAULTS = {"blindxfer": "#", "disconnect": "*"}
"""Codes that exist without a line for them (features_config.c)."""
_ENABLED_BY = {
    "blindxfer": "tT",
    "disconnect": "hH",
    "parkcall": "kK",
    "automixmon": "xX",
}
"""The options of Dial() and Queue() that enable each code."""
_TRANSFERS = frozenset({"blindxfer", "atxfer"})
_DYNAMIC = ("DYNAMIC_FEATURES",)
_KEYS = re.compile(r"[*#][0-9*#]*")
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
    """The code that begins a transfer, and those that control one."""
    ours = facts.feature_code
    clean = True
    if not ours:
        yield Finding(_ID, Severity.OK, "no transfer code is set")
    codes = [*_codes(facts.file("features.conf")), *_defaults(facts)]
    for code in codes if ours else ():
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
    for finding in _ambiguous(facts, codes):
        clean = False
        yield finding
    if ours and not _has_ours(facts):
        clean = False
        yield Finding(
            _ID,
            Severity.WARNING,
            f"no entry of [applicationmap] begins a transfer by {ours}",
            "Agents can transfer calls in the panel and by their phones' Transfer button only.",
            "features.conf",
            ("#include avp_features.conf",),
        )
    if clean and ours:
        yield Finding(_ID, Severity.OK, f"no other code conflicts with {ours}")


def _ambiguous(facts: Facts, codes: Iterable[_Code]) -> Iterator[Finding]:
    """Codes of ours that mean something else outside of a transfer.

    Those that transfer a call past every rule are an error already (`checks.dialplan`). During a
    transfer only ours are heard: its bridges have no code of features.conf
    (bridge_basic.c), and no key reaches the dialplan. But a phone that its queue calls by Local/…
    stays in a basic bridge with the other half of that channel, where theirs come first.
    """
    others = [code for code in codes if code.name not in _TRANSFERS]
    active = {code.keys: code for code in others if _is_active(facts, code)}
    dialled = _dialled(facts)
    queued = members(facts.file("queues.conf")).values()
    local = any(x.interface.startswith("Local/") for queue in queued for x in queue)
    for name, keys in facts.keys.items():
        code = active.get(keys)
        if name == "TRANSFER" or not keys or (code is None and keys not in dialled):
            continue
        theirs = f"{code.name} in a call" if code is not None else "an extension that phones dial"
        never = code is not None and local
        yield Finding(
            _ID,
            Severity.ERROR if never else Severity.WARNING,
            f"AVP_KEYS__{name} is {keys}, which is also {theirs}",
            f"Phones that queues call by Local/… have the codes of features.conf during a transfer"
            f" as well: {keys} never reaches asterisk_avp."
            if never
            else f"During a transfer {keys} means ours, at any other time theirs: whoever presses"
            " it out of habit does what they did not mean.",
            "the settings",
            (f"AVP_KEYS__{name}=<keys that are no other code>",),
        )


def _has_ours(facts: Facts) -> bool:
    """Whether features.conf has our entry with the code of the settings, or cannot be read."""
    conf = facts.file("features.conf")
    return not conf.found or any(
        _EVENT in line.value and line.value.split(",")[0].strip() == facts.feature_code
        for section in conf.named("applicationmap")
        for line in section.lines
    )


def _is_active(facts: Facts, code: _Code) -> bool:
    """Whether somebody in a call can press it: the dialplan's options enable it, or it is one of
    DYNAMIC_FEATURES.
    """
    letters = _ENABLED_BY.get(code.name)
    dialplan = facts.dialplan()
    values = assignments(dialplan)
    if letters is not None:
        return any(letters_of(x.options, values).found & set(letters) for x in calls(dialplan))
    texts = [x for name in _DYNAMIC for x in values.get(name, ())]
    for endpoint in endpoints(facts.file("pjsip.conf")).values():
        pairs = [value.partition("=") for value in endpoint.all("set_var")]
        texts += [value for name, _, value in pairs if name.lstrip("_") in _DYNAMIC]
    named = {word for text in texts for word in re.split(r"[#\s]+", text)}
    groups = {
        line.name
        for name in named
        for section in facts.file("features.conf").named(name)
        for line in section.lines
    }
    return code.name in named | groups


def _dialled(facts: Facts) -> frozenset[str]:
    """The extensions of the dialplan that are keys, such as `*45`."""
    found = (step.extension for step in steps(facts.dialplan()))
    return frozenset(extension for extension in found if _KEYS.fullmatch(extension))


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
