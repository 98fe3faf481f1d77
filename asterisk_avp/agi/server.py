"""A FastAGI server that nobody can hold up.

Asterisk connects, sends a header of ``agi_…`` lines and a blank line, and then carries out the
commands it is sent until the connection ends. The requests are panoramisk's
(`panoramisk.fast_agi.Request`). Its `Application` is not used: it reads the header without limit or
deadline, spins the event loop when a peer closes before the blank line, lets a later line replace
an earlier one of the same name, and swallows the cancellation that a deadline needs.

The guards: a header has a size and must be there in time, and so must the end of the exchange.
There is a limit to connections, which are counted by peer, answered or not. At the limit the peer
with the most of them makes room: the connection that has kept us waiting longest for its header,
else the one whose exchange began first, if that is another peer's than the newcomer or takes much
longer than Asterisk's, which are milliseconds. So neither silent peers nor those that never end
their exchange can shut out others, not even from Asterisk's own address. Whatever is wrong, the
connection is closed, and the dialplan takes a connection without an answer for a refusal.
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
from asterisk_avp.sockets.listener import Listener, bound

log = structlog.get_logger(__name__)

MAX_HEADER_BYTES: Final = 8 * 1024
MAX_LINE_BYTES: Final = MAX_HEADER_BYTES
MAX_CONNECTIONS: Final = 128
_BACKLOG: Final = 512
_COMPLAINT_PAUSE_SECONDS: Final = 10.0
_EXCHANGE_SECONDS: Final = 0.5
"""An exchange that takes longer than this may have to make room for another of its peer."""
_END: Final = b"\n\n"

# Answers of Asterisk are ASCII; whatever else a peer sends must not raise.
_ENCODING: Final = "latin-1"


class BadRequest(AvpError):
    """What was sent is no FastAGI request."""


class Exchange:
    """One request: its header, and the commands that answer it."""

    def __init__(self, header: Mapping[str, str], request: Request) -> None:
        self.header = header
        self._request = request

    async def set_variable(self, name: str, value: str) -> None:
        """Set a channel variable. Raises `BadRequest` where Asterisk does not take it."""
        if not clean.is_clean(name, value):
            raise BadRequest(f"a value that cannot be sent for {name}")
        result = await self._request.send_command(f'SET VARIABLE {name} "{value}"')
        if result.get("status_code") != 200:  # noqa: PLR2004 - the protocol's "done"
            raise BadRequest(f"SET VARIABLE {name}: {result.get('error', 'no answer')}")


Handler = Callable[[Exchange], Awaitable[None]]


class _Connection(asyncio.StreamReaderProtocol):
    """One connection. ``served`` is told of it once it is made."""

    def __init__(self, peer: str, served: Callable[[_Connection], None]) -> None:
        self.peer = peer
        self.reader = asyncio.StreamReader(limit=MAX_HEADER_BYTES)
        self.writer: asyncio.StreamWriter | None = None
        self.task: asyncio.Task[None] | None = None
        self.answered: float | None = None
        """Since when its header has been complete, in seconds of the loop's clock."""
        self.ended = False
        self._served = served
        super().__init__(self.reader, self._made)

    def _made(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        if self.ended:  # it had to make room before it was made
            writer.transport.abort()
            return
        self._served(self)

    def end(self) -> None:
        """Close its socket now, not when its task has its turn."""
        self.ended = True
        if self.writer is not None:
            self.writer.transport.abort()
        if self.task is not None:
            self.task.cancel()


class AgiServer:
    """Listens from `start` to `stop`. ``routes``: by the path of the ``agi://`` address.

    ``port`` 0 takes a free one; `port` is then the one taken. ``room``: how many connections there
    may be now, besides ``max_connections``.
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
        """Raises `ConfigError` where the address cannot be had."""
        try:
            listening = await asyncio.to_thread(bound, self.host, self.port, _BACKLOG)
        except OSError as error:
            raise ConfigError(
                f"AVP_AGI__HOST, AVP_AGI__PORT: cannot listen on {self.host} port {self.port}: "
                f"{error.strerror}"
            ) from error
        self.port = listening.getsockname()[1]
        self._listener = Listener("agi", listening, self._connected, self._exhausted)
        self._listener.start()
        log.info("agi_listening", host=self.host, port=self.port)

    async def stop(self) -> None:
        """Close the listening socket and whatever connections there are."""
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
            self._complain("agi_crowded", connections=most)
            if not self._make_room(peer):
                accepted.close()
                return None
        connection = _Connection(peer, self._serve_it)
        self._peers.setdefault(peer, {})[connection] = None
        return connection

    def _make_room(self, newcomer: str) -> bool:
        """End a connection of the peer that has the most; whether there was one that may go."""
        peer, crowd = max(self._peers.items(), key=lambda item: len(item[1]))
        goes = next((each for each in crowd if each.answered is None), next(iter(crowd)))
        if goes.answered is not None and peer == newcomer:
            took = asyncio.get_running_loop().time() - goes.answered
            if took < _EXCHANGE_SECONDS:
                return False
        self._forget(goes)
        goes.end()
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
            return  # not made yet
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
            self._complain("agi_timeout", peer=peer)
        except asyncio.IncompleteReadError as error:
            if error.partial:
                self._complain("agi_refused", peer=peer, why="closed in the middle of the header")
        except (asyncio.LimitOverrunError, ValueError):
            self._complain("agi_refused", peer=peer, why="a line or the header is too long")
        except BadRequest as error:
            self._complain("agi_refused", peer=peer, why=str(error))
        except OSError as error:
            log.debug("agi_connection_lost", peer=peer, error=str(error))
        except Exception:
            log.exception("agi_failed", peer=peer)
        finally:
            # Nothing more is sent, so nothing is lost; a peer that does not read cannot hold it.
            writer.transport.abort()

    def _handler(self, header: Mapping[str, str]) -> Handler:
        path = ""
        with contextlib.suppress(ValueError):
            path = urlsplit(header.get("agi_network_script", "")).path.strip("/")
        if path not in self._routes:
            raise BadRequest("no such script")
        return self._routes[path]

    def _complain(self, event: str, **facts: object) -> None:
        """A warning, but not one for each of a flood of connections."""
        now = asyncio.get_running_loop().time()
        if now < self._log_again:
            log.debug(event, **facts)
            return
        self._log_again = now + _COMPLAINT_PAUSE_SECONDS
        log.warning(event, **facts)


def parse_header(data: bytes) -> dict[str, str]:
    """The lines of a header. Raises `BadRequest` for anything that Asterisk would not send.

    A name that comes twice is refused: what was dialled is one of the lines, and must not be able
    to bring others along.
    """
    header: dict[str, str] = {}
    for line in data.decode(errors="replace").removesuffix("\n\n").split("\n"):
        name, colon, value = line.partition(":")
        if not colon or not name.startswith("agi_") or name in header:
            raise BadRequest("not a FastAGI header")
        header[name] = value.removeprefix(" ")
    return header
