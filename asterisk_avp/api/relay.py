"""Hand on what another node's daemon has to answer: about an agent who is at home there.

Innermost middleware. A program can so ask any node about any agent. The client's own token goes
along, and is checked there: a node can do no more for a client than the client can. Rules, errors
and what is told are those of the agent's node. A request is handed on once at most.
"""

from __future__ import annotations

import json
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import unquote

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from asterisk_avp.api.http import error
from asterisk_avp.api.languages import say
from asterisk_avp.api.throttle import BELIEVED
from asterisk_avp.core.model.errors import PeerUnavailable

RELAYED: Final = b"x-avp-relayed"
"""Names the node that has handed the request on."""
MOST_TRANSFERS: Final = 5_000
_AGENTS: Final = "/v1/agents/"
_TRANSFERS: Final = "/v1/transfers/"
_SENT: Final = ("content-type", "accept-language", "idempotency-key")
_NOT_TOLD: Final = (HTTPStatus.FORBIDDEN, HTTPStatus.SERVICE_UNAVAILABLE)
_SHOWN: Final = ("content-type", "location", "retry-after")


@dataclass(frozen=True, slots=True)
class Relayed:
    """An answer, as it came."""

    status: int
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes


class Nodes(Protocol):
    """What is known of the other nodes."""

    own: str
    """This node."""

    def home_of(self, agent: str, path: str) -> str:
        """The node that answers this request about an agent; empty: this one.

        ``path``: what follows the agent's id.
        """
        ...

    def knows(self, transfer: str) -> bool:
        """Whether this node can answer requests about a transfer."""
        ...

    def others(self) -> Sequence[str]: ...

    def relay(
        self, node: str, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Awaitable[Relayed]:
        """Raises `PeerUnavailable`."""
        ...


class Relay:
    def __init__(self, app: ASGIApp, nodes: Nodes) -> None:
        self._app = app
        self._nodes = nodes
        self._transfers: OrderedDict[str, str] = OrderedDict()
        """Transfer to the node that has answered about it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or RELAYED in dict(scope["headers"]):
            await self._app(scope, receive, send)
            return
        asked = self._asked(scope["path"])
        if not asked:
            await self._app(scope, receive, send)
            return
        message = await receive()
        answer: ASGIApp = await self._relayed(scope, message.get("body", b""), asked)
        only_shown = scope["method"] == "GET" and "/" not in scope["path"].removeprefix(_AGENTS)
        if only_shown and isinstance(answer, Response) and answer.status_code in _NOT_TOLD:
            answer = self._app  # an agent is then shown as last known
        await answer(scope, receive, send)

    def _asked(self, path: str) -> Sequence[str]:
        """The nodes that may know; empty: this one."""
        if path.startswith(_AGENTS):
            agent, _, rest = path.removeprefix(_AGENTS).partition("/")
            home = self._nodes.home_of(unquote(agent), rest)
            return (home,) if home else ()
        transfer = path.removeprefix(_TRANSFERS).partition("/")[0]
        if not path.startswith(_TRANSFERS) or not transfer or self._nodes.knows(transfer):
            return ()
        known = self._transfers.get(transfer)
        return (known,) if known is not None else self._nodes.others()

    async def _relayed(self, scope: Scope, body: bytes, nodes: Sequence[str]) -> Response:
        query = scope.get("query_string", b"").decode("latin-1")
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        target = f"{path.partition('?')[0]}?{query}" if query else path.partition("?")[0]
        headers = self._headers(scope)
        silent, node = "", nodes[0]
        answer: Relayed | None = None
        for node in nodes:
            try:
                answer = await self._nodes.relay(node, scope["method"], target, headers, body)
            except PeerUnavailable:
                silent = node
                continue
            if answer.status != HTTPStatus.NOT_FOUND:
                break
        if answer is None or (answer.status == HTTPStatus.NOT_FOUND and silent):
            text = say("errors.node_unavailable", node=silent)
            return error(503, "node_unavailable", text)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            return error(403, "other_node", say("errors.other_node", node=node), node=node)
        self._note(answer, node)
        shown = {name: answer.headers[name] for name in _SHOWN if name in answer.headers}
        return Response(answer.body, answer.status, {**shown, "X-AVP-Node": node})

    def _headers(self, scope: Scope) -> dict[str, str]:
        told = {name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]}
        sent = {name: told[name] for name in _SENT if name in told}
        # The one that this node has believed, where there are several, or a proxy has added one.
        sent["authorization"] = f"Bearer {scope[BELIEVED]}"
        sent.setdefault("idempotency-key", secrets.token_urlsafe(24))  # it may be sent again
        return {**sent, RELAYED.decode(): self._nodes.own}

    def _note(self, answer: Relayed, node: str) -> None:
        """A transfer that was made there is asked for there."""
        if answer.status != HTTPStatus.CREATED:
            return
        try:
            transfer = json.loads(answer.body).get("id")
        except (ValueError, AttributeError, RecursionError):
            return
        if isinstance(transfer, str):
            self._transfers[transfer] = node
            while len(self._transfers) > MOST_TRANSFERS:
                self._transfers.popitem(last=False)
