"""Extract the digits to dial from a typed number.

`digits_of` parses a text without knowledge of any country. It rejects whatever it does not
recognise: libphonenumber's own parser looks for a number *in* a text and drops the rest, which is
right for reading mail and wrong for dialling. Here every character must be part of the number or
one of the few that only group it.

Accepted:

- decimal digits of every script (Unicode category Nd: full-width, Arabic-Indic, Devanagari...);
- one ``+`` at the start, also inside a first bracket: ``(+44) 20...``;
- grouping: spaces (category Zs, Braille blank), dashes (category Pd, minus), dots, and pairs of
  ``()`` or ``[]`` around digits;
- slashes, of which `Typed.slashes` tells: what they mean depends on the country
  (`plans.slashes_after_area_code`);
- characters that nobody sees, anywhere, because a paste brings them along: format characters
  (category Cf: marks, embeddings, overrides and isolates of writing direction, zero-width spaces
  and joiners, soft hyphens) and whatever else Unicode calls default ignorable (variation selectors,
  fillers, the grapheme joiner). Only RIGHT-TO-LEFT OVERRIDE changes which digits are *seen*:
  `readings` has that reading too;
- line ends and tabs around the number. Between digits they may also separate two numbers or two
  cells: `readings` has each part.
- letters of a vanity number (ITU-T E.161, the keypad): A to Z, at least three of them, after at
  least three digits and with no digit after them, so that they cannot denote an extension;
- a ``tel:`` URI (RFC 3966) without parameters, or with a ``phone-context`` of leading digits
  (``+44``) as the only one. A context that is a domain says nothing about the number.

Everything else is rejected, including other control characters (NUL, escape), characters that are
special in a dial string, a header or a variable (``& @ , ; : | $ { } < >``, quotes, backslash),
``*`` and ``#`` of service codes, pauses (``p``, ``w``), extensions, a second number with its
``+``, and, without parsing, texts of more than `MAX_TEXT` characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

MAX_TEXT: Final = 64
"""Characters. The longest number with its prefixes and generous grouping has about 40."""

_SCHEME: Final = "tel:"
_CONTEXT: Final = re.compile(r";phone-context=(\+[0-9().-]+)", re.IGNORECASE)
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt), where not of category Cf."""
_REVERSED: Final = re.compile("\u202e([^\u202c\u202e]*)")
"""What RIGHT-TO-LEFT OVERRIDE shows in the opposite order, up to its end (UAX 9, X5 and X7)."""
_BREAK: Final = re.compile("[\t-\r\x85\u2028\u2029]+")
"""Line ends (UAX 14, class BK, CR, LF, NL) and the tab, which separates cells."""
_FULL_WIDTH: Final = str.maketrans(
    "\uff0b\uff08\uff09\uff3b\uff3d\uff0e\u00b7\u2212\u30fc\u2800\uff0f\u2044\u2215",
    "+()[]..-- ///",
)
_BRACKETS: Final = str.maketrans("[]", "()")
_UNGROUP: Final = str.maketrans("", "", " -.()/")

_CHARACTERS: Final = re.compile(r"[0-9A-Za-z .()\[\]+/-]+")
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
    slashes: tuple[int, ...] = ()
    """How many digits were behind each slash, in the order of the text."""


def digits_of(text: str) -> Typed | None:
    """The digits of a text that is exactly one number; None for any other text."""
    if len(text) > MAX_TEXT:
        return None
    if not text.isascii():
        plain = _to_ascii(text)
        if plain is None:
            return None
        text = plain
    text = _BREAK.sub(" ", text).strip(" ")
    if text[:4].lower() == _SCHEME:
        return _of_uri(text[4:].strip(" "))
    return _of_plain(text)


def readings(text: str) -> Iterator[Typed]:
    """What somebody may see in the text besides its digits in their order.

    Each part between line ends or tabs, and the digits as RIGHT-TO-LEFT OVERRIDE shows them. The
    text is one number only if none of these is another.
    """
    if len(text) > MAX_TEXT:
        return
    shown = _REVERSED.sub(lambda found: found[1][::-1], text)
    parts = _BREAK.split(text)
    for other in (*([shown] if shown != text else ()), *(parts if len(parts) > 1 else ())):
        typed = digits_of(other)
        if typed is not None:
            yield typed


def _of_plain(text: str) -> Typed | None:
    if not _CHARACTERS.fullmatch(text):
        return None
    text = text.translate(_BRACKETS)
    if ("(" in text or ")" in text) and not _GROUPED.fullmatch(text):
        return None
    if not _ENDS.fullmatch(text):
        return None
    compact = text.translate(_UNGROUP)
    slashes = _slashes(text)
    if _DIGITS.fullmatch(compact):
        return Typed(compact, slashes=slashes)
    text, compact = text.upper(), compact.upper()
    if not _VANITY.fullmatch(compact):
        return None
    # A run of X is a placeholder; the words in _EXTENSION_WORDS announce an extension.
    words = _WORD.findall(text)
    if not _EXTENSION_WORDS.isdisjoint(words) or not "".join(words).strip("X"):
        return None
    return Typed(compact.translate(_KEYPAD), vanity=True, slashes=slashes)


def _slashes(text: str) -> tuple[int, ...]:
    parts = text.split("/")
    behind = ("".join(parts[place:]) for place in range(1, len(parts)))
    return tuple(len(part.translate(_UNGROUP)) for part in behind)


def _of_uri(rest: str) -> Typed | None:
    local, semicolon, _ = rest.partition(";")
    number = _of_plain(local)
    if number is None or number.vanity or number.slashes:
        return None
    if not semicolon:
        return number
    context = _CONTEXT.fullmatch(rest, len(local))
    prefix = _of_plain(context[1]) if context else None
    if prefix is None or prefix.vanity or prefix.slashes or number.digits.startswith("+"):
        return None
    # "+44" leaves room for a trunk prefix; "+44-20" does not.
    if number.digits[0] == "0" and int(prefix.digits) not in COUNTRY_CODE_TO_REGION_CODE:
        return None
    return Typed(prefix.digits + number.digits)


def _to_ascii(text: str) -> str | None:
    """The text in ASCII; None if a character cannot be part of a number."""
    plain = []
    for character in _INVISIBLE.sub("", text).translate(_FULL_WIDTH):
        if character.isascii() or _BREAK.match(character):
            plain.append(character)
        elif (digit := unicodedata.decimal(character, None)) is not None:
            plain.append(str(digit))
        elif (category := unicodedata.category(character)) == "Zs":
            plain.append(" ")
        elif category == "Pd":
            plain.append("-")
        elif category != "Cf":
            return None
    return "".join(plain)
