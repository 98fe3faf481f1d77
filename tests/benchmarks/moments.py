"""Find when something happened, in the AMI events and the sound that the test bed keeps.

All moments are wall-clock times of this machine: the arrival of AMI events and phone events, and
for sound, when the kernel received the packet.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from bed import Event, Phone, Probe, match, party
from bed.audio import FRAME, SILENCE, Ear, Track

STEP = 0.01
"""The resolution of `heard_from`, in seconds."""

PACKET = 0.02
"""The length of a packet in seconds. Its sound is before its arrival."""

QUIET = 500
"""The largest sample value in silence, of 32768."""


def both_in_stasis(ami: Probe, channels: Iterable[str], since: float) -> float | None:
    """When the last of these channels started Stasis(), which first clears STASISSTATUS."""
    begin = {"Variable": "STASISSTATUS", "Value": ""}
    entered = [
        next(iter(ami.seen(match("VarSet", Channel=channel, **begin), since)), None)
        for channel in channels
    ]
    return max((event.at for event in entered if event), default=None) if all(entered) else None


def all_entered_bridge(ami: Probe, channels: Iterable[str], since: float) -> float | None:
    """When the last of these channels entered a bridge."""
    entered = [
        next(iter(ami.seen(match("BridgeEnter", Channel=channel), since)), None)
        for channel in channels
    ]
    return max((event.at for event in entered if event), default=None) if all(entered) else None


def music_started(ami: Probe, channel: str, since: float) -> float | None:
    found = ami.seen(match("MusicOnHoldStart", Channel=channel), since)
    return found[0].at if found else None


def channel_made(ami: Probe, name: str, since: float) -> float | None:
    """When Asterisk created a channel to a phone."""
    made = ami.seen(match("Newchannel"), since)
    return next((e.at for e in made if party(e["Channel"]) == name), None)


def agent_called(ami: Probe, interface: str, since: float) -> float | None:
    """When app_queue called a member."""
    found = ami.seen(match("AgentCalled", Interface=interface), since)
    return found[0].at if found else None


def _bridge_moves(events: Iterable[Event]) -> Iterator[tuple[Event, dict[str, str]]]:
    """Each entry into a bridge, with the bridge of every channel after it."""
    where: dict[str, str] = {}
    for event in events:
        channel, bridge = event.get("Channel", ""), event.get("BridgeUniqueid", "")
        if event.name == "BridgeEnter":
            where[channel] = bridge
            yield event, where
        elif event.name == "BridgeLeave" and where.get(channel) == bridge:
            del where[channel]


def connected(ami: Probe, one: str, other: str, since: float) -> float | None:
    """When two phones were connected after `since`, through Local channels or not."""
    for event, where in _bridge_moves(ami.events):
        members: dict[str, set[str]] = {}
        for channel, bridge in where.items():
            members.setdefault(bridge, set()).add(channel)
        if event.at >= since and any({one, other} <= g for g in conversations(members.values())):
            return event.at
    return None


def together(ami: Probe, one: str, other: str, since: float) -> float | None:
    """When two phones' own channels were in one bridge, after `since`."""
    for event, where in _bridge_moves(ami.events):
        bridges = [{b for c, b in where.items() if party(c) == name} for name in (one, other)]
        if event.at >= since and bridges[0] & bridges[1]:
            return event.at
    return None


def local_channels(events: Iterable[Event]) -> tuple[set[str], float]:
    """The Local channels that exist after these events, and when the last one ended."""
    existing: set[str] = set()
    ended = 0.0
    for event in events:
        if event.name == "Newchannel" and event["Channel"].startswith("Local/"):
            existing.add(event["Uniqueid"])
        elif event.name == "Hangup" and event["Uniqueid"] in existing:
            existing.remove(event["Uniqueid"])
            ended = event.at
    return existing, ended


def locals_gone(ami: Probe) -> float | None:
    """When the last Local channel ended; 0: there was none; None: one still exists."""
    existing, ended = local_channels(ami.events)
    return None if existing else ended


def heard_from(phone: Phone, what: set[str], since: float, until: float) -> float | None:
    """When the first packet with exactly this sound reached the phone, after `since`.

    Finer than the bed's own frames: it uses windows of the same length every 10 ms, and requires
    them to be full of sound, so that the end of a silence does not count.
    """
    wanted = frozenset(what) or SILENCE
    tracks = list((phone.ear._streams if phone.ear.tapped else phone.ear.recordings).values())
    end = min(until, time.time() - Ear.SETTLE)
    for step in range(int((end - since) / STEP)):
        start = since + step * STEP
        # Two consecutive windows, because one may be a mixture of an end and a beginning.
        if all(
            _full(tracks, start + more) and phone.ear._label(tracks, start + more) == wanted
            for more in (0, FRAME)
        ):
            return start + PACKET
    return None


def _full(tracks: Iterable[Track], start: float) -> bool:
    """Whether some stream has sound throughout the window."""
    for track in tracks:
        samples = track.frame(start)
        if samples is not None:
            part = len(samples) // 4
            if all(max(samples[i * part : (i + 1) * part]) > QUIET for i in range(4)):
                return True
    return False


def conversations(bridges: Iterable[Iterable[str]]) -> list[set[str]]:
    """The groups of phones that are connected: in one bridge, or in bridges joined by a Local
    pair."""
    groups: list[set[str]] = []
    for channels in bridges:
        mine = {c.removesuffix(";1").removesuffix(";2") for c in channels}
        joined = [group for group in groups if group & mine]
        groups = [group for group in groups if not group & mine]
        groups.append(mine.union(*joined))
    phones = [{party(c) for c in group if not c.startswith("Local/")} for group in groups]
    return [group for group in phones if len(group) > 1]
