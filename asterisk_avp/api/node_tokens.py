"""Tokens of the other nodes' daemons: valid for ``/v1/cluster/`` only, where no other token is."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from asterisk_avp.api.budget import Budget
from asterisk_avp.api.http import bearer_token, unauthorized
from asterisk_avp.api.throttle import Throttle

NODE: Final = "avp_node"
"""The key in a request's scope with the id of the node that asks."""


@dataclass(frozen=True, slots=True)
class NodeTokens:
    """``tokens``: by node, without this one's own, which nobody else has to show."""

    tokens: Mapping[str, str]

    def identify(self, token: str | None) -> str:
        """The node whose token it is; empty: nobody's. Takes as long for each."""
        shown = hashlib.sha256((token or "").encode("utf-8", "surrogatepass")).digest()
        found = ""
        for node, expected in self.tokens.items():
            known = hashlib.sha256(expected.encode("utf-8", "surrogatepass")).digest()
            if hmac.compare_digest(known, shown) and expected:
                found = node
        return found


class NodeTokenCheck:
    """Refuse requests without a node's token before reading them, and delay many refusals."""

    def __init__(self, app: ASGIApp, tokens: NodeTokens, refusals: Budget) -> None:
        self._app = app
        self._tokens = tokens
        self._refuse = Throttle(unauthorized(), refusals)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        shown = dict(scope["headers"]).get(b"authorization")
        token = bearer_token(shown.decode("latin-1")) if shown is not None else None
        node = self._tokens.identify(token)
        if not node:
            await self._refuse(scope, receive, send)
            return
        scope[NODE] = node
        await self._app(scope, receive, send)
