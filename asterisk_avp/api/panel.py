"""The agent panel at `/`: static files, and what a browser needs to be told about them.

The page is plain files of this package, without a build step or external resources. Its data comes
from the API under the agent's own cookie (see `http.TokenCheck`).
"""

from __future__ import annotations

import hashlib
import mimetypes
from importlib import resources

from fastapi import FastAPI, Request
from starlette.responses import Response

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    # Revalidate each time (304 if unchanged), so that a reload of the page gets a new version.
    "Cache-Control": "no-cache",
}
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class _File:
    def __init__(self, name: str, body: bytes) -> None:
        suffix = "." + name.rpartition(".")[2]
        self.body = body
        self.media_type = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "text/plain"
        self.etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'

    def response(self, request: Request) -> Response:
        headers = {**_HEADERS, "ETag": self.etag}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=headers)
        return Response(self.body, media_type=self.media_type, headers=headers)


def files() -> dict[str, bytes]:
    """The panel's files by name."""
    folder = resources.files(__package__) / "static"
    return {item.name: item.read_bytes() for item in folder.iterdir() if item.is_file()}


def add_panel(app: FastAPI) -> None:
    known = {name: _File(name, body) for name, body in files().items()}
    index = known["index.html"]

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return index.response(request)

    @app.get("/panel/{name}", include_in_schema=False)
    async def file(name: str, request: Request) -> Response:
        # Only known names are served; no path reaches the file system.
        found = known.get(name)
        if found is None:
            return Response("There is no such file.", 404, dict(_HEADERS), "text/plain")
        return found.response(request)
