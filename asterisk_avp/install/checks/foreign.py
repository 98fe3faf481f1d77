"""Does the administrator's dialplan evaluate text from a phone, a trunk or a database?

Asterisk substitutes from the inside out and parses the result again: in ``$["${X}" = "1"]``, in
``${LEN(${X})}`` and in the arguments of an application that parses them, a caller whose number is
``1):System(…`` injects dialplan. This check covers only contexts that phones and trunks enter, and
not our own contexts, which a test covers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from asterisk_avp.install.checks.model import Facts, Finding, Severity
from asterisk_avp.install.checks.reach import OURS, of_phones
from asterisk_avp.install.checks.vendor import WHOSE, is_rewritten, rewritten, shown
from asterisk_avp.install.dialplan_text import (
    EXPRESSION,
    NAME,
    NO_CONTEXT,
    Part,
    PartKind,
    Step,
    steps,
    uses,
)

_ID: Final = "foreign_values"
_WHY: Final = (
    "Asterisk parses the text again after substitution, with the value's brackets, quotes, commas"
    " and colons. A dialled `1):System(…` can run a program."
)
_MEND: Final = (
    "; match dialled numbers with patterns of fixed length (_NXXNXXXXXX, not _X. or _X!). For",
    "; other values: Set(AVP_TEXT=<value>), Gosub(avp-clean,number,1), then use ${AVP_CLEAN},",
    "; which is empty for an unsafe value. In avp-external, ${AVP_NUMBER} is the called number.",
)
_SHOWN: Final = 10
"""How many lines are reported one by one."""

FUNCTIONS: Final = frozenset(
    {
        *("CALLERID", "CALLERPRES", "CONNECTEDLINE", "REDIRECTING", "DIALEDPEER", "CDR"),
        *("PJSIP_HEADER", "PJSIP_HEADERS", "PJSIP_RESPONSE_HEADER", "PJSIP_HEADER_PARAM"),
        *("SIP_HEADER", "SIP_HEADERS", "SIPCHANINFO", "SIPPEER", "PJSIP_PARSE_URI"),
        *("PJSIP_PARSE_URI_FROM", "MESSAGE", "MESSAGE_DATA", "DB", "DB_DELETE", "REALTIME"),
        *("REALTIME_FIELD", "REALTIME_HASH", "CURL", "ENUMLOOKUP", "ENUMRESULT", "DUNDILOOKUP"),
        *("SHELL", "FILE", "ENV", "JSON_DECODE", "JABBER_RECEIVE"),
    }
)
"""Functions that read foreign values."""
VARIABLES: Final = frozenset(
    {
        *("INVALID_EXTEN", "SIPCALLID", "SIPDOMAIN", "SIPURI", "SIPREFERTOHDR", "SIPREFERREDBYHDR"),
        *("SIPREPLACESHDR", "SIPTRANSFER_REFERER", "FORWARDERNAME", "DNIS", "CALLERID", "ANI"),
        *("RDNIS", "MESSAGE_BODY", "DIALEDPEERNUMBER", "ODBC_FETCH"),
    }
)
PARSED: Final = frozenset(
    {
        *("exec", "execif", "tryexec", "execiftime", "while", "gotoif", "gotoiftime", "goto"),
        *("gosub", "gosubif", "macro", "macroif", "macroexclusive", "system", "trysystem"),
        *("agi", "eagi", "deadagi", "externalivr", "originate", "dial", "retrydial", "page"),
        *("queue", "followme", "mset", "userevent", "mixmonitor", "monitor", "chanspy", "bridge"),
        *("extenspy", "transfer", "messagesend", "stasis", "record", "db_deltree", "evalexten"),
    }
)
"""Applications that parse their arguments, run them, or pass them on as lines."""
_CLEAN: Final = frozenset(
    {
        *("FILTER", "LEN", "MATH", "INC", "DEC", "MD5", "SHA1", "REGEX", "ISNULL", "EXISTS"),
        *("DIALPLAN_EXISTS", "VALID_EXTEN", "DB_EXISTS", "FIELDQTY", "FIELDNUM", "STRFTIME"),
        *("DEVICE_STATE", "EXTENSION_STATE", "HINT", "QUEUE_EXISTS", "QUEUE_MEMBER", "GROUP_COUNT"),
        *("BASE64_ENCODE", "URIENCODE", "KEYPADHASH", "RAND", "EPOCH"),
    }
)
"""Functions whose result contains only safe characters, whatever their arguments are."""

_BY_NAME: Final = frozenset(
    {
        *("SHIFT", "POP", "CUT", "LISTFILTER", "PASSTHRU"),
        *("GLOBAL", "LOCAL", "MASTER_CHANNEL", "SHARED"),
    }
)
"""Functions that return the value, or a part of it, of the variable named in their argument."""

_EXTEN: Final = "EXTEN"
_ASSIGNED: Final = re.compile(r"(?P<left>[^=]*)=(?P<value>.*)", re.DOTALL)
_NAME: Final = re.compile(r"(?:(?:LOCAL|GLOBAL)\()?_{0,2}(?P<name>\w+)\)?$")


def foreign_values(facts: Facts) -> Iterator[Finding]:
    conf = facts.dialplan()
    if not conf.sections:
        return
    entered = of_phones(facts)
    if entered is None:
        entered = frozenset(section.name.lower() for section in conf.sections) - NO_CONTEXT
    checked = [
        step
        for step in steps(conf)
        if step.context.lower() in entered and Path(step.line.place.file).name not in OURS
    ]
    # By context, because only the first findings are reported one by one.
    checked.sort(key=lambda step: step.context.lower())
    tainted = _tainted(checked)
    found: list[tuple[Step, str]] = []
    for step in checked:
        evaluated = dict.fromkeys(_evaluated(step, tainted))
        if evaluated:
            found.append((step, "; ".join(evaluated)))
    theirs = rewritten(conf)
    of_the_pbx = [step.line for step, _ in found if is_rewritten(step.line, theirs)]
    found = [(step, what) for step, what in found if not is_rewritten(step.line, theirs)]
    if of_the_pbx:
        what = f"{len(of_the_pbx)} lines of the PBX evaluate foreign values: {shown(of_the_pbx)}"
        why = f"{_WHY} {WHOSE} Keep the PBX up to date: its makers mend them."
        yield Finding(_ID, Severity.WARNING, what, why)
    for step, what in found[:_SHOWN]:
        yield Finding(_ID, Severity.WARNING, what, _WHY, str(step.line.place), _MEND)
    if len(found) > _SHOWN:
        places = ", ".join(str(step.line.place) for step, _ in found[_SHOWN : _SHOWN * 3])
        what = f"{len(found) - _SHOWN} more lines evaluate foreign values: {places}"
        yield Finding(_ID, Severity.WARNING, what, _WHY, "", _MEND)
    if not found and not of_the_pbx:
        yield Finding(_ID, Severity.OK, "your dialplan evaluates no foreign value")


# --- which values -------------------------------------------------------------------------------


def _open(pattern: str) -> bool:
    """Whether an extension can be any text: ``.`` and ``!`` match all characters."""
    if not pattern.startswith("_"):
        return False
    return bool(re.search(r"[.!]", re.sub(r"\[[^\]]*\]", "", pattern)))


def _tainted(checked: list[Step]) -> frozenset[str]:
    """The variables that are assigned a foreign value somewhere."""
    assigned: list[tuple[Step, str, str]] = []
    for step in checked:
        if step.application.lower() in {"set", "mset"}:
            match = _ASSIGNED.match(step.arguments)
            name = _NAME.match(match["left"].strip()) if match is not None else None
            if match is not None and name is not None:
                assigned.append((step, name["name"], match["value"]))
    found: set[str] = set()
    while True:
        more = {
            name
            for step, name, value in assigned
            if name not in found
            and any(
                _foreign(use.part, step, found) and not _CLEAN & set(use.within)
                for use in uses(value)
            )
        }
        if not more:
            return frozenset(found)
        found |= more


def _foreign(part: Part, step: Step, tainted: Collection[str]) -> bool:
    """Whether ``part`` reads a value from outside."""
    if part.kind is PartKind.FUNCTION:
        name = part.name.upper()
        if name in _BY_NAME:
            return part.arguments[0].strip() in tainted
        return name in FUNCTIONS or name.startswith("ODBC_")
    if part.name == _EXTEN:
        return _open(step.extension)
    return part.name in VARIABLES or part.name in tainted


def _evaluated(step: Step, tainted: frozenset[str]) -> Iterator[str]:
    """A short text for each foreign value that a step evaluates: which one, and where."""
    application = step.application.lower()
    for use in uses(step.arguments):
        if not _foreign(use.part, step, tainted):
            continue
        if use.within:
            inner = use.within[0]
            where = "an expression" if inner == EXPRESSION else f"an argument of {inner}()"
            yield f"{use.part.text} is in {'a variable name' if inner == NAME else where}"
        elif application in PARSED:
            yield f"{use.part.text} is in the arguments of {application}()"
    if application == "set":
        match = _ASSIGNED.match(step.arguments)
        name, bracket, _ = (match["left"] if match else "").partition("(")
        if match is not None and bracket and "$" not in name:
            for use in uses(match["left"]):
                if _foreign(use.part, step, tainted) and not use.within:
                    yield f"{use.part.text} is in an argument of {name.strip()}()"
