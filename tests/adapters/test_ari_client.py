from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from servers.ari_server import Answer, AriServer
from servers.waiting import eventually
from structlog.testing import capture_logs

from asterisk_avp.ari.client import AriClient
from asterisk_avp.core.model.errors import AriError, AriGone, AsteriskUnavailable

PASSWORD = "pass:wörd/not-to-be-seen"
APP = "asterisk_avp"
FILTER = f"PUT /applications/{APP}/eventFilter"
VERSION = "GET /asterisk/info"
SUBSCRIBE = f"POST /applications/{APP}/subscription"
NEVER = 60.0
SOON = 5.0


@dataclass
class Heard:
    """The callbacks that the owner of a client received."""

    events: list[Mapping[str, Any]] = field(default_factory=list)
    states: list[bool] = field(default_factory=list)
    #: Types of events and states in the order of their arrival.
    all: list[str | bool] = field(default_factory=list)

    def on_event(self, event: Mapping[str, Any]) -> None:
        self.events.append(event)
        self.all.append(event["type"])

    def on_connected(self, connected: bool) -> None:
        self.states.append(connected)
        self.all.append(connected)


def make_client(server: AriServer, password: str = PASSWORD, **options: Any) -> AriClient:
    quick = {
        "request_timeout_seconds": SOON,
        "heartbeat_seconds": NEVER,
        "backoff_initial_seconds": 0.01,
        "backoff_max_seconds": 0.05,
    }
    return AriClient(server.url, "avp", password, APP, **(quick | options))


@asynccontextmanager
async def running(client: AriClient, *, wait: bool = True) -> AsyncIterator[Heard]:
    heard = Heard()
    task = asyncio.create_task(client.run(heard.on_event, heard.on_connected))
    try:
        if wait:
            await eventually(lambda: client.connected)
        yield heard
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=SOON)
        assert task.cancelled()
        await client.close()


@pytest.fixture
async def server() -> AsyncIterator[AriServer]:
    async with AriServer(password=PASSWORD) as running_server:
        yield running_server


@pytest.fixture
async def client(server: AriServer) -> AsyncIterator[AriClient]:
    """A client for requests only."""
    one = make_client(server)
    yield one
    await one.close()


# --- the WebSocket --------------------------------------------------------------------------------


async def test_filter_and_subscriptions_are_set_before_it_says_connected(server):
    client = make_client(server, event_types=["StasisStart", "StasisEnd"])
    journal: list[str] = []
    task = asyncio.create_task(client.run(lambda _: None, lambda _: journal.extend(server.journal)))
    await eventually(lambda: journal)
    task.cancel()
    await asyncio.wait([task])
    await client.close()
    assert journal[:3] == ["websocket", FILTER, SUBSCRIBE]
    put, post = server.asked[:2]
    # The filter would also drop ApplicationReplaced, unnoticed.
    allowed = ["StasisStart", "StasisEnd", "ApplicationReplaced"]
    assert put.body == {"allowed": [{"type": name} for name in allowed]}
    assert post.query == {"eventSource": "channel:,bridge:"}


async def test_without_event_types_an_old_filter_is_taken_away(server):
    async with running(make_client(server, subscriptions=())):
        assert server.asked[0].body == {}
        assert server.journal[:2] == ["websocket", FILTER]
        assert SUBSCRIBE not in server.journal


async def test_it_never_subscribes_to_all(server):
    async with running(make_client(server)):
        assert server.last.request.query == {"app": APP, "subscribeAll": "false"}


@pytest.mark.parametrize("source", ["deviceState:", "deviceState:Stasis:x", ""])
def test_device_states_are_refused(source):
    with pytest.raises(ValueError, match="block"):
        AriClient("http://h/ari", "u", "p", APP, subscriptions=["channel:", source])


async def test_the_first_event_comes_after_connected(server):
    server.greet_with = [{"type": "StasisStart", "args": ["ü"]}]
    async with running(make_client(server)) as heard:
        await eventually(lambda: heard.events)
        assert heard.all == [True, "StasisStart"]
        assert heard.events[0]["args"] == ["ü"]


async def test_a_filter_that_asterisk_refuses_means_not_connected(server):
    path = f"/applications/{APP}/eventFilter"
    server.answers["PUT", path] = Answer(403, {"message": "Write access denied"})
    client = make_client(server)
    with capture_logs() as logs:
        async with running(client, wait=False) as heard:
            await eventually(lambda: len(server.sockets) >= 2)
            assert heard.states == []
            del server.answers["PUT", path]
            await eventually(lambda: heard.states == [True])
    assert "Write access denied" in logs[0]["reason"]


async def test_a_drop_is_reported_and_everything_is_set_up_again(server):
    client = make_client(server, event_types=["StasisStart"])
    async with running(client) as heard:
        server.last.drop()
        await eventually(lambda: heard.states == [True, False, True])
        journal = [line for line in server.journal if line != VERSION]
        assert journal == ["websocket", FILTER, SUBSCRIBE] * 2
        await server.last.event("StasisStart")
        await eventually(lambda: heard.events)


async def test_an_orderly_close_by_asterisk_is_a_drop_as_well(server):
    async with running(make_client(server)) as heard:
        await server.last.websocket.close()
        await eventually(lambda: heard.states == [True, False, True])


async def test_it_connects_once_asterisk_is_there():
    server = AriServer(password=PASSWORD)
    await server.listen()
    await server.stop()
    client = make_client(server)
    with capture_logs() as logs:
        async with running(client, wait=False) as heard:
            await eventually(lambda: len(logs) >= 3)
            assert heard.states == []
            await server.listen()
            await eventually(lambda: client.connected)
    await server.stop()


async def test_a_refused_websocket_is_tried_again(server):
    server.refuse = [503, 503]
    async with running(make_client(server)) as heard:
        assert heard.states == [True]
        assert server.refuse == []


async def test_a_websocket_that_does_not_open_in_time_is_tried_again():
    connections: list[asyncio.StreamWriter] = []
    never = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await never.wait()

    mute = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = mute.sockets[0].getsockname()[1]
    client = make_client(AriServer(port=port), request_timeout_seconds=0.05)
    with capture_logs() as logs:
        async with running(client, wait=False) as heard:
            await eventually(lambda: len(connections) >= 2)
            assert heard.states == []
    assert logs[0]["reason"].endswith("no answer in time")
    never.set()
    mute.close()
    for writer in connections:
        writer.close()
    await mute.wait_closed()


async def test_connections_that_end_at_once_are_retried_ever_more_slowly(server):
    loop = asyncio.get_running_loop()
    client = make_client(server, backoff_initial_seconds=0.04, backoff_max_seconds=NEVER)
    started = loop.time()
    async with running(client, wait=False) as heard:
        for count in range(1, 4):
            await eventually(lambda count=count: heard.states.count(True) == count)
            server.last.drop()
        await eventually(lambda: len(server.sockets) == 4)
    # The shortest pauses that the jitter allows: half of 40, 80 and 160 ms.
    assert loop.time() - started >= 0.02 + 0.04 + 0.08


async def test_a_half_open_websocket_is_noticed(server):
    client = make_client(server, heartbeat_seconds=1.0)  # a pong has half of that
    async with running(client) as heard:
        await eventually(lambda: server.last.pings >= 2)
        assert heard.states == [True]
        server.deaf = True
        await eventually(lambda: False in heard.states)
        server.deaf = False
        await eventually(lambda: heard.states[-1])
        await eventually(lambda: client.connected)


async def test_application_replaced_is_delivered_and_the_app_is_left_alone_for_a_while(server):
    client = make_client(server, replaced_pause_seconds=NEVER)
    with capture_logs() as logs:
        async with running(client) as heard:
            # About another application of the same Asterisk, not ours.
            await server.last.event("ApplicationReplaced", application="other")
            await server.last.event("ApplicationReplaced", application=APP)
            await eventually(lambda: False in heard.states)
            assert heard.all == [True, "ApplicationReplaced", "ApplicationReplaced", False]
            await eventually(lambda: server.last.closed)
            await eventually(lambda: logs[-1]["event"] == "ari_application_replaced")
            assert len(server.sockets) == 1
            assert not client.connected


async def test_a_replaced_app_is_taken_back_after_the_pause(server):
    async with running(make_client(server, replaced_pause_seconds=0.01)) as heard:
        await server.last.event("ApplicationReplaced", application=APP)
        await eventually(lambda: heard.states == [True, False, True])


async def test_frames_that_are_no_event_are_logged_and_skipped(server):
    with capture_logs() as logs:
        async with running(make_client(server)) as heard:
            for text in ("{not json", "[]", '"text"', "null", ""):
                await server.last.websocket.send_str(text)
            await server.last.websocket.send_bytes(b"\x00")
            await server.last.event("StasisEnd")
            await eventually(lambda: heard.events)
            assert heard.all == [True, "StasisEnd"]
    assert [entry["event"] for entry in logs].count("ari_malformed_event") == 5


async def test_a_handler_that_fails_does_not_stop_the_next_event(server):
    client = make_client(server)
    heard: list[str] = []

    def on_event(event: Mapping[str, Any]) -> None:
        heard.append(event["type"])
        raise RuntimeError("handler")

    def on_connected(connected: bool) -> None:
        raise RuntimeError("handler")

    with capture_logs() as logs:
        task = asyncio.create_task(client.run(on_event, on_connected))
        await eventually(lambda: client.connected)
        await server.last.event("First")
        await server.last.event("Second")
        await eventually(lambda: heard == ["First", "Second"])
        task.cancel()
        await asyncio.wait([task], timeout=SOON)
    await client.close()
    failed = [entry for entry in logs if entry["event"] == "ari_event_handler_failed"]
    assert [entry["event_type"] for entry in failed] == ["First", "Second"]
    assert len(server.sockets) == 1


async def test_cancelling_says_so_and_leaves_nothing_behind(server):
    tasks_before = asyncio.all_tasks()
    async with running(make_client(server)) as heard:
        pass
    assert heard.states == [True, False]
    await eventually(lambda: server.last.closed)
    await eventually(lambda: asyncio.all_tasks() <= tasks_before)


async def test_a_websocket_outlives_the_timeout_of_a_request(server):
    client = make_client(server, request_timeout_seconds=0.1, heartbeat_seconds=1.0)
    async with running(client) as heard:
        await eventually(lambda: server.last.pings >= 2)
        assert heard.states == [True]


# --- credentials ----------------------------------------------------------------------------------


async def test_a_wrong_password_is_logged_without_it(server, caplog):
    caplog.set_level(0)
    server.password = "another"
    client = make_client(server)
    with capture_logs() as logs:
        async with running(client, wait=False) as heard:
            await eventually(lambda: len(logs) >= 3)
            with pytest.raises(AriError) as caught:
                await client.channels.list()
            assert caught.value.status == 401
            assert "ari.conf" in str(caught.value)
            assert heard.states == []
            server.password = PASSWORD
            await eventually(lambda: heard.states == [True])
    assert logs[0]["event"] == "ari_login_refused"
    shown = "".join(traceback.format_exception(caught.value))
    assert not seen(repr(logs) + caplog.text + shown + repr(client))


async def test_the_password_is_in_no_url_no_log_and_no_error(server, caplog):
    caplog.set_level(0)
    server.answers["GET", "/channels/x"] = Answer(404, {"message": "Channel not found"})
    client = make_client(server)
    with capture_logs() as logs:
        async with running(client):
            with pytest.raises(AriGone) as gone:
                await client.channels.get("x")
            server.last.drop()
            await eventually(lambda: len(server.sockets) == 2)
            await server.stop()
            with pytest.raises(AsteriskUnavailable) as down:
                await client.channels.get("x")
    shown = "".join(str(traceback.format_exception(e.value)) for e in (gone, down))
    urls = [asked.raw for asked in server.asked] + [s.request.raw_path for s in server.sockets]
    assert not seen(repr(logs) + caplog.text + shown + repr(urls) + repr(client))


def seen(text: str) -> bool:
    """Whether the password is in the text, plain, quoted or in base64."""
    return any(part in text for part in ("not-to-be-seen", "YXZwOn", "Basic "))


@pytest.mark.parametrize(
    "url", ["http://avp:s3cret@h/ari", "http://avp@h/ari", "ftp://h/ari", "h:8088", "http://h/?k=1"]
)
def test_urls_with_credentials_or_without_sense_are_refused(url):
    with pytest.raises(ValueError, match="ARI URL") as caught:
        AriClient(url, "u", "p", APP)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://h:8088", "http://h:8088/", "http://h:8088/ari/"])
def test_the_usual_path_may_be_left_out(url):
    assert "at http://h:8088/ari," in repr(AriClient(url, "avp", "p", APP))


# --- requests -------------------------------------------------------------------------------------


async def test_originate(server, client):
    server.answers["POST", "/channels"] = Answer(200, {"id": "c1"})
    channel = await client.channels.originate(
        "Local/1002@avp-agent-queue",
        app=APP,
        app_args="consult,a.b+c",
        channel_id="c1",
        other_channel_id="c2",
        caller_id='"Zoë" <+1202>',
        originator="o1",
        variables={"AVP_CALLER_ID": "+1202", "__AVP_NO_POP": "yes"},
        timeout_seconds=20,
        formats="ulaw",
    )
    assert channel == {"id": "c1"}
    (asked,) = server.asked
    assert asked.query == {
        "endpoint": "Local/1002@avp-agent-queue",
        "app": APP,
        "appArgs": "consult,a.b+c",
        "channelId": "c1",
        "otherChannelId": "c2",
        "callerId": '"Zoë" <+1202>',
        "originator": "o1",
        "timeout": "20",
        "formats": "ulaw",
    }
    assert asked.body == {"variables": {"AVP_CALLER_ID": "+1202", "__AVP_NO_POP": "yes"}}
    assert "+" not in asked.raw  # Only %2B and %20 mean the same to all parsers.


async def test_what_is_not_given_is_not_sent(server, client):
    await client.channels.originate("PJSIP/x", app=APP, channel_id="c1")
    await client.channels.hangup("c1")
    await client.channels.start_moh("c1")
    queries = [asked.query for asked in server.asked]
    assert queries == [{"endpoint": "PJSIP/x", "app": APP, "channelId": "c1"}, {}, {}]
    assert server.asked[0].body is None


REQUESTS = [
    (lambda c: c.channels.list(), "GET /channels", {}),
    (lambda c: c.channels.get("c"), "GET /channels/c", {}),
    (lambda c: c.channels.hangup("c", 17), "DELETE /channels/c", {"reason_code": "17"}),
    (
        lambda c: c.channels.continue_in_dialplan("c", context="x", extension="s", priority=1),
        "POST /channels/c/continue",
        {"context": "x", "extension": "s", "priority": "1"},
    ),
    (lambda c: c.channels.answer("c"), "POST /channels/c/answer", {}),
    (lambda c: c.channels.ring("c"), "POST /channels/c/ring", {}),
    (lambda c: c.channels.ring_stop("c"), "DELETE /channels/c/ring", {}),
    (lambda c: c.channels.start_moh("c", "jazz"), "POST /channels/c/moh", {"mohClass": "jazz"}),
    (lambda c: c.channels.stop_moh("c"), "DELETE /channels/c/moh", {}),
    (
        lambda c: c.channels.play("c", ["sound:a", "sound:b"]),
        "POST /channels/c/play",
        {"media": "sound:a,sound:b"},
    ),
    (
        lambda c: c.channels.play("c", "sound:a", "p"),
        "POST /channels/c/play/p",
        {"media": "sound:a"},
    ),
    (
        lambda c: c.channels.set_variable("c", "X", "a+b c-d é"),
        "POST /channels/c/variable",
        {"variable": "X", "value": "a+b c-d é"},
    ),
    (
        lambda c: c.channels.transfer_progress("c", "channel_answered"),
        "POST /channels/c/transfer_progress",
        {"states": "channel_answered"},
    ),
    (
        lambda c: c.bridges.create("b", name="n"),
        "POST /bridges/b",
        {"type": "mixing", "name": "n"},
    ),
    (lambda c: c.bridges.list(), "GET /bridges", {}),
    (lambda c: c.bridges.get("b"), "GET /bridges/b", {}),
    (
        lambda c: c.bridges.add_channel("b", "c", "d"),
        "POST /bridges/b/addChannel",
        {"channel": "c,d"},
    ),
    (lambda c: c.bridges.destroy("b"), "DELETE /bridges/b", {}),
    (lambda c: c.applications.list(), "GET /applications", {}),
    (lambda c: c.applications.get("a"), "GET /applications/a", {}),
    (lambda c: c.asterisk.info(), "GET /asterisk/info", {}),
    (lambda c: c.asterisk.ping(), "GET /asterisk/ping", {}),
    (lambda c: c.playbacks.get("p"), "GET /playbacks/p", {}),
    (lambda c: c.playbacks.stop("p"), "DELETE /playbacks/p", {}),
]


@pytest.mark.parametrize(("call", "line", "query"), REQUESTS, ids=[case[1] for case in REQUESTS])
async def test_every_request_as_asterisk_documents_it(server, client, call, line, query):
    await call(client)
    assert server.journal == [line]
    assert server.asked[0].query == query


async def test_ids_are_quoted_and_cannot_change_the_path(server, client):
    await client.channels.hangup("PJSIP/1?x=%2F#y+z é/../..")
    assert server.asked[0].path == "/channels/PJSIP%2F1%3Fx%3D%252F%23y%2Bz%20%C3%A9%2F..%2F.."
    for call in (client.channels.get, client.bridges.destroy, client.channels.answer):
        with pytest.raises(ValueError, match="empty"):
            await call("")
    with pytest.raises(ValueError, match="no channel id"):
        await client.bridges.add_channel("b")
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [404, 409, 422])
async def test_a_party_that_went_away_is_an_ordinary_transition(server, client, status):
    server.answers["POST", "/bridges/b/addChannel"] = Answer(status, {"message": "Channel gone"})
    with pytest.raises(AriGone, match="Channel gone") as caught:
        await client.bridges.add_channel("b", "c")
    assert caught.value.status == status


@pytest.mark.parametrize("status", [400, 403, 412])
async def test_other_refusals_are_errors(server, client, status):
    server.answers["POST", "/channels/c/answer"] = Answer(status, {"message": "Invalid"})
    with pytest.raises(AriError, match="Invalid") as caught:
        await client.channels.answer("c")
    assert not isinstance(caught.value, AriGone)
    assert caught.value.status == status


@pytest.mark.parametrize("key", ["error", "message"])
async def test_an_originate_that_asterisk_cannot_carry_out_is_an_error(server, client, key):
    server.answers["POST", "/channels"] = Answer(500, {key: "Allocation failed"})
    with pytest.raises(AriError, match="Allocation failed") as caught:
        await client.channels.originate("PJSIP/nobody", app=APP, channel_id="c1")
    assert caught.value.status == 500


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, text="<h1>Out of memory</h1>"),
        Answer(500, {}),
        Answer(502, text="bad gateway"),
        Answer(503, {"message": "Asterisk not booted"}),
        Answer(200, text="<html>not ARI</html>"),
    ],
)
async def test_an_asterisk_in_trouble_is_unavailable(server, client, answer):
    server.answers["GET", "/channels"] = answer
    with pytest.raises(AsteriskUnavailable, match="GET /channels"):
        await client.channels.list()


async def test_a_redirect_is_not_followed(server, client):
    elsewhere = {"Location": f"{server.url}/bridges"}
    server.answers["GET", "/channels"] = Answer(302, {"message": "moved"}, headers=elsewhere)
    with pytest.raises(AriError, match="moved"):
        await client.channels.list()
    assert server.journal == ["GET /channels"]


async def test_a_request_has_a_deadline(server):
    client = make_client(server, request_timeout_seconds=0.05)
    hold = asyncio.Event()
    server.answers["GET", "/channels"] = Answer(200, [], hold=hold)
    with pytest.raises(AsteriskUnavailable, match=r"GET /channels: no answer within 0\.05 s"):
        await client.channels.list()
    hold.set()
    await client.close()


async def test_a_request_while_asterisk_is_down_says_so(server, client):
    await server.stop()
    with pytest.raises(AsteriskUnavailable, match="GET /channels"):
        await client.channels.list()


async def test_a_request_that_is_cut_off_is_unavailable(server, client):
    hold = asyncio.Event()
    server.answers["POST", "/channels"] = Answer(200, {}, hold=hold)
    call = client.channels.originate("PJSIP/x", app=APP, channel_id="c")
    task = asyncio.create_task(call)
    await eventually(lambda: server.asked)
    stopping = asyncio.create_task(server.stop())
    with pytest.raises(AsteriskUnavailable):
        await task
    hold.set()
    await stopping
    # An originate that Asterisk may have executed is not repeated.
    assert len(server.asked) == 1


async def test_a_variable_that_is_not_set_is_none_and_a_missing_channel_is_gone(server, client):
    path = ("GET", "/channels/c/variable")
    server.answers[path] = Answer(200, {"value": "x"})
    assert await client.channels.get_variable("c", "AVP_STATE") == "x"
    server.answers[path] = Answer(404, {"message": "Provided variable was not found"})
    assert await client.channels.get_variable("c", "AVP_STATE") is None
    server.answers[path] = Answer(404, {"message": "Provided channel was not found"})
    with pytest.raises(AriGone):
        await client.channels.get_variable("c", "AVP_STATE")


async def test_idle_connections_are_closed_before_asterisk_does(client):
    # Asterisk's session_keep_alive is 15 s. The side that closes first never uses a closed one.
    assert client._rest.session().connector._keepalive_timeout < 15


async def test_the_session_can_be_closed_twice_and_used_again(server, client):
    await client.close()
    await client.channels.list()
    await client.close()
    await client.close()
