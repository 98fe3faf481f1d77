"""TCP connections between nodes, and to NATS, that can be broken off or go silent.

A `Wire` knows Asterisk's protocols and can hold one message; a relay passes on whatever comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass, field

_PIECE = 65536


@dataclass(eq=False)
class Relay:
    """Listens on `port`; each connection to it is one to ``target``, a port of 127.0.0.1.

    ``tls``: it is encrypted as far as here. ``host``: the address of loopback that it listens at.
    """

    target: int
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    refuses: bool = False
    _server: asyncio.Server | None = None
    _open: set[asyncio.Task[None]] = field(default_factory=set)
    _passes: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        self._passes.set()
        self._server = await asyncio.start_server(self._accept, self.host, 0, ssl=self.tls)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def break_off(self) -> None:
        """Close all connections, and refuse new ones: the other program has ended."""
        self.refuses = True
        for connection in tuple(self._open):
            connection.cancel()

    def silence(self) -> None:
        """Nothing arrives any more, and nobody is told: the line is cut."""
        self._passes.clear()

    def mend(self) -> None:
        """Restore the initial state; what was sent into the silence arrives."""
        self.refuses = False
        self._passes.set()

    async def stop(self) -> None:
        self.break_off()
        if self._server is not None:
            self._server.close()
            await asyncio.gather(*self._open, return_exceptions=True)
            await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        connection = asyncio.create_task(self._connection(reader, writer), name="relay")
        self._open.add(connection)
        connection.add_done_callback(self._open.discard)
        connection.add_done_callback(lambda _: writer.transport.abort())

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._passes.wait()
            there, to_there = await asyncio.open_connection("127.0.0.1", self.target)
            pumps = [
                asyncio.create_task(self._pump(reader, to_there)),
                asyncio.create_task(self._pump(there, writer)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                to_there.transport.abort()
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(_PIECE):
            await self._passes.wait()
            sink.write(data)
            await sink.drain()
