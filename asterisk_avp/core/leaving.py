"""What becomes of running transfers when the daemon leaves. Pure."""

from __future__ import annotations

from asterisk_avp.core import transfer
from asterisk_avp.core.events import Kind, SessionEvent
from asterisk_avp.core.register import Outcome, Register
from asterisk_avp.core.session import Session, State

_WITHOUT_US = frozenset({State.QUEUED, State.OFFERED})
"""app_queue and the dialplan do the work, and the next daemon watches it again."""


def need_us(register: Register) -> list[Session]:
    """The transfers that cannot go on by themselves."""
    return [session for session in register.sessions() if session.state not in _WITHOUT_US]


def hand_back(register: Register, now: float) -> Outcome:
    """Agents get their callers back, where they are still there to take them.

    What cannot be handed back is left as it is: whoever talks goes on talking in our bridge, the
    next daemon takes the transfer over, and without one the dialplan takes the caller back.
    """
    outcome = Outcome()
    for session in need_us(register):
        if transfer.legal(session, Kind.CANCEL):
            register.apply(session.id, SessionEvent(Kind.CANCEL), now, outcome)
    return outcome
