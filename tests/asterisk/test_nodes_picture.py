"""The further checks of the random histories on two nodes: each fault is detected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from bed.queuelog import Row

from tests.asterisk import books
from tests.asterisk.nodes_picture import NodesPicture
from tests.asterisk.picture import Line

T = "0123456789ab"
HOMES = {"caller1": "a", "1001": "a", "1002": "a", "1003": "b", "1004": "b", "pstn": "a"}
CALLERS = {"caller1"}


def there(node: str, name: str, bridge: str = "", **more: Any) -> Line:
    application = "Queue" if name.startswith("caller") else "AppQueue"
    return Line(f"PJSIP/{name}-1", f"{node}-{name}", "Up", application, bridge, node=node, **more)


def leg(call: str, bridge_a: str, bridge_b: str) -> tuple[Line, Line]:
    """A call from node a to node b."""
    return (
        replace(there("a", f"avp-node-b-{call}", bridge_a), trunk=call, anchor=True),
        replace(there("b", f"avp-node-a-{call}", bridge_b), trunk=call),
    )


def agent(state: str) -> dict[str, Any]:
    return {"state": state, "waiting_transfer": False}


def transfer(state: str = "consulting") -> dict[str, Any]:
    parties = [{"id": "1001", "role": "transferor"}, {"id": "1003", "role": "target"}]
    return {
        "id": T,
        "agent": "1001",
        "caller": "caller1",
        "state": state,
        "ended_reason": None,
        "parties": parties,
    }


def picture(*lines: Line, **more: Any) -> NodesPicture:
    agents = {name: agent("talking") for name in HOMES if name.startswith("1")}
    known: dict[str, Any] = {
        "lines": lines,
        "members": (),
        "entries": (),
        "transfers": (),
        "agents": agents,
        "details": {},
        "calls": dict.fromkeys(HOMES, ()),
        "heard": {},
        "homes": HOMES,
        "told_agents": {"a": agents, "b": agents},
        "told_transfers": {"a": {}, "b": {}},
    }
    return NodesPicture(**known | more)


def test_who_is_with_whom_on_another_node() -> None:
    seen = picture(there("a", "caller1", "x"), there("b", "1003", "y"), *leg("one", "x", "y"))
    assert seen.company("caller1") == {"1003"}
    assert [*seen._legs()] == []


def test_channels_of_one_name_on_two_nodes_are_two() -> None:
    halves = [
        Line(f"Local/1@x-1;{half}", f"{node}{half}", "Up", "", f"{node}{half}", node=node)
        for node in "ab"
        for half in "12"
    ]
    phones = there("a", "1001", "a1"), there("b", "1003", "b2")
    assert picture(*halves, *phones).company("1001") == set()


def test_a_leg_for_each_party_elsewhere() -> None:
    """A conference of three agents on another node has three; one agent has one."""
    legs = (*leg("one", "x", "y"), *leg("two", "x", "z"))
    two = (there("b", "1003", "y"), there("b", "1004", "z"))
    assert [*picture(there("a", "caller1", "x"), *two, *legs)._legs()] == []
    round_about = (*leg("one", "x", "y"), *leg("two", "w", "y"), there("a", "1002", "w"))
    found = [*picture(there("a", "caller1", "x"), *round_about)._legs()]
    assert found == ["['1002', 'caller1'] are connected by 2 calls between nodes"]


def test_a_chain_of_nodes() -> None:
    """Each made a call to the other: the caller has left their node."""
    back = replace(there("b", "avp-node-a-2", "y"), trunk="two", anchor=True)
    end = replace(there("a", "avp-node-b-2", "z"), trunk="two")
    lines = (*leg("one", "x", "y"), back, end, there("a", "1002", "z"), there("a", "caller1", "x"))
    assert "connected by 2 calls from ['a', 'b']" in " ".join(picture(*lines)._legs())


def test_half_a_leg() -> None:
    (found,) = picture(leg("one", "x", "y")[0])._legs()
    assert found == "['PJSIP/avp-node-b-one-1'] is one end of a call between nodes"


@pytest.mark.parametrize(("state", "shared"), [("conference", 0), ("consulting", 1), (None, 1)])
def test_two_agents_with_one_caller(state: str | None, shared: int) -> None:
    lines = (there("a", "caller1", "x"), there("a", "1001", "x"), there("b", "1003", "y"))
    running = () if state is None else (transfer(state),)
    seen = picture(*lines, *leg("one", "x", "y"), transfers=running)
    assert len([*seen._shared_callers(CALLERS)]) == shared


def test_an_agent_with_two_calls() -> None:
    calls = dict.fromkeys(HOMES, ()) | {"1003": ("established", "established")}
    assert [*picture(calls=calls)._two_calls()] == ["1003 has 2 calls"]


def test_an_agent_who_is_told_otherwise_elsewhere() -> None:
    seen = picture()
    other = {**seen.agents, "1003": agent("available")}
    told = replace(seen, told_agents={"a": other, "b": seen.agents})
    assert [*told._agents_are_told_alike()] == [
        "a says of 1003 at b: {'state': ('talking', 'available')}"
    ]
    assert [*seen._agents_are_told_alike()] == []


def test_a_transfer_that_is_told_otherwise_elsewhere() -> None:
    running = picture(transfers=(transfer(),))
    known = {"a": {T: transfer()}, "b": {T: transfer()}}
    assert [*replace(running, told_transfers=known)._transfers_are_told_alike()] == []
    late = {**known, "b": {T: transfer("ringing")}}
    assert len([*replace(running, told_transfers=late)._transfers_are_told_alike()]) == 1
    assert [*replace(running, told_transfers=known | {"b": {}})._transfers_are_told_alike()]
    (left,) = replace(picture(), told_transfers=known | {"a": {}})._transfers_are_told_alike()
    assert left == f"b says transfer {T} is consulting; it is over"


def row(event: str, agent: str = "NONE", queue: str = "sales", call: str = "1.1") -> Row:
    return Row(0, call, queue, agent, event, ())


def test_the_books_of_a_call() -> None:
    good = [row("ENTERQUEUE"), row("CONNECT", "Bob"), row("COMPLETEAGENT", "Bob")]
    assert [*books.wrong(good)] == []
    # A caller takes the place of their consult leg, whose id the first rows have.
    assert [*books.wrong([*good[:2], replace(good[2], call="2.2")])] == []
    assert [*books.wrong(good[:1])] == ["1 calls too many entered sales"]
    assert len([*books.wrong(good[:2])]) == 2
    assert len([*books.wrong([*good, good[2]])]) == 2
    # Another program has taken the caller to the next queue.
    assert [*books.wrong([*good[:2], *good, good[2]])] == []
