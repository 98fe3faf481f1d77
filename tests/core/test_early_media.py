"""What is done for a network that speaks before an outside number answers."""

from __future__ import annotations

import pytest

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.features import ExternalAccept
from asterisk_avp.core.transfer.session import Session, is_half, is_leg, is_snoop
from asterisk_avp.core.transfer.states import State
from tests.core.test_engine import outside
from tests.core.world import NOW

Effects = list[fx.Effect]


def happens(made: TransferEngine, *facts: ev.Fact) -> Effects:
    return [effect for fact in facts for _, effect in made.fact(fact, NOW).effects]


def dial(channel: str, status: str) -> ev.DialProgress:
    return ev.DialProgress(channel, status)


def heard(effects: Effects) -> Effects:
    wanted = fx.Snoop | fx.StopSnoop | fx.AddToBridge | fx.StopRingback | fx.StartRingback
    return [effect for effect in effects if isinstance(effect, wanted)]


def speaking() -> tuple[TransferEngine, Session, str]:
    """The network of the target speaks, and the transferor hears it. With the Snoop channel."""
    made, session = outside(accept=ExternalAccept.NONE)
    begun = heard(happens(made, dial(session.leg.channel, "PROGRESS")))
    (snoop,) = (effect for effect in begun if isinstance(effect, fx.Snoop))
    assert (snoop.channel, snoop.whispers) == (session.local_far_end, False)
    assert state(made, session) is State.RINGING
    assert heard(happens(made, ev.StasisEntered(snoop.snoop))) == [
        fx.AddToBridge(session.consult_bridge, snoop.snoop),
        fx.StopRingback(session.transferor.channel),
    ]
    return made, session, snoop.snoop


def state(made: TransferEngine, session: Session) -> State:
    return made.store.records[session.id].session.state


def test_a_183_without_a_180_rings() -> None:
    made, session, _ = speaking()
    assert heard(happens(made, dial(session.leg.channel, "PROGRESS"))) == [], "once is enough"
    # A 180 after it does not take its place.
    assert heard(happens(made, dial(session.local_far_end, "RINGING"))) == []


def test_ringback_ends_only_when_there_is_something_to_hear() -> None:
    made, session = outside(accept=ExternalAccept.NONE)
    happens(made, dial(session.local_far_end, "RINGING"))
    begun = heard(happens(made, dial(session.leg.channel, "PROGRESS")))
    assert [type(effect) for effect in begun] == [fx.Snoop]


def test_the_answer_ends_it_before_the_target_is_heard() -> None:
    made, session, snoop = speaking()
    effects = heard(happens(made, ev.StasisEntered(session.leg.channel)))
    assert effects[0] == fx.StopSnoop(snoop)
    assert fx.AddToBridge(session.consult_bridge, session.leg.channel) in effects
    assert heard(happens(made, ev.ChannelGone(snoop))) == []


def test_a_snoop_channel_that_is_late_is_ended() -> None:
    made, session = outside(accept=ExternalAccept.NONE)
    (snoop,) = (
        effect
        for effect in happens(made, dial(session.leg.channel, "PROGRESS"))
        if isinstance(effect, fx.Snoop)
    )
    happens(made, ev.StasisEntered(session.leg.channel))
    assert heard(happens(made, ev.StasisEntered(snoop.snoop))) == [fx.StopSnoop(snoop.snoop)]


@pytest.mark.parametrize("status", ["CHANUNAVAIL", "CONGESTION", "BUSY", "NOANSWER"])
def test_the_next_trunk_only_rings(status: str) -> None:
    made, session, snoop = speaking()
    assert heard(happens(made, dial(session.local_far_end, status))) == [], "it may speak on"
    assert heard(happens(made, dial(session.local_far_end, "RINGING"))) == [
        fx.StopSnoop(snoop),
        fx.StartRingback(session.transferor.channel),
    ]
    again = heard(happens(made, dial(session.leg.channel, "PROGRESS")))
    assert isinstance(again[0], fx.Snoop)
    assert again[0].snoop != snoop


def test_who_must_press_1_rings_until_then() -> None:
    made, session = outside(accept=ExternalAccept.PRESS1)
    begun = happens(made, dial(session.leg.channel, "PROGRESS"))
    (snoop,) = (effect for effect in begun if isinstance(effect, fx.Snoop))
    happens(made, ev.StasisEntered(snoop.snoop))
    assert heard(happens(made, dial(session.leg.channel, "ANSWER"))) == [
        fx.StopSnoop(snoop.snoop),
        fx.StartRingback(session.transferor.channel),
    ]


def test_ids_of_snoop_channels() -> None:
    _, session, snoop = speaking()
    assert is_snoop(snoop)
    assert is_snoop(f"{snoop}-whisper")
    assert not is_leg(snoop)
    assert not is_half(snoop)
    for other in (session.leg.channel, session.local_far_end, "avp-1795920247.0", snoop + "x"):
        assert not is_snoop(other)


def test_one_that_an_earlier_daemon_has_left_is_hung_up() -> None:
    """In the dialplan it would run whatever `default` has."""
    made, _ = outside(accept=ExternalAccept.NONE)
    assert happens(made, ev.StasisEntered("avp-t9-leg-early1")) == [fx.HangUp("avp-t9-leg-early1")]
