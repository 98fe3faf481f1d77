"""A session as text, kept on the caller's channel so that another daemon can take over.

The text is JSON with a version. It names the group, whose settings are read anew, and what policy
had allowed; it holds no secret. Text that is not ours, of another version, or of a group that does
not exist any more is no session, and the caller is looked after by the dialplan's net.
"""

from __future__ import annotations

import json
from typing import Any, Final

from asterisk_avp.core.allow import Allow
from asterisk_avp.core.model import Mode, Origin, Target, TargetKind, World
from asterisk_avp.core.session import Fourth, Intent, Party, Presence, Session, State

VARIABLE: Final = "AVP_SESSION"
VERSION: Final = 1

MAX_LENGTH: Final = 16_384
"""Longer text is none of ours: the notes are the only part without a narrow limit of its own."""

_PLAIN: Final = (
    "id",
    "agent",
    "group",
    "leg_other",
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

_ENUMS: Final = {
    "mode": Mode,
    "origin": Origin,
    "state": State,
    "intent": Intent,
    "outcome": State,
}
_PARTIES: Final = ("transferor", "caller", "leg")

REMEMBERED: Final = frozenset(
    {*_PLAIN, *_ENUMS, *_PARTIES, "variables", "target", "allow", "fourth"}
)
"""Every field of `Session`; a test says so."""


def encode(session: Session) -> str:
    """The session as text."""
    plain = {name: getattr(session, name) for name in _PLAIN}
    enums = {name: getattr(session, name).value for name in _ENUMS}
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
            "allow": _allow(session.allow),
            "fourth": None
            if fourth is None
            else [fourth.id, _party(fourth.party), fourth.other, _allow(fourth.allow)],
        },
        separators=(",", ":"),
    )


def decode(text: str, world: World) -> Session | None:
    """The session that `encode` wrote; None where the text is not one of this world."""
    if len(text) > MAX_LENGTH:
        return None
    try:
        return _session(json.loads(text), world)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _session(read: dict[str, Any], world: World) -> Session:
    if read["v"] != VERSION:
        raise ValueError("another version")
    group = world.groups[_text(read["group"])]
    target, fourth = read["target"], read["fourth"]

    def allow(values: list[Any]) -> Allow:
        queue, agent, number, may_detach = values
        return Allow(
            group,
            queue=_optional(queue),
            agent=_optional(agent),
            number=_optional(number),
            may_detach=may_detach is True,
        )

    values: dict[str, Any] = {name: _same_type(name, read[name]) for name in _PLAIN}
    values |= {name: kind(read[name]) for name, kind in _ENUMS.items()}
    values |= {name: _party_of(read[name]) for name in _PARTIES}
    values["variables"] = {_text(key): _text(value) for key, value in read["variables"].items()}
    values["allow"] = allow(read["allow"])
    values["target"] = values["fourth"] = None
    if target is not None:
        values["target"] = Target(TargetKind(target[0]), _text(target[1]))
    if fourth is not None:
        identifier, party, other, allowed = fourth
        values["fourth"] = Fourth(_text(identifier), _party_of(party), _text(other), allow(allowed))
    return Session(**values)


def _party(party: Party) -> list[str]:
    return [party.channel, party.number, party.name, party.presence.value]


def _party_of(values: list[Any]) -> Party:
    channel, number, name, presence = map(_text, values)
    return Party(channel, number, name, Presence(presence))


def _allow(allow: Allow) -> list[Any]:
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
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return value


def _optional(value: object) -> str | None:
    return None if value is None else _text(value)
