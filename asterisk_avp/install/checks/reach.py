"""Which contexts of the dialplan can phones, trunks and queues reach?

This excludes a distribution's samples and unused contexts. A context that only a variable names is
not found; tests cover the contexts that our own dialplan enters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from asterisk_avp.install.asterisk_conf import Conf, Line, members
from asterisk_avp.install.checks.agents import endpoints
from asterisk_avp.install.checks.model import Facts
from asterisk_avp.install.checks.replaces import denies_all

OURS: Final = frozenset({"asterisk_avp.conf", "avp_extensions.conf", "avp_pbx.conf"})
"""Our own files. avp_extensions.conf has the agents' ids as literal extensions."""
_DEFAULT: Final = "default"
"""The context of an endpoint without `context`."""
_EXTENDED: Final = ("avp-external", "avp-emergency", "avp-internal", "avp-before-queue")
"""Our contexts that the administrator extends, and that our dialplan enters."""
_CONTEXT_VARIABLES: Final = frozenset({"TRANSFER_CONTEXT", "FORWARD_CONTEXT"})
"""Variables that name the context for a phone's REFER or 302."""
_CONTEXT: Final = r"(?<![\w.$-])([\w.-]+)"
_NAMED: Final = (
    re.compile(rf"\b(?:Goto|Gosub)\w*\(.*?{_CONTEXT},[^,?:]+,", re.IGNORECASE),
    re.compile(rf"[?:]{_CONTEXT},[^,?:]+,"),  # the second branch of GotoIf() and similar
    re.compile(rf"{_CONTEXT}\^[^^]*\^"),  # options b, B, F, G and U of Dial() and Queue()
    re.compile(r"\bLocal/[^@,&]*@([\w.-]+)", re.IGNORECASE),
    re.compile(r"\bOriginate\([^,]*,\s*exten\s*,([\w.-]+)", re.IGNORECASE),
)
_MACRO: Final = re.compile(r"\bMacro\w*\(([\w.-]+)", re.IGNORECASE)


def of_phones(facts: Facts) -> frozenset[str] | None:
    """The contexts that phones and trunks reach, in lower case. None: not known."""
    pjsip = facts.file("pjsip.conf")
    if not pjsip.found:
        return None
    begin = list(_EXTENDED)
    for endpoint in endpoints(pjsip).values():
        if denies_all(endpoint):
            continue
        begin.append(endpoint.last("context", _DEFAULT))
        begin += [endpoint.last(name) for name in ("overlap_context", "message_context")]
        given = [value.partition("=") for value in endpoint.all("set_var")]
        begin += [value for name, _, value in given if name.strip("_ ") in _CONTEXT_VARIABLES]
    for section in facts.dialplan().named("globals"):
        begin += [section.last(name.lower()) for name in sorted(_CONTEXT_VARIABLES)]
    return _closed(facts.dialplan(), begin)


def from_contexts(facts: Facts, begin: Iterable[str]) -> frozenset[str]:
    """The contexts that calls reach from ``begin``, which is included, in lower case."""
    return _closed(facts.dialplan(), [*begin])


def of_calls(facts: Facts) -> frozenset[str] | None:
    """As `of_phones`, with the contexts that queue members `Local/…@context` dial."""
    found = of_phones(facts)
    if found is None:
        return None
    queues = members(facts.file("queues.conf"))
    texts = [member.interface for static in queues.values() for member in static]
    if facts.world is not None:
        texts += [agent.interface or "" for agent in facts.world.agents.values()]
    local = [name for text in texts for name in _NAMED[3].findall(text)]
    return found | _closed(facts.dialplan(), local)


def _closed(conf: Conf, begin: list[str]) -> frozenset[str]:
    existing = {section.name.lower() for section in conf.sections}
    waiting = [name.lower() for name in begin]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in found or name not in existing:
            continue
        found.add(name)
        for section in conf.named(name):
            for line in section.lines:
                waiting += [x.lower() for x in _next_contexts(line)]
    return frozenset(found)


def _next_contexts(line: Line) -> Iterator[str]:
    """The contexts that a line includes or continues in."""
    if line.name.lower() == "include":
        yield line.value.split(",")[0].strip()
    elif Path(line.place.file).name not in OURS:
        for pattern in _NAMED:
            yield from pattern.findall(line.value)
        for name in _MACRO.findall(line.value):
            yield f"macro-{name}"
