"""Requests and facts together: refusals, the session that an event reaches, and the views."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.engine.resync import take_over
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import DialLeg, HangUp, LeaveStasis, Redirect, SetVariables
from asterisk_avp.core.model.errors import Refused, UnknownAgent, UnknownTransfer, WrongState
from asterisk_avp.core.model.features import ExternalAccept, Features
from asterisk_avp.core.model.world import Mode, TargetKind, TransferRequest
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.core.transfer.states import State
from tests.core.world import NOW, WORLD, call, engine, member, request

NO_FACTS = CallVariables()
ALONE = Mode.UNSUPERVISED


def reason(made: TransferEngine, asked: TransferRequest, facts: CallVariables = NO_FACTS) -> str:
    with pytest.raises(Refused) as refusal:
        made.request(asked, facts, NOW)
    assert refusal.value.message
    return refusal.value.reason


def test_whose_channels_were_ours_lately() -> None:
    """Handling of orphaned channels must not treat a call that was just completed as one."""
    made = engine()
    call(made)
    session, _ = made.request(request(), NO_FACTS, NOW)
    parties = {"u-caller1", "u-1001", session.leg.channel}
    assert parties <= made.store.recent_channels(NOW)
    made.report(session.id, SessionEvent(EventType.REDIRECT_FAILED), NOW + 5)
    assert made.store.role_of("u-caller1") is None
    assert parties <= made.store.recent_channels(NOW + 5)
    assert made.store.recent_channels(NOW + 6) == set()


# --- refusals and their order --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (request(target="nobody"), "unknown_target"),
        (request(target="nothing", kind=TargetKind.GROUP, mode=ALONE), "unknown_target"),
        (request(target="sales", kind=TargetKind.GROUP), "supervised_group"),
        (request(target="+1202", kind=TargetKind.NUMBER, mode=ALONE), "unsupervised_external"),
        (request(target="billing", kind=TargetKind.PRESET, mode=ALONE), "unsupervised_external"),
        (request(target="+1202", kind=TargetKind.NUMBER), "external_disabled"),
        (request(target="billing", kind=TargetKind.PRESET), "external_disabled"),
        (request(target="1003"), "not_in_group"),
        (request(target="1001"), "self_transfer"),
        (request(call="u-somebody-else"), "no_active_call"),
    ],
)  # fmt: skip
def test_refusals(asked: TransferRequest, expected: str) -> None:
    made = engine()
    call(made)
    assert reason(made, asked) == expected


def test_a_refusal_does_nothing() -> None:
    made = engine()
    call(made)
    reason(made, request(target="nobody"))
    assert made.store.records == {}
    assert made.store.roles() == []


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (member("1002", paused=True), "target_not_ready"),
        (member("1002", status=2, paused=True), "target_not_ready"),
        (member("1002", status=5), "target_offline"),
        (ev.MemberRemoved("sales", "PJSIP/1002", NOW), "target_offline"),
        (ev.QueueJoined("avp-agent-1002", "u-other"), "target_queue_full"),
    ],
)
def test_state_of_the_target(seen: ev.Fact, expected: str) -> None:
    made = engine()
    call(made)
    made.fact(seen, NOW)
    assert reason(made, request()) == expected


def test_the_call_is_looked_at_before_the_target() -> None:
    made = engine()
    assert reason(made, request(target="nobody")) == "no_active_call"
    call(made)
    made.request(request(), NO_FACTS, NOW)
    assert reason(made, request(target="nobody")) == "already_transferring"


def test_unknown_agent() -> None:
    with pytest.raises(UnknownAgent):
        engine().request(request(agent="9999"), NO_FACTS, NOW)


def test_one_of_two_requests_for_one_target_wins() -> None:
    made = engine()
    made.fact(member("1004"), NOW)
    call(made)
    call(made, "1004", "caller2")
    made.request(request(), NO_FACTS, NOW)
    assert reason(made, request(agent="1004")) == "target_queue_full"
    assert made.slot_taken("1002")


def test_the_target_of_a_consult_cannot_transfer_it() -> None:
    made, session_id = consulting()
    made.fact(ev.ChannelSeen("u-1002", "PJSIP/1002-00000007"), NOW)
    leg = made.store.records[session_id].session
    made.fact(ev.ChannelSeen(leg.local_far_end, "Local/1002@avp-agent-queue-00000001;2"), NOW)
    made.fact(ev.BridgeEntered("u-1002", "b9"), NOW)
    made.fact(ev.BridgeEntered(leg.local_far_end, "b9"), NOW)
    assert reason(made, request(agent="1002", target="1001")) == "already_transferring"


def test_a_call_that_asterisk_still_puts_together_cannot_be_transferred() -> None:
    """Completed, but the halves of the leg are not optimised away: the caller is behind one of
    them.

    Removing that half from its bridge would end the call.
    """
    made, session_id = consulting()
    leg = made.store.records[session_id].session
    made.fact(ev.ChannelSeen("u-1002", "PJSIP/1002-00000007"), NOW)
    made.fact(ev.ChannelSeen(leg.local_far_end, "Local/1002@avp-agent-queue-00000001;2"), NOW)
    for channel in ("u-1002", leg.local_far_end):
        made.fact(ev.BridgeEntered(channel, "b9"), NOW)
    made.command(session_id, EventType.COMPLETE, NOW)
    made.report(session_id, SessionEvent(EventType.BRIDGED), NOW)
    assert state(made, session_id) is State.COMPLETED
    assert reason(made, request(agent="1002", target="1001")) == "already_transferring"
    for channel in ("u-1002", "u-caller1"):
        made.fact(ev.BridgeEntered(channel, "b10"), NOW)
    session, _ = made.request(request(agent="1002", target="1001"), NO_FACTS, NOW)
    assert session.caller.channel == "u-caller1"


# --- from facts to sessions ----------------------------------------------------------------------


def consulting() -> tuple[TransferEngine, str]:
    made = engine()
    call(made)
    session, _ = made.request(request(), NO_FACTS, NOW)
    made.fact(ev.StasisEntered("u-caller1"), NOW)
    made.fact(ev.StasisEntered("u-1001"), NOW)
    made.fact(ev.AgentRung("avp-agent-1002", session.local_far_end, "PJSIP/1002"), NOW)
    assert made.store.records[session.id].session.state is State.RINGING
    made.fact(ev.StasisEntered(session.leg.channel), NOW)
    return made, session.id


def state(made: TransferEngine, session_id: str) -> State:
    return made.store.records[session_id].session.state


def test_a_supervised_transfer() -> None:
    made, session_id = consulting()
    assert state(made, session_id) is State.CONSULTING
    assert not made.slot_taken("1002"), "the target has the call, so another may wait"
    made.command(session_id, EventType.COMPLETE, NOW)
    made.report(session_id, SessionEvent(EventType.BRIDGED), NOW + 1)
    record = made.store.records[session_id]
    assert (record.session.state, record.since) == (State.COMPLETED, NOW + 1)
    assert made.store.roles() == []
    assert made.store.transferring("1001") is None


def test_leaving_stasis_counts_only_while_we_hold_the_party() -> None:
    made, session_id = consulting()
    made.command(session_id, EventType.CANCEL, NOW)
    made.fact(ev.StasisLeft("u-caller1"), NOW)
    assert state(made, session_id) is State.RETURNING
    made, session_id = consulting()
    made.fact(ev.HangUpAsked("u-caller1"), NOW)
    made.fact(ev.StasisLeft("u-caller1"), NOW)
    assert state(made, session_id) is State.ABANDONED


def test_a_caller_who_did_not_hang_up_has_been_moved() -> None:
    made, session_id = consulting()
    made.fact(ev.StasisLeft("u-caller1"), NOW)
    assert state(made, session_id) is State.CONSULTING, "where they are, Asterisk is asked"
    made.fact(ev.ChannelGone("u-caller1"), NOW)
    assert state(made, session_id) is State.ABANDONED


def test_a_former_stay_in_stasis_ends_as_the_next_transfer_begins() -> None:
    made = engine()
    call(made)
    session, _ = made.request(request(), NO_FACTS, NOW)
    made.fact(ev.StasisLeft("u-caller1"), NOW)
    assert state(made, session.id) is State.STARTING


def test_a_caller_who_enters_stasis_too_late_is_sent_back() -> None:
    """The Redirect timed out and the transfer ended. Then Asterisk executes it."""
    made = engine()
    call(made)
    session, _ = made.request(request(), NO_FACTS, NOW)
    made.report(session.id, SessionEvent(EventType.REDIRECT_FAILED, "asterisk_unavailable"), NOW)
    outcome = made.fact(ev.StasisEntered("u-caller1"), NOW)
    assert outcome.effects == [(None, LeaveStasis("u-caller1"))]
    leg = session.leg.channel
    assert made.fact(ev.StasisEntered(leg), NOW).effects == [(None, HangUp(leg))]


@pytest.mark.parametrize(
    ("status", "expected"),
    [("TIMEOUT", "max_hold"), ("FULL", "target_queue_full"), ("JOINEMPTY", "target_offline")],
)
def test_why_the_queue_gave_up(status: str, expected: str) -> None:
    made = engine()
    call(made)
    session, _ = made.request(request(mode=Mode.UNSUPERVISED), NO_FACTS, NOW)
    made.report(session.id, SessionEvent(EventType.REDIRECTED), NOW)
    made.fact(ev.QueueEnded("u-caller1", status), NOW)
    ended = made.store.records[session.id].session
    assert (ended.state, ended.reason) == (State.FAILED, expected)


@pytest.mark.parametrize("status", ["LEAVEEMPTY", "JOINEMPTY"])
@pytest.mark.parametrize("paused", [True, False])
def test_an_emptied_queue_is_told_apart(paused: bool, status: str) -> None:
    made = engine()
    call(made)
    session, _ = made.request(request(mode=Mode.UNSUPERVISED), NO_FACTS, NOW)
    made.report(session.id, SessionEvent(EventType.REDIRECTED), NOW)
    change = member("1002", paused=True) if paused else ev.MemberRemoved("sales", "PJSIP/1002", NOW)
    made.fact(change, NOW)
    made.fact(ev.QueueEnded("u-caller1", status), NOW)
    expected = "target_not_ready" if paused else "target_offline"
    assert made.store.records[session.id].session.reason == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0.2, "rejected"), (15.0, "no_answer")])
def test_rejected_or_not_answered(seconds: float, expected: str) -> None:
    made = engine()
    call(made)
    session, _ = made.request(request(), NO_FACTS, NOW)
    for channel in ("u-caller1", "u-1001"):
        made.fact(ev.StasisEntered(channel), NOW)
    rung = ("avp-agent-1002", session.local_far_end, "PJSIP/1002")
    made.fact(ev.AgentRung(*rung), NOW)
    made.fact(ev.AgentUnanswered(*rung, seconds), NOW)
    assert made.store.records[session.id].session.reason == expected


def outside(*, accept: ExternalAccept) -> tuple[TransferEngine, Session]:
    """A leg to an external number is being dialled."""
    features = Features(
        external_transfer=True, manual_dial=True, country="US", external_accept=accept
    )
    sales = replace(WORLD.groups["sales"], features=features)
    made = engine()
    made.reconfigure(replace(WORLD, groups={**WORLD.groups, "sales": sales}), NOW)
    call(made)
    asked = request(target="+12025550100", kind=TargetKind.NUMBER)
    session, _ = made.request(asked, NO_FACTS, NOW)
    for channel in ("u-caller1", "u-1001"):
        made.fact(ev.StasisEntered(channel), NOW)
    assert state(made, session.id) is State.WAITING
    return made, session


@pytest.mark.parametrize("rings", [True, False])
def test_an_answer_that_is_not_accepted(rings: bool) -> None:
    made, session = outside(accept=ExternalAccept.PRESS1)
    if rings:
        made.fact(ev.DialProgress(session.local_far_end, "RINGING"), NOW)
        made.fact(ev.DialProgress(session.local_far_end, "ANSWER"), NOW)
    made.fact(ev.DialProgress(session.leg.channel, "ANSWER"), NOW)
    assert state(made, session.id) is State.RINGING
    made.fact(ev.NotAccepted(session.leg.channel), NOW)
    assert state(made, session.id) is State.RINGING, "it ends with the leg"
    made.fact(ev.ChannelGone(session.leg.channel), NOW)
    made.report(session.id, SessionEvent(EventType.BRIDGED), NOW)
    ended = made.store.records[session.id].session
    assert (ended.state, ended.reason) == (State.FAILED, "not_accepted")


@pytest.mark.parametrize(
    ("statuses", "reason"),
    [
        (("NOANSWER",), "target_unreachable"),  # for example, the trunk does not know the number
        (("RINGING", "NOANSWER"), "no_answer"),
        (("PROGRESS", "NOANSWER"), "no_answer"),
        # The second trunk refuses what the first has rung: it counts as rung.
        (("RINGING", "NOANSWER", "NOANSWER"), "no_answer"),
        (("NOANSWER", "RINGING", "NOANSWER"), "no_answer"),
        (("BUSY",), "target_busy"),
    ],
)
def test_why_a_number_was_not_reached(statuses: tuple[str, ...], reason: str) -> None:
    made, session = outside(accept=ExternalAccept.NONE)
    for status in statuses:
        made.fact(ev.DialProgress(session.local_far_end, status), NOW)
    made.fact(ev.ChannelGone(session.leg.channel), NOW)
    made.report(session.id, SessionEvent(EventType.BRIDGED), NOW)
    ended = made.store.records[session.id].session
    assert (ended.state, ended.reason) == (State.FAILED, reason)


def test_an_answer_that_is_accepted() -> None:
    made, session = outside(accept=ExternalAccept.PRESS1)
    made.fact(ev.DialProgress(session.leg.channel, "ANSWER"), NOW)
    made.fact(ev.StasisEntered(session.leg.channel), NOW)
    assert state(made, session.id) is State.CONSULTING
    made.fact(ev.ChannelGone(session.leg.channel), NOW)
    made.fact(ev.CallerAsked("u-caller1"), NOW)
    made.report(session.id, SessionEvent(EventType.BRIDGED), NOW)
    assert made.store.records[session.id].session.reason == "target_hangup"


def test_nothing_is_kept_of_a_dial_whose_transfer_is_forgotten() -> None:
    """It was answered, or the caller hung up first: no query follows."""
    for answered in (True, False):
        made, session = outside(accept=ExternalAccept.NONE)
        made.fact(ev.DialProgress(session.local_far_end, "RINGING"), NOW)
        if answered:
            made.fact(ev.DialProgress(session.local_far_end, "ANSWER"), NOW)
            made.fact(ev.StasisEntered(session.leg.channel), NOW)
        made.fact(ev.ChannelGone("u-caller1"), NOW)
        assert state(made, session.id) is State.ABANDONED
        made.store.forget_ended(NOW + 1)
        kept = [value for value in vars(made._queues).values() if isinstance(value, dict | set)]
        assert not any(kept), kept


def test_without_acceptance_an_answer_is_not_ringing() -> None:
    """The leg enters Stasis next; a moment of ringback would be noise."""
    made, session = outside(accept=ExternalAccept.NONE)
    made.fact(ev.DialProgress(session.leg.channel, "ANSWER"), NOW)
    assert state(made, session.id) is State.WAITING


def test_nobody_knows_a_leg_that_was_not_accepted() -> None:
    assert engine().fact(ev.NotAccepted("avp-gone-leg"), NOW).effects == []


def test_who_took_the_call_is_known() -> None:
    made = engine()
    call(made)
    asked = request(target="support", kind=TargetKind.GROUP, mode=Mode.UNSUPERVISED)
    session, _ = made.request(asked, NO_FACTS, NOW)
    made.fact(ev.AgentConnected("q-support", "u-caller1", "PJSIP/1003"), NOW)
    ended = made.store.records[session.id].session
    assert (ended.state, ended.delivered_to) == (State.COMPLETED, "1003")


def test_parties_missing_after_a_resync_are_gone() -> None:
    made, session_id = consulting()
    made.sync_started()
    call(made)
    made.calls.gone("u-caller1")
    made.sync_finished(NOW)
    take_over(made, (), {"u-1001", "avp-t1-leg"}, NOW)
    assert state(made, session_id) is State.ABANDONED


# --- the call's group ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queue", "said", "group"),
    [
        ("sales", None, "sales"),
        ("q-support", None, "support"),
        ("somebody-elses", None, "sales"),
        ("q-support", "", "support"),
        ("q-support", "SALES", "sales"),
        ("q-support", "unknown", "support"),
    ],
)
def test_the_group_travels_with_the_call(queue: str, said: str | None, group: str) -> None:
    made = engine()
    call(made, queue=queue)
    if said is not None:
        made.fact(ev.CallGroup("u-caller1", said), NOW)
    session, _ = made.request(request(), NO_FACTS, NOW)
    assert session.group == group


def test_a_personal_queue_does_not_change_the_group() -> None:
    made = engine()
    call(made, queue="q-support")
    name = made.calls.name_of("u-caller1")
    made.fact(ev.ChannelSeen("u-caller1", name, queue="avp-agent-1001", created=False), NOW)
    session, _ = made.request(request(), NO_FACTS, NOW)
    assert session.group == "support"
    made.fact(ev.QueueJoined("sales", "u-caller1"), NOW)  # AMI's report alone is not enough
    assert made.calls.channels["u-caller1"].queue == "q-support"


def test_max_hold_of_the_script_wins() -> None:
    made = engine()
    call(made)
    session, outcome = made.request(request(), CallVariables(max_hold_seconds=3), NOW)
    assert session.max_hold_seconds == 3
    marks = [e for _, e in outcome.effects if isinstance(e, SetVariables)]
    assert marks[1].variables["AVP_HOLD_SECONDS"] == "3"


def test_what_a_group_transfer_tells_the_dialplan() -> None:
    made = engine()
    call(made)
    asked = request(target="support", kind=TargetKind.GROUP, mode=Mode.UNSUPERVISED)
    _, outcome = made.request(asked, NO_FACTS, NOW)
    effects = [effect for _, effect in outcome.effects]
    marks = (e.variables for e in effects if isinstance(e, SetVariables))
    variables = next(marked for marked in marks if "AVP_STATE" in marked)
    assert variables["AVP_GROUP"] == "support"
    assert (variables["AVP_RETURN_GROUP"], variables["AVP_RETURN_QUEUE"]) == ("sales", "sales")
    assert variables["__AVP_EXCLUDE"] == "1001"
    moved = next(e for e in effects if isinstance(e, Redirect))
    assert (moved.destination.context, moved.destination.extension) == (
        "avp-group-queue",
        "q-support",
    )


# --- commands and views --------------------------------------------------------------------------


def test_commands_that_cannot_be() -> None:
    made, session_id = consulting()
    with pytest.raises(UnknownTransfer):
        made.command("nope", EventType.CANCEL, NOW)
    made.command(session_id, EventType.COMPLETE, NOW)
    with pytest.raises(WrongState, match="completing"):
        made.command(session_id, EventType.CANCEL, NOW)


def test_views() -> None:
    made, session_id = consulting()
    shown = views.transfer_view(made, made.record(session_id))
    assert (shown.state, shown.ended_reason, shown.caller) == ("consulting", None, "caller1")
    assert [(p.role, p.id, p.state) for p in shown.parties] == [
        ("transferor", "1001", "talking"),
        ("caller", "caller", "holding"),
        ("target", "1002", "talking"),
    ]
    assert [party.hears for party in shown.parties] == [("target",), ("music",), ("transferor",)]
    assert shown.actions == ("complete", "cancel", "swap", "drop_party:1002")
    agent = views.agent_view(made, made.agents.by_id["1001"])
    assert agent.call is not None
    assert agent.call.transfer == shown
    targets = views.targets_view(made, "1001")
    assert [group.id for group in targets.my_agent_groups] == ["sales"]
    assert [a.id for a in targets.my_agent_groups[0].agents] == ["1002"]
    assert [group.id for group in targets.agent_groups] == ["sales", "support"]


def test_ended_transfers_are_forgotten_in_time() -> None:
    made, session_id = consulting()
    made.fact(ev.ChannelGone("u-caller1"), NOW + 5)
    made.store.forget_ended(NOW + 5)
    assert session_id in made.store.records
    made.store.forget_ended(NOW + 6)
    assert made.store.records == {}


def test_the_leg_is_dialled_on_behalf_of_agent_1() -> None:
    made = engine()
    call(made)
    made.request(request(), NO_FACTS, NOW)
    made.fact(ev.StasisEntered("u-caller1"), NOW)
    outcome = made.fact(ev.StasisEntered("u-1001"), NOW)
    leg = next(effect for _, effect in outcome.effects if isinstance(effect, DialLeg))
    assert leg.permission.endpoint == "Local/1002@avp-agent-queue"
    assert leg.originator == "u-1001"
