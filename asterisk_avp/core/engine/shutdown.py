"""What becomes of running transfers when the daemon leaves. Pure."""

from __future__ import annotations

from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.transfer import machine
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Session, State

_WITHOUT_US = frozenset({State.QUEUED, State.OFFERED})
"""app_queue and the dialplan do the work, and the next daemon watches it again."""


def need_us(store: SessionStore) -> list[Session]:
    """The transfers that cannot go on by themselves."""
    return [session for session in store.sessions() if session.state not in _WITHOUT_US]


def hand_back(store: SessionStore, now: float) -> Outcome:
    """Agents get their callers back, where they are still there to take them.

    What cannot be handed back is left as it is: whoever talks goes on talking in our bridge, the
    next daemon takes the transfer over, and without one the dialplan takes the caller back.
    """
    outcome = Outcome()
    for session in need_us(store):
        if machine.legal(session, EventType.CANCEL):
            store.apply(session.id, SessionEvent(EventType.CANCEL), now, outcome)
    return outcome
