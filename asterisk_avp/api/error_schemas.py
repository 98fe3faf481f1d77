"""The JSON of errors."""

from __future__ import annotations

from typing import Literal

from asterisk_avp.api.schemas import Out


class ErrorOut(Out):
    error: str
    message: str


class RefusalOut(Out):
    """``refused`` carries one of the reason codes; ``forbidden`` concerns the token.

    ``cross_site``: the panel's cookie came with a request that is not the panel's own.
    ``other_agent``: the cookie is not that of the agent in the header X-AVP-Agent.
    ``single_sign_on``: the other way to log in is in use. ``unknown_user``: the proxy's user is no
    agent.
    """

    error: Literal[
        "refused", "forbidden", "cross_site", "other_agent", "single_sign_on", "unknown_user"
    ]
    message: str
    reason: str | None = None


class MalformedDetail(Out):
    where: list[str | int]
    message: str


class MalformedOut(Out):
    error: Literal["malformed"]
    message: str
    details: list[MalformedDetail]
