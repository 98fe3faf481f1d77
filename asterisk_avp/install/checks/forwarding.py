"""Can an agent's phone forward a call by answering it with 302 (Moved Temporarily)?

app_queue and app_dial call the destination in the answer, through a Local channel in the context of
the phone's endpoint or through any channel technology that it names, without a policy check
(app_queue.c, wait_for_answer; app_dial.c, do_forward; dial.c, handle_call_forward). Option `i` of
Queue(), Dial() and Page() ignores the 302; Originate() has no such option.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from asterisk_avp.core.model.world import PERSONAL_QUEUE_PREFIX
from asterisk_avp.install.asterisk_conf import Conf, Line, members
from asterisk_avp.install.checks.agents import agents, queue_members
from asterisk_avp.install.checks.dialplan import (
    OPTIONS_AT,
    Call,
    Letters,
    always,
    assignments,
    calls,
    letters_of,
)
from asterisk_avp.install.checks.model import Facts, Finding, Severity
from asterisk_avp.install.checks.reach import of_calls
from asterisk_avp.install.checks.vendor import WHOSE, is_rewritten, rewritten, shown
from asterisk_avp.install.dialplan_text import split

_ID: Final = "forwarding"
_OPTION: Final = "i"
_WHY: Final = (
    "A phone that answers with 302 forwards the call to any number or channel, past every rule."
    " With option i, Asterisk ignores the 302."
)
_OPTIONS_AT: Final = {**OPTIONS_AT, "page": 1, "originate": 99}
"""Originate() has no such option and needs another fix."""
_ORIGINATE: Final = (
    "; replace the phone by Originate(Local/<extension>@<context>,…), with a Dial(…,i) in that",
    "; context",
)
_SIP: Final = frozenset({"PJSIP", "SIP"})
_ITS: Final = "DIAL_OPTIONS"
_MAYBE: Final = ", which may belong to an agent"
_COMPOSED: Final = re.compile(r"\$\{(?P<before>\w*)(?P<inner>\$\{\w+\})(?P<after>\w*)\}")
_LEVELS: Final = 10
"""How many levels of nested variables are expanded."""


def forwarding(facts: Facts) -> Iterator[Finding]:
    """Does each Queue() and Dial() that can ring an agent's phone have option i?"""
    conf = facts.dialplan()
    if not conf.sections:
        return
    values = assignments(conf)
    phones = frozenset(agents(facts))
    reached = of_calls(facts)
    theirs = rewritten(conf)
    found: list[Finding] = []
    of_the_pbx: list[Line] = []
    for context, call in _calls(conf):
        who = _rung(facts, call, values, phones)
        if not who or _OPTION in always(call.options, values):
            continue
        if _MAYBE in who and reached is not None and context.lower() not in reached:
            continue  # an unused sample that no call reaches
        finding = _finding(call, who, letters_of(call.options, values))
        if is_rewritten(call.line, theirs) and finding.severity is Severity.WARNING:
            of_the_pbx.append(call.line)
        else:
            found.append(finding)
    found += _of_the_pbx(facts, of_the_pbx, values)
    yield from found
    if not found:
        yield Finding(_ID, Severity.OK, "no Queue() or Dial() lets an agent's phone forward a call")


def _finding(call: Call, who: str, letters: Letters) -> Finding:
    where = str(call.line.place)
    if call.application.lower() == "originate":
        what = f"{call.application}() rings {who}, and has no option i"
        why = "A phone that answers with 302 forwards the call to any number or channel."
        return Finding(_ID, Severity.ERROR, what, why, where, _ORIGINATE)
    if letters.unknown or _OPTION in letters.found:
        names = ", ".join(f"${{{name}}}" for name in sorted(letters.unknown))
        of = f" from {names}, whose value is unknown here" if names else " that vary"
        what = f"{call.application}() rings {who} with options{of}"
        why = f"It needs option i. {_WHY}"
        return Finding(_ID, Severity.WARNING, what, why, where, (_mended(call),))
    what = f"{call.application}() rings {who} without option i"
    return Finding(_ID, Severity.ERROR, what, _WHY, where, (_mended(call),))


def _of_the_pbx(
    facts: Facts, lines: list[Line], values: Mapping[str, list[str]]
) -> Iterator[Finding]:
    """Lines that a web interface writes, with options from variables.

    It takes them from the global variable DIAL_OPTIONS, or from a user's own in AstDB. So these are
    what is looked at.
    """
    conf = facts.dialplan()
    given = [(line.value, line) for s in conf.named("globals") for line in s.lines if _is_its(line)]
    pbx = facts.live.pbx if facts.live is not None else None
    for key, options in pbx.family("AMPUSER") if pbx is not None else ():
        if key[1:] == ("dialopts",) and options and _OPTION not in always(options, values):
            what = f"the dial options of user {key[0]} are {options}, without i"
            mend = (f"; Applications > Extensions > {key[0]} > Advanced > Asterisk Dial Options",)
            yield Finding(_ID, Severity.ERROR, what, f"{_WHY} {WHOSE}", "", mend)
    if given:
        options, line = given[-1]
        if _OPTION not in always(options, values):
            what = f"{_ITS} is {options}, without i"
            mend = (f"; Settings > Advanced Settings > Asterisk Dial Options: {options}{_OPTION}",)
            yield Finding(_ID, Severity.ERROR, what, f"{_WHY} {WHOSE}", str(line.place), mend)
    elif lines:
        what = f"options of Queue() and Dial() of the PBX are unknown here: {shown(lines)}"
        yield Finding(_ID, Severity.WARNING, what, f"They need option i. {_WHY} {WHOSE}")


def _is_its(line: Line) -> bool:
    return line.name.upper() == _ITS


def rings_agents(facts: Facts) -> frozenset[str]:
    """The contexts that may ring an agent with Queue() or Dial(), in lower case."""
    conf = facts.dialplan()
    values = assignments(conf)
    phones = frozenset(agents(facts))
    return frozenset(
        context.lower() for context, call in _calls(conf) if _rung(facts, call, values, phones)
    )


def _calls(conf: Conf) -> Iterator[tuple[str, Call]]:
    """Each call with its context."""
    for section in conf.sections:
        for call in calls(replace(conf, sections=(section,)), _OPTIONS_AT):
            yield section.name, call


def _mended(call: Call) -> str:
    return call.with_options(f"{_OPTION}{call.options}")


def _rung(facts: Facts, call: Call, values: Mapping[str, list[str]], phones: frozenset[str]) -> str:
    """Who is rung, if it can be an agent; else an empty string."""
    name = call.application.lower()
    if name == "queue":
        return _queue(facts, _known(call.arguments[0], values))
    at = 3 if name == "retrydial" else 0
    if len(call.arguments) <= at:
        return ""
    for text in _targets(call.arguments[at], values):
        technology, _, rest = text.partition("/")
        if "$" in technology:
            return f"{text}{_MAYBE}"
        if technology.upper() not in _SIP:
            continue  # other technologies have no 302; Local/… runs a context that is checked too
        endpoint = _endpoint(rest)
        if endpoint in phones:
            return f"the agent's phone {endpoint}"
        if "$" in endpoint:
            return f"{text}{_MAYBE}"
    return ""


def _targets(argument: str, values: Mapping[str, list[str]]) -> Iterator[str]:
    """What Dial() dials, as far as it is known. ``${OUT_${X}}`` stands for each variable that is
    there: OUT_1, OUT_2 and so on.
    """
    for target in split(argument, "&"):
        text = _known(target.strip(), values)
        composed = _COMPOSED.search(text)
        if composed is None:
            yield text
            continue
        name = re.compile(rf"{composed['before']}(\w+?){composed['after']}")
        parts = [match[1] for match in map(name.fullmatch, values) if match is not None]
        for part in parts:
            yield _known(text.replace(composed["inner"], part), values)
        if not parts:
            yield text


def _queue(facts: Facts, name: str) -> str:
    """The queue in words, if an agent may be a member: of a group, personal, or dynamic.

    A member `Local/…` runs a context, whose Dial() is checked: app_queue gets no 302 from it.
    """
    if _all_local(facts, name):
        return ""
    groups = facts.world.groups.values() if facts.world is not None else ()
    if name.lower() in {group.queue.lower() for group in groups}:
        return f"the group queue {name}"
    if "$" in name:
        return f"the queue {name}{_MAYBE}"
    if name.startswith(PERSONAL_QUEUE_PREFIX):
        return f"the queue {name}"
    members = {queue.lower(): found for queue, found in queue_members(facts).items()}
    known = {agent for queue in groups for agent in members.get(queue.queue.lower(), ())}
    if facts.world is not None:
        known |= facts.world.agents.keys()
    own = members.get(name.lower(), ())
    no_agents = facts.world is not None and own and not known & set(own)
    return "" if no_agents else f"the queue {name}"


def _all_local(facts: Facts, name: str) -> bool:
    """Whether the queue has members, or all queues if it is unknown, and each is `Local/…`."""
    queues = {queue.lower(): found for queue, found in members(facts.file("queues.conf")).items()}
    known = queues.get(name.lower()) or [x for found in queues.values() for x in found]
    return bool(known) and all(x.interface.lower().startswith("local/") for x in known)


def _endpoint(rest: str) -> str:
    """``1001``, ``1001/sip:…`` and ``number@1001`` -> ``1001`` (chan_pjsip.c, request)."""
    bare = split(rest, "/")[0]
    return split(bare, "@")[-1]


def _known(text: str, values: Mapping[str, list[str]]) -> str:
    """Expand the variables that have only one value in the whole dialplan."""
    for _ in range(_LEVELS):
        before = text
        for name, given in values.items():
            if len(set(given)) == 1:
                text = text.replace(f"${{{name}}}", given[0])
        if text == before:
            break
    return text
