"""Ends of channels: those that ARI does not report, and those that it reports late."""

from __future__ import annotations

import asyncio

import pytest
from servers.waiting import eventually

from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AsteriskUnavailable
from asterisk_avp.core.pbx.calls import Calls
from asterisk_avp.service import channel_ends
from asterisk_avp.service.channel_ends import EndWatch
from asterisk_avp.service.inbox import Inbox, Message


class Asterisk:
    def __init__(self) -> None:
        self.calls = Calls()
        self.calls.update(ev.ChannelSeen("u", "PJSIP/1001-00000001"))
        self.there = True
        self.away = False
        self.asked: list[str] = []
        self.fed: list[Message] = []
        inbox = Inbox()
        inbox.consume(self.fed.append)
        self.watch = EndWatch(self.calls, self.exists, inbox)

    async def exists(self, channel: str) -> bool:
        self.asked.append(channel)
        if self.away:
            raise AsteriskUnavailable("gone")
        return self.there


@pytest.fixture
async def asterisk(monkeypatch: pytest.MonkeyPatch) -> Asterisk:
    monkeypatch.setattr(channel_ends, "MAX_WAIT_SECONDS", 0.01)
    return Asterisk()


@pytest.mark.parametrize(
    ("there", "away", "facts"),
    [(False, False, [ev.ChannelGone("u")]), (True, False, []), (False, True, [])],
)
async def test_an_end_that_only_ami_tells_is_asked_about(
    asterisk: Asterisk,
    facts: list[ev.Fact],
    there: bool,
    away: bool,
) -> None:
    asterisk.there, asterisk.away = there, away
    asterisk.watch.handle(ev.ChannelEnding("u"))
    asterisk.watch.handle(ev.ChannelEnding("u"))
    asterisk.watch.handle(ev.ChannelEnding("nobody"))
    await eventually(lambda: not asterisk.watch._waiting)
    assert asterisk.asked == ["u"]
    assert asterisk.fed == facts


async def test_what_ari_has_told_meanwhile_is_not_asked(asterisk: Asterisk) -> None:
    asterisk.watch.handle(ev.ChannelEnding("u"))
    asterisk.calls.gone("u")
    await eventually(lambda: not asterisk.watch._waiting)
    assert asterisk.asked == []


async def test_the_end_of_one_of_two_is_waited_for(asterisk: Asterisk) -> None:
    asterisk.calls.update(ev.ChannelSeen("v", "PJSIP/1002-00000002"))
    waiting = asyncio.create_task(asterisk.watch.expected(["u", "v"]))
    await eventually(lambda: asterisk.watch._expected)
    asterisk.watch.handle(ev.ChannelGone("somebody-else"))
    assert not waiting.done()
    asterisk.calls.gone("v")
    asterisk.watch.handle(ev.ChannelGone("v"))
    await asyncio.wait_for(waiting, 5)
    await asterisk.watch.expected(["u", "v"])  # known already
    assert asterisk.watch._expected == {}


async def test_an_end_that_never_comes_is_not_waited_for_long(
    asterisk: Asterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_ends, "EXPECTED_SECONDS", 0.01)
    await asyncio.wait_for(asterisk.watch.expected(["u"]), 5)
    assert asterisk.watch._expected == {}
