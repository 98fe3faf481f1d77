"""Does the administrator's dialplan rely on an `h` that does not run for a transferred call?

Asterisk runs the `h` of the context in which a call ends (pbx.c, ``__ast_pbx_run``). A transfer
takes the caller out of the context of their Queue() for good, so our dialplan runs the `h` of that
context instead (`avp-end`). It finds it by the name, which has to be clean: dialplan evaluates it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from asterisk_avp.core.messages import clean
from asterisk_avp.install.asterisk_conf import Conf
from asterisk_avp.install.checks.model import Facts, Finding, Severity
from asterisk_avp.install.checks.reach import OURS
from asterisk_avp.install.checks.vendor import WHOSE, is_rewritten, rewritten
from asterisk_avp.install.dialplan_text import Step, steps

_ID = "hangup_extension"
_WHY = (
    "At the end of a call that was transferred, even if that was cancelled, it does not run: the"
    " name of the context has other characters than A-Z a-z 0-9 _ . and -. Rename the context, or"
    " use a hangup handler, which runs once, with and without a transfer."
)
_OF_THE_PBX = (
    "; in a context of your own before the queue, which the PBX leaves alone:",
    "same => n,Set(CHANNEL(hangup_handler_push)=call-ends,s,1)",
)
_QUEUE = re.compile(r"(?<!\w)Queue\(", re.IGNORECASE)


def hangup_extensions(facts: Facts) -> Iterator[Finding]:
    conf = facts.dialplan()
    own = [step for step in steps(conf) if Path(step.line.place.file).name not in OURS]
    queued = {step.context.lower() for step in own if _QUEUE.search(step.line.value)}
    within = _with_includes(conf, queued)
    found: dict[str, list[Step]] = {}
    for step in own:
        if step.extension.lower() == "h" and step.context.lower() in within:
            found.setdefault(step.context, []).append(step)
    theirs = rewritten(conf)
    for context, lines in found.items():
        if clean.ident(context):
            continue
        what = f"[{context}] has an extension h, for calls that enter a queue"
        where = str(lines[0].line.place)
        if is_rewritten(lines[0].line, theirs):
            yield Finding(_ID, Severity.WARNING, what, f"{_WHY} {WHOSE}", where, _OF_THE_PBX)
            continue
        yield Finding(_ID, Severity.WARNING, what, _WHY, where, tuple(_mended(lines)))
    if all(map(clean.ident, found)):
        what = "every h of a context from which calls enter a queue runs for transferred calls too"
        yield Finding(_ID, Severity.OK, what)


def _with_includes(conf: Conf, contexts: set[str]) -> set[str]:
    found: set[str] = set()
    waiting = [*contexts]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += [
            line.value.split(",")[0].strip().lower()
            for section in conf.named(name)
            for line in section.lines
            if line.name.lower() == "include"
        ]
    return found


def _mended(lines: list[Step]) -> Iterator[str]:
    yield "; before Queue():"
    yield "same => n,Set(CHANNEL(hangup_handler_push)=call-ends,s,1)"
    yield "; instead of h:"
    yield "[call-ends]"
    priority = "exten => s,1"
    for step in lines:
        if step.application.lower() == "hangup":
            continue
        arguments = f"({step.arguments})" if step.application else "NoOp()"
        yield f"{priority},{step.application}{arguments}"
        priority = "same => n"
    yield f"{priority},Return()"
