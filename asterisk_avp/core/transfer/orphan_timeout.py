"""How long a caller who is with us stays there without a word from us. Pure."""

from __future__ import annotations

from typing import Final

from asterisk_avp.core.messages.effects import LimitCall
from asterisk_avp.core.transfer.session import HELD_IN_STASIS, Presence, Session, State

TALK_SECONDS: Final = 900
"""For a caller who talks with people in a bridge of ours: they are not torn from a conversation
because a daemon is being started again, and yet not left alone in a bridge for ever."""

_TALKS: Final = frozenset({State.SWAPPED, State.CONFERENCE, State.SHARED, State.DECLINED})


def put_off(session: Session, now: float, orphan_seconds: int) -> LimitCall | None:
    """The caller's limit from now on; None where they are not with us, or on their way out.

    On the way out the call's own limit is back in force already (`actions`), and must stay so.
    """
    if session.state not in HELD_IN_STASIS or session.caller.presence is not Presence.PRESENT:
        return None
    talks = session.state in _TALKS
    seconds = max(orphan_seconds, TALK_SECONDS) if talks else orphan_seconds
    return LimitCall(session.caller.channel, now + seconds)
