"""Numbers typed by hand: whether they may be dialled, and as what (DESIGN section 1, rule 6).

`check` turns a text into an E.164 number or a reason against it. What it allows is the whole of
what was typed, in one form, and nothing else may be dialled: the text itself is never used again.

**The theory.** An ITU-T E.164 number is a country calling code and a national significant number,
15 digits at most. E.123 and national habit decide how it is written: in national format with a
trunk prefix (``0``, ``1``, ``8``...; some countries have none, and in Italy the ``0`` belongs to
the number), or in international format after ``+`` or the caller's own international prefix
(``00``, ``011``, ``0011``, ``8 10``...). Letters are the keypad's (E.161), ``tel:`` URIs are RFC
3966. The plans themselves are libphonenumber's, compiled from ITU-T's operational bulletins and
from national regulators (github.com/google/libphonenumber; its FALSEHOODS.md and FAQ.md are worth
reading). "Valid" means valid by that data: in a range that is in use, not necessarily connected.

**The order of the checks** is a contract:

1. *Format*: `numbers_text` takes the text apart, `numbers_plans` finds the one number that the
   digits mean in the agent's country. None or more than one is ``invalid_format``: short and
   service codes, extensions, several numbers, local numbers without their area code, carrier
   selection codes, numbers that no plan knows, numbers of less than 7 or more than 15 digits.
   *Emergency* numbers of the agent's country are ``emergency``, also with digits behind; those, the
   ones of a country that is named, 112 and 911 anywhere, also behind ``+``, a calling code, an
   international or a trunk prefix. So is a number without its trunk prefix that begins with an
   emergency number (in Delhi ``11 2...`` has to be typed as ``011 2...``).
2. *Country*: the number is valid for the agent's country, or both are in {US, CA}. Sharing a
   calling code is not enough: Jersey is not the United Kingdom, Kazakhstan not Russia, Jamaica not
   the US. Where a plan's service numbers are common to all its countries, they are domestic in
   each, as libphonenumber has it: toll-free +1 800 in all of the NANP, +44 800 in Guernsey, and
   Italian mobiles in the Vatican. +800, +883, +979 and the like belong to no country.
3. *Service*: toll-free needs ``toll_free_service``; premium rate, shared cost and personal numbers
   need ``toll_service``. The land-line rule is not for them.
4. *Land line*, for clients outside the US: a fixed line, or one of the many numbers (nearly all of
   the US and Canada) that do not tell fixed from mobile, unless ``strict_landline``. Mobile, VoIP,
   pager, UAN and voicemail numbers are none.

Letters are taken where vanity numbers exist: in the NANP, and elsewhere in service numbers
(toll-free, premium rate, shared cost, personal, UAN). Digits that begin with the country's own
calling code without ``+`` are taken if nothing else could be meant. Local numbers are taken where
all of a territory has one area code (Jersey, Bermuda, San Marino...).

Pure: no I/O but libphonenumber loading its data at a country's first number, no clock, no log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from asterisk_avp.core.numbers import plans
from asterisk_avp.core.numbers.parse import digits_of

Reason = Literal[
    "ok",
    "invalid_format",
    "emergency",
    "country_mismatch",
    "not_landline",
    "toll_free_not_enabled",
    "toll_not_enabled",
]

COUNTRIES: Final = plans.COUNTRIES
"""What can be a country here, for settings to check against."""

MESSAGES: Final[dict[Reason, str]] = {
    "ok": "This number can be called.",
    "invalid_format": "This is not one complete telephone number.",
    "emergency": "Emergency numbers cannot be called by a transfer.",
    "country_mismatch": "This number is in another country.",
    "not_landline": "This number is not a land line.",
    "toll_free_not_enabled": "Toll-free numbers are not enabled.",
    "toll_not_enabled": "Premium-rate, shared-cost and personal numbers are not enabled.",
}

_US_AND_CANADA: Final = frozenset({"US", "CA"})
_NANP: Final = "+1"
_TOLL: Final = frozenset({"premium_rate", "shared_cost", "personal_number"})
_VANITY: Final = _TOLL | {"toll_free", "uan"}


@dataclass(frozen=True, slots=True)
class NumberCheck:
    """What was decided about a text."""

    allowed: bool
    reason: Reason
    e164: str | None = None
    """What to dial, ``+`` and 7 to 15 digits. Only where it is allowed."""
    region: str | None = None
    """The number's country: the agent's if it is valid there; ``001``: of no country."""
    line_type: str | None = None
    """libphonenumber's type in lower case: ``fixed_line``, ``fixed_line_or_mobile``..."""


_INVALID: Final = NumberCheck(allowed=False, reason="invalid_format")
_EMERGENCY: Final = NumberCheck(allowed=False, reason="emergency")


def check(
    text: str,
    *,
    agent_country: str | None,
    client_country: str | None,
    toll_free_service: bool = False,
    toll_service: bool = False,
    strict_landline: bool = False,
) -> NumberCheck:
    """Decide about a number as an agent typed it. Any text gets an answer.

    Countries are ISO 3166-1 codes. An agent without one is in the client's country; a client
    without one is not taken to be in the US. Raises `ValueError` if neither is given or one is not
    in `COUNTRIES`: that is a mistake in the settings, which have to be checked before.
    """
    client = plans.plan_of(client_country.upper()) if client_country else None
    agent = plans.plan_of(agent_country.upper()) if agent_country else client
    if agent is None:
        raise ValueError("neither the agent nor the client has a country")

    typed = digits_of(text)
    if typed is None:
        return _INVALID
    number = plans.read(typed.digits, agent)
    if number is None:
        return _EMERGENCY if plans.rings_emergency(typed.digits, agent) else _INVALID
    if plans.dials_emergency(typed.digits, number, agent):
        return _EMERGENCY
    region, kind = number.region, number.line_type
    if typed.vanity and kind not in _VANITY and not number.e164.startswith(_NANP):
        return _INVALID

    reason: Reason = "ok"
    if region != agent.region and not {region, agent.region} <= _US_AND_CANADA:
        reason = "country_mismatch"
    elif kind == "toll_free":
        reason = "ok" if toll_free_service else "toll_free_not_enabled"
    elif kind in _TOLL:
        reason = "ok" if toll_service else "toll_not_enabled"
    elif client is None or client.region != "US":
        landline = kind == "fixed_line" or (kind == "fixed_line_or_mobile" and not strict_landline)
        reason = "ok" if landline else "not_landline"
    e164 = number.e164 if reason == "ok" else None
    return NumberCheck(e164 is not None, reason, e164, region, kind)
