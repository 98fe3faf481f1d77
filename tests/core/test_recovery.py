"""The recovery of a session that no daemon has handled for a while."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.resync import Stored, orphaned_channels, take_over
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.messages.facts import ChannelSeen, StasisEntered
from asterisk_avp.core.model.world import World
from asterisk_avp.core.transfer import machine, persistence, recovery
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Party, Presence, Session
from asterisk_avp.core.transfer.spec import Deadline
from asterisk_avp.core.transfer.states import State as S
from tests.core.sessions import IN, OUT, SALES, session
from tests.core.test_transfer_table import short

CALLER, AGENT, LEG = "chan-caller", "chan-agent", "avp-t1-leg"
HOLD, CONSULT = "avp-t1-hold", "avp-t1-consult"
RUNNING = [state for state in S if not state.final]
UNTIMED = {state for state in RUNNING if state.spec.deadline is Deadline.NONE}

# Where a channel may be found: gone, in Stasis (in a bridge of ours or none), or with others.
GONE, WITH_US, HELD, CONSULTS, ELSEWHERE, NOWHERE = range(6)


def found_at(places: dict[str, int]) -> tuple[TransferEngine, set[str]]:
    """A picture with these channels in these places."""
    engine = TransferEngine(World(groups={"sales": SALES}), lambda: "new")
    bridges = {HELD: HOLD, CONSULTS: CONSULT, ELSEWHERE: "some-bridge"}
    for channel, place in places.items():
        if place == GONE:
            continue
        engine.fact(
            ChannelSeen(channel, f"PJSIP/{channel}-00000001", bridge=bridges.get(place)), 1.0
        )
    # A channel that was bridged away is still reported in our application.
    with_us = {c for c, place in places.items() if place not in (GONE, NOWHERE)}
    return engine, with_us


def marked(marker: str) -> dict[str, str]:
    return {persistence.COMMIT_MARKER: marker}


def brief(effect: fx.Effect) -> str:
    """As in the table's test; markers that are not states are written without it."""
    if isinstance(effect, fx.SetVariables) and "AVP_STATE" not in effect.variables:
        return "mark"
    return short(effect)


def taken(before: Session, places: dict[str, int]) -> tuple[Session, list[str], Outcome]:
    """The session after a new daemon has taken over, and the effects in short."""
    engine, with_us = found_at(places)
    found = persistence.read(persistence.variables(before), engine.world)
    assert found == before
    outcome = take_over(engine, [Stored(found, marked("a:3"))], with_us, 2.0)
    after = engine.store.records[before.id].session
    done = [
        brief(effect)
        for _, effect in outcome.effects
        if not isinstance(effect, fx.RenewTranslation)
        and not (
            isinstance(effect, fx.SetVariables) and persistence.COMMIT_MARKER in effect.variables
        )
    ]
    return after, done, outcome


QUIET = ["hush", "no ringback agent", "no music agent"]
ALL = {CALLER: HELD, AGENT: CONSULTS, LEG: CONSULTS}


@pytest.mark.parametrize(
    ("state", "places", "following", "expected"),
    [
        # Nothing was missed: the missing parts are created, and existing ones are left alone.
        (S.CONSULTING, ALL, S.CONSULTING, ["music caller", "no music leg", *QUIET]),
        (S.CONSULTING, ALL | {LEG: WITH_US}, S.CONSULTING, ["add leg to consult", "music caller", "no music leg", *QUIET]),
        (S.SWAPPED, ALL | {AGENT: HELD}, S.SWAPPED, ["no music caller", "music leg", *QUIET]),
        (S.CONFERENCE, ALL, S.CONFERENCE, ["add caller to consult", "no music caller", "no music leg", *QUIET]),
        (S.WAITING, ALL | {LEG: NOWHERE}, S.WAITING, ["music caller", "music agent", "timer 38"]),
        (S.RINGING, ALL | {LEG: NOWHERE}, S.RINGING, ["music caller", "ringback agent", "timer 38"]),
        # The target answered or hung up meanwhile.
        (S.RINGING, ALL | {LEG: WITH_US}, S.CONSULTING, ["music caller", "ringback agent", "hush", "no ringback agent", "no music agent", "add leg to consult", "no timer"]),
        (S.WAITING, ALL | {LEG: GONE}, S.RETURNING, None),
        (S.CONSULTING, ALL | {LEG: GONE}, S.RETURNING, None),
        # A party hung up.
        (S.CONSULTING, ALL | {CALLER: GONE}, S.ABANDONED, None),
        (S.CONSULTING, ALL | {AGENT: GONE}, S.COMPLETING, None),
        (S.RINGING, ALL | {AGENT: GONE, LEG: NOWHERE}, S.RELEASING_LEG, None),
        # Another application took a party away.
        (S.CONSULTING, ALL | {CALLER: ELSEWHERE}, S.FAILED, None),
        # The bridging of caller and target: not started, done (leg optimised away), failed.
        (S.COMPLETING, ALL, S.COMPLETING, ["no music caller", "mark caller done", "mark leg done", "bridge leg caller", "timer 5"]),
        (S.COMPLETING, {CALLER: ELSEWHERE, AGENT: CONSULTS, LEG: GONE}, S.COMPLETED, None),
        (S.COMPLETING, {CALLER: NOWHERE, AGENT: CONSULTS, LEG: GONE}, S.RETURNING, None),
        (S.RETURNING, ALL | {LEG: GONE}, S.RETURNING, ["hush", "no ringback agent", "no music agent", "no music caller", "mark caller done", "mark agent done", "bridge agent caller", "hangup leg", "timer 5"]),
        (S.RETURNING, {CALLER: ELSEWHERE, AGENT: ELSEWHERE, LEG: GONE}, S.CANCELLED, None),
        # A Redirect: not done, done.
        (S.STARTING, {CALLER: ELSEWHERE, AGENT: ELSEWHERE, LEG: GONE}, S.FAILED, None),
        (S.STARTING, {CALLER: WITH_US, AGENT: WITH_US, LEG: GONE}, S.WAITING, None),
        (S.QUEUEING, {CALLER: ELSEWHERE, AGENT: ELSEWHERE, LEG: GONE}, S.FAILED, None),
        (S.QUEUEING, {CALLER: NOWHERE, AGENT: GONE, LEG: GONE}, S.QUEUED, None),
        (S.QUEUEING, {CALLER: ELSEWHERE, AGENT: GONE, LEG: GONE}, S.COMPLETED, None),
        (S.RECALLING, {CALLER: NOWHERE, AGENT: GONE, LEG: GONE}, S.FAILED, None),
        (S.RECALLING, {CALLER: HELD, AGENT: GONE, LEG: GONE}, S.RECALLING, ["mark caller live", "redirect caller avp-recall/group", "timer 5"]),
        # In a queue: still there, delivered.
        (S.QUEUED, {CALLER: NOWHERE, AGENT: GONE, LEG: GONE}, S.QUEUED, ["timer 38"]),
        (S.OFFERED, {CALLER: ELSEWHERE, AGENT: GONE, LEG: GONE}, S.COMPLETED, None),
    ],
)  # fmt: skip
def test_taken_over(
    state: S, places: dict[str, int], following: S, expected: list[str] | None
) -> None:
    after, done, _ = taken(session(state), places)
    assert after.state is following
    if expected is not None:
        assert [step for step in done if not step.startswith("create")] == expected


def test_a_session_that_is_known_is_not_replaced() -> None:
    engine, with_us = found_at(ALL)
    known = session(S.CONSULTING)
    engine.store.adopt(known, 1.0, Outcome())
    old = replace(known, state=S.RINGING, notes="old")
    take_over(engine, [Stored(old, marked("a:3"))], with_us, 2.0)
    assert engine.store.records["t1"].session == known


def test_what_is_under_way_is_not_asked_for_twice() -> None:
    """The connection was lost, but the worker that completes the transfer continues."""
    engine, with_us = found_at(ALL)
    engine.store.adopt(session(S.COMPLETING), 1.0, Outcome())
    outcome = take_over(engine, (), with_us, 2.0, is_busy=lambda _: True)
    assert not [e for _, e in outcome.effects if isinstance(e, fx.BridgePair)]


@pytest.mark.parametrize(
    ("state", "places", "following"),
    [
        (S.COMPLETING, ALL, S.COMPLETING),
        (S.COMPLETING, {CALLER: ELSEWHERE, AGENT: CONSULTS, LEG: GONE}, S.COMPLETED),
        (S.RETURNING, {CALLER: ELSEWHERE, AGENT: ELSEWHERE, LEG: GONE}, S.CANCELLED),
        (S.STARTING, {CALLER: ELSEWHERE, AGENT: ELSEWHERE, LEG: GONE}, S.FAILED),
        (S.STARTING, {CALLER: WITH_US, AGENT: WITH_US, LEG: GONE}, S.WAITING),
        # Without the application, the dialplan has hung up the transferor, and the caller waits in
        # the group's queue or already talks to a colleague.
        (S.STARTING, {CALLER: NOWHERE, AGENT: GONE, LEG: GONE}, S.FAILED),
        (S.STARTING, {CALLER: ELSEWHERE, AGENT: GONE, LEG: GONE}, S.FAILED),
        (S.QUEUEING, {CALLER: NOWHERE, AGENT: GONE, LEG: GONE}, S.QUEUED),
        (S.RECALLING, {CALLER: NOWHERE, AGENT: GONE, LEG: GONE}, S.FAILED),
    ],
)
def test_an_answer_that_was_lost_with_its_connection(
    state: S, places: dict[str, int], following: S
) -> None:
    """No worker is left: the places of the parties show what Asterisk has done."""
    engine, with_us = found_at(places)
    engine.store.adopt(session(state), 1.0, Outcome())
    outcome = take_over(engine, (), with_us, 2.0)
    after = engine.store.records["t1"].session
    assert after.state is following
    if not after.state.final:
        assert [e for _, e in outcome.effects if isinstance(e, fx.SetTimer)]
    moved = [e for _, e in outcome.effects if isinstance(e, fx.Redirect)]
    assert not moved


@pytest.mark.parametrize(
    ("state", "waits", "following"),
    [
        (S.WAITING, "avp-t1-leg-queue", S.RINGING),
        (S.QUEUED, CALLER, S.OFFERED),
        (S.QUEUEING, CALLER, S.OFFERED),
    ],
)
def test_the_target_is_rung_meanwhile(state: S, waits: str, following: S) -> None:
    """And the transferor hears ringing. A phone that rings for another call says nothing."""
    unrung = S.QUEUED if state is S.QUEUEING else state
    for linked, expected in (("l1", following), ("l2", unrung)):
        engine, with_us = found_at({CALLER: HELD, AGENT: CONSULTS} if state is S.WAITING else {})
        engine.fact(ChannelSeen("avp-t1-leg", "Local/1002@avp-agent-queue-00000001;1"), 1.0)
        engine.fact(ChannelSeen(waits, "PJSIP/caller1-00000001", linked="l1"), 1.0)
        engine.fact(ChannelSeen("phone", "PJSIP/1002-00000009", linked=linked, rung=True), 1.0)
        engine.store.adopt(session(state), 1.0, Outcome())
        take_over(engine, (), with_us, 2.0)
        assert engine.store.records["t1"].session.state is expected


def test_bridges_are_there_before_anybody_is_seated() -> None:
    """The daemon died between its Redirect and the bridges that follow it."""
    _, done, _ = taken(session(S.STARTING), {CALLER: WITH_US, AGENT: WITH_US, LEG: GONE})
    assert done.index("create consult") < done.index("add caller to hold")


def test_it_is_written_once_more_after_a_connection_was_lost() -> None:
    """Without changing what is written: another daemon may have to read it meanwhile."""
    engine, with_us = found_at(ALL)
    engine.store.adopt(session(S.CONSULTING), 1.0, Outcome(), marked("b:3"))
    for marker in ("b-", "a-"):
        outcome = take_over(engine, (), with_us, 2.0)
        (written,) = [
            effect.variables
            for _, effect in outcome.effects
            if isinstance(effect, fx.SetVariables) and persistence.COMMIT_MARKER in effect.variables
        ]
        assert written[persistence.COMMIT_MARKER].startswith(marker)


def test_strays() -> None:
    engine, with_us = found_at(ALL | {"chan-other": WITH_US, "chan-gone-on": ELSEWHERE})
    engine.store.adopt(session(S.CONSULTING), 1.0, Outcome())
    assert orphaned_channels(engine, with_us) == ["chan-other"]


def test_a_leg_that_rings_for_nobody() -> None:
    """The caller hung up while no daemon was running, and the session was lost with the channel."""
    engine, with_us = found_at({LEG: NOWHERE, "avp-t2-leg": NOWHERE, "avp-t3-leg": ELSEWHERE})
    engine.store.adopt(
        replace(session(S.RINGING), id="t2", leg=Party("avp-t2-leg")), 1.0, Outcome()
    )
    assert orphaned_channels(engine, with_us) == [LEG]


def test_a_leg_that_rings_for_nobody_is_a_stray() -> None:
    """Asterisk did not answer the dial request, but dialled anyway."""
    late, handed_over = "avp-t0-leg", "avp-t9-leg"
    engine, with_us = found_at(ALL | {LEG: NOWHERE, late: NOWHERE, handed_over: ELSEWHERE})
    engine.store.adopt(session(S.RINGING), 1.0, Outcome())
    assert orphaned_channels(engine, with_us) == [late]
    effects = engine.fact(StasisEntered(late), 2.0).effects
    assert effects == [(None, fx.HangUp(late))]


def known(state: S, places: dict[str, int], **how: object) -> tuple[S, list[str]]:
    """The result for a session that the daemon has had all along, and the effects."""
    engine, with_us = found_at(places)
    engine.store.adopt(session(state), 1.0, Outcome())
    outcome = take_over(engine, (), with_us, 2.0, **how)  # type: ignore[arg-type]
    done = [brief(x) for _, x in outcome.effects if not isinstance(x, fx.RenewTranslation)]
    return engine.store.records["t1"].session.state, [x for x in done if x[:6] != "create"]


def test_a_caller_who_could_not_be_let_go_is_not_taken_for_done() -> None:
    """AMI was lost during the bridging: the channel is marked as done, but is not."""
    engine, with_us = found_at({CALLER: HELD})
    engine.store.adopt(session(S.RECALLING), 1.0, Outcome())
    gone = Outcome()
    engine.store.apply("t1", SessionEvent(EventType.REDIRECT_FAILED), 2.0, gone)
    recall = fx.Destination("avp-recall", "group")
    assert ("t1", fx.LeaveStasis(CALLER, recall)) in gone.effects
    assert orphaned_channels(engine, with_us) == [CALLER]
    effects = engine.fact(StasisEntered(CALLER), 3.0).effects
    assert effects == [(None, fx.LeaveStasis(CALLER, recall))]


def test_only_what_is_in_doubt_is_arranged_again() -> None:
    places = ALL | {CALLER: WITH_US}
    state, done = known(S.CONSULTING, places, only={"t1"})
    assert state is S.CONSULTING
    assert done == ["mark", "add caller to hold", "music caller", "no music leg", *QUIET]
    assert known(S.CONSULTING, places, only={"another"}) == (S.CONSULTING, [])
    # A picture that is older than the session's events proves nothing about it.
    assert known(S.WAITING, ALL | {LEG: GONE}, only=set()) == (S.WAITING, [])


def test_what_another_daemon_went_on_with_is_read_anew() -> None:
    engine, with_us = found_at(ALL)
    ours = session(S.RINGING)
    engine.store.adopt(ours, 1.0, Outcome())
    engine.store.adopt(session(S.COMPLETED, id="t0"), 1.0, Outcome())
    assert engine.store.index.has_transfer_to("1002")
    engine.store.forget_running()
    assert engine.store.role_of(CALLER) is None
    assert not engine.store.index.has_transfer_to("1002")
    assert engine.store.transferring(ours.agent) is None
    assert list(engine.store.records) == ["t0"]
    take_over(engine, [Stored(session(S.CONSULTING), marked("a:1"))], with_us, 2.0)
    assert engine.store.records["t1"].session.state is S.CONSULTING


def test_what_another_daemon_would_need_is_written_once_more() -> None:
    _, done = known(S.CONSULTING, ALL)
    assert done[0] == "mark"


def test_what_was_broken_off_is_begun_again_with_its_timer() -> None:
    _, done = known(S.COMPLETING, ALL, restart_steps=True)
    assert "bridge leg caller" in done
    assert done[-1] == "timer 5"
    _, done = known(S.COMPLETING, ALL, is_busy=lambda _: True)
    assert "bridge leg caller" not in done


def test_every_running_state_is_thought_of() -> None:
    where = recovery.ChannelLocations(lambda _: True, lambda _: True, lambda _: HOLD, lambda _: "")
    for state in RUNNING:
        arranged = recovery.restore(session(state, fourth=IN), where)
        watched = state in (S.STARTING, S.QUEUED, S.OFFERED)
        assert bool(arranged) is not watched, state


def test_timers_are_those_of_the_table() -> None:
    for state in set(RUNNING) - UNTIMED:
        (timer,) = machine.timer(session(state))
        assert isinstance(timer, fx.SetTimer)


def test_a_fourth_party_who_rang() -> None:
    places = ALL | {"avp-t1-1-leg": GONE}
    after, _, _ = taken(session(S.CONSULTING, fourth=OUT), places)
    assert after.fourth is None
    after, done, _ = taken(session(S.CONSULTING, fourth=OUT), places | {"avp-t1-1-leg": WITH_US})
    assert after.fourth_is is Presence.PRESENT
    assert "add fourth to consult" in done


def test_until_when_the_target_is_waited_for_and_who_was_asked() -> None:
    """The next daemon tells the same, and the colleague still sees the transfer."""
    waiting = replace(session(S.WAITING), waiting_since=1_000.5, asked=("1004",))
    engine, with_us = found_at({CALLER: HELD, AGENT: CONSULTS, LEG: NOWHERE})
    found = persistence.read(persistence.variables(waiting), engine.world)
    assert found is not None
    take_over(engine, [Stored(found, marked("a-3"))], with_us, 1_003.0)
    view = views.transfer_view(engine, engine.store.records[waiting.id])
    assert view.hold_until == 1_000.5 + waiting.wait_seconds
    assert view.asked == ("1004",)
