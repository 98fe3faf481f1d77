"""The HTTP API (`/v1`, described by itself at `/openapi.json`).

Two kinds of tokens: an integration's may do everything; an agent's may see the state of every agent
of the same client in the list, but only their own calls, targets and the transfers that concern
them, and may act only for themselves. Whether a transfer is allowed is decided behind the
`TransferService`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Request
from fastapi.security import HTTPBearer
from starlette.responses import Response

from asterisk_avp import __version__
from asterisk_avp.api import schemas
from asterisk_avp.api.auth import Authenticator, Caller, LoginFailed, LoginLimited
from asterisk_avp.api.clients import Scopes, everything
from asterisk_avp.api.cookies import is_secure
from asterisk_avp.api.event_cache import Rosters
from asterisk_avp.api.events_ws import add_events_route
from asterisk_avp.api.http import (
    BodyLimit,
    Forbidden,
    Gate,
    add_error_handlers,
    address_of,
    caller_of,
    json_response,
    login_refused,
    model_response,
)
from asterisk_avp.api.metrics import add_metrics_route
from asterisk_avp.api.panel import add_panel
from asterisk_avp.api.port import TransferService
from asterisk_avp.api.sessions import add_session_routes
from asterisk_avp.api.shown import Shown
from asterisk_avp.api.throttle import Budget, Patience
from asterisk_avp.api.visibility import concerns

MAX_BODY_BYTES = 64 * 1024
BODY_SECONDS = 10.0
"""For a body to arrive: what a client of ours sends is there at once."""


def _responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    described: dict[int, tuple[str, type]] = {
        401: ("No valid token", schemas.ErrorOut),
        403: ("Refused, or another agent's token", schemas.RefusalOut),
        404: ("No such agent or transfer", schemas.ErrorOut),
        409: ("Not possible in the transfer's present state", schemas.ErrorOut),
        408: ("The body did not arrive in time", schemas.ErrorOut),
        413: ("The body is too large", schemas.ErrorOut),
        422: ("Malformed", schemas.MalformedOut),
        429: ("Too many failed log-ins", schemas.ErrorOut),
        503: ("Asterisk cannot be reached", schemas.ErrorOut),
    }
    return {
        status: {"description": described[status][0], "model": described[status][1]}
        for status in statuses
    }


AgentPath = Annotated[str, Path(max_length=80)]
TransferPath = Annotated[str, Path(max_length=80)]
PartyPath = Annotated[str, Path(max_length=80)]
WhoAsks = Annotated[Caller, Depends(caller_of)]


def create_app(
    switchboard: TransferService,
    auth: Authenticator,
    *,
    metrics: Callable[[], bytes] | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    body_seconds: float = BODY_SECONDS,
    refusals: Budget | None = None,
    scopes: Scopes = everything,
) -> FastAPI:
    """The ASGI application over ``switchboard``. ``metrics`` gives the text of `/metrics`.

    ``refusals``: how many each peer is answered at once. ``scopes``: what each agent may know.
    """
    app = FastAPI(
        title="asterisk_avp",
        summary="Session transfer for the agents of an Asterisk call centre",
        version=__version__,
        # Their pages load scripts from elsewhere, which an agent's network may not reach.
        docs_url=None,
        redoc_url=None,
    )
    add_error_handlers(app)
    _add_open_routes(app, switchboard, auth)
    shown = Shown(scopes)
    _add_agent_routes(app, switchboard, shown)
    _add_transfer_routes(app, switchboard, shown)
    _add_party_routes(app, switchboard, shown)
    _add_number_routes(app, switchboard)
    add_session_routes(app, switchboard, auth, _responses(401, 403, 408, 413, 422, 429))
    add_panel(app)
    add_events_route(app, switchboard, auth, scopes)
    if metrics is not None:
        add_metrics_route(app, auth, metrics)
    app.add_middleware(BodyLimit, limit=max_body_bytes, seconds=body_seconds)
    app.add_middleware(Gate, auth=auth)
    app.add_middleware(Patience, budget=refusals or Budget())
    return app


# Only describes the token in /openapi.json; `Gate` has checked it before any route is reached.
_TOKEN = Depends(
    HTTPBearer(auto_error=False, description="from POST /v1/login, or AVP_API__TOKENS")
)


def _add_open_routes(app: FastAPI, switchboard: TransferService, auth: Authenticator) -> None:
    @app.post(
        "/v1/login", response_model=schemas.TokenOut, responses=_responses(401, 408, 413, 422, 429)
    )
    async def login(body: schemas.LoginIn, request: Request) -> Response | schemas.TokenOut:
        """An agent's token for their PIN."""
        secure = is_secure(request.scope)
        try:
            token = await auth.login(body.agent, body.pin, address_of(request), secure=secure)
            return schemas.TokenOut(token=token)
        except (LoginFailed, LoginLimited) as refused:
            return login_refused(refused)

    @app.get("/healthz", response_model=schemas.HealthOut)
    async def healthz() -> schemas.HealthOut:
        """The process is alive."""
        return schemas.HealthOut(status="ok")

    @app.get(
        "/readyz",
        response_model=schemas.ReadyOut,
        responses={503: {"description": "Not ready", "model": schemas.ReadyOut}},
    )
    async def readyz() -> Response:
        """Whether new transfers can be taken, and what is missing if not."""
        ready = schemas.ready_out(switchboard.readiness())
        return json_response(200 if ready.ready else 503, ready.model_dump())


def _add_agent_routes(app: FastAPI, switchboard: TransferService, shown: Shown) -> None:
    rosters = Rosters(lambda view: schemas.agent_out(view).model_dump(mode="json"))

    @app.get(
        "/v1/agents",
        response_model=list[schemas.AgentOut],
        responses=_responses(401),
        dependencies=[_TOKEN],
    )
    async def agents(caller: WhoAsks) -> Response:
        """All agents of the same client and their states."""
        scope = shown.scope(caller)
        texts = [text for _, text in rosters.texts(switchboard.roster(), scope)]
        return Response(f"[{','.join(texts)}]", media_type="application/json")

    @app.get(
        "/v1/agents/{agent_id}",
        response_model=schemas.AgentDetailOut,
        responses=_responses(401, 403, 404, 422),
        dependencies=[_TOKEN],
    )
    async def agent(agent_id: AgentPath, caller: WhoAsks) -> schemas.AgentDetailOut:
        """One agent with their call."""
        _only_for(caller, agent_id)
        return shown.agent(caller, switchboard.agent(agent_id))

    @app.get(
        "/v1/agents/{agent_id}/targets",
        response_model=schemas.TargetsOut,
        responses=_responses(401, 403, 404, 422),
        dependencies=[_TOKEN],
    )
    async def targets(agent_id: AgentPath, caller: WhoAsks) -> Response:
        """Where this agent could transfer to now."""
        _only_for(caller, agent_id)
        return model_response(schemas.targets_out(switchboard.targets(agent_id)))

    @app.post(
        "/v1/agents/{agent_id}/transfers",
        status_code=201,
        response_model=schemas.TransferOut,
        responses=_responses(401, 403, 404, 408, 413, 422, 503),
        dependencies=[_TOKEN],
    )
    async def transfer(
        agent_id: AgentPath, body: schemas.TransferIn, caller: WhoAsks, response: Response
    ) -> schemas.TransferOut:
        """Transfer the agent's call."""
        _only_for(caller, agent_id)
        view = await switchboard.request(body.request(agent_id))
        response.headers["Location"] = f"/v1/transfers/{view.id}"
        return shown.transfer(caller, view)

    @app.get(
        "/v1/agents/{agent_id}/transfers",
        response_model=list[schemas.TransferOut],
        responses=_responses(401, 403, 404, 422),
        dependencies=[_TOKEN],
    )
    async def history(agent_id: AgentPath, caller: WhoAsks) -> list[schemas.TransferOut]:
        """Ended transfers of the last 24 hours that concerned this agent, the last one first.

        At most 100, and none from before the daemon was started.
        """
        _only_for(caller, agent_id)
        return [shown.transfer(caller, view) for view in switchboard.history(agent_id)]

    @app.post(
        "/v1/agents/{agent_id}/pause",
        response_model=schemas.AgentDetailOut,
        responses=_responses(401, 403, 404, 409, 408, 413, 422, 503),
        dependencies=[_TOKEN],
    )
    async def pause(
        agent_id: AgentPath, caller: WhoAsks, body: schemas.PauseIn | None = None
    ) -> schemas.AgentDetailOut:
        """Offer this agent no calls. The new state follows as an event."""
        _only_for(caller, agent_id)
        reason = body.reason if body is not None else ""
        view = await switchboard.pause(agent_id, paused=True, reason=reason)
        return shown.agent(caller, view)

    @app.post(
        "/v1/agents/{agent_id}/ready",
        response_model=schemas.AgentDetailOut,
        responses=_responses(401, 403, 404, 409, 422, 503),
        dependencies=[_TOKEN],
    )
    async def ready(agent_id: AgentPath, caller: WhoAsks) -> schemas.AgentDetailOut:
        """Offer this agent calls again. The new state follows as an event."""
        _only_for(caller, agent_id)
        return shown.agent(caller, await switchboard.pause(agent_id, paused=False, reason=""))


def _add_transfer_routes(app: FastAPI, switchboard: TransferService, shown: Shown) -> None:
    @app.get(
        "/v1/transfers",
        response_model=list[schemas.TransferOut],
        responses=_responses(401),
        dependencies=[_TOKEN],
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
        responses=_responses(401, 403, 404, 422),
        dependencies=[_TOKEN],
    )
    async def transfer(transfer_id: TransferPath, caller: WhoAsks) -> schemas.TransferOut:
        """One transfer."""
        view = switchboard.transfer(transfer_id)
        if caller.agent is not None and not concerns(view, caller.agent):
            raise Forbidden
        return shown.transfer(caller, view)

    @app.post(
        "/v1/transfers/{transfer_id}/complete",
        response_model=schemas.TransferOut,
        responses=_responses(401, 403, 404, 409, 422, 503),
        dependencies=[_TOKEN],
    )
    async def complete(transfer_id: TransferPath, caller: WhoAsks) -> schemas.TransferOut:
        """Connect caller and target; the transferor is done."""
        _only_for(caller, switchboard.transfer(transfer_id).agent)
        return shown.transfer(caller, await switchboard.complete(transfer_id))

    @app.post(
        "/v1/transfers/{transfer_id}/cancel",
        response_model=schemas.TransferOut,
        responses=_responses(401, 403, 404, 409, 422, 503),
        dependencies=[_TOKEN],
    )
    async def cancel(transfer_id: TransferPath, caller: WhoAsks) -> schemas.TransferOut:
        """Return the transferor to the caller."""
        _only_for(caller, switchboard.transfer(transfer_id).agent)
        return shown.transfer(caller, await switchboard.cancel(transfer_id))

    @app.post(
        "/v1/transfers/{transfer_id}/swap",
        response_model=schemas.TransferOut,
        responses=_responses(401, 403, 404, 409, 422, 503),
        dependencies=[_TOKEN],
    )
    async def swap(transfer_id: TransferPath, caller: WhoAsks) -> schemas.TransferOut:
        """From the target to the caller, or back; the other one hears music."""
        _only_for(caller, switchboard.transfer(transfer_id).agent)
        return shown.transfer(caller, await switchboard.swap(transfer_id))

    @app.post(
        "/v1/transfers/{transfer_id}/conference",
        response_model=schemas.TransferOut,
        responses=_responses(401, 403, 404, 409, 422, 503),
        dependencies=[_TOKEN],
    )
    async def conference(transfer_id: TransferPath, caller: WhoAsks) -> schemas.TransferOut:
        """All together: the transferor, the caller and the target."""
        _only_for(caller, switchboard.transfer(transfer_id).agent)
        return shown.transfer(caller, await switchboard.conference(transfer_id))


def _add_party_routes(app: FastAPI, switchboard: TransferService, shown: Shown) -> None:
    @app.post(
        "/v1/transfers/{transfer_id}/parties",
        status_code=201,
        response_model=schemas.TransferOut,
        responses=_responses(401, 403, 404, 409, 408, 413, 422, 503),
        dependencies=[_TOKEN],
    )
    async def add_party(
        transfer_id: TransferPath, body: schemas.PartyIn, caller: WhoAsks
    ) -> schemas.TransferOut:
        """Call a fourth party into the consult or the conference."""
        _only_for(caller, switchboard.transfer(transfer_id).agent)
        return shown.transfer(caller, await switchboard.add_party(transfer_id, body.number))

    @app.delete(
        "/v1/transfers/{transfer_id}/parties/{party_id}",
        response_model=schemas.TransferOut,
        responses=_responses(401, 403, 404, 409, 422, 503),
        dependencies=[_TOKEN],
    )
    async def drop_party(
        transfer_id: TransferPath, party_id: PartyPath, caller: WhoAsks
    ) -> schemas.TransferOut:
        """Hang up on the fourth party, or on the target; the id is that in ``parties``."""
        _only_for(caller, switchboard.transfer(transfer_id).agent)
        return shown.transfer(caller, await switchboard.drop_party(transfer_id, party_id))


def _add_number_routes(app: FastAPI, switchboard: TransferService) -> None:
    @app.post(
        "/v1/numbers/check",
        response_model=schemas.NumberCheckOut,
        responses=_responses(401, 403, 404, 408, 413, 422),
        dependencies=[_TOKEN],
    )
    async def check_number(body: schemas.NumberCheckIn, caller: WhoAsks) -> schemas.NumberCheckOut:
        """Whether the rules for numbers let this agent call a number, and as what."""
        _only_for(caller, body.agent)
        return schemas.number_check_out(switchboard.check_number(body.agent, body.number))


def _only_for(caller: Caller, agent_id: str) -> None:
    if not caller.may_act_for(agent_id):
        raise Forbidden
