"""Who may transfer to whom: every mode and target under every combination of features."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from asterisk_avp.core import numbers
from asterisk_avp.core.model.errors import Refused
from asterisk_avp.core.model.features import Features
from asterisk_avp.core.model.world import (
    ConfiguredAgent,
    Group,
    Mode,
    Preset,
    Target,
    TargetKind,
    TransferRequest,
    World,
)
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.policy import policy
from tests.core.world import NOW, member

ALL_ON = Features(
    external_transfer=True,
    manual_dial=True,
    presets=True,
    toll_free_service=True,
    toll_service=True,
    country="US",
    origins={
        "internal_transfer": "AVP_GROUPS__SALES__INTERNAL_TRANSFER",
        "manual_dial": "AVP_X",
        "contracted": "AVP_ACCOUNTS__ACME__CONTRACTED",
    },
)
TARGETS = {
    TargetKind.AGENT: "1002",
    TargetKind.GROUP: "support",
    TargetKind.NUMBER: "202-555-0100",
    TargetKind.PRESET: "billing",
}
PAIRS = list(itertools.product(Mode, TargetKind))


def world(features: Features = ALL_ON) -> World:
    return World(
        groups={
            "sales": Group("sales", "sales", "Sales", features=features),
            "support": Group("support", "support", "Support"),
        },
        agents={"1001": ConfiguredAgent("1001"), "1009": ConfiguredAgent("1009", country="GB")},
        presets={
            "billing": Preset("billing", "Billing", "+12025550101", "support"),
            "own": Preset("own", "Own", "+12025550102", "sales"),
            "far": Preset("far", "Far", "+442079460000", "support"),
        },
    )


def decide(
    mode: Mode,
    kind: TargetKind,
    value: str | None = None,
    *,
    features: Features = ALL_ON,
    agent: str = "1001",
    **facts: object,
) -> policy.Permission:
    made = world(features)
    agents = Agents(made)
    for name, queue in (("1001", "sales"), ("1002", "sales"), ("1003", "support")):
        seen = agents.member_seen(member(name, queue))
        assert seen is not None
        agents.refresh(seen, NOW)
    known = policy.DecisionContext(
        call_found=True, call_in_transfer=False, group=made.groups["sales"], slot_taken=False
    )
    return policy.decide(
        TransferRequest(agent, mode, Target(kind, TARGETS[kind] if value is None else value)),
        replace(known, **facts),  # type: ignore[arg-type]  # the tests know the fields
        agents,
        made,
    )


def reason(*args: object, **more: object) -> str:
    with pytest.raises(Refused) as refusal:
        decide(*args, **more)  # type: ignore[arg-type]
    assert refusal.value.message == policy.REASONS[refusal.value.reason] or refusal.value.message
    return refusal.value.reason


# DESIGN section 4, "Mode x target" and the order of refusals, by hand.
NEVER = {
    (Mode.SUPERVISED, TargetKind.GROUP): "supervised_group",
    (Mode.UNSUPERVISED, TargetKind.NUMBER): "unsupervised_external",
    (Mode.UNSUPERVISED, TargetKind.PRESET): "unsupervised_external",
}
SWITCHES = (
    "session_transfer",
    "internal_transfer",
    "external_transfer",
    "manual_dial",
    "presets",
    "unsupervised_transfer",
)


def expected(mode: Mode, kind: TargetKind, on: dict[str, bool]) -> str:
    if (mode, kind) in NEVER:
        return NEVER[mode, kind]
    if not on["session_transfer"]:
        return "transfer_disabled"
    if kind in (TargetKind.AGENT, TargetKind.GROUP):
        if not on["internal_transfer"]:
            return "internal_disabled"
        if mode is Mode.UNSUPERVISED and not on["unsupervised_transfer"]:
            return "unsupervised_disabled"
        return "ok"
    if not on["external_transfer"]:
        return "external_disabled"
    if kind is TargetKind.NUMBER and not on["manual_dial"]:
        return "manual_dial_disabled"
    if kind is TargetKind.PRESET and not on["presets"]:
        return "presets_disabled"
    return "ok"


@pytest.mark.parametrize(("mode", "kind"), PAIRS)
def test_every_combination_of_features(mode: Mode, kind: TargetKind) -> None:
    for values in itertools.product((True, False), repeat=len(SWITCHES)):
        on = dict(zip(SWITCHES, values, strict=True))
        features = replace(ALL_ON, **on)  # type: ignore[arg-type]
        wanted = expected(mode, kind, on)
        assert policy.permitted(features, mode, kind) is (wanted == "ok")
        if wanted == "ok":
            decide(mode, kind, features=features)
        else:
            assert reason(mode, kind, features=features) == wanted


@pytest.mark.parametrize(("mode", "kind"), PAIRS)
def test_the_contract_comes_first_and_then_the_call(mode: Mode, kind: TargetKind) -> None:
    without = replace(ALL_ON, contracted=False)
    assert not policy.permitted(without, mode, kind)
    assert reason(mode, kind, features=without, call_found=False) == "not_contracted"
    nothing = Features(session_transfer=False)
    assert reason(mode, kind, features=nothing, call_found=False) == "no_active_call"
    assert reason(mode, kind, features=nothing, call_in_transfer=True) == "already_transferring"


def test_an_allow_says_what_may_be_dialled_and_nothing_else() -> None:
    agent = decide(Mode.SUPERVISED, TargetKind.AGENT)
    assert (agent.endpoint, agent.number) == ("Local/1002@avp-agent-queue", None)
    assert agent.setting == "AVP_GROUPS__SALES__INTERNAL_TRANSFER"
    number = decide(Mode.SUPERVISED, TargetKind.NUMBER)
    assert (number.number, number.queue) == ("+12025550100", None)
    assert number.endpoint == "Local/+12025550100@avp-external-leg"
    preset = decide(Mode.SUPERVISED, TargetKind.PRESET)
    assert preset.number == "+12025550101"
    group = decide(Mode.UNSUPERVISED, TargetKind.GROUP)
    assert (group.queue, group.agent, group.number) == ("support", None, None)


def test_going_on_without_agent_1_is_a_permission_of_its_own() -> None:
    assert decide(Mode.SUPERVISED, TargetKind.AGENT).may_detach
    without = replace(ALL_ON, unsupervised_transfer=False)
    assert not decide(Mode.SUPERVISED, TargetKind.AGENT, features=without).may_detach
    for kind in (TargetKind.NUMBER, TargetKind.PRESET):
        assert not decide(Mode.SUPERVISED, kind).may_detach


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        (TargetKind.AGENT, "9999", "unknown_target"),
        (TargetKind.AGENT, "1003", "not_in_group"),
        (TargetKind.AGENT, "1001", "self_transfer"),
        (TargetKind.PRESET, "nothing", "unknown_target"),
        (TargetKind.PRESET, "own", "unknown_target"),
        (TargetKind.PRESET, "far", "country_mismatch"),
        (TargetKind.NUMBER, "911", "emergency"),
        (TargetKind.NUMBER, "+442079460000", "country_mismatch"),
        (TargetKind.NUMBER, "", "invalid_format"),
    ],
)
def test_targets(kind: TargetKind, value: str, wanted: str) -> None:
    assert reason(Mode.SUPERVISED, kind, value) == wanted


def test_the_refusal_names_the_setting_that_decided() -> None:
    features = replace(ALL_ON, manual_dial=False)
    with pytest.raises(Refused) as refusal:
        decide(Mode.SUPERVISED, TargetKind.NUMBER, features=features)
    assert refusal.value.setting == "AVP_X"


def test_a_number_is_judged_from_the_agents_country() -> None:
    made = world()
    assert policy.check_number("020 7946 0000", "1009", ALL_ON, made).allowed
    assert not policy.check_number("020 7946 0000", "1001", ALL_ON, made).allowed
    nowhere = replace(ALL_ON, country=None)
    assert policy.check_number("202-555-0100", "1001", nowhere, made).reason == "country_mismatch"


def test_every_reason_of_the_number_rules_has_a_sentence() -> None:
    for code in numbers.MESSAGES:
        assert code == "ok" or policy.REASONS[code]
