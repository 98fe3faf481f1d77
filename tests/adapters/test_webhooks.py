"""The webhook with a receiver over real HTTP: signature, retries, order, limits."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
import structlog
from aiohttp import web
from servers.waiting import eventually

from asterisk_avp.pops.webhook import Webhooks

SECRET = "a shared secret"
PATH = "/hooks/a-long-path-that-is-a-secret"


class Receiver:
    """Answers with `statuses`, one per request, and 204 when there are no more; 0: no answer."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.default = 204
        self.port = 0
        self.pause = asyncio.Event()
        self.pause.set()
        self.silence = asyncio.Event()

    async def listen(self) -> None:
        app = web.Application()
        app.router.add_post(PATH, self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self.pause.set()
        self.silence.set()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"

    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, body in self.requests]

    async def _take(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        status = self.statuses.pop(0) if self.statuses else self.default
        await self.pause.wait()
        if status == 0:
            await self.silence.wait()
        if status == 302:
            raise web.HTTPFound("/elsewhere")
        return web.Response(status=status)


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    await made.listen()
    yield made
    await made.stop()


@pytest_asyncio.fixture
async def hooks(receiver: Receiver) -> AsyncIterator[Callable[..., Webhooks]]:
    made: list[Webhooks] = []

    def make(**more: Any) -> Webhooks:
        settings = {"timeout_seconds": 10, "wait_initial_seconds": 0.01, "wait_max_seconds": 0.02}
        made.append(Webhooks(receiver.url, SECRET, **(settings | more)))
        return made[-1]

    yield make
    for webhooks in made:
        await webhooks.stop(0)


def event(number: int = 1, call: str = "1.1") -> dict[str, Any]:
    return {"type": "pop", "number": number, "pop": {"id": call, "data": {"name": "Jürgen \ud800"}}}


async def test_what_is_sent(receiver: Receiver, hooks: Callable[..., Webhooks]) -> None:
    webhooks = hooks()
    began = int(time.time())
    webhooks.send(event(), "1.1")
    await eventually(lambda: webhooks.counts.delivered == 1)
    [(headers, body)] = receiver.requests
    assert json.loads(body) == event()
    assert headers["Content-Type"] == "application/json"
    assert began <= int(headers["X-AVP-Timestamp"]) <= time.time()
    # As a receiver would check it.
    message = headers["X-AVP-Timestamp"].encode() + b"." + body
    digest = hmac.new(SECRET.encode(), message, hashlib.sha256).hexdigest()
    assert headers["X-AVP-Signature"] == f"sha256={digest}"
    assert len(headers["Idempotency-Key"]) == 32
    assert webhooks.waiting == 0


@pytest.mark.parametrize("failures", [[500], [503, 500, 429], [408], [0], [0, 502]])
async def test_tried_again(
    receiver: Receiver, hooks: Callable[..., Webhooks], failures: list[int]
) -> None:
    """With the same key and body, so that the receiver can tell; and before later events."""
    receiver.statuses = list(failures)
    # Only of a receiver that is silent is the time awaited, in which it must answer the others.
    webhooks = hooks(timeout_seconds=2) if 0 in failures else hooks()
    webhooks.send(event(1), "1.1")
    webhooks.send(event(2), "1.1")
    await eventually(lambda: webhooks.counts.delivered == 2)
    first = [entry for entry in receiver.requests if json.loads(entry[1])["number"] == 1]
    assert len(first) == len(failures) + 1
    assert len({headers["Idempotency-Key"] for headers, _ in first}) == 1
    assert len({body for _, body in first}) == 1
    numbers = [body["number"] for body in receiver.bodies()]
    assert numbers == sorted(numbers)
    assert len({headers["Idempotency-Key"] for headers, _ in receiver.requests}) == 2
    assert webhooks.counts.retries == len(failures)


async def test_one_call_does_not_hold_up_another(
    receiver: Receiver, hooks: Callable[..., Webhooks]
) -> None:
    receiver.statuses = [500]
    webhooks = hooks(wait_initial_seconds=30, wait_max_seconds=30)
    webhooks.send(event(1), "1.1")
    await eventually(lambda: len(receiver.requests) == 1)
    for number in range(20):
        webhooks.send(event(number, f"2.{number}"), f"2.{number}")
    await eventually(lambda: webhooks.counts.delivered == 20)
    assert webhooks.counts.retries == 0


@pytest.mark.parametrize("status", [400, 401, 404, 410, 302])
async def test_refused_for_good(
    receiver: Receiver, hooks: Callable[..., Webhooks], status: int
) -> None:
    receiver.statuses = [status]
    webhooks = hooks()
    with structlog.testing.capture_logs() as logs:
        webhooks.send(event(1), "1.1")
        webhooks.send(event(2), "1.1")
        await eventually(lambda: webhooks.counts.delivered == 1)
    assert webhooks.counts.dead == 1
    assert [body["number"] for body in receiver.bodies()] == [1, 2]
    [line] = logs
    assert (line["event"], line["reason"]) == ("webhook_dead_letter", f"status {status}")


async def test_down_for_a_while(receiver: Receiver, hooks: Callable[..., Webhooks]) -> None:
    await receiver.stop()
    webhooks = hooks(attempts=1000)
    for number in range(5):
        webhooks.send(event(number), "1.1")
    await eventually(lambda: webhooks.counts.retries >= 3)
    assert webhooks.waiting == 5
    await receiver.listen()
    await eventually(lambda: webhooks.counts.delivered == 5)
    assert [body["number"] for body in receiver.bodies()] == [0, 1, 2, 3, 4]


async def test_dead_letters(receiver: Receiver, hooks: Callable[..., Webhooks]) -> None:
    """Counted and logged, with nothing in the log that an attacker could use."""
    receiver.default = 500
    webhooks = hooks(attempts=3)
    with structlog.testing.capture_logs() as logs:
        webhooks.send(event(1), "1.1")
        await eventually(lambda: webhooks.counts.dead == 1)
    assert len(receiver.requests) == 3
    [line] = logs
    assert line["event"] == "webhook_dead_letter"
    assert line["key"] == receiver.requests[0][0]["Idempotency-Key"]
    for secret in (SECRET, PATH, "Jürgen"):
        assert secret not in str(logs)
    receiver.default = 204
    webhooks.send(event(2), "1.1")
    await eventually(lambda: webhooks.counts.delivered == 1)


async def test_full(receiver: Receiver, hooks: Callable[..., Webhooks]) -> None:
    """The oldest event without an attempt is dropped; sending never waits."""
    receiver.pause.clear()
    webhooks = hooks(queue_size=4, timeout_seconds=30)
    webhooks.send(event(0), "1.1")
    await eventually(lambda: len(receiver.requests) == 1)
    for number in range(1, 7):
        webhooks.send(event(number), "1.1")
    assert webhooks.waiting == 4
    assert webhooks.counts.dropped == 3
    receiver.pause.set()
    await eventually(lambda: webhooks.counts.delivered == 4)
    assert [body["number"] for body in receiver.bodies()] == [0, 4, 5, 6]


async def test_full_of_events_that_are_being_tried(
    receiver: Receiver, hooks: Callable[..., Webhooks]
) -> None:
    receiver.default = 500
    webhooks = hooks(queue_size=2, attempts=1000)
    webhooks.send(event(1, "1.1"), "1.1")
    webhooks.send(event(2, "1.2"), "1.2")
    await eventually(lambda: len(receiver.requests) >= 2)
    webhooks.send(event(3, "1.3"), "1.3")
    assert (webhooks.waiting, webhooks.counts.dropped) == (2, 1)
    receiver.default = 204
    await eventually(lambda: webhooks.counts.delivered == 2)
    assert {body["number"] for body in receiver.bodies()} == {1, 2}


async def test_stop(receiver: Receiver, hooks: Callable[..., Webhooks]) -> None:
    """Waiting events get a moment, and are counted after it."""
    webhooks = hooks()
    webhooks.send(event(1), "1.1")
    await webhooks.stop(5)
    assert webhooks.counts.delivered == 1
    receiver.default = 500
    webhooks = hooks(attempts=1000)
    webhooks.send(event(2), "1.1")
    webhooks.send(event(3), "1.1")
    await eventually(lambda: webhooks.counts.retries > 0)
    await webhooks.stop(0.05)
    assert webhooks.counts.dropped == 2


async def test_memory_is_given_back(receiver: Receiver, hooks: Callable[..., Webhooks]) -> None:
    webhooks = hooks()
    for number in range(50):
        webhooks.send(event(number, f"1.{number % 7}"), f"1.{number % 7}")
    await eventually(lambda: webhooks.counts.delivered == 50)
    await eventually(lambda: not len(webhooks._deliveries))
    assert (webhooks._calls, webhooks.waiting) == ({}, 0)


# --- answers that no receiver of ours would give ---------------------------------------------

BAD_ANSWERS = {
    "no HTTP": b"\xff\xfe\0\r\n\r\n",
    "nothing": b"",
    "a status that is none": b"HTTP/1.1 abc OK\r\n\r\n",
    "a huge status": b"HTTP/1.1 " + b"9" * 5000 + b" OK\r\n\r\n",
    "a huge header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "a chunk that is none": b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a forged line": b"HTTP/1.1 400 a\x1b[2J\r\n\r\n",
    "a redirect": b"HTTP/1.1 302 X\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n",
    "a cookie": b"HTTP/1.1 302 X\r\nSet-Cookie: \xff=;=;;\r\nContent-Length: 0\r\n\r\n",
    "an endless body": b"HTTP/1.1 503 X\r\n\r\n" + b"x" * 1_000_000,
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
async def test_a_receiver_that_answers_nonsense_costs_its_event_only(name: str) -> None:
    """Counted as abandoned or delivered, and the waiting events are sent."""
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        with contextlib.suppress(ConnectionError):
            writer.write(BAD_ANSWERS[name])
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        hooks = Webhooks(
            f"http://127.0.0.1:{port}{PATH}",
            SECRET,
            timeout_seconds=2,
            attempts=2,
            wait_initial_seconds=0.001,
            wait_max_seconds=0.001,
        )
        with structlog.testing.capture_logs() as lines:
            for number in range(3):
                hooks.send({"type": "pop", "number": number}, "call")
            await eventually(lambda: hooks.waiting == 0)
        assert hooks.counts.dead + hooks.counts.delivered == 3
        assert asked >= 3
        assert SECRET not in str(lines)
        assert PATH not in str(lines)
        await hooks.stop(1)
