"""A telephone number as people of a country write it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat

_DIALLED: Final = re.compile(r"\+?[0-9]{5,18}", re.ASCII)


@lru_cache(maxsize=8192)
def shown(number: str, country: str | None) -> str:
    """The number in the national format of ``country`` (ISO 3166-1) if it is one of that country.

    A number of another country comes in international format. What is no valid number, such as an
    extension or a withheld number, stays as it is: trunks and phones send any text.
    """
    if _DIALLED.fullmatch(number) is None:
        return number
    parsed = _parsed(number, country)
    if parsed is None:
        return number
    own = country is not None and phonenumbers.is_valid_number_for_region(parsed, country)
    form = PhoneNumberFormat.NATIONAL if own else PhoneNumberFormat.INTERNATIONAL
    return phonenumbers.format_number(parsed, form)


def _parsed(number: str, country: str | None) -> PhoneNumber | None:
    try:
        parsed = phonenumbers.parse(number, country)
    except NumberParseException:
        return None
    return parsed if phonenumbers.is_valid_number(parsed) else None
