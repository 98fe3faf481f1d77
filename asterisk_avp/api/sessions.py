"""`/v1/session`: an agent's log-in in a browser, in a cookie that scripts cannot read.

Agents log in with their PINs, or a reverse proxy names them (`panel_access`). Each log-in issues a
new token and ends the one that the browser had, so nobody can prepare a session for somebody else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

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
    PROXY_SESSION_PATH,
    Forbidden,
    address_of,
    error,
    json_response,
    login_refused,
    principal_of,
    unauthorized,
)
from asterisk_avp.api.languages import say
from asterisk_avp.api.panel_access import PanelAccess
from asterisk_avp.api.port import TransferService
from asterisk_avp.api.session_schemas import SessionOut
from asterisk_avp.core.model.errors import UnknownAgent

Responses = dict[int | str, dict[str, Any]]


class _Sessions:
    """The log-ins of browsers."""

    def __init__(self, service: TransferService, auth: Authenticator, access: PanelAccess) -> None:
        self._service = service
        self._auth = auth
        self._access = access

    @property
    def way(self) -> Literal["pin", "proxy"]:
        """How agents log in."""
        return "pin" if self._access.user_header is None else "proxy"

    def exists(self, agent: str) -> bool:
        return self._name(agent) is not None

    def end(self, request: Request) -> None:
        """End the browser's log-in, whichever agent's it is."""
        self._auth.log_out(self._token(request))

    def present(self, request: Request) -> Response:
        """The browser's log-in; 401 without one."""
        return self.answer(self._token(request), request)

    def answer(self, token: str, request: Request) -> Response:
        login = self._auth.login_of(token)
        access = self._access
        if login is None:
            return unauthorized(
                sign_in=self.way,
                sign_out_url=access.sign_out_url,
                frame_ancestors=access.frame_ancestors,
            )
        left = self._auth.seconds_left(login)
        rules = self._service.work_rules()
        body = SessionOut(
            agent=login.agent,
            name=self._name(login.agent) or login.agent,
            expires=schemas.iso_time(time.time() + left),
            sign_in=self.way,
            sign_out_url=access.sign_out_url,
            frame_ancestors=list(access.frame_ancestors),
            pause_reasons=list(rules.pause_reasons),
            other_pause_reasons=rules.other_pause_reasons,
        )
        response = json_response(200, body.model_dump(mode="json"), {"Cache-Control": "no-store"})
        embedded = access.embeddable(request.scope)
        set_session(response, request.scope, token, int(left), embedded=embedded)
        return response

    def ended(self, request: Request) -> Response:
        response = Response(status_code=204)
        embedded = self._access.embeddable(request.scope)
        set_session(response, request.scope, "", 0, embedded=embedded)
        return response

    def _token(self, request: Request) -> str:
        scope = request.scope
        return session_token(scope, self._auth, self._access.user(scope)) or ""

    def _name(self, agent: str) -> str | None:
        try:
            return self._service.agent(agent).name
        except UnknownAgent:
            return None


def add_session_routes(
    app: FastAPI,
    service: TransferService,
    auth: Authenticator,
    access: PanelAccess,
    described: Responses,
) -> Callable[[Request], Response]:
    """``described``: the error responses, for the API's description.

    Returns what answers GET /v1/session, for the page that comes with the answer.
    """
    sessions = _Sessions(service, auth, access)
    _add_sign_in(app, auth, access, sessions, described)

    @app.get("/v1/session", response_model=SessionOut, responses=described)
    async def session(request: Request) -> Response:
        """Who is logged in by the panel's cookie."""
        return sessions.present(request)

    @app.delete("/v1/session", status_code=204, response_class=Response, responses=described)
    async def sign_out(request: Request) -> Response:
        """Log out here; needs the header X-AVP-Panel."""
        sessions.end(request)
        return sessions.ended(request)

    @app.delete("/v1/sessions", status_code=204, response_class=Response, responses=described)
    async def sign_out_everywhere(
        request: Request, principal: Annotated[Principal, Depends(principal_of)]
    ) -> Response:
        """End every log-in of this agent, in all browsers and programs."""
        if principal.agent is None:
            raise Forbidden
        auth.log_out_everywhere(principal.agent)
        return sessions.ended(request)

    return sessions.present


def _add_sign_in(
    app: FastAPI,
    auth: Authenticator,
    access: PanelAccess,
    sessions: _Sessions,
    described: Responses,
) -> None:
    @app.post("/v1/session", response_model=SessionOut, responses=described)
    async def sign_in(body: schemas.LoginIn, request: Request) -> Response:
        """Log in at the panel; needs the header X-AVP-Panel. The cookie is the answer."""
        if sessions.way == "proxy":
            return error(403, "single_sign_on", say("errors.single_sign_on"))
        devices = device_values(request.scope)
        secure = is_secure(request.scope)
        try:
            token = await auth.login(
                body.agent, body.pin, address_of(request), devices=devices, secure=secure
            )
        except (LoginFailed, LoginLimited) as refused:
            return login_refused(refused)
        sessions.end(request)
        response = sessions.answer(token, request)
        known = auth.devices.remember(body.agent, devices)
        set_device(response, request.scope, known, embedded=access.embeddable(request.scope))
        return response

    @app.post(PROXY_SESSION_PATH, response_model=SessionOut, responses=described)
    async def sign_in_by_proxy(request: Request) -> Response:
        """Log in as the user whom the reverse proxy names; needs the header X-AVP-Panel."""
        user = access.user(request.scope)
        if user is None:
            return error(403, "single_sign_on", say("errors.no_single_sign_on"))
        if not user:
            return error(401, "no_user", say("errors.no_user"))
        try:
            token = auth.login_by_proxy(user, sessions.exists, secure=is_secure(request.scope))
        except LoginFailed:
            said = say("errors.unknown_user", user=user)
            return error(403, "unknown_user", said, user=user)
        sessions.end(request)
        return sessions.answer(token, request)
