"""The panel's two cookies: the session, and the device (a browser that the agent has used).

Over TLS their names begin with ``__Host-``: browsers accept such a cookie from this host only
(RFC 6265bis, section 4.1.3.2), while any other site of the same domain can add one with a plain
name. So a request can contain several cookies of one name. All of them are checked, regardless of
their order; the maximum size of a request's head limits their number.

A panel that other pages may embed needs cookies that a browser sends from a frame: SameSite=None
instead of Strict. They are Partitioned (CHIPS): a browser keeps one for each site that embeds the
panel, and sends it only from there. What `asterisk_avp.api.http.TokenCheck` does against requests
of other sites does not depend on SameSite.
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


def session_token(scope: Scope, auth: Authenticator, user: str | None = None) -> str | None:
    """The valid log-in token in a request's cookies; None: none.

    ``user``: whom the proxy names, with single sign-on (see `Authenticator.cookie_of`).
    """
    return auth.cookie_of(values(scope, SESSION_COOKIE), user)


def device_values(scope: Scope) -> list[str]:
    return [value for value, _ in values(scope, DEVICE_COOKIE)]


def set_session(
    response: Response, scope: Scope, token: str, seconds: int, *, embedded: bool = False
) -> None:
    """``embedded``: a browser sends it also from a frame in another site's page."""
    _set(response, scope, SESSION_COOKIE, token, seconds, embedded=embedded)


def set_device(response: Response, scope: Scope, value: str, *, embedded: bool = False) -> None:
    _set(response, scope, DEVICE_COOKIE, value, DEVICE_DAYS * 86_400, embedded=embedded)


def _set(
    response: Response, scope: Scope, cookie: str, value: str, seconds: int, *, embedded: bool
) -> None:
    secure = is_secure(scope)
    partitioned = embedded and secure
    response.set_cookie(
        _HOST + cookie if secure else cookie,
        value,
        max_age=seconds,
        path="/",
        secure=secure,
        httponly=True,
        samesite="none" if partitioned else "strict",
    )
    if partitioned:  # which Python's cookies know from 3.14 on
        name, line = response.raw_headers.pop()
        response.raw_headers.append((name, line + b"; Partitioned"))


def _all(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[str, str]]:
    """Name and value of every cookie in all ``Cookie`` headers."""
    for header, line in headers:
        if header == b"cookie":
            for part in line.decode("latin-1").split(";"):
                name, _, value = part.strip().partition("=")
                yield name, value
