"""A session as text, kept on the caller's channel so that another daemon can take over.

The text is JSON with a version, packed (`core.messages.packing`) since names and notes in it are
foreign text. It names the group, whose settings are read anew, and what policy had allowed; it
holds no secret. Text that is not ours, of another version, or of a group that does not exist any
more is no session, and the caller is looked after by the dialplan's net.

The text is longer than one variable can be, and whoever writes it may be killed half-way. So there
are two sets of pieces, which take turns, and a mark that says which of them is whole: it is written
after the pieces, and Asterisk does what it is told on one connection in order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from asterisk_avp.core.messages import clean
from asterisk_avp.core.messages.packing import pack, unpack
from asterisk_avp.core.model.hold import MAX_SECONDS
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.world import Mode, Origin, Target, TargetKind, World
from asterisk_avp.core.transfer.session import Fourth, Intent, Party, Presence, Session
from asterisk_avp.core.transfer.states import FORMER_VALUES, State

VERSION: Final = 1

PIECE: Final = 430
"""AMI's Status cuts values off at 511 bytes (manager.c, ``generate_status``), and no action may
have a line longer than 1,024 (``mansession_session.inbuf``): two go into one (`ami.variables`)."""

MARK: Final = "AVP_SESSION_0"
"""Which set of pieces holds, and how many they are: ``a-3``. Empty or unset: no session.

``a:3`` is what earlier daemons wrote, whose pieces are the JSON itself.
"""

SETS: Final = {
    letter: tuple(f"AVP_SESSION_{letter}{number}" for number in range(60)) for letter in "ab"
}
"""Names of the channel variables that the text is spread over."""

_MORE: Final = 2
"""A session's text may shrink by that many pieces between two steps (a fourth party has gone)."""

MAX_LENGTH: Final = 16_384
"""Longer text is none of ours: the notes are the only part without a narrow limit of its own."""

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
"""Fields that are text, numbers or truth values, with their types as in `Session`."""

_KEYS: Final = {"local_far_end": "leg_other"}
"""Fields whose keys in the text differ from their names, since earlier daemons wrote these."""

_ENUMS: Final = {
    "mode": Mode,
    "origin": Origin,
    "intent": Intent,
}
_STATES: Final = ("state", "outcome")
_PARTIES: Final = ("transferor", "caller", "leg")

REMEMBERED: Final = frozenset(
    {*_PLAIN, *_ENUMS, *_STATES, *_PARTIES, "variables", "target", "allow", "fourth"}
)
"""Every field of `Session`; a test says so."""


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
            "variables": dict(session.variables),
            "target": [session.target.kind.value, session.target.value] if session.target else None,
            "allow": _permission(session.allow),
            "fourth": None
            if fourth is None
            else [fourth.id, _party(fourth.party), fourth.other, _permission(fourth.allow)],
        },
        separators=(",", ":"),
    )


def variables(session: Session, before: Mapping[str, str] | None = None) -> dict[str, str]:
    """The session as channel variables, in the order in which they have to be written.

    ``before``: what this returned the last time, whose pieces are left alone.
    """
    text = pack(encode(session))
    pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
    letter = "b" if before is not None and before[MARK].startswith("a") else "a"
    return {**dict(zip(SETS[letter], pieces, strict=False)), MARK: f"{letter}-{len(pieces)}"}


def same(first: Mapping[str, str], second: Mapping[str, str]) -> bool:
    """Whether two results of `variables` hold the same text."""
    return [*first.values()][:-1] == [*second.values()][:-1]


def pieces_of(written: Mapping[str, str]) -> tuple[str, ...]:
    """The pieces of both sets that may be there, where this is what `variables` returned last.

    The other set may have been longer by what has since become known or been forgotten.
    """
    some = len(written) + _MORE
    return tuple(name for names in SETS.values() for name in names[:some])


def read(values: Mapping[str, str], world: World) -> Session | None:
    """The session that these channel variables hold; None where they hold none of this world."""
    mark = values.get(MARK, "")
    names = names_after(mark)
    if names is None:
        return None
    text = "".join(values.get(name, "") for name in names)
    try:
        return decode(text if ":" in mark else unpack(text, MAX_LENGTH), world)
    except ValueError:
        return None


def names_after(mark: str) -> tuple[str, ...] | None:
    """The variables that a mark speaks of; None where it is not ours."""
    found = re.fullmatch("([ab])[:-]([0-9]{1,2})", mark)
    if found is None or not 0 < int(found[2]) <= len(SETS[found[1]]):
        return None
    return SETS[found[1]][: int(found[2])]


def decode(text: str, world: World) -> Session | None:
    """The session that `encode` wrote; None where the text is not one of this world."""
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

    def allow(values: list[Any]) -> Permission:
        queue, agent, number, may_detach = values
        return Permission(
            group,
            queue=_id(queue),
            agent=_id(agent),
            number=None if number is None else _clean(number, clean.number),
            may_detach=may_detach is True,
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
    values["allow"] = allow(read["allow"])
    values["target"] = values["fourth"] = None
    if target is not None:
        values["target"] = Target(TargetKind(target[0]), _text(target[1]))
    if fourth is not None:
        identifier, party, other, allowed = fourth
        values["fourth"] = Fourth(_text(identifier), _party_of(party), _text(other), allow(allowed))
    return Session(**values)


def _state(value: object) -> State:
    name = _text(value)
    return FORMER_VALUES.get(name) or State(name)


def _party(party: Party) -> list[str]:
    return [party.channel, party.number, party.name, party.presence.value]


def _party_of(values: list[Any]) -> Party:
    channel, number, name, presence = map(_text, values)
    return Party(channel, number, name, Presence(presence))


def _permission(allow: Permission) -> list[Any]:
    return [allow.queue, allow.agent, allow.number, allow.may_detach]


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
    value.encode()  # no half characters (a ValueError), which could be sent to nobody
    return value


def _clean(value: object, made: Callable[[str], str]) -> str:
    """What is written to channels again: nothing that could not have been ours."""
    text = made(_text(value))
    if not text:
        raise ValueError("not clean")
    return text


def _id(value: object) -> str | None:
    return None if value is None else _clean(value, clean.ident)


def _optional(value: object) -> str | None:
    return None if value is None else _text(value)
