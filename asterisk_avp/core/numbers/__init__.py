"""Telephone numbers that people type: parsing, and whether they may be dialled.

Import `check` and its result from here. `rules` documents the theory and the order of the checks.
"""

from asterisk_avp.core.numbers.rules import (
    COUNTRIES,
    LANDLINE_TYPES,
    MESSAGES,
    USUAL_LANDLINES,
    NumberCheck,
    Reason,
    check,
)
from asterisk_avp.core.numbers.shown import shown
from asterisk_avp.core.numbers.territories import TERRITORIES

__all__ = [
    "COUNTRIES",
    "LANDLINE_TYPES",
    "MESSAGES",
    "TERRITORIES",
    "USUAL_LANDLINES",
    "NumberCheck",
    "Reason",
    "check",
    "shown",
]
