"""An AMI server: greeting, login, actions and events over TCP.

It answers `Login`, `Ping` and `Logoff` as Asterisk does and any other action with `Success`, unless
a test has put something else into `answers` or silenced it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

Action = dict[str, str]
#: Maps an action to the bytes to send back; None: nothing.
Answer = Callable[[Action], bytes | None]

GREETING = b"Asterisk Call Manager/11.0.0\r\n"


def message(*headers: tuple[str, str], **more: str) -> bytes:
    """One message. Positional pairs allow repeated and odd header names."""
    lines = [f"{name}: {value}\r\n" for name, value in (*headers, *more.items())]
    return "".join(lines).encode() + b"\r\n"


class Connection:
    """One client. `actions`: those that it has sent, in order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.actions: list[Action] = []
        self.raw = bytearray()
        self.logged_in = False
        self.closed = False

    def names(self) -> list[str]:
        return [action["Action"] for action in self.actions]

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def event(self, name: str, *headers: tuple[str, str], **more: str) -> None:
        self.send(message(("Event", name), *headers, **more))

    async def send_in_pieces(self, data: bytes, size: int = 1) -> None:
        """Send so that every `size` bytes are a separate read at the other end."""
        for start in range(0, len(data), size):
            self.writer.write(data[start : start + size])
            await self.writer.drain()
            await asyncio.sleep(0)

    def drop(self) -> None:
        """Drop the connection, as in a crash."""
        self.writer.transport.abort()


class AmiServer:
    def __init__(self, username: str = "avp", secret: str = "s3cret") -> None:
        self.username = username
        self.secret = secret
        self.greeting = GREETING
        self.answers: dict[str, Answer] = {}
        #: Sent after the answer to a login, in the same write.
        self.after_login = b""
        #: Reads but answers nothing, like a half-open connection.
        self.silent = False
        self.connections: list[Connection] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.stop()

    async def listen(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and close all connections."""
        if self._server is not None:
            self._server.close()
        for connection in self.connections:
            connection.drop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    @property
    def last(self) -> Connection:
        return self.connections[-1]

    def received(self, name: str) -> list[Action]:
        """The actions of this name, on all connections."""
        return [a for c in self.connections for a in c.actions if a["Action"] == name]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        connection = Connection(reader, writer)
        self.connections.append(connection)
        try:
            connection.send(self.greeting)
            # A connection that is cut within an action is one of the cases.
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await self._take(connection, await reader.readuntil(b"\r\n\r\n"))
        finally:
            connection.closed = True
            writer.close()

    async def _take(self, connection: Connection, block: bytes) -> None:
        connection.raw += block
        action: Action = {}
        for line in block.decode().split("\r\n"):
            name, colon, value = line.partition(": ")
            if colon:
                # Repeated headers as the client's own parser returns them.
                action[name] = f"{action[name]}\n{value}" if name in action else value
        connection.actions.append(action)
        if self.silent:
            return
        answer = self.answers.get(action["Action"], self._answer)(action)
        if answer is None:
            return
        connection.send(answer)
        if action["Action"] == "Login":
            connection.logged_in = b"Success" in answer
        if action["Action"] == "Logoff" or (action["Action"] == "Login" and b"Error" in answer):
            await connection.writer.drain()
            connection.writer.close()

    def _answer(self, action: Action) -> bytes:
        match action["Action"]:
            case "Login":
                if (action.get("Username"), action.get("Secret")) != (self.username, self.secret):
                    return error(action, "Authentication failed")
                return success(action, Message="Authentication accepted") + self.after_login
            case "Ping":
                return success(action, Ping="Pong", Timestamp="1700000000.000000")
            case "Logoff":
                return reply(action, "Goodbye", Message="Thanks for all the fish.")
            case _:
                return success(action, Message="done")


def reply(action: Action, response: str, **headers: str) -> bytes:
    return (
        message(("Response", response), ("ActionID", action["ActionID"]), **headers)
        if ("ActionID" in action)
        else message(("Response", response), **headers)
    )


def success(action: Action, **headers: str) -> bytes:
    return reply(action, "Success", **headers)


def error(action: Action, text: str) -> bytes:
    return reply(action, "Error", Message=text)
