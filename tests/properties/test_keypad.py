"""Any sequence of keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.core.phone.keypad import MAX_DIGITS, KeyCodes, Keypad, Pressed
from tests.core.test_keypad import CODE, FOR, NOW, ODD, USUAL, _joined, press

KEYS = "0123456789*#"


@pytest.mark.parametrize("codes", [USUAL, ODD], ids=["usual", "odd"])
@given(keys=st.text(KEYS, max_size=30))
def test_no_key_is_lost_and_none_is_made_up(codes: KeyCodes, keys: str) -> None:
    spelled = {name: code for code, name in codes.commands()}
    pad, results = press(keys, codes)
    told = "".join(text if what is FOR else spelled[text] for what, text in results)
    assert told + pad.typed == keys
    # No code is passed on, and none is held back.
    for what, text in _joined(results):
        assert what is CODE or not any(code in text for code in spelled.values())
    assert pad.typed not in spelled.values()


@given(before=st.text("13456789", max_size=6), code=st.sampled_from(USUAL.commands()))
def test_a_code_is_recognised_after_whatever_was_pressed(
    before: str, code: tuple[str, str]
) -> None:
    _, results = press(before + code[0])
    assert results[-1] == (CODE, code[1])


@given(digits=st.text("0123456789", max_size=60))
def test_digits_of_a_destination(digits: str) -> None:
    pad, results = press(digits + "#", pad=Keypad(collecting=True, tries=1))
    assert results[-1] == (Pressed.SUBMIT, digits[:MAX_DIGITS])
    assert [text for _, text in results[:-1]] == [
        digits[: min(i + 1, MAX_DIGITS)] for i in range(len(digits))
    ]
    assert {what for what, _ in results[:-1]} <= {Pressed.DIGIT}
    assert pad == Keypad(collecting=True, tries=1), (
        "another destination may follow if it was refused"
    )


@given(keys=st.text(KEYS + "ABCD", max_size=60))
def test_nothing_typed_is_longer_than_a_destination(keys: str) -> None:
    pad = Keypad(collecting=True)
    for key in keys:
        pad, _ = pad.press(key, USUAL, NOW)
        assert len(pad.typed) <= MAX_DIGITS
