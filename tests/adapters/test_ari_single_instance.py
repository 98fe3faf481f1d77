"""One daemon per application: the one in service stays, and the other one exits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from servers.ari_server import AriServer
from servers.waiting import eventually
from structlog.testing import capture_logs

from asterisk_avp.ari.client import AriClient
from asterisk_avp.core.model.errors import OtherDaemon

APP = "asterisk_avp"


class Daemon:
    """A client and its outcome."""

    def __init__(self, server: AriServer, name: str, **options: float) -> None:
        quick = {
            "request_timeout_seconds": 0.5,
            "heartbeat_seconds": 60.0,
            "probe_seconds": 60.0,
            "backoff_initial_seconds": 0.01,
            "backoff_max_seconds": 0.05,
            "replaced_pause_seconds": 60.0,
        }
        self.outdated = 0
        self.client = AriClient(
            server.url, "avp", "s3cret", APP, who=name, outdated=self.is_outdated, **quick | options
        )
        self.states: list[bool] = []
        self.events: list[str] = []
        self.task = asyncio.create_task(
            self.client.run(lambda event: self.events.append(event["type"]), self.states.append)
        )

    def is_outdated(self) -> None:
        self.outdated += 1

    @property
    def left(self) -> str:
        """Its message when it exited; empty while it runs."""
        if not self.task.done():
            return ""
        error = self.task.exception()
        assert isinstance(error, OtherDaemon)
        return str(error)

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task], timeout=5)
        await self.client.close()


@pytest.fixture
async def server() -> AsyncIterator[AriServer]:
    async with AriServer(stasis=True) as running:
        yield running


@asynccontextmanager
async def serving(server: AriServer, name: str, **options: float) -> AsyncIterator[Daemon]:
    daemon = Daemon(server, name, **options)
    try:
        await eventually(lambda: daemon.client.connected or daemon.left)
        yield daemon
    finally:
        await daemon.end()


async def test_a_newcomer_leaves_and_has_not_connected(server: AriServer) -> None:
    with capture_logs() as logs:
        async with serving(server, "first") as first, serving(server, "second") as second:
            await eventually(lambda: second.left)
            assert second.left.startswith("Another daemon serves the Stasis application")
            assert "first" in second.left
            assert second.states == []
            assert len(server.sockets) == 1
            assert first.states == [True]
            assert first.events == [], "what daemons ask each other is none of their owners' news"
    assert "other_daemon_rejected" in [entry["event"] for entry in logs]


async def test_one_that_comes_back_does_not_ask_itself(server: AriServer) -> None:
    async with serving(server, "only") as only:
        server.last.drop()
        await eventually(lambda: only.states == [True, False, True])
        assert "POST /events/user/AVPWhoServes" not in server.journal


async def test_one_that_was_killed_locks_nobody_out(server: AriServer) -> None:
    async with serving(server, "first"):
        pass
    async with serving(server, "second") as second:
        assert second.states == [True]
        assert "POST /events/user/AVPWhoServes" not in server.journal


async def test_one_that_hangs_is_given_up(server: AriServer) -> None:
    """Its connection is up, but nobody answers."""
    async with serving(server, "first") as first:
        server.stuck = True
        started = asyncio.get_running_loop().time()
        async with serving(server, "second") as second:
            assert second.states == [True]
            assert asyncio.get_running_loop().time() - started >= 0.5
            server.stuck = False
            # It wakes up, finds that another has the application, asks, and exits.
            await eventually(lambda: first.left)
            assert "ApplicationReplaced" in first.events
            assert first.states == [True, False]
            assert second.states == [True]
            assert len(server.sockets) == 2


async def test_of_two_that_come_at_once_one_stays(server: AriServer) -> None:
    for _ in range(5):
        daemons = [Daemon(server, name) for name in ("a", "b", "c")]
        try:
            await eventually(lambda daemons=daemons: sum(bool(d.left) for d in daemons) == 2)
            await eventually(lambda daemons=daemons: sum(d.client.connected for d in daemons) == 1)
            (one,) = [daemon for daemon in daemons if not daemon.left]
            assert one.client.connected
        finally:
            for daemon in daemons:
                await daemon.end()
        await eventually(lambda: server.owner is None)


async def test_what_is_not_a_daemon_is_left_alone_for_a_while_and_then_replaced(
    server: AriServer,
) -> None:
    """For example, somebody's WebSocket client. The first time it may also be one of our own."""
    async with serving(server, "only") as only:
        await server.last.event("ApplicationReplaced", application=APP)
        await eventually(lambda: only.states == [True, False, True])
        await server.last.event("ApplicationReplaced", application=APP)
        await eventually(lambda: only.states == [True, False, True, False])
        assert "taken over" in only.client.trouble
        await asyncio.sleep(0.3)
        assert len(server.sockets) == 2
        assert not only.left


async def test_one_whose_place_was_taken_meanwhile_is_out_of_date(server: AriServer) -> None:
    """Another daemon served, recorded the outcome of the transfers, and is already gone."""
    async with serving(server, "first") as first:
        assert first.outdated == 0
        server.variables["AVP_DAEMON"] = "somebody"
        server.last.drop()
        await eventually(lambda: first.states == [True, False, True])
        assert first.outdated == 1
        server.last.drop()
        await eventually(lambda: first.states == [True, False, True, False, True])
        assert first.outdated == 1


async def test_asterisk_has_restarted_and_knows_nobody(server: AriServer) -> None:
    async with serving(server, "only") as only:
        server.variables.clear()
        server.last.drop()
        await eventually(lambda: only.states == [True, False, True])
