"""What another node has told of a call stays true as long as the call lasts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from servers.two_nodes import TOKENS, WITHIN, TwoNodes, two_nodes
from servers.waiting import eventually

from asterisk_avp.core.engine.told_transfers import ToldPop
from asterisk_avp.core.messages import between
from asterisk_avp.core.messages.between import PopEvent
from asterisk_avp.core.messages.remote import NodeBack, NodeCall
from asterisk_avp.core.model.errors import AsteriskUnavailable
from asterisk_avp.core.model.world import (
    CallerOutcome,
    Mode,
    Target,
    TargetKind,
    TransferState,
    TransferView,
)
from asterisk_avp.service import trunk_watch
from asterisk_avp.service.across import same
from asterisk_avp.service.node_door import NodeDoor

TRANSFERS = "/v1/cluster/transfers"
CALLER = "+12025550123"


@pytest.fixture
async def nodes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TwoNodes]:
    monkeypatch.setattr(trunk_watch, "RECHECK_SECONDS", 0.2)
    async with two_nodes() as found:
        yield found


def view(
    transfer: str,
    state: TransferState,
    *,
    since: float = 0.0,
    outcome: CallerOutcome | None = None,
    agent: str = "1001",
) -> TransferView:
    return TransferView(
        id=transfer,
        agent=agent,
        group="sales",
        mode=Mode.SUPERVISED,
        target=Target(TargetKind.AGENT, "1003"),
        state=state,
        ended_reason="max_hold" if state is TransferState.FAILED else None,
        caller=CALLER,
        parties=(),
        since=since or time.time(),
        started=1.0,
        caller_formatted="(202) 555-0123",
        caller_outcome=outcome,
    )


class Telling:
    """Node a tells node b."""

    def __init__(self, nodes: TwoNodes) -> None:
        self.nodes = nodes
        self.seq = int(time.time() * 2_000_000)  # more than its daemon counts

    async def __call__(self, told: TransferView | None = None, pop: PopEvent | None = None) -> None:
        self.seq += 1
        body = between.TransferEvent(self.seq, transfer=told, pop=pop).body()
        path = f"{TRANSFERS}/{'pop' if told is None else told.id}/events"
        status, answer = await self.nodes.b.ask("POST", path, body, TOKENS["a"])
        assert status == 204, answer


def pops_of(changes: asyncio.Queue[Any]) -> list[Any]:
    found = []
    while not changes.empty():
        event = changes.get_nowait()
        if event["type"] == "pop":
            found.append(event)
    return found


def has_pop(nodes: TwoNodes, agent: str = "1003") -> bool:
    call = nodes.b.daemon.transfer_service.agent(agent).call
    return call is not None and call.pop.get("data") == {"customer": "C-7"}


async def completed(nodes: TwoNodes, since: float) -> tuple[Telling, Any, Any]:
    """Carol talks to the caller about whom Alice has consulted her."""
    _, leg, incoming, _ = await nodes.brought(transfer="t9", consult=True)
    incoming.variables |= nodes.left("1003", leg, "t9") | {"AVP_LEG": "consult"}
    tell = Telling(nodes)
    await tell(view("t9", TransferState.CONSULTING, since=since))
    assert (await nodes.b.call_of("1003"))["consult"]["agent"] == "1001"
    await tell(view("t9", TransferState.COMPLETED, since=since))
    return tell, leg, incoming


async def has_the_caller(nodes: TwoNodes) -> None:
    call = await nodes.b.call_of("1003")
    assert (call["consult"], call["caller"]) == (None, CALLER)
    _, targets = await nodes.b.ask("GET", "/v1/agents/1003/targets")
    assert targets["my_agent_groups"] != []


async def test_a_long_call_after_a_consultation(nodes: TwoNodes) -> None:
    tell, *_ = await completed(nodes, since=time.time() - 3600)
    await has_the_caller(nodes)
    await tell(view("t10", TransferState.CONSULTING))
    await has_the_caller(nodes)
    # The API does not show the transfer for longer than others.
    _, shown = await nodes.b.ask("GET", "/v1/transfers")
    assert [each["id"] for each in shown] == ["t10"]


async def test_the_next_daemon_knows_it(nodes: TwoNodes) -> None:
    _, _, incoming = await completed(nodes, since=time.time())
    await eventually(lambda: incoming.variables["AVP_LEG"] == "", WITHIN)
    await nodes.restart("b")
    assert (await nodes.b.call_of("1003"))["consult"] is None
    await eventually(lambda: has_pop(nodes), WITHIN)
    await has_the_caller(nodes)  # by the screen pop: the anchor has forgotten the rest


async def test_a_daemon_that_was_away_when_it_was_completed(nodes: TwoNodes) -> None:
    """And the anchor does not know the transfer any more."""
    _, leg, incoming, _ = await nodes.brought(transfer="t9", consult=True)
    incoming.variables |= nodes.left("1003", leg, "t9") | {"AVP_LEG": "consult"}
    await nodes.restart("b")
    elsewhere = nodes.b.engine.elsewhere
    await eventually(lambda: elsewhere.call_of(incoming.id) is not None, WITHIN)
    await eventually(lambda: not elsewhere.consulted(incoming.id), WITHIN)
    assert (await nodes.b.call_of("1003"))["consult"] is None


async def test_what_becomes_of_the_caller_after_the_end(nodes: TwoNodes) -> None:
    """Carol has transferred a caller of a's, and nobody has answered."""
    tell = Telling(nodes)
    await tell(view("t9", TransferState.CONSULTING, agent="1003"))
    for outcome in (CallerOutcome.RETURNED, CallerOutcome.GROUP, CallerOutcome.DISCONNECTED):
        changes = nodes.b.daemon.transfer_service.subscribe()
        told = view("t9", TransferState.FAILED, outcome=outcome, agent="1003")
        await tell(told)
        events = []
        while not changes.empty():
            events.append(changes.get_nowait())
        shown = [x["transfer"] for x in events if x["type"] == "transfer"]
        assert [x["caller_outcome"] for x in shown] == [outcome.value]
        _, history = await nodes.b.ask("GET", "/v1/agents/1003/transfers")
        assert [(x["id"], x["caller_outcome"]) for x in history] == [("t9", outcome.value)]


# --- screen pops ----------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 25])
async def test_the_next_daemon_has_the_screen_pops(
    nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """And shows none again: the earlier one has shown them."""
    monkeypatch.setattr(trunk_watch, "MOST_CALLS", at_once)
    for agent in ("1003", "1004"):
        _, leg, incoming, _ = await nodes.brought(agent, transfer=f"t{agent}")
        incoming.variables |= nodes.left(agent, leg, f"t{agent}")
        await eventually(lambda agent=agent: has_pop(nodes, agent), WITHIN)
    await nodes.b.stop()
    await nodes.b.start()
    changes = nodes.b.daemon.transfer_service.subscribe()
    await nodes.b.ready()
    nodes.directory()
    for agent in ("1003", "1004"):
        await eventually(lambda agent=agent: has_pop(nodes, agent), WITHIN)
    assert pops_of(changes) == []


async def test_a_pop_that_was_never_told_is_shown_when_the_node_is_back(nodes: TwoNodes) -> None:
    _, _, incoming, _ = await nodes.brought()
    await eventually(lambda: has_pop(nodes), WITHIN)
    nodes.b.engine.elsewhere.told._pops.clear()
    changes = nodes.b.daemon.transfer_service.subscribe()
    nodes.b.post(NodeBack("a"))
    await eventually(lambda: has_pop(nodes), WITHIN)
    assert [(x["state"], x["pop"]["id"]) for x in pops_of(changes)] == [("delivered", incoming.id)]
    # Once.
    seq = next(iter(nodes.b.engine.elsewhere.told._pops.values()))["1003"].seq
    nodes.b.post(NodeBack("a"))
    board = nodes.b.engine.elsewhere.told._pops
    await eventually(lambda: next(iter(board.values()))["1003"].seq > seq, WITHIN)
    assert pops_of(changes) == []


@pytest.mark.parametrize("group", [False, True])
async def test_a_node_that_reads_its_asterisk_is_told_afterwards(
    nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch, group: bool
) -> None:
    """Screen pops, and who has answered a call to a group, which nobody tells again."""
    refused = 0

    async def settled(self: NodeDoor) -> None:
        nonlocal refused
        refused += 1
        if refused <= 3:
            raise AsteriskUnavailable("it is being read")

    monkeypatch.setattr(NodeDoor, "settled", settled)
    await nodes.brought(group=group)
    await eventually(lambda: has_pop(nodes), WITHIN)
    assert refused > 3


async def test_pops_of_nobody_who_asks(nodes: TwoNodes) -> None:
    caller, *_ = await nodes.brought()
    await eventually(lambda: has_pop(nodes), WITHIN)
    path = f"/v1/cluster/pops?call={caller.id}&call=unknown"
    status, answer = await nodes.a.ask("GET", path, token=TOKENS["b"])
    assert [(x["pop"]["agent"], x["pop"]["state"]) for x in answer["events"]] == [
        ("1003", "delivered")
    ]
    assert (await nodes.a.ask("GET", path, token=TOKENS["c"]))[1]["events"] == []
    assert (await nodes.a.ask("GET", path))[0] in (401, 403)
    for bad in ("call=", "call=%24%7Bx%7D", "call=" + "x" * 151, "&".join(["call=x"] * 26)):
        status, _ = await nodes.a.ask("GET", f"/v1/cluster/pops?{bad}", token=TOKENS["b"])
        assert status == 422, bad


def pop_of(caller: str, state: str) -> PopEvent:
    number = {"number": CALLER, "number_formatted": CALLER, "name": "", "withheld": False}
    more = {"group": None, "waited_seconds": 0, "transfers": [], "note": "", "url": None}
    return PopEvent("1003", state, {"id": caller, "data": {"a": 1}, "caller": number, **more})


async def test_a_pop_is_withdrawn_by_the_id_by_which_it_was_offered(nodes: TwoNodes) -> None:
    """Also where the trunk's channel has ended before the anchor tells so."""
    nodes.b.pbx.channel("PJSIP/trunk-00000009", number="+12025550188")
    caller, _, incoming, _ = await nodes.brought()
    assert caller.id != incoming.id  # as two Asterisk's ids are
    await eventually(lambda: has_pop(nodes), WITHIN)
    tell = Telling(nodes)
    changes = nodes.b.daemon.transfer_service.subscribe()
    await tell(pop=pop_of(caller.id, "offered"))
    nodes.b.pbx.hang_up(incoming)
    await eventually(lambda: nodes.b.engine.elsewhere.call_of(incoming.id) is None, WITHIN)
    await tell(pop=pop_of(caller.id, "withdrawn"))
    found = [(x["state"], x["pop"]["id"]) for x in pops_of(changes)]
    assert found == [("offered", incoming.id), ("withdrawn", incoming.id)]


async def test_a_caller_who_comes_again_has_another_id(nodes: TwoNodes) -> None:
    tell, board = Telling(nodes), nodes.b.engine.elsewhere
    changes = nodes.b.daemon.transfer_service.subscribe()
    for channel in ("b-1", "b-2"):
        board.trunks.call(NodeCall(channel, "1003", "q", "t", "a", "a-1", "sales", "", "1001"))
        for state in ("offered", "delivered", "withdrawn"):
            await tell(pop=pop_of("a-1", state))
    # The first one is still there, as where its end has not been reported yet.
    assert [(x["state"], x["pop"]["id"]) for x in pops_of(changes)] == [
        *(("offered", "b-1"), ("delivered", "b-1"), ("withdrawn", "b-1")),
        *(("offered", "b-2"), ("delivered", "b-2"), ("withdrawn", "b-2")),
    ]
    board.trunks.gone("b-1")
    board.trunks.gone("b-2")
    await tell(pop=pop_of("a-1", "offered"))  # of no call that is known here
    await tell(pop=pop_of("a-1", "withdrawn"))
    assert [x["pop"]["id"] for x in pops_of(changes)] == ["a-1", "a-1"]


def test_which_pop_is_worth_telling_again() -> None:
    pop = {"id": "1.1", "data": {"a": 1}, "caller": {"withheld": False}, "waited_seconds": 3}
    told = ToldPop(1, pop, "delivered", "b-1")
    assert same(told, ToldPop(2, pop | {"waited_seconds": 4}, "delivered"))
    assert not same(told, ToldPop(2, pop | {"data": {"a": 2}}, "delivered"))
    assert not same(told, ToldPop(2, pop | {"caller": {"withheld": True}}, "delivered"))
    assert not same(told, ToldPop(2, pop, "offered"))
    assert not same(told, ToldPop(2, {}, "withdrawn"))
    assert same(ToldPop(1, {}, "withdrawn"), ToldPop(2, {}, "withdrawn"))
