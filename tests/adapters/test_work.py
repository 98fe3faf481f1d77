"""Workers over real connections: failures are reported, and do not delay anything important."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from servers.ami_server import AmiServer
from servers.ari_server import Answer, AriServer
from servers.waiting import eventually

from asterisk_avp.ami.client import AmiClient
from asterisk_avp.ami.perform import AmiPerformer
from asterisk_avp.ari.client import AriClient
from asterisk_avp.ari.perform import AriPerformer
from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.service.executor import Workers
from asterisk_avp.service.inbox import Message, NeedsResync, Report, TimeUp

SESSION = "s1"


@dataclass
class Station:
    ami: AmiServer
    ari: AriServer
    workers: Workers = field(init=False)
    told: list[SessionEvent] = field(default_factory=list)
    doubts: list[str | None] = field(default_factory=list)
    performed: list[str] = field(default_factory=list)

    def post(self, message: Message) -> None:
        match message:
            case Report(_, event):
                self.told.append(event)
            case TimeUp():
                self.told.append(SessionEvent(EventType.TIMED_OUT))
            case NeedsResync(session):
                self.doubts.append(session)

    def do(self, *effects: fx.Effect) -> None:
        for effect in effects:
            self.workers.start(SESSION, effect)


SHORT = pytest.mark.parametrize("station", [2.0], indirect=True)
"""Asterisk's silence is noticed after so many seconds, in which it must answer everything else."""


@pytest.fixture
async def station(request: pytest.FixtureRequest) -> AsyncIterator[Station]:
    seconds: float = getattr(request, "param", 20.0)
    async with AmiServer() as ami, AriServer() as ari:
        station = Station(ami, ari)
        client = AmiClient("127.0.0.1", ami.port, "avp", "s3cret", action_timeout_seconds=seconds)
        task = asyncio.create_task(client.run(lambda _: None, lambda _: None))
        await eventually(lambda: client.connected)
        rest = AriClient(ari.url, "avp", "s3cret", "asterisk_avp", request_timeout_seconds=seconds)

        async def stopped(_channel: str, _seconds: float) -> bool:
            return False

        station.workers = Workers(
            AmiPerformer(client, lambda channel: channel),
            AriPerformer(rest, "asterisk_avp", stopped),
            station.post,
            lambda _session, effect: station.performed.append(type(effect).__name__),
        )
        try:
            yield station
        finally:
            await station.workers.stop()
            await rest.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


PAIR = fx.BridgePair("agent", "caller")


@pytest.mark.parametrize("status", [500, 503, 403])
async def test_a_caller_who_may_sit_in_silence_is_a_doubt(station: Station, status: int) -> None:
    station.ari.answers["POST", "/bridges/b/addChannel"] = Answer(status, {"message": "no"})
    station.do(fx.AddToBridge("b", "c"), fx.StartMusic("c"), PAIR)
    await eventually(lambda: station.told)
    assert station.doubts == [SESSION]
    assert station.performed == ["StartMusic", "BridgePair"]


async def test_one_that_hung_up_meanwhile_is_none(station: Station) -> None:
    station.ari.answers["POST", "/channels/c/moh"] = Answer(404, {"message": "Channel not found"})
    station.do(fx.StartMusic("c"), PAIR)
    await eventually(lambda: station.told)
    assert station.doubts == []


@pytest.mark.parametrize("station", [5.0], indirect=True)
async def test_an_ari_that_hangs_does_not_hold_up_the_way_back(station: Station) -> None:
    """It is waited for once: all are asked together, and none again (as for music otherwise)."""
    hold = asyncio.Event()
    asked = [
        ("DELETE", "/playbacks/p"),
        ("DELETE", "/channels/agent/ring"),
        ("DELETE", "/channels/agent/moh"),
        ("DELETE", "/channels/caller/moh"),
    ]
    for each in asked:
        station.ari.answers[each] = Answer(204, hold=hold)
    station.do(
        fx.StopPlaying("p"),
        fx.StopRingback("agent"),
        fx.StopMusic("agent"),
        fx.StopMusic("caller"),
        fx.SetVariables("caller", {"AVP_STATE": "done"}),
        PAIR,
    )
    await eventually(lambda: len(station.ari.journal) == len(asked))
    assert not station.doubts, "one of them was waited for"
    await eventually(lambda: station.told)
    assert station.told == [SessionEvent(EventType.BRIDGED)]
    assert sorted(station.ari.journal) == sorted(" ".join(each) for each in asked)
    assert set(station.doubts) == {SESSION}
    hold.set()


@SHORT
async def test_who_is_to_leave_leaves_even_then(station: Station) -> None:
    hold = asyncio.Event()
    station.ari.answers["POST", "/channels/c/moh"] = Answer(204, hold=hold)
    station.do(fx.StartMusic("c"), fx.StartRingback("c"), fx.LeaveStasis("c"))
    await eventually(lambda: "LeaveStasis" in station.performed)
    assert "POST /channels/c/continue" in station.ari.journal
    assert "POST /channels/c/ring" not in station.ari.journal
    hold.set()


@SHORT
async def test_ami_silent(station: Station) -> None:
    station.ami.silent = True
    station.do(fx.HangUp("agent"), PAIR)
    await eventually(lambda: len(station.doubts) == 2)
    assert station.doubts == [SESSION, SESSION]
    assert station.told == [], "nobody can say what has become of it: the resync finds out"
    assert station.ami.received("Bridge") == [], "what is sent now is carried out at any time"


async def test_no_time_is_up_while_something_is_being_done(station: Station) -> None:
    """What follows from it would be done after that, on a call that has become another meanwhile:
    the leg of a Bridge that was late would be hung up, and the caller with it."""
    hold = asyncio.Event()
    station.ari.answers["DELETE", "/channels/caller/moh"] = Answer(204, hold=hold)
    station.do(fx.SetTimer(0.05), fx.StopMusic("caller"), PAIR)
    await eventually(lambda: "DELETE /channels/caller/moh" in station.ari.journal)
    await asyncio.sleep(0.2)
    assert station.told == []
    hold.set()
    await eventually(lambda: len(station.told) == 2)
    assert station.told == [SessionEvent(EventType.BRIDGED), SessionEvent(EventType.TIMED_OUT)]


async def test_held_it_does_nothing_and_then_goes_on(station: Station) -> None:
    hold = asyncio.Event()
    station.ari.answers["POST", "/channels/c/moh"] = Answer(204, hold=hold)
    station.do(fx.StartMusic("c"), PAIR, fx.SetTimer(0.05))
    await eventually(lambda: "POST /channels/c/moh" in station.ari.journal)
    station.workers.hold()
    station.do(PAIR, fx.SetTimer(0.05))
    await asyncio.sleep(0.2)
    hold.set()
    assert station.workers.held
    assert station.told == []
    assert station.ami.received("Bridge") == []
    station.workers.resume()
    station.do(PAIR)
    await eventually(lambda: station.told == [SessionEvent(EventType.BRIDGED)])
    assert len(station.ami.received("Bridge")) == 1
