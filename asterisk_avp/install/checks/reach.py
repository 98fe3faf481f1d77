"""Which contexts of the dialplan do phones, trunks and queues come to?

Samples that a distribution brings, and what nobody uses any more, are in none of them. A context
that is only named by a variable is not known; what our own dialplan goes on to is tested elsewhere.
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

OURS: Final = frozenset({"asterisk_avp.conf", "avp_extensions.conf"})
"""Files of ours; avp_extensions.conf has the agents' ids as literal extensions."""
_DEFAULT: Final = "default"
"""The context of an endpoint that names none."""
_EXTENDED: Final = ("avp-external", "avp-emergency", "avp-internal")
"""Contexts of ours that the administrator's lines extend, and that our dialplan goes on to."""
_SENT_ON: Final = frozenset({"TRANSFER_CONTEXT", "FORWARD_CONTEXT"})
"""Variables that name the context in which a phone's REFER or 302 is looked up."""
_CONTEXT: Final = r"(?<![\w.$-])([\w.-]+)"
_NAMED: Final = (
    re.compile(rf"\b(?:Goto|Gosub)\w*\(.*?{_CONTEXT},[^,?:]+,", re.IGNORECASE),
    re.compile(rf"[?:]{_CONTEXT},[^,?:]+,"),  # the second way of GotoIf() and its like
    re.compile(rf"{_CONTEXT}\^[^^]*\^"),  # options b, B, F, G and U of Dial() and Queue()
    re.compile(r"\bLocal/[^@,&]*@([\w.-]+)", re.IGNORECASE),
    re.compile(r"\bOriginate\([^,]*,\s*exten\s*,([\w.-]+)", re.IGNORECASE),
)
_MACRO: Final = re.compile(r"\bMacro\w*\(([\w.-]+)", re.IGNORECASE)


def of_phones(facts: Facts) -> frozenset[str] | None:
    """Contexts that phones and trunks come to, in small letters; None: it is not known."""
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
        begin += [value for name, _, value in given if name.strip("_ ") in _SENT_ON]
    for section in facts.dialplan().named("globals"):
        begin += [section.last(name.lower()) for name in sorted(_SENT_ON)]
    return _closed(facts.dialplan(), begin)


def from_contexts(facts: Facts, begin: Iterable[str]) -> frozenset[str]:
    """Contexts that calls which begin in these come to, these included, in small letters."""
    return _closed(facts.dialplan(), [*begin])


def of_calls(facts: Facts) -> frozenset[str] | None:
    """These, and the contexts that members `Local/…@context` of queues dial."""
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
    there = {section.name.lower() for section in conf.sections}
    waiting = [name.lower() for name in begin]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in found or name not in there:
            continue
        found.add(name)
        for section in conf.named(name):
            for line in section.lines:
                waiting += [x.lower() for x in _goes_to(line)]
    return frozenset(found)


def _goes_to(line: Line) -> Iterator[str]:
    """The contexts that a line includes or names to go on in."""
    if line.name.lower() == "include":
        yield line.value.split(",")[0].strip()
    elif Path(line.place.file).name not in OURS:
        for pattern in _NAMED:
            yield from pattern.findall(line.value)
        for name in _MACRO.findall(line.value):
            yield f"macro-{name}"
