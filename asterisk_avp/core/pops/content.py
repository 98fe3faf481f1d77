"""The content of a screen pop: parsed from a call's channel variables, and its JSON shape.

The administrator's dialplan sets the variables, often from a caller's input or a web service, so
they are untrusted. Anything other than a JSON object of moderate size and depth is left out, with a
reason for the log.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from asterisk_avp.core.messages.packing import pack, split_text, unpack
from asterisk_avp.core.model.caller import Caller, Told
from asterisk_avp.core.numbers import shown

VARIABLE: Final = "AVP_POP"
PREFIX: Final = "AVP_POP_"
HISTORY: Final = "AVP_HISTORY_"
WAITED: Final = "AVP_WAITED"
"""The call's history is stored on the caller's channel, for a daemon that restarts:
``AVP_HISTORY_<transfer>_<part>`` contains packed JSON (`core.messages.packing`), in parts, because
AMI cannot write more than about 1000 bytes at once and ARI cannot write to channels outside
Stasis."""

MAX_BYTES: Final = 16 * 1024
"""Limit for all variables of one pop together."""
MAX_DEPTH: Final = 8
MAX_KEYS: Final = 200
MAX_TRANSFERS: Final = 20
"""The latest transfers are kept."""
_PART: Final = 900
"""Characters of a part, all ASCII."""
_PARTS: Final = 4
"""Parts of one transfer; the note is truncated to fit."""

_HISTORY = re.compile(HISTORY + "[0-9]{1,2}_[0-9]|" + WAITED)
_KEY = re.compile(r"[A-Za-z0-9_]{1,60}")
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"

# Variables with the prefix that configure Asterisk and are not data.
_NOT_DATA = frozenset({"AVP_POP_HEADERS"})

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PastTransfer:
    """A past transfer of the call."""

    agent: str
    name: str
    mode: str
    note: str
    at: str
    """ISO 8601 in UTC, as in the API."""
    transfer: str = ""
    """The transfer's id."""

    def without_agent(self) -> PastTransfer:
        """The same without the agent, for a viewer in whose scope the agent is not."""
        return replace(self, agent="", name="")

    def shown(self) -> dict[str, str]:
        return {
            "from": self.agent,
            "from_name": self.name,
            "mode": self.mode,
            "note": self.note,
            "at": self.at,
        }


@dataclass(frozen=True, slots=True)
class Ignored:
    """A variable that is not shown, with the reason. Never contains the value."""

    variable: str
    reason: str


@dataclass(frozen=True, slots=True)
class ParsedVariables:
    """The parsed variables of a call."""

    data: Data = field(default_factory=dict)
    transfers: tuple[PastTransfer, ...] = ()
    waited_seconds: int = 0
    history: Mapping[str, str] = field(default_factory=dict)
    """The variables that contained the transfers and the wait."""
    ignored: tuple[Ignored, ...] = ()


class _Unusable(ValueError):
    """A value that cannot be shown; the message is the reason for the log."""


def read(variables: Mapping[str, str]) -> ParsedVariables:
    """Parse the channel's variables; ``ignored`` names those that are unusable.

    ``AVP_POP_<KEY>`` sets the key in lower case, and overrides the same key of ``AVP_POP``.
    """
    data: dict[str, Any] = {}
    ignored: list[Ignored] = []
    left = MAX_BYTES
    for name in sorted(variables, key=lambda name: (name != VARIABLE, name)):
        text = variables[name]
        key = _key_of(name)
        if key is None or not text:
            continue
        try:
            left -= _size(text, left)
            found = _object(text) if name == VARIABLE else {key: text}
        except _Unusable as error:
            ignored.append(Ignored(name, str(error)))
            continue
        data |= found
    transfers, waited = _history(variables, ignored)
    return ParsedVariables(data, transfers, waited, history_variables(variables), tuple(ignored))


def _key_of(name: str) -> str | None:
    """The key that a variable sets; empty: all keys; None: not a variable of a pop."""
    if name == VARIABLE:
        return ""
    key = name.removeprefix(PREFIX)
    if key == name or name in _NOT_DATA or _KEY.fullmatch(key) is None:
        return None
    return key.lower()


def _size(text: str, left: int) -> int:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > left:
        raise _Unusable(f"more than {MAX_BYTES} bytes")
    # Each invalid byte arrives as this character.
    if _REPLACEMENT in text:
        raise _Unusable("not UTF-8")
    return size


def _object(text: str) -> dict[str, Any]:
    value = _json(text)
    if not isinstance(value, dict):
        raise _Unusable("not a JSON object")
    if sum(1 for _ in _nodes(value, 1)) > MAX_KEYS:
        raise _Unusable(f"more than {MAX_KEYS} values")
    clean: dict[str, Any] = _clean(value)
    return clean


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except _Unusable:
        raise
    except RecursionError:
        raise _Unusable(f"deeper than {MAX_DEPTH}") from None
    except ValueError:
        raise _Unusable("not JSON") from None


def _refuse(name: str) -> Any:
    raise _Unusable(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Unusable("a number that is too large")
    return value


def _nodes(value: Any, depth: int) -> Iterator[Any]:
    if depth > MAX_DEPTH + 1:
        raise _Unusable(f"deeper than {MAX_DEPTH}")
    yield value
    inner = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        for item in inner:
            yield from _nodes(item, depth + 1)


def _clean(value: Any) -> Any:
    r"""Replace unpaired surrogates: JSON can contain them (``"\ud800"``), UTF-8 cannot."""
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, dict):
        return {without_surrogates(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value


def without_surrogates(text: str) -> str:
    """The text with unpaired surrogates replaced, so that it can be encoded."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


# --- the history that travels with the call ---------------------------------------------------


def history(transfers: tuple[PastTransfer, ...], waited_seconds: int) -> dict[str, str]:
    """Encode the history as channel variables."""
    found = {WAITED: str(waited_seconds)} if waited_seconds else {}
    for number, past in enumerate(transfers[-MAX_TRANSFERS:], 1):
        for part, text in enumerate(split_text(_entry(past), _PART), 1):
            found[f"{HISTORY}{number}_{part}"] = text
    return found


def history_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that `history` writes, of all variables of a channel."""
    return {name: text for name, text in variables.items() if _HISTORY.fullmatch(name) and text}


def _entry(past: PastTransfer) -> str:
    room = _PART * _PARTS
    while True:
        entry = {**past.shown(), "transfer": past.transfer}
        text = pack(json.dumps(entry, separators=(",", ":"), ensure_ascii=False))
        if len(text) <= room or not past.note:
            return text[:room]
        # One character of the note takes at most 6 characters.
        past = replace(past, note=past.note[: -max(1, (len(text) - room) // 6)])


def _history(
    variables: Mapping[str, str], ignored: list[Ignored]
) -> tuple[tuple[PastTransfer, ...], int]:
    waited = variables.get(WAITED, "")
    seconds = int(waited) if re.fullmatch(r"[0-9]{1,7}", waited) else 0
    transfers = []
    for number in range(1, MAX_TRANSFERS + 1):
        names = (f"{HISTORY}{number}_{part}" for part in range(1, _PARTS + 1))
        parts = [variables.get(name, "") for name in names]
        if any(parts):
            try:
                transfers.append(_past_transfer(_json(_unpacked(parts))))
            except (KeyError, TypeError, ValueError):
                ignored.append(Ignored(f"{HISTORY}{number}", "not a transfer"))
    return tuple(transfers), seconds


def _unpacked(parts: list[str]) -> str:
    if parts[0].startswith("|"):  # the format of earlier daemons: JSON, each part between bars
        return "".join(part.removeprefix("|").removesuffix("|") for part in parts)
    return unpack("".join(parts), MAX_BYTES)


def _past_transfer(entry: Any) -> PastTransfer:
    texts = [entry[name] for name in ("from", "from_name", "mode", "note", "at", "transfer")]
    if not all(isinstance(text, str) for text in texts):
        raise _Unusable("not a transfer")
    return PastTransfer(*map(without_surrogates, texts))


# --- the shape --------------------------------------------------------------------------------


def ordered(data: Data, first: Iterable[str]) -> dict[str, Any]:
    """``data`` with the keys of ``first`` before all others, in that order.

    A key that is not there as it is written is found in other letters, upper or lower case: that of
    the variable AVP_POP_ORDER is "order".
    """
    by_letters: dict[str, list[str]] = {}
    for key in data:
        by_letters.setdefault(key.casefold(), []).append(key)
    found: dict[str, Any] = {}
    for wanted in first:
        for key in [wanted] if wanted in data else by_letters.get(wanted.casefold(), ()):
            found.setdefault(key, data[key])
    return found | dict(data)


def as_told(data: Data, caller: Caller, told: Told) -> Data:
    """``data`` without the values that contain a caller who is not told.

    Dialplans often set one of them to the caller's number.
    """
    if (not caller.number and not caller.name) or told.number or told.name:
        return data
    return {key: _as_told(value, caller) for key, value in data.items()}


def _as_told(value: Any, caller: Caller) -> Any:
    match value:
        case dict():
            return {key: _as_told(each, caller) for key, each in value.items()}
        case list():
            return [_as_told(each, caller) for each in value]
        case str() | int() | float() if caller.is_in(str(value)):
            return ""
        case _:
            return value


def shape(
    call: str,
    data: Data,
    *,
    caller: Told,
    country: str | None,
    group: str | None,
    waited_seconds: int,
    transfers: tuple[PastTransfer, ...],
    url: str | None,
) -> dict[str, Any]:
    """A screen pop in the JSON shape of the API, the WebSocket and the webhook.

    ``country``: the client's, as whose people the number is formatted.
    """
    return {
        "id": call,
        "data": dict(data),
        "caller": {
            "number": without_surrogates(caller.number),
            "number_formatted": without_surrogates(shown(caller.number, country)),
            "name": without_surrogates(caller.name),
            "withheld": caller.withheld,
        },
        "group": group,
        "waited_seconds": waited_seconds,
        "transfers": [past.shown() for past in transfers],
        "note": transfers[-1].note if transfers else "",
        "url": url,
    }
