"""What a transfer offers is what the engine accepts, in every session that can be reached."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.engine.views import transfer_view
from asterisk_avp.core.model.errors import Refused, UnknownParty, WrongState
from asterisk_avp.core.model.world import ConfiguredAgent, Target, TargetKind, World
from asterisk_avp.core.transfer.events import EventType
from asterisk_avp.core.transfer.persistence import encode
from asterisk_avp.core.transfer.session import Session
from tests.core.sessions import SALES
from tests.core.world import ALL_ON, NOW, member
from tests.properties.test_explore import BEGUN, explored

NUMBER = "+12015550123"
EVERY_ACTION = (
    *("complete", "cancel", "swap", "conference", "add_party"),
    *("drop_party:1001", "drop_party:caller", "drop_party:1002", "drop_party:party-4"),
)
OFF = (
    *("", "session_transfer", "unsupervised_transfer", "conference", "manual_dial"),
    "internal_transfer",
)


def engine_of(session: Session, off: str) -> TransferEngine:
    features = replace(ALL_ON, **{off: False}) if off else ALL_ON
    world = World(
        groups={"sales": replace(SALES, features=features)},
        agents={
            agent: ConfiguredAgent(agent, groups=("sales",)) for agent in ("1001", "1002", "1003")
        },
    )
    made = TransferEngine(world, lambda: "new")
    for agent in ("1001", "1002", "1003"):
        made.fact(member(agent), NOW)
    made.store.adopt(session, NOW, Outcome())
    return made


def _add_anybody(made: TransferEngine) -> None:
    """A number, or else a colleague."""
    try:
        made.add_party("t1", Target(TargetKind.NUMBER, NUMBER), NOW)
    except Refused:
        made.add_party("t1", Target(TargetKind.AGENT, "1003"), NOW)


def accepts(made: TransferEngine, action: str) -> bool:
    name, _, party = action.partition(":")
    try:
        match name:
            case "add_party":
                _add_anybody(made)
            case "drop_party":
                made.drop_party("t1", party, NOW)
            case _:
                made.command("t1", EventType(name), NOW)
    except (Refused, UnknownParty, WrongState):
        return False
    return True


@pytest.mark.parametrize("off", OFF)
@pytest.mark.parametrize("how", BEGUN)
def test_what_is_offered_is_what_is_accepted(how: str, off: str) -> None:
    """``off``: a feature that the settings in force do not allow (any more)."""
    places, _ = explored(how)
    sessions = {encode(replace(x.session, reason="")): x.session for x in places}
    seen: set[str] = set()
    for session in sessions.values():
        made = engine_of(session, off)
        unchanged = made.store.records["t1"]
        offered = made.actions(session)
        seen |= {*offered}
        assert {*offered} <= {*EVERY_ACTION}
        assert len({*offered}) == len(offered)
        for action in EVERY_ACTION:
            accepted = accepts(made, action)
            assert accepted is (action in offered), (action, session)
            if accepted:
                made = engine_of(session, off)
                unchanged = made.store.records["t1"]
            else:
                assert made.store.records == {"t1": unchanged}, "what is refused has no effect"
    if how == "supervised" and not off:
        assert seen == {*EVERY_ACTION} - {"drop_party:1001", "drop_party:caller"}


@pytest.mark.parametrize("how", BEGUN)
def test_who_is_heard_is_a_party(how: str) -> None:
    sounds = {"music", "ringback", "prompt"}
    for place in explored(how)[0]:
        made = engine_of(place.session, "")
        record = made.store.records["t1"]
        view = transfer_view(made, record)
        there = {party.role for party in view.parties if party.state != "gone"}
        for party in view.parties:
            heard = {*party.hears}
            assert party.role not in heard
            assert heard <= there or heard <= sounds, (view, place.way)
            assert not heard or party.state != "gone"
            for other in view.parties:
                if other.role in heard:
                    assert party.role in other.hears, "who is heard hears"
