"""What another node has told of a call stays true as long as the call lasts."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from servers.two_nodes import TOKENS, WITHIN, TwoNodes, two_nodes
from servers.waiting import eventually

from asterisk_avp.core.messages import between
from asterisk_avp.core.model.world import (
    CallerOutcome,
    Mode,
    Target,
    TargetKind,
    TransferState,
    TransferView,
)
from asterisk_avp.service import trunk_watch

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

    async def __call__(self, told: TransferView) -> None:
        self.seq += 1
        body = between.TransferEvent(self.seq, transfer=told).body()
        path = f"{TRANSFERS}/{told.id}/events"
        status, answer = await self.nodes.b.ask("POST", path, body, TOKENS["a"])
        assert status == 204, answer


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
    call = await nodes.b.call_of("1003")
    assert call["consult"] is None


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
