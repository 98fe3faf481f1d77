"""Transfers to agents of other nodes, and other nodes' calls here, by the facts of Asterisk."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from asterisk_avp.core.engine import remote
from asterisk_avp.core.engine.elsewhere import reserve
from asterisk_avp.core.engine.empty_group import WITHDRAWN, withdrawal
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.remote_calls import LOST, NO_RETURN, REJECTED, UNKNOWN
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import (
    AddMember,
    Destination,
    DialLeg,
    Effect,
    HangUp,
    Redirect,
    SetVariables,
)
from asterisk_avp.core.messages.remote import (
    NodeCall,
    NodeLost,
    NodeRestarted,
    RemoteAgentSeen,
    RemoteEnded,
    RemoteLeg,
    RemoteRing,
    TrunkBack,
    TrunkLost,
)
from asterisk_avp.core.model.agent_state import AgentState
from asterisk_avp.core.model.errors import Refused
from asterisk_avp.core.model.nodes import Node, RemoteAgent
from asterisk_avp.core.model.world import (
    CallerOutcome,
    ConfiguredAgent,
    Group,
    Mode,
    Target,
    TargetKind,
    World,
)
from asterisk_avp.core.transfer import persistence
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.core.transfer.states import State
from tests.core.world import ALL_ON, NOW, call, member, request

WORLD = World(
    groups={
        "sales": Group("sales", "sales", "Sales", max_hold_seconds=8, features=ALL_ON),
        "support": Group("support", "q-support", "Support"),
    },
    agents={
        "1001": ConfiguredAgent("1001", "Alice", groups=("sales",)),
        "1003": ConfiguredAgent("1003", "Carol", groups=("sales", "support")),
        "1004": ConfiguredAgent("1004", "Dave", groups=("sales", "support")),
    },
    node="a",
    nodes={"b": Node("b", "trunk-b"), "c": Node("c", "trunk-c")},
)
CAROL = RemoteAgent(
    "b", AgentState.AVAILABLE, NOW, ("sales", "support"), logged_in=("sales", "support")
)
LEG = "avp-t1-leg"
FAR_END = "avp-t1-leg-queue"
CALLER = "u-caller1"


def engine(**changes: object) -> TransferEngine:
    """Alice is here, with a call; Carol is at home on node b, as ``changes`` have it."""
    numbers = itertools.count(1)
    made = TransferEngine(WORLD, new_id=lambda: f"t{next(numbers)}")
    made.fact(member("1001"), NOW)
    seen(made, "1003", replace(CAROL, **changes))  # type: ignore[arg-type]
    call(made)
    return made


def seen(made: TransferEngine, agent: str, told: RemoteAgent) -> None:
    remote.apply(made, RemoteAgentSeen(agent, told), NOW)


def begin(
    made: TransferEngine, mode: Mode, target: str = "1003", kind: TargetKind = TargetKind.AGENT
) -> Outcome:
    return made.request(request(target=target, mode=mode, kind=kind), CallVariables(), NOW)[1]


def consult(made: TransferEngine) -> Outcome:
    """The consult leg has been dialled."""
    begin(made, Mode.SUPERVISED)
    made.report("t1", SessionEvent(EventType.REDIRECTED), NOW)
    made.fact(ev.StasisEntered("u-1001"), NOW)
    outcome = made.fact(ev.StasisEntered(CALLER), NOW)
    made.fact(ev.ChannelSeen(LEG, "Local/1003@avp-remote-leg-1;1"), NOW)
    made.fact(ev.ChannelSeen(FAR_END, "Local/1003@avp-remote-leg-1;2"), NOW)
    return outcome


def queue(made: TransferEngine, target: str = "1003", kind: TargetKind = TargetKind.AGENT) -> None:
    """An unsupervised transfer has begun, and the caller has been moved."""
    begin(made, Mode.UNSUPERVISED, target, kind)
    made.report("t1", SessionEvent(EventType.REDIRECTED), NOW)
    made.fact(ev.StasisLeft("u-1001"), NOW)


def session(made: TransferEngine) -> Session:
    return made.record("t1").session


def effects(outcome: Outcome, kind: type[Effect]) -> list[Effect]:
    return [effect for _, effect in outcome.effects if isinstance(effect, kind)]


# --- policy --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reachable": False}, "target_offline"),
        ({"state": AgentState.OFFLINE}, "target_offline"),
        ({"paused": True, "state": AgentState.NOT_READY}, "target_not_ready"),
        ({"waiting_transfer": True}, "target_queue_full"),
        ({"node": "x"}, "target_offline"),  # a node that is not configured
    ],
)
@pytest.mark.parametrize("mode", Mode)
def test_an_agent_who_cannot_be_a_target(
    changes: dict[str, object], reason: str, mode: Mode
) -> None:
    made = engine(**changes)
    with pytest.raises(Refused) as refused:
        begin(made, mode)
    assert refused.value.reason == reason


def test_why_a_node_that_is_lost_is_no_target() -> None:
    with pytest.raises(Refused, match="node cannot be reached"):
        begin(engine(reachable=False), Mode.SUPERVISED)


@pytest.mark.parametrize("state", [AgentState.TALKING, AgentState.ACW, AgentState.RINGING])
def test_a_busy_agent_is_a_target(state: AgentState) -> None:
    made = engine(state=state)
    begin(made, Mode.UNSUPERVISED)
    permission = session(made).permission
    assert (permission.node, permission.trunk) == ("b", "trunk-b")


def test_what_the_dialplan_is_told() -> None:
    (dialled,) = effects(consult(engine()), DialLeg)
    assert isinstance(dialled, DialLeg)
    assert dialled.permission.endpoint == "Local/1003@avp-remote-leg"
    told = {key: dialled.variables[key] for key in ("AVP_NODE", "AVP_TRUNK", "AVP_TRANSFEROR")}
    assert told == {"AVP_NODE": "b", "AVP_TRUNK": "trunk-b", "AVP_TRANSFEROR": "1001"}

    outcome = begin(engine(), Mode.UNSUPERVISED)
    (redirect,) = effects(outcome, Redirect)
    assert isinstance(redirect, Redirect)
    assert redirect.destination.context == "avp-remote-queue"
    marks: dict[str, str] = {}
    for effect in effects(outcome, SetVariables):
        assert isinstance(effect, SetVariables)
        marks |= effect.variables if effect.channel == CALLER else {}
    assert (marks["AVP_NODE"], marks["AVP_TRUNK"]) == ("b", "trunk-b")
    assert (marks["AVP_RETURN_NODE"], marks["AVP_RETURN_TRUNK"]) == ("", "")


def test_an_agent_of_this_node_needs_no_marks() -> None:
    made = engine()
    made.fact(member("1004"), NOW)
    outcome = begin(made, Mode.UNSUPERVISED, "1004")
    marked = [x.variables for x in effects(outcome, SetVariables) if isinstance(x, SetVariables)]
    assert not any(
        {"AVP_NODE", "AVP_TRUNK", "AVP_TRUNKS"} & variables.keys() for variables in marked
    )


# --- a consult leg -------------------------------------------------------------------------------


def test_it_rings_and_is_answered() -> None:
    made = engine()
    consult(made)
    assert session(made).state is State.WAITING
    made.fact(ev.DialProgress(FAR_END, "RINGING"), NOW)
    assert session(made).state is State.RINGING
    made.fact(ev.StasisEntered(LEG), NOW)
    assert session(made).state is State.CONSULTING


@pytest.mark.parametrize(
    ("status", "cause", "rang", "reason"),
    [
        ("BUSY", 17, None, "target_queue_full"),
        ("NOANSWER", 18, None, "max_hold"),
        ("NOANSWER", 18, 2.0, "max_hold"),
        ("NOANSWER", 19, None, "target_offline"),
        ("CONGESTION", 21, 2.0, "rejected"),
        ("CONGESTION", 21, 15.0, "no_answer"),
        ("CONGESTION", 21, None, "target_unreachable"),  # the trunk itself was refused
        ("NOANSWER", 0, None, "max_hold"),  # the Dial()'s own limit
        ("CHANUNAVAIL", 0, None, "target_unreachable"),
        ("CHANUNAVAIL", 1, None, "target_unreachable"),
        ("CONGESTION", 34, None, "target_unreachable"),
        ("CONGESTION", 38, None, "target_unreachable"),
        ("CHANUNAVAIL", 27, None, "target_unreachable"),
    ],
)
@pytest.mark.parametrize("mode", Mode)
def test_why_it_was_not_answered(
    mode: Mode, status: str, cause: int, rang: float | None, reason: str
) -> None:
    made = engine()
    dialling = FAR_END if mode is Mode.SUPERVISED else CALLER
    (consult if mode is Mode.SUPERVISED else queue)(made)
    if rang is not None:
        made.fact(ev.DialProgress(dialling, "RINGING"), NOW)
    made.fact(RemoteEnded(dialling, status, cause), NOW + (rang or 0.0))

    ended = session(made)
    expected = State.RETURNING if mode is Mode.SUPERVISED else State.FAILED
    assert (ended.state, ended.reason) == (expected, reason)


@pytest.mark.parametrize(
    ("cause", "to_group", "reason"),
    [
        (21, True, "target_unreachable"),  # the node has found the trunk cut, or a wrong password
        (27, True, "target_unreachable"),
        (18, True, "max_hold"),
        (18, False, "max_hold"),
    ],
)
def test_where_the_dialplan_sends_the_caller(cause: int, to_group: bool, reason: str) -> None:
    made = engine()
    queue(made)
    made.fact(ev.DialProgress(CALLER, "RINGING"), NOW)
    made.fact(RemoteEnded(CALLER, "CHANUNAVAIL", cause, to_group), NOW + 5)
    ended = session(made)
    assert (ended.state, ended.reason) == (State.FAILED, reason)
    expected = CallerOutcome.GROUP if to_group else CallerOutcome.DISCONNECTED
    assert made.record("t1").caller_outcome is expected


def test_nobody_there_means_a_break_if_they_are_on_one() -> None:
    made = engine()
    consult(made)
    seen(made, "1003", replace(CAROL, paused=True))
    made.fact(RemoteEnded(FAR_END, "NOANSWER", 19), NOW)
    assert session(made).reason == "target_not_ready"


def test_the_end_of_a_call_that_was_answered_says_nothing() -> None:
    made = engine()
    consult(made)
    made.fact(ev.StasisEntered(LEG), NOW)
    made.fact(RemoteEnded(FAR_END, "ANSWER", 16), NOW)
    assert session(made).state is State.CONSULTING


def told_ring(agent: str = "1003", *, rings: bool = True, consult: bool = True) -> RemoteRing:
    return RemoteRing(CALLER, agent, rings, consult)


def test_it_rings_by_its_own_daemon() -> None:
    """The 180 was lost. What comes too late, or is of another call, changes nothing."""
    made = engine()
    consult(made)
    for other in (told_ring("1004"), told_ring(rings=False), told_ring(consult=False)):
        made.fact(other, NOW)
    made.fact(replace(told_ring(), channel="other"), NOW)
    assert session(made).state is State.WAITING
    made.fact(told_ring(), NOW)
    assert session(made).state is State.RINGING
    made.fact(ev.DialProgress(FAR_END, "RINGING"), NOW + 1)
    assert session(made).state is State.RINGING
    made.fact(ev.StasisEntered(LEG), NOW)
    made.fact(told_ring(), NOW)
    assert session(made).state is State.CONSULTING


def test_the_ring_of_a_consult_leg_is_none_of_the_caller() -> None:
    """Told late, when the caller has taken its place (`releasing_leg`)."""
    made = engine()
    queue(made)
    before = session(made).state
    made.fact(told_ring(), NOW)
    assert session(made).state is before


@pytest.mark.parametrize(("rang", "reason"), [(2.0, "rejected"), (15.0, "no_answer")])
def test_why_it_was_not_answered_where_the_180_was_lost(rang: float, reason: str) -> None:
    made = engine()
    consult(made)
    made.fact(told_ring(), NOW)
    made.fact(RemoteEnded(FAR_END, "CONGESTION", 21), NOW + rang)
    assert session(made).reason == reason


@pytest.mark.parametrize("rings", [False, True])
def test_the_node_of_a_consult_is_lost(rings: bool) -> None:
    made = engine()
    consult(made)
    if rings:
        made.fact(ev.DialProgress(FAR_END, "RINGING"), NOW)
    assert made.fact(TrunkLost("c"), NOW).empty
    outcome = made.fact(TrunkLost("b"), NOW)
    assert (session(made).state, session(made).reason) == (State.RETURNING, "target_unreachable")
    assert HangUp(LEG) in effects(outcome, HangUp)


def test_who_talks_already_is_left_to_the_dialplan() -> None:
    made = engine()
    consult(made)
    made.fact(ev.StasisEntered(LEG), NOW)
    made.fact(TrunkLost("b"), NOW)
    assert session(made).state is State.CONSULTING


# --- a caller alone ------------------------------------------------------------------------------


def test_a_caller_is_delivered() -> None:
    made = engine()
    queue(made)
    made.fact(ev.DialProgress(CALLER, "RINGING"), NOW)
    assert session(made).state is State.OFFERED
    made.fact(ev.DialProgress(CALLER, "ANSWER"), NOW)
    assert (session(made).state, session(made).delivered_to) == (State.COMPLETED, "1003")


@pytest.mark.parametrize("lost", [TrunkLost("b"), NodeRestarted("b")])
def test_the_node_is_lost_while_a_caller_waits(lost: ev.Fact) -> None:
    made = engine()
    queue(made)
    outcome = made.fact(lost, NOW)
    assert (session(made).state, session(made).reason) == (State.FAILED, "target_unreachable")
    assert made.record("t1").caller_outcome is CallerOutcome.GROUP
    assert effects(outcome, Redirect) == [Redirect(CALLER, LOST)]
    assert made.fact(TrunkLost("b"), NOW).empty


def returning(made: TransferEngine, back: str, action: str = "return") -> None:
    """Alice, whose call it is, counts as an agent of node ``back``. The caller waits for Carol."""
    queue(made)
    variables = {**session(made).variables, "AVP_HOLD_ACTION": action, "AVP_RETURN_NODE": back}
    made.record("t1").session = replace(session(made), variables=variables)


def lose(made: TransferEngine, fact: ev.Fact) -> Outcome:
    """As the daemon takes it in: other nodes' agents after the calls."""
    outcome = made.fact(fact, NOW)
    remote.apply(made, fact, NOW)
    return outcome


@pytest.mark.parametrize("lost", [TrunkLost("c"), NodeRestarted("c")])
def test_the_node_is_lost_to_which_a_caller_returns(lost: ev.Fact) -> None:
    """The maximum hold time is over, and the dialplan has them in a Dial() to the transferor."""
    made = engine()
    returning(made, "c")
    made.fact(RemoteEnded(CALLER, "NOANSWER", 18), NOW)
    assert (session(made).reason, session(made).state.final) == ("max_hold", True)
    assert made.record("t1").caller_outcome is CallerOutcome.RETURNED
    assert lose(made, TrunkLost("b")).empty

    outcome = lose(made, lost)

    assert effects(outcome, Redirect) == [Redirect(CALLER, NO_RETURN)]
    assert made.record("t1").caller_outcome is CallerOutcome.GROUP
    assert lose(made, lost).empty


def test_who_has_the_caller_again_keeps_them() -> None:
    """The dialplan notices the loss by the audio."""
    made = engine()
    returning(made, "c")
    made.fact(RemoteEnded(CALLER, "NOANSWER", 18), NOW)
    made.fact(ev.DialProgress(CALLER, "ANSWER"), NOW)
    assert lose(made, TrunkLost("c")).empty


@pytest.mark.parametrize(
    ("back", "where", "outcome"),
    [
        ("b", NO_RETURN, CallerOutcome.GROUP),
        ("c", LOST, CallerOutcome.RETURNED),
        ("", LOST, CallerOutcome.RETURNED),
    ],
)
def test_the_transferor_is_on_the_node_that_is_lost(
    back: str, where: Destination, outcome: CallerOutcome
) -> None:
    made = engine()
    returning(made, back)
    found = lose(made, TrunkLost("b"))
    assert effects(found, Redirect) == [Redirect(CALLER, where)]
    assert made.record("t1").caller_outcome is outcome


def test_a_transferor_of_another_node_gets_the_caller_back_there() -> None:
    made = engine()
    made.fact(member("1004"), NOW)
    talk = made.call_of("1001")
    assert talk is not None
    wanted = request("1003", "1004", mode=Mode.UNSUPERVISED)
    begin(made, Mode.UNSUPERVISED)
    permission = session(made).permission
    returned = made.factory.make(wanted, wanted.target, permission, talk, CallVariables())
    assert returned.variables["AVP_RETURN_NODE"] == "b"
    assert returned.variables["AVP_RETURN_TRUNK"] == "trunk-b"


def test_a_node_without_a_daemon_goes_on_ringing() -> None:
    made = engine()
    queue(made)
    made.fact(ev.DialProgress(CALLER, "RINGING"), NOW)
    remote.apply(made, NodeLost("b"), NOW)
    assert session(made).state is State.OFFERED
    made.fact(ev.DialProgress(CALLER, "ANSWER"), NOW)
    assert session(made).state is State.COMPLETED


def test_a_trunk_is_told_to_be_cut_again_for_those_who_were_on_their_way() -> None:
    made = engine()
    begin(made, Mode.UNSUPERVISED)
    made.fact(TrunkLost("b"), NOW)
    made.report("t1", SessionEvent(EventType.REDIRECTED), NOW)
    made.fact(ev.StasisLeft("u-1001"), NOW)
    made.fact(TrunkLost("b"), NOW)
    assert session(made).reason == "target_unreachable"


# --- a fourth party ------------------------------------------------------------------------------


def consulting_with(made: TransferEngine) -> str:
    """Dave, of node c, is called as fourth party; the id of the far end of his leg."""
    seen(made, "1004", replace(CAROL, node="c"))
    consult(made)
    made.fact(ev.StasisEntered(LEG), NOW)
    outcome = made.add_party("t1", Target(TargetKind.AGENT, "1004"), NOW)
    (dialled,) = effects(outcome, DialLeg)
    assert isinstance(dialled, DialLeg)
    assert dialled.permission.trunk == "trunk-c"
    assert dialled.variables["AVP_TRUNK"] == "trunk-c"
    made.fact(ev.ChannelSeen(dialled.channel, "Local/1004@avp-remote-leg-2;1"), NOW)
    return dialled.other_channel


def test_a_fourth_party_of_another_node() -> None:
    made = engine()
    far_end = consulting_with(made)
    made.fact(told_ring(), NOW)
    assert not made.record("t1").fourth_rings
    told = made.fact(told_ring("1004"), NOW)
    assert made.record("t1").fourth_rings
    assert told.transfers == ["t1"]
    made.record("t1").fourth_rings = False
    made.fact(ev.DialProgress(far_end, "RINGING"), NOW)
    assert made.record("t1").fourth_rings
    outcome = made.fact(RemoteEnded(far_end, "CONGESTION", 21), NOW)
    assert effects(outcome, HangUp) == [HangUp(far_end.removesuffix("-queue"))]


@pytest.mark.parametrize(("node", "dropped"), [("b", False), ("c", True)])
def test_the_node_of_a_fourth_party_is_lost(node: str, dropped: bool) -> None:
    made = engine()
    consulting_with(made)
    outcome = made.fact(TrunkLost(node), NOW)
    assert bool(effects(outcome, HangUp)) is dropped
    assert session(made).state is State.CONSULTING


# --- groups that span nodes ----------------------------------------------------------------------


def group_marks(made: TransferEngine) -> dict[str, str]:
    outcome = begin(made, Mode.UNSUPERVISED, "sales", TargetKind.GROUP)
    marks: dict[str, str] = {}
    for effect in effects(outcome, SetVariables):
        assert isinstance(effect, SetVariables)
        marks |= effect.variables
    (redirect,) = effects(outcome, Redirect)
    assert isinstance(redirect, Redirect)
    marks["to"] = redirect.destination.context
    return {key: marks.get(key, "") for key in ("to", "AVP_TRUNKS", "AVP_OTHERS")}


def pinned(*nodes: str) -> World:
    """The agents' phones are at these nodes for good."""
    homes = dict(zip(WORLD.agents, nodes, strict=True))
    return replace(WORLD, agents={x: replace(a, node=homes[x]) for x, a in WORLD.agents.items()})


def test_a_group_waits_wherever_somebody_may_log_in() -> None:
    made = engine()
    everywhere = {"to": "avp-remote-group", "AVP_TRUNKS": "trunk-b.trunk-c", "AVP_OTHERS": "yes"}
    assert group_marks(made) == everywhere
    made = engine(logged_in=("support",))
    assert group_marks(made) == {**everywhere, "AVP_OTHERS": ""}  # Alice is offered her own call


@pytest.mark.parametrize(
    ("homes", "trunks"),
    [(("a", "a", "a"), ""), (("a", "c", "a"), "trunk-c"), (("a", "c", "b"), "trunk-b.trunk-c")],
)
def test_a_group_of_pinned_agents_waits_at_their_nodes(homes: tuple[str, ...], trunks: str) -> None:
    made = TransferEngine(pinned(*homes), new_id=lambda: "t1")
    made.fact(member("1001"), NOW)
    made.fact(member("1002"), NOW)
    call(made)
    # Bob is not configured: he may log in anywhere. Without him, the homes decide.
    assert group_marks(made)["AVP_TRUNKS"] == "trunk-b.trunk-c"
    made = TransferEngine(pinned(*homes), new_id=lambda: "t1")
    made.fact(member("1001"), NOW)
    made.fact(member("1003"), NOW)
    call(made)
    found = group_marks(made)
    assert found["AVP_TRUNKS"] == trunks
    assert found["to"] == ("avp-remote-group" if trunks else "avp-group-queue")


def test_a_group_of_the_other_nodes_alone_and_one_of_nobody() -> None:
    made = engine()
    begin(made, Mode.UNSUPERVISED, "support", TargetKind.GROUP)
    assert session(made).permission.trunks == ("trunk-b", "trunk-c")
    for changes, reason in (
        ({"paused": True}, "target_not_ready"),
        ({"reachable": False}, "target_offline"),
    ):
        with pytest.raises(Refused) as refused:
            begin(engine(**changes), Mode.UNSUPERVISED, "support", TargetKind.GROUP)
        assert refused.value.reason == reason


def test_who_of_a_group_has_the_caller() -> None:
    made = engine()
    made.fact(member("1002"), NOW)
    queue(made, "sales", TargetKind.GROUP)
    made.fact(ev.ChannelSeen("here", "Local/sales@avp-remote-group-here-1;2"), NOW)
    made.fact(RemoteLeg("here", "", "", "t1"), NOW)
    made.fact(ev.AgentRung("sales", "here", "PJSIP/1002"), NOW)
    made.fact(ev.DialProgress(CALLER, "RINGING"), NOW)
    assert session(made).state is State.OFFERED
    made.fact(ev.AgentConnected("sales", "here", "PJSIP/1002"), NOW)
    made.fact(ev.DialProgress(CALLER, "ANSWER"), NOW)
    assert (session(made).state, session(made).delivered_to) == (State.COMPLETED, "1002")


def test_a_group_that_becomes_empty() -> None:
    made = engine()
    queue(made, "support", TargetKind.GROUP)
    assert withdrawal(made, "t1") is None
    seen(made, "1003", replace(CAROL, paused=True))
    assert withdrawal(made, "t1") == Redirect(CALLER, WITHDRAWN)


# --- another node's call -------------------------------------------------------------------------

NODE_IN = NodeCall(
    "in-1", "1001", "avp-agent-1001", "t9", "b", "b-caller", "support", "consult", "1003"
)


@pytest.mark.parametrize("leg", ["consult", "caller"])
def test_a_consult_of_another_node_ends_with_its_first_ring(leg: str) -> None:
    made = engine()
    made.fact(ev.ChannelSeen("in-1", "PJSIP/trunk-b-1"), NOW)
    made.fact(replace(NODE_IN, leg=leg), NOW)
    outcome = made.fact(ev.AgentUnanswered("avp-agent-1001", "in-1", "PJSIP/1001", 2.0), NOW)
    expected = [Redirect("in-1", REJECTED)] if leg == "consult" else []
    assert effects(outcome, Redirect) == expected
    made.fact(ev.ChannelGone("in-1"), NOW)
    outcome = made.fact(ev.AgentUnanswered("avp-agent-1001", "in-1", "PJSIP/1001", 2.0), NOW)
    assert effects(outcome, Redirect) == []


def test_an_agent_is_a_member_as_soon_as_another_node_has_reserved_the_place() -> None:
    made = engine()
    reserve(made.agents, made.elsewhere, ("1001", "t9", "b"), NOW, taken=False, token="x")
    (added,) = made.personal_queues.mirror(made.agents.by_id["1001"], NOW)
    assert isinstance(added, AddMember)


@pytest.mark.parametrize(("wanted", "refused"), [("q-support", False), ("vip", True), ("", True)])
def test_another_node_reaches_groups_queues_only(wanted: str, refused: bool) -> None:
    made = engine()
    outcome = made.fact(replace(NODE_IN, agent="", queue=wanted), NOW)
    assert effects(outcome, Redirect) == ([Redirect("in-1", UNKNOWN)] if refused else [])


def test_a_local_consult_is_not_ended_so() -> None:
    made = engine()
    outcome = made.fact(ev.AgentUnanswered("avp-agent-1001", "x", "PJSIP/1001", 2.0), NOW)
    assert outcome.empty


def test_an_agent_is_a_member_of_their_queue_for_another_nodes_call() -> None:
    made = engine()
    made.fact(ev.ChannelSeen("in-1", "PJSIP/trunk-b-1"), NOW)
    outcome = made.fact(NODE_IN, NOW)
    assert "1001" in outcome.agents
    assert made.slot_taken("1001")
    (added,) = made.personal_queues.mirror(made.agents.by_id["1001"], NOW)
    assert isinstance(added, AddMember)
    made.fact(ev.ChannelGone("in-1"), NOW)
    assert not made.slot_taken("1001")


# --- the next daemon -----------------------------------------------------------------------------


@pytest.mark.parametrize("state", State)
def test_the_next_daemon_knows_the_node(state: State) -> None:
    made = engine()
    consult(made)
    before = replace(session(made), state=state)
    assert persistence.decode(persistence.encode(before), WORLD) == before
    assert persistence.decode(persistence.encode(before), replace(WORLD, nodes={})) is None


@pytest.mark.parametrize("kind", [TargetKind.AGENT, TargetKind.GROUP])
def test_a_ring_that_ends_without_an_answer(kind: TargetKind) -> None:
    """Each ring is shown, and each end of one: the directory tells what SIP does not."""
    made = engine()
    queue(made, "sales" if kind is TargetKind.GROUP else "1003", kind)
    for again in (AgentState.AVAILABLE, AgentState.ACW, AgentState.AVAILABLE):
        made.fact(ev.DialProgress(CALLER, "RINGING"), NOW)
        assert session(made).state is State.OFFERED
        seen(made, "1003", replace(CAROL, state=AgentState.RINGING))
        assert session(made).state is State.OFFERED
        seen(made, "1003", replace(CAROL, state=again))
        assert session(made).state is State.QUEUED
    made.fact(ev.DialProgress(CALLER, "RINGING"), NOW)
    seen(made, "1003", replace(CAROL, state=AgentState.RINGING))
    seen(made, "1003", replace(CAROL, state=AgentState.TALKING))
    assert session(made).state is State.OFFERED  # the answer comes by SIP
    made.fact(ev.DialProgress(CALLER, "ANSWER"), NOW)
    assert session(made).state is State.COMPLETED


def test_a_group_rings_until_the_last_of_its_phones_has_stopped() -> None:
    made = engine()
    seen(made, "1004", replace(CAROL, node="c"))
    queue(made, "sales", TargetKind.GROUP)
    for agent, node in (("1003", "b"), ("1004", "c")):
        seen(made, agent, replace(CAROL, node=node, state=AgentState.RINGING))
    made.fact(ev.DialProgress(CALLER, "RINGING"), NOW)
    seen(made, "1003", CAROL)
    assert session(made).state is State.OFFERED
    seen(made, "1004", replace(CAROL, node="c"))
    assert session(made).state is State.QUEUED


def test_the_next_daemon_knows_a_groups_nodes() -> None:
    made = engine()
    queue(made, "sales", TargetKind.GROUP)
    before = session(made)
    assert before.permission.trunks
    assert persistence.decode(persistence.encode(before), WORLD) == before
    assert persistence.decode(persistence.encode(before), replace(WORLD, nodes={})) is None


def test_a_caller_who_waits_on_several_nodes_is_counted_by_the_one_where_they_are() -> None:
    made = engine()
    made.fact(NodeCall("u-9", "", "sales", "t9", "b", "c9", "sales", "", "1003"), NOW)
    made.fact(ev.QueueJoined("sales", "u-9"), NOW)
    made.fact(ev.QueueJoined("sales", "u-8"), NOW)
    made.fact(ev.QueueWaiting("sales", 2, 7, NOW), NOW)
    assert made.waiting.here("sales").callers == 1
    made.fact(ev.QueueLeft("sales", "u-8"), NOW)
    made.fact(ev.QueueWaiting("sales", 1, 7, NOW), NOW)
    assert (made.waiting.here("sales").callers, made.waiting.here("sales").since) == (0, None)
    made.fact(ev.QueueLeft("sales", "u-9"), NOW)
    made.fact(ev.QueueJoined("sales", "u-7"), NOW)
    made.fact(ev.QueueWaiting("sales", 1, 2, NOW), NOW)
    assert made.waiting.here("sales").callers == 1


# --- cut trunks ----------------------------------------------------------------------------------


def spanning(made: TransferEngine) -> None:
    """A caller waits in the queues of support on nodes b and c, and on this one."""
    seen(made, "1004", replace(CAROL, node="c"))
    queue(made, "support", TargetKind.GROUP)
    assert session(made).permission.trunks == ("trunk-b", "trunk-c")


@pytest.mark.parametrize(
    ("changes", "after", "waits"),
    [
        ({}, NodeLost("b"), True),
        ({}, TrunkLost("c"), True),
        ({"paused": True}, NodeLost("b"), False),
        ({"on_break": ("support",)}, NodeLost("b"), False),
        ({"logged_in": ("sales",)}, NodeLost("b"), False),
    ],
)
def test_a_node_that_is_not_heard_goes_on_serving_its_queue(
    changes: dict[str, object], after: NodeLost | TrunkLost, waits: bool
) -> None:
    """Its daemon may be away, or NATS: nobody who waits there is sent away."""
    made = engine()
    queue(made, "support", TargetKind.GROUP)
    seen(made, "1003", replace(CAROL, **changes))  # type: ignore[arg-type]
    lose(made, after)
    assert (withdrawal(made, "t1") is None) is waits


def test_the_transferor_alone_is_not_heard() -> None:
    made = engine()
    queue(made, "support", TargetKind.GROUP)
    seen(made, "1003", replace(CAROL, logged_in=()))
    seen(made, "1001", replace(CAROL, node="c"))
    lose(made, NodeLost("c"))
    assert withdrawal(made, "t1") == Redirect(CALLER, WITHDRAWN)


def test_the_last_trunk_to_a_group_is_cut() -> None:
    made = engine()
    spanning(made)
    assert lose(made, TrunkLost("b")).empty
    outcome = lose(made, TrunkLost("c"))
    assert (session(made).state, session(made).reason) == (State.FAILED, "target_unreachable")
    assert effects(outcome, Redirect) == [Redirect(CALLER, LOST)]


def test_somebody_of_the_group_is_here() -> None:
    made = engine()
    seen(made, "1003", replace(CAROL, node="c"))
    made.fact(member("1004", queue="q-support"), NOW)
    queue(made, "support", TargetKind.GROUP)
    assert made.fact(TrunkLost("c"), NOW).empty
    assert not session(made).state.final
    made.fact(member("1004", queue="q-support", paused=True), NOW)
    made.fact(TrunkLost("c"), NOW)
    assert session(made).reason == "target_unreachable"


def test_one_that_is_mended_in_time_still_reaches_the_group() -> None:
    made = engine()
    spanning(made)
    for fact in (TrunkLost("b"), TrunkBack("b"), TrunkLost("c")):
        assert lose(made, fact).empty
    assert not session(made).state.final


@pytest.mark.parametrize("leg", ["", "consult"])
def test_a_call_that_nobody_has_answered_leaves_the_queue_with_its_trunk(leg: str) -> None:
    """Nobody is rung for a caller who cannot be heard."""
    made = engine()
    made.fact(replace(NODE_IN, leg=leg), NOW)
    assert made.fact(TrunkLost("c"), NOW).empty
    assert effects(made.fact(TrunkLost("b"), NOW), Redirect) == [Redirect("in-1", REJECTED)]
    made.fact(ev.AgentConnected("avp-agent-1001", "in-1", "PJSIP/1001"), NOW)
    assert made.fact(TrunkLost("b"), NOW).empty  # the dialplan notices it by the audio
    made.fact(ev.ChannelGone("in-1"), NOW)
    made.fact(replace(NODE_IN, leg=leg), NOW)
    assert effects(made.fact(TrunkLost("b"), NOW), Redirect) == [Redirect("in-1", REJECTED)]


def test_a_reject_whose_ring_an_earlier_daemon_has_heard() -> None:
    """How long it rang is not known any more; that it rang is."""
    made = engine()
    consult(made)
    made.fact(ev.DialProgress(FAR_END, "RINGING"), NOW)
    made.remote_calls._rings.clear()
    made.fact(RemoteEnded(FAR_END, "NOANSWER", 21), NOW + 3)
    assert session(made).reason == "no_answer"
