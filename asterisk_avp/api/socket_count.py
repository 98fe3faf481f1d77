"""The limit of WebSockets for each token, and for each agent over all of their log-ins.

Each takes a file descriptor and a copy of every event. At the limit, a new one is refused and the
existing ones stay, so that a stolen token cannot disconnect the agent's panel.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Final

from starlette.responses import Response

from asterisk_avp.api.auth import Principal
from asterisk_avp.api.http import error
from asterisk_avp.api.languages import say

MAX_PER_TOKEN: Final = 20
"""Enough for the tabs of one person."""
MAX_PER_AGENT: Final = 60

TOO_MANY: Final = 4429
"""Close code of a WebSocket whose token came as a first message."""


class SocketCount:
    """Count WebSockets without storing tokens."""

    def __init__(self) -> None:
        self._of: Counter[str] = Counter()

    def full(self, token: str, principal: Principal) -> bool:
        one, agent = self._keys(token, principal)
        return self._of[one] >= MAX_PER_TOKEN or self._of[agent] >= MAX_PER_AGENT

    @contextlib.contextmanager
    def one_more(self, token: str, principal: Principal) -> Iterator[None]:
        keys = self._keys(token, principal)
        self._of.update(keys)
        try:
            yield
        finally:
            self._of.subtract(keys)
            for key in keys:
                if not self._of[key]:
                    del self._of[key]

    @staticmethod
    def _keys(token: str, principal: Principal) -> tuple[str, str]:
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        # An integration is identified by its token.
        return f"token {digest}", f"agent {principal.agent or digest}"


def too_many() -> Response:
    """The response to a handshake."""
    return error(
        429,
        "too_many_connections",
        say("errors.too_many_connections", token=MAX_PER_TOKEN, agent=MAX_PER_AGENT),
        {"Retry-After": "10"},
    )
