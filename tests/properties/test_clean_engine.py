"""Whatever a caller, an agent or another program writes, the engine's effects pass the gate."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.pause import pause
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import clean
from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.features import Features, ShownNumber
from asterisk_avp.core.model.world import ConfiguredAgent, Group, Mode, Target, TargetKind, World
from asterisk_avp.core.pops.content import PastTransfer, history
from asterisk_avp.core.pops.content import read as read_pop
from asterisk_avp.core.transfer import persistence
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import fourth_id, is_half, leg_id, other_half, shown_id
from tests.core.test_clean import EVIL
from tests.core.world import NOW, member, request
from tests.properties.test_clean import TEXT

ACCOUNT = "+12025550199"
OPEN = Features(
    external_transfer=True,
    manual_dial=True,
    conference=True,
    country="US",
    caller_id=ACCOUNT,
    external_caller_id=ShownNumber.CALLER,
)
NUMBER = Target(TargetKind.NUMBER, "+12025550100")
# As it arrives from AMI, where invalid Unicode has been replaced.
FOREIGN = st.text(st.characters(codec="utf-8")) | st.sampled_from(
    [text for text in EVIL if text.isprintable()]
)


def gate(effects: Iterable[fx.Effect]) -> list[fx.Effect]:
    """The same effects. Raises if one of them would not be sent unchanged."""
    checked = list(effects)
    for effect in checked:
        match effect:
            case fx.SetVariables(channel, variables):
                clean.check_action("Setvar", {"Channel": channel})
                assert clean.variables(variables)[1] == ()
            case fx.DialLeg():
                query = {
                    "endpoint": effect.permission.endpoint,
                    "callerId": effect.caller_id,
                    "channelId": effect.channel,
                    "otherChannelId": effect.other_channel,
                    "originator": effect.originator,
                    "context": effect.first.context if effect.first else None,
                }
                clean.check_request(query, {"variables": dict(effect.variables)})
            case fx.Redirect(channel, destination):
                headers = {"Channel": channel, "Exten": destination.extension}
                clean.check_action("Redirect", headers | {"Context": destination.context})
            case fx.AddMember(queue, interface, state_interface, name):
                headers = {"Queue": queue, "Interface": interface, "MemberName": name}
                clean.check_action("QueueAdd", headers | {"StateInterface": state_interface})
            case fx.PauseMember(queue, interface, _, reason):
                headers = {"Queue": queue, "Interface": interface, "Reason": reason}
                clean.check_action("QueuePause", headers)
            case _:
                pass
    return checked


def of(outcome: Outcome) -> list[fx.Effect]:
    return gate(effect for _, effect in outcome.effects)


def call_centre(
    number: str, name: str, connected: str, group: str, member_name: str, account: str = ACCOUNT
) -> tuple[TransferEngine, list[fx.Effect]]:
    """Alice, whose name is ``member_name``, talks to an external caller."""
    features = replace(OPEN, caller_id=account or None)
    groups = {"sales": Group("sales", "sales", "Sales", account="acme", features=features)}
    world = World(groups, {"1002": ConfiguredAgent("1002", member_name or None, groups=("sales",))})
    engine = TransferEngine(world, new_id=lambda: "t1", new_secret=lambda: "ab" * 16)
    done = []
    for agent in ("1001", "1002"):
        seen = replace(member(agent), name=member_name)
        done += of(engine.fact(seen, NOW))
    caller = ev.ChannelSeen("u-caller", "PJSIP/trunk-00000001", number, name, queue="sales")
    for fact in (
        replace(caller, connected_number=connected),
        ev.QueueJoined("sales", "u-caller"),
        ev.ChannelSeen("u-1001", "PJSIP/1001-00000002", connected_number=number),
        ev.QueueLeft("sales", "u-caller"),
        ev.BridgeEntered("u-1001", "b"),
        ev.BridgeEntered("u-caller", "b"),
        ev.CallGroup("u-caller", group),
    ):
        done += of(engine.fact(fact, NOW))
    return engine, done


@given(
    *[FOREIGN] * 6,
    st.booleans(),
    st.sampled_from([ACCOUNT, ""]),
)
def test_any_text_in_a_transfer(
    number: str,
    name: str,
    connected: str,
    group: str,
    member_name: str,
    notes: str,
    to_agent: bool,
    account: str,
) -> None:
    engine, done = call_centre(number, name, connected, group, member_name, account)
    wanted = Target(TargetKind.AGENT, "1002") if to_agent else NUMBER
    asked = replace(request(), target=wanted, notes=notes)
    session, outcome = engine.request(asked, CallVariables(), NOW)
    done += of(outcome)
    bob = engine.agents.by_id["1002"]
    added = gate(engine.personal_queues.mirror(bob, NOW))
    assert [type(effect) for effect in added] == [fx.AddMember] * to_agent
    for event in (
        ev.StasisEntered("u-1001"),
        ev.StasisEntered("u-caller"),
        ev.StasisEntered(session.leg.channel),
    ):
        done += of(engine.fact(event, NOW))
    if not to_agent:
        done += of(engine.add_party("t1", Target(TargetKind.NUMBER, "+12025550123"), NOW))
    for kind in (EventType.SWAP, EventType.SWAP, EventType.COMPLETE, EventType.BRIDGED):
        done += of(engine.report("t1", SessionEvent(kind), NOW))
    legs = [effect for effect in done if isinstance(effect, fx.DialLeg)]
    assert legs
    for leg in legs:
        if leg.permission.number is not None:
            assert leg.variables["AVP_CALLER_ID"] == (clean.number(number) or account)
    if clean.number(connected) and not number:
        assert engine.calls.channels["u-caller"].connected_number == connected


@given(FOREIGN, FOREIGN)
def test_any_text_when_it_goes_on_alone(number: str, notes: str) -> None:
    engine, _ = call_centre(number, number, number, "", "")
    asked = replace(request(mode=Mode.UNSUPERVISED), notes=notes)
    _, outcome = engine.request(asked, CallVariables(), NOW)
    done = of(outcome) + of(engine.report("t1", SessionEvent(EventType.REDIRECTED), NOW))
    assert any(isinstance(effect, fx.Redirect) for effect in done)


@given(FOREIGN, FOREIGN, FOREIGN, FOREIGN)
def test_what_another_daemon_is_told(number: str, name: str, notes: str, reason: str) -> None:
    engine, _ = call_centre(number, name, "", "", name)
    session, _ = engine.request(replace(request(), notes=notes), CallVariables(), NOW)
    written = persistence.variables(replace(session, reason=reason))
    assert clean.variables(written) == (written, ())
    assert persistence.read(written, engine.world) == replace(session, reason=reason)


@given(FOREIGN, FOREIGN)
def test_the_history_of_a_call(name: str, note: str) -> None:
    past = PastTransfer("1001", name[:100], "supervised", note, "2026-01-01T00:00:00Z", "t1")
    written = history((past,), 12)
    assert clean.variables(written) == (written, ())
    found = read_pop(written)
    assert found.ignored == ()
    assert found.transfers[0].name == name[:100]
    assert note.startswith(found.transfers[0].note)


@given(TEXT)
def test_any_reason_of_a_pause(reason: str) -> None:
    engine, _ = call_centre("", "", "", "", "")
    (effect,) = gate(pause(engine.agents, "1001", paused=True, reason=reason))
    assert isinstance(effect, fx.PauseMember)
    assert effect.paused


def test_what_a_daemon_before_this_one_wrote_is_read() -> None:
    """Its chunks are the JSON itself, and a history is JSON between bars."""
    engine, _ = call_centre("+12025550111", "Zoë", "", "", "")
    session, _ = engine.request(replace(request(), notes='"{x}"'), CallVariables(), NOW)
    text = persistence.encode(session)
    pieces = [text[at : at + 480] for at in range(0, len(text), 480)]
    written = {f"AVP_SESSION_b{n}": piece for n, piece in enumerate(pieces)}
    assert (
        persistence.read(written | {"AVP_SESSION_0": f"b:{len(pieces)}"}, engine.world) == session
    )
    entry = (
        '{"from":"1001","from_name":"Zo\\u00eb","mode":"supervised",'
        '"note":"n","at":"","transfer":"t"}'
    )
    parts = {"AVP_HISTORY_1_1": f"|{entry[:30]}|", "AVP_HISTORY_1_2": f"|{entry[30:]}|"}
    assert read_pop(parts).transfers == (PastTransfer("1001", "Zoë", "supervised", "n", "", "t"),)


@given(st.sampled_from(EVIL), st.sampled_from(["id", "agent", "variables", "allow"]))
def test_a_session_that_another_program_wrote_on_the_channel(evil: str, field: str) -> None:
    engine, _ = call_centre("", "", "", "", "")
    session, _ = engine.request(request(), CallVariables(), NOW)
    told = json.loads(persistence.encode(session))
    told[field] = {
        "variables": {"AVP_HOLD_ACTION": evil},
        "allow": [evil, "1002", None, True],
    }.get(field, evil)
    assert persistence.decode(json.dumps(told), engine.world) is None


def test_agents_see_no_secret_of_a_leg() -> None:
    secret = "ab" * 16
    for leg in (leg_id("t1", secret), fourth_id("t1", 2, secret)):
        assert secret in leg
        for half in (leg, other_half(leg)):
            assert is_half(half)
            assert secret not in shown_id(half)
            assert is_half(shown_id(half))
    for other in ("asterisk-1769850300.25", f"avp-{secret}-legs"):
        assert shown_id(other) == other
