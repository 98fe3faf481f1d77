"""What dialled digits mean: an agent, a group, a preset, or else a number to be checked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.model.world import Preset, Target, TargetKind
from asterisk_avp.core.phone.dial_codes import resolve
from tests.core.world import WORLD, engine

OFFICE = replace(
    WORLD,
    groups={**WORLD.groups, "support": replace(WORLD.groups["support"], extension="801")},
    presets={
        "billing": Preset("billing", "Billing", "+12025550101", "support", "91"),
        "secret": Preset("secret", "Secret", "+12025550102", "support"),
    },
)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("1002", TargetKind.AGENT, "1002"),
        ("801", TargetKind.GROUP, "support"),
        ("91", TargetKind.PRESET, "billing"),
        ("+12025550100", TargetKind.NUMBER, "+12025550100"),
        ("", TargetKind.NUMBER, ""),
        ("support", TargetKind.NUMBER, "support"),  # names cannot be dialled
        ("billing", TargetKind.NUMBER, "billing"),
        (
            "None",
            TargetKind.NUMBER,
            "None",
        ),  # without an extension or code
        (" 1002", TargetKind.NUMBER, " 1002"),
        ("1002;x=1", TargetKind.NUMBER, "1002;x=1"),
    ],
)
def test_meaning(text: str, kind: TargetKind, value: str) -> None:
    assert resolve(text, engine().agents, OFFICE) == Target(kind, value)
