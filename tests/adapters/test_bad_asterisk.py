"""The worst that Asterisk could send: nothing raises, is trusted, or ends a link.

`AVP_FUZZ_EXAMPLES` makes these tests run longer (see CONTRIBUTING).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from servers.ami_server import AmiServer, message, reply, success
from servers.ari_server import Answer, AriServer
from servers.waiting import eventually
from structlog.testing import capture_logs

from asterisk_avp.ami import translate as from_ami
from asterisk_avp.ami.client import AmiClient
from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.ami.wire import MAX_MESSAGE_BYTES, FrameReader, NotAmi
from asterisk_avp.ari import translate as from_ari
from asterisk_avp.ari.client import AriClient
from asterisk_avp.ari.rest import AriRest
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AsteriskUnavailable
from asterisk_avp.core.model.world import Group, World

NOW = 1_700_000_000.0
GREETING = b"Asterisk Call Manager/11.0.0\r\n"
DEEP = "[" * 100_000

HEADERS = [
    "Uniqueid",
    "Channel",
    "Newname",
    "BridgeUniqueid",
    "Queue",
    "Interface",
    "Location",
    "StateInterface",
    "MemberName",
    "Name",
    "Status",
    "Paused",
    "InCall",
    "LastCall",
    "Wrapuptime",
    "PausedReason",
    "Wait",
    "RingTime",
    "DestUniqueid",
    "DialStatus",
    "UserEvent",
    "CallerIDNum",
    "CallerIDName",
    "ConnectedLineNum",
    "Application",
    "ApplicationData",
    "BridgeId",
]
#: Possible values where a sane number is expected.
NUMBERS = st.sampled_from(
    [
        "",
        "-1",
        "1e3",
        "1_0",
        "\uff11\uff12",
        "²",
        "nan",
        "inf",
        " 7 ",
        "9" * 30,
        "9" * 400,
        "9" * 5000,
    ]
)
VALUES = st.text(max_size=20) | NUMBERS
AMI_EVENTS = st.builds(
    lambda name, headers: {"Event": name, **headers},
    st.sampled_from(sorted(from_ami.EVENTS)),
    st.dictionaries(st.sampled_from(HEADERS), VALUES),
)


# --- AMI: bytes ------------------------------------------------------------------------------

#: Bytes with a meaning in AMI, so that random input is not only noise.
PIECES = st.sampled_from(
    [b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"\0", b":", b": ", b"Event", b"Event: Hangup", b"\xff",
     b"Response: Success", b"ActionID: 1", b"Uniqueid: 1.1", b"\xc3", b"\xa9", b"x" * 2000]
)  # fmt: skip
STREAMS = st.lists(PIECES | st.binary(max_size=8), max_size=40).map(b"".join)


@given(STREAMS, st.lists(st.integers(0, 200), max_size=8))
def test_any_bytes_are_messages_or_nothing(stream: bytes, cuts: list[int]) -> None:
    """However they are split into segments, and whatever they contain."""
    whole = FrameReader().feed(GREETING + stream)
    reader, at = FrameReader(), 0
    assert reader.feed(GREETING) == []
    got: list[dict[str, str]] = []
    for cut in [*sorted(cuts), len(stream)]:
        got += reader.feed(stream[at:cut])
        at = max(at, cut)
    assert got == whole
    for headers in whole:
        assert "Event" in headers or "Response" in headers
        for value in headers.values():
            assert "\r" not in value
            value.encode()


@given(st.binary(max_size=600))
def test_any_greeting_is_ami_or_refused(stream: bytes) -> None:
    reader = FrameReader()
    said = ""
    try:
        reader.feed(stream)
    except NotAmi as error:
        said = str(error)
    assert len(said) < 250


def test_a_message_without_end_does_not_fill_the_memory() -> None:
    reader = FrameReader()
    reader.feed(GREETING)
    for _ in range(MAX_MESSAGE_BYTES // 65_536):
        reader.feed(b"x" * 65_536)
    with pytest.raises(NotAmi):
        reader.feed(b"x" * 65_536)


def test_a_header_repeated_without_end_takes_no_time() -> None:
    """Each occurrence was appended to a copied text: minutes for 4 MiB."""
    lines = b"Variable: 0123456789abcdef=\r\n" * (MAX_MESSAGE_BYTES // 32)
    began = time.process_time()
    (found,) = FrameReader().feed(GREETING + b"Event: Status\r\n" + lines + b"\r\n")
    assert time.process_time() - began < 5
    assert found["Variable"].count("\n") == MAX_MESSAGE_BYTES // 32 - 1


# --- AMI: events -----------------------------------------------------------------------------


@given(AMI_EVENTS)
def test_any_ami_event_is_a_fact_or_nothing(event: Mapping[str, str]) -> None:
    sane(from_ami.translate(event, NOW))


def sane(fact: ev.Fact | None) -> None:
    """Times and durations can be formatted and added."""
    if fact is None:
        return
    for field in fields(fact):
        value = getattr(fact, field.name)
        if isinstance(value, int | float):
            datetime.fromtimestamp(value, tz=UTC)


@given(st.lists(AMI_EVENTS, max_size=12))
def test_any_order_of_ami_events_leaves_a_picture(events: list[Mapping[str, str]]) -> None:
    engine = TransferEngine(World({"sales": Group("sales", "sales", "Sales")}), new_id=lambda: "t")
    for event in events:
        fact = from_ami.translate(event, NOW)
        if fact is not None and not isinstance(fact, ev.PhoneFact | ev.MusicChanged):
            engine.fact(fact, NOW)
    end = engine.agents.next_acw_end()
    assert end is None or end - NOW < 2**33


@pytest.mark.parametrize("name", sorted(from_ami.EVENTS))
def test_an_event_without_its_headers_is_left_out_with_one_line(name: str) -> None:
    for headers in ({}, {"Queue": "q"}):
        with capture_logs() as lines:
            fact = from_ami.translate({"Event": name, **headers}, NOW)
        if fact is None and lines:
            (line,) = lines
            assert line["event"] == "ami_event_incomplete"
            assert line["log_level"] == "warning"
            assert line["ami_event"] == name
            assert line["header"]


async def test_the_link_stands_whatever_its_events_say() -> None:
    heard: list[Any] = []
    async with AmiServer() as server:
        client = AmiClient("127.0.0.1", server.port, "avp", server.secret)

        def on_event(event: Mapping[str, str]) -> None:
            heard.append(from_ami.translate(event, NOW))

        task = asyncio.create_task(client.run(on_event, lambda _up: None))
        await eventually(lambda: client.connected)
        for name in sorted(from_ami.EVENTS):
            server.last.event(name)
        server.last.send(b"Event: Hangup\r\nUniqueid\0: \xff\xfe\r\n\r\n")
        server.last.send(b"\r\n\r\n:\r\n\r\nEvent\r\n\r\nEvent:\r\n\r\n")
        server.last.send(b"Event: Hangup\r\nUniqueid: a\r\nUniqueid: b\r\n\r\n")
        server.last.event("MusicOnHoldStop", Uniqueid="last")
        await eventually(lambda: ev.MusicChanged("last", playing=False) in heard)
        assert len(server.connections) == 1
        task.cancel()
        await asyncio.wait([task])


async def test_a_list_with_an_item_that_makes_no_sense_is_read_to_its_end() -> None:
    """With one KeyError in it, the daemon would never again have had a picture of Asterisk."""

    def items(name: str, *wanted: dict[str, str]) -> Any:
        def answer(action: dict[str, str]) -> bytes:
            of = ("ActionID", action["ActionID"])
            sent = [message(("Event", name), of, *item.items()) for item in wanted]
            end = message(("Event", name + "sComplete"), of, EventList="Complete")
            return success(action, EventList="start") + b"".join(sent) + end

        return answer

    good = {"Uniqueid": "u1", "Channel": "PJSIP/1001-1", "Linkedid": "u0"}
    async with AmiServer() as server:
        server.answers["CoreShowChannels"] = items("CoreShowChannel", {}, {"Channel": "x"}, good)
        server.answers["QueueStatus"] = items("QueueMember", {}, {"Queue": "sales"})
        server.answers["Status"] = items(
            "Status", {"Variable": "AVP_SESSION_0=1:{"}, {**good, "Variable": "AVP_SESSION_0=1:{}"}
        )
        client = AmiClient("127.0.0.1", server.port, "avp", server.secret)
        task = asyncio.create_task(client.run(lambda _event: None, lambda _up: None))
        await eventually(lambda: client.connected)
        performer = AmiReader(client, str)
        assert await performer.linked() == {"u1": "u0"}
        assert await performer.queues(lambda: NOW) == []
        assert await performer.variable_of_all("AVP_SESSION_0") == {"u1": "1:{}"}
        server.answers["Getvar"] = lambda action: reply(action, "Success")
        assert await performer.variables("c", ["AVP_POP"]) == {"AVP_POP": ""}
        task.cancel()
        await asyncio.wait([task])


# --- ARI -------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "bridge", "destination", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
PARTS = [
    "channel",
    "digit",
    "referred_by",
    "refer_to",
    "state",
    "requested_destination",
    "source_channel",
    "destination_channel",
    "connected_channel",
    "application",
]
ARI_EVENTS = st.builds(
    lambda kind, parts: {"type": kind, **parts},
    st.sampled_from([*from_ari.EVENT_TYPES, "", "Other"]) | JSON,
    st.dictionaries(
        st.sampled_from(PARTS), JSON | st.dictionaries(st.sampled_from(PARTS), JSON, max_size=3)
    ),
)


@given(ARI_EVENTS)
@example({"type": "StasisStart", "channel": {"id": ""}})
@example({"type": "ChannelTransfer", "referred_by": {"source_channel": {"id": "x"}, "bridge": 1}})
def test_any_ari_event_is_a_fact_or_nothing(event: Mapping[str, Any]) -> None:
    for fact in from_ari.Translator().translate(event):
        for field in fields(fact):
            value = getattr(fact, field.name)
            assert value is None or isinstance(value, bool | str | float)
        assert "" not in {getattr(fact, "id", "x"), getattr(fact, "channel", "x")}


BAD_TEXTS = [
    "", "nothing", "[]", "null", "1", '"x"', DEEP, '{"a":' * 100_000, '{"type": 1}',
    '{"type": "StasisStart"}', '{"type": "StasisStart", "channel": [1]}',
    '{"type": "StasisEnd", "channel": {"id": {"id": 1}}}', '{"type": "\\ud800"}',
    '{"n": ' + "9" * 5000 + "}", '{"x": NaN}', '{"type": "x", "type": []}',
]  # fmt: skip


async def test_the_websocket_stands_whatever_its_events_say() -> None:
    heard: list[Any] = []
    async with AriServer() as server:
        client = AriClient(server.url, "avp", server.password, "asterisk_avp")
        task = asyncio.create_task(client.run(heard.append, lambda _up: None))
        await eventually(lambda: client.connected)
        with capture_logs() as lines:
            for text in BAD_TEXTS:
                await server.last.websocket.send_str(text)
            await server.last.websocket.send_bytes(b"\xff\x00")
            await server.last.event("StasisEnd", channel={"id": "last"})
            await eventually(lambda: {"type": "StasisEnd", "channel": {"id": "last"}} in heard)
        assert len(server.sockets) == 1
        malformed = [line for line in lines if line["event"] == "ari_malformed_event"]
        assert len(malformed) == 9
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        await client.close()


async def test_an_event_that_is_no_utf8_or_too_large_costs_the_connection_only() -> None:
    heard: list[Any] = []
    async with AriServer() as server:
        client = AriClient(
            server.url, "avp", server.password, "asterisk_avp", backoff_initial_seconds=0.01
        )
        task = asyncio.create_task(client.run(heard.append, lambda _up: None))
        for number, text in enumerate(("x" * 5_000_000, None), 1):
            await eventually(lambda: client.connected)
            if text is None:
                # A text frame by hand: two bytes that are not UTF-8.
                transport = server.last.request.transport
                assert transport is not None
                transport.write(b"\x81\x02\xff\xfe")
            else:
                with contextlib.suppress(ConnectionError):  # closed before all of it was sent
                    await server.last.websocket.send_str(text)
            await eventually(lambda n=number: len(server.sockets) == n + 1)
        await eventually(lambda: client.connected)
        await server.last.event("StasisEnd", channel={"id": "last"})
        await eventually(lambda: heard == [{"type": "StasisEnd", "channel": {"id": "last"}}])
        task.cancel()
        await asyncio.wait([task])
        await client.close()


@pytest.mark.parametrize("text", [DEEP, "{", "9" * 5000, "\0"])
@pytest.mark.parametrize("status", [200, 400, 404, 500])
async def test_an_answer_that_is_no_json_is_an_error_of_ours(text: str, status: int) -> None:
    async with AriServer() as server:
        server.answers["GET", "/channels"] = Answer(status, text=text)
        rest = AriRest(server.url, "avp", server.password, timeout_seconds=20)
        try:
            with pytest.raises(Exception) as caught:
                await rest.request("GET", ["channels"])
            assert type(caught.value).__name__ in {"AriError", "AriGone", "AsteriskUnavailable"}
            assert len(str(caught.value)) < 300
            if status == 200:
                assert isinstance(caught.value, AsteriskUnavailable)
        finally:
            await rest.close()


def test_events_are_json_as_asterisk_writes_it() -> None:
    """The starting point of the fuzzing above is a valid event."""
    event = json.loads('{"type": "StasisStart", "channel": {"id": "1.1"}, "args": []}')
    assert from_ari.Translator().translate(event)[-1] == ev.StasisEntered("1.1")
