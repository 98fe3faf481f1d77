"""What the routes have in common: types of paths, described answers, and who may act for whom.

FastAPI makes a validator of the model of each described answer, of which there are 150 for three
models of errors. They are answers that it never validates, so they refer to the models, which are
added when somebody asks for the description (`Described`).
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Path
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from asterisk_avp.api import error_schemas
from asterisk_avp.api.auth import Principal
from asterisk_avp.api.http import Forbidden, principal_of

_MODELS: Final = (
    error_schemas.ErrorOut,
    error_schemas.MalformedOut,
    error_schemas.RefusalOut,
)
_REFERENCE: Final = "#/components/schemas/{model}"


class Described(FastAPI):
    """Describes itself, with the answers of `responses`."""

    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            schemas = super().openapi()["components"]["schemas"]
            models = [(model, "serialization") for model in _MODELS]
            _, found = models_json_schema(models, ref_template=_REFERENCE)  # type: ignore[arg-type]
            schemas |= {**found["$defs"], **schemas}
            ordered = dict(sorted(schemas.items()))
            schemas.clear()
            schemas.update(ordered)
        return super().openapi()


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    described: dict[int, tuple[str, type[BaseModel]]] = {
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
    return {status: described_as(*described[status]) for status in statuses}


def described_as(description: str, model: type[BaseModel]) -> dict[str, Any]:
    """An answer of one of the models of errors."""
    schema = {"$ref": _REFERENCE.format(model=model.__name__)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


AgentPath = Annotated[str, Path(max_length=80)]
TransferPath = Annotated[str, Path(max_length=80)]
PartyPath = Annotated[str, Path(max_length=80)]
CurrentPrincipal = Annotated[Principal, Depends(principal_of)]

# Only describes the token in /openapi.json; `TokenCheck` checks it before any route.
TOKEN = Depends(HTTPBearer(auto_error=False, description="from POST /v1/login, or AVP_API__TOKENS"))


def only_for(principal: Principal, agent_id: str) -> None:
    if not principal.may_act_for(agent_id):
        raise Forbidden
