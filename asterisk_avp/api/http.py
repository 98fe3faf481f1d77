"""Middlewares and handlers for all requests: token, size of the body, format of errors."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asterisk_avp.api.auth import Authenticator, LoginFailed, LoginLimited, Principal
from asterisk_avp.api.connections import network_of
from asterisk_avp.api.cookies import SESSION_COOKIE, is_secure, values
from asterisk_avp.api.invalid import details as invalid_details
from asterisk_avp.api.invalid import not_json
from asterisk_avp.api.languages import say, translated
from asterisk_avp.api.panel_access import PanelAccess
from asterisk_avp.api.throttle import BELIEVED, PRINCIPAL
from asterisk_avp.core.model.errors import (
    AmiError,
    AriError,
    AsteriskBusy,
    AsteriskUnavailable,
    Refused,
    UnknownAgent,
    UnknownGroup,
    UnknownParty,
    UnknownTransfer,
    WrongState,
)

log = structlog.get_logger(__name__)

SESSION_PATH = "/v1/session"
PROXY_SESSION_PATH = "/v1/session/proxy"
_SESSION_PATHS = frozenset({SESSION_PATH, PROXY_SESSION_PATH})
_OPEN_PATHS = _SESSION_PATHS | {"/v1/login"}
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_OTHER_SITES = frozenset({"cross-site", "same-site"})
"""Values of Sec-Fetch-Site (W3C Fetch Metadata) in requests that another site's page has caused."""

PANEL_HEADER = "x-avp-panel"
"""A header that only a page of this server can send together with the agent's cookie."""
AGENT_HEADER = "x-avp-agent"
"""The agent that a page takes itself for.

All tabs of a browser share its cookie. If another agent logs in in one of them, the others would
act as that agent.
"""


class Forbidden(Exception):
    """The token is valid, but for another agent."""


def json_response(
    status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
    return Response(body, status, dict(headers or {}), media_type="application/json")


def model_response(
    content: BaseModel | Sequence[BaseModel],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Serialise models directly; FastAPI would validate and copy each object."""
    models = [content] if isinstance(content, BaseModel) else content
    try:
        texts = [model.model_dump_json().encode() for model in models]
    except PydanticSerializationError:  # an unpaired surrogate
        plain = [model.model_dump() for model in models]
        texts = [
            json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") for value in plain
        ]
    body = texts[0] if isinstance(content, BaseModel) else b"[" + b",".join(texts) + b"]"
    return Response(body, status, headers, media_type="application/json")


def error(
    status: int,
    code: str,
    message: str,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    return json_response(status, {"error": code, "message": message, **more}, headers)


def unauthorized(**more: Any) -> Response:
    return error(
        401,
        "unauthorized",
        say("errors.unauthorized"),
        {"WWW-Authenticate": "Bearer"},
        **more,
    )


def login_refused(refused: LoginFailed | LoginLimited) -> Response:
    if isinstance(refused, LoginLimited):
        wait = refused.retry_after_seconds
        return error(
            429,
            "too_many_attempts",
            say("errors.too_many_attempts", seconds=wait),
            {"Retry-After": str(wait)},
        )
    return error(401, "unauthorized", say("errors.log_in_failed"))


def cross_site() -> Response:
    return error(403, "cross_site", say("errors.cross_site"))


def other_agent() -> Response:
    return error(403, "other_agent", say("errors.other_agent"))


def bearer_token(authorization: str | None) -> str | None:
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


_ORIGIN = re.compile(r"(https?)://([^/?#@,\s]+)", re.IGNORECASE)


def same_origin(origin: str | None, host: str | None, *, secure: bool = False) -> bool:
    """Whether a request's ``Origin``, if present, is this server.

    ``secure``: whether the request came over TLS; the page must then use TLS too. Otherwise schemes
    are not compared, because a proxy may terminate TLS without telling us.
    """
    if origin is None:
        return True
    found = _ORIGIN.fullmatch(origin)
    if found is None or not host:  # such as null
        return False
    scheme = found[1].lower()
    if secure and scheme != "https":
        return False
    default = ":443" if scheme == "https" else ":80"
    return found[2].lower().removesuffix(default) == host.lower().removesuffix(default)


def address_of(request: Request) -> str:
    """The network of a request's client, as used for limits."""
    return network_of(request.client.host if request.client else "")


async def principal_of(request: Request) -> Principal:
    """The principal of a request, as stored by `TokenCheck`.

    A coroutine, since FastAPI sends each call of a plain function to a thread and back.
    """
    return cast("Principal", request.scope[PRINCIPAL])


class TokenCheck:
    """Refuse requests to /v1 without a valid token before reading them.

    A browser sends the panel's cookie with every request, whatever page caused it, unless the
    cookie's own attributes prevent that, which they cannot in a panel that other pages embed. So a
    request that is authenticated by cookie must not come from another site's page, and if it
    changes anything, it needs a header that such a page cannot send.
    """

    def __init__(self, app: ASGIApp, auth: Authenticator, access: PanelAccess) -> None:
        self._app = app
        self._auth = auth
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if scope["type"] == "http" and path.startswith("/v1/"):
            headers = {
                name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
            }
            user = self._access.user(scope)
            # Proxies with single sign-on may add an Authorization of their own.
            by_cookie = "authorization" not in headers or bool(user)
            sessions = values(scope, SESSION_COOKIE) if by_cookie else []
            if sessions:
                token = self._auth.cookie_of(sessions, user)
            else:
                token = bearer_token(headers.get("authorization"))
            if (sessions or path in _SESSION_PATHS) and _of_another_site(scope, headers):
                await cross_site()(scope, receive, send)
                return
            principal = self._auth.identify(token)
            believed = headers.get(AGENT_HEADER)
            if sessions and principal and believed not in (None, principal.agent):
                await other_agent()(scope, receive, send)
                return
            if principal is None and path not in _OPEN_PATHS:
                await unauthorized()(scope, receive, send)
                return
            scope[PRINCIPAL], scope[BELIEVED] = principal, token
        await self._app(scope, receive, send)


def _of_another_site(scope: Scope, headers: Mapping[str, str]) -> bool:
    """Whether another site's page may have caused a request that is authenticated by cookie."""
    if not same_origin(headers.get("origin"), headers.get("host"), secure=is_secure(scope)):
        return True
    if headers.get("sec-fetch-site") in _OTHER_SITES:
        return True
    return scope["method"] not in _SAFE_METHODS and PANEL_HEADER not in headers


class BodyLimit:
    """Answer 413 to a body of more than ``limit`` bytes, whether announced or not.

    Answer 408 to a body that is incomplete after ``seconds``, so that a slow client cannot occupy
    its connection and the daemon's memory indefinitely.
    """

    def __init__(self, app: ASGIApp, limit: int, seconds: float) -> None:
        self._app = app
        self._limit = limit
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._limit:
            await self._too_large(scope, receive, send)
            return
        # Read the whole body first: the limit is small, and a refusal is then possible.
        try:
            async with asyncio.timeout(self._seconds):
                body = await self._read(receive)
        except TimeoutError:
            late = say("errors.too_slow", seconds=f"{self._seconds:g}")
            await self._refuse(error(408, "too_slow", late), scope, receive, send)
            return
        if body is None:
            return
        if len(body) > self._limit:
            await self._too_large(scope, receive, send)
            return
        handed_on = False

        async def whole() -> Message:
            nonlocal handed_on
            if handed_on:
                return await receive()
            handed_on = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, whole, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The body, truncated once it exceeds the limit; None: the client has disconnected."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self._limit or not message.get("more_body", False):
                return bytes(body)

    async def _too_large(self, scope: Scope, receive: Receive, send: Send) -> None:
        text = say("errors.too_large", bytes=self._limit)
        await self._refuse(error(413, "too_large", text), scope, receive, send)

    @staticmethod
    async def _refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        response.headers["Connection"] = "close"
        await response(scope, receive, send)


def add_error_handlers(app: FastAPI) -> None:
    """Return every error as ``{"error": code, "message": …}`` with its status."""

    @app.exception_handler(Refused)
    async def refused(_request: Request, exc: Refused) -> Response:
        message = translated(f"refused.{exc.reason}", exc.message)
        return error(403, "refused", message, reason=exc.reason)

    @app.exception_handler(Forbidden)
    async def forbidden(_request: Request, _exc: Forbidden) -> Response:
        return error(403, "forbidden", say("errors.forbidden"))

    @app.exception_handler(UnknownAgent)
    async def unknown_agent(_request: Request, _exc: UnknownAgent) -> Response:
        return error(404, "not_found", say("errors.unknown_agent"))

    @app.exception_handler(UnknownGroup)
    async def unknown_group(_request: Request, _exc: UnknownGroup) -> Response:
        return error(404, "not_found", say("errors.unknown_group"))

    @app.exception_handler(UnknownParty)
    async def unknown_party(_request: Request, _exc: UnknownParty) -> Response:
        return error(404, "not_found", say("errors.unknown_party"))

    @app.exception_handler(UnknownTransfer)
    async def unknown_transfer(_request: Request, _exc: UnknownTransfer) -> Response:
        return error(404, "not_found", say("errors.unknown_transfer"))

    @app.exception_handler(WrongState)
    async def wrong_state(_request: Request, exc: WrongState) -> Response:
        message = translated(f"errors.{exc.key}", str(exc)) or say("errors.wrong_state")
        return error(409, "wrong_state", message)

    async def unavailable(_request: Request, exc: Exception) -> Response:
        log.warning("asterisk_request_failed", error=str(exc))
        return error(503, "asterisk_unavailable", say("errors.asterisk_unavailable"))

    @app.exception_handler(AsteriskBusy)
    async def busy(_request: Request, exc: AsteriskBusy) -> Response:
        wait = {"Retry-After": str(exc.retry_seconds)}
        return error(503, "asterisk_busy", say("errors.asterisk_busy"), wait)

    for kind in (AsteriskUnavailable, AriError, AmiError):
        app.add_exception_handler(kind, unavailable)

    def malformed(details: list[dict[str, Any]]) -> Response:
        return error(422, "malformed", say("errors.malformed"), details=details)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, exc: RequestValidationError) -> Response:
        return malformed(invalid_details(exc.errors()))

    @app.exception_handler(HTTPException)
    async def http_error(_request: Request, exc: HTTPException) -> Response:
        if exc.status_code == 400:  # noqa: PLR2004 - FastAPI's answer to a body of no encoding
            return malformed(not_json())
        code = {404: "not_found", 405: "method_not_allowed"}.get(exc.status_code, "bad_request")
        message = translated(f"errors.{code}", str(exc.detail))
        return error(exc.status_code, code, message, exc.headers)

    @app.exception_handler(Exception)
    async def internal(_request: Request, _exc: Exception) -> Response:
        # The server logs the traceback.
        return error(500, "internal", say("errors.internal"))
