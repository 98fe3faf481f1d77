"""The HTTP API (`/v1`, described by itself at `/openapi.json`).

Two kinds of tokens: an integration's may do everything; an agent's may see the state of every agent
of the same client in the list, but only their own calls, targets and the transfers that concern
them, and may act only for themselves. Whether a transfer is allowed is decided behind the
`TransferService`.
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI, Request
from fastapi.dependencies import models
from starlette.responses import Response

from asterisk_avp import __version__
from asterisk_avp.api import schemas
from asterisk_avp.api.agent_routes import add_agent_routes
from asterisk_avp.api.auth import Authenticator, LoginFailed, LoginLimited
from asterisk_avp.api.clients import Scopes, unrestricted
from asterisk_avp.api.cookies import is_secure
from asterisk_avp.api.events_ws import add_events_route
from asterisk_avp.api.http import (
    BodyLimit,
    TokenCheck,
    add_error_handlers,
    address_of,
    json_response,
    login_refused,
)
from asterisk_avp.api.languages import BROWSER, Languages
from asterisk_avp.api.metrics import add_metrics_route
from asterisk_avp.api.not_stored import NotStored
from asterisk_avp.api.number_schemas import NumberCheckIn, NumberCheckOut, number_check_out
from asterisk_avp.api.outcomes import Once, Outcomes, add_outcome_routes
from asterisk_avp.api.panel import add_panel
from asterisk_avp.api.panel_access import PanelAccess
from asterisk_avp.api.port import TransferService
from asterisk_avp.api.routes import TOKEN, CurrentPrincipal, Described, only_for, responses
from asterisk_avp.api.session_tokens import STANDBY, STANDBY_HEADER
from asterisk_avp.api.sessions import add_session_routes
from asterisk_avp.api.shown import ScopedResponses
from asterisk_avp.api.throttle import Budget, Throttle
from asterisk_avp.api.transfer_routes import add_party_routes, add_transfer_routes
from asterisk_avp.api.work_routes import add_work_routes

MAX_BODY_BYTES = 64 * 1024
BODY_SECONDS = 10.0
"""Time for a body to arrive; bodies are small and normally arrive at once."""


def create_app(
    service: TransferService,
    auth: Authenticator,
    *,
    metrics: Callable[[], bytes] | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    body_seconds: float = BODY_SECONDS,
    refusals: Budget | None = None,
    scopes: Scopes = unrestricted,
    language: str = BROWSER,
    access: PanelAccess | None = None,
    standby: Callable[[], None] = lambda: None,
) -> FastAPI:
    """The ASGI application over ``service``. ``metrics`` gives the text of `/metrics`.

    ``refusals``: how many each peer is answered at once. ``scopes``: what each agent may know.
    ``language``: that of page and messages, or `BROWSER` for what each request asks for.
    ``access``: who may embed the panel, and whether a proxy names its users. ``standby`` is called
    when a standby daemon asks whether this one lives.
    """
    access = access or PanelAccess()
    app = Described(
        title="asterisk_avp",
        summary="Session transfer for the agents of an Asterisk call centre",
        version=__version__,
        # These pages load scripts from other hosts, which an agent's network may not reach.
        docs_url=None,
        redoc_url=None,
    )
    add_error_handlers(app)
    _add_open_routes(app, service, auth, standby)
    scoped = ScopedResponses(scopes)
    add_agent_routes(app, service, scoped)
    add_work_routes(app, service, scoped)
    add_transfer_routes(app, service, scoped)
    add_party_routes(app, service, scoped)
    _add_number_routes(app, service)
    described = responses(401, 403, 408, 413, 422, 429)
    session = add_session_routes(app, service, auth, access, described)
    add_panel(app, language, access, session)
    add_events_route(app, service, auth, access, scopes)
    if metrics is not None:
        add_metrics_route(app, auth, metrics)
    outcomes = Outcomes()
    add_outcome_routes(app, outcomes)
    app.add_middleware(Once, outcomes=outcomes)
    app.add_middleware(BodyLimit, limit=max_body_bytes, seconds=body_seconds)
    app.add_middleware(TokenCheck, auth=auth, access=access)
    app.add_middleware(Throttle, budget=refusals or Budget())
    app.add_middleware(Languages, setting=language)
    app.add_middleware(NotStored)
    return app


def _add_open_routes(
    app: FastAPI, service: TransferService, auth: Authenticator, standby: Callable[[], None]
) -> None:
    @app.post(
        "/v1/login", response_model=schemas.TokenOut, responses=responses(401, 408, 413, 422, 429)
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
    async def healthz(request: Request) -> schemas.HealthOut:
        """The process is alive."""
        if auth.sessions.proves(STANDBY, request.headers.get(STANDBY_HEADER, "")):
            standby()
        return schemas.HealthOut(status="ok")

    @app.get(
        "/readyz",
        response_model=schemas.ReadyOut,
        responses={503: {"description": "Not ready", "model": schemas.ReadyOut}},
    )
    async def readyz() -> Response:
        """Whether new transfers can be taken, and what is missing if not."""
        ready = schemas.ready_out(service.readiness())
        return json_response(200 if ready.ready else 503, ready.model_dump())


def _add_number_routes(app: FastAPI, service: TransferService) -> None:
    @app.post(
        "/v1/numbers/check",
        response_model=NumberCheckOut,
        responses=responses(401, 403, 404, 408, 413, 422),
        dependencies=[TOKEN],
    )
    async def check_number(body: NumberCheckIn, principal: CurrentPrincipal) -> NumberCheckOut:
        """Whether the rules for numbers let this agent call a number, and as what."""
        only_for(principal, body.agent)
        return number_check_out(service.check_number(body.agent, body.number))


def forget_apps() -> None:
    """Let go of apps that are not used any more.

    FastAPI remembers for the life of the process which functions are coroutines, and through ours
    whole daemons. That is none of its API: a version without it has nothing to forget.
    """
    for found in tuple(vars(models).values()):
        clear = getattr(found, "cache_clear", None)
        if callable(clear):
            clear()
