from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from servers.ami_server import GREETING, Action, AmiServer, error, message, success
from servers.waiting import eventually
from structlog.testing import capture_logs

from asterisk_avp.ami import wire
from asterisk_avp.ami.client import AmiClient
from asterisk_avp.ami.wire import FrameReader, NotAmi, check_headers, parse_message
from asterisk_avp.core.model.errors import (
    AmiError,
    AmiHeaderError,
    AsteriskSilent,
    AsteriskUnavailable,
)

TRACES = Path(__file__).parent / "traces"
SECRET = "s3cret-not-to-be-seen"
#: Longer than any test: a failure within it did not wait for the action's deadline.
NEVER = 60.0
SOON = 5.0


@dataclass
class Heard:
    """The callbacks that the owner of a client received."""

    events: list[Mapping[str, str]] = field(default_factory=list)
    states: list[bool] = field(default_factory=list)
    #: Events and states in the order of their arrival.
    all: list[str | bool] = field(default_factory=list)

    def on_event(self, event: Mapping[str, str]) -> None:
        self.events.append(event)
        self.all.append(event["Event"])

    def on_connected(self, connected: bool) -> None:
        self.states.append(connected)
        self.all.append(connected)

    def names(self) -> list[str]:
        return [event["Event"] for event in self.events]


def make_client(server: AmiServer, secret: str = SECRET, **options: float) -> AmiClient:
    quick = {
        "action_timeout_seconds": SOON,
        "ping_interval_seconds": NEVER,
        "backoff_initial_seconds": 0.01,
        "backoff_max_seconds": 0.05,
    }
    return AmiClient("127.0.0.1", server.port, "avp", secret, **(quick | options))


@asynccontextmanager
async def running(client: AmiClient, *, wait: bool = True) -> AsyncIterator[Heard]:
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


@pytest.fixture
async def server() -> AsyncIterator[AmiServer]:
    async with AmiServer(secret=SECRET) as running_server:
        yield running_server


async def in_flight(
    server: AmiServer, client: AmiClient, name: str, **headers: str
) -> asyncio.Task:
    """An action that reached the server and gets no answer."""
    server.answers[name] = lambda _: None
    before = len(server.received(name))
    task = asyncio.create_task(client.action(name, headers))
    await eventually(lambda: len(server.received(name)) > before)
    return task


# --- the wire -------------------------------------------------------------------------------------


def read_in_pieces(data: bytes, size: int) -> list[dict[str, str]]:
    reader = FrameReader()
    return [
        found
        for start in range(0, len(data), size)
        for found in reader.feed(data[start : start + size])
    ]


@pytest.mark.parametrize("name", ["lists", "queue_call", "wrong_secret", "shutdown"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1460])
def test_a_recorded_trace_reads_the_same_in_pieces_of_any_size(name, size):
    data = (TRACES / f"{name}.ami").read_bytes()
    whole = FrameReader()
    messages = whole.feed(data)
    assert whole.version == "11.0.0"
    assert len(messages) == data.count(b"\r\n\r\n")
    assert read_in_pieces(data, size) == messages
    # Byte for byte: the reader neither loses nor changes anything that Asterisk sent.
    lines = [
        f"{header}: {value}"
        for found in messages
        for header, values in found.items()
        for value in values.split("\n")
    ]
    sent = [line for line in data.decode().split("\r\n") if ": " in line]
    assert sorted(lines) == sorted(sent)


def test_names_and_variables_of_a_recorded_call():
    messages = FrameReader().feed((TRACES / "queue_call.ami").read_bytes())
    connect = next(m for m in messages if m.get("Event") == "AgentConnect")
    assert connect["MemberName"] == "Zoë Müller"
    assert connect["CallerIDName"] == "Zoë Müller 東京"
    user = next(m for m in messages if m.get("Event") == "UserEvent")
    assert user["ChanVariable"].split("\n") == ["AVP_STATE=waiting", "AVP_GROUP=sales"]
    assert user["AccountCode"] == ""


def test_of_events_that_nobody_wants_only_the_name_is_read():
    """The wanted events and every answer are read as if all events were."""
    wanted = {"Hangup", "UserEvent", "AgentConnect"}
    for trace in ("queue_call", "lists"):
        data = (TRACES / f"{trace}.ami").read_bytes()
        whole = FrameReader().feed(data)
        read = FrameReader(wanted).feed(data)
        assert read == [
            message
            if message.get("Event", "") in wanted or "ActionID" in message or "Event" not in message
            else {"Event": message["Event"]}
            for message in whole
        ]
    odd = GREETING + b"Uniqueid: 1\r\nEvent: Other\r\n\r\nEvent: Hangup\r\nUniqueid: 1\r\n\r\n"
    assert FrameReader(wanted).feed(odd) == FrameReader().feed(odd)


def test_an_empty_last_header_is_kept():
    (event,) = read_in_pieces(GREETING + b"Event: X\r\nReason: \r\n\r\n", 1000)
    assert event == {"Event": "X", "Reason": ""}


def test_a_header_without_a_space_as_userevent_passes_it_on():
    assert parse_message("Event:X\r\nUri:sip:a: b") == {"Event": "X", "Uri": "sip:a: b"}


def test_a_line_feed_in_a_value_cannot_pass_for_another_variable():
    data = (
        GREETING + b"Event: X\r\nChanVariable: A=1\nAVP_STATE=done\r\nChanVariable: B=\r2\r\n\r\n"
    )
    (event,) = FrameReader().feed(data)
    assert event["ChanVariable"].split("\n") == ["A=1 AVP_STATE=done", "B= 2"]


def test_garbage_and_bytes_that_are_not_utf8_do_no_harm():
    data = (
        GREETING
        + b"garbage\r\n\r\n\r\n\r\nfoo\r\nEvent: A\r\n\xff\xfe\r\nName: \xc3(\r\n\r\n"
        + b"No: event\r\n\r\nEvent: B\r\n\r\n"
    )
    assert FrameReader().feed(data) == [{"Event": "A", "Name": "\ufffd("}, {"Event": "B"}]


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n", b"x" * 300]
)
def test_another_protocol_is_noticed(data):
    with pytest.raises(NotAmi):
        FrameReader().feed(data)


def test_a_message_without_an_end_is_given_up(monkeypatch):
    monkeypatch.setattr(wire, "MAX_MESSAGE_BYTES", 1000)
    reader = FrameReader()
    reader.feed(GREETING + b"Event: X\r\n" * 100)
    with pytest.raises(NotAmi):
        reader.feed(b"Event: X\r\n")


@pytest.mark.parametrize("bad", ["a\rb", "a\nb", "a\r\nAction: Originate", "a\0b", "\n"])
def test_header_values_that_would_inject_are_refused(bad):
    for value in (bad, ["fine", bad]):
        with pytest.raises(AmiHeaderError) as caught:
            check_headers({"Variable": value})
        assert bad not in str(caught.value)


@pytest.mark.parametrize(
    "bad", ["", "a\nb", "a\r\nb", "a\0", "a:b", "a b", "ä", "ActionID", "action"]
)
def test_header_names_that_would_inject_are_refused(bad):
    with pytest.raises(AmiHeaderError):
        check_headers({bad: "x"})


@pytest.mark.parametrize("bad", [None, 5, {"a": "b"}.values(), b"x", "\ud800"])
def test_header_values_that_are_no_text_are_refused(bad):
    with pytest.raises((AmiHeaderError, TypeError)):
        check_headers({"Variable": [bad]})


def test_lines_that_asterisk_would_discard_are_refused():
    longest = 1022 - len("Value: ")
    assert check_headers({"Value": "x" * longest})
    for value in ("x" * (longest + 1), "é" * (longest // 2 + 1)):
        with pytest.raises(AmiHeaderError):
            check_headers({"Value": value})
    assert check_headers({"Variable": ["a=b"] * 126})
    with pytest.raises(AmiHeaderError):
        check_headers({"Variable": ["a=b"] * 127})


# --- connecting -----------------------------------------------------------------------------------


async def test_it_logs_in_and_says_so_before_the_first_event(server, caplog):
    caplog.set_level(0)
    server.after_login = message(("Event", "FullyBooted"))
    async with running(make_client(server)) as heard:
        await eventually(lambda: heard.events)
        assert heard.all == [True, "FullyBooted"]
    assert server.last.names()[0] == "Login"
    assert server.last.actions[0]["Events"] == "call,agent"
    # panoramisk's own log would contain whole actions, including the login's secret.
    assert [record for record in caplog.records if "panoramisk" in record.name] == []


async def test_the_greeting_may_come_in_pieces_and_the_login_waits_for_it(server):
    server.greeting = b""
    client = make_client(server)
    async with running(client, wait=False) as heard:
        await eventually(lambda: server.connections)
        await server.last.send_in_pieces(GREETING[:-1])
        assert server.last.actions == []
        server.last.send(GREETING[-1:])
        await eventually(lambda: heard.states == [True])


async def test_the_secret_is_not_told_to_something_that_is_not_ami(server):
    server.greeting = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    async with running(make_client(server), wait=False) as heard:
        await eventually(lambda: len(server.connections) > 2)
    assert heard.states == []
    assert not any(connection.raw for connection in server.connections)


async def test_no_greeting_at_all_is_noticed(server):
    server.greeting = b""
    async with running(make_client(server, action_timeout_seconds=0.05), wait=False):
        await eventually(lambda: len(server.connections) > 2)
    assert server.received("Login") == []


async def test_a_wrong_secret_is_logged_without_it_and_tried_again(server, caplog):
    caplog.set_level(0)
    server.secret = "another"
    client = make_client(server)
    with capture_logs() as logs:
        async with running(client, wait=False) as heard:
            await eventually(lambda: len(server.received("Login")) >= 3)
            assert heard.states == []
            assert not client.connected
            with pytest.raises(AsteriskUnavailable):
                await client.action("Ping")
            server.secret = SECRET
            await eventually(lambda: heard.states == [True])
    refused = [entry for entry in logs if entry["event"] == "ami_login_refused"]
    assert len(refused) >= 2
    assert refused[0]["reason"] == "Authentication failed"
    assert refused[0]["username"] == "avp"
    assert SECRET not in repr(logs) + caplog.text + repr(client)


async def test_the_secret_is_in_no_log_and_no_error_when_the_login_is_cut_off(server, caplog):
    caplog.set_level(0)
    server.answers["Login"] = lambda _: server.last.drop()
    client = make_client(server)
    with capture_logs() as logs:
        async with running(client, wait=False):
            await eventually(lambda: len(server.received("Login")) >= 3)
            with pytest.raises(AsteriskUnavailable) as caught:
                await client.action("Ping")
    assert any(entry["event"] == "ami_unavailable" for entry in logs)
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in repr(logs) + caplog.text + shown


def test_a_secret_that_would_inject_is_refused_and_not_repeated():
    with pytest.raises(AmiHeaderError) as caught:
        AmiClient("127.0.0.1", 1, "avp", "s3cret\r\nAction: Originate")
    assert "s3cret" not in str(caught.value)


async def test_it_connects_once_asterisk_is_there():
    server = AmiServer(secret=SECRET)
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


async def test_connections_that_end_at_once_are_retried_ever_more_slowly(server):
    def and_gone(action: Action) -> bytes:
        asyncio.get_running_loop().call_soon(server.last.drop)
        return success(action)

    server.answers["Login"] = and_gone
    loop = asyncio.get_running_loop()
    client = make_client(server, backoff_initial_seconds=0.04, backoff_max_seconds=NEVER)
    started = loop.time()
    async with running(client, wait=False):
        await eventually(lambda: len(server.connections) == 4)
    # The shortest pauses that the jitter allows: half of 40, 80 and 160 ms.
    assert loop.time() - started >= 0.02 + 0.04 + 0.08


async def test_cancelling_logs_off_and_leaves_nothing_behind(server):
    client = make_client(server)
    tasks_before = asyncio.all_tasks()
    async with running(client) as heard:
        pending = await in_flight(server, client, "Redirect")
    assert heard.states == [True, False]
    assert server.last.names()[-1] == "Logoff"
    with pytest.raises(AsteriskUnavailable):
        await pending
    await eventually(lambda: server.last.closed)
    await eventually(lambda: asyncio.all_tasks() <= tasks_before)


# --- actions --------------------------------------------------------------------------------------


async def test_an_action_and_its_answer(server):
    server.answers["Getvar"] = lambda action: success(action, Value="Zoë: 1")
    client = make_client(server)
    async with running(client):
        answer = await client.action("Getvar", {"Channel": "PJSIP/ö", "Variable": ["A", "B"]})
        assert {k: v for k, v in answer.items() if k != "ActionID"} == {
            "Response": "Success",
            "Value": "Zoë: 1",
        }
        (sent,) = server.received("Getvar")
        assert sent["Channel"] == "PJSIP/ö"
        assert sent["Variable"].split("\n") == ["A", "B"]


async def test_an_error_is_an_error(server):
    server.answers["Redirect"] = lambda action: error(action, "Channel does not exist: x")
    client = make_client(server)
    async with running(client):
        with pytest.raises(AmiError, match="Channel does not exist") as caught:
            await client.action("Redirect", {"Channel": "x"})
        assert caught.value.action == "Redirect"
        assert (await client.action("Ping"))["Ping"] == "Pong"


async def test_answers_find_their_actions_in_any_order(server):
    held: list[Action] = []
    server.answers["Getvar"] = held.append
    client = make_client(server)
    async with running(client):
        asked = [
            asyncio.create_task(client.action("Getvar", {"Variable": f"V{n}"})) for n in range(20)
        ]
        await eventually(lambda: len(held) == 20)
        for action in reversed(held):
            server.last.send(success(action, Value=action["Variable"]))
        answers = await asyncio.gather(*asked)
    assert [answer["Value"] for answer in answers] == [f"V{n}" for n in range(20)]


async def test_nothing_is_sent_when_a_header_would_inject(server):
    client = make_client(server)
    async with running(client):
        for headers in (
            {"Channel": "x\r\nAction: Originate"},
            {"a\r\nb": "x"},
            {"Variable": ["\n"]},
        ):
            with pytest.raises(AmiHeaderError):
                await client.action("Redirect", headers)
            with pytest.raises(AmiHeaderError):
                await client.list_action("QueueStatus", headers)
        await client.action("Ping")
        assert server.last.names() == ["Login", "Ping"]


async def test_an_action_while_down_fails_at_once(server):
    client = make_client(server, action_timeout_seconds=NEVER)
    with pytest.raises(AsteriskUnavailable, match="not connected"):
        await client.action("Redirect", {"Channel": "x"})
    async with running(client) as heard:
        await server.stop()
        await eventually(lambda: heard.states == [True, False])
        async with asyncio.timeout(SOON):
            with pytest.raises(AsteriskUnavailable, match="not connected"):
                await client.action("Redirect", {"Channel": "x"})


async def test_an_action_in_flight_fails_at_once_when_the_connection_drops(server):
    client = make_client(server, action_timeout_seconds=NEVER)
    async with running(client):
        one = await in_flight(server, client, "Redirect", Channel="x")
        several = asyncio.create_task(client.list_action("QueueStatus"))
        await eventually(lambda: server.received("QueueStatus"))
        server.last.drop()
        async with asyncio.timeout(SOON):
            for task in (one, several):
                with pytest.raises(AsteriskUnavailable):
                    await task


async def test_an_action_is_never_sent_again_on_a_new_connection(server):
    client = make_client(server, action_timeout_seconds=NEVER)
    async with running(client) as heard:
        pending = await in_flight(server, client, "Redirect", Channel="x")
        # At this event, panoramisk sends unanswered actions again.
        server.after_login = message(("Event", "FullyBooted"))
        server.last.drop()
        with pytest.raises(AsteriskUnavailable):
            await pending
        await eventually(lambda: "FullyBooted" in heard.names())
        await client.action("Ping")
        assert server.last.names() == ["Login", "Ping"]
        assert len(server.connections) == 2


async def test_an_action_has_a_deadline_and_leaves_nothing_in_the_table(server):
    client = make_client(server, action_timeout_seconds=0.05, list_timeout_seconds=0.05)
    server.answers["Redirect"] = lambda _: None
    server.answers["QueueStatus"] = lambda action: success(action, EventList="start")
    async with running(client) as heard:
        with pytest.raises(AsteriskSilent, match=r"no answer within 0\.05 s"):
            await client.list_action("QueueStatus")
        client._link._overdue.clear()
        with pytest.raises(AsteriskSilent, match=r"no answer within 0\.05 s"):
            await client.action("Redirect")
        assert client._link._protocol.responses == {}
        # An answer after the deadline is ignored.
        late = server.received("QueueStatus")[0]["ActionID"]
        server.last.send(success(server.received("Redirect")[0]))
        server.last.event("QueueMember", Queue="sales", ActionID=late)
        server.last.event("QueueStatusComplete", EventList="Complete", ActionID=late)
        server.last.event("Newchannel", Channel="x")
        await eventually(lambda: heard.events)
        assert heard.names() == ["Newchannel"]
        assert client.connected


async def test_nothing_is_sent_behind_an_action_that_hangs(server):
    """It would be executed when nobody needs it any more."""
    client = make_client(server, action_timeout_seconds=0.5)
    server.answers["Redirect"] = lambda _: None
    async with running(client):
        assert not client.silent
        with pytest.raises(AsteriskSilent):
            await client.action("Redirect")
        assert client.silent
        assert client.connected
        with pytest.raises(AsteriskSilent, match="not sent"):
            await client.action("Bridge")
        assert server.received("Bridge") == []
        server.last.send(success(server.received("Redirect")[0]))
        await eventually(lambda: not client.silent)
        await client.action("Bridge")
        assert len(server.received("Bridge")) == 1


async def test_a_ping_that_is_answered_ends_the_silence(server):
    """A list whose answer arrived in time, but not its end."""
    client = make_client(server, list_timeout_seconds=0.05, ping_interval_seconds=0.05)
    server.answers["QueueStatus"] = lambda action: success(action, EventList="start")
    async with running(client):
        with pytest.raises(AsteriskSilent):
            await client.list_action("QueueStatus")
        await eventually(lambda: not client.silent)
        await client.action("Bridge")


NEEDS = {"Redirect": {"call"}, "QueueAdd": {"agent"}, "CoreShowChannels": {"reporting", "system"}}


async def test_a_user_who_may_not_do_what_is_needed_is_not_connected(server):
    server.answers["ListCommands"] = lambda action: success(action, Redirect="… (Priv: call,all)")
    client = make_client(server, needs=NEEDS)
    with capture_logs() as logs:
        async with running(client, wait=False) as heard:
            await eventually(lambda: len(server.received("ListCommands")) >= 2)
            assert heard.states == []
            assert client.trouble == (
                "The manager user 'avp' may not use QueueAdd, CoreShowChannels: its write= in "
                "manager.conf must name agent, reporting (and app_queue must be loaded)."
            )
            server.answers["ListCommands"] = lambda action: success(action, **dict.fromkeys(NEEDS))
            await eventually(lambda: heard.states == [True])
            assert client.trouble == ""
    assert logs[0]["event"] == "ami_rights_missing"


async def test_why_there_is_no_connection(server):
    client = make_client(server, secret="wrong")
    async with running(client, wait=False):
        await eventually(lambda: client.trouble)
        assert "AMI refuses the user 'avp': Authentication failed" in client.trouble
        assert "AVP_AMI__SECRET" in client.trouble
        assert "wrong" not in client.trouble


async def test_a_cancelled_action_leaves_nothing_in_the_table(server):
    client = make_client(server)
    async with running(client):
        task = await in_flight(server, client, "Redirect")
        task.cancel()
        await asyncio.wait([task])
        assert client._link._protocol.responses == {}


async def test_the_items_of_a_list(server):
    def status(action: Action) -> bytes:
        same = ("ActionID", action["ActionID"])
        return (
            success(action, EventList="start", Message="Queue status will follow")
            + message(("Event", "QueueParams"), ("Queue", "sales"), same)
            + message(("Event", "Newchannel"), ("Channel", "x"))
            + message(("Event", "QueueMember"), ("Queue", "sales"), ("Name", "Zoë"), same)
            + message(("Event", "QueueStatusComplete"), same, EventList="Complete", ListItems="2")
        )

    server.answers["QueueStatus"] = status
    client = make_client(server)
    async with running(client) as heard:
        items = await client.list_action("QueueStatus", {"Queue": "sales"})
        assert [item["Event"] for item in items] == ["QueueParams", "QueueMember"]
        assert items[1]["Name"] == "Zoë"
        assert "content" not in items[1]
        assert heard.names() == ["Newchannel"]


async def test_a_list_recorded_from_asterisk(server):
    recorded = (TRACES / "lists.ami").read_bytes().split(b"\r\n\r\n")

    def replay(action: Action) -> bytes:
        mine = [block for block in recorded if b"ActionID: " + mark in block]
        answer = b"".join(block + b"\r\n\r\n" for block in mine)
        return answer.replace(b"ActionID: " + mark, b"ActionID: " + action["ActionID"].encode())

    client = make_client(server)
    async with running(client):
        server.answers["QueueStatus"] = server.answers["Command"] = replay
        mark = b"queues"
        items = await client.list_action("QueueStatus")
        assert [item["Event"] for item in items] == ["QueueParams"] * 2 + ["QueueMember"] * 2
        mark = b"queue-missing"
        assert await client.list_action("QueueStatus", {"Queue": "nowhere"}) == []
        mark = b"command"
        output = (await client.action("Command", {"Command": "queue show"}))["Output"].split("\n")
        assert len(output) == 11
        assert "Zoë Müller" in output[2]


async def test_an_error_in_place_of_a_list_is_reported_at_once(server):
    server.answers["QueueStatus"] = lambda action: error(action, "Permission denied")
    client = make_client(server, list_timeout_seconds=NEVER)
    async with running(client):
        async with asyncio.timeout(SOON):
            with pytest.raises(AmiError, match="Permission denied"):
                await client.list_action("QueueStatus")


async def test_what_an_originate_announces_later_is_an_event(server):
    def originate(action: Action) -> bytes:
        same = ("ActionID", action["ActionID"])
        return (
            message(("Event", "OriginateResponse"), same, Response="Success", Reason="4")
            + success(action, Message="Originate successfully queued")
            + message(("Event", "OriginateResponse"), same, Response="Failure", Reason="5")
        )

    server.answers["Originate"] = originate
    client = make_client(server)
    async with running(client) as heard:
        answer = await client.action("Originate", {"Async": "true"})
        assert answer["Message"] == "Originate successfully queued"
        await eventually(lambda: len(heard.events) == 2)
        assert [event["Reason"] for event in heard.events] == ["4", "5"]


# --- losing the connection ------------------------------------------------------------------------


async def test_a_half_open_connection_is_noticed_and_replaced(server):
    client = make_client(server, ping_interval_seconds=0.02, action_timeout_seconds=1.0)
    async with running(client) as heard:
        await eventually(lambda: len(server.received("Ping")) >= 2)
        assert heard.states == [True]
        server.silent = True
        await eventually(lambda: heard.states == [True, False])
        server.silent = False
        await eventually(lambda: client.connected)
        assert len(server.connections) >= 2


async def test_an_action_in_flight_on_a_half_open_connection_fails_with_it(server):
    client = make_client(server, ping_interval_seconds=0.02, action_timeout_seconds=1.0)
    async with running(client) as heard:
        server.silent = True
        listing = asyncio.create_task(client.list_action("QueueStatus"))  # deadline 10 s
        await eventually(lambda: heard.states == [True, False], seconds=SOON)
        await asyncio.wait([listing], timeout=SOON)  # half of its own deadline
        with pytest.raises(AsteriskUnavailable):
            await listing


async def test_a_late_pong_among_events_is_forgiven_but_not_for_ever(server):
    misses = 1

    def pong(action: Action) -> bytes | None:
        nonlocal misses
        misses -= 1
        return success(action) if misses < 0 else message(("Event", "Newstate"))

    server.answers["Ping"] = pong
    client = make_client(server, ping_interval_seconds=0.02, action_timeout_seconds=1.0)
    async with running(client) as heard:
        await eventually(lambda: len(server.received("Ping")) >= 3)
        assert heard.states == [True]
        misses = 10**6
        await eventually(lambda: False in heard.states)


async def test_an_event_that_says_shutdown_ends_nothing(server):
    """Anybody who can dial can write one; Asterisk sends none (traces/shutdown.ami)."""
    client = make_client(server)
    async with running(client) as heard:
        pending = await in_flight(server, client, "Redirect")
        server.last.event("Shutdown", Shutdown="Cleanly", Restart="False")
        await eventually(lambda: "Shutdown" in heard.all)
        (action,) = server.received("Redirect")
        server.last.send(success(action))
        assert (await pending)["Response"] == "Success"
        assert heard.states == [True]


# --- events ---------------------------------------------------------------------------------------


async def test_characters_split_over_segments_survive(server):
    async with running(make_client(server)) as heard:
        await server.last.send_in_pieces(
            message(("Event", "NewCallerid"), CallerIDName="Zoë 東京 🎧")
        )
        await eventually(lambda: heard.events)
        assert heard.events[0] == {"Event": "NewCallerid", "CallerIDName": "Zoë 東京 🎧"}


async def test_repeated_headers_and_the_case_of_names(server):
    async with running(make_client(server)) as heard:
        server.last.event(
            "Hangup", ("ChanVariable", "A=1"), ("ChanVariable", "B=x: y"), ("cause", "16")
        )
        await eventually(lambda: heard.events)
        assert heard.events[0] == {"Event": "Hangup", "ChanVariable": "A=1\nB=x: y", "cause": "16"}


async def test_garbage_between_events_is_skipped(server):
    async with running(make_client(server)) as heard:
        server.last.event("First")
        server.last.send(b"\x00\xff garbage\r\n\r\n: \r\n\r\n\r\n\r\nno event: here\r\n\r\n")
        server.last.send(b"Response: Error\r\nMessage: Missing action in request\r\n\r\n")
        server.last.event("Second")
        await eventually(lambda: len(heard.events) == 2)
        assert heard.names() == ["First", "Second"]
        assert heard.states == [True]


async def test_a_handler_that_fails_does_not_stop_the_next_event(server):
    client = make_client(server)
    heard: list[str] = []

    def on_event(event: Mapping[str, str]) -> None:
        heard.append(event["Event"])
        raise RuntimeError("handler")

    def on_connected(connected: bool) -> None:
        raise RuntimeError("handler")

    with capture_logs() as logs:
        task = asyncio.create_task(client.run(on_event, on_connected))
        await eventually(lambda: client.connected)
        server.last.event("First")
        server.last.event("Second")
        await eventually(lambda: heard == ["First", "Second"])
        assert (await client.action("Ping"))["Ping"] == "Pong"
        task.cancel()
        await asyncio.wait([task], timeout=SOON)
    failed = [entry for entry in logs if entry["event"] == "ami_event_handler_failed"]
    assert [entry["ami_event"] for entry in failed] == ["First", "Second"]
    assert len(server.connections) == 1


async def test_many_events_arrive_complete_and_in_order(server):
    count = 20_000
    async with running(make_client(server)) as heard:
        block = b"".join(
            message(("Event", "Newstate"), Number=str(n), CallerIDName="Zoë", AccountCode="")
            for n in range(count)
        )
        server.last.send(block)
        await eventually(lambda: len(heard.events) == count, seconds=30)
        assert [int(event["Number"]) for event in heard.events] == list(range(count))


def test_repr_says_where_and_not_with_what(server):
    assert repr(make_client(server)) == (
        f"<AmiClient avp at 127.0.0.1:{server.port}, not connected>"
    )


async def test_actions_of_the_same_moment_leave_in_one_write(server, monkeypatch):
    client = AmiClient("127.0.0.1", server.port, "avp", SECRET)
    async with running(client):
        transport = client._link._protocol.transport
        write, writes = transport.write, []
        monkeypatch.setattr(transport, "write", lambda data: (writes.append(data), write(data)))
        names = [f"Step{n}" for n in range(20)]
        answers = await asyncio.gather(*(client.action(name) for name in names))
        assert [answer["Response"] for answer in answers] == ["Success"] * 20
        assert server.last.names()[-20:] == names
        assert len(writes) == 1
        monkeypatch.undo()


async def test_a_client_is_told_the_name_alone_of_what_it_does_not_want(server):
    client = AmiClient("127.0.0.1", server.port, "avp", SECRET, wanted={"Hangup"})
    async with running(client) as heard:
        server.last.event("Newstate", Uniqueid="1")
        server.last.event("Hangup", Uniqueid="1")
        await eventually(lambda: len(heard.events) >= 2)
        assert heard.events == [{"Event": "Newstate"}, {"Event": "Hangup", "Uniqueid": "1"}]
        server.answers["List"] = lambda action: (
            success(action, EventList="start")
            + message(("Event", "Item"), ActionID=action["ActionID"], Queue="sales")
            + message(("Event", "ListEnds"), ActionID=action["ActionID"], EventList="Complete")
        )
        (item,) = await client.list_action("List")
        assert item["Queue"] == "sales"
