"""Every combination of the three levels against the rule, which is implemented independently."""

from __future__ import annotations

import itertools

import pytest

from asterisk_avp.core.model.features import (
    DEFAULT,
    SETTINGS,
    SWITCHES,
    ConsultRecording,
    ExternalAccept,
    Features,
    Level,
    contradictions,
    resolve,
)

NAMES = ("group", "account", "enterprise")
ANY = (None, False, True)

# DESIGN section 4, "Defaults".
ON_BY_DEFAULT = {"session_transfer", "internal_transfer", "unsupervised_transfer"}


def levels(**said: tuple[object, ...]) -> tuple[Level, ...]:
    """For each setting, the values of group, account and enterprise; None: not set."""
    made = []
    for position, level in enumerate(NAMES):
        values = {name: said[name][position] for name in said if said[name][position] is not None}
        made.append(Level(values, {name: f"{level}.{name}" for name in values}))
    return tuple(made)


@pytest.mark.parametrize("name", [*SWITCHES, "strict_landline"])
def test_the_nearest_explicit_value_wins(name: str) -> None:
    for said in itertools.product(ANY, repeat=3):
        more = {"external_transfer": (True, None, None)} if name == "manual_dial" else {}
        features = resolve(levels(**{name: said}, **more))
        explicit = [
            (value, f"{level}.{name}")
            for level, value in zip(NAMES, said, strict=True)
            if value is not None
        ]
        expected, origin = explicit[0] if explicit else (name in ON_BY_DEFAULT, DEFAULT)
        assert (getattr(features, name), features.origins[name]) == (expected, origin)


def test_the_nearest_way_to_accept_wins() -> None:
    for said in itertools.product((None, *ExternalAccept), repeat=3):
        features = resolve(levels(external_accept=said))
        explicit = [
            (value, f"{level}.external_accept")
            for level, value in zip(NAMES, said, strict=True)
            if value is not None
        ]
        expected = explicit[0] if explicit else (ExternalAccept.NONE, DEFAULT)
        assert (features.external_accept, features.origins["external_accept"]) == expected


def test_the_nearest_word_on_recordings_wins() -> None:
    for said in itertools.product((None, *ConsultRecording), repeat=3):
        features = resolve(levels(consult_recording=said))
        nearest = next((x for x in said if x is not None), ConsultRecording.CONTINUE)
        assert features.consult_recording is nearest


def test_all_settings_have_an_origin() -> None:
    features = resolve(levels())
    assert features == Features()
    assert set(features.origins) == set(SETTINGS)
    assert set(features.origins.values()) == {DEFAULT}


def test_manual_dial_needs_external_transfer_in_every_combination() -> None:
    for external in itertools.product(ANY, repeat=3):
        effective_at = [
            next((v for v in external[depth:] if v is not None), False) for depth in range(3)
        ]
        for dial in itertools.product(ANY, repeat=3):
            made = levels(external_transfer=external, manual_dial=dial)
            features = resolve(made)
            wanted = next((v for v in dial if v is not None), False)
            assert features.manual_dial is (wanted and effective_at[0])
            wrong = {depth for depth in range(3) for _ in contradictions(made[depth:], "default")}
            assert wrong == {depth for depth in range(3) if dial[depth] and not effective_at[depth]}


@pytest.mark.parametrize("name", SWITCHES)
def test_what_has_no_contract_is_off(name: str) -> None:
    everything = dict.fromkeys(SWITCHES, True)
    assert Features(**everything).allows(name)  # type: ignore[arg-type]
    assert not Features(contracted=False, **everything).allows(name)  # type: ignore[arg-type]
    without = everything | {"session_transfer": False}
    assert not Features(**without).allows(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["manual_dial", "presets", "toll_free_service", "toll_service"])
def test_what_needs_external_transfer(name: str) -> None:
    assert not Features(**{name: True}).allows(name)  # type: ignore[arg-type]
    assert Features(**{name: True}, external_transfer=True).allows(name)  # type: ignore[arg-type]
