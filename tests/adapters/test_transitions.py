"""The log line for each step of a transfer."""

from __future__ import annotations

from structlog.testing import capture_logs

from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.states import State
from asterisk_avp.observe.transitions import log_steps
from tests.core.sessions import session


def test_a_line_for_each_step() -> None:
    store, outcome = SessionStore(), Outcome()
    store.adopt(session(State.RINGING), 1.0, Outcome())
    for event in (
        SessionEvent(EventType.LEG_RINGING),
        SessionEvent(EventType.LEG_UNANSWERED, "no_answer"),
        SessionEvent(EventType.SWAP),
    ):
        store.apply("t1", event, 2.0, outcome)
    with capture_logs() as lines:
        log_steps(outcome.steps)
    of_transfer = {"event": "transition", "transfer": "t1", "call": "chan-caller"}
    assert lines == [
        {
            **of_transfer,
            "log_level": "debug",
            "from": "ringing",
            "trigger": "leg_ringing",
            "to": "ringing",
            "row": "ringing_target_rings",
            "reason": None,
        },
        {
            **of_transfer,
            "log_level": "info",
            "from": "ringing",
            "trigger": "leg_unanswered",
            "to": "returning",
            "row": "ringing_target_did_not_answer",
            "reason": "no_answer",
        },
        {
            **of_transfer,
            "log_level": "debug",
            "from": "returning",
            "trigger": "swap",
            "to": "returning",
            "row": None,
            "reason": "no_answer",
        },
    ]
