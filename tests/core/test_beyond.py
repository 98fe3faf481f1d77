"""The phone that a half of a Local channel leads to."""

from __future__ import annotations

from asterisk_avp.core.messages.facts import ChannelSeen
from asterisk_avp.core.pbx.beyond import phone_beyond
from asterisk_avp.core.pbx.calls import Calls


def calls(**bridges: str) -> Calls:
    """Two Local channels in a row and a phone, each channel in the bridge that is named."""
    names = {
        "a1": "Local/1001@agents-0000000a;1",
        "a2": "Local/1001@agents-0000000a;2",
        "b1": "Local/1001@homes-0000000b;1",
        "b2": "Local/1001@homes-0000000b;2",
        "phone": "PJSIP/1001-0000000c",
    }
    found = Calls()
    for each, name in names.items():
        found.update(ChannelSeen(each, name, created=True, bridge=bridges.get(each, "")))
    return found


def test_one_local_channel() -> None:
    assert phone_beyond(calls(a2="x", phone="x"), "a1") == "phone"


def test_two_in_a_row() -> None:
    assert phone_beyond(calls(a2="x", b1="x", b2="y", phone="y"), "a1") == "phone"


def test_nobody_there_yet() -> None:
    assert phone_beyond(calls(), "a1") == ""
    assert phone_beyond(calls(a2="x", b1="x"), "a1") == ""


def test_a_phone_itself() -> None:
    assert phone_beyond(calls(a1="x", phone="x"), "phone") == ""
    assert phone_beyond(calls(), "unknown") == ""


def test_a_ring_of_local_channels_ends() -> None:
    assert phone_beyond(calls(a2="x", b1="x", b2="y", a1="y"), "a1") == ""
