"""The longest a caller is held: what the call's own script may say of it."""

from __future__ import annotations

import re
from typing import Final

MAX_SECONDS: Final = 86_400
"""A day; the settings take no more either, and Asterisk's timers less than any number of digits."""


def max_hold_seconds(text: str) -> int | None:
    """The seconds that ``AVP_MAX_HOLD`` says; None where it says none, and the setting holds.

    Digits as Asterisk reads them (``strtod`` in app_queue): Python would take others for a number
    as well, such as those of Arabic or full width.
    """
    if re.fullmatch(r"[0-9]{1,5}", text) is None or not 0 < int(text) <= MAX_SECONDS:
        return None
    return int(text)
