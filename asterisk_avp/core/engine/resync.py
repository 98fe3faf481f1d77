"""Every session put right after a resync: those we knew, and those of a daemon before us."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.transfer import machine, recovery
from asterisk_avp.core.transfer.session import Session, is_bridge, is_leg


def take_over(
    engine: TransferEngine,
    found: Iterable[tuple[Session, str]],
    in_stasis: AbstractSet[str],
    now: float,
    at_work: Callable[[str], bool] = lambda _session: False,
    *,
    only: AbstractSet[str] | None = None,
    anew: bool = False,
) -> Outcome:
    """Tell every session what it missed, and see to it that it goes on.

    ``found``: sessions read from channels, each with its mark there (`memory.MARK`); one that we
    know already is known better.
    ``in_stasis``: channels that Asterisk says are in our application.
    ``at_work``: whether something is being done for a session, whose outcome will be told.
    ``only``: the sessions that are in doubt, by id, where the others have missed nothing.
    ``anew``: nothing is being done for the sessions we know either, nor will their timers end.
    """
    outcome = Outcome()
    adopted = set()
    for session, mark in found:
        if session.id not in engine.store.records and not session.state.final:
            engine.store.adopt(session, now, outcome, mark)
            adopted.add(session.id)
    where = _whereabouts(engine, in_stasis)
    for before in engine.store.sessions():
        new = before.id in adopted
        if only is not None and before.id not in only and not new:
            continue
        if not new:
            # What was to be written down may have got lost with the connection.
            engine.store.write_again(before.id, outcome)
        outcome.effects.extend((before.id, effect) for effect in recovery.needed(before))
        events = recovery.missed(before, where)
        # One that is being worked on will be told by its worker.
        idle = new or anew or not at_work(before.id)
        if idle:
            events += recovery.outcome(before, where)
        for event in events:
            engine.store.apply(before.id, event, now, outcome)
        after = engine.store.records[before.id].session
        if after.state is not before.state:
            continue
        if idle or not recovery.repeats(after):
            effects = recovery.again(after, where)
            outcome.effects.extend((before.id, effect) for effect in effects)
        if new or anew or (idle and recovery.repeats(after)):
            outcome.effects.extend((before.id, effect) for effect in machine.timer(after))
    return outcome


def strays(engine: TransferEngine, in_stasis: AbstractSet[str]) -> list[str]:
    """Channels that are with us, or were called by us, and belong to nothing."""
    where = _whereabouts(engine, in_stasis)
    with_us = [channel for channel in in_stasis if where.in_stasis(channel)]
    # A leg that was given up as not dialled, because Asterisk did not answer, may ring all the
    # same. One that is in a bridge is a call that we have handed over.
    ringing = [
        channel
        for channel in engine.calls.channels
        if is_leg(channel) and channel not in in_stasis and where.bridge_of(channel) is None
    ]
    return [channel for channel in (*with_us, *ringing) if engine.store.role_of(channel) is None]


def _whereabouts(engine: TransferEngine, in_stasis: AbstractSet[str]) -> recovery.Whereabouts:
    channels = engine.calls.channels

    def bridge_of(channel: str) -> str | None:
        seen = channels.get(channel)
        return seen.bridge if seen is not None else None

    def with_us(channel: str) -> bool:
        # One that was bridged away still says that Stasis is its application.
        bridge = bridge_of(channel)
        return channel in in_stasis and (bridge is None or is_bridge(bridge))

    def agent_with(channel: str) -> str:
        for other in engine.calls.around(channel):
            agent = engine.agents.of_channel(other.name) if other.id != channel else None
            if agent is not None:
                return agent.id
        return ""

    return recovery.Whereabouts(
        channels.__contains__, with_us, bridge_of, agent_with, engine.calls.rings_somebody
    )
