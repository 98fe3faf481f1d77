"""The JSON of the API's answers that something was not done, or wrong."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Out(BaseModel):
    model_config = ConfigDict(frozen=True)


class ErrorOut(_Out):
    error: str
    message: str


class RefusalOut(_Out):
    """``refused`` carries one of the reason codes; ``forbidden`` concerns the token.

    ``cross_site``: the panel's cookie came with a request that is not the panel's own.
    """

    error: Literal["refused", "forbidden", "cross_site"]
    message: str
    reason: str | None = None


class MalformedDetail(_Out):
    where: list[str | int]
    message: str


class MalformedOut(_Out):
    error: Literal["malformed"]
    message: str
    details: list[MalformedDetail]
