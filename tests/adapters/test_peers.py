"""Two daemons that speak to each other: slots, requests, events, and what is hostile or dead."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from servers.two_nodes import INTEGRATION, TOKENS, WITHIN, Node, TwoNodes, two_nodes
from servers.waiting import eventually

from asterisk_avp.core.engine.reservations import SECONDS
from asterisk_avp.core.messages.remote import NodeCall
from asterisk_avp.core.model.world import AgentState
from asterisk_avp.service.node_door import NodeDoor
from asterisk_avp.service.trunk_watch import CALL, LEG

SLOTS = "/v1/cluster/slots"
TRANSFERS = "/v1/cluster/transfers"


@pytest.fixture
async def nodes() -> AsyncIterator[TwoNodes]:
    async with two_nodes() as found:
        yield found


def slot(transfer: str = "t1", agent: str = "1003", anchor: str = "a", **more: Any) -> Any:
    wanted = {"version": 1, "agent": agent, "transfer": transfer, "anchor": anchor}
    return {**wanted, "consult": True, "hold_seconds": 60, **more}


def forwarded(agent: str = "1003", target: str = "1004", **more: Any) -> Any:
    return {
        "version": 1,
        "agent": agent,
        "mode": "supervised",
        "target": {"kind": "agent", "value": target},
        "call": "x",
        "brought_by": "t0",
        **more,
    }


def to(agent: str, mode: str = "supervised") -> Any:
    return {"mode": mode, "target": {"kind": "agent", "id": agent}}


# --- slots ----------------------------------------------------------------------------------------


async def test_one_of_many_requests_gets_the_slot(nodes: TwoNodes) -> None:
    asked = [nodes.b.ask("POST", SLOTS, slot(f"t{n}"), TOKENS["a"]) for n in range(8)]
    found = await asyncio.gather(*asked)
    assert sorted(status for status, _ in found) == [201, *[409] * 7]
    assert {body.get("reason") for status, body in found if status == 409} == {"target_queue_full"}
    assert nodes.b.engine.slot_taken("1003")
    assert (await nodes.b.ask("GET", "/v1/agents/1003"))[1]["waiting_transfer"]


async def test_a_slot_is_idempotent_by_transfer_and_can_be_given_back(nodes: TwoNodes) -> None:
    _, first = await nodes.b.ask("POST", SLOTS, slot(), TOKENS["a"])
    status, again = await nodes.b.ask("POST", SLOTS, slot(new_field=1), TOKENS["a"])
    assert (status, again) == (201, first)
    # Another node cannot give it back.
    await nodes.b.ask("DELETE", f"{SLOTS}/{first['token']}", token=TOKENS["c"])
    assert nodes.b.engine.slot_taken("1003")
    status, _ = await nodes.b.ask("DELETE", f"{SLOTS}/{first['token']}", token=TOKENS["a"])
    assert status == 204
    assert not nodes.b.engine.slot_taken("1003")
    assert (await nodes.b.ask("POST", SLOTS, slot("t2"), TOKENS["a"]))[0] == 201


async def test_a_slot_lapses(nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asterisk_avp.core.engine.elsewhere.SECONDS", 2.0)
    assert SECONDS == 10.0
    await nodes.b.ask("POST", SLOTS, slot(), TOKENS["a"])
    assert nodes.b.engine.slot_taken("1003")
    await eventually(lambda: not nodes.b.engine.slot_taken("1003"), WITHIN)


async def test_the_call_uses_it_up(nodes: TwoNodes) -> None:
    await nodes.b.ask("POST", SLOTS, slot(), TOKENS["a"])
    call = NodeCall("u-1", "1003", "avp-agent-1003", "t1", "a", "u-2", "sales", "", "1")
    nodes.b.post(call)
    assert not nodes.b.engine.elsewhere.slots.taken("1003")
    # Until app_queue has reported it, nobody else gets in between.
    assert nodes.b.engine.slot_taken("1003")


async def test_the_homes_own_requests_see_it_as_taken(nodes: TwoNodes) -> None:
    call = nodes.b.pbx.offer("1004", "sales")
    nodes.b.pbx.answer(call)
    service = nodes.b.daemon.transfer_service
    await eventually(lambda: service.agent("1004").call is not None, WITHIN)
    await nodes.b.ask("POST", SLOTS, slot(), TOKENS["a"])
    status, body = await nodes.b.ask("POST", "/v1/agents/1004/transfers", to("1003"))
    assert (status, body["reason"]) == (403, "target_queue_full")


async def test_reasons_are_those_of_policy_at_home(nodes: TwoNodes) -> None:
    for agent, reason in (("1001", "unknown_target"), ("7777", "unknown_target")):
        status, body = await nodes.b.ask("POST", SLOTS, slot(agent=agent), TOKENS["a"])
        assert (status, body["reason"]) == (409, reason)
    nodes.b.pbx.pause("1003", paused=True)
    paused = AgentState.NOT_READY
    await eventually(lambda: nodes.b.daemon.transfer_service.agent("1003").state is paused, WITHIN)
    _, body = await nodes.b.ask("POST", SLOTS, slot(), TOKENS["a"])
    assert body["reason"] == "target_not_ready"


async def test_the_anchor_asks_before_it_decides(nodes: TwoNodes) -> None:
    """What the home refuses is the answer to the agent; the picture says nothing yet."""
    call = nodes.a.pbx.offer("1001", "sales")
    nodes.a.pbx.answer(call)
    service = nodes.a.daemon.transfer_service
    await eventually(lambda: service.agent("1001").call is not None, WITHIN)
    await nodes.b.ask("POST", SLOTS, slot("another", anchor="c"), TOKENS["c"])
    status, body = await nodes.a.ask("POST", "/v1/agents/1001/transfers", to("1003"))
    assert (status, body["reason"]) == (403, "target_queue_full")
    assert nodes.a.engine.store.running() == 0
    # Of two requests of the anchor's own, too.
    assert not nodes.a.engine.elsewhere._held


async def test_a_refused_decision_gives_it_back(nodes: TwoNodes) -> None:
    call = nodes.a.pbx.offer("1001", "sales")
    nodes.a.pbx.answer(call)
    service = nodes.a.daemon.transfer_service
    await eventually(lambda: service.agent("1001").call is not None, WITHIN)
    asked = asyncio.Event()
    original = service._engine.request

    def refuse(*_: Any) -> Any:
        assert nodes.b.engine.slot_taken("1003")
        asked.set()
        service._engine.request = original
        nodes.a.sees("1003", "b", paused=True)
        return original(*_)

    service._engine.request = refuse
    status, body = await nodes.a.ask("POST", "/v1/agents/1001/transfers", to("1003"))
    assert asked.is_set()
    assert (status, body["reason"]) == (403, "target_not_ready")
    await eventually(lambda: not nodes.b.engine.slot_taken("1003"), WITHIN)


async def test_a_dead_home_does_not_hinder_the_transfer(nodes: TwoNodes) -> None:
    call = nodes.a.pbx.offer("1001", "sales")
    nodes.a.pbx.answer(call)
    service = nodes.a.daemon.transfer_service
    await eventually(lambda: service.agent("1001").call is not None, WITHIN)
    await nodes.b.stop()
    async with asyncio.timeout(20):
        status, _ = await nodes.a.ask("POST", "/v1/agents/1001/transfers", to("1003"))
    assert status == 201


# --- tokens and garbage ---------------------------------------------------------------------------


async def test_tokens_are_for_one_side_only(nodes: TwoNodes) -> None:
    _, found = await nodes.b.ask("POST", "/v1/login", {"agent": "1003", "pin": "1003"})
    for token in (INTEGRATION, found["token"], TOKENS["b"], "wrong", "", "ü"):
        status, _ = await nodes.b.ask("GET", TRANSFERS, token=token)
        assert status == 401
    for path in ("/v1/agents", "/v1/transfers"):
        assert (await nodes.b.ask("GET", path, token=TOKENS["a"]))[0] == 401
    assert (await nodes.b.ask("GET", TRANSFERS, token=TOKENS["a"]))[0] == 200
    assert (await nodes.b.ask("POST", "/v1/cluster/nothing", {}, TOKENS["a"]))[0] == 404
    described = (await nodes.b.ask("GET", "/openapi.json"))[1]
    assert not [path for path in described["paths"] if "cluster" in path]


GARBAGE = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b"[" * 50_000,
    json.dumps(slot(version=2)).encode(),
    json.dumps(slot(agent="1003@x")).encode(),
    json.dumps(slot(transfer="a b")).encode(),
    json.dumps(slot(hold_seconds=-1)).encode(),
    json.dumps(slot(hold_seconds=True)).encode(),
]


async def test_garbage(nodes: TwoNodes) -> None:
    for body in GARBAGE:
        for path in (SLOTS, TRANSFERS, f"{TRANSFERS}/t1/events", f"{TRANSFERS}/t1/parties"):
            status, _ = await nodes.b.ask("POST", path, body or b" ", TOKENS["a"])
            assert status == 422, (path, body[:50])
    assert not nodes.b.engine.slot_taken("1003")


async def test_a_node_asks_for_itself_only(nodes: TwoNodes) -> None:
    status, _ = await nodes.b.ask("POST", SLOTS, slot(anchor="c"), TOKENS["a"])
    assert status == 403
    await nodes.brought()
    # Node c has no agent 1003, and 1001 is at home at a itself.
    for token, agent in ((TOKENS["c"], "1003"), (TOKENS["b"], "1001"), (TOKENS["b"], "9")):
        status, _ = await nodes.a.ask("POST", TRANSFERS, forwarded(agent), token)
        assert status == 403
    assert nodes.a.engine.store.running() == 0


async def test_an_agent_of_another_node_has_only_the_calls_sent_to_them(nodes: TwoNodes) -> None:
    """A call of a colleague's at the anchor cannot be had by naming its channel."""
    call = nodes.a.pbx.offer("1001", "sales")
    nodes.a.pbx.answer(call)
    service = nodes.a.daemon.transfer_service
    await eventually(lambda: service.agent("1001").call is not None, WITHIN)
    body = forwarded(call=call.caller.id)
    status, body = await nodes.a.ask("POST", TRANSFERS, body, TOKENS["b"])
    assert (status, body["reason"]) == (409, "no_active_call")


async def test_no_external_number_past_the_policy(nodes: TwoNodes) -> None:
    await nodes.brought()
    for mode, value, reason in (
        ("supervised", "+12025550199", "external_disabled"),
        ("unsupervised", "+12025550199", "unsupervised_external"),
        ("supervised", "PJSIP/x@trunk", "external_disabled"),
    ):
        wanted = forwarded(mode=mode) | {"target": {"kind": "number", "value": value}}
        status, body = await nodes.a.ask("POST", TRANSFERS, wanted, TOKENS["b"])
        assert (status, body.get("reason")) == (409, reason), body
    # As an agent's or a group's id it is no such.
    for kind in ("agent", "group", "preset"):
        wanted = forwarded() | {"target": {"kind": kind, "value": "+12025550199"}}
        status, _ = await nodes.a.ask("POST", TRANSFERS, wanted, TOKENS["b"])
        assert status in (409, 422)
    assert nodes.a.engine.store.running() == 0


# --- requests of agents who are at home elsewhere -------------------------------------------------


async def test_a_second_transfer_is_made_at_the_anchor(nodes: TwoNodes) -> None:
    caller, leg, _, _ = await nodes.brought()
    status, made = await nodes.b.ask("POST", "/v1/agents/1003/transfers", to("1002"))
    assert status == 201, made
    assert (made["agent"], made["target"]) == ("1003", {"kind": "agent", "id": "1002"})
    transfer = made["id"]
    running = nodes.a.engine.store.records[transfer].session
    assert (running.caller.channel, running.transferor.channel) == (caller.id, leg.id)
    assert nodes.b.engine.store.running() == 0

    async def shown(state: str) -> None:
        end = asyncio.get_running_loop().time() + WITHIN
        while True:
            call = await nodes.b.call_of("1003")
            if call is not None and call["transfer"] and call["transfer"]["state"] == state:
                return
            assert asyncio.get_running_loop().time() < end, call
            await asyncio.sleep(0.01)

    await shown("consulting")
    call = await nodes.b.call_of("1003")
    assert call["on_hold"]
    assert "complete" in call["transfer"]["actions"]
    # The commands go to the anchor as well.
    status, answered = await nodes.b.ask("POST", f"/v1/transfers/{transfer}/swap")
    assert (status, answered["state"]) == (200, "swapped")
    await shown("swapped")
    status, _ = await nodes.b.ask("POST", f"/v1/transfers/{transfer}/swap")
    status, body = await nodes.b.ask("POST", f"/v1/transfers/{transfer}/conference")
    assert (status, body["reason"]) == (403, "conference_disabled")
    status, _ = await nodes.b.ask("POST", f"/v1/transfers/{transfer}/complete")
    assert status == 200
    await eventually(lambda: leg.id not in nodes.a.pbx.channels, WITHIN)
    told = nodes.b.engine.elsewhere.told
    await eventually(lambda: told.get(transfer).view.state.final, WITHIN)
    _, history = await nodes.b.ask("GET", "/v1/agents/1003/transfers")
    assert [(x["id"], x["state"]) for x in history] == [(transfer, "completed")]


async def test_a_cancelled_one_returns_the_caller(nodes: TwoNodes) -> None:
    caller, leg, _, _ = await nodes.brought()
    _, made = await nodes.b.ask("POST", "/v1/agents/1003/transfers", to("1002"))
    status, _ = await nodes.b.ask("POST", f"/v1/transfers/{made['id']}/cancel")
    assert status == 200
    await eventually(lambda: nodes.a.pbx.peer(caller) is leg, WITHIN)
    told = nodes.b.engine.elsewhere.told
    await eventually(lambda: told.get(made["id"]).view.state.final, WITHIN)
    call = await nodes.b.call_of("1003")
    assert (call["transfer"], call["consult"], call["on_hold"]) == (None, None, False)
    # And again, as often as the agent likes.
    status, _ = await nodes.b.ask("POST", "/v1/agents/1003/transfers", to("1002"))
    assert status == 201


async def test_a_refusal_of_the_anchor_is_the_agents_answer(nodes: TwoNodes) -> None:
    await nodes.brought()
    nodes.a.pbx.pause("1002", paused=True)
    service = nodes.a.daemon.transfer_service
    await eventually(lambda: service.agent("1002").paused, WITHIN)
    status, body = await nodes.b.ask(
        "POST", "/v1/agents/1003/transfers", to("1002"), **{"Accept-Language": "de"}
    )
    assert (status, body["reason"]) == (403, "target_not_ready")
    assert "Pause" in body["message"]


async def test_the_callers_key_makes_it_once(nodes: TwoNodes) -> None:
    await nodes.brought()
    key = {"Idempotency-Key": "k" * 20}
    asked = [nodes.a.ask("POST", TRANSFERS, forwarded(target="1002"), TOKENS["b"], **key)] * 1
    first = await asked[0]
    again = await nodes.a.ask("POST", TRANSFERS, forwarded(target="1002"), TOKENS["b"], **key)
    assert first[0] == again[0] == 201
    assert first[1] == again[1]
    other = await nodes.a.ask("POST", TRANSFERS, forwarded(target="1001"), TOKENS["b"], **key)
    assert other[0] == 422
    assert nodes.a.engine.store.running() == 1


async def test_a_dead_anchor_is_a_clear_refusal(nodes: TwoNodes) -> None:
    _, _, incoming, phone = await nodes.brought()
    await nodes.a.stop()
    async with asyncio.timeout(20):
        status, body = await nodes.b.ask("POST", "/v1/agents/1003/transfers", to("1004"))
    assert (status, body["error"]) == (503, "node_unavailable")
    assert "Node a" in body["message"]
    assert nodes.b.pbx.peer(incoming) is phone
    # The next ones do not wait: the circuit is open.
    for _ in range(2):
        status, _ = await nodes.b.ask("POST", "/v1/agents/1003/transfers", to("1004"))
        assert status == 503
    assert nodes.b.daemon.transfer_service._anchors.peers.away("a")


async def test_an_api_names_the_node_of_an_agent_without_a_call_here(nodes: TwoNodes) -> None:
    status, body = await nodes.a.ask("POST", "/v1/agents/1003/transfers", to("1002"))
    assert (status, body["reason"]) == (403, "no_active_call")
    # Where the call is anchored here, this node decides.
    await nodes.brought()
    status, _ = await nodes.a.ask("POST", "/v1/agents/1003/transfers", to("1002"))
    assert status == 201


# --- screens --------------------------------------------------------------------------------------


async def test_the_consulted_agent_sees_who_asks(nodes: TwoNodes) -> None:
    await nodes.brought(consult=True)
    call = await nodes.b.call_of("1003")
    assert call["consult"]["agent"] == "1001"
    assert call["pop"] == {}
    targets = (await nodes.b.ask("GET", "/v1/agents/1003/targets"))[1]
    assert targets["my_agent_groups"] == []


@pytest.mark.parametrize("consult", [False, True])
async def test_a_ring_is_told_by_the_daemons(
    nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch, consult: bool
) -> None:
    """The 180 may be lost (`core.engine.remote_calls`)."""
    told: list[tuple[str, str, str, bool, bool]] = []
    heard = NodeDoor.rings

    def door(self: NodeDoor, *of: str, rings: bool, consult: bool) -> None:
        node, transfer, agent = of
        told.append((node, transfer, agent, rings, consult))
        heard(self, node, transfer, agent, rings=rings, consult=consult)

    monkeypatch.setattr(NodeDoor, "rings", door)
    await nodes.brought(consult=consult)
    await eventually(lambda: ("b", "t0", "1003", True, consult) in told, WITHIN)


async def test_the_pop_comes_by_the_daemons(nodes: TwoNodes) -> None:
    changes = nodes.b.daemon.transfer_service.subscribe()
    here = nodes.a.daemon.transfer_service.subscribe()
    _, _, incoming, _ = await nodes.brought()
    found: list[Any] = []

    def pops() -> list[Any]:
        while not changes.empty():
            event = changes.get_nowait()
            if event["type"] == "pop":
                found.append(event)
        return found

    await eventually(lambda: len(pops()) >= 1, WITHIN)
    (pop,) = found
    assert (pop["agent"], pop["state"]) == ("1003", "delivered")
    assert pop["pop"]["data"] == {"customer": "C-7"}
    assert pop["pop"]["caller"]["number"] == "+12025550123"
    assert pop["pop"]["id"] == incoming.id
    call = await nodes.b.call_of("1003")
    assert call["pop"]["data"] == {"customer": "C-7"}
    events = []
    while not here.empty():
        events.append(here.get_nowait())
    assert not [event for event in events if event["type"] == "pop"]


def pop_event(seq: int = 1, **pop: Any) -> Any:
    shown = {
        "id": "u-1",
        "data": {"a": 1},
        "caller": {"number": "1", "number_formatted": "1", "name": "x", "withheld": False},
        "group": "sales",
        "waited_seconds": 3,
        "transfers": [],
        "note": "",
        "url": None,
        **pop,
    }
    return {"version": 1, "seq": seq, "pop": {"agent": "1003", "state": "delivered", "pop": shown}}


UNUSABLE: list[Any] = [
    {"data": {"a": "x" * 70_000}},
    {"data": {str(n): n for n in range(3_000)}},
    {"data": json.loads("[" * 30 + "]" * 30)},
    {"data": []},
    {"url": "javascript:alert(1)"},
    {"url": "https://x/\n"},
    {"id": "../x"},
    {"caller": None},
    {"transfers": [1]},
    {"waited_seconds": "x"},
]


async def test_pops_that_no_call_has(nodes: TwoNodes) -> None:
    changes = nodes.b.daemon.transfer_service.subscribe()
    path = f"{TRANSFERS}/t1/events"
    for pop in UNUSABLE:
        status, _ = await nodes.b.ask("POST", path, pop_event(**pop), TOKENS["a"])
        assert status == 422, pop
    while not changes.empty():
        assert changes.get_nowait()["type"] != "pop"


async def test_a_pop_of_any_size_that_calls_have_arrives_once(nodes: TwoNodes) -> None:
    changes = nodes.b.daemon.transfer_service.subscribe()
    path, wanted = f"{TRANSFERS}/t1/events", pop_event(data={"a": "ü" * 8_000, "b": "\ud800"})
    for seq, expected in ((5, 1), (5, 0), (4, 0), (6, 1)):
        wanted["seq"] = seq
        assert (await nodes.b.ask("POST", path, wanted, TOKENS["a"]))[0] == 204
        events = []
        while not changes.empty():
            events.append(changes.get_nowait())
        assert len([event for event in events if event["type"] == "pop"]) == expected
    wanted["pop"]["agent"] = "1001"
    assert (await nodes.b.ask("POST", path, wanted, TOKENS["a"]))[0] == 403
    assert (await nodes.b.ask("POST", path, b"x" * 200_000, TOKENS["a"]))[0] == 413


async def test_another_nodes_transfer_is_nobody_elses_to_tell(nodes: TwoNodes) -> None:
    await nodes.brought()
    _, made = await nodes.b.ask("POST", "/v1/agents/1003/transfers", to("1002"))
    told = nodes.b.engine.elsewhere.told
    await eventually(lambda: told.get(made["id"]) is not None, WITHIN)
    _, all_of_them = await nodes.a.ask("GET", TRANSFERS, token=TOKENS["b"])
    (event,) = all_of_them["events"]
    event["seq"] = 2**62
    path = f"{TRANSFERS}/{made['id']}/events"
    assert (await nodes.b.ask("POST", path, event, TOKENS["c"]))[0] == 403
    assert (await nodes.b.ask("POST", f"{TRANSFERS}/x/events", event, TOKENS["a"]))[0] == 422
    # A node's own transfers are not told to it.
    assert (await nodes.a.ask("POST", path, event, TOKENS["b"]))[0] == 403


async def test_a_daemon_that_starts_asks_for_what_runs(nodes: TwoNodes) -> None:
    from asterisk_avp.core.messages.remote import NodeBack

    await nodes.brought()
    _, made = await nodes.b.ask("POST", "/v1/agents/1003/transfers", to("1002"))
    told = nodes.b.engine.elsewhere.told
    await eventually(lambda: told.get(made["id"]) is not None, WITHIN)
    told.drop(made["id"])
    nodes.b.post(NodeBack("a"))
    await eventually(lambda: told.get(made["id"]) is not None, WITHIN)


async def test_a_call_to_a_group_is_whose_who_answers(nodes: TwoNodes) -> None:
    """The anchor learns it from the agent's node, and has the call and its pop for them."""
    changes = nodes.b.daemon.transfer_service.subscribe()
    _, leg, _, _ = await nodes.brought("1004", group=True)
    found: list[Any] = []

    def pops() -> list[Any]:
        while not changes.empty():
            found.append(changes.get_nowait())
        return [event for event in found if event["type"] == "pop"]

    await eventually(pops, WITHIN)
    assert pops()[0]["agent"] == "1004"
    assert nodes.a.engine.elsewhere.trunks.agent_of(leg.id) == "1004"
    status, _ = await nodes.b.ask("POST", "/v1/agents/1004/transfers", to("1002"))
    assert status == 201


async def test_a_daemon_that_has_just_begun_refuses_nothing_for_what_it_does_not_know(
    nodes: TwoNodes,
) -> None:
    """A standby takes over: other nodes' requests wait until it has read Asterisk's state."""
    sync = nodes.b.daemon._sync
    sync.synced = False
    asked = [
        asyncio.create_task(nodes.b.ask("POST", SLOTS, slot(), TOKENS["a"])),
        asyncio.create_task(nodes.b.ask("GET", TRANSFERS, token=TOKENS["a"])),
    ]
    assert (await nodes.b.ask("GET", "/readyz"))[0] == 503
    assert not any(each.done() for each in asked)
    sync.synced = True
    assert [status for status, _ in await asyncio.gather(*asked)] == [201, 200]


async def test_a_daemon_that_does_not_know_asterisk_says_so(
    nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asterisk_avp.service.across.SETTLE_SECONDS", 0.05)
    nodes.b.daemon._sync.synced = False
    status, body = await nodes.b.ask("POST", SLOTS, slot(), TOKENS["a"])
    assert (status, body["error"]) == (503, "asterisk_unavailable")
    nodes.b.daemon._sync.synced = True


async def test_a_daemon_is_ready_when_it_knows_the_trunks_channels(nodes: TwoNodes) -> None:
    """What other nodes ask about these calls is not refused meanwhile."""
    _, leg, incoming, _ = await nodes.brought()
    _, made = await nodes.b.ask("POST", "/v1/agents/1003/transfers", to("1002"))
    await eventually(lambda: nodes.b.engine.elsewhere.told.get(made["id"]) is not None, WITHIN)
    leg.variables |= dict(zip(LEG, ("1003", "avp-node-b", "t0"), strict=True))
    call = ("1003", "avp-agent-1003", "t0", "avp-node-a", "x", "sales", "", "1001")
    incoming.variables |= dict(zip(CALL, call, strict=True))
    found: dict[str, list[tuple[bool, ...]]] = {"a": [], "b": []}
    for node in (nodes.a, nodes.b):
        elsewhere, sync = node.engine.elsewhere, node.daemon._sync
        for channel in (*elsewhere.trunks.legs, *elsewhere.trunks.calls):
            elsewhere.trunks.gone(channel)
        elsewhere.told.drop(made["id"])
        changed = sync._changed

        def note(node: Node = node, changed: Callable[[], None] = changed) -> None:
            if node.daemon._sync.synced:
                known = node.engine.elsewhere
                told = known.told.get(made["id"]) is not None
                found[node.name].append((bool(known.trunks.legs or known.trunks.calls), told))
            changed()

        sync._changed = note
        sync.read_all()
        await eventually(lambda node=node: bool(found[node.name]), WITHIN)
    assert found["a"][0][0]
    assert found["b"][0] == (True, True)
