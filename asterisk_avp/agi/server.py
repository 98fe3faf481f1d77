"""A FastAGI server that no client can block.

Asterisk connects, sends a header of ``agi_…`` lines and a blank line, and then executes the
commands that it receives until the connection ends. The requests are panoramisk's
(`panoramisk.fast_agi.Request`). Its `Application` is not used: it reads the header without limit or
deadline, spins the event loop when a peer closes before the blank line, lets a later line replace
an earlier one of the same name, and swallows the cancellation that a deadline needs.

The header has a maximum size, and a deadline applies to the header and to the whole exchange. The
number of connections is limited, and they are counted by peer, whether answered or not. At the
limit, the peer with the most connections loses one: the one that has waited longest for its header,
or else the one whose exchange began first, if it belongs to another peer than the new connection or
takes much longer than Asterisk's exchanges, which take milliseconds. Therefore neither silent peers
nor those that never end an exchange can lock others out, not even from Asterisk's own address. On
any error the connection is closed, and the dialplan treats a missing answer as a refusal.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import structlog
from panoramisk.fast_agi import Request

from asterisk_avp.core.messages import clean
from asterisk_avp.core.model.errors import AvpError, ConfigError
from asterisk_avp.runtime.listener import Listener, bound, why_not

log = structlog.get_logger(__name__)

MAX_HEADER_BYTES: Final = 8 * 1024
MAX_LINE_BYTES: Final = MAX_HEADER_BYTES
MAX_CONNECTIONS: Final = 128
_BACKLOG: Final = 512
_WARNING_PAUSE_SECONDS: Final = 10.0
_EXCHANGE_SECONDS: Final = 0.5
"""At the limit, an exchange longer than this may be ended for a new one of the same peer."""
_END: Final = b"\n\n"
_REMEDY: Final = (
    "set AVP_AGI__PORT to a free port, and the dialplan's global variable AVP_AGI to match it"
)

# Asterisk's answers are ASCII. Any other bytes from a peer must not raise.
_ENCODING: Final = "latin-1"


class BadRequest(AvpError):
    """The peer's message is not a valid FastAGI request."""


class Exchange:
    """One request: its header, and the commands that answer it."""

    def __init__(self, header: Mapping[str, str], request: Request) -> None:
        self.header = header
        self._request = request

    async def set_variable(self, name: str, value: str) -> None:
        """Set a channel variable. Raises `BadRequest` if Asterisk rejects it."""
        if not clean.is_clean(name, value):
            raise BadRequest(f"the value of {name} cannot be sent")
        result = await self._request.send_command(f'SET VARIABLE {name} "{value}"')
        if result.get("status_code") != 200:  # noqa: PLR2004 - success in AGI
            raise BadRequest(f"SET VARIABLE {name}: {result.get('error', 'no answer')}")


Handler = Callable[[Exchange], Awaitable[None]]


class _Connection(asyncio.StreamReaderProtocol):
    """One connection. Calls ``served`` once it is established."""

    def __init__(self, peer: str, served: Callable[[_Connection], None]) -> None:
        self.peer = peer
        self.reader = asyncio.StreamReader(limit=MAX_HEADER_BYTES)
        self.writer: asyncio.StreamWriter | None = None
        self.task: asyncio.Task[None] | None = None
        self.answered: float | None = None
        """When its header was complete, in seconds of the loop's clock; None: not yet."""
        self.ended = False
        self._served = served
        super().__init__(self.reader, self._made)

    def _made(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        if self.ended:  # ended before it was established
            writer.transport.abort()
            return
        self._served(self)

    def end(self) -> None:
        """Close the socket now, without waiting for the task."""
        self.ended = True
        if self.writer is not None:
            self.writer.transport.abort()
        if self.task is not None:
            self.task.cancel()


class AgiServer:
    """Listens from `start` to `stop`. ``routes``: the handler for each path of ``agi://``.

    ``port`` 0 selects a free port, which `port` then has. ``room``: the current limit of
    connections, in addition to ``max_connections``.
    """

    def __init__(
        self,
        host: str,
        port: int,
        routes: Mapping[str, Handler],
        *,
        timeout_seconds: float,
        max_connections: int = MAX_CONNECTIONS,
        room: Callable[[], int] = lambda: MAX_CONNECTIONS,
    ) -> None:
        self.host = host
        self.port = port
        self._routes = routes
        self._timeout_seconds = timeout_seconds
        self._max_connections = max_connections
        self._room = room
        self._listener: Listener | None = None
        self._peers: dict[str, dict[_Connection, None]] = {}
        """The connections of each peer, oldest first."""
        self._log_again = 0.0

    async def start(self) -> None:
        """Start to listen. Raises `ConfigError` if the address is not available."""
        try:
            listening = await asyncio.to_thread(bound, self.host, self.port, _BACKLOG)
        except OSError as error:
            raise ConfigError(
                f"AVP_AGI__HOST, AVP_AGI__PORT: cannot listen on {self.host} port {self.port}: "
                f"{why_not(error, _REMEDY)}"
            ) from error
        self.port = listening.getsockname()[1]
        self._listener = Listener("agi", listening, self._connected, self._exhausted)
        self._listener.start()
        log.info("agi_listening", host=self.host, port=self.port)

    async def stop(self) -> None:
        """Close the listening socket and all connections."""
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        connections = [each for peer in self._peers.values() for each in peer]
        for connection in connections:
            connection.end()
        tasks = [each.task for each in connections if each.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    @property
    def connections(self) -> int:
        return sum(map(len, self._peers.values()))

    def _connected(self, accepted: socket.socket, peer: str) -> asyncio.Protocol | None:
        most = min(self._max_connections, self._room())
        while self.connections >= most:
            self._warn("agi_connection_limit", connections=most)
            if not self._make_room(peer):
                accepted.close()
                return None
        connection = _Connection(peer, self._serve_it)
        self._peers.setdefault(peer, {})[connection] = None
        return connection

    def _make_room(self, newcomer: str) -> bool:
        """End a connection of the peer that has the most. Returns whether one could be ended."""
        peer, crowd = max(self._peers.items(), key=lambda item: len(item[1]))
        victim = next((each for each in crowd if each.answered is None), next(iter(crowd)))
        if victim.answered is not None and peer == newcomer:
            took = asyncio.get_running_loop().time() - victim.answered
            if took < _EXCHANGE_SECONDS:
                return False
        self._forget(victim)
        victim.end()
        return True

    def _exhausted(self) -> None:
        if self._peers:
            self._make_room("")

    def _serve_it(self, connection: _Connection) -> None:
        connection.task = asyncio.create_task(self._serve(connection), name="agi")
        connection.task.add_done_callback(lambda _: self._forget(connection))

    def _forget(self, connection: _Connection) -> None:
        peer = self._peers.get(connection.peer, {})
        peer.pop(connection, None)
        if not peer:
            self._peers.pop(connection.peer, None)

    async def _serve(self, connection: _Connection) -> None:
        reader, writer = connection.reader, connection.writer
        if writer is None:
            return  # not established yet
        peer = writer.get_extra_info("peername")
        try:
            async with asyncio.timeout(self._timeout_seconds):
                header = parse_header(await reader.readuntil(_END))
                handler = self._handler(header)
                connection.answered = asyncio.get_running_loop().time()
                await handler(Exchange(header, Request(None, header, reader, writer, _ENCODING)))
                writer.close()
                await writer.wait_closed()
        except TimeoutError:
            self._warn("agi_timeout", peer=peer)
        except asyncio.IncompleteReadError as error:
            if error.partial:
                self._warn("agi_request_rejected", peer=peer, why="closed within the header")
        except (asyncio.LimitOverrunError, ValueError):
            self._warn("agi_request_rejected", peer=peer, why="a line or the header is too long")
        except BadRequest as error:
            self._warn("agi_request_rejected", peer=peer, why=str(error))
        except OSError as error:
            log.debug("agi_connection_lost", peer=peer, error=str(error))
        except Exception:
            log.exception("agi_failed", peer=peer)
        finally:
            # All data has been sent. Do not wait for a peer that does not read.
            writer.transport.abort()

    def _handler(self, header: Mapping[str, str]) -> Handler:
        path = ""
        with contextlib.suppress(ValueError):
            path = urlsplit(header.get("agi_network_script", "")).path.strip("/")
        if path not in self._routes:
            raise BadRequest("no such script")
        return self._routes[path]

    def _warn(self, event: str, **facts: object) -> None:
        """Log a warning, with a rate limit against a flood of connections."""
        now = asyncio.get_running_loop().time()
        if now < self._log_again:
            log.debug(event, **facts)
            return
        self._log_again = now + _WARNING_PAUSE_SECONDS
        log.warning(event, **facts)


def parse_header(data: bytes) -> dict[str, str]:
    """Parse a header. Raises `BadRequest` for anything that Asterisk would not send.

    A repeated name is rejected: the dialled number is one of the lines and must not be able to
    inject others.
    """
    header: dict[str, str] = {}
    for line in data.decode(errors="replace").removesuffix("\n\n").split("\n"):
        name, colon, value = line.partition(":")
        if not colon or not name.startswith("agi_") or name in header:
            raise BadRequest("not a FastAGI header")
        header[name] = value.removeprefix(" ")
    return header
