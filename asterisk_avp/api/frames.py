"""WebSocket frames that are encoded once and written to many connections.

A server's frames are not masked (RFC 6455, section 5.1), so the same bytes serve every client.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from websockets.frames import Frame, Opcode

EXTENSION: Final = "asterisk_avp.frames"
"""The key of the ASGI scope's ``extensions`` under which a WebSocket offers `FrameWriter`."""


class FrameWriter(Protocol):
    """A WebSocket that takes frames without waiting."""

    def write_frames(self, frames: bytes) -> bool:
        """Write whole frames; False, and nothing written: the client has to catch up first.

        Without effect, and True, once the connection is closing.
        """
        ...

    def abort(self) -> None:
        """Close without waiting for the client."""
        ...


def text_frames(text: str) -> bytes:
    """One text message."""
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


def writer_of(scope: Any) -> FrameWriter | None:
    """The writer of a WebSocket's ASGI scope; None: this server has none."""
    found: FrameWriter | None = scope.get("extensions", {}).get(EXTENSION)
    return found
