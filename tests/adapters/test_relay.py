"""Requests about another node's agent, sent to any node: the agent's node answers them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from servers.two_nodes import TOKENS, WITHIN, TwoNodes, two_nodes
from servers.waiting import eventually

TRANSFERS = "/v1/agents/1003/transfers"
SHARED = {"AVP_API__SESSION_KEY": "s" * 40}


@pytest.fixture
async def nodes() -> AsyncIterator[TwoNodes]:
    async with two_nodes(**SHARED) as found:
        yield found


def to(agent: str, mode: str = "supervised") -> Any:
    return {"mode": mode, "target": {"kind": "agent", "id": agent}}


async def talks(nodes: TwoNodes, agent: str = "1003") -> None:
    """An agent of b has a call that came in at b."""
    nodes.b.pbx.answer(nodes.b.pbx.offer(agent, "sales"))
    service = nodes.b.daemon.transfer_service
    await eventually(lambda: service.agent(agent).call is not None, WITHIN)


async def log_in(nodes: TwoNodes, agent: str, node: str = "a") -> str:
    asked = nodes.a if node == "a" else nodes.b
    _, found = await asked.ask("POST", "/v1/login", {"agent": agent, "pin": agent})
    return str(found["token"])


async def test_an_integration_may_ask_any_node(nodes: TwoNodes) -> None:
    await talks(nodes)
    shown = await nodes.a.ask("GET", "/v1/agents/1003")
    assert shown[1]["call"]["id"] == (await nodes.b.call_of("1003"))["id"]
    assert shown[1]["node"] is None  # as its own node says
    targets = (await nodes.a.ask("GET", "/v1/agents/1003/targets"))[1]
    assert targets == (await nodes.b.ask("GET", "/v1/agents/1003/targets"))[1]
    status, made = await nodes.a.ask("POST", TRANSFERS, to("1004"))
    assert status == 201
    assert [x.session.id for x in nodes.b.engine.store.records.values()] == [made["id"]]
    assert nodes.a.engine.store.running() == 0
    path = f"/v1/transfers/{made['id']}"
    assert (await nodes.a.ask("GET", path))[1]["id"] == made["id"]
    # The same rules and errors.
    status, body = await nodes.a.ask("POST", TRANSFERS, to("1004"))
    assert (status, body["reason"]) == (403, "already_transferring")
    status, body = await nodes.a.ask("POST", TRANSFERS, {"mode": "x"})
    assert (status, body["error"]) == (422, "malformed")
    service = nodes.b.daemon.transfer_service
    await eventually(lambda: service.transfer(made["id"]).state == "consulting", WITHIN)
    status, body = await nodes.a.ask("POST", f"{path}/conference")
    assert (status, body["reason"]) == (403, "conference_disabled")
    status, body = await nodes.a.ask("POST", f"{path}/cancel")
    assert status == 200, body
    history = (await nodes.a.ask("GET", TRANSFERS))[1]
    await eventually(lambda: service.transfer(made["id"]).state.final, WITHIN)
    assert isinstance(history, list)
    # Node c, which is away, may know it.
    status, body = await nodes.a.ask("GET", "/v1/transfers/nothing")
    assert (status, body["error"]) == (503, "node_unavailable")
    assert "c" in body["message"]


async def test_once_with_a_key_whichever_node_is_asked(nodes: TwoNodes) -> None:
    await talks(nodes)
    key = {"Idempotency-Key": "k" * 20}
    first = await nodes.a.ask("POST", TRANSFERS, to("1004"), **key)
    again = await nodes.a.ask("POST", TRANSFERS, to("1004"), **key)
    there = await nodes.b.ask("POST", TRANSFERS, to("1004"), **key)
    assert (first[0], first[1]["id"]) == (201, again[1]["id"])
    assert there[1]["id"] == first[1]["id"]
    assert len(nodes.b.engine.store.records) == 1


async def test_work_is_done_where_the_agent_is(nodes: TwoNodes) -> None:
    """Also of an agent who has a call of the node that is asked."""
    await nodes.brought()
    here, there = (x.pbx.expect("QueuePause", "sales") for x in (nodes.a, nodes.b))
    await nodes.a.ask("POST", "/v1/agents/1003/pause", {})
    await eventually(there.done, WITHIN)
    assert not here.done()


async def test_an_agents_token_is_good_for_that_agent_only(nodes: TwoNodes) -> None:
    await talks(nodes)
    carol, dave = await log_in(nodes, "1003"), await log_in(nodes, "1004")
    status, shown = await nodes.a.ask("GET", "/v1/agents/1003", token=carol)
    assert (status, shown["call"] is not None) == (200, True)
    for token in (dave, await log_in(nodes, "1001")):
        status, body = await nodes.a.ask("GET", "/v1/agents/1003", token=token)
        assert (status, body["error"]) == (403, "forbidden")
        status, body = await nodes.a.ask("POST", TRANSFERS, to("1004"), token=token)
        assert (status, body["error"]) == (403, "forbidden")
    status, made = await nodes.a.ask("POST", TRANSFERS, to("1004"), token=carol)
    assert status == 201
    status, _ = await nodes.a.ask("POST", f"/v1/transfers/{made['id']}/cancel", token=dave)
    assert status == 403
    for token in (TOKENS["b"], TOKENS["a"], "wrong", ""):
        assert (await nodes.a.ask("GET", "/v1/agents/1003", token=token))[0] == 401
    assert nodes.b.engine.store.running() == 1


async def test_the_token_that_was_believed_goes_along(nodes: TwoNodes) -> None:
    """Another site of the same domain can add cookies; a proxy may add an Authorization."""
    await talks(nodes)
    carol = await log_in(nodes, "1003")
    url = nodes.a.url + "/v1/agents/1003"
    cookies = {"Cookie": f"avp_session=wrong; avp_session={carol}"}
    async with nodes.a.http.get(url, headers=cookies) as answer:
        shown = await answer.json()
    assert (answer.status, shown["call"] is not None) == (200, True)


async def test_a_token_that_the_home_does_not_know() -> None:
    """Each node has tokens of its own where no session key is shared."""
    async with two_nodes({"AVP_API__SESSION_KEY": "b" * 40}, **SHARED) as nodes:
        token = await log_in(nodes, "1003")
        status, body = await nodes.a.ask("GET", "/v1/agents/1003/targets", token=token)
        assert (status, body["error"], body["node"]) == (403, "other_node", "b")
        assert "b" in body["message"]


async def test_it_is_handed_on_once(nodes: TwoNodes) -> None:
    """Also where each node takes the other for the agent's."""
    nodes.b.sees("1003", "a")
    status, body = await nodes.a.ask("POST", TRANSFERS, to("1004"))
    assert (status, body["reason"]) == (403, "no_active_call")
    assert (await nodes.a.ask("GET", "/v1/agents/1003"))[0] == 200


async def test_a_home_that_is_away(nodes: TwoNodes) -> None:
    await nodes.b.stop()
    status, body = await nodes.a.ask("POST", TRANSFERS, to("1002"))
    assert (status, body["error"]) == (503, "node_unavailable")
    status, body = await nodes.a.ask("GET", "/v1/agents/1003")
    assert (status, body["node"]) == (200, "b")  # as last known
    assert (await nodes.a.ask("GET", "/v1/agents/1001"))[0] == 200


HOSTILE = [b"", b"{", b"\xff\xfe", b"[" * 20_000, json.dumps({"mode": []}).encode()]


async def test_hostile_requests(nodes: TwoNodes) -> None:
    for body in HOSTILE:
        status, _ = await nodes.a.ask("POST", TRANSFERS, body or b" ")
        assert status == 422, body[:20]
    assert (await nodes.a.ask("POST", TRANSFERS, b"x" * 200_000))[0] == 413
    for path in ("/v1/agents/1003/../../metrics", "/v1/agents/1003%2f..%2ftransfers"):
        status, _ = await nodes.a.ask("GET", path)
        assert status in (403, 404)
    # Nobody gets to what only nodes may ask.
    status, _ = await nodes.a.ask("GET", "/v1/agents/1003/../../cluster/transfers")
    assert status in (401, 404)
