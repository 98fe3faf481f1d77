"""Numbers by example: which are accepted, which are refused, and which reason wins."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from asterisk_avp.core.model.features import Features
from asterisk_avp.core.numbers.rules import (
    COUNTRIES,
    LANDLINE_TYPES,
    MESSAGES,
    USUAL_LANDLINES,
    NumberCheck,
    check,
)


def ask(text: str, agent: str, client: str | None = None, **settings: Any) -> NumberCheck:
    return check(text, agent_country=agent, client_country=client or agent, **settings)


def reason(text: str, agent: str, client: str | None = None, **settings: Any) -> str:
    result = ask(text, agent, client, **settings)
    assert (result.e164 is None) == (not result.allowed) == (result.reason != "ok")
    return result.reason


TYPED = [
    # National format, with and without separators.
    ("GB", "02079460000", "+442079460000"),
    ("GB", "  020 7946 0000 ", "+442079460000"),
    ("GB", "(020) 7946-0000", "+442079460000"),
    ("GB", "[020] 7946.0000", "+442079460000"),
    ("GB", "020\u00a07946\u20090000", "+442079460000"),
    ("GB", "020\u20137946\u22120000", "+442079460000"),
    ("GB", "020\u30fc7946\uff0d0000", "+442079460000"),
    ("GB", "020\u200b7946\u20600000", "+442079460000"),
    ("US", "(415) 555-2671", "+14155552671"),
    ("US", "1 415.555.2671", "+14155552671"),
    ("US", "4155552671", "+14155552671"),
    ("BY", "8 017 200-00-00", "+375172000000"),
    ("HU", "06 1 234 5678", "+3612345678"),
    ("RU", "8 (495) 123-45-67", "+74951234567"),
    ("DE", "030 123456-0", "+49301234560"),
    ("LT", "(0-312) 34567", "+37031234567"),
    # International: a plus, the agent's own prefix, and the calling code alone.
    ("GB", "+44 20 7946 0000", "+442079460000"),
    ("GB", "(+44) 20 7946 0000", "+442079460000"),
    ("GB", "+44 (0)20 7946 0000", "+442079460000"),
    ("GB", "\uff0b44 20 7946 0000", "+442079460000"),
    ("GB", "00 44 20 7946 0000", "+442079460000"),
    ("GB", "00 44 (0)20 7946 0000", "+442079460000"),
    ("GB", "442079460000", "+442079460000"),
    ("US", "011 1 415 555 2671", "+14155552671"),
    ("AU", "0011 61 2 9374 4000", "+61293744000"),
    ("RU", "810 7 495 123 45 67", "+74951234567"),
    ("JP", "010 81 3 1234 5678", "+81312345678"),
    ("HK", "001 852 2123 4567", "+85221234567"),
    ("BR", "00 15 55 11 2345 6789", "+551123456789"),
    # Digits of other scripts.
    ("GB", "\uff10\uff12\uff10 \uff17\uff19\uff14\uff16 \uff10\uff10\uff10\uff10", "+442079460000"),
    ("EG", "\u0660\u0662 \u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669", "+20223456789"),
    ("IN", "\u0966\u0967\u0967 2345 6789", "+911123456789"),
    # What a paste brings along: writing direction (address books, messengers, right-to-left pages),
    # variation selectors (PDF), joiners, tags, line ends and cells, at any place.
    ("GB", "\u202a+44 20 7946 0000\u202c", "+442079460000"),
    ("US", "\u202d(415) 555-2671\u202c", "+14155552671"),
    ("US", "\u2068+1 415-555-2671\u2069", "+14155552671"),
    ("US", "\u200f+1 415-555-2671", "+14155552671"),
    ("US", "+1\ufe0d-415\u200e-555\u200d-26\U000e010071", "+14155552671"),
    ("US", "\ufeff\u061c4\u2060155\u00ad55\u034f2671", "+14155552671"),
    ("US", "\u2067415 555 2671\u2069 \u3164", "+14155552671"),
    ("US", "4155552671\r\n", "+14155552671"),
    ("US", "\t\n4155552671\u2028\x85", "+14155552671"),
    ("US", "415-555-\n2671", "+14155552671"),
    ("US", "+1\n415 555 2671", "+14155552671"),
    ("US", "\u2800415\u2800555\u28002671", "+14155552671"),
    ("US", "\u202e4155552671", "+14155552671"),
    # The slash behind the area code.
    ("DE", "0234/123456", "+49234123456"),
    ("DE", "0234/123456-10", "+4923412345610"),
    ("DE", "(0234) / 12 34 56", "+49234123456"),
    ("DE", "030\uff0f123456", "+4930123456"),
    ("DE", "03321/1234", "+4933211234"),
    ("DE", "+49 234/123456", "+49234123456"),
    ("DE", "+49 (0)234/123456", "+49234123456"),
    ("DE", "0049/234/123456", "+49234123456"),
    ("DE", "0171/1234567", "+491711234567"),
    ("DE", "0800/1234567", "+498001234567"),
    ("DE", "0234/\n123456", "+49234123456"),
    ("AT", "01/234 56 78", "+4312345678"),
    ("AT", "+43/1/234 56 78-0", "+43123456780"),
    ("AT", "0664/123 45 67", "+436641234567"),
    # Letters.
    ("US", "1-800-FLOWERS", "+18003569377"),
    ("US", "1-800-GO-FEDEX", "+18004633339"),
    ("US", "(800) flowers", "+18003569377"),
    ("US", "+1 800 356 WERS", "+18003569377"),
    ("GB", "0800 REVERSE", "+448007383773"),
    ("AU", "1300 FLOWER", "+611300356937"),
    # RFC 3966.
    ("US", "tel:+1-415-555-2671", "+14155552671"),
    ("US", "TEL:(415)555-2671", "+14155552671"),
    ("US", "tel:415-555-2671;phone-context=+1", "+14155552671"),
    ("US", "tel:2671;phone-context=+1-415-555", "+14155552671"),
    ("GB", "tel:020-7946-0000;Phone-Context=+44", "+442079460000"),
    # In Italy the zero is part of the number; San Marino's local numbers have none.
    ("IT", "06 4545 1234", "+390645451234"),
    ("IT", "+39 06 4545 1234", "+390645451234"),
    ("IT", "0039 06 4545 1234", "+390645451234"),
    ("SM", "886377", "+3780549886377"),
    ("CI", "25 21 23 4567", "+2252521234567"),
    ("GA", "01 44 12 34", "+24101441234"),
    # Territories with a single area code.
    ("JE", "720000", "+441534720000"),
    ("BM", "295 1234", "+14412951234"),
    # The trunk prefix looks like an emergency number, or cannot.
    ("IN", "011 2345 6789", "+911123456789"),
    ("BR", "(11) 2345-6789", "+551123456789"),
]


@pytest.mark.parametrize(("country", "text", "e164"), TYPED)
def test_what_may_be_typed(country, text, e164):
    result = ask(text, country, "US", toll_free_service=True, toll_service=True)
    assert (result.reason, result.e164, result.region) == ("ok", e164, country)


HOSTILE = [
    # Empty or incomplete.
    *("", " ", "+", "++", "()", "-", "0", "5", "\u200b", "\u202a\u202c", "tel:", "x", "text"),
    # Other parts of a dial string, a header, a variable or a log line.
    "4155552671&PJSIP/evil",
    "4155552671@evil",
    "PJSIP/4155552671@trunk",
    "Local/4155552671@from-internal",
    "4155552671,30,tT",
    "4155552671|30",
    "4155552671^30",
    "4155552671\r\nAction: Originate",
    "4155552671\n4155552672",
    "415555\x002671",
    "4155552671\x00",
    "4155552671\x1b",
    "4155552671\n5",
    "4155552671\t4155552672",
    "${CALLERID(num)}",
    "4155552671${EXTEN}",
    "$[1+1]4155552671",
    "4155552671;user=phone",
    '"4155552671"',
    "'4155552671'",
    "<4155552671>",
    "4155552671\\n",
    "415/5552671",
    "415\uff0f5552671",
    "415_555_2671",
    "415:5552671",
    "415=5552671",
    "415~5552671",
    "415!5552671",
    "415%205552671",
    "sip:4155552671@example.com",
    "sip:4155552671",
    "sips:+14155552671@example.com;user=phone",
    "callto:4155552671",
    # Extensions, pauses, service codes.
    "415-555-2671 x123",
    "415-555-2671x123",
    "415-555-2671 ext. 5",
    "415-555-2671 ext 5",
    "415-555-2671 #5",
    "415 555 ext 5",
    "415-555-2671;ext=5",
    "415-555-2671,,5",
    "415-555-2671p5",
    "415-555-2671w5",
    "415-555-2671p",
    "*67 415 555 2671",
    "*21*4155552671#",
    "#31#4155552671",
    "4155552671#",
    "**61*4155552671**20#",
    # Short numbers and parts of numbers.
    *("411", "118118", "1411", "0", "00", "5552671", "555-2671", "+1", "+1 415", "011", "01144"),
    # Texts that contain a number, and more than one.
    "call 4155552671",
    "4155552671 or 4155552672",
    "4155552671 4155552672",
    "4155552671 / 4155552672",
    "+14155552671 +14155552672",
    "+1 415 555 2671 (home)",
    "Tel 4155552671",
    "4155552671 (1)",
    # A plus that is not a prefix, brackets that do not group.
    *("415+5552671", "4155552671+", "++14155552671", "+(+1)4155552671", "1+4155552671"),
    *("(415 5552671", "415) 5552671", "((415)) 5552671", "(415] 5552671)(", "4155552671()"),
    *("-4155552671", ".4155552671", "4155552671-", "4155552671."),
    # Letters that are not a vanity number.
    "4155552OO1",
    "415555267l",
    "415555XXXX",
    "415555xxxx",
    "FLOWERS",
    "80-FLOWERS",
    "1-800-FLOWERS-NOW",
    "1-800-FLOWER5",
    "1-800-FL0WERS",
    "1-800-\uff26\uff2c\uff2f\uff37\uff25\uff32\uff33",
    "1-800-\u0424LOWERS",
    "tel:1-800-FLOWERS",
    # Characters that look like digits or hide among them.
    "415555267\u00b2",
    "415555267\u2460",
    "415555267\u00bd",
    "415555267\u4e00",
    "+1 202 555\u202e 0100",  # shown as +1 202 555 0010, which is another number
    "\u202e0010555202",
    "\u202e202 555 5414\u202c",
    "415\u03015552671",
    "415\ud8005552671",
    "4155552671\U0001f4de",
    # tel: URIs with less or more.
    "tel:+14155552671;ext=5",
    "tel:+14155552671;isub=5",
    "tel:+14155552671;phone-context=+1",
    "tel:4155552671;phone-context=example.com",
    "tel:4155552671;phone-context=+1;ext=5",
    "tel:4155552671;phone-context=",
    "tel:4155552671;phone-context=+",
    "tel:4155552671;phone-context=1",
    "tel:4155552671;tgrp=local;phone-context=+1",
    "tel:4155552671;phone-context=+1-415",
    "tel://4155552671",
    "tel:tel:4155552671",
    "4155552671;phone-context=+1",
    # A wrong or doubled prefix.
    *("00 1 415 555 2671", "0 415 555 2671", "11 415 555 2671", "+1 1 415 555 2671"),
    *("+011 1 415 555 2671", "+00 1 415 555 2671", "011 +1 415 555 2671", "+0 415 555 2671"),
    # Too long, or in no numbering plan.
    "4" * 40,
    "+1415555267" + "1" * 200,
    " " * 100 + "4155552671",
    "1" * 10_000,
    "(" * 64,
    "+999 123 456 789",
    "+210 123 456 789",
    "100 555 2671",
    "+1 415 055 2671",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_number(text):
    # 10 digits would be allowed if anything else in these texts were ignored.
    result = ask(text, "US", toll_free_service=True, toll_service=True)
    assert result == NumberCheck(allowed=False, reason="invalid_format")


@pytest.mark.parametrize(
    ("country", "text"),
    [
        # Carrier selection, text relay, collect calls: libphonenumber would drop the prefix.
        ("BR", "0 15 11 2345 6789"),
        ("BR", "90 11 2345 6789"),
        ("GB", "18002 020 7946 0000"),
        ("CO", "+57 03 321 123 4567"),
        ("AU", "1831 02 9374 4000"),
        ("JP", "003768 03 1234 5678"),
        # A missing carrier prefix, or the prefix of another country.
        ("BR", "00 55 11 2345 6789"),
        ("AU", "00 61 2 9374 4000"),
        ("GB", "011 44 20 7946 0000"),
        # Both a number without its trunk prefix and one with the country's calling code.
        ("DE", "4915123456789"),
        ("SE", "468123456"),
        # A slash that is not behind the area code means "or".
        ("DE", "030 123456/57"),
        ("DE", "030/123456/57"),
        ("DE", "0234/123456 / 0234/123457"),
        ("DE", "0234/123456 / 123457"),
        ("DE", "030 1234 / 030 5678"),
        ("DE", "03012/34567"),
        ("DE", "0/30 1234567"),
        ("DE", "030//1234567"),
        ("DE", "tel:030/1234567"),
        ("DE", "01/2345678"),
        ("DE", "0234/\u202d123456/7"),
        ("GB", "020/79460000"),
        ("FR", "01/23456789"),
        # Lines or cells of which one is a number by itself, or an emergency number.
        ("DE", "030 1234\n5678"),
        ("DE", "030 1234\u202956"),
        ("DE", "030 1234\t5678"),
        ("DE", "0234\n112"),
        # Letters in a number that is not a service number, an extension in a plan of open length.
        ("GB", "020 7946 CALL"),
        ("DE", "030 123456 EXT"),
        ("DE", "0800 1234 EXT"),
        ("DE", "030 1234 ext 5"),
        ("DE", "030 1234 x 56"),
        ("DE", "tel:030-123456;phone-context=+49-30"),
        # Local numbers with an unknown area code; valid, but with fewer than 7 digits.
        ("GB", "7946 0000"),
        ("IR", "+98 9601"),
        # Longer than E.164 allows, although libphonenumber has them.
        ("DE", "+49 800 1234 5678 9012"),
    ],
)
def test_what_would_lose_or_guess_something(country, text):
    assert reason(text, country, "US", toll_free_service=True, toll_service=True) == (
        "invalid_format"
    )


@pytest.mark.parametrize(
    ("country", "text"),
    [
        *(("US", t) for t in ("911", "9-1-1", " 911 ", "112", "+911", "+1911", "1911", "1 (911)")),
        *(("US", t) for t in ("0112", "00112", "011112", "011911", "0111911", "011 44 999")),
        *(("US", t) for t in ("+44 999", "+49 110", "9111", "911 555 1234", "tel:911")),
        *(("US", t) for t in ("\uff19\uff11\uff11", "tel:911;phone-context=+1", "(911)")),
        *(("GB", t) for t in ("999", "112", "911", "0999", "+44999", "+44 (0)112", "00441 12")),
        *(("GB", t) for t in ("9991", "99912345", "0112", "+1 911")),
        *(("DE", t) for t in ("110", "112", "0110", "+49110", "0049112", "49112", "110 5")),
        *(("AU", t) for t in ("000", "0 000", "106", "0011 61 000", "+61 000", "000000")),
        ("MX", "080"),
        ("TH", "1669"),
        ("SE", "90000"),
        # With a trunk prefix these would be numbers; a phone would not wait for the rest.
        ("IN", "11 2345 6789"),
        ("LK", "112345678"),
    ],
)
def test_emergency_numbers_never_pass(country, text):
    every = {"toll_free_service": True, "toll_service": True}
    for client in ("US", country):
        assert reason(text, country, client, **every) == "emergency"


def test_an_emergency_number_of_elsewhere_is_no_number():
    assert reason("999", "US") == "invalid_format"
    assert reason("911;ext=1", "US") == "invalid_format"


US_NUMBER, CANADIAN, JAMAICAN, PUERTO_RICAN = (
    "+1 415 555 2671",
    "+1 416 967 1111",
    "+1 876 926 1234",
    "+1 787 345 6789",
)


@pytest.mark.parametrize(
    ("agent", "text", "expected", "region"),
    [
        ("US", US_NUMBER, "ok", "US"),
        ("US", CANADIAN, "ok", "CA"),
        ("CA", US_NUMBER, "ok", "US"),
        ("CA", CANADIAN, "ok", "CA"),
        ("CA", "415 555 2671", "ok", "US"),
        ("US", "1 416 967 1111", "ok", "CA"),
        ("US", JAMAICAN, "country_mismatch", "JM"),
        ("CA", JAMAICAN, "country_mismatch", "JM"),
        ("JM", JAMAICAN, "ok", "JM"),
        ("JM", US_NUMBER, "country_mismatch", "US"),
        ("JM", CANADIAN, "country_mismatch", "CA"),
        ("US", PUERTO_RICAN, "country_mismatch", "PR"),
        ("PR", PUERTO_RICAN, "ok", "PR"),
        ("BS", JAMAICAN, "country_mismatch", "JM"),
        ("GB", US_NUMBER, "country_mismatch", "US"),
        ("US", "011 44 20 7946 0000", "country_mismatch", "GB"),
        # The Crown dependencies are not the United Kingdom, nor each other.
        ("GB", "01534 720000", "country_mismatch", "JE"),
        ("GB", "01481 720000", "country_mismatch", "GG"),
        ("GB", "01624 720000", "country_mismatch", "IM"),
        ("JE", "01534 720000", "ok", "JE"),
        ("JE", "01481 720000", "country_mismatch", "GG"),
        ("IM", "020 7946 0000", "country_mismatch", "GB"),
        # Others that share a calling code.
        ("RU", "+7 727 234 5678", "country_mismatch", "KZ"),
        ("KZ", "8 495 123 45 67", "country_mismatch", "RU"),
        ("IT", "06 698 12345", "country_mismatch", "VA"),
        ("VA", "06 698 12345", "ok", "VA"),
        ("VA", "06 4545 1234", "country_mismatch", "IT"),
        ("AU", "+61 8 9164 1234", "country_mismatch", "CX"),
        ("NO", "79 02 12 34", "country_mismatch", "SJ"),
        ("FI", "018 12345", "country_mismatch", "AX"),
        ("GP", "+590 590 27 12 34", "country_mismatch", "BL"),
        ("EH", "+212 520 12 34 56", "country_mismatch", "MA"),
        # libphonenumber includes Western Sahara's numbers in Morocco's plan.
        ("MA", "+212 528 81 23 45", "ok", "MA"),
        ("RE", "+262 269 60 12 34", "country_mismatch", "YT"),
        ("CW", "+599 318 1234", "country_mismatch", "BQ"),
        # Not of any country.
        ("US", "+800 1234 5678", "country_mismatch", "001"),
        ("DE", "+979 123 456 789", "country_mismatch", "001"),
    ],
)
def test_same_country(agent, text, expected, region):
    result = ask(text, agent, toll_free_service=True, toll_service=True)
    assert (result.reason, result.region) == (expected, region)


@pytest.mark.parametrize(
    ("agent", "text", "line_type", "expected"),
    [
        ("US", "800 234 5678", "toll_free", "toll_free_not_enabled"),
        ("US", "900 234 5678", "premium_rate", "toll_not_enabled"),
        ("GB", "0800 111 2222", "toll_free", "toll_free_not_enabled"),
        ("GB", "0900 123 4567", "premium_rate", "toll_not_enabled"),
        ("DE", "0180 5 123456", "shared_cost", "toll_not_enabled"),
        ("GB", "070 1234 5678", "personal_number", "toll_not_enabled"),
        ("GB", "07400 123456", "mobile", "not_landline"),
        ("GB", "076 4012 3456", "pager", "not_landline"),
        ("GB", "056 1234 5678", "voip", "not_landline"),
        ("GB", "0300 123 4567", "uan", "not_landline"),
        ("GB", "020 7946 0000", "fixed_line", "ok"),
    ],
)
def test_service_and_line(agent, text, line_type, expected):
    result = ask(text, agent)
    assert (result.line_type, result.reason) == (line_type, expected)
    service = expected.removesuffix("_not_enabled") + "_service"
    enabled = {"toll_free_service": False, "toll_service": False}
    if service in enabled:
        # The service alone decides: neither the land-line rule nor the other service applies.
        assert reason(text, agent, **{**enabled, service: True}, strict_landline=True) == "ok"
        other = {name: name != service for name in enabled}
        assert reason(text, agent, **other) == expected


def test_the_land_line_rule_is_for_clients_outside_the_us():
    assert reason("07400 123456", "GB", "US") == "ok"
    assert reason("07400 123456", "GB", "CA") == "not_landline"
    assert check("07400 123456", agent_country="GB", client_country=None).reason == "not_landline"
    # Fixed and mobile lines look alike in the NANP.
    assert reason(US_NUMBER, "US", "GB") == "ok"
    assert reason(US_NUMBER, "US", "GB", strict_landline=True) == "not_landline"
    assert reason(US_NUMBER, "US", "US", strict_landline=True) == "ok"
    assert reason(CANADIAN, "CA", strict_landline=True) == "not_landline"
    assert reason("020 7946 0000", "GB", strict_landline=True) == "ok"


def test_the_order_of_the_reasons():
    # Format before country before service before land line.
    assert reason("+44 900 123", "US") == "invalid_format"
    assert reason("+44 900 123 4567", "US") == "country_mismatch"
    assert reason("+44 7400 123456", "DE") == "country_mismatch"
    assert reason("0180 5 123456", "DE") == "toll_not_enabled"


def test_what_is_refused_has_nothing_to_dial():
    mobile = ask("07400 123456", "GB")
    assert mobile == NumberCheck(False, "not_landline", None, "GB", "mobile")
    assert set(MESSAGES) >= {mobile.reason, "ok", "emergency"}


def test_countries():
    assert {"US", "GB", "XK", "AC"} <= COUNTRIES
    assert "001" not in COUNTRIES
    assert reason("020 7946 0000", "gb") == "ok"
    assert check("020 7946 0000", agent_country=None, client_country="GB").region == "GB"
    for agent, client in (("UK", "US"), ("001", "US"), ("ZZ", "US"), ("GB", "XX"), (None, None)):
        with pytest.raises(ValueError, match="country"):
            check("020 7946 0000", agent_country=agent, client_country=client)


@pytest.mark.parametrize(
    ("country", "text", "line_type"),
    [
        ("GB", "0300 123 4567", "uan"),
        ("CH", "058 123 45 67", "uan"),
        ("NL", "088 123 4567", "uan"),
        ("ZA", "0861 123 456", "uan"),
        ("FR", "09 12 34 56 78", "voip"),
        ("GB", "07400 123456", "mobile"),
        ("GB", "076 4012 3456", "pager"),
        ("GB", "020 7946 0000", "fixed_line"),
        ("CA", CANADIAN, "fixed_line_or_mobile"),
    ],
)
def test_which_types_count_as_land_lines(country, text, line_type):
    for types in itertools.chain.from_iterable(
        itertools.combinations(LANDLINE_TYPES, size) for size in (1, 2, len(LANDLINE_TYPES))
    ):
        result = ask(text, country, landline_types=types)
        expected = "ok" if line_type in types else "not_landline"
        assert (result.reason, result.line_type) == (expected, line_type)
    usual = line_type in USUAL_LANDLINES
    assert reason(text, country) == ("ok" if usual else "not_landline")
    # Strict takes away numbers that may be mobile numbers; clients in the US are not asked.
    strict = reason(text, country, strict_landline=True, landline_types=LANDLINE_TYPES)
    assert strict == ("not_landline" if line_type == "fixed_line_or_mobile" else "ok")
    assert reason(text, country, "US", landline_types=("pager",)) == "ok"


def test_the_usual_land_lines_are_those_of_the_settings():
    assert Features().landline_types == USUAL_LANDLINES
    assert set(USUAL_LANDLINES) < set(LANDLINE_TYPES)


def test_services_are_no_land_lines_whatever_the_types():
    for text, expected in (
        ("0800 111 2222", "toll_free_not_enabled"),
        ("0900 123 4567", "toll_not_enabled"),
    ):
        assert reason(text, "GB", landline_types=LANDLINE_TYPES) == expected


US_TERRITORIES = {
    "AS": "+1 684 622 1234",
    "GU": "+1 671 300 1234",
    "MP": "+1 670 234 5678",
    "PR": PUERTO_RICAN,
    "VI": "+1 340 642 1234",
}


@pytest.mark.parametrize(("territory", "there"), US_TERRITORIES.items())
def test_territories_of_the_us_count_as_domestic_by_a_setting(territory, there):
    for agent in ("US", "CA", *US_TERRITORIES):
        own = "ok" if agent == territory else "country_mismatch"
        assert reason(there, agent, "US") == own
        assert reason(there, agent, "US", domestic_territories=US_TERRITORIES) == "ok"
    # From there to all that are named, and only by naming it itself.
    for text in (US_NUMBER, CANADIAN):
        assert reason(text, territory, "US", domestic_territories=[territory]) == "ok"
        others = [x for x in US_TERRITORIES if x != territory]
        assert reason(text, territory, "US", domestic_territories=others) == "country_mismatch"
    # Nobody else, and no other country of the NANP.
    for agent in ("GB", "JM", "BM"):
        assert reason(there, agent, domestic_territories=US_TERRITORIES) == "country_mismatch"
    assert reason(JAMAICAN, "US", domestic_territories=US_TERRITORIES) == "country_mismatch"
