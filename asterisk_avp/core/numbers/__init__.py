"""Telephone numbers that people type: parsing, and whether they may be dialled.

Import `check` and its result from here. `rules` documents the theory and the order of the checks.
"""

from asterisk_avp.core.numbers.rules import COUNTRIES, MESSAGES, NumberCheck, Reason, check

__all__ = ["COUNTRIES", "MESSAGES", "NumberCheck", "Reason", "check"]
