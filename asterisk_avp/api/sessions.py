"""`/v1/session`: an agent's log-in in a browser, in a cookie that scripts cannot read."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from starlette.responses import Response

from asterisk_avp.api import schemas
from asterisk_avp.api.auth import Authenticator, LoginFailed, LoginLimited, Principal
from asterisk_avp.api.cookies import (
    device_values,
    is_secure,
    session_token,
    set_device,
    set_session,
)
from asterisk_avp.api.http import (
    Forbidden,
    address_of,
    json_response,
    login_refused,
    principal_of,
    unauthorized,
)
from asterisk_avp.api.port import TransferService
from asterisk_avp.core.model.errors import UnknownAgent

Responses = dict[int | str, dict[str, Any]]


def add_session_routes(
    app: FastAPI, service: TransferService, auth: Authenticator, described: Responses
) -> None:
    """``described``: the error responses, for the API's description."""

    def answer(token: str | None, request: Request) -> Response:
        login = auth.login_of(token) if token else None
        if login is None or token is None:
            return unauthorized()
        try:
            name = service.agent(login.agent).name
        except UnknownAgent:
            name = login.agent
        left = auth.seconds_left(login)
        body = schemas.SessionOut(
            agent=login.agent, name=name, expires=schemas.iso_time(time.time() + left)
        )
        response = json_response(200, body.model_dump(mode="json"), {"Cache-Control": "no-store"})
        set_session(response, request.scope, token, int(left))
        return response

    @app.post("/v1/session", response_model=schemas.SessionOut, responses=described)
    async def sign_in(body: schemas.LoginIn, request: Request) -> Response:
        """Log in at the panel; needs the header X-AVP-Panel. The cookie is the answer."""
        devices = device_values(request.scope)
        secure = is_secure(request.scope)
        try:
            token = await auth.login(
                body.agent, body.pin, address_of(request), devices=devices, secure=secure
            )
        except (LoginFailed, LoginLimited) as refused:
            return login_refused(refused)
        # End the browser's earlier log-in, whichever agent's it was.
        auth.log_out(session_token(request.scope, auth) or "")
        response = answer(token, request)
        set_device(response, request.scope, auth.devices.remember(body.agent, devices))
        return response

    @app.get("/v1/session", response_model=schemas.SessionOut, responses=described)
    async def session(request: Request) -> Response:
        """Who is logged in by the panel's cookie."""
        return answer(session_token(request.scope, auth), request)

    @app.delete("/v1/session", status_code=204, response_class=Response, responses=described)
    async def sign_out(request: Request) -> Response:
        """Log out here; needs the header X-AVP-Panel."""
        auth.log_out(session_token(request.scope, auth) or "")
        return signed_out(request)

    @app.delete("/v1/sessions", status_code=204, response_class=Response, responses=described)
    async def sign_out_everywhere(
        request: Request, principal: Annotated[Principal, Depends(principal_of)]
    ) -> Response:
        """End every log-in of this agent, in all browsers and programs."""
        if principal.agent is None:
            raise Forbidden
        auth.log_out_everywhere(principal.agent)
        return signed_out(request)

    def signed_out(request: Request) -> Response:
        response = Response(status_code=204)
        set_session(response, request.scope, "", 0)
        return response
