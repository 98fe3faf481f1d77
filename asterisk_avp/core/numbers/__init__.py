"""Numbers that people type: how they are read, and which may be dialled.

`check` and what it answers are importable from here; `rules` has the theory and the order of the
checks.
"""

from asterisk_avp.core.numbers.rules import COUNTRIES, MESSAGES, NumberCheck, Reason, check

__all__ = ["COUNTRIES", "MESSAGES", "NumberCheck", "Reason", "check"]
