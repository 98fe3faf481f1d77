"""Who calls, and who may be told.

A caller may withhold their number (CLIR; RFC 3323, RFC 3325). Asterisk keeps number and name on the
channel, and beside each a *presentation* that says whether others may be told. Only this module
decides what is told: views, screen pops and calls to external targets ask `Caller`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NUMBER: Final = "CALLERID(num-pres)"
NAME: Final = "CALLERID(name-pres)"
PRESENTATION_VARIABLES: Final = (NUMBER, NAME)
"""The dialplan functions that tell it. ``CALLERID(pres)`` combines both, but ignores an unavailable
number beside an allowed name (channel.c, ``ast_party_id_presentation``)."""

_ANONYMOUS: Final = frozenset({"anonymous", "restricted", "withheld", "private"})
"""What stands instead of a number where a trunk has hidden it (RFC 3323, 4.1.1.3)."""


_FEW_DIGITS: Final = 5
"""A number of fewer may be anywhere."""
_LAST_DIGITS: Final = 8


class Presentation(StrEnum):
    UNKNOWN = "unknown"
    """Asterisk has not answered yet. Nobody is told meanwhile."""
    ALLOWED = "allowed"
    WITHHELD = "withheld"


def presentation_of(number: str, name: str) -> Presentation:
    """The presentation, from the values of `NUMBER` and `NAME`; the stricter one counts for both.

    Who restricts only one of them is not told by the other either, as in SIP, which has one Privacy
    header for both (res_pjsip_caller_id.c, ``add_privacy_header``).
    """
    if not number and not name:
        return Presentation.UNKNOWN
    allowed = all(not value or value.startswith("allowed") for value in (number, name))
    return Presentation.ALLOWED if allowed else Presentation.WITHHELD


@dataclass(frozen=True, slots=True)
class Caller:
    """The number and name that Asterisk has, which may have to stay there."""

    number: str = ""
    name: str = ""
    presentation: Presentation = Presentation.ALLOWED

    @property
    def known(self) -> bool:
        """Whether Asterisk has told the presentation."""
        return self.presentation is not Presentation.UNKNOWN

    @property
    def withheld(self) -> bool:
        """Whether the caller has withheld them."""
        anonymous = self.number.casefold() in _ANONYMOUS
        return anonymous or self.presentation is Presentation.WITHHELD

    def told_agents(self, *, show_withheld: bool) -> Told:
        """What agents and integrations are told. ``show_withheld``: the setting of the group."""
        if self.number.casefold() in _ANONYMOUS:
            return Told(withheld=True)
        if show_withheld or self.told_outside:
            return Told(self.number, self.name, withheld=self.withheld)
        return Told(withheld=self.withheld)

    def is_in(self, text: str) -> bool:
        """Whether a text contains the number, in any notation, or the name."""
        digits = "".join(filter(str.isdecimal, self.number))
        if len(digits) < _FEW_DIGITS:
            named = digits != "" and text == self.number
        else:
            # Without the country's or the trunk's prefix.
            named = digits[-_LAST_DIGITS:] in "".join(filter(str.isdecimal, text))
        return named or (self.name != "" and self.name.casefold() in text.casefold())

    @property
    def told_outside(self) -> bool:
        """Whether external targets may be told. No setting allows more."""
        return self.presentation is Presentation.ALLOWED and not self.withheld


@dataclass(frozen=True, slots=True)
class Told:
    """What somebody is told of a caller. Both are empty if they are not told."""

    number: str = ""
    name: str = ""
    withheld: bool = False
