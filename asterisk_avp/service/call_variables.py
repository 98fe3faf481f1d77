"""What the channel variables of a call say about a transfer of it."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.model.hold import MAX_SECONDS, MUSIC, max_hold_seconds
from asterisk_avp.core.transfer.dialplan import LIMIT

log = structlog.get_logger(__name__)


def call_facts(channel: str, variables: Mapping[str, str], now: float) -> CallVariables:
    text = variables.get("AVP_MAX_HOLD", "")
    seconds = max_hold_seconds(text)
    if text and seconds is None:
        log.warning(
            "max_hold_ignored",
            channel=channel,
            hint=f"AVP_MAX_HOLD must be whole seconds, 1 to {MAX_SECONDS}; the setting applies",
        )
    limit, _, _ = variables.get(LIMIT, "").partition(".")
    return CallVariables(
        max_hold_seconds=seconds,
        ends_at=round(now) + int(limit) if limit.isdecimal() and int(limit) > 0 else None,
        music_class=variables.get(MUSIC, ""),
    )
