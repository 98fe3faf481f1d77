"""Every order of events, explored: a small world that executes the session's effects.

The world is Asterisk and the people: it moves channels as the effects say, answers Redirect and
Bridge with success or failure, lets targets ring, answer or not, and lets anybody hang up at any
moment. All its states are visited, each with every event that may come next, and in each the
promises are checked: a party that waits hears somebody or something, every wait has a timer, no
channel is left in Stasis at the end, and the caller is recorded except while waiting alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache

import pytest

from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.model.world import Mode, Origin
from asterisk_avp.core.transfer import machine
from asterisk_avp.core.transfer.events import EventType as K
from asterisk_avp.core.transfer.events import SessionEvent
from asterisk_avp.core.transfer.hearing import hearing
from asterisk_avp.core.transfer.machine import legal
from asterisk_avp.core.transfer.persistence import encode
from asterisk_avp.core.transfer.recording import pauses_now
from asterisk_avp.core.transfer.session import Choice, Fourth, Session
from asterisk_avp.core.transfer.spec import Deadline, Sound
from asterisk_avp.core.transfer.states import State as S
from tests.core.sessions import BOB, GONE, IN, OUT, UNRECORDED, fourth_party, session

CALLER, AGENT, LEG = "chan-caller", "chan-agent", "avp-t1-leg"
HOLD, CONSULT = "avp-t1-hold", "avp-t1-consult"

# The places of a channel that is not in one of our bridges.
TALKS, MOVING, WITH_US, QUEUE, PLAIN, RINGS, OVER, NEVER = (
    "talks",
    "moving",
    "with us",
    "queue",
    "plain",
    "rings",
    "over",
    "never",
)
OURS = {WITH_US, HOLD, CONSULT}
GONE_EVENT = {
    "caller": K.CALLER_GONE,
    "agent": K.TRANSFEROR_GONE,
    "leg": K.LEG_GONE,
    "fourth": K.FOURTH_GONE,
}
ENTERED_EVENT = {
    "caller": K.CALLER_ENTERED,
    "agent": K.TRANSFEROR_ENTERED,
    "leg": K.LEG_ANSWERED,
    "fourth": K.FOURTH_ANSWERED,
}
QUICK = {state for state in S if state.spec.deadline is Deadline.ASTERISK}
"""Asterisk is about to act; the places of the channels are uncertain."""


@dataclass(frozen=True)
class Place:
    """The world at one moment."""

    session: Session
    at: tuple[tuple[str, str], ...]
    sound: frozenset[str] = frozenset()
    """The channels that hear music, ringing or a prompt."""
    dying: frozenset[str] = frozenset()
    """Hung up by us, but not yet gone."""
    timer: bool = False
    paused: bool = False
    """The state of the caller's recording."""
    redirect: fx.Redirect | None = None
    bridge: fx.BridgePair | None = None
    way: tuple[str, ...] = field(default=(), compare=False)

    @property
    def key(self) -> tuple[object, ...]:
        """The identity of this world, however it was reached. Reasons do not matter."""
        told = encode(replace(self.session, reason=""))
        rest = (
            self.at,
            self.sound,
            self.dying,
            self.timer,
            self.paused,
            self.redirect,
            self.bridge,
        )
        return (told, *rest)

    def where(self, channel: str) -> str:
        return dict(self.at).get(channel, NEVER)

    def moved(self, channel: str, place: str) -> Place:
        at = tuple(sorted({**dict(self.at), channel: place}.items()))
        return replace(self, at=at, sound=self.sound - {channel})


def role(place: Place, channel: str) -> str:
    """The role of a channel in the session now; empty if it has none (any more)."""
    now = place.session
    if now.state.final:
        return ""
    roles = {now.caller.channel: "caller", now.transferor.channel: "agent", now.leg.channel: "leg"}
    if now.fourth is not None:
        roles[now.fourth.party.channel] = "fourth"
    return roles.get(channel, "")


def entered(place: Place, channel: str) -> Place:
    """A channel has entered our application. The engine sends unknown ones away."""
    found = role(place, channel)
    if not found:
        return place.moved(channel, QUEUE if channel == CALLER else OVER)
    return told(place.moved(channel, WITH_US), SessionEvent(ENTERED_EVENT[found]))


def perform(place: Place, effects: tuple[fx.Effect, ...]) -> Place:
    """Execute the effects as Asterisk would."""
    for effect in effects:
        match effect:
            case fx.AddToBridge(bridge, channel) if place.where(channel) in OURS:
                kept = channel in place.sound
                place = place.moved(channel, bridge)
                place = replace(place, sound=place.sound | {channel}) if kept else place
            case fx.StartMusic(channel) | fx.StartRingback(channel) | fx.Play(channel):
                if place.where(channel) in OURS:
                    place = replace(place, sound=place.sound | {channel})
            case fx.StopMusic(channel) | fx.StopRingback(channel):
                place = replace(place, sound=place.sound - {channel})
            case fx.DialLeg(channel, permission=permission):
                assert permission.endpoint, "nothing is dialled that policy has not allowed"
                place = place.moved(channel, RINGS)
            case fx.HangUp(channel):
                assert channel != CALLER, f"the caller is never hung up: {place.way}"
                if place.where(channel) not in (OVER, NEVER):
                    place = replace(place, dying=place.dying | {channel})
            case fx.LeaveStasis(channel) if place.where(channel) in OURS:
                # The dialplan keeps callers and hangs up agents.
                place = place.moved(channel, QUEUE if channel == CALLER else OVER)
            case fx.Redirect():
                place = replace(place, redirect=effect)
            case fx.BridgePair():
                place = replace(place, bridge=effect)
            case fx.PauseRecording(channel) | fx.ResumeRecording(channel):
                assert channel == CALLER
                place = replace(place, paused=isinstance(effect, fx.PauseRecording))
            case fx.SetTimer():
                place = replace(place, timer=True)
            case fx.ClearTimer():
                place = replace(place, timer=False)
    return place


def told(place: Place, event: SessionEvent) -> Place:
    """Pass an event to the session and execute its effects."""
    way = (*place.way, event.kind.value)
    after, effects, _ = machine.step(place.session, event)
    return perform(replace(place, session=after, way=way), effects)


def redirected(place: Place, redirect: fx.Redirect) -> Iterator[Place]:
    """It succeeded, or the channel did not exist."""
    done = replace(place, redirect=None)
    alive = place.where(CALLER) != OVER
    if alive:
        moved = done
        for channel, destination in (
            (redirect.channel, redirect.destination),
            (redirect.extra_channel, redirect.extra_destination),
        ):
            if channel is None or destination is None or done.where(channel) == OVER:
                continue
            if destination.context != "avp-stasis":
                moved = moved.moved(channel, QUEUE)
            else:
                moved = moved.moved(channel, OVER if destination.extension == "park" else MOVING)
        yield told(moved, SessionEvent(K.REDIRECTED))
    if not alive or place.where(redirect.channel) == TALKS:
        yield told(done, SessionEvent(K.REDIRECT_FAILED))


def bridged(place: Place, pair: fx.BridgePair) -> Iterator[Place]:
    done = replace(place, bridge=None)
    there = {*OURS, TALKS} if place.session.attended else OURS
    if all(place.where(channel) in there for channel in (pair.first, pair.second)):
        yield told(done.moved(pair.first, PLAIN).moved(pair.second, PLAIN), SessionEvent(K.BRIDGED))
    else:
        yield told(done, SessionEvent(K.BRIDGE_FAILED))


def hung_up(place: Place, channel: str) -> Place:
    gone = replace(place.moved(channel, OVER), dying=place.dying - {channel})
    found = role(place, channel)
    return told(gone, SessionEvent(GONE_EVENT[found], "no_answer")) if found else gone


def unrecorded_fourth() -> Fourth:
    fourth = fourth_party(OUT)
    return replace(fourth, permission=replace(fourth.permission, group=UNRECORDED))


def following(place: Place) -> Iterator[Place]:
    """Every possible next step."""
    state = place.session.state
    for channel, where in place.at:
        if where not in (OVER, NEVER):
            yield hung_up(place, channel)
        if where == MOVING:
            yield entered(place, channel)
        if where == RINGS and channel not in place.dying:
            yield entered(place, channel)
            if role(place, channel) == "leg":
                yield told(place, SessionEvent(K.LEG_RINGING))
                yield told(place, SessionEvent(K.LEG_UNANSWERED, "no_answer"))
                yield told(place, SessionEvent(K.LEG_LEFT_QUEUE, "max_hold"))
    if place.redirect is not None:
        yield from redirected(place, place.redirect)
    if place.bridge is not None:
        yield from bridged(place, place.bridge)
    if place.timer and state not in QUICK:
        yield told(replace(place, timer=False), SessionEvent(K.TIMED_OUT))
    if place.where(CALLER) == QUEUE and state in (S.QUEUEING, S.QUEUED, S.OFFERED):
        for kind in (K.OFFERED, K.UNANSWERED):
            yield told(place, SessionEvent(kind))
        yield told(place.moved(CALLER, PLAIN), SessionEvent(K.DELIVERED, agent="1002"))
        yield told(place, SessionEvent(K.LEFT_QUEUE, "max_hold"))
    for kind in (K.COMPLETE, K.CANCEL, K.SWAP, K.CONFERENCE, K.DROP_TARGET, K.DROP_FOURTH):
        if legal(place.session, kind):
            yield told(place, SessionEvent(kind))
    if legal(place.session, K.ADD_PARTY) and place.session.fourths_called == 0:
        yield told(place, SessionEvent(K.ADD_PARTY, fourth=unrecorded_fourth()))
    if state is S.COLLECTING:
        permission = session().permission
        for mode in Mode:
            choice = Choice(mode, BOB, replace(permission, group=UNRECORDED))
            yield told(place, SessionEvent(K.CHOSEN, choice=choice))
        yield told(place, SessionEvent(K.WRONG_CHOICE, "unknown_target"))


def check(place: Place) -> None:
    """The promises, at one moment."""
    now, state = place, place.session.state
    told_so = (place.way, state, place.at, place.sound)
    settled = not (now.dying or now.redirect or now.bridge)
    if not (state.final or now.timer):
        assert state.spec.deadline is Deadline.NONE, told_so
        heard = hearing(now.session).values()
        assert any(isinstance(who, tuple) for who in heard), f"nobody talks: {told_so}"
    if state.final and settled:
        left = [channel for channel, where in now.at if where in OURS or where == RINGS]
        assert left == [], told_so
        assert not now.timer, told_so
    if settled and now.where(CALLER) != OVER and (state.final or state not in QUICK):
        # A phone whose transfer is refused has both parties in Stasis, without music for either.
        alone = not state.final and now.where(CALLER) in OURS and CALLER in now.sound
        assert now.paused is alone, told_so
        assert state.final or now.paused is pauses_now(now.session), told_so
    if settled and not state.final and state not in QUICK:
        for channel, where in now.at:
            if where not in (HOLD, CONSULT) or channel in now.sound:
                continue
            company = [c for c, w in now.at if w == where and c not in (channel, *now.sound)]
            assert company, f"{channel} waits in silence: {told_so}"
        check_hearing(now)


def check_hearing(now: Place) -> None:
    """What each party hears matches the spec."""
    channels = {role(now, channel): channel for channel, _ in now.at}
    for who, heard in hearing(now.session).items():
        channel = channels.get("agent" if who == "transferor" else who, "")
        if now.where(channel) not in (HOLD, CONSULT):
            continue
        told_so = (now.way, now.session.state, who, heard, now.at, now.sound)
        if isinstance(heard, Sound):
            assert channel in now.sound, told_so
        else:
            assert channel not in now.sound, told_so
            company = {c for c, w in now.at if w == now.where(channel) and c != channel}
            named = {channels["agent" if other == "transferor" else other] for other in heard}
            assert named == company - now.dying, told_so


BEGUN: dict[str, dict[str, object]] = {
    "supervised": {},
    "supervised to a number": {"may_detach": False},
    "unsupervised": {"mode": Mode.UNSUPERVISED, "state": S.QUEUEING},
    "unsupervised by the phone": {
        "mode": Mode.UNSUPERVISED,
        "state": S.QUEUEING,
        "origin": Origin.BUTTON,
    },
    "attended by the phone": {"attended": True, "origin": Origin.BUTTON, "leg": IN},
    "refused to the phone": {
        "refused": True,
        "origin": Origin.BUTTON,
        "may_detach": False,
        "reason": "unsupervised_external",
    },
    "keyed in": {"target": None, "origin": Origin.CODE, "may_detach": False},
}


@cache
def explored(how: str) -> tuple[tuple[Place, ...], int]:
    """Every place that can be reached, and how many ways there are between them."""
    begun = session(**{"state": S.STARTING, **BEGUN[how]})  # type: ignore[arg-type]  # a table
    begun = replace(begun, permission=replace(begun.permission, group=UNRECORDED))
    started, effects = machine.begin(begun)
    at = {CALLER: TALKS, AGENT: TALKS}
    if begun.attended:
        at[LEG] = TALKS  # on the transferor's other line, from which AMI Bridge can take it
    first = perform(Place(started, tuple(sorted(at.items()))), effects)
    known, waiting, ways = {first.key: first}, deque([first]), 0
    while waiting:
        place = waiting.popleft()
        check(place)
        for after in following(place):
            ways += 1
            if known.setdefault(after.key, after) is after:
                waiting.append(after)
    return tuple(known.values()), ways


@pytest.mark.parametrize("how", BEGUN)
def test_every_order_of_events(how: str, record_property: pytest.RecordProperty) -> None:
    """Prints the number of states of the world, and of the steps between them."""
    known, ways = explored(how)
    states = {place.session.state for place in known}
    record_property("places", len(known))
    record_property("ways", ways)
    print(f"{how}: {len(known)} places, {ways} ways, {len(states)} states of the table")
    assert GONE in {place.session.caller.presence for place in known}
    assert {S.COMPLETED, S.FAILED} & states
