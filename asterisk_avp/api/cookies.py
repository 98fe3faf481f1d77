"""The panel's two cookies: the session, and the device (a browser that the agent has used).

Over TLS their names begin with ``__Host-``: browsers accept such a cookie from this host only
(RFC 6265bis, section 4.1.3.2), while any other site of the same domain can add one with a plain
name. So a request can contain several cookies of one name. All of them are checked, regardless of
their order; the maximum size of a request's head limits their number.
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
    """Whether the browser used TLS, to us or to a trusted proxy."""
    return scope.get("scheme") in {"https", "wss"}


def values(scope: Scope, cookie: str) -> list[tuple[str, bool]]:
    """The values of a cookie, each with whether its name is the one that only we can set.

    Those with that name come first.
    """
    found = [
        (value, name != cookie)
        for name, value in _all(scope["headers"])
        if name in {cookie, _HOST + cookie} and value
    ]
    return sorted(found, key=lambda each: not each[1])


def session_token(scope: Scope, auth: Authenticator) -> str | None:
    """The valid log-in token in a request's cookies; None: none."""
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
    """Name and value of every cookie in all ``Cookie`` headers."""
    for header, line in headers:
        if header == b"cookie":
            for part in line.decode("latin-1").split(";"):
                name, _, value = part.strip().partition("=")
                yield name, value
