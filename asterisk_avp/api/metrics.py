"""`/metrics`, for Prometheus.

The metrics contain no person, call or number, but show how busy a call centre is. So local clients
may read them without a token, and others only with one.
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from starlette.responses import Response

from asterisk_avp.api.auth import Authenticator
from asterisk_avp.api.http import bearer_token, unauthorized
from asterisk_avp.api.routes import responses

_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


def add_metrics_route(app: FastAPI, auth: Authenticator, text: Callable[[], bytes]) -> None:
    @app.get(
        "/metrics",
        response_class=PlainTextResponse,
        responses=responses(401),
    )
    async def metrics(request: Request) -> Response:
        """Counts and durations in Prometheus' text format."""
        address = request.client.host if request.client else ""
        if not auth.may_scrape(bearer_token(request.headers.get("authorization")), address):
            return unauthorized()
        return Response(text(), media_type=_TEXT_FORMAT)
