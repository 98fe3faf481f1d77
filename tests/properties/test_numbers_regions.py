"""Every country and number type for which libphonenumber has an example, against the rules.

The rules are written again here, as data, and decided with public functions of libphonenumber that
the tested code does not use for them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cache
from typing import NamedTuple

import phonenumbers
import pytest
from phonenumbers import PhoneMetadata, PhoneNumber, PhoneNumberFormat, PhoneNumberType

from asterisk_avp.core.numbers.rules import check
from asterisk_avp.core.numbers.territories import TERRITORIES

# The patterns of all countries are more than the `re` module caches.
if hasattr(phonenumbers, "enable_pattern_cache"):
    phonenumbers.enable_pattern_cache()

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
TYPES = {PhoneNumberType.to_string(t): t for t in PhoneNumberType.values() if t not in (2, 99)}
FIXED_OR_MOBILE = "FIXED_LINE_OR_MOBILE"
NANP = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1])
SHARED = {
    region: regions
    for regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.values()
    for region in regions
}


class Client(NamedTuple):
    """An account and its services."""

    country: str
    toll_free: bool
    toll: bool
    strict: bool


PLAIN_US = Client("US", toll_free=False, toll=False, strict=True)
FULL_US = Client("US", toll_free=True, toll=True, strict=True)
PLAIN = Client("DE", toll_free=False, toll=False, strict=False)
FREE = Client("DE", toll_free=True, toll=False, strict=False)
TOLL = Client("DE", toll_free=False, toll=True, strict=False)
STRICT = Client("DE", toll_free=True, toll=True, strict=True)
CLIENTS = (PLAIN_US, FULL_US, PLAIN, FREE, TOLL, STRICT)

#: The result for a domestic number of each type, for each of CLIENTS.
NO_FREE, NO_TOLL, NO_LAND = "toll_free_not_enabled", "toll_not_enabled", "not_landline"
OUTCOMES = {
    #                   plain US, full US,  plain,    toll-free, toll,   strict with both
    "FIXED_LINE": ("ok", "ok", "ok", "ok", "ok", "ok"),
    FIXED_OR_MOBILE: ("ok", "ok", "ok", "ok", "ok", NO_LAND),
    "MOBILE": ("ok", "ok", NO_LAND, NO_LAND, NO_LAND, NO_LAND),
    "TOLL_FREE": (NO_FREE, "ok", NO_FREE, "ok", NO_FREE, "ok"),
    "PREMIUM_RATE": (NO_TOLL, "ok", NO_TOLL, NO_TOLL, "ok", "ok"),
    "SHARED_COST": (NO_TOLL, "ok", NO_TOLL, NO_TOLL, "ok", "ok"),
    "PERSONAL_NUMBER": (NO_TOLL, "ok", NO_TOLL, NO_TOLL, "ok", "ok"),
    "VOIP": ("ok", "ok", NO_LAND, NO_LAND, NO_LAND, NO_LAND),
    "PAGER": ("ok", "ok", NO_LAND, NO_LAND, NO_LAND, NO_LAND),
    "UAN": ("ok", "ok", NO_LAND, NO_LAND, NO_LAND, NO_LAND),
    "VOICEMAIL": ("ok", "ok", NO_LAND, NO_LAND, NO_LAND, NO_LAND),
}

#: Valid by the data, but with the calling code of fewer than seven digits.
TOO_SHORT = {("IR", "UAN")}
#: Examples that, without their trunk prefix, begin with an emergency number of the country.
EMERGENCY_WITHOUT_TRUNK = {
    *(("AM", "FIXED_LINE"), ("AR", "MOBILE"), ("ET", "MOBILE"), ("LB", "FIXED_LINE")),
    *(("LK", "FIXED_LINE"), ("SA", "FIXED_LINE"), ("SY", "FIXED_LINE")),
}


def examples(region: str) -> Iterator[tuple[str, PhoneNumber]]:
    for name, number_type in TYPES.items():
        number = phonenumbers.example_number_for_type(region, number_type)
        if number is not None and (region, name) not in TOO_SHORT:
            yield name, number


def e164(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def decide(text: str, agent: str, client: Client):
    return check(
        text,
        agent_country=agent,
        client_country=client.country,
        toll_free_service=client.toll_free,
        toll_service=client.toll,
        strict_landline=client.strict,
    )


def is_domestic(number: PhoneNumber, agent: str) -> bool:
    also = {"US": ["CA"], "CA": ["US"]}.get(agent, [])
    return any(phonenumbers.is_valid_number_for_region(number, r) for r in (agent, *also))


@pytest.mark.parametrize("region", REGIONS)
def test_own_numbers(region):
    for name, number in examples(region):
        expected_type = name
        if name in ("FIXED_LINE", "MOBILE") and phonenumbers.number_type(number) == 2:
            expected_type = FIXED_OR_MOBILE
        for client, expected in zip(CLIENTS, OUTCOMES[expected_type], strict=True):
            result = decide(e164(number), region, client)
            assert result.reason == expected, (name, number, client)
            assert result.e164 == (e164(number) if expected == "ok" else None)
            assert (result.region, result.line_type) == (region, expected_type.lower())


@pytest.mark.parametrize("region", REGIONS)
def test_own_numbers_however_they_are_typed(region):
    for name, number in examples(region):
        national = phonenumbers.national_significant_number(number)
        forms = [
            phonenumbers.format_number(number, form)
            for form in (
                PhoneNumberFormat.NATIONAL,
                PhoneNumberFormat.INTERNATIONAL,
                PhoneNumberFormat.RFC3966,
            )
        ]
        plan = PhoneMetadata.metadata_for_region(region)
        for prefix in (plan.preferred_international_prefix, plan.international_prefix):
            text = f"{prefix} {number.country_code} {national}"
            # In Hong Kong, "00 852..." could be 008 and Mexico's 52.
            if prefix and prefix.isdigit() and phonenumbers.parse(text, region) == number:
                forms.append(text)
        for form in forms:
            result = decide(form, region, FULL_US)
            assert (result.reason, result.e164) == ("ok", e164(number)), (name, form)
        bare = decide(national, region, FULL_US)
        if (region, name) in EMERGENCY_WITHOUT_TRUNK:
            assert bare.reason == "emergency"
        else:
            assert (bare.reason, bare.e164) == ("ok", e164(number)), (name, national)


@pytest.mark.parametrize("region", REGIONS)
def test_numbers_of_others(region):
    """From the countries with the same calling code, and from some with another."""
    for name, number in examples(region):
        for agent in {*SHARED[region], "US", "CA", "GB", "IT"}:
            result = decide(e164(number), agent, STRICT._replace(strict=False))
            if is_domestic(number, agent):
                assert result.reason in ("ok", "not_landline"), (name, agent, number)
                assert result.region in ({agent} if agent != "US" else {"US", "CA"}) | (
                    {"US", "CA"} if agent == "CA" else set()
                )
            else:
                assert result.reason == "country_mismatch", (name, agent, number)
                assert result.region == phonenumbers.region_code_for_number(number)


#: Land lines that cross a border within one calling code: none but these. By libphonenumber's
#: data Morocco's plan has Western Sahara's numbers, and two plans of the Antilles overlap.
MAY_CALL = {("US", "CA"), ("CA", "US"), ("MA", "EH"), ("MF", "BL"), ("BL", "MF")}


def test_no_land_line_belongs_to_two_countries():
    for regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.values():
        for region in regions:
            number = phonenumbers.example_number_for_type(region, PhoneNumberType.FIXED_LINE)
            if number is None:
                continue
            callers = {a for a in regions if decide(e164(number), a, PLAIN).allowed}
            assert callers == {region} | {a for a, to in MAY_CALL if to == region}


@pytest.mark.parametrize("territory", sorted(TERRITORIES))
def test_territories_count_as_their_country_and_as_no_other(territory):
    def reason(of: str, agent: str, domestic: Collection[str]) -> str:
        number = phonenumbers.example_number_for_type(of, PhoneNumberType.FIXED_LINE)
        return check(
            e164(number),
            agent_country=agent,
            client_country=agent,
            domestic_territories=domestic,
        ).reason

    country = TERRITORIES[territory]
    named = [x for x in TERRITORIES if TERRITORIES[x] == country]  # some share their numbers
    assert reason(territory, country, ()) == "country_mismatch"
    assert reason(territory, country, named) == "ok"
    assert reason(country, territory, [territory]) == "ok"
    for other in {*TERRITORIES.values()} - {country}:
        assert reason(territory, other, [*TERRITORIES]) == "country_mismatch"


@pytest.mark.parametrize("country", NANP)
def test_toll_free_from_each_country_of_the_nanp(country):
    """+1 800 belongs to all of them; libphonenumber reports the region US."""
    for area in ("800", "833", "844", "855", "866", "877", "888"):
        for text in (f"1-{area}-234-5678", f"+1 {area} 234 5678", f"011 1 {area} 234 5678"):
            for client in (FREE, FULL_US):
                result = decide(text, country, client)
                assert result.e164 == f"+1{area}2345678"
                assert (result.region, result.line_type) == (country, "toll_free")
            for client in (PLAIN, PLAIN_US, TOLL):
                assert decide(text, country, client).reason == NO_FREE
    assert decide("+1 800 234 5678", "GB", FREE).reason == "country_mismatch"


def test_countries_where_fixed_and_mobile_cannot_be_told_apart():
    alike = {
        region
        for region in REGIONS
        for name, number in examples(region)
        if name == "FIXED_LINE" and phonenumbers.number_type(number) == 2
    }
    assert {"US", "CA", "PR", "GU", "MP", "VI"} <= alike
    for region in alike:
        number = phonenumbers.example_number_for_type(region, PhoneNumberType.FIXED_LINE)
        result = decide(e164(number), region, PLAIN)
        assert (result.allowed, result.line_type) == (True, "fixed_line_or_mobile")
        assert decide(e164(number), region, STRICT).reason == "not_landline"


@pytest.mark.parametrize("code", sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS))
def test_numbers_of_no_country(code):
    number = phonenumbers.example_number_for_non_geo_entity(code)
    for agent in ("US", "GB", "CH"):
        result = decide(e164(number), agent, FULL_US)
        assert (result.reason, result.region) == ("country_mismatch", "001")


def test_italian_zeros_are_kept_in_every_country_that_has_them():
    kept = 0
    for region in REGIONS:
        for _, number in examples(region):
            if number.italian_leading_zero:
                national = phonenumbers.national_significant_number(number)
                for text in (e164(number), national):
                    assert decide(text, region, FULL_US).e164 == e164(number)
                kept += 1
    assert kept > 10


SHORT = [f"{n:0{size}}" for size in (2, 3, 4) for n in range(10**size)]


@cache
def emergency_numbers(region: str) -> list[str]:
    """Emergency numbers of two to four digits, from libphonenumber's pattern."""
    short = PhoneMetadata.short_metadata_for_region(region)
    if short is None or short.emergency is None or not short.emergency.national_number_pattern:
        return []
    pattern = re.compile(short.emergency.national_number_pattern)
    found = [number for number in SHORT if pattern.fullmatch(number)]
    assert all(phonenumbers.is_emergency_number(number, region) for number in found)
    return found


@pytest.mark.parametrize("region", REGIONS)
def test_emergency_numbers(region):
    code = phonenumbers.country_code_for_region(region)
    idd = PhoneMetadata.metadata_for_region(region).international_prefix
    numbers = {*emergency_numbers(region), "112", "911"}
    for number in sorted(numbers):
        texts = [number, " ".join(number), f"tel:{number}", f"+{code} {number}", f"+{code}{number}"]
        texts += [f"0{number}", f"tel:{number};phone-context=+{code}"]
        if idd.isdigit():
            texts.append(f"{idd} {code} {number}")
        for text in texts:
            for client in (FULL_US, PLAIN):
                assert decide(text, region, client).reason == "emergency", text
        # As seen from abroad.
        assert decide(f"+{code}{number}", "DE", PLAIN).reason == "emergency"
        assert decide(f"011{code}{number}", "US", PLAIN).reason == "emergency"
