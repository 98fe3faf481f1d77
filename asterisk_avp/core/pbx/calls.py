"""The state of channels and bridges, as needed to find an agent's call.

An agent's call is a bridge of exactly two channels, one of them the agent's. A member such as
``Local/1001@agents/n`` has two channels: the half of the Local channel that app_queue bridged with
the caller, and the phone behind the other half. The former is the one to transfer, because it is in
a bridge with the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from asterisk_avp.core.messages.facts import ChannelSeen
from asterisk_avp.core.pbx.channel import (
    Call,
    Channel,
    Half,
    other_half_of,
    resource_of,
    resource_of_interface,
)
from asterisk_avp.core.pbx.expected import Answers, Move, Moves, Pair

_TWO = 2


@dataclass(slots=True)
class Calls:
    channels: dict[str, Channel] = field(default_factory=dict)
    _by_name: dict[str, str] = field(default_factory=dict)
    _by_resource: dict[str, set[str]] = field(default_factory=dict)
    _bridges: dict[str, set[str]] = field(default_factory=dict)
    _before: dict[str, Channel] = field(default_factory=dict)
    """Channel id to channel, from before `clear`."""
    _replacing: dict[str, Half] = field(default_factory=dict)
    """Channels that Asterisk moves from one half of a Local channel into the other half's bridge,
    in place of that half (bridge.c, ``try_swap_optimize_out``). The events of it are several."""
    _moves: Moves = field(default_factory=Moves)
    _answers: Answers = field(default_factory=Answers)
    ours: Callable[[str], bool] = lambda _bridge: False
    """Whether a bridge is one in which a transfer holds its parties."""

    def update(self, seen: ChannelSeen) -> None:
        channel = self.channels.get(seen.id)
        if channel is None:
            if not seen.created:
                return  # it has ended
            channel = self.channels[seen.id] = Channel(
                seen.id, seen.name, presentation=seen.presentation
            )
            before = self._before.pop(seen.id, None)
            if before is not None:
                channel.group, channel.presentation = before.group, before.presentation
            self._index(channel)
        elif channel.name != seen.name:
            self._unindex(channel)
            channel.name = seen.name
            self._index(channel)
        channel.learn(seen)
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
        self._replacing.pop(channel_id, None)
        self._moves.end(channel_id)
        self._answers.end(channel_id)
        resource = resource_of(channel.name)
        if resource not in self._by_resource:
            for answered in self._answers.by([resource]):
                self._answers.end(answered)
        if channel.bridge is not None:
            self._leave(channel, channel.bridge)
        self._replaced()

    # --- calls that events do not show yet ---------------------------------------------------

    def expect(self, moved: Pair, parties: Pair) -> None:
        """AMI Bridge of two channels begins; see `Move`."""
        if all(party in self.channels for party in parties):
            places = {x: self.channels[x].bridge for x in (*moved, *parties) if x in self.channels}
            self._moves.begin(Move(moved, parties, places))

    def bridged(self, moved: Pair) -> tuple[str, ...]:
        """AMI Bridge has succeeded; its events may come later. Return whom it concerns."""
        move = self._moves.of_pair(moved)
        if move is None:
            return ()  # events have shown it already
        move.done = True
        for each in moved:
            channel = self.channels.get(each)
            # Whoever stays in that bridge has no call with them any more.
            if channel is not None and channel.bridge is not None and self._is_left(channel, move):
                self._leave(channel, channel.bridge)
        return move.parties

    def _is_left(self, channel: Channel, move: Move) -> bool:
        """Whether the channel is still where Asterisk has moved it from."""
        return channel.bridge == move.before.get(channel.id) or self.ours(channel.bridge or "")

    def not_bridged(self, moved: Pair) -> tuple[str, ...]:
        """AMI Bridge has failed, or is not awaited any longer. Return whom it concerned."""
        move = self._moves.of_pair(moved)
        if move is None:
            return ()
        self._moves.end(move.parties[0])
        return move.parties

    def answered(self, channel_id: str, interfaces: Iterable[str]) -> None:
        """The agent with these interfaces has answered a call of this channel."""
        channel = self.channels.get(channel_id)
        resources = {resource_of_interface(interface) for interface in interfaces}
        if channel is None or not resources:
            return
        if len(self.in_same_bridge(channel_id)) == 1:
            self._answers.begin(channel_id, resources)

    def phone_behind(self, far_end: str) -> str:
        """The channel of the phone that has answered this half of a Local channel; empty: none."""
        beyond = [x.id for x in self.in_same_bridge(far_end) if x.id != far_end]
        beyond += [x for x, half in self._replacing.items() if half.near == far_end]
        beyond = beyond or [
            phone.id
            for phone in self._channels_of(self._answers.resources(far_end))
            if phone.bridge is None
        ]
        return beyond[0] if len(beyond) == 1 else ""

    def partner_of(self, channel_id: str) -> Channel | None:
        """With whom a `Move` brings the channel together; None: nobody."""
        move = self._moves.of_party(channel_id)
        return self.channels.get(move.other(channel_id)) if move is not None else None

    def concerned(self, channel_id: str) -> list[Channel]:
        """Whose calls may be others if something happens to this channel; itself among them."""
        found = self.in_same_bridge(channel_id)
        replacing = [x for x, half in self._replacing.items() if half.near == channel_id]
        partners = [self.partner_of(each) for each in (channel_id, *(c.id for c in found))]
        return [
            *found,
            *(self.channels[each] for each in replacing),
            *(partner for partner in partners if partner is not None),
        ]

    def resynced(self) -> None:
        """A resync has found all channels and bridges; see `clear`."""
        for move in self._moves.all():
            places = [c.bridge for c in map(self.channels.get, move.parties) if c is not None]
            if len(places) != _TWO or (places[0] is not None and places[0] == places[1]):
                self._moves.end(move.parties[0])

    # --- bridges -----------------------------------------------------------------------------

    def enter(self, channel_id: str, bridge: str) -> None:
        channel = self.channels.get(channel_id)
        if channel is None:
            return
        if channel.bridge is not None:
            self.leave(channel_id, channel.bridge)
        channel.bridge = bridge
        self._bridges.setdefault(bridge, set()).add(channel_id)
        self._catch_up(bridge)
        self._replaced()

    def leave(self, channel_id: str, bridge: str) -> None:
        channel = self.channels.get(channel_id)
        if channel is not None and channel.bridge == bridge:
            peer = self._peer(channel)
            far = self.other_half(peer) if peer is not None else None
            if peer is not None and far is not None:
                self._replacing[channel_id] = Half(peer.id, far)
            self._leave(channel, bridge)
            self._replaced()
            self._answers.end(channel_id)

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
        """Drop everything before a resync. Channels that it finds keep what it does not read.

        Moves stay: the resync can find Asterisk in the middle of one.
        """
        self._before = dict(self.channels)
        self.channels.clear()
        self._by_name.clear()
        self._by_resource.clear()
        self._bridges.clear()
        self._replacing.clear()
        self._answers.clear()

    def name_of(self, channel_id: str) -> str:
        """The channel's name for AMI actions; the id where the channel is unknown.

        Most AMI actions accept either, but Bridge accepts only a name (features.c,
        ``action_bridge``: ``ast_channel_get_by_name_prefix``).
        """
        channel = self.channels.get(channel_id)
        return channel.name if channel is not None else channel_id

    def other_half(self, channel: Channel) -> str | None:
        return self._by_name.get(other_half_of(channel.name))

    def in_same_bridge(self, channel_id: str) -> list[Channel]:
        """The channel and the others in its bridge; empty where the channel is unknown."""
        channel = self.channels.get(channel_id)
        if channel is None:
            return []
        return [channel] if channel.bridge is None else self.in_bridge(channel.bridge)

    def in_bridge(self, bridge: str) -> list[Channel]:
        return [self.channels[channel] for channel in self._bridges.get(bridge, ())]

    def of_agent(self, interfaces: set[str], legs: Iterable[str] = ()) -> list[Call]:
        """The calls of the agent with these member interfaces or ``legs``, not on hold first."""
        resources = {resource_of_interface(interface) for interface in interfaces}
        channels = [*self._channels_of(resources), *filter(None, map(self.channels.get, legs))]
        if not channels and not self._answers:
            return []  # as of most agents
        found = [
            self._call(channel, peer)
            for channel in channels
            # The far half of a member Local/…/n is bridged with the agent's own phone.
            if not channel.name.endswith(";2")
            and (peer := self._peer(channel)) is not None
            and resource_of(peer.name) not in resources
        ]
        for answered in self._answers.by(resources) - {call.caller_channel for call in found}:
            ringing = [x.id for x in channels if x.bridge is None]
            found.append(self._made(ringing[0] if ringing else "", self.channels[answered]))
        return sorted(found, key=lambda call: (call.on_hold, call.agent_channel))

    def channels_of(self, interfaces: Iterable[str]) -> list[str]:
        """The ids of these interfaces' channels."""
        resources = {resource_of_interface(interface) for interface in interfaces}
        return [channel.id for channel in self._channels_of(resources)]

    def has_channel(self, interfaces: Iterable[str]) -> bool:
        """Whether one of these interfaces has a channel."""
        return bool(self.channels_of(interfaces))

    def _channels_of(self, resources: Iterable[str]) -> Iterator[Channel]:
        for resource in resources:
            for channel_id in self._by_resource.get(resource, ()):
                yield self.channels[channel_id]

    def _peer(self, channel: Channel) -> Channel | None:
        move = self._moves.of_party(channel.id)
        there = self._bridged_with(channel)
        if move is None:
            return there
        begun = move.done or channel.bridge is None or there is None or there.id in move.moved
        return self.partner_of(channel.id) if begun else there

    def _bridged_with(self, channel: Channel) -> Channel | None:
        half = self._replacing.get(channel.id)
        if channel.bridge is None:
            return self.channels.get(half.near) if half is not None else None
        others = self._bridges.get(channel.bridge, set()) - {channel.id}
        if len(others) > 1:
            here = self._bridges[channel.bridge]
            others -= {half.far for x, half in self._replacing.items() if x in here}
        return self.channels[others.pop()] if len(others) == 1 else None

    def _call(self, channel: Channel, peer: Channel) -> Call:
        move = self._moves.of_party(channel.id)
        settling = channel.id in self._replacing or (
            move is not None and (not move.done or move.moved != move.parties)
        )
        return self._made(channel.id, peer, channel, settling=settling)

    def _made(
        self, agent: str, peer: Channel, channel: Channel | None = None, *, settling: bool = True
    ) -> Call:
        return Call(
            agent_channel=agent,
            caller_channel=peer.id,
            caller=peer.caller_or(channel.connected_number if channel else ""),
            queue=peer.queue,
            on_hold=channel is not None and channel.on_hold,
            group=peer.group,
            context=peer.context,
            settling=settling,
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
        self._catch_up(bridge)

    def _replaced(self) -> None:
        """Forget replacements that are over: the half is gone, or the channel is elsewhere."""
        for channel_id, half in tuple(self._replacing.items()):
            bridge = self.channels[channel_id].bridge
            far = self.channels.get(half.far)
            if bridge is None:
                under_way = half.near in self.channels
            else:
                under_way = far is not None and far.bridge == bridge
            if not under_way:
                del self._replacing[channel_id]

    def _catch_up(self, bridge: str) -> None:
        """The events may have shown, in one bridge with nobody else, whom we expect there."""
        found = [*self._bridges.get(bridge, ())]
        if len(found) != _TWO:
            return
        for one, other in (found, found[::-1]):
            if resource_of(self.channels[other].name) in self._answers.resources(one):
                self._answers.end(one)
        move = self._moves.of_party(found[0])
        if move is not None and move.other(found[0]) == found[1] and not self.ours(bridge):
            self._moves.end(found[0])


def _discard(index: dict[str, set[str]], key: str, value: str) -> None:
    members = index.get(key)
    if members is None:
        return
    members.discard(value)
    if not members:
        del index[key]
