"""Effects on the wire: the requests to AMI and ARI, and the events for the session."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from servers.ami_server import AmiServer, error, message, success
from servers.ari_server import Answer, AriServer
from servers.waiting import eventually
from structlog.testing import capture_logs

from asterisk_avp.ami.client import AmiClient
from asterisk_avp.ami.membership import MembershipChanges
from asterisk_avp.ami.perform import AmiPerformer
from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.ami.recording import Recordings
from asterisk_avp.ari.client import AriClient
from asterisk_avp.ari.perform import AriPerformer
from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AriError, AsteriskUnavailable
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.world import Group
from asterisk_avp.core.transfer.events import EventType, SessionEvent

NAMES = {"u1": "PJSIP/1001-00000001", "u2": "PJSIP/caller1-00000002"}


class Reports(list[SessionEvent]):
    """The events that a session received."""

    def kinds(self) -> list[EventType]:
        return [event.kind for event in self]


@contextlib.asynccontextmanager
async def connected(server: AmiServer) -> AsyncIterator[AmiClient]:
    client = AmiClient("127.0.0.1", server.port, "avp", "s3cret", action_timeout_seconds=3)
    task = asyncio.create_task(client.run(lambda _: None, lambda _: None))
    await eventually(lambda: client.connected)
    try:
        yield client
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def name_of(channel: str) -> str:
    return NAMES.get(channel, channel)


@contextlib.asynccontextmanager
async def running_ami(server: AmiServer, *others: Any) -> AsyncIterator[AmiPerformer]:
    """``others``: what the performer gets besides, such as `Recordings`."""
    async with connected(server) as client:
        yield AmiPerformer(client, name_of, *others)


@contextlib.asynccontextmanager
async def running_reader(server: AmiServer) -> AsyncIterator[AmiReader]:
    async with connected(server) as client:
        yield AmiReader(client, name_of)


async def done(effect: fx.AmiEffect) -> tuple[list[dict[str, str]], Reports]:
    """The actions that an effect sends (without their ids), and the events that it returns."""
    reports = Reports()
    async with AmiServer() as server, running_ami(server) as performer:
        await performer.perform(effect, reports.append)
        actions = server.last.actions[1:]
    return [{k: v for k, v in a.items() if k != "ActionID"} for a in actions], reports


async def test_variables_are_set_in_order() -> None:
    actions, reports = await done(fx.SetVariables("u2", {"AVP_STATE": "live", "AVP_X": "1"}))
    together = {"Variable": "ARRAY(AVP_STATE,AVP_X)", "Value": "live,1"}
    assert actions == [{"Action": "Setvar", "Channel": NAMES["u2"], **together}]
    assert reports == []


class Recorded:
    """A channel that may be recorded, with its one variable, as in Asterisk's answer."""

    def __init__(self, *, recorded: bool = True, noted: str = "") -> None:
        self.recorded, self.noted = recorded, noted
        self.muted: list[tuple[str, str]] = []

    def install(self, server: AmiServer) -> None:
        server.answers |= {"Getvar": self.get, "Setvar": self.set, "MixMonitorMute": self.mute}

    def get(self, action: dict[str, str]) -> bytes:
        assert action["Channel"] == NAMES["u2"]
        return success(action, Variable=action["Variable"], Value=self.noted)

    def set(self, action: dict[str, str]) -> bytes:
        assert action["Variable"] == "AVP_RECORDING"
        self.noted = action["Value"]
        return success(action)

    def mute(self, action: dict[str, str]) -> bytes:
        if not self.recorded:
            return error(action, "Cannot set mute flag")
        if action["State"] == "1":
            assert self.noted, "what a killed daemon has done must be known"
        self.muted.append((action["Direction"], action["State"]))
        return success(action)


async def recording(channel: Recorded, effect: fx.AmiEffect, others: str = "") -> Recorded:
    book = Recordings()
    if others:
        book.mute_changed("u2", others, muted=True)
    async with AmiServer() as server, running_ami(server, book) as performer:
        channel.install(server)
        await performer.perform(effect, lambda _: None)
    return channel


async def test_recordings_are_paused_and_go_on() -> None:
    channel = await recording(Recorded(), fx.PauseRecording("u2"))
    assert (channel.muted, channel.noted) == ([("BOTH", "1")], "BOTH")
    channel = await recording(channel, fx.ResumeRecording("u2"))
    assert (channel.muted[1:], channel.noted) == ([("BOTH", "0")], "")
    # What we did not pause is left alone, and a channel without a recording is no problem.
    assert (await recording(Recorded(), fx.ResumeRecording("u2"))).muted == []
    nothing = await recording(Recorded(recorded=False), fx.PauseRecording("u2"))
    assert (nothing.muted, nothing.noted) == ([], "")
    gone = await recording(Recorded(recorded=False, noted="BOTH"), fx.ResumeRecording("u2"))
    assert gone.muted == []


async def test_what_others_have_paused_stays_paused() -> None:
    channel = await recording(Recorded(), fx.PauseRecording("u2"), "both")
    assert (channel.muted, channel.noted) == ([], "")
    channel = await recording(Recorded(), fx.PauseRecording("u2"), "read")
    assert channel.noted == "WRITE"
    # A later daemon knows only that ours paused it.
    channel = await recording(channel, fx.PauseRecording("u2"))
    channel = await recording(channel, fx.ResumeRecording("u2"))
    assert channel.muted == [("WRITE", "1"), ("WRITE", "1"), ("WRITE", "0")]
    # Paused by somebody else while we had paused it.
    channel = await recording(Recorded(noted="BOTH"), fx.ResumeRecording("u2"), "both")
    assert (channel.muted, channel.noted) == ([], "")


async def test_redirect_of_two() -> None:
    effect = fx.Redirect("u2", fx.Destination("a", "b"), "u1", fx.Destination("c", "d", 7))
    actions, reports = await done(effect)
    assert actions == [
        {
            "Action": "Redirect",
            "Channel": NAMES["u2"],
            "Context": "a",
            "Exten": "b",
            "Priority": "1",
            "ExtraChannel": NAMES["u1"],
            "ExtraContext": "c",
            "ExtraExten": "d",
            "ExtraPriority": "7",
        }
    ]
    assert reports.kinds() == [EventType.REDIRECTED]


async def test_bridge_is_by_name_and_in_order() -> None:
    actions, reports = await done(fx.BridgePair("u1", "u2"))
    assert (actions[0]["Channel1"], actions[0]["Channel2"]) == (NAMES["u1"], NAMES["u2"])
    assert reports.kinds() == [EventType.BRIDGED]


@pytest.mark.parametrize(
    ("effect", "action"),
    [
        (
            fx.AddMember("avp-agent-1", "PJSIP/1", "", "Ann", paused=True),
            {
                "Action": "QueueAdd",
                "Queue": "avp-agent-1",
                "Interface": "PJSIP/1",
                "StateInterface": "PJSIP/1",
                "MemberName": "Ann",
                "Paused": "true",
                "Penalty": "0",
                "Wrapuptime": "0",
            },
        ),
        (
            fx.RemoveMember("avp-agent-1", "PJSIP/1"),
            {"Action": "QueueRemove", "Queue": "avp-agent-1", "Interface": "PJSIP/1"},
        ),
        (
            fx.PauseMember("avp-agent-1", "PJSIP/1", paused=False),
            {
                "Action": "QueuePause",
                "Queue": "avp-agent-1",
                "Interface": "PJSIP/1",
                "Paused": "false",
            },
        ),
        (fx.HangUp("u1"), {"Action": "Hangup", "Channel": NAMES["u1"]}),
    ],
)
async def test_other_actions(effect: fx.AmiEffect, action: dict[str, str]) -> None:
    assert (await done(effect))[0] == [action]


@pytest.mark.parametrize(
    ("effect", "kind"),
    [
        (fx.Redirect("u1", fx.Destination("a", "b")), EventType.REDIRECT_FAILED),
        (fx.BridgePair("u1", "u2"), EventType.BRIDGE_FAILED),
    ],
)
async def test_what_fails_is_reported(effect: fx.AmiEffect, kind: EventType) -> None:
    """Unknown results are different: Asterisk may have executed what it does not answer."""
    reports = Reports()
    async with AmiServer() as server, running_ami(server) as performer:
        server.answers = dict.fromkeys(
            ("Redirect", "Bridge"), lambda a: error(a, "No such channel")
        )
        await performer.perform(effect, reports.append)
        server.silent = True
        with pytest.raises(AsteriskUnavailable):
            await performer.perform(effect, reports.append)
    assert reports.kinds() == [kind]
    assert [event.reason for event in reports] == [""]


async def test_a_hang_up_of_somebody_who_is_gone_is_nothing() -> None:
    reports = Reports()
    async with AmiServer() as server, running_ami(server) as performer:
        server.answers["Hangup"] = lambda a: error(a, "No such channel")
        await performer.perform(fx.HangUp("u1"), reports.append)
    assert reports == []


async def test_reading_variables() -> None:
    async with AmiServer() as server, running_reader(server) as reader:
        server.answers["Getvar"] = lambda a: (
            success(a, Variable=a["Variable"], Value="sales")
            if a["Variable"] == "AVP_GROUP"
            else error(a, "No such channel")
        )
        assert await reader.variables("u2", ("AVP_GROUP", "AVP_MAX_HOLD")) == {"AVP_GROUP": "sales"}
        server.silent = True
        with pytest.raises(AsteriskUnavailable):
            await reader.variables("u2", ("AVP_GROUP",))


def listed(action: dict[str, str], end: str, *items: tuple[str, dict[str, str]]) -> bytes:
    """A list with the items' ActionID at their end, where QueueStatus has it."""
    identity = ("ActionID", action["ActionID"])
    return (
        message(("Response", "Success"), identity, EventList="start", Message="follows")
        + b"".join(message(("Event", name), *rest.items(), identity) for name, rest in items)
        + message(("Event", end), identity, EventList="Complete")
    )


async def test_the_queues_are_read() -> None:
    def queues(action: dict[str, str]) -> bytes:
        assert action.get("Queue", "q") == "q"
        return listed(
            action,
            "QueueStatusComplete",
            ("QueueParams", {"Queue": "q"}),
            ("QueueEntry", {"Queue": "q", "Uniqueid": "u1", "Wait": "7"}),
            ("QueueParams", {"Queue": "r"}),
            # The end of a genuine item after a beginning that an attacker has written.
            ("QueueMember", {"Queue": "q", "Location": "PJSIP/1003"}),
            ("QueueEntry", {"Queue": "r", "Uniqueid": "u2", "Wait": "0"}),
        )

    async with AmiServer() as server, running_reader(server) as reader:
        server.answers = {"QueueStatus": queues}
        joined = ev.QueueJoined("q", "u1", 7.0)
        with capture_logs() as lines:
            assert await reader.queues(lambda: 1.0) == [joined, ev.QueueJoined("r", "u2")]
        assert [line["event"] for line in lines] == ["ami_list_impossible"]
        assert await reader.members("q", "PJSIP/1") == [joined]
        assert server.last.actions[-1]["Member"] == "PJSIP/1"


async def test_which_channels_belong_to_one_call_is_read() -> None:
    async with AmiServer() as server, running_reader(server) as reader:
        server.answers["CoreShowChannels"] = lambda action: listed(
            action,
            "CoreShowChannelsComplete",
            ("CoreShowChannel", {"Uniqueid": "u1", "Linkedid": "u0"}),
            ("CoreShowChannel", {"Channel": "PJSIP/cut"}),
        )
        assert await reader.linked() == {"u1": "u0"}


async def test_of_a_channel_that_is_missing_its_end_is_waited_for() -> None:
    """AMI answers like this before ARI reports the end, which decides how the transfer ends."""
    order: list[object] = []

    class Ends:
        def hold(self, channels: Sequence[str]) -> Callable[[], None]:
            return lambda: None

        async def expected(self, channels: Sequence[str]) -> None:
            order.append(tuple(channels))

    async with AmiServer() as server, running_ami(server, None, None, Ends()) as performer:
        for action in ("Redirect", "Bridge"):
            text = "Channel does not exist: PJSIP/x"
            server.answers[action] = lambda asked, text=text: error(asked, text)
        place = fx.Destination("avp-stasis", "caller")
        redirect = fx.Redirect("u1", place, "u2", place)
        for effect in (redirect, fx.BridgePair("u1", "u2")):
            await performer.perform(effect, order.append)
        failed = [SessionEvent(EventType.REDIRECT_FAILED), SessionEvent(EventType.BRIDGE_FAILED)]
        assert order == [("u1", "u2"), failed[0], ("u1", "u2"), failed[1]]


CHANGES = [
    fx.AddMember("avp-agent-1", "PJSIP/1", "PJSIP/1", "A", paused=False, wrapup_seconds=0),
    fx.RemoveMember("avp-agent-1", "PJSIP/1"),
    fx.PauseMember("avp-agent-1", "PJSIP/1", paused=True),
    fx.SetPenalty("avp-agent-1", "PJSIP/1", 5),
    fx.SetRingInUse("sales", "PJSIP/1", ring_in_use=False),
]


@pytest.mark.parametrize("effect", CHANGES)
async def test_how_a_change_of_membership_goes_is_told(effect: Any) -> None:
    told: list[tuple[str, Any]] = []

    class Listener:
        def started(self, change: Any) -> None:
            told.append(("started", change))

        def done(self, change: Any) -> None:
            told.append(("done", change))

        def failed(self, change: Any) -> None:
            told.append(("failed", change))

    async with AmiServer() as server, connected(server) as client:
        performer = AmiPerformer(client, name_of, None, MembershipChanges(client, Listener()))
        await performer.perform(effect, lambda _event: None)
        assert told == [("started", effect), ("done", effect)]
        told.clear()
        for name in (
            "QueueAdd", "QueueRemove", "QueuePause", "QueuePenalty", "QueueMemberRingInUse"
        ):  # fmt: skip
            server.answers[name] = lambda action: error(action, "Interface not found")
        await performer.perform(effect, lambda _event: None)
        assert told == [("started", effect), ("failed", effect)]
        told.clear()
        server.silent = True
        with pytest.raises(AsteriskUnavailable):
            await performer.perform(effect, lambda _event: None)
        assert told == [("started", effect), ("failed", effect)]


# --- ARI -----------------------------------------------------------------------------------------


async def music_stopped(_channel: str, _seconds: float) -> bool:
    return True


@contextlib.asynccontextmanager
async def running_ari(server: AriServer) -> AsyncIterator[AriPerformer]:
    client = AriClient(server.url, "avp", "s3cret", "asterisk_avp", request_timeout_seconds=20)
    try:
        yield AriPerformer(client, "asterisk_avp", music_stopped)
    finally:
        await client.close()


ALLOW = Permission(Group("sales", "sales", "Sales"), queue="avp-agent-1002", agent="1002")
LEG = fx.DialLeg("leg", "leg-queue", ALLOW, "u1", '"Alice" <1001>', {"AVP_LEG": "consult"})


@pytest.mark.parametrize(
    ("effect", "asked"),
    [
        (fx.CreateBridge("b", "hold"), "POST /bridges/b"),
        (fx.DestroyBridge("b"), "DELETE /bridges/b"),
        (fx.AddToBridge("b", "c"), "POST /bridges/b/addChannel"),
        (fx.StartMusic("c"), "POST /channels/c/moh"),
        (fx.StopMusic("c"), "DELETE /channels/c/moh"),
        (fx.StartRingback("c"), "POST /channels/c/ring"),
        (fx.StopRingback("c"), "DELETE /channels/c/ring"),
        (fx.LeaveStasis("c"), "POST /channels/c/continue"),
        (fx.Play("c", ("sound:beeperr",), "p"), "POST /channels/c/play/p"),
        (fx.StopPlaying("p"), "DELETE /playbacks/p"),
        (fx.SendKeys("c", "5*9"), "POST /channels/c/dtmf"),
        (fx.StopSnoop("c"), "DELETE /channels/c"),
        (fx.NotifyPhone("c", done=True), "POST /channels/c/transfer_progress"),
    ],
)
@pytest.mark.parametrize("status", [204, 404, 409, 422, 403, 500, 503])
async def test_ari_requests(effect: fx.AriEffect, asked: str, status: int) -> None:
    """Requested once; if it fails although the channel exists, that is reported."""
    reports = Reports()
    method, _, path = asked.partition(" ")
    # For lack of a bridge that may need to be created again.
    unsure = {404, 409, 422} if isinstance(effect, fx.AddToBridge) else set()
    async with AriServer() as server, running_ari(server) as performer:
        server.answers[method, path] = Answer(status, None if status == 204 else {"message": "no"})
        if status in {403, 500, 503} | unsure:
            with pytest.raises((AriError, AsteriskUnavailable)):
                await performer.perform(effect, reports.append)
        else:
            await performer.perform(effect, reports.append)
        assert server.journal == [asked]
    assert reports == []


async def asked_of_ari(effect: fx.AriEffect) -> dict[str, object]:
    async with AriServer() as server, running_ari(server) as performer:
        await performer.perform(effect, Reports().append)
        (asked,) = server.asked
    return {**asked.query, **(asked.body or {})}


async def test_out_of_stasis_to_a_place_of_our_choice() -> None:
    assert await asked_of_ari(fx.LeaveStasis("c")) == {}
    assert await asked_of_ari(fx.LeaveStasis("c", fx.Destination("avp-recall", "group"))) == {
        "context": "avp-recall",
        "extension": "group",
        "priority": "1",
    }


async def test_a_prompt_is_in_the_channels_language() -> None:
    sent = await asked_of_ari(fx.Play("c", ("sound:a", "digits:12"), "p"))
    assert sent == {"media": "sound:a,digits:12"}, "no lang: the channel's own"


@pytest.mark.parametrize(("music_class", "sent"), [("jazz", {"mohClass": "jazz"}), ("", {})])
async def test_music_of_a_class(music_class: str, sent: dict[str, str]) -> None:
    assert await asked_of_ari(fx.StartMusic("c", music_class)) == sent


async def test_keys_and_answers_to_phones() -> None:
    assert (await asked_of_ari(fx.SendKeys("c", "5*9#")))["dtmf"] == "5*9#"
    told = [(await asked_of_ari(fx.NotifyPhone("c", done=done))) for done in (True, False)]
    assert told == [{"states": "channel_answered"}, {"states": "channel_declined"}]


async def test_keys_are_reported_to_us_in_all_our_bridges() -> None:
    """A bridge that may become native RTP would send them past Asterisk to the other party."""
    assert "dtmf_events" in str((await asked_of_ari(fx.CreateBridge("b", "hold")))["type"])
    assert str((await asked_of_ari(fx.AddToBridge("b", "c", absorb_dtmf=True)))["absorbDTMF"])


@pytest.mark.parametrize(("answers", "times"), [([True], 1), ([False, True], 2), ([False] * 9, 5)])
async def test_a_stop_of_music_that_asterisk_forgot_is_repeated(
    answers: list[bool], times: int
) -> None:
    left = iter(answers)

    async def stopped(channel: str, seconds: float) -> bool:
        assert channel == "c"
        assert seconds > 0
        return next(left)

    async with AriServer() as server:
        client = AriClient(server.url, "avp", "s3cret", "asterisk_avp", request_timeout_seconds=20)
        try:
            performer = AriPerformer(client, "asterisk_avp", stopped)
            await performer.perform(fx.StopMusic("c"), Reports().append)
        finally:
            await client.close()
        assert server.journal == ["DELETE /channels/c/moh"] * times


async def test_the_leg_is_dialled_with_ids_of_ours() -> None:
    reports = Reports()
    async with AriServer() as server, running_ari(server) as performer:
        await performer.perform(LEG, reports.append)
        (asked,) = server.asked
    sent = {**asked.query, **(asked.body or {})}
    assert asked.path.startswith("/channels")
    assert sent["endpoint"] == "Local/1002@avp-agent-queue/m"
    assert sent["app"] == "asterisk_avp"
    assert sent["originator"] == "u1"
    assert sent["otherChannelId"] == "leg-queue"
    assert sent["timeout"] == "-1", "ARI's default of 30 s would cut a longer wait short"
    assert sent["variables"] == {"AVP_LEG": "consult"}
    assert reports == []


async def test_a_leg_that_has_to_be_accepted_goes_to_the_dialplan_first() -> None:
    leg = replace(LEG, first=fx.Destination("avp-accept", "s"), timeout_seconds=45)
    async with AriServer() as server, running_ari(server) as performer:
        await performer.perform(leg, Reports().append)
        (asked,) = server.asked
    assert asked.query == {
        "endpoint": "Local/1002@avp-agent-queue/m",
        "context": "avp-accept",
        "extension": "s",
        "priority": "1",
        "channelId": "leg",
        "otherChannelId": "leg-queue",
        "originator": "u1",
        "callerId": '"Alice" <1001>',
        "timeout": "45",
    }


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(400, {"message": "bad endpoint"}), "target_unreachable"),
        (Answer(500, {"error": "Allocation failed"}), "target_unreachable"),
        (Answer(503), "asterisk_unavailable"),
    ],
)
async def test_a_leg_that_cannot_be_dialled_is_reported(answer: Answer, reason: str) -> None:
    reports = Reports()
    async with AriServer() as server, running_ari(server) as performer:
        for path in ("/channels", "/channels/leg"):
            server.answers["POST", path] = answer
        # One that may ring anyway must be searched for.
        unsure = reason == "asterisk_unavailable"
        with pytest.raises(AsteriskUnavailable) if unsure else contextlib.nullcontext():
            await performer.perform(LEG, reports.append)
    assert reports == [SessionEvent(EventType.LEG_FAILED, reason)]


@pytest.mark.parametrize(
    "effect", [fx.HangUp("u1"), fx.SetVariables("u1", {"A": "b"}), fx.RemoveMember("q", "PJSIP/1")]
)
async def test_what_amis_silence_leaves_undone_is_said(effect: fx.AmiEffect) -> None:
    async with AmiServer() as server, running_ami(server) as performer:
        server.silent = True
        with pytest.raises(AsteriskUnavailable):
            await performer.perform(effect, Reports().append)


async def test_reaping_sends_orphans_back_and_leaves_the_rest_alone() -> None:
    async with AriServer() as server, running_ari(server) as performer:
        server.answers["GET", "/bridges"] = Answer(
            200,
            [
                {"id": "avp-old-hold", "channels": ["avp-pbx-1700000000.1"]},
                {"id": "avp-old-consult", "channels": ["agent", "avp-old-leg"]},
                {"id": "avp-live-hold", "channels": ["wanted"]},
                {"id": "avp-begun-hold", "channels": []},
                {"id": "avp-begun-consult", "channels": ["stray"]},
                {"id": "somebody-elses", "channels": ["other"]},
            ],
        )
        await performer.reap(
            lambda channel: channel == "wanted", kept=lambda bridge: bridge.startswith("avp-begun")
        )
        journal = server.journal
    assert journal == [
        "GET /bridges",
        "POST /channels/avp-pbx-1700000000.1/continue",
        "DELETE /bridges/avp-old-hold",
        "POST /channels/agent/continue",
        "DELETE /channels/avp-old-leg",
        "DELETE /bridges/avp-old-consult",
        "POST /channels/stray/continue",
    ]


async def test_channels_in_our_application() -> None:
    async with AriServer() as server, running_ari(server) as performer:
        server.answers["GET", "/channels"] = Answer(
            200,
            [
                {
                    "id": "a",
                    "dialplan": {"app_name": "Stasis", "app_data": "asterisk_avp,caller,t"},
                },
                {"id": "b", "dialplan": {"app_name": "Stasis", "app_data": "other"}},
                {"id": "c", "dialplan": {"app_name": "Queue", "app_data": "sales"}},
                {"id": "d"},
            ],
        )
        server.answers["GET", "/bridges"] = Answer(200, [{"id": "br", "channels": ["c", "gone"]}])
        facts, in_stasis, _ = await performer.read_state({"c": "u0"})
        assert in_stasis == {"a"}
        assert [fact.id for fact in facts] == ["a", "b", "c", "d"]
        seen = {fact.id: (fact.bridge, fact.queue, fact.linked) for fact in facts}
        assert seen["c"] == ("br", "sales", "u0")
        assert seen["a"] == (None, None, "")


async def test_one_channel_that_cannot_be_listed_hides_no_other() -> None:
    """A dialled extension that is not UTF-8 makes Asterisk refuse the whole list (500)."""
    async with AriServer() as server, running_ari(server) as performer:
        server.answers["GET", "/channels"] = Answer(500, {"message": "Allocation failed"})
        server.answers["GET", "/bridges"] = Answer(200, [])
        server.answers["GET", "/channels/good"] = Answer(200, {"id": "good", "name": "PJSIP/1-1"})
        server.answers["GET", "/channels/bad"] = Answer(500, {"message": "Allocation failed"})
        server.answers["GET", "/channels/left"] = Answer(404, {"message": "Channel not found"})
        facts, in_stasis, _ = await performer.read_state({"bad": "", "good": "g", "left": ""})
        assert [(fact.id, fact.linked) for fact in facts] == [("good", "g")]
        assert in_stasis == set()
