"""Ids and codes that are, or begin with, an emergency number. Pure.

Which numbers those are in a country is libphonenumber's short-number data; 112 and 911 are
emergency numbers everywhere, since phones and networks take them for that (3GPP TS 22.101, 10.1.1).

* *Is one.* The dialplan would ring an agent for it, or a group take it for its own. That concerns
  the phones of the whole Asterisk, so it is asked of the countries of all its accounts.
* *Begins with one.* Our dialplan matches whole numbers only, so 1001 is not 100 there. But a phone
  with a digit map that ends at an emergency number dials 100 as soon as its digits are typed, and
  an agent who is to dial 1001 calls the police (as on most networks, see
  ``connects_to_emergency_number`` of libphonenumber). In Belgium, Greece, India and other
  countries that concerns ids from 1001 on, so there is a way out: the administrator can say that no
  phone does so (``COMPLETE_DIALLING``). It is asked of the countries of those only who dial it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from asterisk_avp.core.numbers.plans import EMERGENCY_ANYWHERE, plan_of

_NOT_DIALLED: Final = str.maketrans("", "", "-._+ ()")
"""What a phone does not send, and what Asterisk overlooks in the name of an extension: the hyphen
(pbx.c, ``ext_cmp``)."""

_DIGITS: Final = re.compile("[0-9]*")


@dataclass(frozen=True, slots=True)
class Emergency:
    number: str
    country: str
    """Empty: everywhere."""
    whole: bool
    """It is that number, and does not only begin with it."""

    @property
    def where(self) -> str:
        return f"in {self.country}" if self.country else "everywhere"


def found_in(
    text: str, countries: Iterable[str], beginning_in: Iterable[str] | None = None
) -> Emergency | None:
    """What ``text`` would be taken for if it is dialled.

    ``countries``: those in which it must not be an emergency number; ``beginning_in``: those in
    which it must not begin with one either; None: it may, as phones send whole numbers only.
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
