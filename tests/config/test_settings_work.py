"""What an administrator may write about pauses and after-call work."""

from __future__ import annotations

import pytest

from tests.config.test_settings import NEEDED, load, problems


def test_defaults() -> None:
    panel = load(NEEDED).panel
    assert panel.pause_reasons == ("Break", "Lunch", "Meeting", "Training")
    assert panel.other_pause_reasons is True
    assert panel.acw_extension_seconds == 600


def test_reasons_of_the_administrator() -> None:
    panel = load(
        NEEDED
        | {
            "AVP_PANEL__PAUSE_REASONS": "Lunch break, Büro, Coaching",
            "AVP_PANEL__OTHER_PAUSE_REASONS": "false",
        }
    ).panel
    assert panel.pause_reasons == ("Lunch break", "Büro", "Coaching")
    assert panel.other_pause_reasons is False


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("Lunch, Lunch", "must not contain an entry twice"),
        ("a|b", "must be a name of letters"),
        ("Lunch\nAction: Originate", "must be a name of letters"),
        ("Lunch, AVP-ACW", "is the daemon's own reason"),
        ("x" * 80, "must be a name of letters"),
        (",".join(f"r{i}" for i in range(21)), "at most 20"),
    ],
)
def test_a_bad_reason_is_named(value: str, says: str) -> None:
    [line] = problems(NEEDED | {"AVP_PANEL__PAUSE_REASONS": value})
    assert line.startswith("AVP_PANEL__PAUSE_REASONS")
    assert says in line
