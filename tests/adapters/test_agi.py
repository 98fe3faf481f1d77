"""The FastAGI server and the gate over real sockets, with clients of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from asterisk_avp.agi import server as agi
from asterisk_avp.agi.gate import gate
from asterisk_avp.agi.server import AgiServer, BadRequest, parse_header
from asterisk_avp.core.model.errors import ConfigError
from asterisk_avp.core.policy.dialling import Dial, Dialled

TIMEOUT = 2.0
"""The deadline, for the tests that are about it; a good exchange must end within it too."""
PATIENT = 60.0
"""The deadline for all others: what ends within `WITHIN` did not wait for it."""
WITHIN = 20.0
LIMIT = 64
NUMBER = "+12025550100"
ACCOUNT = "+12025550199"

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def header(extension: str = NUMBER, script: str = "avp/dial", **more: str) -> bytes:
    """As res_agi.c writes it."""
    fields = {
        "agi_network": "yes",
        "agi_network_script": script,
        "agi_request": f"agi://127.0.0.1:4583/{script}",
        "agi_channel": "PJSIP/1001-0000002a",
        "agi_language": "en",
        "agi_uniqueid": "1769850307.25",
        "agi_calleridname": "Alice: née Müller",
        "agi_context": "avp-gate",
        "agi_extension": extension,
        "agi_accountcode": "",
        **more,
    }
    return "".join(f"{k}: {v}\n" for k, v in fields.items()).encode() + b"\n"


def check(dialled: Dialled) -> Dial:
    if dialled == Dialled("PJSIP/1001-0000002a", NUMBER, "1769850307.25"):
        return Dial(allowed=True, reason="ok", number=NUMBER, agent="1001", caller_id=ACCOUNT)
    return Dial(allowed=False, reason="invalid_format", agent="1001")


class Served:
    """A server, and clients that are closed at the end."""

    def __init__(self, server: AgiServer) -> None:
        self.server = server
        self.peers: list[Peer] = []

    async def peer(self, data: bytes = b"") -> Peer:
        peer = await asyncio.open_connection("127.0.0.1", self.server.port)
        self.peers.append(peer)
        if data:
            peer[1].write(data)
        return peer

    async def answer(self, data: bytes) -> dict[str, str]:
        """The variables after an exchange, with Asterisk's part of it."""
        reader, writer = await self.peer(data)
        found = {}
        while line := await asyncio.wait_for(reader.readline(), WITHIN):
            command, word, name, value = line.decode().rstrip("\n").split(" ", 3)
            assert (command, word) == ("SET", "VARIABLE")
            found[name] = value.strip('"')
            writer.write(b"200 result=1\n")
        return found

    async def allowed(self) -> None:
        assert await self.answer(header()) == {
            "AVP_GATE": "allow",
            "AVP_GATE_NUMBER": NUMBER,
            "AVP_GATE_CALLER_ID": ACCOUNT,
            "AVP_GATE_REASON": "ok",
        }

    async def closed(self, peer: Peer) -> None:
        """Without an answer, or at least without one that allows anything."""
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(peer[0].read(), WITHIN) == b""

    async def empty(self) -> None:
        """Closed connections leave nothing behind."""
        deadline = time.monotonic() + WITHIN
        while self.server.connections:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Served]:
    async with _serving(PATIENT) as found:
        yield found


@pytest_asyncio.fixture
async def hurried() -> AsyncIterator[Served]:
    async with _serving(TIMEOUT) as found:
        yield found


@contextlib.asynccontextmanager
async def _serving(seconds: float) -> AsyncIterator[Served]:
    server = AgiServer("127.0.0.1", 0, gate(check), timeout_seconds=seconds, max_connections=LIMIT)
    await server.start()
    found = Served(server)
    yield found
    for _, writer in found.peers:
        writer.close()
    await server.stop()


# --- answers ---------------------------------------------------------------------------------


async def test_allowed(served: Served) -> None:
    await served.allowed()
    await served.empty()


async def test_denied(served: Served) -> None:
    assert await served.answer(header("12")) == {
        "AVP_GATE": "deny",
        "AVP_GATE_NUMBER": "",
        "AVP_GATE_CALLER_ID": "",
        "AVP_GATE_REASON": "invalid_format",
    }


async def test_the_answer_comes_last(served: Served) -> None:
    found = await served.answer(header())
    assert list(found)[-1] == "AVP_GATE"


async def test_argument_before_extension(served: Served) -> None:
    """A dialplan that removes a prefix passes the rest as an argument."""
    found = await served.answer(header("9" + NUMBER, agi_arg_1=NUMBER))
    assert found["AVP_GATE"] == "allow"


async def test_query(served: Served) -> None:
    found = await served.answer(header(script="avp/dial?site=1"))
    assert found["AVP_GATE"] == "allow"


async def test_header_in_pieces(served: Served) -> None:
    reader, writer = await served.peer()
    for byte in header():
        writer.write(bytes([byte]))
        await writer.drain()
    assert (await reader.readline()).startswith(b"SET VARIABLE AVP_GATE_NUMBER")


# --- peers that are not Asterisk ---------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\n\n",
        b"\n\n",
        b"\x00\xff\xfe" * 50 + b"\n\n",
        b"agi_network_script avp/dial\n\n",
        header(script="other"),
        header(script="http://[x"),
        header("1\nagi_channel: PJSIP/1001-0000002a"),  # a line that injects another
        header("1\nnonsense"),
        header(""),
        header(agi_channel=""),
        header(agi_arg_2="x" * agi.MAX_HEADER_BYTES),
        b"x" * (agi.MAX_HEADER_BYTES * 8),
    ],
)
async def test_garbage(served: Served, data: bytes) -> None:
    """Closed immediately, not only at the deadline."""
    peer = await served.peer(data)
    await served.closed(peer)
    await served.allowed()
    await served.empty()


@pytest.mark.parametrize("data", [b"", b"agi_network: yes\n", header()[:-1]])
async def test_closed_before_the_blank_line(served: Served, data: bytes) -> None:
    """A connection whose peer sends no more is closed immediately, and its work stops."""
    _, writer = await served.peer(data)
    writer.close()
    half = await served.peer(data)
    half[1].write_eof()
    await served.closed(half)
    await served.empty()
    await served.allowed()
    await served.empty()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_half_a_header(hurried: Served) -> None:
    began = time.monotonic()
    peer = await hurried.peer(header()[:60])
    await hurried.closed(peer)
    assert time.monotonic() - began > TIMEOUT * 0.8
    await hurried.allowed()


async def test_slow_header(hurried: Served) -> None:
    """A byte now and then does not extend the deadline."""
    reader, writer = await hurried.peer()
    pause = 2 * TIMEOUT / len(header())  # twice as long as it may take
    with contextlib.suppress(ConnectionError):
        for byte in header():
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(pause)
            if reader.at_eof():
                break
        assert await reader.read() == b""


_Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    for _ in range(10_000):
        writer.write(b"100 result=0 Trying...\n")
        await writer.drain()
        await asyncio.sleep(0.001)


async def _gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.transport.abort()


def _says(text: bytes) -> _Behaviour:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(text)

    return say


async def _serves_others(served: Served, behave: _Behaviour) -> None:
    """Whatever a peer answers, the gate sends it nothing more, and serves others."""
    reader, writer = await served.peer(header())
    with contextlib.suppress(ConnectionError):
        await behave(reader, writer)
    await served.allowed()
    await served.empty()
    with contextlib.suppress(ConnectionError):
        assert b"allow" not in await reader.read()


@pytest.mark.parametrize("behave", [_silent, _endless])
async def test_answers_that_do_not_come(hurried: Served, behave: _Behaviour) -> None:
    await _serves_others(hurried, behave)


@pytest.mark.parametrize(
    "behave",
    [
        _gone,
        _says(b"HANGUP\n"),
        _says(b"510 Invalid or unknown command\n"),
        _says(b"520-Invalid command syntax.\nmore\n"),
        _says(b"\n"),
        _says(b"\xff\xff\n"),
        _says(b"x" * (agi.MAX_HEADER_BYTES * 8)),
        _says(b"9" * 5000 + b"\n"),  # more digits than Python converts to a number
    ],
)
async def test_odd_answers(served: Served, behave: _Behaviour) -> None:
    """They end the exchange at once."""
    await _serves_others(served, behave)


# --- many ------------------------------------------------------------------------------------


async def test_silent_connections(served: Served) -> None:
    """Three times the limit; each request in between is answered immediately."""
    silent = []
    for count in range(200):
        silent.append(await served.peer())
        if count % 20 == 0:
            await served.allowed()
    assert served.server.connections <= LIMIT
    for peer in silent[:-LIMIT]:
        await served.closed(peer)


async def test_silent_connections_end(hurried: Served) -> None:
    silent = [await hurried.peer() for _ in range(LIMIT)]
    for peer in silent:
        await hurried.closed(peer)
    await hurried.empty()


async def test_requests_do_not_make_room(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers that have sent their header are not closed in favour of those that have not."""
    monkeypatch.setattr(agi, "_EXCHANGE_SECONDS", PATIENT)
    busy = [await served.peer(header()) for _ in range(LIMIT)]
    for reader, _ in busy:
        assert (await reader.readline()).startswith(b"SET VARIABLE")
    late = await served.peer(header())
    await served.closed(late)
    reader, writer = busy[0]
    writer.write(b"200 result=1\n")
    assert (await reader.readline()).startswith(b"SET VARIABLE AVP_GATE_CALLER_ID")


@pytest.mark.parametrize("data", [b"", header()[:40], header()], ids=["silent", "part", "whole"])
async def test_whoever_crowds_makes_room_for_other_peers(served: Served, data: bytes) -> None:
    """Even if all of its headers are complete and only its exchanges do not end."""
    for _ in range(LIMIT):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", served.server.port, local_addr=("127.0.0.7", 0)
        )
        served.peers.append((reader, writer))
        writer.write(data)
        if data == header():
            assert (await reader.readline()).startswith(b"SET VARIABLE")
    oldest = served.peers[0]
    await asyncio.gather(*(served.allowed() for _ in range(10)))
    await served.closed(oldest)


async def test_exchanges_that_do_not_end_make_room_for_their_own_peer() -> None:
    """Asterisk's own address may also be an attacker's, on the same machine."""
    server = AgiServer("127.0.0.1", 0, gate(check), timeout_seconds=PATIENT, max_connections=8)
    await server.start()
    served = Served(server)
    for _ in range(8):
        reader, _ = await served.peer(header())
        assert (await reader.readline()).startswith(b"SET VARIABLE")
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WITHIN
    while True:  # until the first of them has taken longer than any of Asterisk's
        reader, writer = await served.peer(header())
        with contextlib.suppress(ConnectionError):
            if await reader.readline():
                break
        assert loop.time() < deadline
        await asyncio.sleep(0.05)
    assert server.connections == 8
    for _, writer in served.peers:
        writer.close()
    await server.stop()


async def test_room_is_what_descriptors_leave_now() -> None:
    room = 100
    server = AgiServer("127.0.0.1", 0, gate(check), timeout_seconds=PATIENT, room=lambda: room)
    await server.start()
    served = Served(server)
    for _ in range(30):
        await served.peer()
    await served.allowed()
    assert server.connections >= 30
    room = 5
    await served.allowed()
    assert server.connections <= 5
    for _, writer in served.peers:
        writer.close()
    await server.stop()


async def test_many_at_once(served: Served) -> None:
    await asyncio.gather(*(served.allowed() for _ in range(LIMIT // 2)))


async def test_memory_stays_flat(served: Served) -> None:
    """Thousands of bad peers leave nothing behind."""

    async def flood(rounds: int) -> None:
        for turn in range(rounds):
            data = (b"", header()[:100], b"x" * 30_000, header(), b"\xff\n\n")[turn % 5]
            _, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
            writer.write(data)
            writer.close()
        await served.empty()
        gc.collect()

    await flood(300)
    tracemalloc.start()
    try:
        await flood(100)
        before, _ = tracemalloc.get_traced_memory()
        await flood(1500)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 200_000
    assert peak - before < LIMIT * 6 * agi.MAX_HEADER_BYTES


# --- beginning and end -------------------------------------------------------------------------


async def test_stop_closes_everything() -> None:
    server = AgiServer("127.0.0.1", 0, gate(check), timeout_seconds=PATIENT)
    await server.start()
    served = Served(server)
    silent, busy = await served.peer(), await served.peer(header())
    await busy[0].readline()
    await asyncio.wait_for(server.stop(), WITHIN)
    await served.closed(silent)
    await served.closed(busy)
    with pytest.raises(OSError, match=r"."):
        await served.peer()
    for _, writer in served.peers:
        writer.close()


async def test_address_in_use(served: Served) -> None:
    second = AgiServer("127.0.0.1", served.server.port, {}, timeout_seconds=1)
    remedy = "another program already listens there; set AVP_AGI__PORT to a free port"
    with pytest.raises(ConfigError, match=remedy):
        await second.start()


async def test_check_that_breaks() -> None:
    """An error of ours gives no answer, which is a refusal."""

    def broken(dialled: Dialled) -> Dial:
        raise RuntimeError(dialled.channel)

    server = AgiServer("127.0.0.1", 0, gate(broken), timeout_seconds=PATIENT)
    await server.start()
    served = Served(server)
    try:
        assert await served.answer(header()) == {}
    finally:
        for _, writer in served.peers:
            writer.close()
        await server.stop()


def test_header() -> None:
    parsed = parse_header(b"agi_a: x: y\nagi_b: \nagi_c:\n\n")
    assert parsed == {"agi_a": "x: y", "agi_b": "", "agi_c": ""}
    with pytest.raises(BadRequest):
        parse_header(b"agi_a: 1\nagi_a: 2\n\n")


@pytest.mark.parametrize("value", ['"', "a\nb", "\\", "\x00"])
async def test_values_that_would_end_the_command(served: Served, value: str) -> None:
    exchange = agi.Exchange({}, agi.Request(None, {}, None, None))
    with pytest.raises(BadRequest):
        await exchange.set_variable("AVP_GATE", value)
