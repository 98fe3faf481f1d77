"""Which memberships would be rung during after-call work, and the pauses that keep it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine import acw
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages.effects import PauseMember, SetPenalty
from asterisk_avp.core.messages.facts import ClockTick
from asterisk_avp.core.model.world import AgentState, personal_queue
from asterisk_avp.core.pbx.agent import ACW_REASON
from asterisk_avp.core.pbx.extended_acw import penalty_of
from asterisk_avp.core.pbx.shared_lastcall import forgetful, is_proof, memberships, needs_check
from tests.core.world import engine, member

ENDED = 1_800_000_000.0
UNTIL = ENDED + 10
PERSONAL = personal_queue("1001")
IN_SALES = member("1001", "sales")
IN_PERSONAL = replace(member("1001", PERSONAL), last_call=ENDED)


def after_a_transferred_call() -> TransferEngine:
    """1001 is in after-call work until `UNTIL`; only their personal queue knows of it."""
    made = engine()
    made.fact(IN_SALES, ENDED)
    made.fact(IN_PERSONAL, ENDED)
    return made


@pytest.mark.parametrize(
    ("in_sales", "in_personal", "queues"),
    [
        (ENDED, ENDED, ()),
        (ENDED - 1, ENDED, ()),  # whole seconds
        (ENDED + 1, ENDED, ()),
        (0.0, ENDED, ("sales",)),
        (ENDED - 60, ENDED, ("sales",)),
        (ENDED, ENDED - 60, (PERSONAL,)),
        # A static membership that was read again during the call gets no time at all.
        (ENDED - 60, 0.0, (PERSONAL, "sales")),
    ],
)
def test_which_queues_would_ring(
    in_sales: float, in_personal: float, queues: tuple[str, ...]
) -> None:
    agent = after_a_transferred_call().agents.by_id["1001"]
    assert {m.queue for m in memberships(agent)} == {"sales", PERSONAL}
    found = (replace(IN_SALES, last_call=in_sales), replace(IN_PERSONAL, last_call=in_personal))
    assert tuple(m.queue for m in forgetful(agent, found)) == queues


@pytest.mark.parametrize(
    ("login", "rings", "proof"),
    [
        (ENDED - 100, True, True),
        (ENDED - 30, True, False),  # read again during the call
        (ENDED - 61, True, False),  # about when it began
        (ENDED, False, False),  # logged out and in again since
        (ENDED + 1, False, False),
        (0.0, True, False),  # unknown
    ],
)
def test_what_a_newer_membership_shows(login: float, rings: bool, proof: bool) -> None:
    made = engine()
    made.fact(replace(IN_SALES, in_call=True, now=ENDED - 60), ENDED - 60)
    made.fact(replace(IN_SALES, in_call=True, now=ENDED - 20), ENDED - 20)
    made.fact(replace(IN_PERSONAL, login_time=ENDED - 100), ENDED)
    agent = made.agents.by_id["1001"]
    found = replace(IN_SALES, login_time=login)
    assert forgetful(agent, (found,)) == ((found,) if rings else ())
    assert is_proof(agent, found) is proof


def test_only_after_call_work_is_looked_at() -> None:
    made = after_a_transferred_call()
    agent = made.agents.by_id["1001"]
    assert needs_check(agent, ENDED)
    assert not needs_check(agent, UNTIL)
    assert not needs_check(made.agents.by_id["1002"], ENDED), "they have had no call"


def test_after_call_work_is_kept_and_given_back() -> None:
    made = after_a_transferred_call()
    outcome = acw.kept(made, "1001", ENDED)
    assert [effect for _, effect in outcome.effects] == [
        SetPenalty(PERSONAL, "PJSIP/1001", penalty_of(UNTIL)),
        PauseMember("sales", "PJSIP/1001", paused=True, reason=ACW_REASON),
    ]
    assert acw.kept(made, "1001", ENDED + 1).effects == [], "once is enough"
    made.fact(replace(IN_SALES, paused=True, paused_reason=ACW_REASON), ENDED)
    made.fact(replace(IN_PERSONAL, penalty=penalty_of(UNTIL)), ENDED)
    agent = made.agents.by_id["1001"]
    assert (agent.state, agent.acw_end, agent.paused) == (AgentState.ACW, UNTIL, False)
    over = [effect for _, effect in made.fact(ClockTick(UNTIL), UNTIL).effects]
    assert PauseMember("sales", "PJSIP/1001", paused=False) in over
    assert SetPenalty(PERSONAL, "PJSIP/1001", 0) in over
    assert agent.state is AgentState.AVAILABLE


def test_a_pause_of_others_is_neither_replaced_nor_taken_back() -> None:
    made = after_a_transferred_call()
    made.fact(replace(IN_SALES, paused=True, paused_reason="lunch"), ENDED)
    outcome = acw.kept(made, "1001", ENDED)
    assert not [e for _, e in outcome.effects if isinstance(e, PauseMember) and e.queue == "sales"]
    over = [effect for _, effect in made.fact(ClockTick(UNTIL), UNTIL).effects]
    assert PauseMember("sales", "PJSIP/1001", paused=False) not in over
    assert made.agents.by_id["1001"].state is AgentState.NOT_READY


def test_nothing_is_kept_where_there_is_none() -> None:
    made = after_a_transferred_call()
    assert acw.kept(made, "1001", UNTIL).effects == []
    assert acw.kept(made, "1002", ENDED).effects == []
    assert acw.kept(made, "9", ENDED).effects == []
    acw.extend(made, "1001", 30, ENDED)
    assert acw.kept(made, "1001", ENDED).effects == [], "the extension does it"
