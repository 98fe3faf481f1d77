"""From Asterisk's events to facts: a recorded queue call, and every kind of event once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asterisk_avp.ami import translate as ami
from asterisk_avp.ami.wire import FrameReader
from asterisk_avp.ari import translate as ari
from asterisk_avp.core import events as ev
from asterisk_avp.core.hub import Hub
from asterisk_avp.core.model import AgentState, Group, World

NOW = 1_700_000_000.0
TRACE = Path(__file__).with_name("traces") / "queue_call.ami"


def recorded() -> list[ev.Fact]:
    found = [ami.translate(message, NOW) for message in FrameReader().feed(TRACE.read_bytes())]
    return [fact for fact in found if fact is not None]


def test_a_recorded_call_is_understood() -> None:
    facts = recorded()
    names = [fact.caller_name for fact in facts if isinstance(fact, ev.ChannelSeen)]
    assert "Zoë Müller 東京" in names
    order = [type(fact) for fact in facts]
    wanted = [ev.QueueJoined, ev.AgentRung, ev.AgentConnected]
    positions = [order.index(kind) for kind in wanted]
    assert positions == sorted(positions)


def test_a_recorded_call_leaves_nothing_in_the_picture() -> None:
    hub = Hub(World({"sales": Group("sales", "sales", "Sales")}), new_id=lambda: "t")
    states = set()
    for fact in recorded():
        hub.fact(fact, NOW)
        states |= {agent.state for agent in hub.agents.by_id.values()}
    assert AgentState.TALKING in states
    assert hub.calls.channels == {}


CHANNEL = {"Uniqueid": "u1", "Channel": "PJSIP/1001-00000001"}


@pytest.mark.parametrize(
    ("event", "fact"),
    [
        (
            {
                "Event": "Newchannel",
                **CHANNEL,
                "CallerIDNum": "5550100",
                "CallerIDName": "<unknown>",
            },
            ev.ChannelSeen("u1", "PJSIP/1001-00000001", "5550100"),
        ),
        (
            {
                "Event": "CoreShowChannel",
                **CHANNEL,
                "BridgeId": "b1",
                "Application": "Queue",
                "ApplicationData": "sales,tT,,,60",
            },
            ev.ChannelSeen("u1", "PJSIP/1001-00000001", queue="sales", bridge="b1"),
        ),
        (
            {"Event": "CoreShowChannel", **CHANNEL, "BridgeId": "", "Application": "Dial"},
            ev.ChannelSeen("u1", "PJSIP/1001-00000001"),
        ),
        (
            {
                "Event": "CoreShowChannel",
                **CHANNEL,
                "BridgeId": "",
                "Linkedid": "u0",
                "ChannelStateDesc": "Ringing",
            },
            ev.ChannelSeen("u1", "PJSIP/1001-00000001", linked="u0", rung=True),
        ),
        ({"Event": "Rename", **CHANNEL, "Newname": "X"}, ev.ChannelRenamed("u1", "X")),
        ({"Event": "Hangup", **CHANNEL, "Cause": "16"}, ev.ChannelGone("u1")),
        ({"Event": "BridgeEnter", **CHANNEL, "BridgeUniqueid": "b"}, ev.BridgeEntered("u1", "b")),
        ({"Event": "BridgeLeave", **CHANNEL, "BridgeUniqueid": "b"}, ev.BridgeLeft("u1", "b")),
        ({"Event": "Hold", **CHANNEL}, ev.HoldChanged("u1", on_hold=True)),
        ({"Event": "Unhold", **CHANNEL}, ev.HoldChanged("u1", on_hold=False)),
        ({"Event": "QueueCallerJoin", **CHANNEL, "Queue": "q"}, ev.QueueJoined("q", "u1")),
        ({"Event": "QueueEntry", **CHANNEL, "Queue": "q"}, ev.QueueJoined("q", "u1")),
        ({"Event": "QueueCallerLeave", **CHANNEL, "Queue": "q"}, ev.QueueLeft("q", "u1")),
        (
            {"Event": "AgentCalled", **CHANNEL, "Queue": "q", "Interface": "PJSIP/1"},
            ev.AgentRung("q", "u1", "PJSIP/1"),
        ),
        (
            {"Event": "AgentConnect", **CHANNEL, "Queue": "q", "Interface": "PJSIP/1"},
            ev.AgentConnected("q", "u1", "PJSIP/1"),
        ),
        (
            {"Event": "AgentComplete", "Queue": "q", "Interface": "PJSIP/1"},
            ev.AgentCompleted("q", "PJSIP/1", NOW),
        ),
        (
            {
                "Event": "AgentRingNoAnswer",
                **CHANNEL,
                "Queue": "q",
                "Interface": "PJSIP/1",
                "RingTime": "4200",
            },
            ev.AgentUnanswered("q", "u1", "PJSIP/1", 4.2),
        ),
        (
            {"Event": "QueueMemberRemoved", "Queue": "q", "Interface": "PJSIP/1"},
            ev.MemberRemoved("q", "PJSIP/1", NOW),
        ),
        (
            {"Event": "UserEvent", "UserEvent": "AVPQueueEnded", **CHANNEL, "Status": "TIMEOUT"},
            ev.QueueEnded("u1", "TIMEOUT"),
        ),
        (
            {"Event": "UserEvent", "UserEvent": "AVPNotAccepted", **CHANNEL, "Transfer": "t1"},
            ev.NotAccepted("u1"),
        ),
        ({"Event": "UserEvent", "UserEvent": "Somebody", **CHANNEL}, None),
        ({"Event": "VarSet", **CHANNEL}, None),
        ({}, None),
    ],
    ids=lambda value: value.get("Event", "none") if isinstance(value, dict) else None,
)
def test_every_kind_of_event(event: dict[str, str], fact: ev.Fact | None) -> None:
    assert ami.translate(event, NOW) == fact


@pytest.mark.parametrize(("interface", "name"), [("Interface", "MemberName"), ("Location", "Name")])
def test_members_of_events_and_of_lists(interface: str, name: str) -> None:
    event = {
        "Event": "QueueMember",
        "Queue": "q",
        interface: "PJSIP/1",
        name: "Ann",
        "StateInterface": "PJSIP/9",
        "Status": "2",
        "Paused": "1",
        "InCall": "1",
        "LastCall": "1600000000",
        "Wrapuptime": "7",
    }
    assert ami.translate(event, NOW) == ev.MemberSeen(
        "q",
        "PJSIP/1",
        "PJSIP/9",
        "Ann",
        2,
        paused=True,
        in_call=True,
        last_call=1_600_000_000,
        wrapup_seconds=7,
        now=NOW,
    )


def test_numbers_that_are_none_count_as_zero() -> None:
    fact = ami.translate({"Event": "QueueMember", "Queue": "q", "Status": "x"}, NOW)
    assert isinstance(fact, ev.MemberSeen)
    assert (fact.status, fact.last_call) == (0, 0.0)


@pytest.mark.parametrize(
    ("event", "fact"),
    [
        ({"type": "StasisStart", "channel": {"id": "c"}}, ev.StasisEntered("c")),
        ({"type": "StasisEnd", "channel": {"id": "c"}}, ev.StasisLeft("c")),
        ({"type": "ChannelDestroyed", "channel": {"id": "c"}}, None),
        ({"type": "ChannelDtmfReceived", "channel": {"id": "c"}}, None),
        ({"type": "ChannelDtmfReceived", "channel": {"id": "c"}, "digit": ""}, None),
        ({"type": "ChannelDtmfReceived", "channel": {"id": "c"}, "digit": 5}, None),
        (
            {"type": "ChannelDtmfReceived", "channel": {"id": "c"}, "digit": "#"},
            ev.KeyPressed("c", "#"),
        ),
        ({"type": "StasisStart", "channel": {"id": 7}}, None),
        ({"type": "StasisStart"}, None),
        ({"type": "ApplicationReplaced"}, None),
    ],
)
def test_ari_events(event: dict[str, object], fact: ev.Fact | None) -> None:
    assert ari.translate(event) == fact


# --- a phone's Transfer button, the feature code, music ------------------------------------------

TRANSFERS: dict[str, dict[str, Any]] = json.loads(
    TRACE.with_name("transfers.json").read_text(encoding="utf-8")
)
CHANNEL_1001 = "pbx-1795382339.1"


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("blind-queue", ev.TransferAsked(CHANNEL_1001, "1002", attended=False)),
        # The phone's own channel, not the half of the Local channel that is in the queue's call.
        ("blind-local-member", ev.TransferAsked("pbx-1795383071.3", "1002", attended=False)),
        (
            "attended",
            ev.TransferAsked(
                "pbx-1795382369.9",
                "1003",
                attended=True,
                second="pbx-1795382369.10",
                target="pbx-1795382369.11",
            ),
        ),
        (
            "attended-early",  # the target has not answered: nobody is connected yet
            ev.TransferAsked(
                "pbx-1795382611.10", "1004", attended=True, second="pbx-1795382611.12"
            ),
        ),
        ("attended-nomatch", ev.TransferAsked("pbx-1795382375.12", "1001", attended=True)),
    ],
)
def test_a_recorded_transfer(name: str, fact: ev.Fact) -> None:
    event = TRANSFERS[name]
    assert ari.translate(event) == fact
    # What we answer is echoed, and a phone that hangs up has a last one without a bridge.
    for state in ("channel_progress", "channel_answered", "channel_declined"):
        assert ari.translate(event | {"state": state}) is None
    over = {k: v for k, v in event["referred_by"].items() if k == "source_channel"}
    assert ari.translate(event | {"referred_by": over}) is None


@pytest.mark.parametrize(
    "broken",
    [
        {"refer_to": None},
        {"refer_to": {"requested_destination": "1002"}},
        {"refer_to": {"requested_destination": {}}},
    ],
)
def test_a_transfer_to_nowhere_is_one_all_the_same(broken: dict[str, object]) -> None:
    asked = ari.translate(TRANSFERS["blind-queue"] | broken)
    assert asked == ev.TransferAsked(CHANNEL_1001, "", attended=False)


@pytest.mark.parametrize("referred_by", [None, "x", {}, {"source_channel": {"id": 1}}])
def test_a_transfer_by_nobody_is_none(referred_by: object) -> None:
    assert ari.translate(TRANSFERS["blind-queue"] | {"referred_by": referred_by}) is None


@pytest.mark.parametrize(
    ("event", "fact"),
    [
        ({"Event": "UserEvent", "UserEvent": "AVPFeature"}, ev.FeatureUsed("u1")),
        ({"Event": "UserEvent", "UserEvent": "SomebodyElses"}, None),
        ({"Event": "MusicOnHoldStart", "Class": "default"}, ev.MusicChanged("u1", playing=True)),
        ({"Event": "MusicOnHoldStop"}, ev.MusicChanged("u1", playing=False)),
        (
            {"Event": "MixMonitorMute", "Direction": "both", "State": "1"},
            ev.RecordingMuted("u1", "both", muted=True),
        ),
        (
            {"Event": "MixMonitorMute", "Direction": "READ", "State": "0"},
            ev.RecordingMuted("u1", "READ", muted=False),
        ),
    ],
)
def test_the_feature_code_and_music(event: dict[str, str], fact: ev.Fact | None) -> None:
    assert ami.translate(CHANNEL | event, NOW) == fact
