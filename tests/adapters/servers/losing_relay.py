"""A line to a daemon on which answers are lost: the request arrives, and its answer does not."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self


class LosingRelay:
    """One connection for each request. ``lost``: the next so many answers do not come."""

    def __init__(self) -> None:
        self.port = 0
        """Of the daemon; set it before the first request."""
        self.lost = 0
        self.path = b"/"
        """How the paths of requests begin whose answers may be lost."""
        self.requests: list[bytes] = []
        """The first line of each request that has arrived at the daemon."""
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            body = await reader.readexactly(length)
            first, _, rest = head.partition(b"\r\n")
            sent = first + b"\r\nConnection: close\r\n" + rest + body
            there, back = await asyncio.open_connection("127.0.0.1", self.port)
            back.write(sent)
            answer = await there.read(-1)
            back.close()
            self.requests.append(first)
            if self.lost > 0 and first.startswith(b"POST " + self.path):
                self.lost -= 1
            else:
                writer.write(answer)
                await writer.drain()
        writer.close()
