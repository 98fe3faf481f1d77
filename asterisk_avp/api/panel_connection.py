"""One connection with the coalesced stream (`panels`), and what is written to it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from starlette.websockets import WebSocket

from asterisk_avp.api.auth import Principal
from asterisk_avp.api.frames import writer_of
from asterisk_avp.api.lists import Shown
from asterisk_avp.core.model.tenants import Scope

BACKLOG: Final = 1000
"""Messages that may wait until a panel has read the earlier ones."""

Event = Mapping[str, Any]

LISTS: Final = "lists"
COALESCED: Final = "coalesced"
"""The parameter of the WebSocket's URL, and its value, for this stream."""


def is_coalesced(socket: WebSocket, principal: Principal) -> bool:
    """Whether an agent's client asks for this stream."""
    asked = socket.query_params.get(LISTS) == COALESCED
    return asked and principal.agent is not None and writer_of(socket.scope) is not None


class OwnView(Protocol):
    """The events and snapshots of one client, without the lists (`events_ws.View`)."""

    @property
    def scope(self) -> Scope: ...

    def snapshot(self) -> str: ...

    def outdated(self, event: Event | None) -> bool: ...

    def text(self, event: Event) -> str | None: ...


class Panel:
    """One connection that `is_coalesced`. ``identify``: whose its token is now."""

    __slots__ = (
        "agent", "backlog", "heard", "identify", "principal", "seen", "shown", "socket", "view",
        "writer",
    )  # fmt: skip

    def __init__(
        self,
        principal: Principal,
        view: OwnView,
        socket: WebSocket,
        identify: Callable[[], Principal | None],
    ) -> None:
        writer = writer_of(socket.scope)
        if writer is None or principal.agent is None:
            raise ValueError("not a client of this stream")
        self.agent = principal.agent
        self.writer = writer
        self.principal = principal
        self.view = view
        self.socket = socket
        self.identify = identify
        self.shown: Shown | None = None
        self.seen = 0
        """The version of the lists that it has received."""
        self.heard = 0.0
        """When something was last written, in monotonic seconds."""
        self.backlog: deque[bytes] | None = None
        """Messages that wait until it has read the earlier ones."""

    def valid(self) -> bool:
        """Whether its token still is."""
        return self.identify() == self.principal

    def send(self, frames: bytes) -> bool:
        """Write, or add to the backlog; False: that is full."""
        if self.backlog is None:
            if self.writer.write_frames(frames):
                self.heard = time.monotonic()
                return True
            self.backlog = deque()
        self.backlog.append(frames)
        return len(self.backlog) < BACKLOG

    def caught_up(self) -> bool:
        """Write what waits; whether nothing waits any more."""
        while self.backlog:
            if not self.writer.write_frames(self.backlog[0]):
                return False
            self.heard = time.monotonic()
            self.backlog.popleft()
        self.backlog = None
        return True
