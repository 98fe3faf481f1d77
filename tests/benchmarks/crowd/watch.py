"""Track in AMI who is connected to whom, at a negligible cost.

A second AMI user with an event filter receives few events, and only the relevant headers are
parsed. Times are Asterisk's own (`timestampevents`), so that it does not matter when we read them.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from bed import ActionFailed, party

EVENTS: Final = ("Newstate", "BridgeEnter", "BridgeLeave", "BridgeDestroy", "Hangup")
_RINGING: Final = "5"

Message = dict[str, str]


@dataclass
class Joining:
    """Two parties that will be connected: through Local channels, and directly."""

    channel: str
    agent: str
    since: float
    connected: asyncio.Future[float] = field(default_factory=asyncio.Future)
    bridged: asyncio.Future[float] = field(default_factory=asyncio.Future)


class Watch:
    def __init__(self, port: int, secret: str, user: str = "watch") -> None:
        self._port, self._user, self._secret = port, user, secret
        self._ids = itertools.count(1)
        self._answers: dict[str, asyncio.Future[Message]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.bridge_of: dict[str, str] = {}
        """The bridge of each channel, by unique id."""
        self.in_bridge: dict[str, set[str]] = {}
        self.names: dict[str, str] = {}
        """The names of channels that were in a bridge, by unique id."""
        self._ids_of: dict[str, str] = {}
        self._joining: dict[str, Joining] = {}
        self._ringing: dict[str, asyncio.Future[float]] = {}
        self.hung_up: Callable[[str, str], None] = lambda _channel, _cause: None
        """Called for every channel that ends, with its unique id and cause."""

    # --- the connection ----------------------------------------------------------------------

    async def connect(self) -> None:
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
        await reader.readline()
        self._reading = asyncio.create_task(self._read(reader), name="watch")
        await self.action("Login", Username=self._user, Secret=self._secret, Events="on")

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()

    async def action(self, name: str, **headers: str) -> Message:
        """Send an action. Raises `ActionFailed` and `TimeoutError`."""
        assert self._writer is not None
        number = f"w{next(self._ids)}"
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        lines = [f"Action: {name}", f"ActionID: {number}"]
        lines += [f"{key}: {value}" for key, value in headers.items()]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        try:
            async with asyncio.timeout(10):
                found = await answer
        finally:
            del self._answers[number]
        if found.get("Response") == "Error":
            raise ActionFailed(f"{name} {headers}: {found.get('Message')}")
        return found

    async def _read(self, reader: asyncio.StreamReader) -> None:
        rest = b""
        while data := await reader.read(2**18):
            *blocks, rest = (rest + data).split(b"\r\n\r\n")
            for block in blocks:
                self.handle(parsed(block))

    # --- events ------------------------------------------------------------------------------

    def handle(self, message: Message) -> None:
        answer = self._answers.get(message.get("ActionID", ""))
        if answer is not None:
            if not answer.done():
                answer.set_result(message)
            return
        match message.get("Event"):
            case "Newstate" if message["ChannelState"] == _RINGING:
                rings = self._ringing.get(party(message["Channel"]))
                if rings is not None and not rings.done():
                    rings.set_result(float(message["Timestamp"]))
            case "BridgeEnter":
                self._entered(message)
            case "BridgeLeave":
                self._left(message["Uniqueid"])
            case "BridgeDestroy":
                self.in_bridge.pop(message["BridgeUniqueid"], None)
            case "Hangup":
                self._left(message["Uniqueid"])
                name = self.names.pop(message["Uniqueid"], "")
                self._ids_of.pop(name, None)
                self.hung_up(message["Uniqueid"], message.get("Cause", ""))

    def _entered(self, message: Message) -> None:
        channel, bridge = message["Uniqueid"], message["BridgeUniqueid"]
        self._left(channel)
        self.names[channel] = message["Channel"]
        self._ids_of[message["Channel"]] = channel
        self.bridge_of[channel] = bridge
        self.in_bridge.setdefault(bridge, set()).add(channel)
        if self._joining:
            self._check(bridge, float(message["Timestamp"]))

    def _left(self, channel: str) -> None:
        bridge = self.bridge_of.pop(channel, "")
        self.in_bridge.get(bridge, set()).discard(channel)

    def _check(self, bridge: str, at: float) -> None:
        """A channel entered this bridge: resolve the parties that are now connected."""
        reachable = self._reachable(bridge)
        for channel in reachable:
            joining = self._joining.get(channel)
            if joining is None or at < joining.since:
                continue
            own = self.in_bridge.get(self.bridge_of.get(channel, ""), set())
            for future, channels in ((joining.connected, reachable), (joining.bridged, own)):
                if not future.done() and joining.agent in map(self._party, channels):
                    future.set_result(at)

    def _reachable(self, bridge: str) -> set[str]:
        """The channels in this bridge and in those that Local pairs join to it."""
        found: set[str] = set()
        bridges, visited = [bridge], {bridge}
        while bridges:
            here = self.in_bridge.get(bridges.pop(), set())
            found |= here
            for channel in here:
                joined = self.bridge_of.get(self._other_half(channel))
                if joined is not None and joined not in visited:
                    visited.add(joined)
                    bridges.append(joined)
        return found

    def _other_half(self, channel: str) -> str:
        name = self.names.get(channel, "")
        if not name.startswith("Local/"):
            return ""
        return self._ids_of.get(name[:-1] + ("2" if name.endswith(";1") else "1"), "")

    def _party(self, channel: str) -> str:
        name = self.names.get(channel, "")
        return party(name) if name.startswith("PJSIP/") else ""

    # --- waiting -------------------------------------------------------------------------------

    def joining(self, channel: str, agent: str, since: float) -> Joining:
        """Start to wait for the channel and the agent's phone to be connected."""
        joining = self._joining[channel] = Joining(channel, agent, since)
        return joining

    def joined(self, joining: Joining) -> None:
        """Stop waiting for it."""
        if self._joining.get(joining.channel) is joining:
            del self._joining[joining.channel]

    def ringing(self, agent: str) -> asyncio.Future[float]:
        """The time at which the agent's phone rings next."""
        rings = self._ringing[agent] = asyncio.get_running_loop().create_future()
        return rings

    def together(self, channel: str, agent: str) -> bool:
        """Whether they are connected now."""
        bridge = self.bridge_of.get(channel)
        if bridge is None:
            return False
        return agent in map(self._party, self._reachable(bridge))


_WANTED: Final = frozenset(
    (
        *("Event", "Response", "ActionID", "Message", "Timestamp", "Channel", "Uniqueid"),
        *("ChannelState", "BridgeUniqueid", "Cause"),
    )
)


def parsed(block: bytes) -> Message:
    """The relevant headers of a message."""
    found = {}
    for line in block.decode("utf-8", "replace").split("\r\n"):
        key, _, value = line.partition(": ")
        if key in _WANTED:
            found[key] = value
    return found
