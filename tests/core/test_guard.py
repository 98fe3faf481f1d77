"""Whose phone's Transfer button is not guarded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.guard import GuardChange, Guards, endpoint_of, endpoints_of, guarded
from tests.core.world import member


@pytest.mark.parametrize(
    ("interface", "endpoint"),
    [
        ("PJSIP/1001", "1001"),
        ("pjsip/1001", "1001"),
        ("PJSIP/2@trunk", "trunk"),
        ("PJSIP/a/sip:b@192.0.2.1", "a"),
        ("Local/1001@from-queue/n", ""),
        ("hint:1001@ext-local", ""),
        ("DAHDI/1", ""),
        ("", ""),
    ],
)
def test_the_endpoint_of_a_phone(interface: str, endpoint: str) -> None:
    assert endpoint_of(interface) == endpoint


def test_an_agents_endpoints_are_those_of_all_memberships() -> None:
    one = member("1001", "sales")
    other = replace(one, queue="q", interface="Local/1001@x/n", state_interface="PJSIP/desk")
    agent = Agent("1001", {"sales": one, "q": other}, personal=replace(one, interface="PJSIP/own"))
    assert endpoints_of(agent) == {"1001", "desk", "own"}
    assert endpoints_of(agent, ["PJSIP/2005", "SIP/1"]) == {"1001", "desk", "own", "2005"}


@pytest.mark.parametrize(
    ("allow_transfer", "handling", "obeyed", "is_guarded"),
    [
        ("true", "ari-only", True, True),
        ("true", "ari-only", False, False),
        ("true", "", True, False),
        ("true", "ARI-ONLY", True, False),  # res_pjsip_refer.c compares the case
        ("false", "", True, True),
        ("no", "", False, True),
    ],
)
def test_when_asterisk_ignores_the_button(
    *, allow_transfer: str, handling: str, obeyed: bool, is_guarded: bool
) -> None:
    assert guarded(allow_transfer, handling, obeyed=obeyed) is is_guarded


def test_changes_are_told_once() -> None:
    guards = Guards()
    phones = {"1001": {"a"}, "1002": {"b", "c"}, "1003": {"gone"}}
    assert guards.compare(phones) is None  # nothing is known yet
    for endpoint, found in (("a", True), ("b", True), ("c", False), ("gone", None)):
        guards.note(endpoint, found)
    assert guards.compare(phones) == GuardChange(("1002",), (), ("1002",))
    assert guards.compare(phones) is None
    guards.note("a", False)
    assert guards.compare(phones) == GuardChange(("1001",), (), ("1001", "1002"))
    guards.note("c", True)
    assert guards.compare(phones) == GuardChange((), ("1002",), ("1001",))
    assert guards.compare({}) == GuardChange((), ("1001",), ())  # nobody has the phone any more


def test_an_endpoint_that_was_deleted_is_no_fault() -> None:
    guards = Guards()
    guards.note("a", False)
    assert guards.compare({"1001": {"a"}}) is not None
    guards.note("a", None)
    assert guards.compare({"1001": {"a"}}) == GuardChange((), ("1001",), ())
