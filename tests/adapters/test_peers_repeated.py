"""Requests of agents that another node decides: repeated, lost, audited and counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from servers.losing_relay import LosingRelay
from servers.two_nodes import TOKENS, WITHIN, Node, TwoNodes, two_nodes
from servers.waiting import eventually
from structlog.testing import capture_logs

TRANSFERS = "/v1/cluster/transfers"
KEY = {"Idempotency-Key": "k" * 20}


@pytest.fixture
async def nodes() -> AsyncIterator[TwoNodes]:
    async with two_nodes() as found:
        yield found


def to(agent: str, mode: str = "supervised") -> Any:
    return {"mode": mode, "target": {"kind": "agent", "id": agent}}


def begun(node: Node) -> list[Any]:
    return list(node.engine.store.records.values())


# --- once -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["supervised", "unsupervised"])
async def test_a_repetition_after_the_homes_daemon_was_started_again(
    nodes: TwoNodes, mode: str
) -> None:
    """It gets the first answer, also where the agent has the call no more. None is made twice."""
    _, leg, incoming, phone = await nodes.brought()
    path = "/v1/agents/1003/transfers"
    first = await nodes.b.ask("POST", path, to("1002", mode), **KEY)
    assert first[0] == 201, first
    if mode == "unsupervised":
        nodes.b.pbx.hang_up(phone)
        await eventually(lambda: not nodes.b.daemon.transfer_service.agent("1003").calls, WITHIN)
    else:
        incoming.variables |= nodes.left("1003", leg)
    await nodes.restart("b")
    if mode == "supervised":
        service = nodes.b.daemon.transfer_service
        await eventually(lambda: service.agent("1003").call is not None, WITHIN)

    again = await nodes.b.ask("POST", path, to("1002", mode), **KEY)

    assert (again[0], again[1]["id"]) == (201, first[1]["id"]), again
    assert len(begun(nodes.a)) == 1
    other = {"Idempotency-Key": "o" * 20}
    status, body = await nodes.b.ask("POST", path, to("1002", mode), **other)
    expected = "no_active_call" if mode == "unsupervised" else "already_transferring"
    assert (status, body["reason"]) == (403, expected)


async def test_a_refusal_is_repeated_as_well(nodes: TwoNodes) -> None:
    await nodes.brought()
    path, wanted = "/v1/agents/1003/transfers", to("7777")
    first = await nodes.b.ask("POST", path, wanted, **KEY)
    assert (first[0], first[1]["reason"]) == (403, "unknown_target")


async def test_lost_answers_make_no_second_transfer() -> None:
    async with LosingRelay() as line, two_nodes(AVP_NODES__A__URL=line.url) as nodes:
        line.port = int(nodes.a.url.rpartition(":")[2])
        await nodes.brought()
        line.requests.clear()
        line.path, line.lost = b"/v1/cluster/transfers HTTP", 2
        status, made = await nodes.b.ask("POST", "/v1/agents/1003/transfers", to("1002"))
        assert status == 201, made
        asked = [x for x in line.requests if x.startswith(b"POST /v1/cluster/transfers ")]
        assert len(asked) == 3
        assert [x.session.id for x in begun(nodes.a)] == [made["id"]]
        # The commands, too: a second swap would have gone back.
        service = nodes.a.daemon.transfer_service
        reached = lambda state: service.transfer(made["id"]).state == state  # noqa: E731
        await eventually(lambda: reached("consulting"), WITHIN)
        line.path, line.lost = f"/v1/cluster/transfers/{made['id']}/swap".encode(), 1
        status, answer = await nodes.b.ask("POST", f"/v1/transfers/{made['id']}/swap")
        assert (status, answer["state"]) == (200, "swapped")


async def test_the_keys_of_a_whole_node_are_kept(nodes: TwoNodes) -> None:
    """Not of one agent: a thousand agents ask by the same token."""
    await nodes.brought()
    body = {
        "version": 1,
        "agent": "1003",
        "mode": "supervised",
        "call": "x",
        "brought_by": "t0",
        "target": {"kind": "agent", "value": "7777"},
    }

    async def ask(number: int) -> Any:
        key = {"Idempotency-Key": f"key-of-a-request-{number}"}
        return await nodes.a.ask("POST", TRANSFERS, body, TOKENS["b"], **key)

    first = await ask(0)
    for number in range(1, 120):
        await ask(number)
    found = await nodes.a.ask("GET", "/v1/cluster/requests/key-of-a-request-0", token=TOKENS["b"])
    assert found == (200, {"status": first[0], "answer": first[1]})
    # Another node is not told.
    status, _ = await nodes.a.ask(
        "GET", "/v1/cluster/requests/key-of-a-request-0", token=TOKENS["c"]
    )
    assert status == 404


# --- audit and metrics ----------------------------------------------------------------------------


async def test_both_nodes_have_it_in_their_audit(nodes: TwoNodes) -> None:
    caller, *_ = await nodes.brought()
    with capture_logs() as logs:
        _, made = await nodes.b.ask(
            "POST", "/v1/agents/1003/transfers", to("1002") | {"notes": "a secret"}
        )
        await nodes.b.ask("POST", f"/v1/transfers/{made['id']}/conference")
        number = {"mode": "supervised", "target": {"kind": "number", "number": "+12025550199"}}
        await nodes.b.ask("POST", f"/v1/transfers/{made['id']}/cancel")
        ended = nodes.b.engine.elsewhere.told
        await eventually(lambda: ended.get(made["id"]).view.state.final, WITHIN)
        await nodes.b.ask("POST", "/v1/agents/1003/transfers", number)
    found = [x for x in logs if x["event"] == "forwarded"]
    assert [(x["request"], x["decision"], x["reason"]) for x in found] == [
        ("transfer", "allow", "ok"),
        ("conference", "deny", "conference_disabled"),
        ("cancel", "allow", "ok"),
        ("transfer", "deny", "external_disabled"),
    ]
    assert {(x["agent"], x["node"], x["call"]) for x in found} == {("1003", "a", caller.id)}
    assert (found[0]["kind"], found[0]["target"], found[0]["mode"]) == (
        *("agent", "1002"),
        "supervised",
    )
    assert found[0]["transfer"] == made["id"]
    assert "+12025550199" not in str(logs)
    assert "secret" not in str(found)
    assert len([x for x in logs if x["event"] == "decision"]) == 2  # the anchor's own
    text = nodes.b.daemon._metrics.text().decode()
    assert 'asterisk_avp_peer_requests_total{outcome="ok",what="request"} 2.0' in text
    assert 'asterisk_avp_peer_requests_total{outcome="refused",what="request"} 2.0' in text
    assert 'asterisk_avp_peer_request_seconds_count{what="request"} 4.0' in text


async def test_an_anchor_that_is_away_is_audited_and_counted(nodes: TwoNodes) -> None:
    await nodes.brought()
    await nodes.a.stop()
    with capture_logs() as logs:
        async with asyncio.timeout(20):
            status, _ = await nodes.b.ask("POST", "/v1/agents/1003/transfers", to("1004"))
    assert status == 503
    (found,) = (x for x in logs if x["event"] == "forwarded")
    assert (found["decision"], found["reason"]) == ("fail", "node_unavailable")
    text = nodes.b.daemon._metrics.text().decode()
    assert 'asterisk_avp_peer_requests_total{outcome="failed",what="request"} 1.0' in text


# --- what another node may not do -----------------------------------------------------------------


async def test_a_node_may_not_speak_of_others_calls(nodes: TwoNodes) -> None:
    """A ring, an answer or a command of a node that has to do with neither agent nor transfer."""
    caller, leg, *_ = await nodes.brought()
    _, made = await nodes.b.ask("POST", "/v1/agents/1003/transfers", to("1002"))
    path = f"{TRANSFERS}/{made['id']}"
    ring = {"version": 1, "agent": "1003", "rings": True}
    assert (await nodes.a.ask("POST", f"{path}/rings", ring, TOKENS["c"]))[0] == 403
    other = ring | {"agent": "1001"}  # who is at home at a
    assert (await nodes.a.ask("POST", f"{path}/rings", other, TOKENS["b"]))[0] == 403
    for name in ("complete", "cancel", "swap", "conference"):
        assert (await nodes.a.ask("POST", f"{path}/{name}", {}, TOKENS["c"]))[0] == 403
    # Of its own agent, but not of a call that was sent to it: nothing comes of it.
    assert (await nodes.a.ask("POST", f"{path}/rings", ring, TOKENS["b"]))[0] == 204
    assert nodes.a.daemon.transfer_service.offered_pops("1003") == []
    for body in (b" ", b"[]", b"{}", b'{"version": 1, "agent": 5}'):
        assert (await nodes.a.ask("POST", f"{path}/rings", body, TOKENS["b"]))[0] == 422
    assert nodes.a.engine.elsewhere.trunks.agent_of(leg.id) == "1003"
    assert nodes.a.engine.call_of("1003") is None or caller.id


async def test_a_join_with_nobody_leaves_the_call(nodes: TwoNodes) -> None:
    """Another node says that its agent's phone talks to the target, which is not so."""
    caller, leg, *_ = await nodes.brought()
    body = {
        "version": 1,
        "agent": "1003",
        "mode": "supervised",
        "target": {"kind": "agent", "value": "1004"},
        "call": caller.id,
        "brought_by": "t0",
        "joins": True,
    }
    status, answer = await nodes.a.ask("POST", TRANSFERS, body, TOKENS["b"])
    assert (status, answer["reason"]) == (409, "target_offline")
    await eventually(lambda: nodes.a.engine.store.running() == 0, WITHIN)
    await eventually(lambda: nodes.a.pbx.peer(caller) is leg, WITHIN)


# --- a daemon that is started anew ----------------------------------------------------------------


async def test_another_nodes_call_is_known_before_the_first_request(nodes: TwoNodes) -> None:
    """Or the agent's request would be decided here, as about a call of this node's."""
    _, leg, incoming, _ = await nodes.brought()
    incoming.variables |= nodes.left("1003", leg)
    await nodes.restart("b")
    known = nodes.b.engine.elsewhere.call_of(incoming.id)
    assert known is not None
    assert known.anchor == "a"
    assert incoming.id not in nodes.b.engine.remote_calls.node_calls  # it is answered already


async def test_a_consult_that_rings_is_known_again(nodes: TwoNodes) -> None:
    """So that it is ended when the phone is not answered (core.engine.remote_calls)."""
    _, leg, incoming, phone = await nodes.brought(consult=True)
    incoming.variables |= nodes.left("1003", leg) | {"AVP_LEG": "consult"}
    for channel in (phone, incoming):
        nodes.b.pbx.leave(channel)
    await nodes.restart("b")
    assert nodes.b.engine.remote_calls.node_calls[incoming.id].leg == "consult"
