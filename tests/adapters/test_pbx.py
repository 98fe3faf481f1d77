"""The simulated Asterisk of the growth benchmark: one whole transfer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from servers.pbx import Pbx
from servers.waiting import eventually

from asterisk_avp.config.settings import Settings
from asterisk_avp.core.model.world import (
    AgentState,
    Mode,
    Target,
    TargetKind,
    TransferRequest,
    TransferState,
)
from asterisk_avp.service.daemon import Daemon
from tests.ports import free_port

WITHIN = 10.0


@pytest.fixture
async def pbx() -> AsyncIterator[Pbx]:
    members = {"1001": ["sales"], "1002": ["sales"], "1003": ["support"]}
    async with Pbx(members, app="asterisk_avp") as pbx:
        yield pbx


@pytest.fixture
async def daemon(pbx: Pbx) -> AsyncIterator[Daemon]:
    environ = {
        "AVP_ARI__URL": pbx.ari.url,
        "AVP_ARI__USERNAME": "avp",
        "AVP_ARI__PASSWORD": "s3cret",
        "AVP_AMI__PORT": str(pbx.ami.port),
        "AVP_AMI__USERNAME": "avp",
        "AVP_AMI__SECRET": "s3cret",
        "AVP_API__PORT": "0",
        "AVP_AGI__PORT": str(free_port()),
        "AVP_ACCOUNTS__ACME__CONTRACTED": "true",
        "AVP_ACCOUNTS__ACME__COUNTRY": "US",
        "AVP_GROUPS__SALES__ACCOUNT": "acme",
        "AVP_GROUPS__SUPPORT__ACCOUNT": "acme",
    }
    stop = asyncio.Event()
    daemon = Daemon(Settings.load(environ, Path("/nonexistent")))
    running = asyncio.create_task(daemon.run(stop))
    await eventually(lambda: daemon.readiness().ready, WITHIN)
    yield daemon
    stop.set()
    await running


def state(daemon: Daemon, agent: str) -> AgentState:
    return daemon.transfer_service.agent(agent).state


async def test_at_rest_the_personal_queues_have_no_members(daemon: Daemon, pbx: Pbx) -> None:
    assert [agent.id for agent in daemon.transfer_service.agents()] == ["1001", "1002", "1003"]
    pbx.pause("1003", paused=True)
    await eventually(lambda: state(daemon, "1003") is AgentState.NOT_READY, WITHIN)
    assert not any(member.personal for member in pbx.members.values())


async def test_a_supervised_transfer_from_the_call_to_its_end(daemon: Daemon, pbx: Pbx) -> None:
    call = pbx.offer("1001", "sales")
    await eventually(lambda: state(daemon, "1001") is AgentState.RINGING, WITHIN)
    pbx.answer(call)
    await eventually(lambda: daemon.transfer_service.agent("1001").call is not None, WITHIN)
    assert state(daemon, "1001") is AgentState.TALKING

    wish = TransferRequest("1001", Mode.SUPERVISED, Target(TargetKind.AGENT, "1002"))
    transfer = (await daemon.transfer_service.request(wish)).id
    await eventually(
        lambda: daemon.transfer_service.transfer(transfer).state is TransferState.CONSULTING, WITHIN
    )
    await eventually(lambda: call.caller.music, WITHIN)
    assert call.caller.variables["AVP_STATE"] == "live"
    assert call.caller.variables["AVP_TRANSFER"] == transfer
    leg = next(channel for channel in pbx.channels.values() if channel.name.endswith(";1"))
    await eventually(lambda: pbx.peer(call.phone) is leg, WITHIN)
    assert [m.agent for m in pbx.members.values() if m.personal] == ["1001", "1002"]
    mirrored = pbx.expect("QueuePause", "avp-agent-1002")
    pbx.pause("1002", paused=True)
    await asyncio.wait_for(mirrored, WITHIN)
    pbx.pause("1002", paused=False)

    await daemon.transfer_service.complete(transfer)
    await eventually(
        lambda: daemon.transfer_service.transfer(transfer).state is TransferState.COMPLETED, WITHIN
    )
    await eventually(lambda: call.phone.id not in pbx.channels, WITHIN)
    talking = pbx.peer(call.caller)
    assert talking is not None
    assert talking.name.startswith("PJSIP/1002-")
    assert not call.caller.music
    await eventually(lambda: state(daemon, "1001") is AgentState.AVAILABLE, WITHIN)
    assert state(daemon, "1002") is AgentState.TALKING

    pbx.hang_up(call.caller)
    await eventually(lambda: state(daemon, "1002") is AgentState.AVAILABLE, WITHIN)
    await eventually(lambda: not pbx.bridges, WITHIN)
    assert pbx.channels == {}
    assert pbx.unknown == []


async def test_a_cancelled_one_returns_the_caller(daemon: Daemon, pbx: Pbx) -> None:
    call = pbx.offer("1001", "sales")
    pbx.answer(call)
    await eventually(lambda: daemon.transfer_service.agent("1001").call is not None, WITHIN)
    wish = TransferRequest("1001", Mode.SUPERVISED, Target(TargetKind.AGENT, "1002"))
    transfer = (await daemon.transfer_service.request(wish)).id
    await eventually(
        lambda: daemon.transfer_service.transfer(transfer).state is TransferState.CONSULTING, WITHIN
    )
    await daemon.transfer_service.cancel(transfer)
    await eventually(
        lambda: daemon.transfer_service.transfer(transfer).state is TransferState.CANCELLED, WITHIN
    )
    assert pbx.peer(call.phone) is call.caller
    await eventually(lambda: len(pbx.channels) == 2, WITHIN)
    assert pbx.unknown == []


async def test_events_can_be_recorded_and_played(daemon: Daemon, pbx: Pbx) -> None:
    with pbx.recording() as events:
        pbx.answer(pbx.offer("1001", "sales"))
    assert state(daemon, "1001") is AgentState.AVAILABLE
    assert len(events) > 15
    await pbx.play(events)
    await eventually(lambda: state(daemon, "1001") is AgentState.TALKING, WITHIN)
