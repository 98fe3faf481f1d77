"""The tests' own view of Asterisk over AMI, independent of the product's client."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from .deadlines import deadline, patiently

_T = TypeVar("_T")


class Event(dict[str, str]):
    """One AMI message with the wall-clock time of its arrival. Repeated keys keep the last."""

    at: float = 0.0

    @property
    def name(self) -> str:
        return self.get("Event", "")

    def __repr__(self) -> str:
        return f"<{self.at:.3f} {dict.__repr__(self)}>"


class ActionFailed(AssertionError):
    """Asterisk answered an action with an error."""


class NotOneChannel(AssertionError):
    """A phone has no channel, or several."""


@dataclass(frozen=True)
class Bridge:
    """A bridge and who is in it (channel names)."""

    id: str
    kind: str
    technology: str
    creator: str
    name: str
    channels: frozenset[str] = field(default_factory=frozenset)

    def holds(self, *parties: str) -> bool:
        """Whether it contains exactly these phones' channels."""
        return {party(c) for c in self.channels} == set(parties)


def party(channel: str) -> str:
    """The phone a channel name belongs to: PJSIP/1001-00000002 -> 1001."""
    return channel.partition("/")[2].rpartition("-")[0]


Predicate = Callable[[Event], bool]


def match(name: str | Iterable[str] = (), **fields: str) -> Predicate:
    """A predicate: event name(s), and fields that must be equal (Linkedid="…", Queue="sales")."""
    names = {name} if isinstance(name, str) else set(name)

    def test(event: Event) -> bool:
        return (not names or event.name in names) and all(
            event.get(key) == value for key, value in fields.items()
        )

    return test


# Inside Probe, `list` is the method.
Events = list[Event]
Bridges = list[Bridge]


class Probe:
    """An AMI session that keeps every event."""

    def __init__(self, port: int, secret: str, user: str = "probe") -> None:
        self._port, self._user, self._secret = port, user, secret
        self.events: list[Event] = []
        self._ids = itertools.count(1)
        self._waiting: dict[str, tuple[list[Event], asyncio.Future[list[Event]], bool]] = {}
        self._arrived = asyncio.Event()
        self._reader_task: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self, within: float = 10.0) -> None:
        """Log in and wait until Asterisk says that it has fully booted."""
        await self.close()  # a connection to an Asterisk that is gone
        since = time.time()
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        patience = deadline(within) - time.monotonic()
        if not await asyncio.wait_for(reader.readline(), patience):  # the banner
            raise ConnectionError("nobody listens there")  # but for a container's engine
        self._reader_task = asyncio.create_task(self._read(reader), name="ami probe")
        await self.action("Login", Username=self._user, Secret=self._secret, Events="on")
        await self.wait(match("FullyBooted"), within=within, since=since)

    async def close(self) -> None:
        if self._reader_task is not None:
            self._reader_task.cancel()
            await asyncio.gather(self._reader_task, return_exceptions=True)
            self._reader_task = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def lost(self, within: float) -> None:
        """Wait until Asterisk has closed the connection, because it ends or starts again."""
        assert self._reader_task is not None
        done, _ = await asyncio.wait(
            [self._reader_task], timeout=deadline(within) - time.monotonic()
        )
        assert done, f"Asterisk has not closed the connection within {within} s"

    async def _read(self, reader: asyncio.StreamReader) -> None:
        message = Event()
        try:
            while line := await reader.readline():
                text = line.decode(errors="replace").rstrip("\r\n")
                if text:
                    key, _, value = text.partition(": ")
                    if key in {"Output", "ChanVariable"} and key in message:
                        value = f"{message[key]}\n{value}"
                    message[key.rstrip(":")] = value
                elif message:
                    message.at = time.time()
                    self._take(message)
                    message = Event()
        finally:
            for _, future, _ in self._waiting.values():
                if not future.done():
                    future.set_exception(ConnectionError("AMI connection lost"))
            self._wake()

    def _wake(self) -> None:
        arrived, self._arrived = self._arrived, asyncio.Event()
        arrived.set()

    def _take(self, message: Event) -> None:
        waiting = self._waiting.get(message.get("ActionID", ""))
        if waiting is not None:
            rows, future, as_list = waiting
            rows.append(message)
            over = (
                not as_list
                or message.get("Response") == "Error"
                or message.get("EventList") in ("Complete", "cancelled")
            )
            if over and not future.done():
                future.set_result(rows)
        elif message.name:
            self.events.append(message)
            self._wake()

    async def _send(
        self, action: str, as_list: bool, within: float, fields: dict[str, str | list[str]]
    ) -> list[Event]:
        if self._writer is None:
            raise RuntimeError("not connected")
        action_id = f"probe-{next(self._ids)}"
        future: asyncio.Future[list[Event]] = asyncio.get_running_loop().create_future()
        self._waiting[action_id] = ([], future, as_list)
        lines = [f"Action: {action}", f"ActionID: {action_id}"]
        for key, value in fields.items():
            lines += [f"{key}: {v}" for v in ([value] if isinstance(value, str) else value)]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        try:
            rows = await asyncio.wait_for(future, patiently(within))
        finally:
            del self._waiting[action_id]
        if rows[0].get("Response") == "Error":
            raise ActionFailed(f"{action} {fields}: {rows[0].get('Message')}")
        return rows

    async def action(self, action: str, within: float = 5.0, **fields: str | list[str]) -> Event:
        """Send an action. Returns its response. Raises ActionFailed for an error."""
        fields.pop("Action", None)
        return (await self._send(action, False, within, fields))[0]

    async def list(self, action: str, within: float = 5.0, **fields: str) -> Events:
        """Send an action that answers with a list. Returns the list's events without first and
        last."""
        rows = await self._send(action, True, within, dict(fields))
        return rows[1:-1]

    async def command(self, text: str) -> str:
        """The output of a CLI command."""
        return (await self.action("Command", Command=text)).get("Output", "")

    # Waiting -------------------------------------------------------------------------------

    async def mark(self) -> float:
        """Now, to be passed as `since` later: the events of all that happened before have arrived.

        An action is answered while events are still on their way. They come in the order in which
        they were published (manager.c has one subscription), so that of a variable comes last.
        """
        token, since = str(next(self._ids)), time.time()
        await self.action("Setvar", Variable="AVP_TEST_MARK", Value=token)
        await self.wait(match("VarSet", Variable="AVP_TEST_MARK", Value=token), 5.0, since)
        return time.time()

    def seen(self, test: Predicate, since: float = 0.0) -> Events:
        return [e for e in self.events if e.at >= since and test(e)]

    async def wait(self, test: Predicate, within: float, since: float | None = None) -> Event:
        """The first matching event, from `since` (default: now) on."""
        since = time.time() if since is None else since
        over = deadline(within)
        looked = 0
        while True:
            arrived = self._arrived
            for event in self.events[looked:]:
                if event.at >= since and test(event):
                    return event
            looked = len(self.events)
            left = over - time.monotonic()
            if left <= 0:
                recent = ", ".join(e.name for e in self.seen(lambda _: True, since))
                raise AssertionError(f"no such event within {within} s; seen: {recent or 'none'}")
            try:
                await asyncio.wait_for(arrived.wait(), left)
            except TimeoutError:
                continue

    # State ---------------------------------------------------------------------------------

    async def channels(self) -> Events:
        """All channels, from CoreShowChannels, which may list one twice while it changes."""
        rows = await self.list("CoreShowChannels")
        return [*{row["Uniqueid"]: row for row in rows}.values()]

    async def channel_of(self, name: str) -> Event:
        """The one channel of a phone. Raises `NotOneChannel`."""
        mine = [c for c in await self.channels() if party(c["Channel"]) == name]
        if len(mine) != 1:
            raise NotOneChannel(f"{name} has {len(mine)} channels: {[c['Channel'] for c in mine]}")
        return mine[0]

    async def bridges(self) -> Bridges:
        """All bridges with their channels, without empty parking lots, which are always there."""
        found = []
        for row in await self.list("BridgeList"):
            try:
                members = await self.list("BridgeInfo", BridgeUniqueid=row["BridgeUniqueid"])
            except ActionFailed:
                continue  # gone meanwhile
            if row["BridgeCreator"] == "Parking" and not members:
                continue
            found.append(
                Bridge(
                    id=row["BridgeUniqueid"],
                    kind=row["BridgeType"],
                    technology=row["BridgeTechnology"],
                    creator=row["BridgeCreator"],
                    name=row["BridgeName"],
                    channels=frozenset(m["Channel"] for m in members),
                )
            )
        return found

    async def members(self, queue: str) -> dict[str, Event]:
        """A queue's members by name, from QueueStatus."""
        rows = await self.list("QueueStatus", Queue=queue)
        return {r["Name"]: r for r in rows if r.name == "QueueMember"}

    async def waiting(self, queue: str) -> Events:
        """The calls that wait in a queue, in order."""
        rows = await self.list("QueueStatus", Queue=queue)
        return sorted((r for r in rows if r.name == "QueueEntry"), key=lambda r: int(r["Position"]))

    async def variable(self, channel: str, name: str) -> str:
        """A channel variable or function, as Getvar reads it."""
        return (await self.action("Getvar", Channel=channel, Variable=name)).get("Value", "")

    async def bridged(self, *parties: str, within: float = 5.0) -> Bridge:
        """Wait until exactly these phones are together in a bridge."""

        async def look() -> Bridge | None:
            return next((b for b in await self.bridges() if b.holds(*parties)), None)

        found = await self.until(look, within)
        if found is None:
            have = [sorted(b.channels) for b in await self.bridges()]
            raise AssertionError(f"{parties} not bridged within {within} s; bridges: {have}")
        return found

    async def assert_clean(self, within: float = 3.0) -> None:
        """Wait until no channel and no bridge is left; fails with the remaining ones."""

        async def look() -> bool | None:
            return True if not await self.channels() and not await self.bridges() else None

        if await self.until(look, within) is None:
            left = [
                f"{c['Channel']} {c['ChannelStateDesc']} {c['Application']}({c['ApplicationData']})"
                for c in await self.channels()
            ]
            left += [f"bridge {b.id} {sorted(b.channels)}" for b in await self.bridges()]
            raise AssertionError(f"left over after {within} s: {'; '.join(left)}")

    async def until(self, look: Callable[[], Awaitable[_T | None]], within: float) -> _T | None:
        """Check after each event, and now and then, until there is a result."""
        over = deadline(within)
        while True:
            arrived = self._arrived
            found = await look()
            left = over - time.monotonic()
            if found is not None or left <= 0:
                return found
            try:
                await asyncio.wait_for(arrived.wait(), min(left, 0.1))
            except TimeoutError:
                continue
