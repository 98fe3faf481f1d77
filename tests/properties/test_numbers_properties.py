"""Any text gets an answer, and an allowed number is exactly what was typed."""

from __future__ import annotations

import re
import unicodedata

import phonenumbers
from hypothesis import HealthCheck, assume, event, example, given, settings
from hypothesis import strategies as st
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumberFormat

from asterisk_avp.core.numbers.rules import NumberCheck, check

E164 = re.compile(r"\+[1-9][0-9]{6,14}")
REASONS = {
    *("ok", "invalid_format", "emergency", "country_mismatch", "not_landline"),
    *("toll_free_not_enabled", "toll_not_enabled"),
}
REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
SOME = ["US", "CA", "GB", "DE", "IT", "AR", "BR", "JM", "RU", "BY", "JE", "HK", "CL", "IN", "AU"]
KEYS = {
    "2": "ABC",
    "3": "DEF",
    "4": "GHI",
    "5": "JKL",
    "6": "MNO",
    "7": "PQRS",
    "8": "TUV",
    "9": "WXYZ",
}
KEYPAD = {letter: digit for digit, letters in KEYS.items() for letter in letters}

quick = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
regions = st.sampled_from(SOME) | st.sampled_from(REGIONS)
clients = st.sampled_from(["US", "GB", None])
separators = st.sampled_from([" ", "-", ".", "", "", "\u00a0", "\u2013", "\u3000", "\uff0d"])
meaningful = "&@,(){}$;:|/\\\"'<>%!=*#~^`_?[]+xXpPwW\r\n\t\x00 \u202e\u200e\u0660\u096f1"


def decide(text: str, agent: str, client: str | None = "US") -> NumberCheck:
    return check(
        text,
        agent_country=agent,
        client_country=client,
        toll_free_service=True,
        toll_service=True,
    )


def is_visible(character: str) -> bool:
    """Written independently: DerivedCoreProperties.txt of Unicode 15, without the unassigned."""
    ignorable = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"
    variation = "\ufe00" <= character <= "\ufe0f" or "\U000e0000" <= character <= "\U000e0fff"
    return not (unicodedata.category(character) == "Cf" or variation or character in ignorable)


def typed_digits(text: str) -> str:
    """The typed text, read independently: every digit and letter as a digit, and a plus."""
    digits = []
    text = "".join(filter(is_visible, text))
    if ";phone-context=" in text.lower():
        at = text.lower().index(";phone-context=")
        text = text[at + len(";phone-context=") :] + text[len("tel:") : at]
    for character in re.sub(r"(?i)\s*tel:", "", text):
        if character in "+\uff0b":
            digits.append("+")
        elif unicodedata.category(character) == "Nd":
            digits.append(str(unicodedata.digit(character)))
        elif character.isalpha() and character != "\u30fc":
            digits.append(KEYPAD[character.upper()])
    return "".join(digits)


def examine(text: str, agent: str, client: str | None = "US") -> NumberCheck:
    """Everything that must be true of any answer."""
    result = decide(text, agent, client)
    assert result.reason in REASONS
    assert result.allowed == (result.reason == "ok") == (result.e164 is not None)
    event(result.reason)
    if result.e164 is None:
        return result
    assert E164.fullmatch(result.e164)
    assert not set(result.e164) & set("&@,(){}$;\r\n")
    # It is libphonenumber's canonical form of the typed text, parsed independently.
    digits = typed_digits(text)
    number = phonenumbers.parse(digits, agent)
    assert phonenumbers.format_number(number, PhoneNumberFormat.E164) == result.e164
    assert not number.extension
    # Only prefixes were removed, and only a territory's single area code was added.
    national = phonenumbers.national_significant_number(number)
    bare = digits.removeprefix("+")
    if bare.endswith(national):
        assert is_prefix(bare.removesuffix(national), str(number.country_code), agent), digits
    else:
        rule = PhoneMetadata.metadata_for_region(agent).national_prefix_transform_rule or ""
        fixed = re.sub(r"\\.*", "", rule)
        assert fixed
        if agent != "AR":
            assert national == fixed + bare
        else:
            without_15 = {bare[:i] + bare[i + 2 :] for i in range(5) if bare[i : i + 2] == "15"}
            assert national in {"9" + rest.removeprefix("0") for rest in without_15}
    # Checking the result again gives the same result.
    assert decide(result.e164, agent, client) == result
    # It is not an emergency number anywhere.
    for region in (agent, "US", "GB"):
        assert not phonenumbers.is_emergency_number(digits, region)
    return result


def is_prefix(prefix: str, code: str, agent: str) -> bool:
    """Empty, a trunk prefix, or an international prefix and the calling code, perhaps with (0)."""
    if prefix in ("", "0", "1", "8", "80", "06"):
        return True
    before = re.sub(rf"{code}0?$", "", prefix)
    idd = PhoneMetadata.metadata_for_region(agent).international_prefix
    return before == "" or re.fullmatch(idd, before) is not None


@st.composite
def numbers(draw: st.DrawFn, region: str) -> phonenumbers.PhoneNumber:
    types = [t for t in range(11) if phonenumbers.example_number_for_type(region, t)]
    assume(types)
    return phonenumbers.example_number_for_type(region, draw(st.sampled_from(types)))


@st.composite
def grouped(draw: st.DrawFn, digits: str) -> str:
    """Digits with separators, in one of several scripts."""
    zero = draw(st.sampled_from([0x30, 0x30, 0xFF10, 0x660, 0x6F0, 0x966, 0x1D7CE]))
    return "".join(
        (chr(zero + int(c)) if c.isdigit() else c)
        + (draw(separators) if c.isdigit() and at < len(digits) - 1 else "")
        for at, c in enumerate(digits)
    )


@st.composite
def correct_texts(draw: st.DrawFn, region: str) -> tuple[str, str]:
    number = draw(numbers(region))
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    form = draw(st.sampled_from(["e164", "national", "rfc3966", "tel"]))
    if form == "national":
        text = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    elif form == "rfc3966":
        text = phonenumbers.format_number(number, PhoneNumberFormat.RFC3966)
    elif form == "tel":
        text = "tel:" + e164
    else:
        text = draw(grouped(e164))
    return text, e164


@st.composite
def mutated(draw: st.DrawFn, region: str) -> str:
    """A correct text with a few characters inserted, removed, replaced or doubled."""
    text, _ = draw(correct_texts(region))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        other = draw(st.sampled_from(meaningful) | st.sampled_from("0123456789") | st.characters())
        what = draw(st.sampled_from(["put", "take", "replace", "double"]))
        if what == "put":
            text = text[:at] + other + text[at:]
        elif what == "take":
            text = text[:at] + text[at + 1 :]
        elif what == "replace":
            text = text[:at] + other + text[at + 1 :]
        else:
            text = text[:at] + text[max(0, at - 3) :]
    return text


@quick
@given(st.text(max_size=80), regions, clients)
@example("٤" * 15, "US", None)
@example("\ud800", "US", None)
def test_any_text(text, agent, client):
    examine(text, agent, client)


@quick
@given(
    st.text(alphabet="0123456789+ -().\u0663\uff19abcxXFLtel:;=#*&@,$", max_size=30),
    regions,
    clients,
)
def test_any_text_that_looks_like_a_number(text, agent, client):
    examine(text, agent, client)


@quick
@given(st.data(), regions)
def test_what_is_written_correctly(data, region):
    text, e164 = data.draw(correct_texts(region))
    assume(len(e164) > 7)
    result = examine(text, region)
    assert (result.reason, result.e164, result.region) == ("ok", e164, region)


@quick
@given(st.data(), regions, regions)
def test_mutations_of_correct_numbers(data, region, agent):
    examine(data.draw(mutated(region)), data.draw(st.sampled_from([region, agent])))


@quick
@given(st.data(), regions, st.text(st.sampled_from("0123456789"), max_size=6))
def test_digits_in_front_and_behind(data, region, digits):
    """Prefixes of all kinds, other endings: the interpretations of the numbering plans."""
    number = data.draw(numbers(region))
    national = phonenumbers.national_significant_number(number)
    code = str(number.country_code)
    front = data.draw(st.sampled_from(["", "0", "00", "1", "8", "011", code, "+", "+" + code]))
    keep = data.draw(st.integers(1, len(national)))
    examine(front + national[:keep] + digits, region)


@quick
@given(st.data(), regions, st.sampled_from(["&", "@", ",", ";", "$", "{", "}", "|", "\x1b", "\0"]))
def test_characters_of_dial_strings_and_headers_are_never_allowed(data, region, character):
    text, _ = data.draw(correct_texts(region))
    at = data.draw(st.integers(0, len(text)))
    assert decide(text[:at] + character + text[at:], region).reason == "invalid_format"


invisible = st.characters(categories=["Cf", "Mn", "Lo"]).filter(lambda c: not is_visible(c))


@quick
@given(st.data(), regions, st.lists(invisible, min_size=1, max_size=6))
def test_what_nobody_sees_changes_nothing(data, region, characters):
    """Whatever is taken off, except where the number would be *seen* as another one."""
    text, e164 = data.draw(correct_texts(region))
    assume(len(e164) > 7 and len(text) + len(characters) <= 64)
    for character in characters:
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + character + text[at:]
    result = examine(text, region)
    if "\u202e" in text and not result.allowed:
        assert result.reason == "invalid_format"
        return
    assert (result.reason, result.e164, result.region) == ("ok", e164, region)


@quick
@given(
    st.data(),
    regions,
    st.sampled_from(["\n", "\r\n", "\r", "\t", "\x0b", "\u2028", "\u2029", "\x85"]),
)
def test_line_ends_around_a_number_and_between_two(data, region, end):
    first, e164 = data.draw(correct_texts(region))
    second, other = data.draw(correct_texts(region))
    assume(len(e164) > 7)
    for text in (first + end, end + first, end + first + end):
        assert examine(text, region).e164 == e164
    if other != e164:
        assert not examine(first + end + second, region).allowed


@quick
@given(st.data(), st.sampled_from(["DE", "AT"]))
def test_slashes_of_germany_and_austria(data, region):
    """Allowed where libphonenumber's own format has the space behind the area code, only there."""
    number = data.draw(numbers(region))
    national = phonenumbers.national_significant_number(number)
    size = phonenumbers.length_of_national_destination_code(number)
    at = data.draw(st.integers(1, len(national) - 1))
    for prefix in ("0", f"+{number.country_code} ", f"00{number.country_code} (0)"):
        result = examine(f"{prefix}{national[:at]}/{national[at:]}", region)
        assert result.allowed == (at == size)


@quick
@given(st.data(), regions)
def test_slashes_of_other_countries_mean_or(data, region):
    assume(region not in ("DE", "AT"))
    _, e164 = data.draw(correct_texts(region))
    at = data.draw(st.integers(2, len(e164) - 1))
    assert not examine(f"{e164[:at]}/{e164[at:]}", region).allowed


@quick
@given(st.data(), regions, st.text(min_size=1, max_size=20))
def test_text_around_a_number_is_never_dropped(data, region, around):
    _, e164 = data.draw(correct_texts(region))
    for text in (around + e164, e164 + around, e164 + " " + around):
        result = examine(text, region)
        if result.allowed:
            extra = typed_digits(around)
            assert extra == "" or result.e164 != e164


@quick
@given(st.data(), regions)
def test_letters_are_the_keys_of_a_telephone(data, region):
    """At the end of a number, where libphonenumber treats them alike."""
    _, e164 = data.draw(correct_texts(region))
    letters = data.draw(st.integers(3, 7))
    head, tail = e164[:-letters], e164[-letters:]
    assume(len(head) > 3 and not set(tail) & set("01"))
    word = "".join(data.draw(st.sampled_from(KEYS[digit])) for digit in tail)
    result = examine(head + word, region)
    assert result.e164 in (None, e164)
    try:
        same = phonenumbers.parse(head + word, region)
    except NumberParseException:
        same = None
    if result.allowed and same is not None and not same.extension:
        assert phonenumbers.format_number(same, PhoneNumberFormat.E164) == e164
