"""A standby that builds a daemon again and again keeps the last one only."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from servers.nats import NatsServer
from servers.node import WITHIN, Node, asterisks
from servers.waiting import eventually

from asterisk_avp.api.app import forget_apps
from asterisk_avp.ari.client import AriClient
from asterisk_avp.core.model.errors import OtherDaemon
from asterisk_avp.service import takeover
from asterisk_avp.service.daemon import Daemon
from tests.ports import free_port

Built = list[weakref.ref[Daemon]]
TURNS = 4


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Iterator[Built]:
    """The daemons that standbys have built."""
    found: Built = []

    def build(*args: object, **more: object) -> Daemon:
        made = Daemon(*args, **more)  # type: ignore[arg-type]
        found.append(weakref.ref(made))
        return made

    monkeypatch.setattr(takeover, "Daemon", build)
    yield found
    gc.unfreeze()


def alive(built: Built) -> list[int]:
    gc.collect()
    return [number for number, each in enumerate(built) if each() is not None]


@pytest.fixture
async def standby(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Node]:
    """Of a node whose daemon serves; ``param``: without it, or somebody else has its address."""
    async with AsyncExitStack() as running:
        nats = running.enter_context(NatsServer(tmp_path))
        pbxes = await running.enter_async_context(asterisks())
        port = free_port()
        case = getattr(request, "param", "")
        if case == "blocked":
            other = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
            running.callback(other.close)
        elif not case:
            active = Node("a", pbxes["a"], nats, port)
            running.push_async_callback(active.kill)
            await active.ready()
        made = Node("a", pbxes["a"], nats, port, standby=True)
        running.push_async_callback(made.kill)
        yield made


async def test_settings_are_read_again_and_again(built: Built, standby: Node) -> None:
    running = standby._takeover
    assert running is not None
    for turn in range(TURNS):
        await eventually(
            lambda turn=turn: len(built) == turn + 1 and standby.directory.connection.connected,  # type: ignore[misc]
            WITHIN,
        )
        await running.reload()
    await eventually(lambda: len(built) == TURNS + 1, WITHIN)
    await eventually(lambda: alive(built) == [TURNS], WITHIN)


@pytest.mark.parametrize("standby", ["alone"], indirect=True)
async def test_it_is_displaced_again_and_again(
    built: Built, standby: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeover, "_AGAIN_SECONDS", 0.0)
    displaced = asyncio.Event()
    run = AriClient.run

    async def until_displaced(self: AriClient, *handlers: Any) -> None:
        serving = asyncio.create_task(run(self, *handlers))
        await displaced.wait()
        displaced.clear()
        serving.cancel()
        raise OtherDaemon("another one")

    monkeypatch.setattr(AriClient, "run", until_displaced)
    for turn in range(TURNS):
        await eventually(lambda turn=turn: len(built) == turn + 1 and standby.serves, WITHIN)  # type: ignore[misc]
        await standby.ready()
        displaced.set()
    await eventually(lambda: len(built) == TURNS + 1, WITHIN)
    await eventually(lambda: alive(built) == [TURNS], WITHIN)


@pytest.mark.parametrize("standby", ["blocked"], indirect=True)
async def test_it_cannot_serve_again_and_again(
    built: Built, standby: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeover, "_BLOCKED_SECONDS", 0.0)
    await eventually(lambda: len(built) > TURNS, WITHIN)
    await eventually(lambda: len(alive(built)) == 1, WITHIN)
    assert standby._takeover is not None


def test_fastapi_may_have_no_such_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is none of its API."""
    monkeypatch.setattr("fastapi.dependencies.models._is_coroutine_callable_cached", None)
    forget_apps()
    monkeypatch.delattr("fastapi.dependencies.models._is_coroutine_callable_cached")
    forget_apps()
