"""What holds for a caller who waits: the maximum time that the dialplan may set, and the music."""

from __future__ import annotations

import re
from typing import Final

MAX_SECONDS: Final = 86_400
"""One day; also the limit of the setting."""

MUSIC: Final = "AVP_MUSIC"
"""The channel variable with the music class that the caller heard in the last queue but ours."""


def max_hold_seconds(text: str) -> int | None:
    """Parse ``AVP_MAX_HOLD``, in seconds; None where it is unset or invalid: the setting applies.

    Accepts ASCII digits only, like ``strtod`` in app_queue; Python's ``int`` would also accept
    Arabic-Indic or full-width digits.
    """
    if re.fullmatch(r"[0-9]{1,5}", text) is None or not 0 < int(text) <= MAX_SECONDS:
        return None
    return int(text)
