"""What a new daemon does at once for the transfers that it finds, and what can wait."""

from __future__ import annotations

from dataclasses import replace

from asterisk_avp.core.engine.resync import Stored, take_over
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.messages.facts import ChannelSeen, HoldChanged
from asterisk_avp.core.transfer import persistence
from asterisk_avp.core.transfer.session import Session, Times
from asterisk_avp.core.transfer.states import State
from tests.core.sessions import session
from tests.core.test_hold_key import told
from tests.core.test_recovery import (
    AGENT,
    ALL,
    CALLER,
    CONSULT,
    HOLD,
    LEG,
    NOWHERE,
    WITH_US,
    found_at,
)

BRIDGES = frozenset({HOLD, CONSULT})


def stored(one: Session) -> Stored:
    return Stored(one, persistence.variables(one))


def test_what_is_in_place_waits_and_is_not_written_again() -> None:
    engine, with_us = found_at(ALL)
    later: dict[str, list[fx.Effect]] = {}
    outcome = take_over(
        engine, [stored(session(State.CONSULTING))], with_us, 2.0, bridges=BRIDGES, later=later
    )
    assert outcome.effects == []
    assert fx.StartMusic(CALLER) in later["t1"]
    assert not any(isinstance(x, fx.SetVariables | fx.CreateBridge) for x in later["t1"])


def test_who_is_in_no_bridge_does_not_wait() -> None:
    engine, with_us = found_at(ALL | {CALLER: WITH_US})
    later: dict[str, list[fx.Effect]] = {}
    outcome = take_over(
        engine, [stored(session(State.CONSULTING))], with_us, 2.0, bridges=BRIDGES, later=later
    )
    done = [effect for _, effect in outcome.effects]
    assert done.index(fx.AddToBridge(HOLD, CALLER)) < done.index(fx.StartMusic(CALLER))
    assert later == {}


def test_a_bridge_that_is_missing_is_made_at_once() -> None:
    engine, with_us = found_at(ALL | {CALLER: WITH_US})
    later: dict[str, list[fx.Effect]] = {}
    found = [stored(session(State.CONSULTING))]
    outcome = take_over(engine, found, with_us, 2.0, bridges=BRIDGES - {HOLD}, later=later)
    assert ("t1", fx.CreateBridge(HOLD, "hold")) in outcome.effects
    assert ("t1", fx.CreateBridge(CONSULT, "consult")) not in outcome.effects


def test_a_timer_does_not_wait() -> None:
    engine, with_us = found_at(ALL | {LEG: NOWHERE})
    later: dict[str, list[fx.Effect]] = {}
    outcome = take_over(
        engine, [stored(session(State.RINGING))], with_us, 2.0, bridges=BRIDGES, later=later
    )
    assert [type(effect) for _, effect in outcome.effects] == [fx.SetTimer]
    assert later["t1"]


def test_an_effect_in_flight_is_waited_for_by_none() -> None:
    """It may end in what the list of bridges did not show yet."""
    engine, with_us = found_at(ALL)
    engine.store.adopt(session(State.CONSULTING), 1.0, Outcome())
    later: dict[str, list[fx.Effect]] = {}
    outcome = take_over(engine, (), with_us, 2.0, lambda _: True, bridges=BRIDGES, later=later)
    assert outcome.effects
    assert later == {}


def test_the_one_that_changed_last_comes_first() -> None:
    """A daemon that was killed between two effects was most likely there."""
    engine, _ = found_at({})
    found, with_us = [], set()
    for name, since in {"t1": 100.0, "t2": 300.0, "t3": 200.0}.items():
        made = replace(session(State.CONSULTING), id=name, times=Times(1.0, since, None))
        parties = {role: f"{name}-{role}" for role in ("transferor", "caller", "leg")}
        for role, channel in parties.items():
            made = replace(made, **{role: replace(getattr(made, role), channel=channel)})
            bridge = made.hold_bridge if role == "caller" else made.consult_bridge
            engine.fact(ChannelSeen(channel, f"PJSIP/{channel}-1", bridge=bridge), 1.0)
        with_us |= {*parties.values()}
        found.append(stored(made))
    bridges = frozenset(channel.bridge or "" for channel in engine.calls.channels.values())
    later: dict[str, list[fx.Effect]] = {}
    take_over(engine, found, with_us, 400.0, bridges=bridges, later=later)
    assert [*later] == ["t2", "t3", "t1"]


# --- the phones' hold keys ----------------------------------------------------------------------


def test_a_party_on_hold_stays_so_until_the_phones_have_been_asked() -> None:
    engine, with_us = found_at(ALL)
    engine.store.holds_unread = True
    held = replace(session(State.CONSULTING), on_hold=frozenset({LEG}))
    take_over(engine, [stored(held)], with_us, 2.0, bridges=BRIDGES)
    assert engine.store.records["t1"].session.on_hold == {LEG}
    engine.fact(HoldChanged(LEG, on_hold=True), 3.0)
    outcome = Outcome()
    engine.store.holds_read(4.0, outcome)
    assert engine.store.records["t1"].session.on_hold == {LEG}
    assert told(held, tuple(effect for _, effect in outcome.effects)) == ["+t"]


def test_who_has_resumed_meanwhile_is_heard() -> None:
    engine, with_us = found_at(ALL)
    engine.store.holds_unread = True
    held = replace(session(State.CONSULTING), on_hold=frozenset({LEG}))
    take_over(engine, [stored(held)], with_us, 2.0, bridges=BRIDGES)
    outcome = Outcome()
    engine.store.holds_read(4.0, outcome)
    assert engine.store.records["t1"].session.on_hold == frozenset()
    assert told(held, tuple(effect for _, effect in outcome.effects)) == ["-t"]


def test_who_has_held_meanwhile_is_noted() -> None:
    engine, with_us = found_at(ALL)
    engine.store.holds_unread = True
    before = session(State.CONSULTING)
    take_over(engine, [stored(before)], with_us, 2.0, bridges=BRIDGES)
    engine.fact(HoldChanged(AGENT, on_hold=True), 3.0)
    assert engine.store.records["t1"].session.on_hold == frozenset()
    outcome = Outcome()
    engine.store.holds_read(4.0, outcome)
    assert engine.store.records["t1"].session.on_hold == {AGENT}
    assert told(before, tuple(effect for _, effect in outcome.effects)) == ["+l"]
    assert not engine.store.holds_unread
