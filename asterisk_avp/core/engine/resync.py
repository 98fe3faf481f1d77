"""Bring every session up to date after a resync: known ones and those of an earlier daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.effects import (
    Effect,
    PauseRecording,
    Play,
    ResumeRecording,
    SetVariables,
    StartHold,
    StartMusic,
    StartRingback,
    StopMusic,
    StopPlaying,
    StopRingback,
)
from asterisk_avp.core.transfer import machine, recovery
from asterisk_avp.core.transfer.session import Session, is_bridge, is_leg

_REPEATABLE: Final = (
    *(PauseRecording, ResumeRecording, SetVariables),
    *(StartHold, StartMusic, StartRingback, StopMusic, StopRingback, Play, StopPlaying),
)
"""What may be performed a second time, and later: nobody can see whether it is in place, and mostly
it is."""


class Stored(NamedTuple):
    """A session that an earlier daemon has stored on the caller's channel."""

    session: Session
    written: Mapping[str, str]
    """The variables that it was read from, in the order of `persistence.variables`."""


def take_over(
    engine: TransferEngine,
    found: Iterable[Stored],
    in_stasis: AbstractSet[str],
    now: float,
    is_busy: Callable[[str], bool] = lambda _session: False,
    *,
    only: AbstractSet[str] | None = None,
    restart_steps: bool = False,
    bridges: AbstractSet[str] = frozenset(),
    later: dict[str, list[Effect]] | None = None,
) -> Outcome:
    """Apply to every session the events that it missed, and make it continue.

    ``found``: sessions read from channels. Those that the store holds already are ignored.
    ``in_stasis``: channels that Asterisk reports as being in our application.
    ``is_busy``: whether an effect of a session is in flight, whose outcome will be reported.
    ``only``: ids of the sessions that need a resync, where the others have missed nothing.
    ``restart_steps``: no effect is in flight and no timer runs for the known sessions either.
    ``bridges``: the bridges that Asterisk has.
    ``later``: gets the effects of sessions for which everything that can be seen is in place, by
    session, the one that changed last first: if a daemon was killed between two effects, it was
    most likely there. The caller performs them before any other effect of that session. Without it
    they are part of the outcome.
    """
    outcome = Outcome()
    adopted = set()
    for session, written in found:
        if session.id not in engine.store.records and not session.state.final:
            engine.store.adopt(session, now, outcome, written)
            adopted.add(session.id)
    where = _locations(engine, in_stasis, bridges)
    records = engine.store.records
    sessions = engine.store.sessions()
    sessions.sort(key=lambda session: records[session.id].since, reverse=True)
    for before in sessions:
        new = before.id in adopted
        if only is not None and before.id not in only and not new:
            engine.store.hold_changed(before.id, now, outcome)
            continue
        # A session with an effect in flight gets its outcome from the executor.
        idle = new or restart_steps or not is_busy(before.id)
        mine = _restored(engine, before, where, now, new=new, idle=idle)
        if new or restart_steps or (idle and recovery.repeats(before)):
            after = records[before.id].session
            timer = machine.timer(after) if after.state is before.state else ()
        else:
            timer = ()
        effects = [effect for _, effect in mine.effects]
        if later is not None and idle and all(isinstance(x, _REPEATABLE) for x in effects):
            later[before.id] = effects
            mine.effects.clear()
        mine.effects.extend((before.id, effect) for effect in timer)
        outcome = outcome.then(mine)
    engine.made_calls.resume()
    return outcome


def _restored(
    engine: TransferEngine,
    before: Session,
    where: recovery.ChannelLocations,
    now: float,
    *,
    new: bool,
    idle: bool,
) -> Outcome:
    """What one session missed, and what restores its arrangement."""
    outcome = Outcome()
    if not new:
        # The last variables may have been lost with the connection.
        engine.store.rewrite(before.id, outcome)
    needed = recovery.needed(before, where) if idle else recovery.needed(before)
    outcome.effects.extend((before.id, effect) for effect in needed)
    events = recovery.missed(before, where)
    if idle:
        events += recovery.outcome(before, where)
    prior = len(outcome.effects)
    for event in events:
        engine.store.apply(before.id, event, now, outcome)
    after = engine.store.records[before.id].session
    arranged = not (after.state.final or recovery.repeats(before) or recovery.repeats(after))
    if new and arranged and after.state is not before.state:
        # The daemon that was killed may not have done all of its last step, which the next step
        # takes for done: a caller without music would have none.
        unfinished = recovery.restore(before, where)
        outcome.effects[prior:prior] = [(before.id, effect) for effect in unfinished]
    if after.state is before.state and (idle or not recovery.repeats(after)):
        effects = recovery.restore(after, where)
        outcome.effects.extend((before.id, effect) for effect in effects)
        engine.store.repeat_hold(before.id, outcome)
    return outcome


def orphaned_channels(engine: TransferEngine, in_stasis: AbstractSet[str]) -> list[str]:
    """Channels in our application, or legs that we dialled, that belong to no session."""
    where = _locations(engine, in_stasis)
    with_us = [channel for channel in in_stasis if where.in_stasis(channel)]
    # A leg whose originate timed out may ring all the same. A leg in a bridge is part of a call
    # that we have completed.
    ringing = [
        channel
        for channel in engine.calls.channels
        if is_leg(channel) and channel not in in_stasis and where.bridge_of(channel) is None
    ]
    return [
        channel
        for channel in (*with_us, *ringing)
        if engine.store.role_of(channel) is None and not engine.early_media.knows(channel)
    ]


def _locations(
    engine: TransferEngine, in_stasis: AbstractSet[str], bridges: AbstractSet[str] = frozenset()
) -> recovery.ChannelLocations:
    channels = engine.calls.channels

    def bridge_of(channel: str) -> str | None:
        seen = channels.get(channel)
        return seen.bridge if seen is not None else None

    def with_us(channel: str) -> bool:
        # A channel that was bridged out of Stasis still reports Stasis as its application.
        bridge = bridge_of(channel)
        return channel in in_stasis and (bridge is None or is_bridge(bridge))

    def agent_with(channel: str) -> str:
        for other in engine.calls.in_same_bridge(channel):
            agent = engine.agents.of_channel(other.name) if other.id != channel else None
            if agent is not None:
                return agent.id
        return ""

    return recovery.ChannelLocations(
        channels.__contains__,
        with_us,
        bridge_of,
        agent_with,
        engine.calls.has_ringing_phone,
        bridges.__contains__,
    )
