"""Whether a typed number may be dialled, and its E.164 form (DESIGN section 1, rule 6).

`check` turns a text into an E.164 number or a reason against it. Only the E.164 number may be
dialled; the text is not used again.

**Theory.** An ITU-T E.164 number is a country calling code and a national significant number, 15
digits at most. E.123 and national convention define how it is written: in national format with a
trunk prefix (``0``, ``1``, ``8``...; some countries have none, and in Italy the ``0`` is part of
the number), or in international format after ``+`` or the local international prefix (``00``,
``011``, ``0011``, ``8 10``...). Letters follow the keypad (E.161), ``tel:`` URIs RFC 3966. The
plans are libphonenumber's, compiled from ITU-T's operational bulletins and from national regulators
(github.com/google/libphonenumber; see its FALSEHOODS.md and FAQ.md). "Valid" means valid by that
data: in a range that is in use, not necessarily connected.

**The order of the checks** is a contract:

1. *Format*: `parse` extracts the digits, `plans` finds the one number that they denote in the
   agent's country. No number, or more than one, is ``invalid_format``, also where lines of the
   text, or its digits as they are seen, are another number; and so are short and service codes,
   extensions, several numbers, local numbers without their area code, carrier selection codes,
   numbers outside every plan, numbers of less than 7 or more than 15 digits. *Emergency* numbers of
   the agent's country are ``emergency``, even with further digits. So are, after ``+``, a calling
   code, an international or a trunk prefix, these numbers, those of the country that the number
   names, and 112 and 911 anywhere; and a number without its trunk prefix that begins with an
   emergency number (in Delhi, type ``11 2...`` as ``011 2...``).
2. *Country*: the number is valid for the agent's country, or both are in {US, CA}. A shared calling
   code is not enough: Jersey is not the United Kingdom, Kazakhstan not Russia, Jamaica not the US.
   Territories that ``domestic_territories`` names count as their country (`territories`): then
   Puerto Rico, the US and Canada may call each other.
   Service numbers that all countries of a plan share are domestic in each, as in libphonenumber's
   data: toll-free +1 800 in all of the NANP, +44 800 in Guernsey, and Italian mobiles in the
   Vatican. +800, +883, +979 and the like belong to no country.
3. *Service*: toll-free needs ``toll_free_service``; premium rate, shared cost and personal numbers
   need ``toll_service``. The land-line rule does not apply to them.
4. *Land line*, for clients outside the US: a number of a type in ``landline_types``, by default a
   fixed line, or, unless ``strict_landline``, a number that can be fixed or mobile (nearly all of
   the US and Canada). Mobile, VoIP, pager, UAN and voicemail numbers are not land lines by default.
   Some of these are by their regulator's plan, but not by libphonenumber's types: UK 03, Swiss 058,
   Dutch 088 and South African 0861 are UAN, French 09 is VoIP.

Letters are accepted where vanity numbers exist: in the NANP, and elsewhere in service numbers
(toll-free, premium rate, shared cost, personal, UAN). Digits that begin with the country's own
calling code without ``+`` are accepted if they are unambiguous. Local numbers are accepted where a
territory has a single area code (Jersey, Bermuda, San Marino...).

Pure, except that libphonenumber loads its data at a country's first number.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, Literal

from asterisk_avp.core.numbers import plans
from asterisk_avp.core.numbers.parse import Typed, digits_of, readings
from asterisk_avp.core.numbers.shown import shown
from asterisk_avp.core.numbers.territories import country_of

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
"""Valid country codes, for the settings to check against."""

MESSAGES: Final[dict[Reason, str]] = {
    "ok": "This number can be called.",
    "invalid_format": "This is not one complete telephone number.",
    "emergency": "Emergency numbers cannot be called by a transfer.",
    "country_mismatch": "This number is in another country.",
    "not_landline": "This number is not a land line.",
    "toll_free_not_enabled": "Toll-free numbers are not enabled.",
    "toll_not_enabled": "Premium-rate, shared-cost and personal numbers are not enabled.",
}

LANDLINE_TYPES: Final = (
    "fixed_line",
    "fixed_line_or_mobile",
    "mobile",
    "voip",
    "pager",
    "uan",
    "voicemail",
)
"""libphonenumber's types that can count as land lines. The others are judged as services."""
USUAL_LANDLINES: Final = ("fixed_line", "fixed_line_or_mobile")

_US_AND_CANADA: Final = frozenset({"US", "CA"})
_NANP: Final = "+1"
_TOLL: Final = frozenset({"premium_rate", "shared_cost", "personal_number"})
_VANITY: Final = _TOLL | {"toll_free", "uan"}


@dataclass(frozen=True, slots=True)
class NumberCheck:
    """The decision about a typed number."""

    allowed: bool
    reason: Reason
    e164: str | None = None
    """The number to dial, ``+`` and 7 to 15 digits. Set only where allowed."""
    region: str | None = None
    """The number's country: the agent's if valid there; ``001``: no country."""
    line_type: str | None = None
    """libphonenumber's type in lower case: ``fixed_line``, ``fixed_line_or_mobile``..."""
    formatted: str | None = field(default=None, compare=False)
    """``e164`` as people of the client's country write it."""


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
    landline_types: Collection[str] = USUAL_LANDLINES,
    domestic_territories: Collection[str] = (),
) -> NumberCheck:
    """Decide about a number as an agent typed it. Accepts any text.

    Countries are ISO 3166-1 codes. An agent without a country is in the client's; a client without
    a country counts as outside the US. ``landline_types`` is of `LANDLINE_TYPES`,
    ``domestic_territories`` of `territories.TERRITORIES`. Raises `ValueError` if neither is given
    or one is not in `COUNTRIES`; the settings must rule that out.
    """
    client = plans.plan_of(client_country.upper()) if client_country else None
    agent = plans.plan_of(agent_country.upper()) if agent_country else client
    if agent is None:
        raise ValueError("neither the agent nor the client has a country")

    typed = digits_of(text)
    if typed is None:
        return _INVALID
    number = plans.interpret(typed.digits, agent)
    if number is None:
        return _EMERGENCY if plans.rings_emergency(typed.digits, agent) else _INVALID
    if plans.dials_emergency(typed.digits, number, agent):
        return _EMERGENCY
    if not _is_one_number(text, typed, number, agent):
        return _INVALID
    region, kind = number.region, number.line_type
    if typed.vanity and kind not in _VANITY and not number.e164.startswith(_NANP):
        return _INVALID

    reason: Reason = "ok"
    countries = {country_of(of, domestic_territories) for of in (region, agent.region)}
    if len(countries) > 1 and not countries <= _US_AND_CANADA:
        reason = "country_mismatch"
    elif kind == "toll_free":
        reason = "ok" if toll_free_service else "toll_free_not_enabled"
    elif kind in _TOLL:
        reason = "ok" if toll_service else "toll_not_enabled"
    elif client is None or client.region != "US":
        perhaps_mobile = strict_landline and kind == "fixed_line_or_mobile"
        reason = "ok" if kind in landline_types and not perhaps_mobile else "not_landline"
    e164 = number.e164 if reason == "ok" else None
    formatted = shown(e164, (client or agent).region) if e164 is not None else None
    return NumberCheck(e164 is not None, reason, e164, region, kind, formatted)


def _is_one_number(text: str, typed: Typed, number: plans.Number, agent: plans.Plan) -> bool:
    """Whether nothing else in the text is a number, and its slashes do not mean "or"."""
    if typed.slashes and not plans.slashes_after_area_code(typed.digits, typed.slashes, number):
        return False
    for other in readings(text):
        if agent.is_emergency(other.digits):
            return False
        found = plans.interpret(other.digits, agent)
        if found is not None and found != number:
            return False
    return True
