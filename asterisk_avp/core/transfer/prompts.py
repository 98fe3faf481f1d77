"""Prompts for transfers by the phone: names of Asterisk's core sounds.

Only sounds of the core package (core-sounds-en and its translations) are used, in the channel's
language; this project ships no sounds.
"""

from __future__ import annotations

from typing import Final

ASK: Final = ("sound:vm-enter-num-to-call", "sound:vm-then-pound")
"""Says "Please enter the number you wish to call; then press pound"."""

NOT_NOW: Final = ("sound:beeperr",)
"""A beep for a key that is not possible now."""

_AGAIN: Final = "sound:please-try-again"

_WHY: Final = {
    "invalid_format": ("sound:privacy-incorrect",),
    "emergency": ("sound:cannot-complete-as-dialed",),
    "country_mismatch": ("sound:cannot-complete-as-dialed",),
    "not_landline": ("sound:cannot-complete-as-dialed",),
    "toll_free_not_enabled": ("sound:cannot-complete-as-dialed",),
    "toll_not_enabled": ("sound:cannot-complete-as-dialed",),
    "external_disabled": ("sound:feature-not-avail-line",),
    "manual_dial_disabled": ("sound:feature-not-avail-line",),
    "presets_disabled": ("sound:feature-not-avail-line",),
    "internal_disabled": ("sound:feature-not-avail-line",),
    "unsupervised_disabled": ("sound:feature-not-avail-line",),
    "conference_disabled": ("sound:feature-not-avail-line",),
    "transfer_disabled": ("sound:feature-not-avail-line",),
    "not_contracted": ("sound:feature-not-avail-line",),
}
_BUSY: Final = frozenset({"target_not_ready", "target_offline", "target_queue_full"})


def wrong(reason: str, typed: str, *, again: bool = True) -> tuple[str, ...]:
    """Announce why ``typed`` was refused. ``again``: whether to prompt for another try."""
    if reason in _BUSY and typed.isdigit():
        why: tuple[str, ...] = ("sound:extension", f"digits:{typed}", "sound:vm-isunavail")
    elif reason in _WHY:
        why = _WHY[reason]
    elif again:
        return ("sound:invalid",)  # this sound prompts for another try itself
    else:
        why = ("sound:privacy-incorrect",)
    return (*why, *((_AGAIN,) if again else ()))


ALL: Final = tuple(
    dict.fromkeys(
        name.removeprefix("sound:")
        for name in (
            *ASK,
            *NOT_NOW,
            _AGAIN,
            *(name for why in _WHY.values() for name in why),
            *("sound:extension", "sound:vm-isunavail", "sound:invalid", "sound:privacy-incorrect"),
        )
    )
)
"""All sounds above by name in Asterisk, without the ten digits."""
