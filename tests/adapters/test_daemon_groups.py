"""Reading the groups of calls: what Asterisk answers, late answers, and none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AsteriskUnavailable
from asterisk_avp.service.call_groups import GroupReader
from tests.core.world import NOW, call, engine


class Asterisk:
    """Answers when it is told to."""

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
    """1001 has a call, and its group has been asked for."""
    made, asterisk = engine(), Asterisk()
    call(made)
    groups, fed = reader(made, asterisk)
    groups.look_at({"1001"})
    groups.look_at({"1001"})
    await groups.settle(0)
    assert asterisk.asked == [("u-caller1", ("AVP_GROUP",))]
    return made, asterisk, groups, fed


async def test_what_asterisk_says() -> None:
    made, asterisk, groups, fed = await asked()
    assert made.calls.channels["u-caller1"].group == ""
    asterisk.answers[0].set_result({"AVP_GROUP": "support"})
    await groups.settle(1)
    assert fed == [ev.CallGroup("u-caller1", "support")]
    assert made.calls.channels["u-caller1"].group == "support"


async def test_the_call_is_gone_meanwhile() -> None:
    """Whether Asterisk notices first or we do."""
    made, asterisk, groups, fed = await asked()
    asterisk.answers[0].set_result({})
    await groups.settle(1)
    assert fed == []
    made, asterisk, groups, fed = await asked()
    made.fact(ev.ChannelGone("u-caller1"), NOW)
    asterisk.answers[0].set_result({"AVP_GROUP": "support"})
    await groups.settle(1)
    assert fed == [ev.CallGroup("u-caller1", "support")]
    assert made.calls.channels.keys() == {"u-1001"}


async def test_no_answer() -> None:
    _, asterisk, groups, fed = await asked()
    asterisk.answers[0].set_exception(AsteriskUnavailable("AMI Getvar: not connected"))
    await groups.settle(1)
    assert fed == []


async def test_nobody_waits_for_an_answer_for_ever() -> None:
    _, asterisk, groups, _ = await asked()
    await asyncio.wait_for(groups.settle(0.01), 1)
    groups.stop()
    await groups.settle(1)
    assert asterisk.answers[0].cancelled()
