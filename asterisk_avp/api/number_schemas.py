"""The JSON of checks of numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from asterisk_avp.api.languages import translated
from asterisk_avp.api.schemas import In, Out
from asterisk_avp.core.numbers.rules import MESSAGES, NumberCheck, Reason


class NumberCheckIn(In):
    """A number as ``agent`` would type it."""

    agent: Annotated[str, Field(min_length=1, max_length=80)]
    number: Annotated[str, Field(max_length=80)]


class NumberCheckOut(Out):
    """``e164`` is what would be dialled: null unless allowed. ``region`` 001: of no country."""

    allowed: bool
    reason: Reason
    message: str
    e164: str | None
    e164_formatted: str | None
    region: str | None
    line_type: str | None


def number_check_out(check: NumberCheck) -> NumberCheckOut:
    return NumberCheckOut(
        allowed=check.allowed,
        reason=check.reason,
        message=translated(
            "numbers.ok" if check.allowed else f"refused.{check.reason}", MESSAGES[check.reason]
        ),
        e164=check.e164,
        e164_formatted=check.formatted,
        region=check.region,
        line_type=check.line_type,
    )
