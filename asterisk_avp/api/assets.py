"""The panel's static files as browsers get them: few, compressed, and cached for good.

A page's modules are joined into one script (`bundle`), its style sheets into one. Both, and what
they refer to, are at `/panel/<version>/…`, where the version is a hash of all files: a browser
never asks for them again, and a new version has other addresses. Each is compressed once, when it
is first asked for.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from asterisk_avp.api.bundle import bundle

_TYPES: Final = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
_SMALL: Final = 400
"""Bytes from which compression pays: below, an answer is one packet anyway."""

REVALIDATED: Final = "no-cache"
"""Asked for each time (304 if unchanged), so that a reload gets a new version."""
FOR_GOOD: Final = "public, max-age=31536000, immutable"

_SCRIPT: Final = re.compile(r'<script type="module" src="/panel/([\w.-]+)\.js"></script>')
_STYLE: Final = re.compile(r'\n?[^\S\n]*<link rel="stylesheet" href="/panel/([\w./-]+)">')
_ADDRESS: Final = re.compile(r'(?<=")/panel/(?=[\w./-]+")')
_LINE_COMMENT: Final = re.compile(r"^[^\S\n]*//.*\n", re.MULTILINE)
_BLOCK_COMMENT: Final = re.compile(r"^[^\S\n]*/\*.*?\*/[^\S\n]*\n", re.MULTILINE | re.DOTALL)
_INDENT: Final = re.compile(r"^[^\S\n]+", re.MULTILINE)


class Asset:
    """A file with its headers, in the encodings that browsers take."""

    def __init__(self, name: str, body: bytes) -> None:
        suffix = "." + name.rpartition(".")[2]
        self.body = body
        self.media_type = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "text/plain"
        tag = hashlib.sha256(body).hexdigest()[:20]
        self.etag, self.packed_etag = f'"{tag}"', f'"{tag}-gzip"'

    @cached_property
    def packed(self) -> bytes | None:
        """Compressed, when the first browser asks for it; None: that would not be shorter."""
        packed = gzip.compress(self.body, 9, mtime=0) if len(self.body) >= _SMALL else self.body
        return packed if len(packed) < len(self.body) else None

    def response(
        self, request: Request, headers: Mapping[str, str], vary: str = "Accept-Encoding"
    ) -> Response:
        """The file or 304, with these headers and its own."""
        packed = _takes_gzip(request.headers.get("accept-encoding")) and self.packed is not None
        own = {"ETag": self.packed_etag if packed else self.etag, "Vary": vary}
        if packed:
            own["Content-Encoding"] = "gzip"
        asked = request.headers.get("if-none-match", "")
        if own["ETag"] in (tag.strip().removeprefix("W/") for tag in asked.split(",")):
            own.pop("Content-Encoding", None)
            return Response(status_code=304, headers={**headers, **own})
        body = self.packed if packed else self.body
        return Response(body, media_type=self.media_type, headers={**headers, **own})


def _takes_gzip(accepted: str | None) -> bool:
    """Whether ``Accept-Encoding`` allows gzip (RFC 9110, section 12.5.3)."""
    weights: dict[str, float] = {}
    for part in (accepted or "").lower().split(","):
        coding, _, parameter = part.partition(";")
        name, _, value = parameter.strip().partition("=")
        try:
            weights[coding.strip()] = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            weights[coding.strip()] = 0.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0


class Assets:
    """``files`` by their path below `/panel/`; ``pages`` are those of them that are HTML."""

    def __init__(self, files: Mapping[str, bytes], pages: Mapping[str, bytes]) -> None:
        whole = hashlib.sha256()
        for name, body in sorted({**files, **pages}.items()):
            whole.update(f"{name}\0{len(body)}\0".encode() + body)
        self.version = whole.hexdigest()[:16]
        self.pages = {}
        joined = dict(files)
        for name, body in pages.items():
            html, more = self._joined(name, body.decode(), files)
            self.pages[name] = html.encode()
            joined |= more
        self._plain = {name: Asset(name, body) for name, body in files.items()}
        self._versioned = {
            f"{self.version}/{name}": self._plain.get(name) or Asset(name, body)
            for name, body in joined.items()
        }

    def response(self, path: str, request: Request, headers: Mapping[str, str]) -> Response | None:
        """The answer for a path below `/panel/`; None: there is no such file."""
        found = self._versioned.get(path)
        if found is not None:
            return found.response(request, {**headers, "Cache-Control": FOR_GOOD})
        found = self._plain.get(path)
        return None if found is None else found.response(request, headers)

    def _joined(
        self, name: str, html: str, files: Mapping[str, bytes]
    ) -> tuple[str, dict[str, bytes]]:
        """A page with one script and one style sheet, and these two."""
        more = {}
        stem = name.removesuffix(".html")
        scripts = {name: body.decode() for name, body in files.items() if name.endswith(".js")}
        script = _SCRIPT.search(html)
        if script is not None:
            text = _without_comments(bundle(scripts, f"{script[1]}.js"))
            more[f"{stem}.bundle.js"] = text.encode()
            html = html.replace(
                script[0], script[0].replace(f"{script[1]}.js", f"{stem}.bundle.js")
            )
        styles = list(_STYLE.finditer(html))
        if styles:
            sheets = "\n".join(files[style[1]].decode() for style in styles)
            more[f"{stem}.bundle.css"] = _without_comments(sheets).encode()
            one = styles[0][0].replace(styles[0][1], f"{stem}.bundle.css")
            html = html.replace(styles[0][0], one, 1)
            for style in styles[1:]:
                html = html.replace(style[0], "", 1)
        return _ADDRESS.sub(f"/panel/{self.version}/", html), more


def _without_comments(script: str) -> str:
    """A script or style sheet without lines that are comments, and without indents.

    The sources have no text that spans lines; the panel's tests run on the result.
    """
    return _INDENT.sub("", _LINE_COMMENT.sub("", _BLOCK_COMMENT.sub("", script)))
