"""A simulated Asterisk: queues, members, calls and whole transfers, over real AMI and real ARI.

It has the state that Asterisk would have, and executes the daemon's requests: `Redirect` takes both
channels into Stasis, an originate rings the target through their personal queue, `Bridge` makes a
plain bridge and removes the Local channel. Each step sends Asterisk's events, in its order and with
its headers. Requests that it does not simulate are refused and listed in `unknown`, so that no
benchmark relies on an answer that Asterisk would not give.

There is no sound, no time-out of ringing, and it is faster than any Asterisk: it is for measuring
the daemon with more agents and calls than a machine has phones for.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Self

from servers.ami_server import AmiServer, Connection
from servers.ari_server import AriServer
from servers.pbx_channels import (
    DEVICE_RINGING,
    IN_USE,
    NOT_IN_USE,
    RINGING,
    UP,
    Call,
    Channel,
    Member,
)

PERSONAL = "avp-agent-"
Recorded = bytes | dict[str, object]
"""An AMI event, or an ARI event."""


class Pbx:
    """``members``: by agent, their group queues. ``personal``: whether the personal queues have
    members that an earlier version of the daemon has left.
    """

    def __init__(
        self, members: Mapping[str, Iterable[str]], *, personal: bool = False, app: str
    ) -> None:
        self.app = app
        self.ami = AmiServer()
        self.ari = AriServer(stasis=True)
        self.members = {
            agent: Member(agent, tuple(queues), personal=personal)
            for agent, queues in members.items()
        }
        self.queues = sorted({queue for member in self.members.values() for queue in member.queues})
        self.channels: dict[str, Channel] = {}
        self.bridges: dict[str, set[str]] = {}
        self.globals: dict[str, str] = {}
        self.unknown: list[str] = []
        self.started = "2026-01-01T00:00:00.000+0000"
        self.cut: set[str] = set()
        """Endpoints of trunks that do not reach the other node."""
        """Requests that are not simulated."""
        self.sent = 0
        """The number of AMI events sent so far."""
        self.logged_in_at = 0.0
        """When the daemon logged in to AMI, by the monotonic clock."""
        self._by_name: dict[str, Channel] = {}
        self._numbers = itertools.count(1)
        self._recorded: list[Recorded] | None = None
        self._expected: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._told: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        self._telling: asyncio.Task[None] | None = None
        # Imported here because those modules need this one's class.
        from servers.pbx_ami import PbxAmi
        from servers.pbx_ari import PbxAri

        self.ami.answers |= PbxAmi(self).answers
        self.ari.handler = PbxAri(self)

    async def __aenter__(self) -> Self:
        await self.ami.listen()
        await self.ari.listen()
        self._telling = asyncio.create_task(self._tell_ari())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._telling is not None:
            self._telling.cancel()
        await self.ami.stop()
        await self.ari.stop()

    # --- events ------------------------------------------------------------------------------

    def emit(self, name: str, *headers: str, privilege: str = "call,all") -> None:
        """One AMI event: sent immediately, or kept while recording."""
        text = f"Event: {name}\r\nPrivilege: {privilege}\r\n{''.join(headers)}\r\n".encode()
        self.sent += 1
        if self._recorded is not None:
            self._recorded.append(text)
            return
        for connection in self._connections():
            connection.send(text)

    def _connections(self) -> list[Connection]:
        return [c for c in self.ami.connections if c.logged_in and not c.closed]

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[Recorded]]:
        """Keep the events for `play` instead of sending them."""
        self._recorded = kept = []
        try:
            yield kept
        finally:
            self._recorded = None

    async def play(self, events: list[Recorded]) -> None:
        """Send recorded events as fast as they are accepted."""
        (connection,) = self._connections()
        for start in range(0, len(events), 200):
            some = events[start : start + 200]
            for event in some:
                if isinstance(event, dict):
                    self._told.put_nowait(event)
            connection.send(b"".join(event for event in some if isinstance(event, bytes)))
            await connection.writer.drain()
            await self._told.join()

    def tell(self, kind: str, channel: Channel | None, **more: object) -> None:
        """One ARI event: sent after those before it, or kept while recording."""
        event: dict[str, object] = {
            "type": kind,
            "application": self.app,
            "timestamp": "2026-01-31T09:05:07.250+0000",
            **more,
        }
        if channel is not None:
            event["channel"] = channel.as_json(self.app)
        if self._recorded is not None:
            self._recorded.append(event)
        else:
            self._told.put_nowait(event)

    def stasis(self, kind: str, channel: Channel) -> None:
        """StasisStart or StasisEnd of a channel."""
        if (kind == "StasisStart") is not channel.stasis:
            channel.stasis = not channel.stasis
            self.tell(kind, channel, args=[])

    async def _tell_ari(self) -> None:
        while True:
            event = await self._told.get()
            owner = self.ari.owner
            if owner is not None:
                kind = str(event.pop("type"))
                await owner.event(kind, **event)
            self._told.task_done()

    def expect(self, action: str, subject: str) -> asyncio.Future[None]:
        """Done once the daemon has asked for this action: `QueuePause` on a queue, or `Getvar` of
        a channel, given its name.
        """
        future = asyncio.get_running_loop().create_future()
        self._expected[action, subject] = future
        return future

    def asked(self, action: str, subject: str) -> None:
        expected = self._expected.pop((action, subject), None)
        if expected is not None and not expected.done():
            expected.set_result(None)

    # --- calls -------------------------------------------------------------------------------

    def offer(self, agent: str, queue: str) -> Call:
        """A caller enters a queue, which rings a member."""
        member = self.members[agent]
        number = next(self._numbers)
        caller = self.channel(f"PJSIP/trunk-{number:08x}", number=f"+1202555{number % 10000:04d}")
        caller.variables |= {"AVP_GROUP": queue, "AVP_POP_CUSTOMER": f"C-{number}"}
        self._state(caller, UP)
        self.join(caller, queue)
        self.music(caller, on=True)
        phone = self.channel(f"{member.interface}-{next(self._numbers):08x}", linked=caller.id)
        phone.number, phone.connected, phone.member = agent, caller.number, member
        self.ring(member, phone, caller, queue)
        return Call(caller, phone, member, queue)

    def answer(self, call: Call) -> None:
        self.connect(call.member, call.phone, call.caller, call.queue)

    def hang_up(self, channel: Channel) -> None:
        """A party hangs up; whoever is alone with it in a plain bridge is hung up too, and so is
        the other half of a Local channel.
        """
        if channel.id not in self.channels:
            return
        other = self.peer(channel)
        self.emit("HangupRequest", channel.headers(), "Cause: 16\r\n")
        self.gone(channel)
        for left in (other, channel.other):
            if left is not None and not left.stasis:
                self.hang_up(left)

    def unrelated(self, agent: str) -> None:
        """Other events of these classes that Asterisk sends: registrations and trunks."""
        contact = (
            f"URI: sip:{agent}@192.0.2.1:5060\r\nContactStatus: Reachable\r\nAOR: {agent}\r\n"
            f"EndpointName: {agent}\r\nRoundtripUsec: 1234\r\n"
        )
        self.emit("ContactStatus", contact, privilege="system,all")
        for state in ("INUSE", "NOT_INUSE"):
            self.emit("DeviceStateChange", f"Device: PJSIP/trunk\r\nState: {state}\r\n")

    def pause(self, agent: str, *, paused: bool) -> None:
        member = self.members[agent]
        member.paused = paused
        for queue in member.queues:
            self.emit("QueueMemberPause", member.headers(queue), privilege="agent,all")

    def log_in(self, agent: str, queue: str) -> None:
        member = self.members[agent]
        member.queues = (*member.queues, queue)
        self.emit("QueueMemberAdded", member.headers(queue), privilege="agent,all")

    def log_out(self, agent: str, queue: str) -> None:
        member = self.members[agent]
        if queue in member.queues:
            member.queues = tuple(other for other in member.queues if other != queue)
            self.emit("QueueMemberRemoved", member.headers(queue), privilege="agent,all")

    # --- steps of calls ------------------------------------------------------------------------

    def channel(self, name: str, *, id: str = "", number: str = "", linked: str = "") -> Channel:  # noqa: A002
        identifier = id or f"1795371590.{next(self._numbers)}"
        channel = Channel(identifier, name, linked=linked or identifier)
        if number:
            channel.number = channel.caller = number
        self.channels[channel.id] = self._by_name[name] = channel
        self.emit("Newchannel", channel.headers())
        self.tell("ChannelCreated", channel)
        return channel

    def join(self, channel: Channel, queue: str) -> None:
        channel.queue = channel.queue_app = queue
        place = f"Queue: {queue}\r\nPosition: 1\r\nCount: 1\r\n"
        self.emit("QueueCallerJoin", channel.headers(), place, privilege="agent,all")

    def ring(self, member: Member, phone: Channel, caller: Channel, queue: str) -> None:
        both = caller.headers() + phone.headers("Dest")
        of = f"Queue: {queue}\r\nInterface: {member.interface}\r\nMemberName: A {member.agent}\r\n"
        self.emit("DialBegin", both, f"DialString: {member.agent}\r\n")
        self.emit("AgentCalled", both, of, privilege="agent,all")
        self._dial(caller, phone, "")
        self._state(phone, RINGING)
        self.device(member, DEVICE_RINGING)

    def connect(self, member: Member, phone: Channel, caller: Channel, queue: str) -> None:
        self._state(phone, UP)
        both = caller.headers() + phone.headers("Dest")
        self.emit("DialEnd", both, "DialStatus: ANSWER\r\n")
        self._dial(caller, phone, "ANSWER")
        self.music(caller, on=False)
        caller.queue, phone.served = "", queue
        place = f"Queue: {queue}\r\nPosition: 1\r\nCount: 0\r\n"
        self.emit("QueueCallerLeave", caller.headers(), place, privilege="agent,all")
        member.in_call = True
        of = f"Queue: {queue}\r\nInterface: {member.interface}\r\nMemberName: A {member.agent}\r\n"
        times = "HoldTime: 2\r\nRingTime: 2000\r\n"
        self.emit("AgentConnect", both, of, times, privilege="agent,all")
        self.emit("NewConnectedLine", phone.headers())
        self.tell("ChannelConnectedLine", phone)
        bridge = self.new_bridge("basic")
        self.enter(phone, bridge)
        self.enter(caller, bridge)
        self.device(member, IN_USE)

    def gone(self, channel: Channel) -> None:
        self.leave(channel)
        self.stasis("StasisEnd", channel)
        if channel.queue:
            place = f"Queue: {channel.queue}\r\nPosition: 1\r\nCount: 0\r\n"
            self.emit("QueueCallerLeave", channel.headers(), place, privilege="agent,all")
        self.emit("Hangup", channel.headers(), "Cause: 16\r\nCause-txt: Normal Clearing\r\n")
        self.tell("ChannelDestroyed", channel, cause=16, cause_txt="Normal Clearing")
        del self.channels[channel.id]
        self._by_name.pop(channel.name, None)
        member = channel.member
        if member is None:
            return
        if channel.served:
            member.in_call, member.last_call = False, int(time.time())
            of = f"Queue: {channel.served}\r\nInterface: {member.interface}\r\n"
            rest = (
                f"MemberName: A {member.agent}\r\nHoldTime: 2\r\nTalkTime: 9\r\nReason: agent\r\n"
            )
            self.emit("AgentComplete", of, rest, privilege="agent,all")
        self.device(member, NOT_IN_USE)

    def device(self, member: Member, status: int) -> None:
        """app_queue reports a device's state change for each queue of the member."""
        member.status = status
        self.emit("DeviceStateChange", member.device_state)
        for queue in member.everywhere:
            self.emit("QueueMemberStatus", member.headers(queue), privilege="agent,all")

    def music(self, channel: Channel, *, on: bool) -> None:
        if channel.music is not on:
            channel.music = on
            name, more = (
                ("MusicOnHoldStart", "Class: default\r\n") if on else ("MusicOnHoldStop", "")
            )
            self.emit(name, channel.headers(), more)

    def _dial(self, caller: Channel, phone: Channel, status: str) -> None:
        self.tell(
            "Dial",
            None,
            dialstatus=status,
            forward="",
            dialstring="",
            caller=caller.as_json(self.app),
            peer=phone.as_json(self.app),
        )

    def _state(self, channel: Channel, state: int) -> None:
        channel.state = state
        self.emit("Newstate", channel.headers())

    # --- bridges -------------------------------------------------------------------------------

    def new_bridge(self, kind: str, identifier: str = "") -> str:
        bridge = identifier or f"b{next(self._numbers)}"
        self.bridges[bridge] = set()
        self.emit("BridgeCreate", self._bridge_headers(bridge, kind))
        return bridge

    def enter(self, channel: Channel, bridge: str) -> None:
        self.leave(channel)
        channel.bridge = bridge
        self.bridges[bridge].add(channel.id)
        self.emit("BridgeEnter", self._bridge_headers(bridge), channel.headers())
        self.tell("ChannelEnteredBridge", channel, bridge=self._bridge_json(bridge))

    def leave(self, channel: Channel) -> None:
        bridge, channel.bridge = channel.bridge, None
        if bridge is None:
            return
        self.bridges[bridge].discard(channel.id)
        self.emit("BridgeLeave", self._bridge_headers(bridge), channel.headers())
        self.tell("ChannelLeftBridge", channel, bridge=self._bridge_json(bridge))
        if not self.bridges[bridge] and not bridge.startswith("avp-"):
            self.destroy(bridge)

    def destroy(self, bridge: str) -> None:
        for channel in list(self.bridges[bridge]):
            self.leave(self.channels[channel])
        if self.bridges.pop(bridge, None) is not None:
            self.emit("BridgeDestroy", self._bridge_headers(bridge))

    def peer(self, channel: Channel) -> Channel | None:
        """The only other channel in its bridge."""
        others = self.bridges.get(channel.bridge or "", set()) - {channel.id}
        return self.channels[others.pop()] if len(others) == 1 else None

    def _bridge_json(self, bridge: str) -> dict[str, object]:
        return {
            "id": bridge,
            "technology": "simple_bridge",
            "bridge_type": "mixing",
            "bridge_class": "basic",
            "creator": "",
            "name": "",
            "channels": sorted(self.bridges.get(bridge, ())),
            "creationtime": "2026-01-31T09:05:07.250+0000",
            "video_mode": "none",
        }

    def _bridge_headers(self, bridge: str, kind: str = "basic") -> str:
        return (
            f"BridgeUniqueid: {bridge}\r\nBridgeType: {kind}\r\n"
            "BridgeTechnology: simple_bridge\r\nBridgeCreator: <unknown>\r\n"
            f"BridgeName: <unknown>\r\nBridgeNumChannels: {len(self.bridges.get(bridge, ()))}\r\n"
            "BridgeVideoSourceMode: none\r\n"
        )

    # --- what is asked for ----------------------------------------------------------------------

    def find(self, named: str) -> Channel | None:
        return self._by_name.get(named) or self.channels.get(named)

    def into_stasis(self, channels: list[Channel]) -> None:
        for channel in channels:
            self.leave(channel)
        for channel in channels:
            self.stasis("StasisStart", channel)

    def bridge_pair(self, first: Channel, second: Channel) -> None:
        bridge = self.new_bridge("basic")
        for channel in (first, second):
            self.enter(channel, bridge)
            self.stasis("StasisEnd", channel)
        if first.other is not None:
            self._optimise(first, first.other, bridge)

    def _optimise(self, near: Channel, far: Channel, bridge: str) -> None:
        """The channel behind a Local channel takes its place."""
        phone = self.peer(far)
        if phone is None:
            return
        both = near.headers("LocalOne") + far.headers("LocalTwo")
        self.emit("LocalOptimizationBegin", both)
        self.leave(near)
        self.enter(phone, bridge)
        self.emit("LocalOptimizationEnd", both)
        self.gone(near)
        self.gone(far)

    def told_of_member(self, event: str, member: Member) -> None:
        self.emit(event, member.headers(PERSONAL + member.agent), privilege="agent,all")
