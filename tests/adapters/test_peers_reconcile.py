"""A node does not go on showing a transfer whose anchor has nobody to tell the end to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from servers.two_nodes import WITHIN, TwoNodes, two_nodes
from servers.waiting import eventually

from asterisk_avp.cluster.peers import Peers
from asterisk_avp.core.messages.remote import RemoteLeg
from asterisk_avp.service import trunk_watch
from asterisk_avp.service.trunk_watch import TrunkWatch


@pytest.fixture
async def nodes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TwoNodes]:
    monkeypatch.setattr(trunk_watch, "RECHECK_SECONDS", 0.2)
    async with two_nodes() as found:
        yield found


async def consult(nodes: TwoNodes) -> tuple[str, Any]:
    """b's agent consults one of a's about a caller of a's. The transfer and the caller."""
    caller, *_ = await nodes.brought()
    wanted = {"mode": "supervised", "target": {"kind": "agent", "id": "1002"}}
    status, made = await nodes.b.ask("POST", "/v1/agents/1003/transfers", wanted)
    assert status == 201, made
    told = nodes.b.engine.elsewhere.told
    await eventually(lambda: told.get(made["id"]).view.state.value == "consulting", WITHIN)
    return made["id"], caller


def asked_by_b(nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that b asks for from now on."""
    (watch,) = (part for part in nodes.b.daemon._parts if isinstance(part, TrunkWatch))
    found: list[str] = []
    ask = Peers.ask

    async def counted(
        self: Peers, node: str, method: str, path: str, *args: Any, **more: Any
    ) -> Any:
        if self is watch._peers:
            found.append(path)
        return await ask(self, node, method, path, *args, **more)

    monkeypatch.setattr(Peers, "ask", counted)
    return found


async def kill(nodes: TwoNodes) -> None:
    """The anchor's daemon ends without a word; its Asterisk goes on."""
    assert nodes.a.running is not None
    nodes.a.running.cancel()
    await asyncio.wait([nodes.a.running])


async def start(nodes: TwoNodes) -> None:
    """The new daemon is told of no agent of b's: NATS is away."""
    await nodes.a.start()
    await nodes.a.ready()


async def test_the_anchor_has_forgotten_it(nodes: TwoNodes) -> None:
    transfer, caller = await consult(nodes)
    await kill(nodes)
    nodes.a.pbx.hang_up(caller)
    await start(nodes)
    told = nodes.b.engine.elsewhere.told
    await eventually(lambda: not list(told.running()), WITHIN)
    call = await nodes.b.call_of("1003")
    assert call is None or call["transfer"] is None
    _, shown = await nodes.b.ask("GET", "/v1/transfers")
    assert [x["id"] for x in shown if not x["ended_reason"]] == []
    assert told.get(transfer) is None or told.get(transfer).view.state.final


async def test_the_anchor_does_not_know_whom_to_tell(nodes: TwoNodes) -> None:
    transfer, caller = await consult(nodes)
    await kill(nodes)
    await start(nodes)
    assert nodes.a.engine.store.records[transfer].session.state.value == "consulting"
    nodes.a.pbx.hang_up(caller)
    told = nodes.b.engine.elsewhere.told
    await eventually(lambda: told.get(transfer).view.state.final, WITHIN)
    _, history = await nodes.b.ask("GET", "/v1/agents/1003/transfers")
    assert [x["id"] for x in history] == [transfer]


async def test_what_runs_goes_on(nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    transfer, _ = await consult(nodes)
    asked = asked_by_b(nodes, monkeypatch)
    about = f"/v1/cluster/transfers?id={transfer}"
    await eventually(lambda: asked.count(about) >= 3, WITHIN)
    assert nodes.b.engine.elsewhere.told.get(transfer).view.state.value == "consulting"


async def test_an_anchor_that_is_away_has_not_ended_it(
    nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer, _ = await consult(nodes)
    asked = asked_by_b(nodes, monkeypatch)
    await kill(nodes)
    asked.clear()
    await eventually(lambda: len(asked) >= 3, WITHIN)
    assert nodes.b.engine.elsewhere.told.get(transfer).view.state.value == "consulting"
    await start(nodes)


@pytest.mark.parametrize("ids", ["id=${x}", "id=a%20b", "id=" + "x" * 81, "&".join(["id=x"] * 101)])
async def test_ids_that_are_none(nodes: TwoNodes, ids: str) -> None:
    status, _ = await nodes.a.ask("GET", f"/v1/cluster/transfers?{ids}", token="b" * 40)
    assert status == 422


async def test_a_node_is_told_of_no_call_that_is_not_its_own(nodes: TwoNodes) -> None:
    """Whoever knows the id of a transfer that runs, but has no agent in it, learns nothing."""
    transfer, _ = await consult(nodes)
    token = "c" * 40
    path = f"/v1/cluster/transfers?id={transfer}"
    status, answer = await nodes.a.ask("GET", path, token=token)
    assert (status, answer["events"]) == (200, [])
    status, answer = await nodes.a.ask("GET", path, token="b" * 40)
    assert [x["transfer"]["id"] for x in answer["events"]] == [transfer]


async def test_a_node_is_told_of_what_has_called_it(nodes: TwoNodes) -> None:
    """Also where it is not known here who is at home there: else it took the transfer for ended."""
    transfer, _ = await consult(nodes)
    nodes.a.engine.elsewhere.trunks.leg(RemoteLeg("a-9", "", "c", transfer))
    for path in ("/v1/cluster/transfers", f"/v1/cluster/transfers?id={transfer}"):
        _, answer = await nodes.a.ask("GET", path, token="c" * 40)
        assert [x["transfer"]["id"] for x in answer["events"]] == [transfer]
