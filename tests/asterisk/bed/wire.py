"""TCP connections to Asterisk that can be cut, made deaf, and told to hold a message.

The daemon gets a wire's port instead of Asterisk's. This makes it possible to hit moments that last
milliseconds: the one message that would end them is held.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

_END = b"\r\n\r\n"  # of an AMI message, and of the header of an HTTP request
_LINE = 65536


@dataclass(eq=False)
class Hold:
    """A message to be held: the first whose text contains all of ``words``."""

    words: tuple[bytes, ...]
    caught: asyncio.Event = field(default_factory=asyncio.Event)
    _send: Callable[[], None] | None = None

    def fits(self, message: bytes) -> bool:
        text = message.lower()
        return not self.caught.is_set() and all(word in text for word in self.words)

    def catch(self, send: Callable[[], None]) -> None:
        self._send = send
        self.caught.set()

    def release(self) -> None:
        """Release it, if its connection is still open."""
        send, self._send = self._send, None
        if send is not None:
            send()


@dataclass
class _Kind:
    """The protocol of a connection; one for HTTP requests may become a WebSocket later.

    The daemon's requests go over WebSockets of their own as well (`ari.request_sockets`).
    """

    requests: bool = False

    def see(self, message: bytes) -> None:
        """A message to Asterisk."""
        if b" HTTP/1.1\r\n" in message:
            line, _, headers = message.lower().partition(b"\r\n")
            self.requests = b"upgrade: websocket" not in headers or b"-requests-" in line


@dataclass
class Wire:
    """Listens on `port`; each connection to it is one to Asterisk's ``target``."""

    target: int
    cut: bool = False
    _server: asyncio.Server | None = None
    _open: set[asyncio.Task[None]] = field(default_factory=set)
    _holds: list[Hold] = field(default_factory=list)
    _hearing: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        self._hearing.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def hold(self, *words: str) -> Hold:
        """Hold the next message to Asterisk that contains all of these, ignoring case."""
        hold = Hold(tuple(word.lower().encode() for word in words))
        self._holds.append(hold)
        return hold

    def deafen(self) -> None:
        """Asterisk's messages are held; requests of ARI are answered anyway."""
        self._hearing.clear()

    def hear(self) -> None:
        """Release the held message and everything after it."""
        self._hearing.set()

    def break_off(self) -> None:
        """Cut all connections, with their contents, and refuse new ones."""
        self.cut = True
        for connection in tuple(self._open):
            connection.cancel()

    def mend(self) -> None:
        """Restore the initial state."""
        self.cut = False
        self._holds.clear()
        self._hearing.set()

    async def stop(self) -> None:
        self.break_off()
        if self._server is not None:
            self._server.close()
            await asyncio.gather(*self._open, return_exceptions=True)
            await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cut:
            writer.close()
            return
        connection = asyncio.create_task(self._connection(reader, writer), name="wire")
        self._open.add(connection)
        connection.add_done_callback(self._open.discard)
        # Also of a task that is cancelled before its first step, and never gets to a `finally`.
        connection.add_done_callback(lambda _: writer.transport.abort())

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            there, to_there = await asyncio.open_connection("127.0.0.1", self.target)
            kind = _Kind()
            pumps = [
                asyncio.create_task(self._to_asterisk(reader, to_there, kind)),
                asyncio.create_task(self._to_daemon(there, writer, kind)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                to_there.transport.abort()
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)

    async def _to_asterisk(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, kind: _Kind
    ) -> None:
        """Message by message, as far as the data consists of messages."""
        waiting = b""
        while data := await source.read(_LINE):
            *messages, waiting = (waiting + data).split(_END)
            for message in messages:
                kind.see(message + _END)
                self._pass_on(message + _END, sink)
            if not self._holds:  # the rest of one, or of something else, need not wait
                sink.write(waiting)
                waiting = b""
            await sink.drain()

    def _pass_on(self, message: bytes, sink: asyncio.StreamWriter) -> None:
        hold = next((hold for hold in self._holds if hold.fits(message)), None)
        if hold is None:
            sink.write(message)
            return

        def send() -> None:
            if not (self.cut or sink.is_closing()):
                sink.write(message)

        hold.catch(send)

    async def _to_daemon(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, kind: _Kind
    ) -> None:
        while data := await source.read(_LINE):
            if not kind.requests:
                await self._hearing.wait()
            sink.write(data)
            await sink.drain()


@dataclass
class Wires:
    """The two connections of a daemon: to AMI, and to ARI (its WebSocket and its requests)."""

    ami: Wire
    ari: Wire

    async def start(self) -> None:
        await self.ami.start()
        await self.ari.start()

    async def stop(self) -> None:
        await self.ami.stop()
        await self.ari.stop()

    def named(self, which: str) -> list[Wire]:
        """Those of ``ami``, ``ari`` or ``both``."""
        return [self.ami, self.ari] if which == "both" else [getattr(self, which)]

    def mend(self) -> None:
        for wire in self.named("both"):
            wire.mend()

    def daemon_env(self) -> dict[str, str]:
        """Settings for a daemon that uses them."""
        return {
            "AVP_AMI__PORT": str(self.ami.port),
            "AVP_ARI__URL": f"http://127.0.0.1:{self.ari.port}/ari",
        }
