"""What a screen pop says: read from a call's channel variables, and put into the shape shown.

The variables are set by the administrator's dialplan, often from what a caller typed or a web
service answered, so nothing is believed of them: what is not a JSON object of moderate size and
depth is left out, with a reason for the log, and the call goes on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from asterisk_avp.core.messages.packing import pack, unpack

VARIABLE: Final = "AVP_POP"
PREFIX: Final = "AVP_POP_"
HISTORY: Final = "AVP_HISTORY_"
WAITED: Final = "AVP_WAITED"
"""What happened to a call is kept on the caller's channel, for a daemon that starts anew:
``AVP_HISTORY_<transfer>_<part>``, JSON that is packed (`core.messages.packing`), in parts, since
AMI cannot write more than about 1000 bytes at once and ARI writes to no channel outside of
Stasis."""

MAX_BYTES: Final = 16 * 1024
"""Of all the variables of one pop together."""
MAX_DEPTH: Final = 8
MAX_KEYS: Final = 200
MAX_TRANSFERS: Final = 20
"""The latest are kept."""
_PART: Final = 900
"""Characters of a part; all are ASCII."""
_PARTS: Final = 4
"""Of one transfer. The note is cut to fit."""

_HISTORY = re.compile(HISTORY + "[0-9]{1,2}_[0-9]|" + WAITED)
_KEY = re.compile(r"[A-Za-z0-9_]{1,60}")
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"

# Variables of that prefix that are ours or Asterisk's side of a setting, not data.
_NOT_DATA = frozenset({"AVP_POP_HEADERS"})

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Moved:
    """One transfer that took the call from one agent to another."""

    agent: str
    name: str
    mode: str
    note: str
    at: str
    """ISO 8601 in UTC, as in the API."""
    transfer: str = ""
    """Its id."""

    def by_nobody(self) -> Moved:
        """The same for somebody who may not know of the agent."""
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
    """Something that was set, and is not shown. Says what is wrong, never what it said."""

    variable: str
    reason: str


@dataclass(frozen=True, slots=True)
class Read:
    """A call's variables as they were understood."""

    data: Data = field(default_factory=dict)
    transfers: tuple[Moved, ...] = ()
    waited_seconds: int = 0
    history: Mapping[str, str] = field(default_factory=dict)
    """The variables that the transfers and the wait were read from."""
    ignored: tuple[Ignored, ...] = ()


class _NotUsable(ValueError):
    """With a reason for the log."""


def read(variables: Mapping[str, str]) -> Read:
    """Understand what the channel's variables say; what is not usable is named in ``ignored``.

    ``AVP_POP_<KEY>`` is the key in lower case, and wins over the same key of ``AVP_POP``.
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
        except _NotUsable as error:
            ignored.append(Ignored(name, str(error)))
            continue
        data |= found
    transfers, waited = _history(variables, ignored)
    return Read(data, transfers, waited, of_history(variables), tuple(ignored))


def _key_of(name: str) -> str | None:
    """The key that a variable says something about; empty for all; None: no business of ours."""
    if name == VARIABLE:
        return ""
    key = name.removeprefix(PREFIX)
    if key == name or name in _NOT_DATA or _KEY.fullmatch(key) is None:
        return None
    return key.lower()


def _size(text: str, left: int) -> int:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > left:
        raise _NotUsable(f"more than {MAX_BYTES} bytes")
    # What is not UTF-8 arrives with this character in the place of each wrong byte.
    if _REPLACEMENT in text:
        raise _NotUsable("not UTF-8")
    return size


def _object(text: str) -> dict[str, Any]:
    value = _json(text)
    if not isinstance(value, dict):
        raise _NotUsable("not a JSON object")
    if sum(1 for _ in _nodes(value, 1)) > MAX_KEYS:
        raise _NotUsable(f"more than {MAX_KEYS} values")
    clean: dict[str, Any] = _clean(value)
    return clean


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except _NotUsable:
        raise
    except RecursionError:
        raise _NotUsable(f"deeper than {MAX_DEPTH}") from None
    except ValueError:
        raise _NotUsable("not JSON") from None


def _refuse(name: str) -> Any:
    raise _NotUsable(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _NotUsable("a number that is too large")
    return value


def _nodes(value: Any, depth: int) -> Iterator[Any]:
    if depth > MAX_DEPTH + 1:
        raise _NotUsable(f"deeper than {MAX_DEPTH}")
    yield value
    inner = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        for item in inner:
            yield from _nodes(item, depth + 1)


def _clean(value: Any) -> Any:
    r"""Without half characters: JSON can write them (``"\ud800"``), UTF-8 cannot."""
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict):
        return {whole(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value


def whole(text: str) -> str:
    """The text as it can be sent, with half characters replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


# --- the history that travels with the call ---------------------------------------------------


def history(transfers: tuple[Moved, ...], waited_seconds: int) -> dict[str, str]:
    """The variables that say it."""
    found = {WAITED: str(waited_seconds)} if waited_seconds else {}
    for number, moved in enumerate(transfers[-MAX_TRANSFERS:], 1):
        text = _entry(moved)
        for part in range(-(-len(text) // _PART)):
            found[f"{HISTORY}{number}_{part + 1}"] = text[part * _PART : (part + 1) * _PART]
    return found


def of_history(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of a channel's variables that `history` writes."""
    return {name: text for name, text in variables.items() if _HISTORY.fullmatch(name) and text}


def _entry(moved: Moved) -> str:
    room = _PART * _PARTS
    while True:
        entry = {**moved.shown(), "transfer": moved.transfer}
        text = pack(json.dumps(entry, separators=(",", ":"), ensure_ascii=False))
        if len(text) <= room or not moved.note:
            return text[:room]
        # One character takes at most 6.
        moved = replace(moved, note=moved.note[: -max(1, (len(text) - room) // 6)])


def _history(variables: Mapping[str, str], ignored: list[Ignored]) -> tuple[tuple[Moved, ...], int]:
    waited = variables.get(WAITED, "")
    seconds = int(waited) if re.fullmatch(r"[0-9]{1,7}", waited) else 0
    transfers = []
    for number in range(1, MAX_TRANSFERS + 1):
        names = (f"{HISTORY}{number}_{part}" for part in range(1, _PARTS + 1))
        parts = [variables.get(name, "") for name in names]
        if any(parts):
            try:
                transfers.append(_moved(_json(_unpacked(parts))))
            except (KeyError, TypeError, ValueError):
                ignored.append(Ignored(f"{HISTORY}{number}", "not a transfer"))
    return tuple(transfers), seconds


def _unpacked(parts: list[str]) -> str:
    if parts[0].startswith("|"):  # as earlier daemons wrote it: JSON, each part between bars
        return "".join(part.removeprefix("|").removesuffix("|") for part in parts)
    return unpack("".join(parts), MAX_BYTES)


def _moved(entry: Any) -> Moved:
    texts = [entry[name] for name in ("from", "from_name", "mode", "note", "at", "transfer")]
    if not all(isinstance(text, str) for text in texts):
        raise _NotUsable("not a transfer")
    return Moved(*map(whole, texts))


# --- the shape --------------------------------------------------------------------------------


def shape(
    call: str,
    data: Data,
    *,
    number: str,
    name: str,
    group: str | None,
    waited_seconds: int,
    transfers: tuple[Moved, ...],
    url: str | None,
) -> dict[str, Any]:
    """A screen pop as the API, the WebSocket and the webhook show it."""
    return {
        "id": call,
        "data": dict(data),
        "caller": {"number": whole(number), "name": whole(name)},
        "group": group,
        "waited_seconds": waited_seconds,
        "transfers": [moved.shown() for moved in transfers],
        "note": transfers[-1].note if transfers else "",
        "url": url,
    }
