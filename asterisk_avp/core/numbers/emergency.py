"""Find ids and codes that equal, or begin with, an emergency number. Pure.

A country's emergency numbers come from libphonenumber's short-number data. 112 and 911 count as
emergency numbers everywhere, as phones and networks treat them (3GPP TS 22.101, 10.1.1).

* *Equal.* The dialplan would ring an agent, or route to a group, instead of the emergency service.
  This affects every phone of the Asterisk, so the countries of all accounts are checked.
* *Begins with.* Our dialplan matches whole numbers only, so 1001 is not 100 there. But a phone with
  a digit map that ends at an emergency number dials 100 as soon as its digits are entered, and an
  agent who dials 1001 calls the police (most networks behave the same, see libphonenumber's
  ``connects_to_emergency_number``). In Belgium, Greece, India and other countries this affects ids
  from 1001 on, so the administrator can declare that no phone does so (``COMPLETE_DIALLING``). Only
  the countries of the agents who dial the id are checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from asterisk_avp.core.numbers.plans import EMERGENCY_ANYWHERE, plan_of

_NOT_DIALLED: Final = str.maketrans("", "", "-._+ ()")
"""Characters that a phone does not send, and the hyphen, which Asterisk ignores in extensions
(pbx.c, ``ext_cmp``)."""

_DIGITS: Final = re.compile("[0-9]*")


@dataclass(frozen=True, slots=True)
class Emergency:
    number: str
    country: str
    """Empty: everywhere."""
    whole: bool
    """The text equals the number; False: it only begins with it."""

    @property
    def where(self) -> str:
        return f"in {self.country}" if self.country else "everywhere"


def found_in(
    text: str, countries: Iterable[str], beginning_in: Iterable[str] | None = None
) -> Emergency | None:
    """The emergency number that dialling ``text`` could reach; None: none.

    ``countries``: where it must not equal an emergency number. ``beginning_in``: where it must not
    begin with one either; None: no check, because phones send complete numbers only.
    """
    dialled = text.translate(_NOT_DIALLED)
    digits = _DIGITS.match(dialled)
    typed = digits[0] if digits is not None else ""
    if not typed:
        return None
    if dialled in EMERGENCY_ANYWHERE:
        return Emergency(dialled, "", whole=True)
    for country in countries:
        if dialled == typed and plan_of(country).is_emergency(dialled):
            return Emergency(dialled, country, whole=True)
    if beginning_in is None:
        return None
    for number in EMERGENCY_ANYWHERE:
        if typed.startswith(number):
            return Emergency(number, "", whole=False)
    for country in beginning_in:
        plan = plan_of(country)
        if plan.begins_emergency(typed):
            beginnings = (typed[:size] for size in range(1, len(typed) + 1))
            number = next(filter(plan.is_emergency, beginnings), typed)
            return Emergency(number, country, whole=False)
    return None
