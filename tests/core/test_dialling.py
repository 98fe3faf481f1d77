"""Which numbers may be dialled from which phone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.messages.facts import MemberSeen
from asterisk_avp.core.model.features import Features, ShownNumber
from asterisk_avp.core.model.world import ConfiguredAgent, Group, World
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.policy.dialling import MAX_TYPED, UNKNOWN_AGENT, Dial, check_dial
from asterisk_avp.core.policy.policy import REASONS

NUMBER = "+12025550100"
OPEN = Features(
    external_transfer=True,
    manual_dial=True,
    country="US",
    origins={"manual_dial": "AVP_ENTERPRISE__MANUAL_DIAL", "contracted": "default"},
)


def world(features: Features = OPEN, second: Features = OPEN) -> World:
    return World(
        groups={
            "first": Group("first", "first", "First", features=features),
            "second": Group("second", "second", "Second", features=second),
        },
        agents={
            "1001": ConfiguredAgent("1001", groups=("first", "second")),
            "1002": ConfiguredAgent("1002", interface="PJSIP/bob", country="GB", groups=("first",)),
            "1003": ConfiguredAgent("1003"),
        },
    )


def asked(typed: str, features: Features = OPEN, channel: str = "PJSIP/1001-0000002a") -> Dial:
    configured = world(features)
    return check_dial(channel, typed, Agents(configured), configured)


def test_allowed() -> None:
    assert asked("(202) 555-0100") == Dial(
        allowed=True,
        reason="ok",
        number=NUMBER,
        agent="1001",
        setting="AVP_ENTERPRISE__MANUAL_DIAL",
    )


def test_the_accounts_number_is_shown() -> None:
    """There is no caller whose number could be shown; and nothing where nothing is dialled."""
    account = "+12025550199"
    for shown in ShownNumber:
        features = replace(OPEN, caller_id=account, external_caller_id=shown)
        assert asked(NUMBER, features).caller_id == account
        assert asked("12", features).caller_id == ""
        assert asked("911", features).caller_id == ""
    assert asked(NUMBER).caller_id == ""


def test_every_reason_has_its_sentence() -> None:
    """A stable code, and what the agent can do about it."""
    assert UNKNOWN_AGENT in REASONS
    for typed in ("12", "911", "+442079460000", "18003569377", "9002345678"):
        assert asked(typed).reason in REASONS


def test_much_too_long_a_number() -> None:
    assert asked("2" * (MAX_TYPED + 1)).reason == "invalid_format"


@pytest.mark.parametrize(
    ("typed", "setting"),
    [
        ("18003569377", "AVP_GROUPS__FIRST__TOLL_FREE_SERVICE"),
        ("9002345678", "AVP_GROUPS__FIRST__TOLL_SERVICE"),
        ("5551234", ""),
    ],
)
def test_the_setting_that_refused_a_number(typed: str, setting: str) -> None:
    origins = {
        name: f"AVP_GROUPS__FIRST__{name.upper()}" for name in ("toll_free_service", "toll_service")
    }
    assert asked(typed, replace(OPEN, origins=origins)).setting == setting


@pytest.mark.parametrize(
    ("off", "reason"),
    [
        ({"contracted": False}, "not_contracted"),
        ({"session_transfer": False}, "transfer_disabled"),
        ({"external_transfer": False}, "external_disabled"),
        ({"manual_dial": False}, "manual_dial_disabled"),
        # The first disabled feature is the reason.
        ({"external_transfer": False, "manual_dial": False}, "external_disabled"),
        ({"contracted": False, "external_transfer": False}, "not_contracted"),
    ],
)
@pytest.mark.parametrize("typed", [NUMBER, "12", ""])
def test_feature_off(off: dict[str, bool], reason: str, typed: str) -> None:
    decided = asked(typed, replace(OPEN, **off))  # type: ignore[arg-type]
    assert (decided.allowed, decided.reason, decided.number) == (False, reason, "")
    assert reason in REASONS


@pytest.mark.parametrize(
    "on", [{"internal_transfer": False}, {"presets": False}, {"unsupervised_transfer": False}]
)
def test_features_that_do_not_matter(on: dict[str, bool]) -> None:
    assert asked(NUMBER, replace(OPEN, **on)).allowed  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("12", "invalid_format"),
        ("", "invalid_format"),
        ("2025550100&PJSIP/1004", "invalid_format"),
        ("2025550100@avp-external", "invalid_format"),
        ("011 44 20 7946 0000", "country_mismatch"),
        ("00442079460000", "invalid_format"),
        ("+1 800 356 9377", "toll_free_not_enabled"),
        ("900-234-5678", "toll_not_enabled"),
        ("9112025550100", "emergency"),
        ("+1911", "emergency"),
    ],
)
def test_number_rules(typed: str, reason: str) -> None:
    decided = asked(typed)
    assert (decided.allowed, decided.reason, decided.number) == (False, reason, "")


def test_the_agents_country() -> None:
    bob = "PJSIP/bob-00000001"
    assert asked("0044 20 7946 0000", channel=bob).number == "+442079460000"
    assert asked(NUMBER, channel=bob).reason == "country_mismatch"


@pytest.mark.parametrize(
    ("typed", "channel", "number"),
    [
        ("911", "PJSIP/1001-00000001", "911"),
        ("112", "PJSIP/1001-00000001", "112"),
        ("9-1-1", "PJSIP/1001-00000001", "911"),
        ("999", "PJSIP/bob-00000001", "999"),  # a British one
        ("911", "PJSIP/stranger-00000001", "911"),  # a phone without an agent
    ],
)
@pytest.mark.parametrize("contracted", [True, False])
def test_emergency(typed: str, channel: str, number: str, contracted: bool) -> None:
    """Never allowed as an external number, never refused because of a feature or an agent."""
    decided = asked(typed, replace(OPEN, contracted=contracted), channel)
    assert (decided.allowed, decided.reason, decided.number) == (False, "emergency", number)


def test_emergency_number_of_another_country() -> None:
    assert asked("999").reason == "invalid_format"


@pytest.mark.parametrize(
    "channel",
    [
        "PJSIP/stranger-00000001",
        "PJSIP/1003-00000001",  # not in any group
        "PJSIP/1002-00000001",  # Bob has a phone with another name
        "Local/1001@avp-agents-00000001;2",
        "1001",
        "",
    ],
)
def test_unknown(channel: str) -> None:
    decided = asked(NUMBER, channel=channel)
    assert (decided.allowed, decided.reason, decided.number) == (False, UNKNOWN_AGENT, "")


def test_the_first_group_decides() -> None:
    configured = world(replace(OPEN, manual_dial=False), OPEN)
    decided = check_dial("PJSIP/1001-00000001", NUMBER, Agents(configured), configured)
    assert decided.reason == "manual_dial_disabled"
    configured = world(OPEN, replace(OPEN, manual_dial=False))
    assert check_dial("PJSIP/1001-00000001", NUMBER, Agents(configured), configured).allowed


def test_member_that_is_not_configured() -> None:
    configured = world()
    agents = Agents(configured)
    agents.member_seen(
        MemberSeen(
            queue="second",
            interface="Local/1007@agents/n",
            state_interface="PJSIP/desk7",
            name="Gus",
            status=1,
            paused=False,
            in_call=False,
            last_call=0.0,
            wrapup_seconds=0,
            now=0.0,
        )
    )
    decided = check_dial("PJSIP/desk7-00000001", NUMBER, agents, configured)
    assert (decided.allowed, decided.agent) == (True, "1007")
