"""A FastAGI server that nobody can hold up.

Asterisk connects, sends a header of ``agi_…`` lines and a blank line, and then carries out the
commands it is sent until the connection ends. The requests are panoramisk's
(`panoramisk.fast_agi.Request`). Its `Application` is not used: it reads the header without limit or
deadline, spins the event loop when a peer closes before the blank line, lets a later line replace
an earlier one of the same name, and swallows the cancellation that a deadline needs.

The guards: a header has a size and must be there in time, and so must the end of the exchange.
There is a limit to connections; at the limit the one that has kept us waiting longest for its
header makes room, so that silent peers cannot shut out others. Whatever is wrong, the connection
is closed, and the dialplan takes a connection without an answer for a refusal.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import structlog
from panoramisk.fast_agi import Request

from asterisk_avp.core.errors import AvpError, ConfigError

log = structlog.get_logger(__name__)

MAX_HEADER_BYTES: Final = 8 * 1024
MAX_LINE_BYTES: Final = MAX_HEADER_BYTES
MAX_CONNECTIONS: Final = 128
_BACKLOG: Final = 512
_COMPLAINT_PAUSE_SECONDS: Final = 10.0
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
        if not (name + value).isprintable() or '"' in value or "\\" in value:
            raise BadRequest(f"a value that cannot be sent for {name}")
        result = await self._request.send_command(f'SET VARIABLE {name} "{value}"')
        if result.get("status_code") != 200:  # noqa: PLR2004 - the protocol's "done"
            raise BadRequest(f"SET VARIABLE {name}: {result.get('error', 'no answer')}")


Handler = Callable[[Exchange], Awaitable[None]]


class AgiServer:
    """Listens from `start` to `stop`. ``routes``: by the path of the ``agi://`` address.

    ``port`` 0 takes a free one; `port` is then the one taken.
    """

    def __init__(
        self,
        host: str,
        port: int,
        routes: Mapping[str, Handler],
        *,
        timeout_seconds: float,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.host = host
        self.port = port
        self._routes = routes
        self._timeout_seconds = timeout_seconds
        self._max_connections = max_connections
        self._server: asyncio.Server | None = None
        self._silent: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        """Connections whose header is not complete, oldest first."""
        self._served: set[asyncio.Task[None]] = set()
        self._log_again = 0.0

    async def start(self) -> None:
        """Raises `ConfigError` where the address cannot be had."""
        try:
            self._server = await asyncio.start_server(
                self._connected,
                self.host,
                self.port,
                limit=MAX_HEADER_BYTES,
                backlog=_BACKLOG,
            )
        except OSError as error:
            raise ConfigError(
                f"AVP_AGI__HOST, AVP_AGI__PORT: cannot listen on {self.host} port {self.port}: "
                f"{error.strerror}"
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        log.info("agi_listening", host=self.host, port=self.port)

    async def stop(self) -> None:
        """Close the listening socket and whatever connections there are."""
        if self._server is None:
            return
        self._server.close()
        open_connections = [*self._silent, *self._served]
        for writer in self._silent.values():
            writer.transport.abort()  # also of tasks that have not begun
        for task in open_connections:
            task.cancel()
        if open_connections:
            await asyncio.wait(open_connections)
        await self._server.wait_closed()
        self._server = None

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._silent) + len(self._served) >= self._max_connections:
            self._complain("agi_crowded", connections=self._max_connections)
            oldest = next(iter(self._silent), None)
            if oldest is None:
                writer.transport.abort()
                return
            # Its socket goes now, not when its task has its turn.
            self._silent.pop(oldest).transport.abort()
            oldest.cancel()
        task = asyncio.create_task(self._serve(reader, writer), name="agi")
        self._silent[task] = writer
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._silent.pop(task, None)
        self._served.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        peer = writer.get_extra_info("peername")
        try:
            async with asyncio.timeout(self._timeout_seconds):
                header = parse_header(await reader.readuntil(_END))
                handler = self._handler(header)
                if task is not None:
                    self._silent.pop(task, None)
                    self._served.add(task)
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
