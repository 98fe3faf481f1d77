"""Accepts connections without being brought down by their number.

asyncio's own servers accept whatever comes. Once no file descriptor is left they try up to
``backlog`` times in a row and log each failure with a traceback, again every second
(`asyncio.selector_events`, ``_accept_connection``): megabytes of log a second, and an event loop
with time for nothing else. Here somebody is asked before a connection costs anything, few are
accepted in a row, and a want of descriptors is a pause.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)

_IN_A_ROW: Final = 64
"""Connections that are accepted before the event loop does something else."""
_PAUSE_SECONDS: Final = 0.2
_COMPLAINT_PAUSE_SECONDS: Final = 10.0
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

Connected = Callable[[socket.socket, str], asyncio.Protocol | None]


class Listener:
    """Accepts from `start` to `close` on a bound socket that listens, which it then owns.

    ``connected`` is asked with each connection and its peer's address, and gives the protocol that
    serves it, or None where it has closed the socket. ``exhausted`` is called when the process has
    no descriptor left; something may be closed then. ``name`` is for the log.
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
        self._again: asyncio.TimerHandle | None = None
        self._making: set[asyncio.Task[None]] = set()
        self._open = False
        self._left_out = 0
        self._log_again = 0.0

    def start(self) -> None:
        self._socket.settimeout(0)
        self._open = True
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more. Connections that were accepted stay."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._socket.fileno())
        if self._again is not None:
            self._again.cancel()
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(_IN_A_ROW):
            try:
                accepted, peer = self._socket.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._wait(error)
                # Else: nobody there (any more); or the connection itself failed (accept(2)).
                return
            accepted.settimeout(0)
            protocol = self._connected(accepted, str(peer[0]) if isinstance(peer, tuple) else "")
            if protocol is not None:
                task = self._loop.create_task(self._make(protocol, accepted))
                self._making.add(task)
                task.add_done_callback(self._making.discard)

    async def _make(self, protocol: asyncio.Protocol, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, accepted)
        except OSError as error:
            accepted.close()
            protocol.connection_lost(error)

    def _wait(self, error: OSError) -> None:
        now = self._loop.time()
        if now >= self._log_again:
            log.warning(
                "descriptors_exhausted",
                listener=self._name,
                error=error.strerror,
                left_out=self._left_out,
            )
            self._log_again, self._left_out = now + _COMPLAINT_PAUSE_SECONDS, 0
        else:
            self._left_out += 1
        self._exhausted()
        # What was closed is free in the next turn of the loop; who wants in waits in the kernel.
        self._loop.remove_reader(self._socket.fileno())
        self._again = self._loop.call_later(_PAUSE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._again = None
        if self._open:
            self._loop.add_reader(self._socket.fileno(), self._accept)


def bound(host: str, port: int, backlog: int) -> socket.socket:
    """A socket that listens. Raises `OSError`; looks up no name but an address's own."""
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
