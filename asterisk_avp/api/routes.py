"""What the routes have in common: types of paths, described answers, and who may act for whom."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path
from fastapi.security import HTTPBearer

from asterisk_avp.api import error_schemas
from asterisk_avp.api.auth import Principal
from asterisk_avp.api.http import Forbidden, principal_of


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    described: dict[int, tuple[str, type]] = {
        401: ("No valid token", error_schemas.ErrorOut),
        403: ("Refused, or another agent's token", error_schemas.RefusalOut),
        404: ("No such agent or transfer", error_schemas.ErrorOut),
        409: ("Not possible in the transfer's present state", error_schemas.ErrorOut),
        408: ("The body did not arrive in time", error_schemas.ErrorOut),
        413: ("The body is too large", error_schemas.ErrorOut),
        422: ("Malformed", error_schemas.MalformedOut),
        429: ("Too many failed log-ins", error_schemas.ErrorOut),
        503: (
            "Asterisk cannot be reached, or is too busy for a new transfer",
            error_schemas.ErrorOut,
        ),
    }
    return {
        status: {"description": described[status][0], "model": described[status][1]}
        for status in statuses
    }


AgentPath = Annotated[str, Path(max_length=80)]
TransferPath = Annotated[str, Path(max_length=80)]
PartyPath = Annotated[str, Path(max_length=80)]
CurrentPrincipal = Annotated[Principal, Depends(principal_of)]

# Only describes the token in /openapi.json; `TokenCheck` checks it before any route.
TOKEN = Depends(HTTPBearer(auto_error=False, description="from POST /v1/login, or AVP_API__TOKENS"))


def only_for(principal: Principal, agent_id: str) -> None:
    if not principal.may_act_for(agent_id):
        raise Forbidden
