"""After-call work that agents end or extend, and their groups."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine import acw, groups, views, work
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.pause import pause
from asterisk_avp.core.messages.effects import (
    AddMember,
    Effect,
    PauseMember,
    RemoveMember,
    SetPenalty,
    SetRingInUse,
)
from asterisk_avp.core.messages.facts import ClockTick, MemberSeen, QueueWaiting
from asterisk_avp.core.model.errors import Refused, UnknownGroup, WrongState
from asterisk_avp.core.model.world import AgentState, personal_queue
from asterisk_avp.core.pbx.agent import ACW_REASON
from asterisk_avp.core.pbx.extended_acw import end_of, penalty_of
from asterisk_avp.core.pbx.renewal import PLACEHOLDER, renewal
from tests.core.world import WORLD, engine, member

NOW = 1_800_000_000.0
QUEUE = "sales"
END = NOW + 20
"""The end of the wrap-up in these tests."""


def dynamic(queue: str = QUEUE, **more: object) -> MemberSeen:
    return replace(member("1001", queue), dynamic=True, **more)  # type: ignore[arg-type]


def wrapping_up(*, dynamic_member: bool = True) -> TransferEngine:
    """1001 is in after-call work until `END`."""
    made = engine()
    seen = dynamic(last_call=NOW, wrapup_seconds=20)
    made.fact(replace(seen, dynamic=dynamic_member), NOW)
    made.fact(replace(seen, queue=personal_queue("1001")), NOW)
    agent = made.agents.by_id["1001"]
    assert (agent.state, agent.acw_until) == (AgentState.ACW, END)
    return made


def effects(found: list[tuple[str | None, Effect]]) -> list[Effect]:
    return [effect for _, effect in found]


def test_ready_renews_what_can_be_renewed() -> None:
    made = wrapping_up()
    todo = work.ready(made.agents, "1001", NOW + 1)
    assert [m.queue for m in todo.renew] == [QUEUE, personal_queue("1001")]
    assert work.ready(made.agents, "1001", NOW + 1, keep_acw=True).renew == ()
    acw.ended(made, "1001", NOW + 1)
    assert made.agents.by_id["1001"].state is AgentState.AVAILABLE
    # An event from before the renewal does not bring it back.
    made.fact(dynamic(last_call=NOW, wrapup_seconds=20), NOW + 2)
    assert made.agents.by_id["1001"].state is AgentState.AVAILABLE
    made.fact(dynamic(last_call=NOW + 5, wrapup_seconds=20), NOW + 5)
    assert made.agents.by_id["1001"].state is AgentState.ACW, "the next call has its own"


def test_static_members_are_told_so() -> None:
    made = wrapping_up(dynamic_member=False)
    agent = made.agents.by_id["1001"]
    assert "end_acw" not in work.actions(made.agents, agent)
    with pytest.raises(Refused) as refused:
        work.ready(made.agents, "1001", NOW + 1)
    assert refused.value.reason == "static_member"
    # But an extension can be ended: app_queue's wrap-up goes on.
    acw.extend(made, "1001", 30, NOW + 1)
    made.fact(replace(dynamic(last_call=NOW, wrapup_seconds=20, paused=True), dynamic=False,
                      paused_reason=ACW_REASON), NOW + 1)  # fmt: skip
    assert "end_acw" in work.actions(made.agents, agent)
    todo = work.ready(made.agents, "1001", NOW + 2)
    assert todo == work.Ready((PauseMember(QUEUE, "PJSIP/1001", paused=False),))
    acw.ended(made, "1001", NOW + 2, extension_only=True)
    assert (agent.state, agent.acw_end) == (AgentState.ACW, END)


def test_an_extension_pauses_and_is_kept_by_the_personal_queue() -> None:
    made = wrapping_up()
    outcome = acw.extend(made, "1001", 30, NOW + 5)
    until = END + 30
    assert effects(outcome.effects) == [
        SetPenalty(personal_queue("1001"), "PJSIP/1001", penalty_of(until)),
        PauseMember(QUEUE, "PJSIP/1001", paused=True, reason=ACW_REASON),
    ]
    assert "1001" in outcome.agents
    paused = dynamic(last_call=NOW, wrapup_seconds=20, paused=True, paused_reason=ACW_REASON)
    made.fact(paused, NOW + 5)
    made.fact(
        replace(paused, queue=personal_queue("1001"), paused=False, penalty=penalty_of(until)),
        NOW + 5,
    )
    view = views.agent_view(made, made.agents.by_id["1001"])
    assert (view.state, view.acw_until, view.paused) == (AgentState.ACW, until, False)
    assert made.agents.next_acw_end() == until
    assert made.fact(ClockTick(END), END).effects == [], "app_queue's wrap-up is over"
    over = effects(made.fact(ClockTick(until), until).effects)
    assert PauseMember(QUEUE, "PJSIP/1001", paused=False) in over
    assert SetPenalty(personal_queue("1001"), "PJSIP/1001", 0) in over
    assert made.agents.by_id["1001"].state is AgentState.AVAILABLE


def extended(*, dynamic_member: bool = True) -> tuple[TransferEngine, MemberSeen, MemberSeen]:
    """1001 has extended it by 30 s, and Asterisk has made that: group and personal membership."""
    made = wrapping_up(dynamic_member=dynamic_member)
    acw.extend(made, "1001", 30, NOW)
    agent = made.agents.by_id["1001"]
    group = replace(agent.memberships[QUEUE], paused=True, paused_reason=ACW_REASON)
    assert agent.personal is not None
    personal = replace(agent.personal, penalty=penalty_of(END + 30))
    assert effects(made.fact(group, NOW).effects + made.fact(personal, NOW).effects) == []
    return made, group, personal


def renewed(member: MemberSeen) -> MemberSeen:
    return replace(member, last_call=0.0, penalty=0, paused=False, paused_reason="")


@pytest.mark.parametrize("personal_first", [True, False])
def test_what_confirms_the_end_does_not_bring_the_extension_back(*, personal_first: bool) -> None:
    """Each renewal is confirmed by itself, and the extension ends after the last of them."""
    made, *memberships = extended()
    acw.end_asked(made, "1001")
    found: list[Effect] = []
    for one in reversed(memberships) if personal_first else memberships:
        found += effects(made.fact(renewed(one), NOW + 1).effects)
    found += effects(acw.ended(made, "1001", NOW + 1).effects)
    found += effects(acw.end_answered(made, "1001", NOW + 1).effects)
    assert set(found) <= {SetPenalty(personal_queue("1001"), "PJSIP/1001", 0)}
    agent = made.agents.by_id["1001"]
    assert (agent.state, agent.extended_until, agent.pending) == (AgentState.AVAILABLE, 0.0, ())


def test_an_end_that_asterisk_refuses_leaves_the_extension() -> None:
    made, _, personal = extended()
    acw.end_asked(made, "1001")
    assert made.fact(replace(personal, penalty=0), NOW + 1).effects == []
    assert effects(acw.end_answered(made, "1001", NOW + 1).effects) == [
        SetPenalty(personal_queue("1001"), "PJSIP/1001", penalty_of(END + 30))
    ]
    agent = made.agents.by_id["1001"]
    assert (agent.state, agent.acw_end) == (AgentState.ACW, END + 30)


def test_the_end_of_a_static_members_extension_leaves_nothing_of_it() -> None:
    """app_queue's wrap-up goes on; the pauses and the penalty end, the latter first."""
    made, group, personal = extended(dynamic_member=False)
    acw.end_asked(made, "1001")
    found = effects(acw.ended(made, "1001", NOW + 1, extension_only=True).effects)
    assert found == [
        SetPenalty(personal_queue("1001"), "PJSIP/1001", 0),
        PauseMember(QUEUE, "PJSIP/1001", paused=False),
    ]
    made.fact(replace(personal, penalty=0), NOW + 1)
    made.fact(replace(group, paused=False, paused_reason=""), NOW + 1)
    assert acw.end_answered(made, "1001", NOW + 1).effects == []
    agent = made.agents.by_id["1001"]
    assert (agent.state, agent.acw_end, agent.pending) == (AgentState.ACW, END, ())
    assert "end_acw" not in work.actions(made.agents, agent)


def test_an_extension_that_asterisk_has_not_made_is_none() -> None:
    """Refused or unanswered: after-call work ends when it would have ended."""
    made = wrapping_up()
    agent = made.agents.by_id["1001"]
    acw.extend(made, "1001", 30, NOW)
    undone = acw.not_extended(made, "1001", 0.0, NOW)
    assert (agent.state, agent.acw_end, "1001" in undone.agents) == (AgentState.ACW, END, True)
    # What Asterisk has made nevertheless is taken back.
    kept = replace(made.agents.by_id["1001"].personal, penalty=penalty_of(END + 30), now=NOW)  # type: ignore[type-var]
    outcome = made.fact(kept, NOW)  # type: ignore[arg-type]
    assert SetPenalty(personal_queue("1001"), "PJSIP/1001", 0) in effects(outcome.effects)


def test_an_extension_has_a_limit() -> None:
    made = wrapping_up()
    made.world = made.agents.world = replace(
        made.world, work=replace(made.world.work, acw_extension_seconds=50)
    )
    acw.extend(made, "1001", 30, NOW)
    acw.extend(made, "1001", 30, NOW)
    agent = made.agents.by_id["1001"]
    assert agent.acw_end == END + 50
    assert "extend_acw" not in work.actions(made.agents, agent)
    with pytest.raises(Refused) as refused:
        acw.extend(made, "1001", 30, NOW)
    assert refused.value.reason == "acw_limit"


def test_what_cannot_be_extended() -> None:
    made = engine()
    made.fact(dynamic(), NOW)
    with pytest.raises(WrongState):
        acw.extend(made, "1001", 30, NOW)


def test_an_extension_needs_a_member_that_keeps_its_end() -> None:
    """Nobody is a member at rest, so it is added."""
    made = wrapping_up()
    made.agents.by_id["1001"].personal = None
    found = effects(acw.extend(made, "1001", 30, NOW + 1).effects)
    added = next(x for x in found if isinstance(x, AddMember))
    assert (added.queue, added.paused) == (personal_queue("1001"), False)
    assert added.penalty == penalty_of(END + 30)
    assert found.index(added) < min(i for i, x in enumerate(found) if isinstance(x, PauseMember))


@pytest.mark.parametrize("ended", [True, False])
def test_the_next_daemon_takes_over_an_extension(*, ended: bool) -> None:
    until = NOW - 5 if ended else NOW + 40
    made = engine()
    made.sync_started()
    paused = dynamic(last_call=NOW - 100, paused=True, paused_reason=ACW_REASON)
    made.fact(paused, NOW)
    made.fact(replace(paused, queue=personal_queue("1001"), paused=False,
                      penalty=penalty_of(until)), NOW)  # fmt: skip
    made.fact(replace(dynamic(), interface=PLACEHOLDER), NOW)
    found = effects(made.sync_finished(NOW).effects)
    agent = made.agents.by_id["1001"]
    assert RemoveMember(QUEUE, PLACEHOLDER) in found
    unpaused = PauseMember(QUEUE, "PJSIP/1001", paused=False)
    assert (unpaused in found) is ended
    assert agent.state is (AgentState.AVAILABLE if ended else AgentState.ACW) or ended
    assert (SetPenalty(personal_queue("1001"), "PJSIP/1001", 0) in found) is ended
    assert set(made.agents.by_id) & {"avp-renewal"} == set()


def test_the_daemons_own_reason_is_nobody_elses() -> None:
    made = engine()
    (effect,) = pause(made.agents, "1001", paused=True, reason=f" {ACW_REASON} ")
    assert effect.reason == ""


def test_a_pause_without_its_end_is_not_for_ever() -> None:
    """Whatever became of the personal queue, and of the daemon."""
    made = engine()
    found = effects(made.fact(dynamic(paused=True, paused_reason=ACW_REASON), NOW).effects)
    assert PauseMember(QUEUE, "PJSIP/1001", paused=False) in found


@pytest.mark.parametrize("end", [1_790_000_000, 2_147_483_648, 3_700_000_000])
def test_the_end_survives_as_a_penalty(end: int) -> None:
    assert end_of(penalty_of(end)) == end
    assert 1_000_000 < penalty_of(end) < 2**31
    assert end_of(0) == 0


def test_a_renewal_keeps_the_membership() -> None:
    seen = dynamic(name="Ann", penalty=4, wrapup_seconds=9, state_interface="PJSIP/x",
                   paused=True, paused_reason="Lunch")  # fmt: skip
    made = renewal(seen, unpaused=False, penalty=4, needs_placeholder=True)
    kept = AddMember(QUEUE, "PJSIP/1001", "PJSIP/x", "Ann", paused=True, wrapup_seconds=9,
                     penalty=4, reason="Lunch")  # fmt: skip
    assert made.changes == (
        AddMember(QUEUE, PLACEHOLDER, "PJSIP/x", "", paused=False),
        RemoveMember(QUEUE, "PJSIP/1001"),
        kept,
        RemoveMember(QUEUE, PLACEHOLDER),
    )
    for own in (True, False):
        made = renewal(
            replace(seen, ring_in_use=own), unpaused=False, penalty=4, needs_placeholder=True
        )
        assert made.changes[2:4] == (kept, SetRingInUse(QUEUE, "PJSIP/1001", own))


# --- groups --------------------------------------------------------------------------------------


def bob(**more: object) -> MemberSeen:
    return replace(dynamic(**more), interface="PJSIP/1002")  # whom the settings give no groups


def test_who_may_log_in_where() -> None:
    made = engine()
    made.fact(bob(penalty=5), NOW)
    with pytest.raises(Refused) as refused:
        work.log_in(made.agents, "1002", "support", NOW)
    assert refused.value.reason == "group_not_yours"
    with pytest.raises(UnknownGroup):
        work.log_in(made.agents, "1002", "none", NOW)
    assert work.log_in(made.agents, "1002", QUEUE, NOW) is None
    change = work.log_out(made.agents, "1002", QUEUE)
    assert change == RemoveMember(QUEUE, "PJSIP/1002")
    acw.logged_out(made, "1002", made.agents.by_id["1002"].memberships[QUEUE])
    made.agents.member_removed(QUEUE, "PJSIP/1002")
    agent = made.agents.by_id["1002"]
    assert groups.membership(made.agents, agent, QUEUE).actions == ("login",)
    back = work.log_in(made.agents, "1002", QUEUE, NOW)
    assert back is not None
    assert (back.interface, back.penalty, back.paused) == ("PJSIP/1002", 5, False)
    # Added by somebody else, and taken out again: no way back.
    made.fact(bob(), NOW)
    made.agents.member_removed(QUEUE, "PJSIP/1002")
    assert groups.membership(made.agents, agent, QUEUE).actions == ()


def test_static_members_cannot_log_out() -> None:
    made = engine()
    made.fact(member("1001"), NOW)
    agent = made.agents.by_id["1001"]
    view = groups.membership(made.agents, agent, QUEUE)
    assert (view.member, view.dynamic, view.actions) == (True, False, ())
    with pytest.raises(Refused) as refused:
        work.log_out(made.agents, "1001", QUEUE)
    assert refused.value.reason == "static_member"


def test_waiting_callers_are_what_asterisk_answered() -> None:
    made = engine()
    made.fact(dynamic(), NOW)
    made.fact(QueueWaiting(QUEUE, 2, 30, NOW), NOW)
    made.fact(QueueWaiting("not-ours", 9, 9, NOW), NOW)
    view = groups.group_view(made.agents, made.waiting, QUEUE)
    assert (view.waiting, view.longest_wait_since) == (2, NOW - 30)
    assert (view.logged_in, view.ready, view.available) == (2, 2, 2)
    made.fact(QueueWaiting(QUEUE, 1, 31, NOW + 2), NOW + 2)
    view = groups.group_view(made.agents, made.waiting, QUEUE)
    assert (view.waiting, view.longest_wait_since) == (1, NOW - 30), "the same caller"
    made.fact(QueueWaiting(QUEUE, 0, 0, NOW + 3), NOW + 3)
    assert groups.group_view(made.agents, made.waiting, QUEUE).longest_wait_since is None
    made.fact(dynamic(paused=True), NOW + 4)
    view = groups.group_view(made.agents, made.waiting, QUEUE)
    assert (view.logged_in, view.ready, view.available) == (2, 1, 1)
    assert QUEUE in WORLD.groups
