"""What may be written to Asterisk: the one place that says so, for AMI, ARI and FastAGI.

Asterisk's dialplan substitutes variables as text. Wherever a dialplan, ours or the administrator's,
puts one into an expression, into a function's argument or into an application that parses its
argument, the text becomes part of the program: ``1002):System(…`` as a caller's number ran a shell
command (pbx_variables.c, ``pbx_substitute_variables_helper_full``; ast_expr2.fl; app.c,
``__ast_app_separate_args``). So nothing is written that could mean anything there.

There are two halves. The *constructors* (`number`, `name`, `location`…) take foreign text and
return it unchanged, or empty where it is not clean: text is never cleaned by halves, which would
give it another meaning. The core writes nothing foreign but through them. The *gate* (`variables`,
`check_action`, `check_request`) is the adapters' last look: an unclean value is not sent, whoever
made it. It names the variable or header and never repeats the value.
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
"""What has a meaning in the dialplan somewhere, or in a program that it may start."""

_NAME_MARKS: Final = frozenset(" .-_'\N{RIGHT SINGLE QUOTATION MARK}\u200c\u200d")
"""Signs of a name beside letters, digits and accents. The last two join letters of some scripts."""

_NAME_CHARACTERS: Final = 80

_number: Final = re.compile(r"\+?[0-9]{1,15}").fullmatch
_count: Final = re.compile(r"-?[0-9]{1,12}").fullmatch
_ident: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}").fullmatch
_piece: Final = re.compile(r"[A-Za-z0-9_-]{1,900}").fullmatch
_location: Final = re.compile(r"[A-Za-z0-9+*#][A-Za-z0-9._@/:+*#-]{0,127}").fullmatch
_interface: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9_]*/[A-Za-z0-9+*#][A-Za-z0-9._@/:+*#-]{0,127}"
).fullmatch
_extension: Final = re.compile(r"[A-Za-z0-9_.+*#-]{1,80}").fullmatch
_place: Final = re.compile(r"[a-z-]{1,40},[a-z]{1,20},[0-9]{1,3}").fullmatch
_pairs: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9_]*:X-AVP-[A-Za-z0-9-]+(,[A-Za-z][A-Za-z0-9_]*:X-AVP-[A-Za-z0-9-]+)*"
).fullmatch
_channel: Final = re.compile(r"[A-Za-z0-9_.][^\x00-\x1f\x7f]{0,255}").fullmatch
"""A channel's name or id, which finds a channel and is not evaluated. One that begins with a slash
is a pattern for many (manager.c, ``action_hangup``)."""
_channels: Final = re.compile(r"[A-Za-z0-9_.][^\x00-\x1f\x7f]{0,2000}").fullmatch
_words: Final = re.compile(r"[A-Za-z0-9_.,:/@+*-]{0,1000}").fullmatch
"""A list of names of ours: media, formats, event sources."""
_variable: Final = re.compile(r"_{0,2}[A-Za-z][A-Za-z0-9_]*(\([A-Za-z0-9_., :/@+-]*\))?").fullmatch
_array: Final = re.compile(r"ARRAY\(([A-Za-z0-9_,]+)\)").fullmatch


# --- constructors: foreign text as it is, or nothing -----------------------------------------


def number(text: str) -> str:
    """A telephone number of digits, with or without a plus; else empty."""
    return text if _number(text) else ""


def ident(text: str) -> str:
    """An id of ours: an agent's, a group's, a queue's, a transfer's; else empty."""
    return text if _ident(text) else ""


@lru_cache(maxsize=4096)
def name(text: str) -> str:
    """What a person, a pause or a place is called, in letters of any script; else empty."""
    if not 0 < len(text) <= _NAME_CHARACTERS:
        return ""
    kinds = [unicodedata.category(sign)[0] for sign in text]
    others = {sign for kind, sign in zip(kinds, text, strict=True) if kind not in "LMN"}
    return text if others <= _NAME_MARKS and ("L" in kinds or "N" in kinds) else ""


def location(text: str) -> str:
    """An interface without its technology, or what a state is asked of; else empty."""
    return text if _location(text) else ""


def interface(text: str) -> str:
    """A queue member's interface, as ``PJSIP/1001`` or ``Local/1001@agents/n``; else empty."""
    return text if _interface(text) else ""


def member_name(text: str) -> str:
    """What app_queue calls a member: a name, or its interface where it has none; else empty."""
    return name(text) or location(text)


def harmless(text: str) -> bool:
    """Whether it is printed and means nothing in the dialplan."""
    return text.isprintable() and SYNTAX.isdisjoint(text)


def caller_id(shown: str, identifier: str) -> str:
    """``"Alice" <1001>`` (callerid.c, ``ast_callerid_parse``); empty where the id is not clean."""
    if not ident(identifier):
        return ""
    return f'"{name(shown) or identifier}" <{identifier}>'


# --- the gate --------------------------------------------------------------------------------


def _caller_id(text: str) -> bool:
    found = re.fullmatch(r'(?:"([^"]*)" ?|([^"<>]*) ?)<([^<>]*)>', text)
    if found is None:
        return False
    quoted, plain, identifier = found.groups()
    shown = (quoted or plain or "").strip()
    return (not shown or bool(name(shown))) and (not identifier or bool(_extension(identifier)))


def _record(text: str) -> bool:
    """Fields of queue_log, between bars."""
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
    "AVP_DAEMON_ANSWER": name,
    "TIMEOUT(absolute)": _count,
    "CHANNEL(after_bridge_goto)": _place,
}
_PIECES: Final = re.compile(r"AVP_SESSION_[ab][0-9]{1,2}|AVP_HISTORY_[0-9]{1,2}_[0-9]").fullmatch
_OURS: Final = "AVP_"


def is_clean(variable: str, value: str) -> bool:
    """Whether a channel's or a global variable may be set to that. Empty is nothing, and clean."""
    if not _variable(variable):
        return False
    plain = variable.lstrip("_")
    if not value:
        return True
    if plain in _VARIABLES:
        return bool(_VARIABLES[plain](value))
    if _PIECES(plain):
        return bool(_piece(value))
    return bool(_ident(value)) if plain.startswith(_OURS) else harmless(value)


def variables(values: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Those that may be written, in their order, and the names of those that may not."""
    clean = {key: value for key, value in values.items() if is_clean(key, value)}
    return clean, tuple(key for key in values if key not in clean)


def _setvar(variable: str, value: str) -> bool:
    """One variable, or several by the dialplan's function ARRAY (see `ami.variables`)."""
    several = _array(variable)
    if several is None:
        return is_clean(variable, value)
    names, parts = several[1].split(","), value.split(",")
    return len(names) == len(parts) and all(map(is_clean, names, parts))


_HEADERS: Final[Mapping[str, Test]] = {
    **dict.fromkeys(("Channel", "Channel1", "Channel2", "ExtraChannel", "UniqueId"), _channel),
    **dict.fromkeys(("Context", "ExtraContext", "Queue", "Event", "Paused"), _ident),
    **dict.fromkeys(("Exten", "ExtraExten"), _extension),
    **dict.fromkeys(("Priority", "ExtraPriority", "Penalty", "Wrapuptime"), _count),
    **dict.fromkeys(("Interface", "Member"), _interface),
    "StateInterface": _location,
    "MemberName": member_name,
    "Reason": name,
    "Variable": _variable,
    "Variables": _words,
}
_OF_ACTION: Final[Mapping[tuple[str, str], Test]] = {
    ("QueueLog", "Interface"): member_name,
    ("QueueLog", "Message"): _record,
}


def check_action(action: str, headers: Mapping[str, str | Sequence[str]]) -> None:
    """Raise `UncleanValue` where a header of an AMI action is not clean."""
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
    """Raise `UncleanValue` where a parameter of an ARI request is not clean."""
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
