"""How people reach the panel: in a frame of another page, and by the log-in of a reverse proxy.

With `PanelAccess.user_header` a trusted proxy names the user of each request (single sign-on). The
header counts only in a request that comes directly from such a proxy; in any other it is not read.
A panel's cookie is then valid only together with the user for whom it was issued. So a cookie that
leaks is worth nothing without the proxy, and the proxy's next user gets nothing of the last one's.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from asterisk_avp.api.connections import Proxies
from asterisk_avp.api.cookies import is_secure

_FROM_PROXY: Final = "avp_from_trusted_proxy"
"""The key in a request's scope that says that its peer is a trusted proxy."""
SECRET_HEADER: Final = "X-AVP-Proxy-Secret"  # noqa: S105 - the name of a header
_MOST_CHARACTERS: Final = 200
"""Of a user's name, as in the settings."""


class FromProxy:
    """Mark the requests whose peer is one of the trusted ``proxies``.

    This must see them before ``X-Forwarded-For`` replaces the peer's address by the client's.
    """

    def __init__(self, app: ASGIApp, proxies: Proxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        scope[_FROM_PROXY] = client is not None and client[0] in self._proxies
        await self._app(scope, receive, send)


@dataclass(frozen=True, slots=True)
class PanelAccess:
    """``frame_ancestors``: the origins of the pages that may embed the panel.

    ``user_header``: the header in which a trusted proxy names the user; None: agents log in with
    their PINs. ``sign_out_url``: the proxy's own sign-out. ``secret``: what the proxy must send in
    `SECRET_HEADER` as well; empty: nothing.
    """

    frame_ancestors: tuple[str, ...] = ()
    user_header: str | None = None
    sign_out_url: str | None = None
    secret: str = field(default="", repr=False)

    def embeddable(self, scope: Scope) -> bool:
        """Whether this request is from a browser that may show the panel in a frame.

        Only over TLS: a browser keeps the cookie of an embedded page only with ``Secure``.
        """
        return bool(self.frame_ancestors) and is_secure(scope)

    def user(self, scope: Scope) -> str | None:
        """The user that a trusted proxy names; "": none, or not one; None: no single sign-on."""
        if self.user_header is None:
            return None
        if not scope.get(_FROM_PROXY) or not self._has_secret(scope):
            return ""
        named = _values(scope, self.user_header)
        if len(named) != 1:
            return ""  # with two of them, one may be the client's
        try:
            user = named[0].decode("utf-8").strip()
        except UnicodeDecodeError:
            return ""
        return user if user.isprintable() and len(user) <= _MOST_CHARACTERS else ""

    def _has_secret(self, scope: Scope) -> bool:
        if not self.secret:
            return True
        sent = _values(scope, SECRET_HEADER)
        return len(sent) == 1 and hmac.compare_digest(sent[0], self.secret.encode("ascii"))


def _values(scope: Scope, name: str) -> list[bytes]:
    key = name.lower().encode("ascii")
    return [value for header, value in scope["headers"] if header == key]
