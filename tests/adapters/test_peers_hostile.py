"""A node's daemon that was taken over, and whoever reaches `/v1/cluster/` without a token."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from servers.two_nodes import TOKENS, TwoNodes, two_nodes

SLOTS = "/v1/cluster/slots"
TRANSFERS = "/v1/cluster/transfers"
PATHS = (
    *(SLOTS, TRANSFERS, f"{TRANSFERS}/t1/events", f"{TRANSFERS}/t1/parties"),
    *(f"{TRANSFERS}/t1/answered", f"{TRANSFERS}/t1/complete", f"{TRANSFERS}/t1/swap"),
)
FIELDS = (
    *(
        "version",
        "agent",
        "transfer",
        "anchor",
        "consult",
        "hold_seconds",
        "mode",
        "target",
        "call",
    ),
    *(
        "call",
        "brought_by",
        "notes",
        "seq",
        "pop",
        "state",
        "id",
        "parties",
        "caller",
        "since",
        "kind",
    ),
)
VALUES: tuple[Any, ...] = (
    *(None, True, 0, 1, -1, 10**30, 1.5, "", "1003", "a", "a b", "x" * 5_000, "\ud800", "\0\r\n"),
    *([], [[]], {}, {"kind": "agent", "value": "1004"}, {"kind": "number", "value": "911"}),
    *("supervised", "completed", {"id": "1.1"}, ["1003"] * 60, "${SHELL(id)}"),
)


@pytest.fixture
async def nodes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TwoNodes]:
    monkeypatch.setattr("asterisk_avp.api.cluster.BODY_SECONDS", 0.3)
    async with two_nodes() as found:
        yield found


async def raw(url: str, request: bytes) -> bytes:
    """The beginning of the answer; the request may be incomplete."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(2_000), 20)
    finally:
        writer.close()


def head(method: str, path: str, token: str = "", *more: str) -> bytes:
    shown = [f"Authorization: Bearer {token}"] if token else []
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: b", *shown, *more, "", ""]).encode()


async def test_whatever_a_body_has_it_is_refused_or_means_something(nodes: TwoNodes) -> None:
    rng = random.Random(7)
    for _ in range(150):
        body = {name: rng.choice(VALUES) for name in rng.sample(FIELDS, rng.randint(1, 9))}
        body = {"version": 1, **body}
        path, data = rng.choice(PATHS), json.dumps(body).encode()
        status, answer = await nodes.b.ask("POST", path, data, TOKENS["a"])
        assert status in (201, 204, 403, 404, 409, 422), (status, path, body, answer)
    assert nodes.b.engine.store.running() == 0
    assert (await nodes.b.ask("GET", TRANSFERS, token=TOKENS["a"]))[0] == 200


async def test_slow_large_and_other_requests(
    nodes: TwoNodes, capsys: pytest.CaptureFixture[str]
) -> None:
    token = TOKENS["a"]
    # The body does not come; or it is too large, said before or not.
    slow = head("POST", SLOTS, token, "Content-Length: 100") + b"{"
    assert b" 408 " in await raw(nodes.b.url, slow)
    large = head("POST", SLOTS, token, "Content-Length: 999999999")
    assert b" 413 " in await raw(nodes.b.url, large)
    unsaid = head("POST", SLOTS, token, "Transfer-Encoding: chunked")
    assert b" 413 " in await raw(
        nodes.b.url, unsaid + b"30000\r\n" + b" " * 0x30000 + b"\r\n0\r\n\r\n"
    )
    # Without a token nothing is read.
    assert b" 401 " in await raw(nodes.b.url, head("POST", SLOTS, "", "Content-Length: 999999999"))
    for method in ("PUT", "PATCH", "OPTIONS", "HEAD", "TRACE"):
        answer = await raw(nodes.b.url, head(method, TRANSFERS, token, "Content-Length: 0"))
        assert b" 405 " in answer.partition(b"\r\n")[0], answer
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    answer = await raw(nodes.b.url, head("GET", TRANSFERS, token, *upgrade, key))
    assert b" 101 " not in answer
    for path in ("/v1/cluster/../agents", "/v1/cluster/%2e%2e/agents", "/v1/cluster//transfers"):
        answer = await raw(nodes.b.url, head("GET", path, token))
        assert answer.split(b" ", 2)[1] in (b"401", b"404"), (path, answer)
    said = "".join(capsys.readouterr())
    assert not any(secret in said for secret in TOKENS.values())


async def test_tokens_that_are_guessed_are_answered_ever_later(nodes: TwoNodes) -> None:
    """And who has the right one is answered at once."""
    guesses = [nodes.b.ask("GET", TRANSFERS, token=f"guess-{n}") for n in range(60)]
    running = asyncio.gather(*guesses)
    assert (await nodes.b.ask("GET", TRANSFERS, token=TOKENS["a"]))[0] == 200
    assert {status for status, _ in await running} <= {401, 429, 503}


async def test_a_request_that_is_repeated_is_done_once_for_its_node(nodes: TwoNodes) -> None:
    """Another node's key is another key, and a replayed one has no effect."""
    wanted = {"version": 1, "agent": "1003", "transfer": "t1", "consult": True, "hold_seconds": 9}
    key = {"Idempotency-Key": "the-same-key-for-both-of-them"}
    first = await nodes.b.ask("POST", SLOTS, {**wanted, "anchor": "a"}, TOKENS["a"], **key)
    assert first[0] == 201
    again = await nodes.b.ask("POST", SLOTS, {**wanted, "anchor": "a"}, TOKENS["a"], **key)
    assert again == first
    other = await nodes.b.ask("POST", SLOTS, {**wanted, "anchor": "c"}, TOKENS["c"], **key)
    assert (other[0], other[1].get("reason")) == (409, "target_queue_full")
    # Nobody else gives it back.
    path = f"{SLOTS}/{first[1]['token']}"
    assert (await nodes.b.ask("DELETE", path, token=TOKENS["c"]))[0] == 204
    assert nodes.b.engine.slot_taken("1003")
