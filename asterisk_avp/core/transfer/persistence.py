"""A session as text, stored on the caller's channel so that another daemon can continue it.

The text is JSON with a version, packed (`core.messages.packing`) because it contains foreign text
such as names and notes. It names the group, whose current settings are used, and what policy
permitted; it contains no secret. Invalid text, another version or a group that no longer exists
yields no session; the dialplan's fallback then handles the caller.

The text is too long for one variable, and the daemon may be killed while it writes. So there are
two sets of chunks, written in turn, and a commit marker that names the complete set. The marker is
written after the chunks, and Asterisk executes the actions of one connection in order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import astuple, replace
from typing import Any, Final

from asterisk_avp.core.messages import clean
from asterisk_avp.core.messages.packing import pack, split_text, unpack
from asterisk_avp.core.model.caller import Presentation
from asterisk_avp.core.model.hold import MAX_SECONDS
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.world import Mode, Origin, Target, TargetKind, World
from asterisk_avp.core.transfer.session import (
    Fourth,
    Intent,
    Party,
    Presence,
    Session,
    Times,
)
from asterisk_avp.core.transfer.states import FORMER_VALUES, State

VERSION: Final = 1

CHUNK_CHARACTERS: Final = 800
"""A line of an action is limited to 1,024 bytes (manager.h, ``mansession_session.inbuf``). Few
large chunks are read by few actions; most sessions are one."""

COMMIT_MARKER: Final = "AVP_SESSION_0"
"""The complete set of chunks and their number, such as ``a-3``. Empty or unset: no session.

Earlier daemons wrote ``a:3``; their chunks are plain JSON.
"""

SETS: Final = {
    letter: tuple(f"AVP_SESSION_{letter}{number}" for number in range(60)) for letter in "ab"
}
"""Names of the channel variables that contain the chunks."""

_LATEST: Final = 4_102_444_800.0
"""The year 2100, in Unix seconds."""

_MARGIN: Final = 2
"""A session's text can shrink by this many chunks between two steps (a fourth party has left)."""

MAX_LENGTH: Final = 16_384
"""Longer text is invalid: only the notes have no narrow limit of their own."""

_PLAIN: Final = (
    "id",
    "agent",
    "group",
    "local_far_end",
    "transferor_location",
    "max_hold_seconds",
    "ring_outside_seconds",
    "notes",
    "refused",
    "attended",
    "second_line",
    "tries",
    "reason",
    "delivered_to",
    "fourths_called",
    "target_id",
)
"""Fields that are text, numbers or booleans, with the types that `Session` has."""

_KEYS: Final = {"local_far_end": "leg_other"}
"""Fields whose keys in the text differ from their names, for compatibility with earlier daemons."""

_ENUMS: Final = {
    "mode": Mode,
    "origin": Origin,
    "intent": Intent,
}
_STATES: Final = ("state", "outcome")
_PARTIES: Final = ("transferor", "caller", "leg")

PERSISTED: Final = frozenset(
    {*_PLAIN, *_ENUMS, *_STATES, *_PARTIES, "variables", "target", "permission", "fourth"}
    | {"asked", "waiting_since", "on_hold", "times"}
)
"""Every field of `Session`, as a test checks."""


def encode(session: Session) -> str:
    """The session as text."""
    plain = {_KEYS.get(name, name): getattr(session, name) for name in _PLAIN}
    enums = {name: getattr(session, name).value for name in (*_ENUMS, *_STATES)}
    parties = {name: _party(getattr(session, name)) for name in _PARTIES}
    fourth = session.fourth
    return json.dumps(
        {
            "v": VERSION,
            **plain,
            **enums,
            **parties,
            "presentation": session.caller.presentation.value,
            "variables": dict(session.variables),
            "target": [session.target.kind.value, session.target.value] if session.target else None,
            "allow": _permission(session.permission),
            "fourth": None
            if fourth is None
            else [fourth.id, _party(fourth.party), fourth.other, _permission(fourth.permission)],
            "asked": session.asked,
            "waiting": session.waiting_since,
            **({"on_hold": sorted(session.on_hold)} if session.on_hold else {}),
            "times": None if session.times is None else [*astuple(session.times)],
        },
        separators=(",", ":"),
    )


def variables(session: Session, before: Mapping[str, str] | None = None) -> dict[str, str]:
    """The session as channel variables, in the order in which they must be written.

    ``before``: the previous result, whose chunks are not overwritten.
    """
    chunks = split_text(pack(encode(session)), CHUNK_CHARACTERS)
    letter = "b" if before is not None and before[COMMIT_MARKER].startswith("a") else "a"
    return {
        **dict(zip(SETS[letter], chunks, strict=False)),
        COMMIT_MARKER: f"{letter}-{len(chunks)}",
    }


def same(first: Mapping[str, str], second: Mapping[str, str]) -> bool:
    """Whether two results of `variables` contain the same text."""
    return [*first.values()][:-1] == [*second.values()][:-1]


def chunks_of(written: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the chunks that may exist in both sets, given the last result of `variables`.

    The other set may have had up to `_MARGIN` chunks more.
    """
    some = len(written) + _MARGIN
    return tuple(name for names in SETS.values() for name in names[:some])


def read(values: Mapping[str, str], world: World) -> Session | None:
    """The session in these channel variables; None: none, or none of this configuration."""
    marker = values.get(COMMIT_MARKER, "")
    names = chunk_names(marker)
    if names is None:
        return None
    text = "".join(values.get(name, "") for name in names)
    try:
        return decode(text if ":" in marker else unpack(text, MAX_LENGTH), world)
    except ValueError:
        return None


def chunk_names(marker: str) -> tuple[str, ...] | None:
    """The variables that a marker refers to; None: an invalid marker."""
    found = re.fullmatch("([ab])[:-]([0-9]{1,2})", marker)
    if found is None or not 0 < int(found[2]) <= len(SETS[found[1]]):
        return None
    return SETS[found[1]][: int(found[2])]


def decode(text: str, world: World) -> Session | None:
    """The session that `encode` wrote; None: invalid, or not of this configuration."""
    if len(text) > MAX_LENGTH:
        return None
    try:
        return _session(json.loads(text), world)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _session(read: dict[str, Any], world: World) -> Session:
    if read["v"] != VERSION:
        raise ValueError("another version")
    group = world.groups[_text(read["group"])]
    target, fourth = read["target"], read["fourth"]

    def permission(values: list[Any]) -> Permission:
        queue, agent, number, may_detach, *nodes = values
        return Permission(
            group,
            queue=_id(queue),
            agent=_id(agent),
            number=None if number is None else _clean(number, clean.number),
            may_detach=may_detach is True,
            **_nodes_of(nodes, world),
        )

    values: dict[str, Any] = {
        name: _same_type(name, read[_KEYS.get(name, name)]) for name in _PLAIN
    }
    values |= {name: kind(read[name]) for name, kind in _ENUMS.items()}
    values |= {name: _state(read[name]) for name in _STATES}
    values |= {name: _party_of(read[name]) for name in _PARTIES}
    values["variables"] = {_text(key): _text(value) for key, value in read["variables"].items()}
    if clean.variables(values["variables"])[1]:
        raise ValueError("variables")
    for name in ("id", "agent"):
        _clean(values[name], clean.ident)
    values["permission"] = permission(read["allow"])
    values["target"] = values["fourth"] = None
    if target is not None:
        values["target"] = Target(TargetKind(target[0]), _text(target[1]))
    if fourth is not None:
        identifier, party, other, allowed = fourth
        values["fourth"] = Fourth(
            _text(identifier), _party_of(party), _text(other), permission(allowed)
        )
    # Earlier daemons did not write these.
    presentation = Presentation(read.get("presentation", Presentation.UNKNOWN))
    values["caller"] = replace(values["caller"], presentation=presentation)
    values["asked"] = tuple(_clean(agent, clean.ident) for agent in [*read.get("asked", [])])
    if values["fourth"] is not None and values["fourth"].permission.agent:
        values["asked"] = (*dict.fromkeys((*values["asked"], values["fourth"].permission.agent)),)
    values["on_hold"] = frozenset(map(_text, [*read.get("on_hold", [])]))
    values["waiting_since"] = _time(read.get("waiting"))
    values["times"] = _times(read.get("times"))
    return Session(**values)


def _time(value: object) -> float | None:
    """Unix seconds. Raises `ValueError` for a time that a date cannot have."""
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= _LATEST:  # type: ignore[operator]
        raise ValueError("not a time")
    return float(value)  # type: ignore[arg-type]


def _times(values: list[object] | None) -> Times | None:
    if values is None:
        return None
    started, since, music_since = map(_time, values)
    if started is None or since is None:
        raise ValueError("not a time")
    return Times(started, since, music_since)


def _state(value: object) -> State:
    name = _text(value)
    return FORMER_VALUES.get(name) or State(name)


def _party(party: Party) -> list[str]:
    return [party.channel, party.number, party.name, party.presence.value]


def _party_of(values: list[Any]) -> Party:
    channel, number, name, presence = map(_text, values)
    return Party(channel, number, name, Presence(presence))


def _permission(permission: Permission) -> list[Any]:
    nodes = (
        [permission.node, [*permission.trunks], permission.others] if permission.by_trunk else []
    )
    return [permission.queue, permission.agent, permission.number, permission.may_detach, *nodes]


def _nodes_of(values: list[Any], world: World) -> dict[str, Any]:
    """Where the target is, if not here only. The trunks must be of nodes that are configured.

    Earlier daemons did not write these. Raises `ValueError` or `LookupError`.
    """
    if not values:
        return {}
    node, trunks, others = values
    trunk = world.nodes[_text(node)].endpoint if node else ""
    if not {*map(_text, trunks)} <= {node.endpoint for node in world.nodes.values()}:
        raise ValueError("trunks")
    return {"node": node, "trunk": trunk, "trunks": tuple(trunks), "others": others is True}


_TYPES: Final = {
    "max_hold_seconds": int,
    "ring_outside_seconds": int,
    "tries": int,
    "fourths_called": int,
    "refused": bool,
    "attended": bool,
}


def _same_type(name: str, value: object) -> object:
    if name == "delivered_to":
        return _optional(value)
    if type(value) is not _TYPES.get(name, str):
        raise TypeError(name)
    if type(value) is int and not 0 <= value <= MAX_SECONDS:
        raise ValueError(name)  # a count, or seconds for a timer
    return _text(value) if isinstance(value, str) else value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    value.encode()  # a ValueError for unpaired surrogates, which cannot be sent
    return value


def _clean(value: object, made: Callable[[str], str]) -> str:
    """A value that is written to channels again. Raises `ValueError` if it is not clean."""
    text = made(_text(value))
    if not text:
        raise ValueError("not clean")
    return text


def _id(value: object) -> str | None:
    return None if value is None else _clean(value, clean.ident)


def _optional(value: object) -> str | None:
    return None if value is None else _text(value)
