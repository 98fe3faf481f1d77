"""Many refusals: bounded work and memory, and no delay for other clients.

The tests do not depend on the machine's speed: clocks and pauses are their own.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import aiohttp
import pytest
from api_client import TO_BOB, Clock, api_here
from scripted_transfer_service import bearer
from servers.waiting import eventually

from asterisk_avp.api import events_ws, throttle
from asterisk_avp.api.auth import Limits
from asterisk_avp.api.throttle import Budget
from asterisk_avp.core.model.pins import PinHash

BURST = 5
LONG = 60.0
"""Seconds. No test asserts a time, and the machine may be busy."""


class Held(list[float]):
    """The waits of delayed answers, which last until `release`."""

    def __init__(self) -> None:
        self._over = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.append(seconds)
        await self._over.wait()

    async def release(self, clients: list[asyncio.Task[Any]]) -> None:
        """Send the answers, and end all waits."""
        self._over.set()
        for client in clients:
            client.cancel()
        await asyncio.wait(clients)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    waits = Held()
    monkeypatch.setattr(throttle.Throttle.__init__, "__defaults__", (waits.sleep,))
    return waits


def budget() -> Budget:
    return Budget(burst=BURST, per_second=1, max_seconds=3, clock=Clock())


# --- the budget ------------------------------------------------------------------------------


def test_a_budget_is_spent_and_comes_back() -> None:
    clock = Clock()
    of = Budget(burst=3, per_second=2, max_seconds=2, clock=clock)
    me, other = ("address", "192.0.2.1"), ("agent", "1001")
    assert [of.spend(me) for _ in range(8)] == [0, 0, 0, 0.5, 1, 1.5, 2, 2]
    assert of.spend(other) == 0
    clock.now += 2
    assert of.spend(me) == pytest.approx(0.5)
    clock.now += 100
    assert [of.spend(me) for _ in range(4)] == [0, 0, 0, 0.5]


def test_peers_are_forgotten_before_they_fill_the_memory() -> None:
    of = budget()
    for number in range(25_000):
        of.spend(("address", str(number)))
    assert len(of._next) == 10_000


# --- requests --------------------------------------------------------------------------------

HAMMERING = [
    ("GET", "/v1/agents", None, "no such token", b""),
    ("POST", "/v1/agents/1001/transfers", None, "no such token", b"{" * 60_000),
    ("GET", "/v1/agents/no-one", "integration", None, b""),
    ("POST", "/v1/agents/1001/transfers", "integration", None, b"{"),
    ("POST", "/v1/agents/1002/transfers", "integration", None, b"refused"),
    ("POST", "/v1/login", None, None, b'{"agent": "no-one", "pin": "wrong"}'),
]


@pytest.mark.parametrize("kind", range(len(HAMMERING)))
async def test_beyond_its_budget_a_peer_waits_and_nobody_else_does(kind: int, held: Held) -> None:
    method, path, who, token, data = HAMMERING[kind]
    headers = {"Content-Type": "application/json"}
    headers |= bearer() if who else bearer(token) if token else {}
    async with api_here(budget()) as api:
        api.auth._limits = Limits(per_address=10_000)
        if data == b"refused":
            api.board.views["1001"] = api.board.views["1002"]
            data = b'{"mode": "supervised", "target": {"kind": "agent", "id": "1002"}}'
        answered = 0

        async def hammer() -> None:
            nonlocal answered
            async with api.http.request(
                method, api.server.url + path, data=data, headers=headers
            ) as answer:
                assert 400 <= answer.status < 500
                answered += 1

        clients = [asyncio.create_task(hammer()) for _ in range(50)]
        await eventually(lambda: answered == BURST and len(held) == 50 - BURST, LONG)
        assert max(held) == 3
        # The same token, the same address: allowed requests are answered immediately.
        assert (await api.ask("GET", "/v1/agents"))[0] == 200
        assert (await api.ask("GET", "/healthz", token=None))[0] == 200
        token_of_bob = await api.login("1002")
        assert (await api.ask("GET", "/v1/agents/1002", token=token_of_bob))[0] == 200
        # Another peer's first refusal, too.
        status, _ = await api.ask("GET", "/v1/agents/1001", token=token_of_bob)
        assert status == 403
        await held.release(clients)


async def test_a_transfer_is_taken_and_completed_in_the_midst_of_it(held: Held) -> None:
    async with api_here(budget()) as api:
        clients = [
            asyncio.create_task(api.ask("GET", "/v1/agents", token="wrong")) for _ in range(80)
        ]
        await eventually(lambda: len(held) == 80 - BURST, LONG)
        status, made = await api.ask("POST", "/v1/agents/1001/transfers", TO_BOB)
        assert status == 201
        status, done = await api.ask("POST", f"/v1/transfers/{made['id']}/complete")
        assert (status, done["state"]) == (200, "completed")
        await held.release(clients)


# --- log-ins ---------------------------------------------------------------------------------


async def test_few_pins_are_compared_at_a_time_and_never_in_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go, at_once, most, threads = threading.Event(), 0, 0, set[str]()
    lock = threading.Lock()

    def slow(_self: PinHash, _pin: str) -> bool:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
            threads.add(threading.current_thread().name)
        go.wait(30)
        with lock:
            at_once -= 1
        return False

    monkeypatch.setattr(PinHash, "matches", slow)
    async with api_here() as api:
        api.auth._limits = Limits(per_address=10_000)
        clients = [
            asyncio.create_task(
                api.ask("POST", "/v1/login", {"agent": f"no-{n}", "pin": "x"}, token=None)
            )
            for n in range(200)
        ]
        await eventually(lambda: sum(client.done() for client in clients) == 200 - 31, LONG)
        # Neither the loop nor its threads are busy.
        assert (await api.ask("GET", "/v1/agents"))[0] == 200
        assert await asyncio.wait_for(asyncio.to_thread(lambda: 1), 10) == 1
        go.set()
        statuses = sorted([(await client)[0] for client in clients])
        assert statuses == [401] * 31 + [429] * (200 - 31)
    assert most == 1
    assert all(name.startswith("pin") for name in threads)


# --- WebSockets ------------------------------------------------------------------------------


async def test_sockets_without_a_token_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_ws, "MAX_UNAUTHENTICATED", 10)
    async with api_here() as api:
        sockets = [await api.events() for _ in range(10)]
        crowded = await api.events()
        await crowded.receive()
        assert crowded.close_code == 1013
        async with api.events(headers=bearer()) as known:
            assert (await known.receive_json())["type"] == "snapshot"
        for socket in sockets:
            await socket.close()
        again = await api.events()
        await again.send_str("{}")
        await again.receive()
        assert again.close_code == 4401


async def test_sockets_with_a_wrong_token_wait_for_their_end(held: Held) -> None:
    async with api_here(budget()) as api:

        async def connect() -> int | None:
            socket = await api.events(headers=bearer("wrong"))
            await socket.receive()
            return socket.close_code

        async def elsewhere() -> None:
            headers = {"Cookie": "avp_session=x", "Origin": "http://elsewhere"}
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await api.events(headers=headers)

        clients = [asyncio.create_task(connect()) for _ in range(20)]
        clients += [asyncio.create_task(elsewhere()) for _ in range(20)]
        await eventually(lambda: len(held) == 40 - BURST, LONG)
        assert sum(client.done() for client in clients) <= BURST
        async with api.events(headers=bearer()) as known:
            assert (await known.receive_json())["type"] == "snapshot"
        await held.release(clients)
