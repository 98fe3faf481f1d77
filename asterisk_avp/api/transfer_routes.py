"""`/v1/transfers`: the transfers, what can be asked of each, and its parties."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from starlette.responses import Response

from asterisk_avp.api import schemas
from asterisk_avp.api.http import Forbidden, model_response
from asterisk_avp.api.port import TransferService
from asterisk_avp.api.routes import (
    TOKEN,
    CurrentPrincipal,
    PartyPath,
    TransferPath,
    only_for,
    responses,
)
from asterisk_avp.api.shown import ScopedResponses
from asterisk_avp.api.visibility import involves
from asterisk_avp.core.model.world import TransferView

_COMMANDS = {
    "complete": "Connect caller and target; the transferor is done.",
    "cancel": "Return the transferor to the caller.",
    "swap": "From the target to the caller, or back; the other one hears music.",
    "conference": "All together: the transferor, the caller and the target.",
}
"""By the method of `TransferService`, which is also the path's last word: what it does."""


def add_transfer_routes(app: FastAPI, service: TransferService, scoped: ScopedResponses) -> None:
    @app.get(
        "/v1/transfers",
        response_model=list[schemas.TransferOut],
        responses=responses(401),
        dependencies=[TOKEN],
    )
    async def transfers(principal: CurrentPrincipal) -> Response:
        """The transfers under way and those that ended lately."""
        return model_response(
            [scoped.transfer(principal, view) for view in service.transfers(principal.agent)]
        )

    @app.get(
        "/v1/transfers/{transfer_id}",
        response_model=schemas.TransferOut,
        responses=responses(401, 403, 404, 422, 503),
        dependencies=[TOKEN],
    )
    async def transfer(
        transfer_id: TransferPath, principal: CurrentPrincipal
    ) -> schemas.TransferOut:
        """One transfer."""
        view = await service.find(transfer_id)
        if principal.agent is not None and not involves(view, principal.agent):
            raise Forbidden
        return scoped.transfer(principal, view)

    for name, meaning in _COMMANDS.items():
        _add_command(app, service, scoped, name, meaning)


def _add_command(
    app: FastAPI,
    service: TransferService,
    scoped: ScopedResponses,
    name: str,
    meaning: str,
) -> None:
    @app.post(
        f"/v1/transfers/{{transfer_id}}/{name}",
        name=name,
        description=meaning,
        response_model=schemas.TransferOut,
        responses=responses(401, 403, 404, 409, 422, 503),
        dependencies=[TOKEN],
    )
    async def command(transfer_id: TransferPath, principal: CurrentPrincipal) -> Response:
        only_for(principal, (await service.find(transfer_id)).agent)
        act: Callable[[str], Awaitable[TransferView]] = getattr(service, name)
        return model_response(scoped.transfer(principal, await act(transfer_id)))


def add_party_routes(app: FastAPI, service: TransferService, scoped: ScopedResponses) -> None:
    @app.post(
        "/v1/transfers/{transfer_id}/parties",
        status_code=201,
        response_model=schemas.TransferOut,
        responses=responses(401, 403, 404, 409, 408, 413, 422, 503),
        dependencies=[TOKEN],
    )
    async def add_party(
        transfer_id: TransferPath, body: schemas.AnyParty, principal: CurrentPrincipal
    ) -> schemas.TransferOut:
        """Call a fourth party into the consult or the conference: a number or a colleague."""
        only_for(principal, (await service.find(transfer_id)).agent)
        return scoped.transfer(principal, await service.add_party(transfer_id, body.target()))

    @app.delete(
        "/v1/transfers/{transfer_id}/parties/{party_id}",
        response_model=schemas.TransferOut,
        responses=responses(401, 403, 404, 409, 422, 503),
        dependencies=[TOKEN],
    )
    async def drop_party(
        transfer_id: TransferPath, party_id: PartyPath, principal: CurrentPrincipal
    ) -> schemas.TransferOut:
        """Hang up on the fourth party, or on the target; the id is that in ``parties``."""
        only_for(principal, (await service.find(transfer_id)).agent)
        return scoped.transfer(principal, await service.drop_party(transfer_id, party_id))
