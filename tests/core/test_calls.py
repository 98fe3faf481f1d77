"""Find the agent's call in the picture of channels and bridges."""

from __future__ import annotations

import pytest

from asterisk_avp.core.messages.facts import ChannelSeen
from asterisk_avp.core.pbx.calls import Calls
from asterisk_avp.core.pbx.channel import resource_of, resource_of_interface


def picture(*bridges: tuple[str, ...]) -> Calls:
    """Channels by name (their id is the name), two or more in a bridge."""
    calls = Calls()
    for index, names in enumerate(bridges):
        for name in names:
            calls.update(ChannelSeen(name, name, caller_number=name.partition("/")[2][:7]))
            calls.enter(name, f"b{index}")
    return calls


AGENT, CALLER = "PJSIP/1001-00000001", "PJSIP/caller1-00000002"
LOCAL1, LOCAL2 = "Local/1001@agents-00000001;1", "Local/1001@agents-00000001;2"


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        (AGENT, "PJSIP/1001"),
        (LOCAL1, "Local/1001@agents"),
        ("PJSIP/a-b-0000002a", "PJSIP/a-b"),
        ("PJSIP/odd", "PJSIP/odd"),
    ],
)
def test_resource_of_a_channel(name: str, resource: str) -> None:
    assert resource_of(name) == resource


@pytest.mark.parametrize(
    ("interface", "resource"),
    [
        ("PJSIP/1001", "PJSIP/1001"),
        ("Local/1001@agents/n", "Local/1001@agents"),
        ("Local/1001@agents", "Local/1001@agents"),
    ],
)
def test_resource_of_an_interface(interface: str, resource: str) -> None:
    assert resource_of_interface(interface) == resource


def test_the_call_of_an_agent() -> None:
    (call,) = picture((AGENT, CALLER)).of_agent({"PJSIP/1001"})
    assert (call.agent_channel, call.caller_channel) == (AGENT, CALLER)
    assert call.caller.number == "caller1"


def test_a_local_member_is_found_where_the_caller_is() -> None:
    """The phone and the Local half are the agent's. The caller is bridged with the latter."""
    calls = picture((LOCAL1, CALLER), (LOCAL2, AGENT))
    (call,) = calls.of_agent({"Local/1001@agents/n", "PJSIP/1001"})
    assert (call.agent_channel, call.caller_channel) == (LOCAL1, CALLER)


@pytest.mark.parametrize("others", [(), (CALLER, "PJSIP/third-00000003")])
def test_only_a_bridge_of_two_is_a_call(others: tuple[str, ...]) -> None:
    assert picture((AGENT, *others)).of_agent({"PJSIP/1001"}) == []


def test_the_call_not_on_hold_comes_first() -> None:
    second, other = "PJSIP/1001-00000009", "PJSIP/caller2-00000008"
    calls = picture((AGENT, CALLER), (second, other))
    calls.hold(AGENT, on_hold=True)
    assert [call.caller_channel for call in calls.of_agent({"PJSIP/1001"})] == [other, CALLER]
    calls.hold(AGENT, on_hold=False)
    assert calls.of_agent({"PJSIP/1001"})[0].caller_channel == CALLER


def test_hang_up_and_rename() -> None:
    calls = picture((AGENT, CALLER))
    calls.update(ChannelSeen(CALLER, "PJSIP/caller1-000000ff", created=False))
    assert calls.name_of(CALLER) == "PJSIP/caller1-000000ff"
    calls.gone(CALLER)
    calls.update(ChannelSeen(CALLER, "PJSIP/caller1-000000ff", created=False))  # late events
    assert calls.of_agent({"PJSIP/1001"}) == []
    assert calls.name_of("nobody") == "nobody"
