"""Which swaps in a bridge a phone caused, and which party it replaced."""

from __future__ import annotations

import pytest

from asterisk_avp.core.messages.facts import BridgeSwapped, ChannelSeen
from asterisk_avp.core.pbx.calls import Calls
from asterisk_avp.core.pbx.swaps import _KEPT, Swaps

VICTIM = "PJSIP/1001-00000001"


def swaps(victim: str = VICTIM) -> tuple[Swaps, Calls]:
    calls = Calls()
    calls.update(ChannelSeen("u", victim))
    return Swaps(calls), calls


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize(
    ("intruder", "victim", "name"),
    [
        ("PJSIP/trunk-00000002", VICTIM, VICTIM),
        ("PJSIP/trunk-00000002", "Local/1001@agents-00000001;1", ""),
        ("Local/1001@agents-00000001;1", VICTIM, ""),
    ],
)
def test_a_phone_for_a_phone(intruder: str, victim: str, name: str, gone: bool) -> None:
    watch, calls = swaps(victim)
    if gone:  # the end of the replaced channel may come first
        watch.gone("u")
        calls.gone("u")
    assert watch.by_phone(BridgeSwapped("x", intruder, "u")) == name


def test_of_a_channel_that_nobody_knows_nothing_is_said() -> None:
    watch, _ = swaps()
    watch.gone("somebody-else")
    assert watch.by_phone(BridgeSwapped("x", "PJSIP/trunk-00000002", "somebody-else")) == ""


def test_names_of_the_past_do_not_pile_up() -> None:
    watch, calls = swaps()
    for number in range(_KEPT + 10):
        calls.update(ChannelSeen(f"u{number}", f"PJSIP/1-{number:08x}"))
        watch.gone(f"u{number}")
        calls.gone(f"u{number}")
    assert len(watch._gone) == _KEPT
    swap = BridgeSwapped("x", "PJSIP/trunk-00000002", f"u{_KEPT + 9}")
    assert watch.by_phone(swap) == f"PJSIP/1-{_KEPT + 9:08x}"
