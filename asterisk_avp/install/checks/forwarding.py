"""Can an agent's phone forward a call by answering it with 302 (Moved Temporarily)?

app_queue and app_dial call the destination in the answer, through a Local channel in the context of
the phone's endpoint or through any channel technology that it names, without a policy check
(app_queue.c, wait_for_answer; app_dial.c, do_forward; dial.c, handle_call_forward). Option `i` of
Queue(), Dial() and Page() ignores the 302; Originate() has no such option.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from asterisk_avp.core.model.world import PERSONAL_QUEUE_PREFIX
from asterisk_avp.install.asterisk_conf import Conf
from asterisk_avp.install.checks.agents import agents, queue_members
from asterisk_avp.install.checks.dialplan import (
    OPTIONS_AT,
    Call,
    always,
    assignments,
    calls,
    letters_of,
)
from asterisk_avp.install.checks.model import Facts, Finding, Severity
from asterisk_avp.install.checks.reach import of_calls
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
_MAYBE: Final = ", which may belong to an agent"
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
    clean = True
    for context, call in _calls(conf):
        who = _rung(facts, call, values, phones)
        if not who or _OPTION in always(call.options, values):
            continue
        if _MAYBE in who and reached is not None and context.lower() not in reached:
            continue  # an unused sample that no call reaches
        clean = False
        where = str(call.line.place)
        if call.application.lower() == "originate":
            what = f"{call.application}() rings {who}, and has no option i"
            why = "A phone that answers with 302 forwards the call to any number or channel."
            yield Finding(_ID, Severity.ERROR, what, why, where, _ORIGINATE)
            continue
        letters = letters_of(call.options, values)
        if letters.unknown or _OPTION in letters.found:
            names = ", ".join(f"${{{name}}}" for name in sorted(letters.unknown))
            of = f" from {names}, whose value is unknown here" if names else " that vary"
            what = f"{call.application}() rings {who} with options{of}"
            why = f"It needs option i. {_WHY}"
            yield Finding(_ID, Severity.WARNING, what, why, where, (_mended(call),))
        else:
            what = f"{call.application}() rings {who} without option i"
            yield Finding(_ID, Severity.ERROR, what, _WHY, where, (_mended(call),))
    if clean:
        yield Finding(_ID, Severity.OK, "no Queue() or Dial() lets an agent's phone forward a call")


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
    for target in split(call.arguments[at], "&"):
        text = _known(target.strip(), values)
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


def _queue(facts: Facts, name: str) -> str:
    """The queue in words, if an agent may be a member: of a group, personal, or dynamic."""
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
