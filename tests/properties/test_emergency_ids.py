"""The emergency numbers of every country, found by testing all numbers of that length."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata

from asterisk_avp.core.numbers.emergency import found_in
from asterisk_avp.core.numbers.plans import COUNTRIES, plan_of

ANYWHERE = {"112", "911"}


@cache
def emergencies_of(country: str) -> tuple[str, ...]:
    """All emergency numbers, found by testing all numbers of up to the maximum length."""
    short = PhoneMetadata.short_metadata_for_region(country)
    sizes = short.emergency.possible_length if short is not None and short.emergency else ()
    digits = (f"{n:0{size}}" for size in {3, *sizes} for n in range(10**size))
    return tuple(number for number in digits if plan_of(country).is_emergency(number))


@pytest.mark.parametrize("country", sorted(COUNTRIES))
def test_of_every_country(country: str) -> None:
    numbers = emergencies_of(country)
    for number in {*numbers, *ANYWHERE}:
        found = found_in(number, [country])
        assert found is not None, number
        assert found.whole
        for more in ("0", "1", "23", "-7"):
            longer = found_in(number + more, [country], [country])
            assert longer is not None
            assert number.startswith(longer.number) or longer.whole
    for text in ("1001", "2001", "3001", "7001", "8001", "1234", "1501", "1901", "9001"):
        begins = any(text.startswith(x) for x in {*numbers, *ANYWHERE})
        assert (found_in(text, [country], [country]) is not None) is begins, text
        if begins and text not in numbers:  # common ids remain possible
            assert found_in(text, [country]) is None


@given(st.sampled_from(sorted(COUNTRIES)), st.text("0123456789", min_size=1, max_size=6))
def test_just_those_that_begin_with_one(country: str, text: str) -> None:
    numbers = {*emergencies_of(country), *ANYWHERE}
    found = found_in(text, [country], [country])
    assert (found is not None) is any(text.startswith(number) for number in numbers)
    if found is not None:
        assert text.startswith(found.number)
        assert found.whole is (text in numbers)
    assert (found_in(text, [country]) is not None) is (text in numbers)
