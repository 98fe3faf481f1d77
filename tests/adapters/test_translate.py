"""From Asterisk's events to facts: recorded queue calls, and every kind of event once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asterisk_avp.ami import translate as ami
from asterisk_avp.ami.wire import FrameReader
from asterisk_avp.ari import translate as ari
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.caller import Presentation
from asterisk_avp.core.model.world import AgentState, Group, World

NOW = 1_700_000_000.0
TRACE = Path(__file__).with_name("traces") / "queue_call.ami"


ARI_TRACE = TRACE.with_name("queue_call.jsonl")
IN_QUEUE = {"app_name": "Queue", "app_data": "sales,tib(x^s^1)"}


def recorded_by_ami() -> list[ev.Fact]:
    found = [ami.translate(message, NOW) for message in FrameReader().feed(TRACE.read_bytes())]
    return [fact for fact in found if fact is not None]


def recorded_by_ari() -> list[ev.Fact]:
    translator = ari.Translator()
    lines = ARI_TRACE.read_text(encoding="utf-8").splitlines()
    return [fact for line in lines for fact in translator.translate(json.loads(line))]


def one(event: dict[str, Any]) -> tuple[ev.Fact, ...]:
    return ari.Translator().translate(event)


def test_a_recorded_call_is_understood() -> None:
    facts = recorded_by_ari()
    names = [fact.caller_name for fact in facts if isinstance(fact, ev.ChannelSeen)]
    assert {"caller1", "Bob"} <= set(names)
    order = [type(fact) for fact in facts]
    wanted = [ev.AgentRung, ev.AgentConnected, ev.BridgeEntered, ev.BridgeLeft, ev.ChannelGone]
    positions = [order.index(kind) for kind in wanted]
    assert positions == sorted(positions)


def test_a_recorded_call_leaves_nothing_in_the_picture() -> None:
    engine = TransferEngine(World({"sales": Group("sales", "sales", "Sales")}), new_id=lambda: "t")
    engine.fact(ev.MemberSeen("sales", "PJSIP/1002", "", "", 1, False, False, 0.0, 0, NOW), NOW)
    queues = set()
    for fact in recorded_by_ari():
        engine.fact(fact, NOW)
        call = engine.call_of("1002")
        if call is not None:
            queues.add(call.queue)
    assert queues == {"sales"}
    assert engine.calls.channels == {}


def test_the_members_of_a_recorded_call_have_their_states() -> None:
    engine = TransferEngine(World({"sales": Group("sales", "sales", "Sales")}), new_id=lambda: "t")
    states = set()
    for fact in recorded_by_ami():
        engine.fact(fact, NOW)
        states |= {agent.state for agent in engine.agents.by_id.values()}
    assert AgentState.TALKING in states


def test_nothing_of_a_recorded_call_looks_like_somebody_elses_writing() -> None:
    found: list[tuple[str, str]] = []
    reader = FrameReader(ami.EVENTS, lambda name, problem: found.append((name, problem)))
    messages = reader.feed(TRACE.read_bytes())
    assert found == []
    assert {"QueueMemberStatus", "QueueCallerJoin"} <= {m.get("Event") for m in messages}


CHANNEL = {"Uniqueid": "u1", "Channel": "PJSIP/1001-00000001"}


@pytest.mark.parametrize(
    ("event", "fact"),
    [
        # For channels and bridges, only ARI is trusted.
        ({"Event": "Newchannel", **CHANNEL, "CallerIDNum": "5550100"}, None),
        ({"Event": "Rename", **CHANNEL, "Newname": "X"}, None),
        ({"Event": "Hangup", **CHANNEL, "Cause": "16"}, ev.ChannelEnding("u1")),
        ({"Event": "BridgeEnter", **CHANNEL, "BridgeUniqueid": "b"}, None),
        ({"Event": "BridgeLeave", **CHANNEL, "BridgeUniqueid": "b"}, None),
        ({"Event": "Hold", **CHANNEL}, None),
        ({"Event": "DialEnd", **CHANNEL, "DialStatus": "BUSY"}, None),
        ({"Event": "AgentCalled", **CHANNEL, "Queue": "q", "Interface": "PJSIP/1"}, None),
        ({"Event": "AgentConnect", **CHANNEL, "Queue": "q", "Interface": "PJSIP/1"}, None),
        (
            {"Event": "BridgeEnter", **CHANNEL, "BridgeUniqueid": "b", "SwapUniqueid": "u0"},
            ev.BridgeSwapped("u1", "PJSIP/1001-00000001", "u0"),
        ),
        ({"Event": "QueueCallerJoin", **CHANNEL, "Queue": "q"}, ev.QueueJoined("q", "u1")),
        ({"Event": "QueueEntry", **CHANNEL, "Queue": "q"}, ev.QueueJoined("q", "u1")),
        ({"Event": "QueueCallerLeave", **CHANNEL, "Queue": "q"}, ev.QueueLeft("q", "u1")),
        (
            {"Event": "AgentComplete", "Queue": "q", "Interface": "PJSIP/1"},
            ev.AgentCompleted("q", "PJSIP/1", NOW),
        ),
        (
            {"Event": "QueueMemberRemoved", "Queue": "q", "Interface": "PJSIP/1"},
            ev.MemberRemoved("q", "PJSIP/1", NOW),
        ),
        ({"Event": "UserEvent", "UserEvent": "AVPFeature", **CHANNEL}, None),
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


UNKNOWN = Presentation.UNKNOWN
SEEN = ev.ChannelSeen("c", "PJSIP/1-00000001", created=False, presentation=UNKNOWN)
C = {"id": "c", "name": "PJSIP/1-00000001"}


@pytest.mark.parametrize(
    ("event", "facts"),
    [
        ({"type": "ChannelCreated", "channel": C}, (replace(SEEN, created=True),)),
        (
            {
                "type": "ChannelCallerId",
                "channel": {**C, "caller": {"name": "Zoë", "number": "1\r\nA: b"}},
            },
            (replace(SEEN, caller_name="Zoë", caller_number="1\r\nA: b"),),
        ),
        (
            {
                "type": "ChannelCallerId",
                "caller_presentation": 0x20,
                "channel": {**C, "caller": {"name": "", "number": "1"}},
            },
            (
                ev.CallerPresentation("c", Presentation.WITHHELD),
                replace(SEEN, caller_number="1"),
            ),
        ),
        (
            {
                "type": "ChannelCallerId",
                "caller_presentation": 0x43,
                "channel": {**C, "caller": {"name": "", "number": ""}},
            },
            (SEEN,),
        ),
        (
            {"type": "ChannelCallerId", "channel": {**C, "dialplan": IN_QUEUE}},
            (replace(SEEN, queue="sales"),),
        ),
        (
            {"type": "ChannelEnteredBridge", "channel": C, "bridge": {"id": "b"}},
            (SEEN, ev.BridgeEntered("c", "b")),
        ),
        (
            {"type": "ChannelLeftBridge", "channel": C, "bridge": {"id": "b"}},
            (ev.BridgeLeft("c", "b"),),
        ),
        ({"type": "ChannelEnteredBridge", "channel": C, "bridge": 1}, (SEEN,)),
        ({"type": "ChannelHold", "channel": C}, (ev.HoldChanged("c", on_hold=True),)),
        ({"type": "ChannelUnhold", "channel": C}, (ev.HoldChanged("c", on_hold=False),)),
        ({"type": "ChannelDestroyed", "channel": C}, (ev.ChannelGone("c"),)),
        ({"type": "StasisStart", "channel": C}, (SEEN, ev.StasisEntered("c"))),
        ({"type": "StasisEnd", "channel": C}, (ev.StasisLeft("c"),)),
        ({"type": "ChannelDtmfReceived", "channel": C}, ()),
        ({"type": "ChannelDtmfReceived", "channel": C, "digit": ""}, ()),
        ({"type": "ChannelDtmfReceived", "channel": C, "digit": 5}, ()),
        ({"type": "ChannelDtmfReceived", "channel": C, "digit": "#"}, (ev.KeyPressed("c", "#"),)),
        (
            {
                "type": "ChannelDtmfReceived",
                "channel": C,
                "digit": "#",
                "timestamp": "2026-11-29T12:00:00.250+0000",
            },
            (ev.KeyPressed("c", "#", 1795953600.25),),
        ),
        (
            {
                "type": "ChannelUserevent",
                "eventname": "AVPQueueEnded",
                "channel": C,
                "userevent": {"Status": "TIMEOUT"},
            },
            (ev.QueueEnded("c", "TIMEOUT"),),
        ),
        (
            {
                "type": "ChannelUserevent",
                "eventname": "AVPQueueEnded",
                "channel": C,
                "userevent": {"Status": "TIMEOUT", "Next": "group"},
            },
            (ev.QueueEnded("c", "TIMEOUT", to_group=True),),
        ),
        (
            {"type": "ChannelUserevent", "eventname": "AVPNotAccepted", "channel": C},
            (ev.NotAccepted("c"),),
        ),
        (
            {"type": "ChannelUserevent", "eventname": "AVPFeature", "channel": C},
            (ev.FeatureUsed("c"),),
        ),
        ({"type": "ChannelUserevent", "eventname": "Somebody", "channel": C}, ()),
        ({"type": "ChannelUserevent", "eventname": "AVPFeature"}, ()),
        ({"type": "StasisStart", "channel": {"id": 7}}, ()),
        ({"type": "StasisStart"}, ()),
        ({"type": "ApplicationReplaced"}, ()),
    ],
)
def test_ari_events(event: dict[str, Any], facts: tuple[ev.Fact, ...]) -> None:
    assert one(event) == facts


# --- what app_queue and Dial() do ----------------------------------------------------------------

CALLER = {"id": "u", "name": "PJSIP/trunk-0000000a", "dialplan": IN_QUEUE}
PHONE = {"id": "p", "name": "Local/1002@agents-0000000b;1"}
RUNG = ("sales", "u", "Local/1002@agents")


def dial(status: str, second: float, **more: Any) -> dict[str, Any]:
    at = f"2026-11-28T09:05:{second:06.3f}+0000"
    both = {"caller": CALLER, "peer": PHONE, **more}
    return {"type": "Dial", "dialstatus": status, "timestamp": at, **both}


@pytest.mark.parametrize("status", ["BUSY", "NOANSWER", "CONGESTION", "CHANUNAVAIL"])
def test_a_phone_that_stops_ringing_tells_for_how_long_it_rang(status: str) -> None:
    translator = ari.Translator()
    assert translator.translate(dial("", 1.5))[1] == ev.AgentRung(*RUNG)
    assert translator.translate(dial("RINGING", 1.6)) == ()
    (fact,) = translator.translate(dial(status, 5.75))
    assert isinstance(fact, ev.AgentUnanswered)
    assert (fact.queue, fact.channel, fact.interface) == RUNG
    assert fact.ring_seconds == pytest.approx(4.25)
    # app_queue reports the end of some attempts twice (hangupcalls).
    assert translator.translate(dial("CANCEL", 5.8)) == ()
    assert translator.translate(dial(status, 5.8)) == ()


def test_who_answers_has_the_call_and_the_others_are_let_go() -> None:
    translator = ari.Translator()
    other = {"id": "p2", "name": "PJSIP/1003-0000000c"}
    translator.translate(dial("", 1))
    translator.translate(dial("", 1, peer=other))
    seen, connected = translator.translate(dial("ANSWER", 4))
    assert connected == ev.AgentConnected(*RUNG)
    assert seen == ev.ChannelSeen(
        "u", "PJSIP/trunk-0000000a", queue="sales", created=False, presentation=UNKNOWN
    )
    ended = ev.AgentRingEnded("sales", "u", "PJSIP/1003")
    assert translator.translate(dial("CANCEL", 4, peer=other)) == (ended,)


def test_no_ring_is_kept_of_a_phone_that_is_gone_or_was_missed() -> None:
    for gone in ({"type": "ChannelDestroyed", "channel": PHONE}, None):
        translator = ari.Translator()
        translator.translate(dial("", 1))
        if gone is None:
            translator.forget()
        else:
            translator.translate(gone)
        assert translator._rings == {}


@pytest.mark.parametrize(
    ("event", "facts"),
    [
        (dial("RINGING", 1, caller={"id": "u"}), (ev.DialProgress("u", "RINGING"),)),
        (dial("BUSY", 1, caller=None), (ev.DialProgress("p", "BUSY"),)),
        (dial("", 1, caller={"id": "u"}), ()),
        (dial("BUSY", 1, caller=None, peer=None), ()),
    ],
)
def test_what_another_dials_is_progress_only(
    event: dict[str, Any], facts: tuple[ev.Fact, ...]
) -> None:
    assert one(event) == facts


# --- a phone's Transfer button, the feature code, music ------------------------------------------

TRANSFERS: dict[str, dict[str, Any]] = json.loads(
    TRACE.with_name("transfers.json").read_text(encoding="utf-8")
)
CHANNEL_1001 = "pbx-1795382339.1"


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("blind-queue", ev.ReferReceived(CHANNEL_1001, "1002", attended=False)),
        # The phone's own channel, not the half of the Local channel in the queue's call.
        ("blind-local-member", ev.ReferReceived("pbx-1795383071.3", "1002", attended=False)),
        (
            "attended",
            ev.ReferReceived(
                "pbx-1795382369.9",
                "1003",
                attended=True,
                second="pbx-1795382369.10",
                target="pbx-1795382369.11",
            ),
        ),
        (
            "attended-early",  # the target has not answered: nobody is connected yet
            ev.ReferReceived(
                "pbx-1795382611.10", "1004", attended=True, second="pbx-1795382611.12"
            ),
        ),
        ("attended-nomatch", ev.ReferReceived("pbx-1795382375.12", "1001", attended=True)),
    ],
)
def test_a_recorded_transfer(name: str, fact: ev.Fact) -> None:
    event = TRANSFERS[name]
    assert one(event) == (fact,)
    # Our answer is echoed, and a phone that hangs up has a last one without a bridge.
    for state in ("channel_progress", "channel_answered", "channel_declined"):
        assert one(event | {"state": state}) == ()
    over = {k: v for k, v in event["referred_by"].items() if k == "source_channel"}
    assert one(event | {"referred_by": over}) == ()


@pytest.mark.parametrize(
    "broken",
    [
        {"refer_to": None},
        {"refer_to": {"requested_destination": "1002"}},
        {"refer_to": {"requested_destination": {}}},
    ],
)
def test_a_transfer_to_nowhere_is_one_all_the_same(broken: dict[str, object]) -> None:
    (asked,) = one(TRANSFERS["blind-queue"] | broken)
    assert asked == ev.ReferReceived(CHANNEL_1001, "", attended=False)


@pytest.mark.parametrize("referred_by", [None, "x", {}, {"source_channel": {"id": 1}}])
def test_a_transfer_by_nobody_is_none(referred_by: object) -> None:
    assert one(TRANSFERS["blind-queue"] | {"referred_by": referred_by}) == ()


@pytest.mark.parametrize(
    ("event", "fact"),
    [
        (
            {"Event": "MusicOnHoldStart", "Class": "jazz"},
            ev.MusicChanged("u1", playing=True, music_class="jazz"),
        ),
        ({"Event": "MusicOnHoldStart"}, ev.MusicChanged("u1", playing=True)),
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
def test_music_and_recordings(event: dict[str, str], fact: ev.Fact | None) -> None:
    assert ami.translate(CHANNEL | event, NOW) == fact
