"""Extract the digits to dial from a typed number.

`digits_of` parses a text without knowledge of any country. It rejects whatever it does not
recognise: libphonenumber's own parser looks for a number *in* a text and drops the rest, which is
right for reading mail and wrong for dialling. Here every character must be part of the number or
one of the few that only group it.

Accepted:

- decimal digits of every script (Unicode category Nd: full-width, Arabic-Indic, Devanagari...);
- one ``+`` at the start, also inside a first bracket: ``(+44) 20...``;
- grouping: spaces (category Zs, and the zero-width ones that libphonenumber knows), dashes
  (category Pd, minus, soft hyphen), dots, and pairs of ``()`` or ``[]`` around digits;
- left-to-right marks at the ends only, where address books leave them;
- letters of a vanity number (ITU-T E.161, the keypad): A to Z, at least three of them, after at
  least three digits and with no digit after them, so that they cannot denote an extension;
- a ``tel:`` URI (RFC 3966) without parameters, or with a ``phone-context`` of leading digits
  (``+44``) as the only one. A context that is a domain says nothing about the number.

Everything else is rejected, including control characters (CR, LF, NUL, tab), characters that are
special in a dial string, a header or a variable (``& @ , ; : | / $ { } < >``, quotes, backslash),
``*`` and ``#`` of service codes, pauses (``p``, ``w``), extensions, a second number with its
``+``, and, without parsing, texts of more than `MAX_TEXT` characters.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

MAX_TEXT: Final = 64
"""Characters. The longest number with its prefixes and generous grouping has about 40."""

_SCHEME: Final = "tel:"
_CONTEXT: Final = re.compile(r";phone-context=(\+[0-9().-]+)", re.IGNORECASE)
_LEFT_TO_RIGHT: Final = "\u200e\u202a\u202c\u2066\u2069\ufeff"
_FULL_WIDTH: Final = str.maketrans(
    "\uff0b\uff08\uff09\uff3b\uff3d\uff0e\u00b7\u2212\u30fc\u00ad\u200b\u2060", "+()[]..---  "
)
_BRACKETS: Final = str.maketrans("[]", "()")
_UNGROUP: Final = str.maketrans("", "", " -.()")

_CHARACTERS: Final = re.compile(r"[0-9A-Za-z .()\[\]+-]+")
_GROUPED: Final = re.compile(r"(?:[^()]*\([ .+-]*[0-9A-Za-z][^()]*\))+[^()]*")
_ENDS: Final = re.compile(r"[0-9(+].*[0-9A-Za-z)]")
_DIGITS: Final = re.compile(r"\+?[0-9]+")
_VANITY: Final = re.compile(r"\+?[0-9]{3,}[A-Z]{3,}")
_KEYPAD: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")
_EXTENSION_WORDS: Final = frozenset({"EXT", "EXTN", "XTN", "EXTENSION"})
_WORD: Final = re.compile(r"[A-Z]+")


@dataclass(frozen=True, slots=True)
class Typed:
    digits: str
    """ASCII digits, after a ``+`` if one was typed."""
    vanity: bool = False
    """Some of them were letters."""


def digits_of(text: str) -> Typed | None:
    """The digits of a text that is exactly one number; None for any other text."""
    if len(text) > MAX_TEXT:
        return None
    if not text.isascii():
        plain = _to_ascii(text.strip(_LEFT_TO_RIGHT))
        if plain is None:
            return None
        text = plain
    text = text.strip(" ")
    if text[:4].lower() == _SCHEME:
        return _of_uri(text[4:].strip(" "))
    return _of_plain(text)


def _of_plain(text: str) -> Typed | None:
    if not _CHARACTERS.fullmatch(text):
        return None
    text = text.translate(_BRACKETS)
    if ("(" in text or ")" in text) and not _GROUPED.fullmatch(text):
        return None
    if not _ENDS.fullmatch(text):
        return None
    compact = text.translate(_UNGROUP)
    if _DIGITS.fullmatch(compact):
        return Typed(compact)
    text, compact = text.upper(), compact.upper()
    if not _VANITY.fullmatch(compact):
        return None
    # A run of X is a placeholder; the words in _EXTENSION_WORDS announce an extension.
    words = _WORD.findall(text)
    if not _EXTENSION_WORDS.isdisjoint(words) or not "".join(words).strip("X"):
        return None
    return Typed(compact.translate(_KEYPAD), vanity=True)


def _of_uri(rest: str) -> Typed | None:
    local, semicolon, _ = rest.partition(";")
    number = _of_plain(local)
    if number is None or number.vanity:
        return None
    if not semicolon:
        return number
    context = _CONTEXT.fullmatch(rest, len(local))
    prefix = _of_plain(context[1]) if context else None
    if prefix is None or prefix.vanity or number.digits.startswith("+"):
        return None
    # "+44" leaves room for a trunk prefix; "+44-20" does not.
    if number.digits[0] == "0" and int(prefix.digits) not in COUNTRY_CODE_TO_REGION_CODE:
        return None
    return Typed(prefix.digits + number.digits)


def _to_ascii(text: str) -> str | None:
    """The text in ASCII; None if a character cannot be part of a number."""
    plain = []
    for character in text.translate(_FULL_WIDTH):
        if character.isascii():
            plain.append(character)
        elif (digit := unicodedata.decimal(character, None)) is not None:
            plain.append(str(digit))
        elif (category := unicodedata.category(character)) == "Zs":
            plain.append(" ")
        elif category == "Pd":
            plain.append("-")
        else:
            return None
    return "".join(plain)
