"""What needs no query about a member: what ARI's channels, or a response to our change, confirm."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from asterisk_avp.ami.membership import Change
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import AddMember, PauseMember, RemoveMember, SetPenalty
from asterisk_avp.core.pbx.agent import IN_USE, NOT_IN_USE, NOT_THERE, RINGING, Agent
from asterisk_avp.core.pbx.calls import Calls

_NOT_THERE: Final = NOT_THERE | {0}
"""Unknown, invalid, unavailable."""

_NOW_SECONDS: Final = 5.0
"""Tolerance for delays under load; the clocks of Asterisk and this machine must agree
(`core.pbx.agents`)."""


def is_phone_change(known: ev.MemberSeen, seen: ev.MemberSeen) -> bool:
    """Whether only the state of a reachable phone has changed."""
    there = seen.status not in _NOT_THERE and known.status not in _NOT_THERE
    return (there or seen.status == known.status) and standing(seen) == standing(known)


def standing(member: ev.MemberSeen) -> tuple[object, ...]:
    """The properties of a membership that are independent of the phone's state."""
    return (
        member.paused,
        member.paused_reason,
        member.name,
        member.state_interface,
        member.wrapup_seconds,
        member.dynamic,
        member.penalty,
    )


def is_confirmed_by_ari(
    calls: Calls, agent: Agent, known: ev.MemberSeen, seen: ev.MemberSeen
) -> bool:
    """Whether ARI's channels confirm the phone's state."""
    if seen.last_call != known.last_call and not _just_talked(agent, seen):
        return False
    if seen.status == known.status and seen.in_call == known.in_call:
        return True
    has_channels = calls.has_channel({seen.interface, seen.state_interface or seen.interface})
    if seen.in_call and not has_channels:
        return False
    if seen.status == NOT_IN_USE:
        return not has_channels
    return has_channels and (seen.status in IN_USE or seen.status == RINGING)


def _just_talked(agent: Agent, seen: ev.MemberSeen) -> bool:
    """Whether a queue's call of the agent can have ended at the reported time.

    True if a response has confirmed it, or if the agent had a queue's call that ended just now.
    """
    if seen.last_call == agent.last_call:
        return True
    if agent.last_call_estimated and abs(seen.last_call - agent.last_call) < _NOW_SECONDS:
        return True
    return bool(agent.call_queue) and abs(seen.now - seen.last_call) < _NOW_SECONDS


def after(
    change: Change, known: ev.MemberSeen | None, status: int, now: float
) -> ev.MemberSeen | ev.MemberRemoved | None:
    """The membership after a change that Asterisk has confirmed; None: nothing known has changed.

    ``known``: it before. ``status``: the phone's, for a new membership.
    """
    match change:
        case AddMember():
            return ev.MemberSeen(
                queue=change.queue,
                interface=change.interface,
                state_interface=change.state_interface or change.interface,
                name=change.member_name,
                status=status,
                paused=change.paused,
                in_call=False,
                last_call=0.0,
                wrapup_seconds=change.wrapup_seconds,
                now=now,
                paused_reason=change.reason,
                dynamic=True,
                penalty=change.penalty,
            )
        case RemoveMember():
            return ev.MemberRemoved(change.queue, change.interface, now)
        case PauseMember() if known is not None:
            return replace(known, paused=change.paused, paused_reason=change.reason)
        case SetPenalty() if known is not None:
            return replace(known, penalty=change.penalty)
    return None
