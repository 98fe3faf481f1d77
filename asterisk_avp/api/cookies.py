"""The panel's two cookies: a log-in, and that this browser is one of the agent's.

Over TLS their names begin with ``__Host-``: browsers take such a cookie from this very host only
(RFC 6265bis, section 4.1.3.2), while one with a plain name can be added by any other site of the
same domain. So a request may carry several of one name, and which of them is the good one is found
out by looking at all of them (a head's size is their limit), not by the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from starlette.responses import Response
from starlette.types import Scope

from asterisk_avp.api.auth import Authenticator
from asterisk_avp.api.devices import DEVICE_DAYS

SESSION_COOKIE: Final = "avp_session"
DEVICE_COOKIE: Final = "avp_device"
_HOST: Final = "__Host-"


def is_secure(scope: Scope) -> bool:
    """Whether the browser spoke TLS, to us or to a proxy that we believe."""
    return scope.get("scheme") in {"https", "wss"}


def values(scope: Scope, cookie: str) -> list[tuple[str, bool]]:
    """The values of a cookie, and whether each has the name that only we can set; those first."""
    found = [
        (value, name != cookie)
        for name, value in _all(scope["headers"])
        if name in {cookie, _HOST + cookie} and value
    ]
    return sorted(found, key=lambda each: not each[1])


def session_token(scope: Scope, auth: Authenticator) -> str | None:
    """The token of the log-in that a request's cookies have, if any of them is valid."""
    return auth.cookie_of(values(scope, SESSION_COOKIE))


def device_values(scope: Scope) -> list[str]:
    return [value for value, _ in values(scope, DEVICE_COOKIE)]


def set_session(response: Response, scope: Scope, token: str, seconds: int) -> None:
    _set(response, scope, SESSION_COOKIE, token, seconds)


def set_device(response: Response, scope: Scope, value: str) -> None:
    _set(response, scope, DEVICE_COOKIE, value, DEVICE_DAYS * 86_400)


def _set(response: Response, scope: Scope, cookie: str, value: str, seconds: int) -> None:
    secure = is_secure(scope)
    response.set_cookie(
        _HOST + cookie if secure else cookie,
        value,
        max_age=seconds,
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )


def _all(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[str, str]]:
    """Name and value of every cookie, of however many ``Cookie`` lines there are."""
    for header, line in headers:
        if header == b"cookie":
            for part in line.decode("latin-1").split(";"):
                name, _, value = part.strip().partition("=")
                yield name, value
