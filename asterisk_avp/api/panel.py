"""The agent panel at `/`: static files, and what a browser needs to be told about them.

The page is plain files of this package, without a build step or external resources; browsers get
them joined and compressed (`assets`). It comes in the language that the setting or the browser asks
for: `index.html` names it, and preloads the catalogue that the page fetches. It also contains the
answer to the page's first request, who is signed in, and the form for signing in, so that agents on
a slow line see it before the page's script has arrived.
All other data comes from the API under the agent's own cookie (see `http.TokenCheck`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from html import escape
from http import HTTPStatus
from importlib import resources
from importlib.resources.abc import Traversable

import structlog
from fastapi import FastAPI, Request
from starlette.responses import Response

from asterisk_avp.api.assets import REVALIDATED, Asset, Assets
from asterisk_avp.api.languages import catalogues, negotiated
from asterisk_avp.api.panel_access import PanelAccess

log = structlog.get_logger(__name__)

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; {frames}; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_NO_FRAMES = "frame-ancestors 'none'"
_HEADERS = {
    "Content-Security-Policy": _POLICY.format(frames=_NO_FRAMES),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": REVALIDATED,
}
_SESSION = b'name="avp-session" content=""'
"""Where a page takes the answer of GET /v1/session."""
_FORM = re.compile(rb"\n\s*<!--sign-in:[^>]*-->(.*?)<!--/sign-in-->", re.DOTALL)
"""The form of a page; the spaces between its elements are not in the one that scripts make."""
_BETWEEN = re.compile(rb"(?<=>)\s+(?=<)")
_VARY = "Accept-Language, Accept-Encoding, Cookie, Sec-Fetch-Site"
_OWN_SITES = frozenset({"none", "same-origin"})
_WORD = re.compile(r"\{\{([\w.]+)\}\}")
"""Where a page has a text of the catalogue: ``{{page.title}}``."""


def files() -> dict[str, bytes]:
    """The panel's files by their path below `/panel/`."""
    return dict(_files(resources.files(__package__) / "static", ""))


def _files(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for item in folder.iterdir():
        if item.is_dir():
            yield from _files(item, f"{path}{item.name}/")
        else:
            yield path + item.name, item.read_bytes()


def _catalogue(language: str) -> bytes:
    """What the page fetches: complete, with English where the language has no words yet."""
    return json.dumps(catalogues()[language], ensure_ascii=False, separators=(",", ":")).encode()


class _Page:
    """A page in one language. ``with_form``: where nobody is signed in, and a PIN signs in."""

    def __init__(self, name: str, html: bytes) -> None:
        self.plain = Asset(name, _FORM.sub(b"", html))
        self.with_form = _FORM.sub(lambda found: _BETWEEN.sub(b"", found[1].strip()), html)

    @property
    def takes_session(self) -> bool:
        return _SESSION in self.plain.body

    def told(self, request: Request, answer: Response) -> Asset:
        """With the answer; as it is where a request of its own could be answered otherwise.

        A browser sends the cookie with the page's own requests, but not where another site leads
        to it.
        """
        if not _signed_in(answer) and request.headers.get("sec-fetch-site") not in _OWN_SITES:
            return self.plain
        body = json.loads(bytes(answer.body))
        content = {"status": answer.status_code, "body": body}
        text = escape(json.dumps(content, ensure_ascii=False, separators=(",", ":")))
        form = not _signed_in(answer) and body["sign_in"] == "pin"
        filled = _SESSION.replace(b'""', b'"' + text.encode("utf-8", "replace") + b'"')
        html = self.with_form if form else self.plain.body
        return Asset("index.html", html.replace(_SESSION, filled, 1))


def _signed_in(answer: Response) -> bool:
    return answer.status_code == HTTPStatus.OK


def _translated(html: bytes, language: str) -> bytes:
    """A page in that language: `lang`, the catalogue that it preloads, and its own words."""
    words = catalogues()[language]
    text = html.decode().replace('lang="en"', f'lang="{language}"', 1)
    text = text.replace("languages/en.json", f"languages/{language}.json", 1)
    return _WORD.sub(lambda found: escape(words[found[1]]), text).encode()


@cache
def _prepared() -> tuple[Assets, dict[tuple[str, str], _Page]]:
    """The files, and the pages by name and language."""
    contents = files()
    pages = {name: contents.pop(name) for name in list(contents) if name.endswith(".html")}
    contents |= {f"languages/{name}.json": _catalogue(name) for name in catalogues()}
    assets = Assets(contents, pages)
    return assets, {
        (name, language): _Page(name, _translated(body, language))
        for name, body in assets.pages.items()
        for language in catalogues()
    }


def _allow_frames(response: Response, access: PanelAccess) -> None:
    """Let the listed pages embed this one. X-Frame-Options cannot name them, so it goes."""
    frames = " ".join(("frame-ancestors", *access.frame_ancestors))
    response.headers["Content-Security-Policy"] = _POLICY.format(frames=frames)
    del response.headers["X-Frame-Options"]


def add_panel(
    app: FastAPI, language: str, access: PanelAccess, session: Callable[[Request], Response]
) -> None:
    """``language``: that of the page, or `BROWSER` for what each browser asks for.

    ``access``: which pages may embed it, over TLS. ``session``: the answer to GET /v1/session.
    """
    told = False
    assets, translated = _prepared()

    def say_why_not() -> None:
        nonlocal told
        if not told:
            told = True
            log.warning(
                "panel_not_embeddable",
                hint="a browser asked for the panel without TLS, or a proxy that is not in"
                " AVP_API__TRUSTED_PROXIES, or sends no X-Forwarded-Proto: https, stands before it",
            )

    def page(name: str, request: Request) -> Response:
        chosen = negotiated(request.headers.get("accept-language"), language)
        headers, found = _HEADERS | {"Content-Language": chosen}, translated[name, chosen]
        if found.takes_session:
            answer = session(request)
            if _signed_in(answer):
                headers |= {"Cache-Control": "no-store"}
            response = found.told(request, answer).response(request, headers, _VARY)
            cookies = [pair for pair in answer.raw_headers if pair[0] == b"set-cookie"]
            response.raw_headers.extend(cookies)
        else:
            response = found.plain.response(request, headers, _VARY)
        if access.embeddable(request.scope):
            _allow_frames(response, access)
        elif access.frame_ancestors:
            say_why_not()
        return response

    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        return page("index.html", request)

    @app.get("/panel/{name:path}", include_in_schema=False)
    async def file(name: str, request: Request) -> Response:
        # Only known names are served; no path reaches the file system.
        if name in assets.pages:
            return page(name, request)
        found = assets.response(name, request, _HEADERS)
        if found is None:
            return Response("There is no such file.", 404, dict(_HEADERS), "text/plain")
        return found
