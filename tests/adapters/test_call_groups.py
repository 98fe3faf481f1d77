"""Reading the groups of calls: Asterisk's answers, late ones, and none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.caller import PRESENTATION_VARIABLES
from asterisk_avp.core.model.errors import AsteriskUnavailable
from asterisk_avp.core.transfer.session import far_end_of
from asterisk_avp.service.call_groups import GroupReader, unread
from tests.core.world import NOW, call, engine, request


class Asterisk:
    """Answers on command."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.answers: list[asyncio.Future[Mapping[str, str]]] = []

    async def variables(self, channel: str, names: Sequence[str]) -> Mapping[str, str]:
        self.asked.append((channel, tuple(names)))
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]


def reader(made: TransferEngine, asterisk: Asterisk) -> tuple[GroupReader, list[ev.Fact]]:
    fed: list[ev.Fact] = []

    def feed(fact: ev.Fact) -> None:
        fed.append(fact)
        made.fact(fact, NOW)

    return GroupReader(made, asterisk.variables, feed), fed


async def asked() -> tuple[TransferEngine, Asterisk, GroupReader, list[ev.Fact]]:
    """1001 has a call, and its group has been requested."""
    made, asterisk = engine(), Asterisk()
    call(made)
    groups, fed = reader(made, asterisk)
    groups.refresh({"1001"})
    groups.refresh({"1001"})
    await groups.wait_idle(0)
    assert asterisk.asked == [("u-caller1", ("AVP_GROUP", *PRESENTATION_VARIABLES))]
    return made, asterisk, groups, fed


async def test_what_asterisk_says() -> None:
    made, asterisk, groups, fed = await asked()
    assert made.calls.channels["u-caller1"].group == ""
    asterisk.answers[0].set_result({"AVP_GROUP": "support"})
    await groups.wait_idle(1)
    assert fed == [ev.CallGroup("u-caller1", "support")]
    assert made.calls.channels["u-caller1"].group == "support"


async def test_the_call_is_gone_meanwhile() -> None:
    """Whether Asterisk or the daemon notices first."""
    made, asterisk, groups, fed = await asked()
    asterisk.answers[0].set_result({})
    await groups.wait_idle(1)
    assert fed == []
    made, asterisk, groups, fed = await asked()
    made.fact(ev.ChannelGone("u-caller1"), NOW)
    asterisk.answers[0].set_result({"AVP_GROUP": "support"})
    await groups.wait_idle(1)
    assert fed == [ev.CallGroup("u-caller1", "support")]
    assert made.calls.channels.keys() == {"u-1001"}


async def test_no_answer() -> None:
    _, asterisk, groups, fed = await asked()
    asterisk.answers[0].set_exception(AsteriskUnavailable("AMI Getvar: not connected"))
    await groups.wait_idle(1)
    assert fed == []


async def test_nobody_waits_for_an_answer_for_ever() -> None:
    _, asterisk, groups, _ = await asked()
    await asyncio.wait_for(groups.wait_idle(0.01), 10)
    await groups.stop()
    await groups.wait_idle(1)
    assert asterisk.answers[0].cancelled()


async def test_the_group_of_a_leg_is_its_transfers() -> None:
    made, asterisk = engine(), Asterisk()
    call(made)
    groups, fed = reader(made, asterisk)
    groups.refresh({"1001"})
    session, _ = made.request(request(), CallVariables(), NOW)
    far = far_end_of(session, session.leg.channel)
    made.fact(ev.ChannelSeen(far, "Local/1002@avp-agent-queue-00000001;2"), NOW)
    made.fact(ev.ChannelSeen("u-1002", "PJSIP/1002-00000003"), NOW)
    made.fact(ev.BridgeEntered("u-1002", "b2"), NOW)
    made.fact(ev.BridgeEntered(far, "b2"), NOW)
    groups.refresh({"1002"})
    await groups.wait_idle(0)
    assert fed == [ev.CallGroup(far, "sales")]
    assert [channel for channel, _ in asterisk.asked] == ["u-caller1"]


# --- what has to be read ---------------------------------------------------------------------


def group_shown(made: TransferEngine) -> str | None:
    view = views.agent_view(made, made.agents.by_id["1001"])
    assert view.call is not None
    return view.call.group


def everybody(made: TransferEngine) -> set[str]:
    return set(made.agents.by_id)


def test_each_call_is_read_once() -> None:
    made = engine()
    call(made)
    assert unread(made, {"1002"}) == []
    assert unread(made, everybody(made)) == ["u-caller1"]
    assert unread(made, everybody(made)) == []


def test_the_end_of_a_call_is_nothing_to_read() -> None:
    made = engine()
    call(made)
    made.fact(ev.BridgeLeft("u-1001", "b-1001"), NOW)
    assert unread(made, everybody(made)) == []


def test_it_is_read_again_after_a_transfer() -> None:
    """The next agent has the caller in another bridge, or later in the same one."""
    made = engine()
    call(made)
    assert unread(made, everybody(made)) == ["u-caller1"]
    made.fact(ev.BridgeLeft("u-caller1", "b-1001"), NOW)
    made.fact(ev.BridgeEntered("u-caller1", "b-1001"), NOW)
    assert unread(made, everybody(made)) == ["u-caller1"]
    made.fact(ev.ChannelSeen("u-1002", "PJSIP/1002-00000003"), NOW)
    made.fact(ev.BridgeEntered("u-1002", "b2"), NOW)
    outcome = made.fact(ev.BridgeEntered("u-caller1", "b2"), NOW)
    assert unread(made, outcome.agents) == ["u-caller1"]


def test_a_local_channel_that_is_optimised_away() -> None:
    """The phone replaces its half beside the caller: only then is it the agent's call."""
    made = engine()
    made.fact(ev.ChannelSeen("leg", "Local/1002@avp-agent-queue-00000001;1"), NOW)
    made.fact(ev.ChannelSeen("u-1002", "PJSIP/1002-00000003"), NOW)
    made.fact(ev.ChannelSeen("u-caller1", "PJSIP/caller1-00000001"), NOW)
    for channel in ("leg", "u-caller1", "u-1002"):
        made.fact(ev.BridgeEntered(channel, "b"), NOW)
    assert unread(made, everybody(made)) == []
    outcome = made.fact(ev.BridgeLeft("leg", "b"), NOW)
    assert unread(made, outcome.agents) == ["u-caller1"]


def test_after_a_resync_all_are_read_and_known_meanwhile() -> None:
    made = engine()
    call(made)
    unread(made, everybody(made))
    made.fact(ev.CallGroup("u-caller1", "support"), NOW)
    made.sync_started()
    call(made)
    made.sync_finished(NOW)
    assert group_shown(made) == "support", "until Asterisk has said it again"
    assert unread(made, everybody(made)) == ["u-caller1"]
    made.sync_started()
    made.sync_finished(NOW)
    made.sync_started()
    call(made)
    assert group_shown(made) == "sales", "another call, as far as we know"
