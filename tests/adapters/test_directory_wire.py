"""The directory's messages: what is written is read, and what is hostile is not."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.cluster import wire
from asterisk_avp.cluster.messages import Changes, Groups, Heartbeat, Message, Page, Told, Waits
from asterisk_avp.core.model.agent_state import AgentState
from asterisk_avp.core.model.nodes import RemoteAgent

NOW = 1_800_000_000.25
ERIN = RemoteAgent(
    node="b",
    state=AgentState.ACW,
    since=NOW - 5,
    groups=("sales", "support"),
    logged_in=("sales",),
    on_break=("sales",),
    paused=True,
    pause_reason="lunch",
    acw_end=NOW + 9,
    waiting_transfer=True,
    name="Erin Ödegård",
)
TOLD = (
    Told("1005", 7, 3, ERIN),
    Told("a.b-c_d", 0, 4, RemoteAgent("b", AgentState.OFFLINE, 0, ())),
)
MESSAGES: tuple[tuple[Message, Callable[..., Message]], ...] = (
    (Heartbeat("b", 5, NOW, 3, True, "0.9.1", "abc", {"a": True, "c": False}), wire.heartbeat),
    (Heartbeat("b", 5, NOW, 0, False, "0.9.1", "abc", {}, standby=True), wire.heartbeat),
    (Changes("b", 5, NOW, 4, TOLD, ("1003",)), wire.changes),
    (Page("b", 5, NOW, 4, TOLD, "1005"), wire.page),
    (Page("b", 5, NOW, 4, (), ""), wire.page),
    (Groups("b", 5, NOW, (Waits("sales", 2, NOW - 30), Waits("support", 0, None))), wire.groups),
)
IDS = [f"{type(message).__name__}-{n}" for n, (message, _) in enumerate(MESSAGES)]


@pytest.mark.parametrize(("message", "read"), MESSAGES, ids=IDS)
def test_what_is_written_is_read(message: Message, read: Callable[..., Message]) -> None:
    assert read("b", wire.write(message)) == message


@pytest.mark.parametrize(("message", "read"), MESSAGES, ids=IDS)
def test_unknown_fields_are_ignored(message: Message, read: Callable[..., Message]) -> None:
    body = json.loads(wire.write(message))
    body["later"] = {"version": 2}
    for agent in body.get("agents", ()):
        agent["mood"] = "fine"
    assert read("b", json.dumps(body).encode()) == message


@pytest.mark.parametrize(("message", "read"), MESSAGES, ids=IDS)
@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": True},
        {"v": None},
        {"node": "c"},
        {"epoch": -1},
        {"epoch": 1.5},
        {"epoch": 10**40},
        {"now": -1},
        {"now": 1e300},
        {"now": "today"},
    ],
    ids=str,
)
def test_a_bad_head(message: Message, read: Callable[..., Message], change: dict[str, Any]) -> None:
    body = json.loads(wire.write(message)) | change
    with pytest.raises(wire.Bad):
        read("b", json.dumps(body).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"1e999",
        b'{"v":1,"now":NaN}',
        b"[" * 100_000,
        b'{"v":' + b"9" * 5000 + b"}",
        b" " * (wire.MOST_BYTES + 1),
        '{"v":1,"node":"b\u0000"}'.encode(),
    ],
    ids=range(10),
)
@pytest.mark.parametrize("read", [wire.heartbeat, wire.changes, wire.page, wire.groups])
def test_garbage(read: Callable[..., Message], data: bytes) -> None:
    with pytest.raises(wire.Bad) as caught:
        read("b", data)
    assert len(str(caught.value)) < 60
    with pytest.raises(wire.Bad):
        wire.request(data)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "1002):System(x"},
        {"id": ""},
        {"id": ".x"},
        {"id": 1005},
        {"state": "sleeping"},
        {"state": None},
        {"since": -5},
        {"since": True},
        {"rev": -1},
        {"groups": "sales"},
        {"groups": ["a b"]},
        {"groups": ["sales"] * 101},
        {"logged_in": [None]},
        {"paused": 1},
        {"acw_end": "soon"},
    ],
    ids=str,
)
def test_an_entry_that_does_not_fit_hides_no_other(change: dict[str, Any]) -> None:
    body = json.loads(wire.write(Changes("b", 5, NOW, 4, TOLD, ())))
    body["agents"][0] |= change
    read = wire.changes("b", json.dumps(body).encode())
    assert (read.agents, read.refused) == (TOLD[1:], 1)


def test_names_that_are_not_clean_are_not_shown() -> None:
    body = json.loads(wire.write(Changes("b", 5, NOW, 4, TOLD, ())))
    body["agents"][0] |= {"name": "${SHELL(x)}", "reason": "a\r\nb"}
    (erin, _) = wire.changes("b", json.dumps(body).encode()).agents
    assert (erin.agent.name, erin.agent.pause_reason) == ("", "")


@pytest.mark.parametrize("many", [wire.PAGE + 1])
def test_lists_have_a_limit(many: int) -> None:
    body = json.loads(wire.write(Changes("b", 5, NOW, 4, TOLD, ())))
    for lists in ({"agents": body["agents"][:1] * many}, {"gone": ["1005"] * many}):
        with pytest.raises(wire.Bad):
            wire.changes("b", json.dumps(body | lists).encode())


def test_the_request_of_a_page() -> None:
    for after in ("", "1005", "a.b"):
        assert wire.request(wire.write_request(after)) == after
    with pytest.raises(wire.Bad):
        wire.request(b'{"v":1,"after":"*"}')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
FIELDS = ("v", "node", "epoch", "now", "seq", "ready", "agents", "gone", "next", "groups", "trunks")


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_nothing_but_bad_is_raised(changed: dict[str, Any]) -> None:
    for message, read in MESSAGES:
        body = json.dumps(json.loads(wire.write(message)) | changed).encode()
        with contextlib.suppress(wire.Bad):
            assert read("b", body).node == "b"
