"""The JSON of `POST /v1/numbers/check`, which the command line prints offline as well."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from asterisk_avp.core.numbers.rules import MESSAGES, NumberCheck, Reason


class NumberCheckIn(BaseModel):
    """A number as ``agent`` would type it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agent: Annotated[str, Field(min_length=1, max_length=80)]
    number: Annotated[str, Field(max_length=80)]


class NumberCheckOut(BaseModel):
    """``e164`` is what would be dialled: null unless allowed. ``region`` 001: of no country."""

    model_config = ConfigDict(frozen=True)

    allowed: bool
    reason: Reason
    message: str
    e164: str | None
    region: str | None
    line_type: str | None


def number_check_out(check: NumberCheck) -> NumberCheckOut:
    return NumberCheckOut(
        allowed=check.allowed,
        reason=check.reason,
        message=MESSAGES[check.reason],
        e164=check.e164,
        region=check.region,
        line_type=check.line_type,
    )
