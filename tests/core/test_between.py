"""What daemons tell each other: it comes back as it was sent, and nothing else is believed."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.elsewhere import Elsewhere, reserve
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.messages import between, fields
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.between import TransferEvent
from asterisk_avp.core.messages.remote import NodeCall, RemoteLeg
from asterisk_avp.core.model.errors import NodeOversteps, Refused
from asterisk_avp.core.model.nodes import RemoteAgent
from asterisk_avp.core.model.world import AgentState, Mode, Target, TargetKind, TransferView
from tests.core.world import NOW, call, engine, request


def shown() -> TransferView:
    made = engine()
    call(made)
    session, _ = made.request(request(), CallVariables(), NOW)
    return views.transfer_view(made, made.store.records[session.id])


def body() -> Any:
    return json.loads(json.dumps(TransferEvent(7, transfer=shown()).body()))


def test_a_view_comes_back_as_it_was() -> None:
    read = between.transfer_event(body())
    assert read == TransferEvent(7, transfer=shown())


def test_unknown_fields_are_ignored() -> None:
    later = body()
    later["more"] = later["transfer"]["more"] = {"x": 1}
    later["transfer"]["actions"].append("teleport")
    assert between.transfer_event(later) == between.transfer_event(body())


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("id", "../x"),
        ("id", None),
        ("agent", "1001 "),
        ("agent", ["1001"]),
        ("group", "sales)"),
        ("mode", "both"),
        ("state", "flying"),
        ("caller", "x" * 300),
        ("caller", 5),
        ("notes", {"x": 1}),
        ("since", "now"),
        ("since", 1e300),
        ("since", True),
        ("started", -1),
        ("parties", {}),
        ("parties", [{}] * 60),
        ("parties", ["x"]),
        ("target", "1002"),
        ("target", {"kind": "moon", "value": "x"}),
        ("asked", "1002"),
        ("caller_outcome", "eaten"),
    ],
)
def test_fields_that_cannot_be_meant(where: str, value: object) -> None:
    wrong = copy.deepcopy(body())
    wrong["transfer"][where] = value
    with pytest.raises(fields.Unusable) as found:
        between.transfer_event(wrong)
    assert str(value) not in str(found.value) or len(str(value)) < 6


@pytest.mark.parametrize("wrong", [None, [], "x", 1, {}, {"version": True}, {"version": 2}])
def test_no_message(wrong: object) -> None:
    for read in (
        between.transfer_event,
        between.slot_request,
        between.forwarded_request,
        between.wanted_party,
        between.transfer_events,
    ):
        with pytest.raises(fields.Unusable):
            read(wrong)


def test_a_forwarded_request_comes_back() -> None:
    target = Target(TargetKind.NUMBER, "+1 201 555 0123")
    sent = between.ForwardedRequest("1003", Mode.SUPERVISED, target, "u-1.5", "t1", "a\nnote")
    assert between.forwarded_request(json.loads(json.dumps(sent.body()))) == sent
    keyed = between.ForwardedRequest("1003", Mode.SUPERVISED, None, "u-1.5", "t1")
    assert between.forwarded_request(keyed.body()) == keyed


# --- slots --------------------------------------------------------------------------------------


def test_a_slot_is_taken_for_everybody_else() -> None:
    made = engine()
    elsewhere = made.elsewhere

    def ask(transfer: str, agent: str = "1002", anchor: str = "b") -> str:
        taken = made.slot_taken(agent)
        wanted = (agent, transfer, anchor)
        return reserve(made.agents, elsewhere, wanted, NOW, taken=taken, token=transfer)[0].token

    assert ask("t1") == ask("t1") == "t1"
    for transfer, anchor in (("t2", "b"), ("t1", "c")):
        with pytest.raises(Refused) as refused:
            ask(transfer, anchor=anchor)
        assert refused.value.reason == "target_queue_full"
    assert elsewhere.slots.give_back("t1", "c") == ""
    assert elsewhere.slots.give_back("t1", "b") == "1002"
    assert ask("t2") == "t2"
    assert elsewhere.slots.lapse(NOW + 5) == set()
    assert elsewhere.slots.lapse(NOW + 10) == {"1002"}
    assert elsewhere.slots.next_lapse is None


def test_our_own_reservation_is_no_obstacle() -> None:
    """The home tells of the slot that we have just reserved, maybe before we decide."""
    made = engine()
    agent = made.agents.by_id["1002"]
    agent.remote = RemoteAgent("b", AgentState.AVAILABLE, 0.0, ("sales",), waiting_transfer=True)
    assert made.slot_taken("1002")
    made.elsewhere.hold("1002")
    made.elsewhere.hold("1002")
    made.elsewhere.release("1002")
    assert not made.slot_taken("1002")
    made.elsewhere.release("1002")
    assert made.slot_taken("1002")


# --- calls --------------------------------------------------------------------------------------


def remote_call() -> Any:
    """A caller of sales talks to Carol, who is at home on node b, by the trunk's channel."""
    made = engine()
    carol = made.agents.by_id["1003"]
    made.fact(ev.MemberRemoved("q-support", "PJSIP/1003", NOW), NOW)
    carol.remote = RemoteAgent("b", AgentState.TALKING, 0.0, ("sales",), ("sales",))
    carol.state = AgentState.TALKING
    made.agents.regroup(carol)
    made.fact(ev.ChannelSeen("u-c", "PJSIP/caller1-00000001", "caller1", queue="sales"), NOW)
    made.fact(ev.ChannelSeen("u-t", "PJSIP/avp-node-b-00000001"), NOW)
    made.elsewhere.trunks.leg(RemoteLeg("u-t", "1003", "b", "t0"))
    for channel in ("u-c", "u-t"):
        made.fact(ev.BridgeEntered(channel, "b-1"), NOW)
    return made


def test_the_anchor_finds_the_call_by_the_trunks_channel() -> None:
    made = remote_call()
    found = made.call_of("1003")
    assert (found.agent_channel, found.caller_channel) == ("u-t", "u-c")
    assert made.call_of("1001") is None
    session, outcome = made.request(request("1003", "1001"), CallVariables(), NOW)
    assert (session.transferor.channel, session.caller.channel) == ("u-t", "u-c")
    assert session.transferor_location == ""
    assert {"1003", "1001"} <= outcome.agents
    made.elsewhere.trunks.gone("u-t")
    assert list(made.elsewhere.channels_of(made.agents.by_id["1003"])) == []


def test_a_node_claims_only_legs_that_were_sent_to_it() -> None:
    trunks = Elsewhere().trunks
    trunks.leg(RemoteLeg("u-1", "1003", "b", "t0"))
    trunks.leg(RemoteLeg("u-2", "", "b", "t1"))
    assert trunks.claim("1003", "c", "t0") == ""
    assert trunks.claim("1004", "b", "t0") == ""
    assert trunks.claim("1003", "b", "t0") == "u-1"
    # A call to a group there, which this agent has answered.
    assert trunks.claim("1005", "c", "t1") == ""
    assert trunks.claim("1005", "b", "t1") == "u-2"
    assert trunks.agent_of("u-2") == "1005"
    assert trunks.claim("1004", "b", "t1") == ""
    trunks.retain(lambda channel: channel == "u-2")
    assert trunks.agent_of("u-1") == ""


def test_the_home_shows_what_the_anchor_tells() -> None:
    made = engine()
    made.fact(ev.ChannelSeen("u-in", "PJSIP/avp-node-a-00000001", "1001"), NOW)
    made.fact(ev.ChannelSeen("u-1003", "PJSIP/1003-00000002"), NOW)
    here = NodeCall("u-in", "1003", "avp-agent-1003", "t1", "a", "u-c", "sales", "consult", "1001")
    made.elsewhere.trunks.call(here)
    for channel in ("u-in", "u-1003"):
        made.fact(ev.BridgeEntered(channel, "b-1"), NOW)

    def seen() -> Any:
        return views.agent_view(made, made.agents.by_id["1003"]).call

    assert seen().consult.agent == "1001"
    assert views.targets_view(made, "1003").my_agent_groups == ()
    told = made.elsewhere.told
    view = between.transfer_view(body()["transfer"] | {"state": "consulting"})
    assert told.tell("c", 1, view) is not None  # another node's of that name
    assert seen().consult.agent == "1001"
    told.drop(view.id)
    told.tell("a", 1, view)
    over = between.transfer_view(body()["transfer"] | {"state": "completed", "id": "t1"})
    assert told.tell("a", 2, over)
    assert (seen().consult, seen().caller) == (None, over.caller)
    assert told.tell("a", 3, over) is None  # what has ended has ended
    with pytest.raises(NodeOversteps):
        told.tell("b", 9, over)
    again = between.transfer_view(body()["transfer"] | {"id": "t2", "agent": "1003"})
    told.tell("a", 4, again)
    assert (seen().transfer.id, seen().on_hold) == ("t2", True)
