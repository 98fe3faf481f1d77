"""The meaning of key presses: codes are recognised anywhere, and no key is lost."""

from __future__ import annotations

import pytest

from asterisk_avp.core.phone.keypad import CODE_SECONDS, KeyCodes, Keypad, Pressed

USUAL = KeyCodes()
ODD = KeyCodes(complete="*12", cancel="13", swap="##", conference="112", add_party="0")
"""Overlapping codes: the end of an incomplete one may begin another."""

NOW = 1000.0


def press(
    keys: str, codes: KeyCodes = USUAL, pad: Keypad | None = None
) -> tuple[Keypad, list[tuple[Pressed, str]]]:
    """Press these keys in quick succession."""
    pad, results = pad or Keypad(), []
    for key in keys:
        pad, found = pad.press(key, codes, NOW)
        results += found
    return pad, results


FOR, CODE = Pressed.FORWARD, Pressed.COMMAND


@pytest.mark.parametrize(
    ("codes", "keys", "results", "left"),
    [
        (USUAL, "*1", [(CODE, "complete")], ""),
        (USUAL, "*2*3*4*5", [(CODE, x) for x in ("cancel", "swap", "conference", "add_party")], ""),
        (USUAL, "*", [], "*"),
        (USUAL, "5", [(FOR, "5")], ""),
        (USUAL, "1", [(FOR, "1")], ""),
        (USUAL, "#", [(FOR, "#")], ""),
        (USUAL, "*9", [(FOR, "*9")], ""),
        (USUAL, "*7", [(FOR, "*7")], ""),  # it starts a transfer, and there is one already
        (USUAL, "**1", [(FOR, "*"), (CODE, "complete")], ""),
        (USUAL, "*#", [(FOR, "*#")], ""),
        (ODD, "*12", [(CODE, "complete")], ""),
        (ODD, "*13", [(FOR, "*"), (CODE, "cancel")], ""),
        (ODD, "1112", [(FOR, "1"), (CODE, "conference")], ""),
        (ODD, "*10", [(FOR, "*1"), (CODE, "add_party")], ""),
        (ODD, "#0#", [(FOR, "#"), (CODE, "add_party")], "#"),
        (ODD, "###", [(CODE, "swap")], "#"),
    ],
)  # fmt: skip
def test_codes(codes: KeyCodes, keys: str, results: list[tuple[Pressed, str]], left: str) -> None:
    pad, found = press(keys, codes)
    assert _joined(found) == _joined(results)
    assert (pad.collecting, pad.typed) == (False, left)


def _joined(results: list[tuple[Pressed, str]]) -> list[tuple[Pressed, str]]:
    """Keys that arrive together or one after the other have the same result."""
    joined: list[tuple[Pressed, str]] = []
    for what, text in results:
        if joined and joined[-1][0] is what is FOR:
            joined[-1] = (FOR, joined[-1][1] + text)
        else:
            joined.append((what, text))
    return joined


def test_half_a_code_grows_old() -> None:
    pad, _ = press("*")
    assert pad.press("1", USUAL, NOW + CODE_SECONDS - 0.1)[1] == ((CODE, "complete"),)
    after, results = pad.press("1", USUAL, NOW + CODE_SECONDS)
    assert (after, results) == (Keypad(), ((FOR, "*1"),))
    after, results = pad.press("*", USUAL, NOW + CODE_SECONDS)
    assert (after.typed, results) == ("*", ((FOR, "*"),))


# --- a destination --------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["", "1", "1002"])
def test_back(typed: str) -> None:
    pad, results = press(typed + "*", pad=Keypad(collecting=True))
    assert (pad, results[-1]) == (Keypad(), (Pressed.BACK, ""))


def test_codes_mean_nothing_in_a_destination() -> None:
    pad, results = press("0", ODD, pad=Keypad(collecting=True))
    assert results == [(Pressed.DIGIT, "0")]
    assert pad.typed == "0"
