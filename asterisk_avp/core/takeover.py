"""Every session put right after a resync: those we knew, and those of a daemon before us."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet

from asterisk_avp.core import recovery, transfer
from asterisk_avp.core.hub import Hub
from asterisk_avp.core.register import Outcome
from asterisk_avp.core.session import Session, is_bridge, is_leg


def take_over(
    hub: Hub,
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
        if session.id not in hub.register.records and not session.state.final:
            hub.register.adopt(session, now, outcome, mark)
            adopted.add(session.id)
    where = _whereabouts(hub, in_stasis)
    for before in hub.register.sessions():
        new = before.id in adopted
        if only is not None and before.id not in only and not new:
            continue
        if not new:
            # What was to be written down may have got lost with the connection.
            hub.register.write_again(before.id, outcome)
        outcome.effects.extend((before.id, effect) for effect in recovery.needed(before))
        events = recovery.missed(before, where)
        # One that is being worked on will be told by its worker.
        idle = new or anew or not at_work(before.id)
        if idle:
            events += recovery.outcome(before, where)
        for event in events:
            hub.register.apply(before.id, event, now, outcome)
        after = hub.register.records[before.id].session
        if after.state is not before.state:
            continue
        if idle or not recovery.repeats(after):
            effects = recovery.again(after, where)
            outcome.effects.extend((before.id, effect) for effect in effects)
        if new or anew or (idle and recovery.repeats(after)):
            outcome.effects.extend((before.id, effect) for effect in transfer.timer(after))
    return outcome


def strays(hub: Hub, in_stasis: AbstractSet[str]) -> list[str]:
    """Channels that are with us, or were called by us, and belong to nothing."""
    where = _whereabouts(hub, in_stasis)
    with_us = [channel for channel in in_stasis if where.in_stasis(channel)]
    # A leg that was given up as not dialled, because Asterisk did not answer, may ring all the
    # same. One that is in a bridge is a call that we have handed over.
    ringing = [
        channel
        for channel in hub.calls.channels
        if is_leg(channel) and channel not in in_stasis and where.bridge_of(channel) is None
    ]
    return [channel for channel in (*with_us, *ringing) if hub.register.role_of(channel) is None]


def _whereabouts(hub: Hub, in_stasis: AbstractSet[str]) -> recovery.Whereabouts:
    channels = hub.calls.channels

    def bridge_of(channel: str) -> str | None:
        seen = channels.get(channel)
        return seen.bridge if seen is not None else None

    def with_us(channel: str) -> bool:
        # One that was bridged away still says that Stasis is its application.
        bridge = bridge_of(channel)
        return channel in in_stasis and (bridge is None or is_bridge(bridge))

    def agent_with(channel: str) -> str:
        for other in hub.calls.around(channel):
            agent = hub.agents.of_channel(other.name) if other.id != channel else None
            if agent is not None:
                return agent.id
        return ""

    return recovery.Whereabouts(
        channels.__contains__, with_us, bridge_of, agent_with, hub.calls.rings_somebody
    )
