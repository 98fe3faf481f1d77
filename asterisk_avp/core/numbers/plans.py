"""Numbering plans: the number that digits denote in a country, and its line type.

The data is libphonenumber's, loaded once for each country. `Plan` is the plan of one region
(ISO 3166-1 code); several regions can share a calling code. `interpret` finds the one number that
digits denote when dialled in a region.

*All interpretations.* Digits without ``+`` can be a national number with or without its trunk
prefix, a number after the region's international prefix, or a number that starts with the country's
own calling code. Every interpretation is tried, and digits with two different valid results are
rejected as ambiguous. The result must also agree with libphonenumber's parser. That parser drops
more than we accept, e.g. carrier selection codes (``0 15 11...`` in Brazil), text relay (``18002``
in Britain) and the prefix of a collect call (``90`` in Brazil). Dialling its result would dial less
than was typed, so such digits are rejected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import phonenumbers
from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    NumberParseException,
    PhoneMetadata,
)
from phonenumbers.phonemetadata import PhoneNumberDesc

COUNTRIES: Final = frozenset(phonenumbers.SUPPORTED_REGIONS)
"""Regions with a numbering plan, as ISO 3166-1 codes (and XK, Kosovo)."""

MIN_E164, MAX_E164 = 7, 15
"""Digits of a number including its calling code (ITU-T E.164 has no minimum; 7 is ours)."""

# In libphonenumber's order, most expensive first. line_type() handles fixed line and mobile.
_LINE_TYPES: Final = (
    "premium_rate",
    "toll_free",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)
SLASH_REGIONS: Final = frozenset({"DE", "AT"})
"""Where people write a slash behind the area code; see `slashes_after_area_code`."""

EMERGENCY_ANYWHERE: Final = frozenset({"112", "911"})
_LONGEST_EMERGENCY: Final = 6


class _Desc:
    """One pattern of a plan, with its possible lengths."""

    __slots__ = ("lengths", "matches")

    def __init__(self, desc: PhoneNumberDesc) -> None:
        self.lengths = frozenset(desc.possible_length)
        self.matches = re.compile(desc.national_number_pattern or r"(?!)").fullmatch

    def __contains__(self, number: str) -> bool:
        return (not self.lengths or len(number) in self.lengths) and bool(self.matches(number))


class Plan:
    """The numbering plan of a region, from libphonenumber's metadata."""

    def __init__(self, region: str, metadata: PhoneMetadata) -> None:
        self.region = region
        self.calling_code = str(metadata.country_code)
        self._any = _desc(metadata.general_desc)
        kinds = ((name, _desc(getattr(metadata, name))) for name in _LINE_TYPES)
        self._line_types_of = [(name, desc) for name, desc in kinds if desc is not None]
        self._fixed = _desc(metadata.fixed_line)
        self._mobile = _desc(metadata.mobile)
        self._same = metadata.same_mobile_and_fixed_line_pattern
        self.lengths = self._any.lengths if self._any else frozenset()
        leading = metadata.leading_digits
        self.leads = re.compile(leading).match if leading else None
        idd = metadata.international_prefix
        self._idd = re.compile(idd) if idd else None
        parsing = metadata.national_prefix_for_parsing
        self._parsing = re.compile(parsing) if parsing else None
        self._rule = metadata.national_prefix_transform_rule
        self.trunk = tuple(self._trunk_prefixes(metadata.national_prefix))
        short = PhoneMetadata.short_metadata_for_region(region)
        emergency = short.emergency.national_number_pattern if short and short.emergency else None
        self.begins_emergency = re.compile(emergency or r"(?!)").match
        self._emergency = re.compile(emergency or r"(?!)").fullmatch

    def _trunk_prefixes(self, prefix: str | None) -> Iterator[str]:
        """Plain trunk prefixes, without carrier codes or other services."""
        if prefix:
            yield prefix
        if self._parsing:
            for other in ("0", "8", "80"):
                found = self._parsing.fullmatch(other)
                if found and not any(found.groups()) and other != prefix:
                    yield other

    def line_type(self, number: str) -> str | None:
        """The type of a national significant number, by libphonenumber's name; None: not valid."""
        if self._any is None or number not in self._any:
            return None
        for name, desc in self._line_types_of:
            if number in desc:
                return name
        mobile = self._mobile is not None and not self._same and number in self._mobile
        if self._fixed is not None and number in self._fixed:
            return "fixed_line_or_mobile" if mobile or self._same else "fixed_line"
        return "mobile" if mobile else None

    def national(self, digits: str) -> Iterator[str]:
        """The national significant numbers that the digits can denote within the region."""
        yield digits
        for prefix in self.trunk:
            if digits.startswith(prefix):
                yield digits[len(prefix) :]
        # A territory's own area code prepended to local digits, or Argentina's mobile prefix 15.
        # Rules with two groups concern carrier codes.
        if self._rule and self._parsing and self._parsing.groups == 1:
            found = self._parsing.match(digits)
            if found and found[1] is not None:
                yield found.expand(self._rule) + digits[found.end() :]

    def international(self, digits: str) -> Iterator[str]:
        """The digits after an international prefix; a region can have several that overlap."""
        if self._idd and self._idd.match(digits):
            for end in range(1, len(digits)):
                if self._idd.fullmatch(digits, 0, end):
                    yield digits[end:]

    def is_emergency(self, digits: str) -> bool:
        return digits in EMERGENCY_ANYWHERE or bool(self._emergency(digits))


def _desc(desc: PhoneNumberDesc | None) -> _Desc | None:
    return _Desc(desc) if desc is not None and desc.national_number_pattern else None


@cache
def plan_of(region: str) -> Plan:
    """The plan of a region. Raises `ValueError` for a region without a numbering plan."""
    metadata = PhoneMetadata.metadata_for_region(region) if region in COUNTRIES else None
    if metadata is None:
        raise ValueError(f"{region!r} is not a country with a numbering plan (ISO 3166-1, e.g. GB)")
    return Plan(region, metadata)


@cache
def _plans_of(calling_code: str) -> tuple[Plan, ...]:
    """The plans that share a calling code, the main one first."""
    regions = COUNTRY_CODE_TO_REGION_CODE.get(int(calling_code), ())
    metadata = PhoneMetadata.metadata_for_nongeo_region(int(calling_code))
    if metadata is not None:
        return tuple(Plan(region, metadata) for region in regions)
    return tuple(plan_of(region) for region in regions)


@cache
def _lengths_of(calling_code: str) -> frozenset[int]:
    return frozenset().union(*(plan.lengths for plan in _plans_of(calling_code)))


@dataclass(frozen=True, slots=True)
class Number:
    e164: str
    region: str
    line_type: str


def interpret(digits: str, agent: Plan) -> Number | None:
    """The only valid number that the digits denote when dialled in a region; otherwise None."""
    found: dict[str, Number] = {}
    for code, national in _interpretations(digits, agent):
        number = identify(code, national, agent)
        if number is not None:
            found[number.e164] = number
    if len(found) != 1:
        return None
    (number,) = found.values()
    return number if number.e164 == _parsed(digits, agent.region) else None


def identify(code: str, national: str, agent: Plan) -> Number | None:
    """A valid number as seen from a region: in that region if valid there, else in its own.

    None: not valid anywhere.
    """
    size = len(national)
    if size not in _lengths_of(code) or not MIN_E164 <= size + len(code) <= MAX_E164:
        return None
    if code == agent.calling_code:
        line_type = agent.line_type(national)
        if line_type is not None:
            return Number(f"+{code}{national}", agent.region, line_type)
    for plan in _plans_of(code):
        if plan.leads and not plan.leads(national) and len(_plans_of(code)) > 1:
            continue
        line_type = plan.line_type(national)
        if line_type is not None:
            return Number(f"+{code}{national}", plan.region, line_type)
        if plan.leads:
            return None
    return None


def slashes_after_area_code(digits: str, slashes: tuple[int, ...], number: Number) -> bool:
    """Whether each slash between the typed digits ends the number's area code or calling code.

    ``slashes``: how many digits are behind each. In Germany and Austria, whose area codes have two
    to five digits, the slash ends the area code: 0234/123456 (the usual form before DIN 5008 of
    1996), +43/1/234 56 78. Anywhere else in a number, and in other countries, it means "or": the
    number ends in one of several ways (030 123456/57), or another number follows (the EU's style
    guide, 9.3). libphonenumber's groups are the area codes: they agree with those of its geocoding
    data for all places of both countries.
    """
    if number.region not in SLASH_REGIONS or len(set(slashes)) != len(slashes):
        return False
    parsed = phonenumbers.parse(number.e164)
    national = phonenumbers.national_significant_number(parsed)
    subscriber = len(national) - phonenumbers.length_of_national_destination_code(parsed)
    for behind in slashes:
        before, after = digits[:-behind], digits[-behind:]
        after_calling_code = before.lstrip("+0") == str(parsed.country_code) and (
            after in (national, f"0{national}")
        )
        if behind != subscriber and not after_calling_code:
            return False
    return True


def _interpretations(digits: str, agent: Plan) -> Iterator[tuple[str, str]]:
    """Every (calling code, national significant number) that digits can denote, valid or not."""
    if digits[0] == "+":
        yield from _after_plus(digits[1:])
        return
    for national in agent.national(digits):
        yield agent.calling_code, national
    # In a plan without trunk prefixes, digits that are a valid national number are nothing else.
    if digits.startswith(agent.calling_code) and (agent.trunk or not agent.line_type(digits)):
        yield from _after_plus(digits)
    for rest in agent.international(digits):
        yield from _after_plus(rest)


def _after_plus(digits: str) -> Iterator[tuple[str, str]]:
    """Split off the calling code, also with the (0) of "+44 (0)20"."""
    code = calling_code(digits)
    if code is None:
        return
    national = digits[len(code) :]
    yield code, national
    if national[:1] == "0" and "0" in _plans_of(code)[0].trunk:
        yield code, national[1:]


def calling_code(digits: str) -> str | None:
    """The calling code (one to three digits, prefix-free) that the digits begin with."""
    for size in (1, 2, 3):
        if digits[:size].isdecimal() and int(digits[:size]) in COUNTRY_CODE_TO_REGION_CODE:
            return digits[:size] if digits[0] != "0" else None
    return None


def _parsed(digits: str, region: str) -> str | None:
    """The result of libphonenumber's parser, as E.164; None: not a number."""
    try:
        number = phonenumbers.parse(digits, region)
    except NumberParseException:
        return None
    return f"+{number.country_code}{phonenumbers.national_significant_number(number)}"


def rings_emergency(digits: str, agent: Plan) -> bool:
    """Whether digits that are not a valid number could reach an emergency service.

    True if they begin with an emergency number of the region (in most countries, further digits
    change nothing), or if, after any prefix, they equal an emergency number of the region or of the
    country whose calling code they contain, or 112 or 911.
    """
    plain = digits.removeprefix("+")
    if digits[0] != "+" and phonenumbers.connects_to_emergency_number(plain, agent.region):
        return True
    zeros = len(plain) - len(plain.lstrip("0"))
    rests = {plain[start:] for start in range(zeros + 1)}
    rests.update(agent.national(plain), agent.international(plain))
    if any(agent.is_emergency(rest) for rest in rests):
        return True
    for rest in rests:
        code = calling_code(rest)
        if code is None:
            continue
        national = rest[len(code) :]
        for plan in _plans_of(code):
            if plan.is_emergency(national) or plan.is_emergency(national.lstrip("0")):
                return True
    return False


def dials_emergency(digits: str, number: Number, agent: Plan) -> bool:
    """Whether the digits of a valid number could also reach an emergency service.

    Where the plan has a trunk prefix and none was typed, 112345678 can mean 0112345678, or 112 with
    further digits by mistake.
    """
    code = calling_code(number.e164[1:]) or ""
    national = number.e164[1 + len(code) :]
    if len(national) <= _LONGEST_EMERGENCY:
        return any(plan.is_emergency(national) for plan in (agent, *_plans_of(code)))
    typed_bare = bool(agent.trunk) and digits in (national, code + national)
    if not typed_bare or not agent.begins_emergency(digits):
        return False
    # In a few countries (Brazil), further digits change the destination.
    return phonenumbers.connects_to_emergency_number(digits, agent.region)
