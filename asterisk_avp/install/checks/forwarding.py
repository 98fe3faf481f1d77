"""Can an agent's phone send a call elsewhere by answering it with 302 (Moved Temporarily)?

app_queue and app_dial call what the answer names, by a Local channel in the context of the phone's
endpoint or by any channel technology that it names, and ask no policy (app_queue.c,
wait_for_answer; app_dial.c, do_forward; dial.c, handle_call_forward). Option `i` of Queue(), Dial()
and Page() ignores it; Originate() has none.
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
    assignments,
    calls,
    letters_of,
    surely,
)
from asterisk_avp.install.checks.model import Facts, Finding, Severity
from asterisk_avp.install.checks.reach import of_calls
from asterisk_avp.install.dialplan_text import split

_ID: Final = "forwarding"
_OPTION: Final = "i"
_WHY: Final = (
    "A phone that answers with 302 sends the call to any number or channel that it names, and no"
    " rule is asked. Option i has Asterisk ignore it."
)
_OPTIONS_AT: Final = {**OPTIONS_AT, "page": 1, "originate": 99}
"""Originate() has no such option at all: its mend is another one."""
_ORIGINATE: Final = (
    "; Originate(Local/<extension>@<context>,…), with a Dial(…,i) in that context, in place of",
    "; the phone",
)
_SIP: Final = frozenset({"PJSIP", "SIP"})
_MAYBE: Final = ", which may be an agent's"
_LEVELS: Final = 10
"""How often variables within variables are looked up."""


def forwarding(facts: Facts) -> Iterator[Finding]:
    """Has each Queue() and Dial() that can ring an agent's phone option i?"""
    conf = facts.dialplan()
    if not conf.sections:
        return
    values = assignments(conf)
    phones = frozenset(agents(facts))
    reached = of_calls(facts)
    clean = True
    for context, call in _calls(conf):
        who = _rung(facts, call, values, phones)
        if not who or _OPTION in surely(call.options, values):
            continue
        if _MAYBE in who and reached is not None and context.lower() not in reached:
            continue  # somebody's sample, to which no call comes
        clean = False
        where = str(call.line.place)
        if call.application.lower() == "originate":
            what = f"{call.application}() to {who}, which has no option i"
            why = "A phone that answers with 302 sends the call to any number or channel."
            yield Finding(_ID, Severity.ERROR, what, why, where, _ORIGINATE)
            continue
        letters = letters_of(call.options, values)
        if letters.unknown or _OPTION in letters.found:
            names = ", ".join(f"${{{name}}}" for name in sorted(letters.unknown))
            of = f" from {names}, whose value is not known here" if names else " that vary"
            what = f"{call.application}() to {who} with options{of}"
            why = f"It needs option i. {_WHY}"
            yield Finding(_ID, Severity.WARNING, what, why, where, (_mended(call),))
        else:
            what = f"{call.application}() to {who} without option i"
            yield Finding(_ID, Severity.ERROR, what, _WHY, where, (_mended(call),))
    if clean:
        yield Finding(_ID, Severity.OK, "no Queue() or Dial() lets an agent's phone send a call on")


def rings_agents(facts: Facts) -> frozenset[str]:
    """The contexts in which an agent may be rung, by Queue() or Dial(), in small letters."""
    conf = facts.dialplan()
    values = assignments(conf)
    phones = frozenset(agents(facts))
    return frozenset(
        context.lower() for context, call in _calls(conf) if _rung(facts, call, values, phones)
    )


def _calls(conf: Conf) -> Iterator[tuple[str, Call]]:
    """With the context that each is in."""
    for section in conf.sections:
        for call in calls(replace(conf, sections=(section,)), _OPTIONS_AT):
            yield section.name, call


def _mended(call: Call) -> str:
    return call.with_options(f"{_OPTION}{call.options}")


def _rung(facts: Facts, call: Call, values: Mapping[str, list[str]], phones: frozenset[str]) -> str:
    """Who is rung, if it can be an agent; else nothing."""
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
            continue  # other technologies know no 302; Local/… runs a context, which is looked at
        endpoint = _endpoint(rest)
        if endpoint in phones:
            return f"the agent's phone {endpoint}"
        if "$" in endpoint:
            return f"{text}{_MAYBE}"
    return ""


def _queue(facts: Facts, name: str) -> str:
    """Agents are members of the groups' queues, of their own, or may log in to it."""
    groups = facts.world.groups.values() if facts.world is not None else ()
    if name.lower() in {group.queue.lower() for group in groups}:
        return f"the group's queue {name}"
    if "$" in name:
        return f"the queue {name}{_MAYBE}"
    if name.startswith(PERSONAL_QUEUE_PREFIX):
        return f"the queue {name}"
    members = {queue.lower(): found for queue, found in queue_members(facts).items()}
    known = {agent for queue in groups for agent in members.get(queue.queue.lower(), ())}
    if facts.world is not None:
        known |= facts.world.agents.keys()
    own = members.get(name.lower(), ())
    robots = facts.world is not None and own and not known & set(own)
    return "" if robots else f"the queue {name}"


def _endpoint(rest: str) -> str:
    """``1001``, ``1001/sip:…`` and ``number@1001`` -> ``1001`` (chan_pjsip.c, request)."""
    bare = split(rest, "/")[0]
    return split(bare, "@")[-1]


def _known(text: str, values: Mapping[str, list[str]]) -> str:
    """With the variables that have one value in the whole dialplan."""
    for _ in range(_LEVELS):
        before = text
        for name, given in values.items():
            if len(set(given)) == 1:
                text = text.replace(f"${{{name}}}", given[0])
        if text == before:
            break
    return text
