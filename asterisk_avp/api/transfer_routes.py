"""`/v1/transfers`: the transfers, what can be asked of each, and its parties."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from starlette.responses import Response

from asterisk_avp.api import schemas
from asterisk_avp.api.http import Forbidden, model_response
from asterisk_avp.api.port import TransferService
from asterisk_avp.api.routes import TOKEN, PartyPath, TransferPath, WhoAsks, only_for, responses
from asterisk_avp.api.shown import Shown
from asterisk_avp.api.visibility import concerns
from asterisk_avp.core.model.world import TransferView

_COMMANDS = {
    "complete": "Connect caller and target; the transferor is done.",
    "cancel": "Return the transferor to the caller.",
    "swap": "From the target to the caller, or back; the other one hears music.",
    "conference": "All together: the transferor, the caller and the target.",
}
"""By the method of `TransferService`, which is also the path's last word: what it does."""


def add_transfer_routes(app: FastAPI, switchboard: TransferService, shown: Shown) -> None:
    @app.get(
        "/v1/transfers",
        response_model=list[schemas.TransferOut],
        responses=responses(401),
        dependencies=[TOKEN],
    )
    async def transfers(caller: WhoAsks) -> Response:
        """The transfers under way and those that ended lately."""
        return model_response(
            [
                shown.transfer(caller, view)
                for view in switchboard.transfers()
                if caller.agent is None or concerns(view, caller.agent)
            ]
        )

    @app.get(
        "/v1/transfers/{transfer_id}",
        response_model=schemas.TransferOut,
        responses=responses(401, 403, 404, 422),
        dependencies=[TOKEN],
    )
    async def transfer(transfer_id: TransferPath, caller: WhoAsks) -> schemas.TransferOut:
        """One transfer."""
        view = switchboard.transfer(transfer_id)
        if caller.agent is not None and not concerns(view, caller.agent):
            raise Forbidden
        return shown.transfer(caller, view)

    for name, meaning in _COMMANDS.items():
        _add_command(app, switchboard, shown, name, meaning)


def _add_command(
    app: FastAPI,
    switchboard: TransferService,
    shown: Shown,
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
    async def command(transfer_id: TransferPath, caller: WhoAsks) -> schemas.TransferOut:
        only_for(caller, switchboard.transfer(transfer_id).agent)
        act: Callable[[str], Awaitable[TransferView]] = getattr(switchboard, name)
        return shown.transfer(caller, await act(transfer_id))


def add_party_routes(app: FastAPI, switchboard: TransferService, shown: Shown) -> None:
    @app.post(
        "/v1/transfers/{transfer_id}/parties",
        status_code=201,
        response_model=schemas.TransferOut,
        responses=responses(401, 403, 404, 409, 408, 413, 422, 503),
        dependencies=[TOKEN],
    )
    async def add_party(
        transfer_id: TransferPath, body: schemas.PartyIn, caller: WhoAsks
    ) -> schemas.TransferOut:
        """Call a fourth party into the consult or the conference."""
        only_for(caller, switchboard.transfer(transfer_id).agent)
        return shown.transfer(caller, await switchboard.add_party(transfer_id, body.number))

    @app.delete(
        "/v1/transfers/{transfer_id}/parties/{party_id}",
        response_model=schemas.TransferOut,
        responses=responses(401, 403, 404, 409, 422, 503),
        dependencies=[TOKEN],
    )
    async def drop_party(
        transfer_id: TransferPath, party_id: PartyPath, caller: WhoAsks
    ) -> schemas.TransferOut:
        """Hang up on the fourth party, or on the target; the id is that in ``parties``."""
        only_for(caller, switchboard.transfer(transfer_id).agent)
        return shown.transfer(caller, await switchboard.drop_party(transfer_id, party_id))
