"""Accept connections in a way that survives a flood of them.

asyncio's own servers accept every connection. When no file descriptor is left, they try up to
``backlog`` times in a row, log each failure with a traceback, and repeat this every second
(`asyncio.selector_events`, ``_accept_connection``): megabytes of log per second, and an event loop
with no time for anything else. Here a callback decides before a connection costs anything, few
connections are accepted in a row, and a lack of descriptors causes a pause.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Final

import structlog

from asterisk_avp.runtime.tasks import TaskSet

log = structlog.get_logger(__name__)

_BATCH: Final = 64
"""How many connections are accepted before the event loop continues with other work."""
_PAUSE_SECONDS: Final = 0.2
_WARNING_PAUSE_SECONDS: Final = 10.0
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

Connected = Callable[[socket.socket, str], asyncio.Protocol | None]


class Listener:
    """Accepts connections from `start` to `close` on a listening socket, which it then owns.

    ``connected`` is called with each connection and its peer's address. It returns the protocol
    that serves it, or None if it closed the socket. ``exhausted`` is called when the process has no
    descriptor left, and may close something. ``name`` is for the log.
    """

    def __init__(
        self,
        name: str,
        bound: socket.socket,
        connected: Connected,
        exhausted: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._socket = bound
        self._connected = connected
        self._exhausted = exhausted
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._connecting = TaskSet(f"accept {name}")
        self._open = False
        self._suppressed = 0
        self._log_again = 0.0

    def start(self) -> None:
        self._socket.settimeout(0)
        self._open = True
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def close(self) -> None:
        """Stop accepting. Accepted connections remain open."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._socket.fileno())
        if self._pause is not None:
            self._pause.cancel()
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(_BATCH):
            try:
                accepted, peer = self._socket.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause_accepting(error)
                # Else: no connection is waiting (any more), or the connection failed (accept(2)).
                return
            accepted.settimeout(0)
            protocol = self._connected(accepted, str(peer[0]) if isinstance(peer, tuple) else "")
            if protocol is not None:
                self._connecting.start(self._connect(protocol, accepted))

    async def _connect(self, protocol: asyncio.Protocol, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, accepted)
        except OSError as error:
            accepted.close()
            protocol.connection_lost(error)

    def _pause_accepting(self, error: OSError) -> None:
        now = self._loop.time()
        if now >= self._log_again:
            log.warning(
                "file_descriptors_exhausted",
                listener=self._name,
                error=error.strerror,
                suppressed=self._suppressed,
            )
            self._log_again, self._suppressed = now + _WARNING_PAUSE_SECONDS, 0
        else:
            self._suppressed += 1
        self._exhausted()
        # Closed descriptors are free in the loop's next iteration. New connections wait in the
        # kernel.
        self._loop.remove_reader(self._socket.fileno())
        self._pause = self._loop.call_later(_PAUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        self._pause = None
        if self._open:
            self._loop.add_reader(self._socket.fileno(), self._accept)


def bound(host: str, port: int, backlog: int) -> socket.socket:
    """A listening socket for ``host``. Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(backlog)
    except BaseException:
        made.close()
        raise
    return made


def why_not(error: OSError, remedy: str) -> str:
    """Why `bound` failed, for a person; with ``remedy`` if another program has the address."""
    if error.errno == errno.EADDRINUSE:
        return f"another program already listens there; {remedy}"
    return error.strerror or str(error)
