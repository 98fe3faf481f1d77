"""Connections to the API: their limit, which of them is closed first, and the deadlines."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from api_client import TO_BOB, Api, Clock, api_here
from scripted_transfer_service import INTEGRATION, bearer
from servers.waiting import eventually

from asterisk_avp.api import connections as rules
from asterisk_avp.api.connections import Connections, Proxies, Stage, network_of
from asterisk_avp.api.protocol import GuardedHttp
from asterisk_avp.runtime import descriptors

PART = b"GET / HTTP/1.1\r\nX-A: "
AGENTS = (
    f"GET /v1/agents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {INTEGRATION}\r\n\r\n".encode()
)

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def crowded_api(connections: Connections) -> AbstractAsyncContextManager[Api]:
    return api_here(connections=connections)


class Crowd:
    """Raw connections, closed at the end."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.peers: list[Peer] = []

    async def one(self, data: bytes = b"", address: str = "127.0.0.1") -> Peer:
        peer = await asyncio.open_connection(
            self._api.server.host, self._api.server.port, local_addr=(address, 0)
        )
        self.peers.append(peer)
        peer[1].write(data)
        return peer

    def close(self) -> None:
        for _, writer in self.peers:
            writer.close()


@asynccontextmanager
async def crowd(api: Api) -> AsyncIterator[Crowd]:
    made = Crowd(api)
    try:
        yield made
    finally:
        made.close()


def descriptors_open() -> list[int]:
    return [int(found.name) for found in Path("/proc/self/fd").iterdir()]


async def closed(peer: Peer, within: float = 20.0) -> bytes:
    """Everything that was received until the end."""
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(peer[0].read(), within)
    return b""


# --- how many --------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", PART, b"\r"], ids=["nothing", "part of a head", "a byte"])
async def test_idle_connections_make_room(data: bytes) -> None:
    """Five times the limit; each request in between is answered."""
    seats = Connections(lambda: 40)
    async with crowded_api(seats) as api, crowd(api) as all_of_them:
        async with api.events(headers=bearer()) as panel:
            assert (await panel.receive_json())["type"] == "snapshot"
            for count in range(200):
                await all_of_them.one(data)
                if count % 20 == 0:
                    assert (await api.ask("GET", "/v1/agents"))[0] == 200
                    assert (await api.ask("POST", "/v1/agents/1001/transfers", TO_BOB))[0] == 201
            assert len(seats) <= 40
            assert len(api.server._server.server_state.connections) <= 42
            api.board.agent_changed("1003", waiting_transfer=True)
            while (await panel.receive_json())["type"] != "agent":
                pass
        await eventually(lambda: len(seats) <= 40)
        assert seats.evicted >= 150


async def test_who_goes_first() -> None:
    """Silent ones, idle ones, those without a token; those with one last or never."""
    clock = Clock()
    seats = Connections(lambda: 7, clock=clock)
    async with crowded_api(seats) as api, crowd(api) as them:
        panels = [await api.events(headers=bearer()) for _ in range(2)]
        is_authenticated = await them.one(
            AGENTS + PART
        )  # had a token, and has started another head
        await is_authenticated[0].readuntil(b"]")
        stranger = await api.events()  # has yet to send its token
        idle = await them.one(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await idle[0].readuntil(b"}")
        silent = await them.one(b"")

        def stages() -> list[int]:
            return [len(seats._stages[stage]) for stage in Stage]

        await eventually(lambda: stages() == [1, 2, 3])
        clock.now += rules.GRACE_SECONDS
        newcomer = await them.one(PART)
        await eventually(lambda: len(seats) == 7)

        async def panel() -> None:
            made = await api.events(headers=bearer())
            assert (await made.receive_json())["type"] == "snapshot"
            panels.append(made)

        for goes in (silent, idle):
            others = [
                peer for peer in (silent, idle, newcomer, is_authenticated) if not peer[0].at_eof()
            ]
            await panel()
            await closed(goes)
            assert [peer for peer in others if peer[0].at_eof()] == [goes]
        await panel()
        assert (await stranger.receive()).type in {
            aiohttp.WSMsgType.CLOSED,
            aiohttp.WSMsgType.ERROR,
        }
        assert not newcomer[0].at_eof()
        await panel()
        await closed(newcomer)
        assert not is_authenticated[0].at_eof()
        await panel()
        await closed(is_authenticated)
        assert stages() == [0, 0, 7]
        # No connection is left that could be closed.
        late = await them.one(AGENTS)
        answer = await closed(late)
        assert answer.startswith(b"HTTP/1.1 503 ") or not answer
        assert seats.refused == 1
        for made in panels:
            assert not made.closed
            await made.close()
        await eventually(lambda: len(seats) == 0)
        assert (await api.ask("GET", "/v1/agents"))[0] == 200


def test_a_newcomer_outlasts_those_who_hold_half_a_request() -> None:
    """A busy daemon accepts several connections before it reads the request of the first."""
    clock = Clock()
    seats = Connections(lambda: 10, clock=clock)
    for _ in range(10):
        held = seats.admit("127.0.0.1")
        assert held is not None
        seats.set_stage(held, Stage.SERVED, None)
    clock.now += rules.GRACE_SECONDS
    mine = seats.admit("127.0.0.1")
    assert mine is not None
    for _ in range(9):
        assert seats.admit("127.0.0.1") is not None
        assert not mine.removed
    seats.set_stage(mine, Stage.SERVED, None)
    for _ in range(20):
        assert seats.admit("127.0.0.1") is not None
    assert not mine.removed


async def test_newcomers_get_in_where_strangers_sit_between_requests() -> None:
    seats = Connections(lambda: 20, clock=Clock())  # a newcomer that is served late is no old one
    healthz = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    async with crowded_api(seats) as api, crowd(api) as them:
        for _ in range(60):
            peer = await them.one(healthz)
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await peer[0].readuntil(b"}")
        mine = await them.one()
        for _ in range(15):
            assert (await peer_answers(await them.one(healthz))).startswith(b"HTTP/1.1 200 ")
        mine[1].write(AGENTS)
        assert (await peer_answers(mine)).startswith(b"HTTP/1.1 200 ")


async def peer_answers(peer: Peer) -> bytes:
    return await asyncio.wait_for(peer[0].readline(), 20)


async def test_one_address_has_half_of_the_places_and_a_proxy_all() -> None:
    seats = Connections(lambda: 40, Proxies(["127.0.0.1"]))
    async with crowded_api(seats) as api, crowd(api) as them:
        stranger = [await them.one(AGENTS, "127.0.0.9") for _ in range(10)]
        for _ in range(60):
            await them.one(PART, "127.0.0.9")
        await eventually(lambda: seats._by_address["127.0.0.9"] == 20)
        for reader, _ in stranger:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        panels = [await api.events(headers=bearer()) for _ in range(20)]
        assert len(seats) == 40
        for panel in panels:
            assert (await panel.receive_json())["type"] == "snapshot"
            await panel.close()


async def test_the_limit_counts_as_it_is_now() -> None:
    room = 100
    seats = Connections(lambda: room)
    async with crowded_api(seats) as api, crowd(api) as them:
        for _ in range(60):
            await them.one(PART)
        await eventually(lambda: len(seats) == 60)
        room = 10
        await eventually(lambda: len(seats) <= 10)
        assert (await api.ask("GET", "/v1/agents"))[0] == 200


async def test_without_a_descriptor_left_nothing_spins_and_what_can_go_goes() -> None:
    """Whatever uses them: the limit of connections alone would admit everybody."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    seats = Connections(lambda: 10_000)
    async with crowded_api(seats) as api, crowd(api) as them:
        for _ in range(20):
            await them.one(PART)
        await eventually(lambda: len(seats) == 20)
        loop = asyncio.get_running_loop()
        used = [await them.one(PART) for _ in range(5)]
        complaints: list[object] = []
        loop.set_exception_handler(lambda _loop, context: complaints.append(context))
        highest = max(descriptors_open())
        fillers = [os.dup(0)]
        while fillers[-1] <= highest:  # none below the highest is free
            fillers.append(os.dup(0))
        os.close(fillers.pop())
        # The client's end takes one, and the server's finds none.
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, before[1]))
        try:
            late = await asyncio.wait_for(them.one(AGENTS), 5)
            assert (await asyncio.wait_for(late[0].readline(), 10)).startswith(b"HTTP/1.1 200 ")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for filler in fillers:
                os.close(filler)
        assert complaints == []
        assert used
        assert seats.evicted >= 1


def test_what_is_left_for_whom() -> None:
    for most in (16, 64, 256, 1024, 4096, 65_536, 1_048_576):
        ours = most - descriptors.for_api(most) - descriptors.for_agi(most)
        assert descriptors.for_agi(most) >= 1
        assert descriptors.for_api(most) >= 1
        assert ours >= min(most // 4, 160)
    assert descriptors.for_api(1024) == 736


def test_the_limit_is_raised_as_far_as_it_may_be(caplog: pytest.LogCaptureFixture) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, before[1]), before[1]))
    try:
        assert "512 file descriptors" in descriptors.too_few()

        def forbidden(_which: int, _to: tuple[int, int]) -> None:
            raise OSError

        descriptors.raise_limit(forbidden)  # a seccomp filter may refuse
        assert descriptors.limit() == 512
        descriptors.raise_limit()
        assert descriptors.limit() == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("no address", "unknown"),
        ("x" * 70_000, "unknown"),
    ],
)
def test_whose_connections_count_together(address: str, network: str) -> None:
    assert network_of(address) == network


# --- deadlines -------------------------------------------------------------------------------


async def drip(peer: Peer, data: bytes, seconds: float) -> bytes:
    """The answer to a client that sends a byte at a time and never ends."""
    _, writer = peer

    async def send() -> None:
        with contextlib.suppress(OSError):
            writer.write(data)
            while True:
                writer.write(b"a")
                await writer.drain()
                await asyncio.sleep(seconds)

    sending = asyncio.create_task(send())
    try:
        return await closed(peer)
    finally:
        sending.cancel()


async def test_a_head_that_comes_a_byte_a_second_is_not_waited_for() -> None:
    seats = Connections(head_seconds=1.0)
    async with crowded_api(seats) as api, crowd(api) as them:
        answer = await drip(await them.one(), PART, 1.0)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"too_slow"' in answer
        assert b"connection: close" in answer
        await eventually(lambda: len(seats) == 0)


async def test_a_second_head_has_the_same_deadline() -> None:
    """uvicorn's own time-out between two requests is extended by each byte."""
    seats = Connections(head_seconds=1.0)
    async with crowded_api(seats) as api, crowd(api) as them:
        answer = await drip(await them.one(), AGENTS + PART, 0.1)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 408 " in answer


async def test_the_rest_of_a_body_that_was_refused_has_a_deadline() -> None:
    seats = Connections(head_seconds=1.0)
    post = b"POST /v1/agents/1001/transfers HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
    async with crowded_api(seats) as api, crowd(api) as them:
        answer = await drip(await them.one(), post, 0.1)
        assert answer.startswith(b"HTTP/1.1 401 ")
        await eventually(lambda: len(seats) == 0)


async def test_silent_connections_end() -> None:
    seats = Connections(head_seconds=1.0)
    async with crowded_api(seats) as api, crowd(api) as them:
        silent = [await them.one() for _ in range(20)]
        await eventually(lambda: len(seats) == 20)
        for peer in silent:
            assert await closed(peer) == b""
        await eventually(lambda: len(seats) == 0)


async def test_who_does_not_take_the_answer_is_cut_off() -> None:
    clock = Clock()
    seats = Connections(clock=clock)
    script = b"GET /panel/main.js HTTP/1.1\r\nHost: x\r\n\r\n"
    async with crowded_api(seats) as api, crowd(api) as them:
        _, writer = await them.one()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(script * 3000)
        await eventually(lambda: len(seats._stages[Stage.SERVED]) == 1)
        (slot,) = seats._stages[Stage.SERVED]
        # Until its buffer is full and the server waits for it.
        await eventually(lambda: bool(slot.transport and slot.transport.get_write_buffer_size()))
        clock.now += rules.REQUEST_SECONDS + 1
        await eventually(lambda: len(seats) == 0)


async def test_a_panel_that_reads_nothing_leaves_no_descriptor_behind() -> None:
    """The application gives up; a closing transport waits for its buffer forever."""
    clock = Clock()
    seats = Connections(clock=clock)
    async with crowded_api(seats) as api:
        panel = await api.events(headers=bearer())
        await panel.receive_json()
        await eventually(lambda: len(seats) == 1)
        (slot,) = seats._stages[Stage.SERVED]
        assert slot.transport is not None
        panel._response.connection.transport.pause_reading()  # type: ignore[union-attr]
        while slot.transport.get_write_buffer_size() < 1_000_000:
            slot.transport.write(b"x" * 100_000)
        slot.transport.close()
        seats.sweep()
        assert len(seats) == 1
        clock.now += rules.LEAVE_SECONDS
        await eventually(lambda: len(seats) == 0)


async def test_a_websocket_keeps_nothing_of_the_request_that_it_was() -> None:
    """Panels stay open all day: each would keep its parser and buffers, and so would the list."""
    seats = Connections()
    async with crowded_api(seats) as api:
        panel = await api.events(headers=bearer())
        await panel.receive_json()
        await eventually(lambda: len(seats) == 1)
        (slot,) = seats._stages[Stage.SERVED]
        assert list(seats._by_transport) == [slot.transport]
        gc.collect()
        http = [thing for thing in gc.get_objects() if isinstance(thing, GuardedHttp)]
        assert [thing for thing in http if thing.slot is slot] == []
        await panel.close()
        await eventually(lambda: len(seats) == 0)
        assert seats._by_transport == {}
