"""Which values may be written to Asterisk by AMI, ARI and FastAGI.

Asterisk's dialplan substitutes variables as text. Where a dialplan, ours or the administrator's,
uses a variable in an expression, in a function's argument or in an application that parses its
argument, the text becomes code: ``1002):System(…`` as a caller's number ran a shell command
(pbx_variables.c, ``pbx_substitute_variables_helper_full``; ast_expr2.fl; app.c,
``__ast_app_separate_args``). So no value with a character that is special there is ever written.

There are two layers. The *filters* (`number`, `name`, `location`…) take foreign text and return it
unchanged, or empty where it is not clean. They never remove single characters, which would change
the meaning. The core passes all foreign text through them. The *checks* (`variables`,
`check_action`, `check_request`) are the adapters' last line of defence: an unclean value is not
sent, whatever its source. They name the variable or header and never repeat the value.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from asterisk_avp.core.model.errors import UncleanValue

Test = Callable[[str], object]

SYNTAX: Final = frozenset('${}[](),:;&|"\\^<>=?`#')
"""Characters that are special somewhere in the dialplan, or in a program that it may start."""

_NAME_MARKS: Final = frozenset(" .-_'\N{RIGHT SINGLE QUOTATION MARK}\u200c\u200d")
"""Punctuation allowed in names. The last two join letters of some scripts."""

_NAME_CHARACTERS: Final = 80

_number: Final = re.compile(r"\+?[0-9]{1,15}").fullmatch
_count: Final = re.compile(r"-?[0-9]{1,12}").fullmatch
_ident: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}").fullmatch
_chunk: Final = re.compile(r"[A-Za-z0-9_-]{1,900}").fullmatch
_location: Final = re.compile(r"[A-Za-z0-9+*#][A-Za-z0-9._@/:+*#-]{0,127}").fullmatch
_interface: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9_]*/[A-Za-z0-9+*#][A-Za-z0-9._@/:+*#-]{0,127}"
).fullmatch
_extension: Final = re.compile(r"[A-Za-z0-9_.+*#-]{1,80}").fullmatch
_place: Final = re.compile(r"[a-z-]{1,40},[a-z]{1,20},[0-9]{1,3}").fullmatch
_pairs: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9_]*:X-AVP-[A-Za-z0-9-]+(,[A-Za-z][A-Za-z0-9_]*:X-AVP-[A-Za-z0-9-]+)*"
).fullmatch
_phones: Final = re.compile(
    r"[A-Za-z0-9]+/[A-Za-z0-9_.+-]+( [A-Za-z0-9]+/[A-Za-z0-9_.+-]+)*"
).fullmatch
_trunks: Final = re.compile(r"[A-Za-z0-9_-]{1,40}(\.[A-Za-z0-9_-]{1,40}){0,15}").fullmatch
_ended: Final = re.compile(r"[A-Za-z0-9_. -]{1,3600}").fullmatch
_agi: Final = re.compile(r"agi://[A-Za-z0-9.-]{1,200}:[0-9]{1,5}").fullmatch
_channel: Final = re.compile(r"[A-Za-z0-9_.][^\x00-\x1f\x7f]{0,255}").fullmatch
"""A channel's name or id, which is looked up and not evaluated. A leading slash would make it a
pattern that matches many channels (manager.c, ``action_hangup``)."""
_channels: Final = re.compile(r"[A-Za-z0-9_.][^\x00-\x1f\x7f]{0,2000}").fullmatch
_words: Final = re.compile(r"[A-Za-z0-9_.,:/@+*-]{0,1000}").fullmatch
"""A list of names that we choose: media, formats, event sources."""
_variable: Final = re.compile(r"_{0,2}[A-Za-z][A-Za-z0-9_]*(\([A-Za-z0-9_., :/@+-]*\))?").fullmatch
_any_row: Final = re.compile(r"REALTIME_FIELD\([a-z_]+,([a-z_]+) LIKE,%,\1\)").fullmatch
_guard: Final = re.compile(
    r"PJSIP_ENDPOINT\([A-Za-z0-9_.+-]{1,80},PJSIP_TRANSFER_HANDLING\(\)\)"
).fullmatch
_array: Final = re.compile(r"ARRAY\(([A-Za-z0-9_,]+)\)").fullmatch


# --- filters: foreign text unchanged, or empty -----------------------------------------------


def number(text: str) -> str:
    """A telephone number: digits, optionally after a plus sign; otherwise empty."""
    return text if _number(text) else ""


def ident(text: str) -> str:
    """An id of an agent, group, queue or transfer; otherwise empty."""
    return text if _ident(text) else ""


@lru_cache(maxsize=4096)
def name(text: str) -> str:
    """The name of a person, pause reason or place, in any script; otherwise empty."""
    if not 0 < len(text) <= _NAME_CHARACTERS:
        return ""
    kinds = [unicodedata.category(sign)[0] for sign in text]
    others = {sign for kind, sign in zip(kinds, text, strict=True) if kind not in "LMN"}
    return text if others <= _NAME_MARKS and ("L" in kinds or "N" in kinds) else ""


def location(text: str) -> str:
    """An interface without its technology, or a state interface; otherwise empty."""
    return text if _location(text) else ""


def interface(text: str) -> str:
    """A queue member's interface, as ``PJSIP/1001`` or ``Local/1001@agents/n``; otherwise empty."""
    return text if _interface(text) else ""


def member_name(text: str) -> str:
    """A queue member's name, or the interface that app_queue uses instead; otherwise empty."""
    return name(text) or location(text)


def harmless(text: str) -> bool:
    """Whether the text is printable and contains nothing special to the dialplan."""
    return text.isprintable() and SYNTAX.isdisjoint(text)


def caller_id(shown: str, identifier: str) -> str:
    """``"Alice" <1001>`` (callerid.c, ``ast_callerid_parse``); empty where the id is not clean."""
    if not ident(identifier):
        return ""
    return f'"{name(shown) or identifier}" <{identifier}>'


# --- checks ----------------------------------------------------------------------------------


def _caller_id(text: str) -> bool:
    found = re.fullmatch(r'(?:"([^"]*)" ?|([^"<>]*) ?)<([^<>]*)>', text)
    if found is None:
        return False
    quoted, plain, identifier = found.groups()
    shown = (quoted or plain or "").strip()
    return (not shown or bool(name(shown))) and (not identifier or bool(_extension(identifier)))


def _record(text: str) -> bool:
    """Fields of queue_log, separated by ``|``."""
    return text.isprintable() and (SYNTAX - frozenset(":|#")).isdisjoint(text)


_VARIABLES: Final[Mapping[str, Test]] = {
    "AVP_CALLER_ID": number,
    "AVP_DIVERTED_BY": number,
    "AVP_GATE_NUMBER": number,
    "AVP_GATE_CALLER_ID": number,
    "AVP_EXCLUDE": location,
    "AVP_HOLD_SECONDS": _count,
    "AVP_ORPHAN_SECONDS": _count,
    "AVP_ENDS_AT": _count,
    "AVP_WAITED": _count,
    "AVP_POP_HEADERS": _pairs,
    "AVP_TRUNKS": _trunks,
    "AVP_AGI": _agi,
    "AVP_DAEMON_ANSWER": name,
    "AVP_DAEMON_SUCCESSOR": name,
    "TIMEOUT(absolute)": _count,
    "CHANNEL(after_bridge_goto)": _place,
    "CONNECTED_LINE_SEND_SUB": _place,
    "REDIRECTING_SEND_SUB": _place,
}
_CHUNKED: Final = re.compile(r"AVP_SESSION_[ab][0-9]{1,2}|AVP_HISTORY_[0-9]{1,2}_[0-9]").fullmatch
_PREFIXES: Final[Mapping[str, Test]] = {
    "AVP_PHONES_": _phones,
    "AVP_ENDED_LOGINS_": _ended,
    "GLOBAL(AVP_MEMBER_": _interface,
    "GLOBAL(AVP_STAFF_": _count,
}
_OURS: Final = "AVP_"


def is_clean(variable: str, value: str) -> bool:
    """Whether a channel or global variable may be set to ``value``. An empty value is clean."""
    if not _variable(variable):
        return False
    plain = variable.lstrip("_")
    if not value:
        return True
    if plain in _VARIABLES:
        return bool(_VARIABLES[plain](value))
    for prefix, test in _PREFIXES.items():
        if plain.startswith(prefix):
            return bool(test(value))
    if _CHUNKED(plain):
        return bool(_chunk(value))
    return bool(_ident(value)) if plain.startswith(_OURS) else harmless(value)


def variables(values: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The variables that may be written, in order, and the names of those that may not."""
    clean = {key: value for key, value in values.items() if is_clean(key, value)}
    return clean, tuple(key for key in values if key not in clean)


def _setvar(variable: str, value: str) -> bool:
    """Check one variable, or several set by the dialplan function ARRAY (`ami.variables`)."""
    several = _array(variable)
    if several is None:
        return is_clean(variable, value)
    names, parts = several[1].split(","), value.split(",")
    return len(names) == len(parts) and all(map(is_clean, names, parts))


_HEADERS: Final[Mapping[str, Test]] = {
    **dict.fromkeys(
        ("Channel", "Channel1", "Channel2", "ExtraChannel", "UniqueId", "Caller"), _channel
    ),
    **dict.fromkeys(("Context", "ExtraContext", "Queue", "Event", "Paused"), _ident),
    **dict.fromkeys(("Exten", "ExtraExten"), _extension),
    **dict.fromkeys(("Priority", "ExtraPriority", "Penalty", "Wrapuptime"), _count),
    **dict.fromkeys(("Interface", "Member"), _interface),
    **dict.fromkeys(("Family", "Key"), _words),
    "StateInterface": _location,
    "MemberName": member_name,
    "Reason": name,
    "Variable": _variable,
    "Variables": _words,
}
_OF_ACTION: Final[Mapping[tuple[str, str], Test]] = {
    ("QueueLog", "Interface"): member_name,
    ("QueueLog", "Message"): _record,
    ("Getvar", "Variable"): lambda text: _variable(text) or _any_row(text) or _guard(text),
}


def check_action(action: str, headers: Mapping[str, str | Sequence[str]]) -> None:
    """Raise `UncleanValue` if a header of an AMI action is not clean."""
    for header, found in headers.items():
        for value in (found,) if isinstance(found, str) else found:
            test = _OF_ACTION.get((action, header)) or _HEADERS.get(header, harmless)
            if header == "Value" and isinstance(headers.get("Variable"), str):
                variable = str(headers["Variable"])
                if not _setvar(variable, value):
                    raise UncleanValue(variable)
            elif value and not test(value):
                raise UncleanValue(f"{action} {header}")


_QUERY: Final[Mapping[str, Test]] = {
    **dict.fromkeys(("app", "application", "context", "name", "mohClass"), _ident),
    **dict.fromkeys(("channelId", "otherChannelId"), _ident),
    **dict.fromkeys(("priority", "timeout", "reason_code"), _count),
    **dict.fromkeys(("appArgs", "formats", "media", "type", "eventSource", "states"), _words),
    "endpoint": _interface,
    "extension": _extension,
    "originator": _channel,
    "channel": _channels,
    "callerId": _caller_id,
    "dtmf": re.compile(r"[0-9A-Da-d*#]+").fullmatch,
    "variable": _variable,
}


def check_request(query: Mapping[str, str | int | None], body: object) -> None:
    """Raise `UncleanValue` if a parameter of an ARI request is not clean."""
    for key, found in query.items():
        value = "" if found is None else str(found)
        if key == "value" and "variable" in query:
            if not is_clean(str(query["variable"]), value):
                raise UncleanValue(str(query["variable"]))
        elif value and not _QUERY.get(key, harmless)(value):
            raise UncleanValue(key)
    values = body.get("variables") if isinstance(body, dict) else None
    for key, value in values.items() if isinstance(values, dict) else ():
        if not isinstance(value, str) or not is_clean(key, value):
            raise UncleanValue(key)
