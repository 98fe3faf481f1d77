"""Build and send ARI requests, and map responses to errors."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import aiohttp
import structlog
from yarl import URL

from asterisk_avp.ari.request_sockets import RequestSockets
from asterisk_avp.core.messages import clean
from asterisk_avp.core.model.errors import (
    AriError,
    AriGone,
    AsteriskSilent,
    AsteriskUnavailable,
    UncleanValue,
)

log = structlog.get_logger(__name__)

Query = Mapping[str, str | int | None]

#: 404: not found. 409: not in Stasis, or in another state. 422: not in this bridge. After a hang-up
#: that precedes the request, Asterisk answers with any of the three.
_GONE = frozenset({404, 409, 422})

_JSON = {"Content-Type": "application/json"}

#: Asterisk closes an idle HTTP connection after `session_keep_alive`, 15 s by default. aiohttp has
#: the same default, and a request sent at that moment would fail. So we close earlier.
_KEEP_ALIVE_SECONDS = 5.0
#: Asterisk's http.conf allows 100 sessions by default, for everyone.
_MAX_CONNECTIONS = 20


class AriRest:
    """Requests to one Asterisk.

    Only the `Authorization` header contains the password, never a URL, because URLs are logged.
    """

    def __init__(self, url: str, username: str, password: str, *, timeout_seconds: float) -> None:
        self.base = _base_url(url)
        self.username = username
        if ":" in username:
            raise ValueError("an ARI user name cannot contain a colon")
        # aiohttp's BasicAuth is deprecated, and its successor is too recent to rely on.
        credentials = base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
        self._authorization = f"Basic {credentials}"
        self._timeout_seconds = timeout_seconds
        self._session: aiohttp.ClientSession | None = None
        self._sockets: RequestSockets | None = None
        self.gate: Callable[[], Awaitable[None]] | None = None
        """Awaited before each request."""

    def session(self) -> aiohttp.ClientSession:
        """The HTTP session, created on first use because it belongs to the running loop."""
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=_MAX_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE_SECONDS
                ),
                headers={"Authorization": self._authorization},
                timeout=aiohttp.ClientTimeout(total=self._timeout_seconds),
            )
        return self._session

    def use_sockets(self, sockets: RequestSockets | None) -> None:
        """Send small requests by these, at less cost than by HTTP; None: by HTTP."""
        self._sockets = sockets

    async def close(self) -> None:
        """Close the HTTP session; requests in flight fail."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self,
        method: str,
        segments: Sequence[str],
        query: Query | None = None,
        body: Any = None,
        *,
        seconds: float | None = None,
    ) -> Any:
        """Send one request and return the JSON of its response; None: no body.

        `segments` are the unquoted parts of the path below `/ari`. Entries of `query` that are None
        are omitted. `seconds` overrides the request timeout. Raises `AriGone`, `AriError` or
        `AsteriskUnavailable`. For an unclean value (`core.messages.clean`), raises `AriError` as if
        Asterisk had refused it, and sends nothing.
        """
        path = _path(segments)
        what = f"ARI {method} {path}"
        try:
            clean.check_request(query or {}, body)
        except UncleanValue as error:
            log.error("unclean_value", request=what, variable=error.what)  # noqa: TRY400
            raise AriError(400, f"{what}: {error}") from None
        if self.gate is not None:
            await self.gate()
        seconds = self._timeout_seconds if seconds is None else seconds
        try:
            status, text = await self._exchange(method, path, query, body, seconds)
        except TimeoutError:
            raise AsteriskSilent(f"{what}: no answer within {seconds} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise AsteriskUnavailable(f"{what}: {str(error) or type(error).__name__}") from None
        if not 200 <= status < 300:  # noqa: PLR2004 - the class of success
            raise _error(what, status, text)
        if not text:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise AsteriskUnavailable(f"{what}: the response is not JSON") from None

    async def _exchange(
        self, method: str, path: str, query: Query | None, body: Any, seconds: float
    ) -> tuple[int, str]:
        """The status and text of the response. Raises `TimeoutError`, `OSError`, `ClientError`."""
        content = None if body is None else json.dumps(body)
        # Lists of all channels or bridges can be longer than a WebSocket frame.
        if self._sockets is not None and (method != "GET" or path.count("/") > 1):
            uri = path.removeprefix("/") + _tail(query)
            reply = await self._sockets.request(method, uri, content, seconds)
            if reply is not None:
                return reply.status, reply.text
        async with self.session().request(
            method,
            self.url(path, query),
            data=content,
            headers=_JSON if content is not None else None,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=seconds),
        ) as response:
            return response.status, await response.text(errors="replace")

    def url(self, path: str, query: Query | None = None) -> URL:
        """The URL of a quoted path, exactly as sent."""
        return URL(self.base + path + _tail(query), encoded=True)


def _tail(query: Query | None) -> str:
    pairs = {name: value for name, value in (query or {}).items() if value is not None}
    # %20 instead of +: Asterisk decodes both as a space, but a proxy may not.
    return "?" + urlencode(pairs, quote_via=quote, safe="") if pairs else ""


def _base_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("the ARI URL must not contain a user name or password")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("the ARI URL must look like http://127.0.0.1:8088/ari")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") or "/ari", "", ""))


def _path(segments: Sequence[str]) -> str:
    """Join path segments such as channel ids, which may contain `/`, `?`, `%` or `+`."""
    # Asterisk stops at an empty segment: DELETE /bridges//… would affect all bridges.
    if not all(segments):
        raise ValueError("an ARI id is empty")
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def _error(what: str, status: int, text: str) -> AriError | AsteriskUnavailable:
    reason = _reason(text)
    if status in _GONE:
        return AriGone(status, f"{what}: {reason}")
    # Asterisk answers 500 both for internal errors and for a request that fails, such as an
    # originate to an unknown endpoint. Only the latter has a reason.
    if status > 500 or (status == 500 and not reason):  # noqa: PLR2004
        return AsteriskUnavailable(f"{what}: Asterisk answered {status} {reason}".rstrip())
    if status in {401, 403}:
        reason = f"{reason or 'refused'} (see the user's entry in ari.conf)"
    return AriError(status, f"{what}: {reason or 'no reason given'}")


def _reason(text: str) -> str:
    """The message in an error's body: `message`, or `error` after a failed originate."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(body, dict):
        return ""
    return str(body.get("message") or body.get("error") or "")
