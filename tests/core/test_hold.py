"""The maximum hold time that a call's own script sets."""

from __future__ import annotations

import pytest

from asterisk_avp.core.model.hold import max_hold_seconds


@pytest.mark.parametrize(("text", "seconds"), [("1", 1), ("8", 8), ("0060", 60), ("86400", 86_400)])
def test_a_number_of_seconds(text: str, seconds: int) -> None:
    assert max_hold_seconds(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "1e3", "1.5", " 8", "8 ", "8\n", "\uff11\uff12", "\u0663", "²", "1_0", "0x10",
     "+8", "86401", "99999", "99999999999999999999", "9" * 400, "9" * 5000, "nan", "inf", "8;",
     "\0"],
)  # fmt: skip
def test_nonsense_leaves_it_to_the_setting(text: str) -> None:
    assert max_hold_seconds(text) is None
