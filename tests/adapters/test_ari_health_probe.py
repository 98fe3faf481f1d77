"""Asterisk must prove that it delivers events: if it does not, the daemon notices and waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from servers.ari_server import Answer, AriServer
from servers.waiting import eventually
from structlog.testing import capture_logs

from asterisk_avp.ari.client import AriClient
from tests.adapters.test_ari_single_instance import Daemon, serving

BEAT = ("POST", "/events/user/AVPAlive")
ASKS = " ".join(BEAT)


class Begun(list[float]):
    """When each request of a method began: the server hears of it later."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, resource: Any, method: str) -> None:
        super().__init__()
        ask = getattr(resource, method)

        async def noted(*args: Any, **more: Any) -> Any:
            self.append(asyncio.get_running_loop().time())
            return await ask(*args, **more)

        monkeypatch.setattr(resource, method, noted)


@pytest.fixture
async def server() -> AsyncIterator[AriServer]:
    async with AriServer(stasis=True) as running:
        yield running


async def test_it_is_asked_every_so_often_and_nobody_notices(server: AriServer) -> None:
    async with serving(server, "d", probe_seconds=0.02) as daemon:
        await eventually(lambda: server.journal.count(ASKS) >= 4)
        assert daemon.states == [True]
        assert daemon.events == []
        assert daemon.client.trouble == ""


async def test_the_filter_lets_it_through(server: AriServer) -> None:
    client = AriClient(server.url, "avp", "s3cret", "x", who="d", event_types=["StasisStart"])
    assert client._event_types == ["StasisStart", "ApplicationReplaced", "ChannelUserevent"]
    await client.close()


async def test_events_cease_to_come_and_come_again(server: AriServer) -> None:
    with capture_logs() as logs:
        async with serving(server, "d", probe_seconds=0.02, request_timeout_seconds=0.2) as daemon:
            server.stuck = True
            await eventually(lambda: daemon.states == [True, False])
            assert daemon.client.stuck
            assert "delivers no events to the Stasis application" in daemon.client.trouble
            assert "core restart gracefully" in daemon.client.trouble
            # Answered probes leave nothing in Asterisk: they continue, and show that it has
            # recovered long before the orphan timeouts of the callers in Stasis.
            asked = server.journal.count(ASKS)
            await eventually(lambda: server.journal.count(ASKS) >= asked + 2)
            assert daemon.states == [True, False]
            assert len(server.sockets) == 1
            server.stuck = False
            await eventually(lambda: daemon.states == [True, False, True])
            assert daemon.client.trouble == ""
            assert not daemon.client.stuck
    told = [entry["event"] for entry in logs]
    assert told.count("ari_app_stuck") == 1
    assert told.count("ari_app_recovered") == 1


async def test_requests_about_the_app_hang(
    server: AriServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(server, "d", probe_seconds=0.02, request_timeout_seconds=0.2) as daemon:
        server.hold_app = asyncio.Event()
        await eventually(lambda: daemon.states == [True, False])
        assert "answers no requests about the Stasis application" in daemon.client.trouble
        # Each probe that hangs occupies one of Asterisk's HTTP sessions: the probes become rarer.
        begun = Begun(monkeypatch, daemon.client.events, "user")
        await eventually(lambda: len(begun) == 2)
        assert begun[1] - begun[0] > 0.6
        assert daemon.states == [True, False]
        server.hold_app.set()
        await eventually(lambda: daemon.states == [True, False, True])


async def test_one_error_is_not_the_end_and_two_are(server: AriServer) -> None:
    async with serving(server, "d", probe_seconds=0.02) as daemon:
        server.answers[BEAT] = Answer(503, text="busy")
        await eventually(lambda: daemon.states == [True, False])
        assert server.journal.count(ASKS) >= 2
        assert "503" in daemon.client.trouble
        del server.answers[BEAT]
        await eventually(lambda: daemon.states == [True, False, True])


async def test_an_app_that_asterisk_forgot_is_registered_again(server: AriServer) -> None:
    async with serving(server, "d", probe_seconds=0.02) as daemon:
        server.answers[BEAT] = Answer(404, {"message": "Application not found"})
        await eventually(lambda: daemon.states == [True, False])
        del server.answers[BEAT]
        await eventually(lambda: daemon.states[-1])
        assert len(server.sockets) >= 2


async def test_where_the_app_hangs_it_is_asked_ever_more_patiently(
    server: AriServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new connection gets no answer, and must not occupy all of Asterisk's HTTP sessions."""
    server.hold_app = asyncio.Event()
    daemon = Daemon(server, "d", request_timeout_seconds=0.1)
    assert daemon.client.guard is not None
    begun = Begun(monkeypatch, daemon.client.guard, "owned")
    try:
        await eventually(lambda: len(begun) == 4)
        assert begun[3] - begun[2] > 0.3
        assert daemon.states == []
        assert server.journal.count("GET /asterisk/ping") >= 3
        server.hold_app.set()
        await eventually(lambda: daemon.states == [True])
    finally:
        await daemon.end()
