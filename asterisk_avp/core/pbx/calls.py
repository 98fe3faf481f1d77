"""The state of channels and bridges, as needed to find an agent's call.

An agent's call is a bridge of exactly two channels, one of them the agent's. A member such as
``Local/1001@agents/n`` has two channels: the half of the Local channel that app_queue bridged with
the caller, and the phone behind the other half. The former is the one to transfer, because it is in
a bridge with the caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from asterisk_avp.core.messages.facts import ChannelSeen
from asterisk_avp.core.model.world import agent_of_personal_queue

# The suffix that channel drivers append to the dialled resource: "-" and eight hex digits, then
# ";1" or ";2" for the halves of a Local channel (core_unreal.c).
_SUFFIX = re.compile(r"-[0-9a-f]{8}(;[12])?$")


@dataclass(slots=True)
class Channel:
    id: str
    name: str
    caller_number: str = ""
    caller_name: str = ""
    connected_number: str = ""
    queue: str | None = None
    """The queue of a group whose Queue() the channel last executed."""
    bridge: str | None = None
    on_hold: bool = False
    group: str = ""
    """``AVP_GROUP`` as last read; empty: not read yet, or not set."""
    group_read_in: str | None = None
    """The bridge in which its group was last requested; None: not in its current bridge."""
    linked: str = ""
    rung: bool = False
    """As the last resync found it (`ChannelSeen`)."""


@dataclass(frozen=True, slots=True)
class Call:
    """Two channels in one bridge, seen from the agent's."""

    agent_channel: str
    caller_channel: str
    caller_number: str
    caller_name: str
    queue: str | None
    on_hold: bool
    group: str = ""
    """``AVP_GROUP`` of the caller's channel; empty: not read yet, or not set."""


@lru_cache(maxsize=4096)
def resource_of(name: str) -> str:
    """``PJSIP/1001-0000002a`` → ``PJSIP/1001``; ``Local/1001@agents-00000003;1`` likewise."""
    return _SUFFIX.sub("", name)


@lru_cache(maxsize=16_384)
def resource_of_interface(interface: str) -> str:
    """The prefix that a member's interface gives to the names of its channels."""
    return re.sub(r"(?<=.)/[a-zA-Z]+$", "", interface) if "@" in interface else interface


@dataclass(slots=True)
class Calls:
    channels: dict[str, Channel] = field(default_factory=dict)
    _by_name: dict[str, str] = field(default_factory=dict)
    _by_resource: dict[str, set[str]] = field(default_factory=dict)
    _bridges: dict[str, set[str]] = field(default_factory=dict)
    _groups_before: dict[str, str] = field(default_factory=dict)
    """Channel id to group, from before `clear`."""

    def update(self, seen: ChannelSeen) -> None:
        channel = self.channels.get(seen.id)
        if channel is None:
            if not seen.created:
                return  # it has ended
            channel = self.channels[seen.id] = Channel(seen.id, seen.name)
            channel.group = self._groups_before.pop(seen.id, "")
            self._index(channel)
        elif channel.name != seen.name:
            self._unindex(channel)
            channel.name = seen.name
            self._index(channel)
        channel.caller_number = seen.caller_number or channel.caller_number
        channel.caller_name = seen.caller_name or channel.caller_name
        channel.connected_number = seen.connected_number or channel.connected_number
        if seen.queue and agent_of_personal_queue(seen.queue) is None:
            channel.queue = seen.queue
        channel.linked = seen.linked or channel.linked
        channel.rung = seen.rung
        if seen.bridge:
            self.enter(seen.id, seen.bridge)

    def has_ringing_phone(self, channel_id: str) -> bool:
        """Whether a phone was ringing in this channel's call at the last resync."""
        linked = self.channels[channel_id].linked if channel_id in self.channels else ""
        return any(c.rung and c.linked == linked for c in self.channels.values() if linked)

    def gone(self, channel_id: str) -> None:
        channel = self.channels.pop(channel_id, None)
        if channel is None:
            return
        self._unindex(channel)
        if channel.bridge is not None:
            self._leave(channel, channel.bridge)

    def enter(self, channel_id: str, bridge: str) -> None:
        channel = self.channels.get(channel_id)
        if channel is None:
            return
        if channel.bridge is not None:
            self._leave(channel, channel.bridge)
        channel.bridge = bridge
        channel.on_hold = False  # moving the channel ended the hold
        self._bridges.setdefault(bridge, set()).add(channel_id)

    def leave(self, channel_id: str, bridge: str) -> None:
        channel = self.channels.get(channel_id)
        if channel is not None and channel.bridge == bridge:
            self._leave(channel, bridge)

    def hold(self, channel_id: str, *, on_hold: bool) -> None:
        channel = self.channels.get(channel_id)
        if channel is not None:
            channel.on_hold = on_hold

    def set_group(self, channel_id: str, group: str) -> bool:
        """Set the channel's group; return whether it changed."""
        channel = self.channels.get(channel_id)
        if channel is None or channel.group == group:
            return False
        channel.group = group
        return True

    def clear(self) -> None:
        """Drop everything before a resync. Channels that the resync finds keep their groups."""
        self._groups_before = {c.id: c.group for c in self.channels.values() if c.group}
        self.channels.clear()
        self._by_name.clear()
        self._by_resource.clear()
        self._bridges.clear()

    def name_of(self, channel_id: str) -> str:
        """The channel's name for AMI actions; the id where the channel is unknown.

        Most AMI actions accept either, but Bridge accepts only a name (features.c,
        ``action_bridge``: ``ast_channel_get_by_name_prefix``).
        """
        channel = self.channels.get(channel_id)
        return channel.name if channel is not None else channel_id

    def in_same_bridge(self, channel_id: str) -> list[Channel]:
        """The channel and the others in its bridge; empty where the channel is unknown."""
        channel = self.channels.get(channel_id)
        if channel is None:
            return []
        if channel.bridge is None:
            return [channel]
        return [self.channels[other] for other in self._bridges[channel.bridge]]

    def of_agent(self, interfaces: set[str]) -> list[Call]:
        """The calls of the agent with these member interfaces, calls not on hold first."""
        resources = {resource_of_interface(interface) for interface in interfaces}
        found = [
            self._call(channel, peer)
            for channel in self._channels_of(resources)
            if (peer := self._peer(channel)) is not None and resource_of(peer.name) not in resources
        ]
        return sorted(found, key=lambda call: (call.on_hold, call.agent_channel))

    def has_channel(self, interfaces: Iterable[str]) -> bool:
        """Whether one of these interfaces has a channel."""
        return any(self._by_resource.get(resource_of_interface(x)) for x in interfaces)

    def _channels_of(self, resources: set[str]) -> Iterator[Channel]:
        for resource in resources:
            for channel_id in self._by_resource.get(resource, ()):
                yield self.channels[channel_id]

    def _peer(self, channel: Channel) -> Channel | None:
        if channel.bridge is None:
            return None
        others = self._bridges.get(channel.bridge, set()) - {channel.id}
        return self.channels[others.pop()] if len(others) == 1 else None

    def _call(self, channel: Channel, peer: Channel) -> Call:
        return Call(
            agent_channel=channel.id,
            caller_channel=peer.id,
            caller_number=peer.caller_number or channel.connected_number,
            caller_name=peer.caller_name,
            queue=peer.queue,
            on_hold=channel.on_hold,
            group=peer.group,
        )

    def _index(self, channel: Channel) -> None:
        self._by_name[channel.name] = channel.id
        self._by_resource.setdefault(resource_of(channel.name), set()).add(channel.id)

    def _unindex(self, channel: Channel) -> None:
        if self._by_name.get(channel.name) == channel.id:
            del self._by_name[channel.name]
        _discard(self._by_resource, resource_of(channel.name), channel.id)

    def _leave(self, channel: Channel, bridge: str) -> None:
        channel.bridge = channel.group_read_in = None
        _discard(self._bridges, bridge, channel.id)


def _discard(index: dict[str, set[str]], key: str, value: str) -> None:
    members = index.get(key)
    if members is None:
        return
    members.discard(value)
    if not members:
        del index[key]
