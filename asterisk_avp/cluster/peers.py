"""The client for the other nodes' daemons.

Each request has a deadline. What may be repeated is repeated within it: everything that goes to a
daemon has a key or an id by which the other side knows it again. A node whose daemon is away is not
waited for: after a failure requests to it fail at once, until one in a while has tried again.

Answers are not trusted: they have a largest size, and `core.messages.between` reads them. Neither
tokens nor bodies are logged.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal

import aiohttp
import structlog
from yarl import URL

from asterisk_avp.cluster import tls
from asterisk_avp.core.messages import between, fields
from asterisk_avp.core.model.errors import (
    AsteriskBusy,
    AsteriskUnavailable,
    PeerUnavailable,
    Refused,
    UnknownAgent,
    UnknownParty,
    UnknownTransfer,
    WrongState,
)
from asterisk_avp.runtime.backoff import Backoff

log = structlog.get_logger(__name__)

REQUEST_SECONDS: Final = 3.0
"""An agent's request that is decided on another node."""
SLOT_SECONDS: Final = 1.0
"""A slot: whoever does not answer in this time does not hinder the transfer."""
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
_PAUSES: Final = Backoff(0.05, 0.5)
_AWAY: Final = Backoff(1.0, 5.0)
_AGAIN: Final = frozenset(
    {HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
)
_OK: Final = range(200, 300)
_REFUSED: Final = range(400, 500)

What = Literal["slot", "request", "event", "list", "home", "api"]
"""What is asked: an agent's slot, what an agent here asks for, what has become of a transfer, all
transfers, a request to the API about the other node's agent."""
Result = Literal["ok", "refused", "failed"]
Observe = Callable[[What, Result, float], None]
"""What was asked, how it was answered, and after how many seconds."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A node's daemon. ``url``: without a path's end."""

    node: str
    url: str


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any

    @property
    def ok(self) -> bool:
        return self.status in _OK


@dataclass(frozen=True, slots=True)
class Sent:
    """A request. ``raw``: what the answer is, is the client's business."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None = None
    raw: bool = False


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer as it came; the headers by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    closed_until: float = 0.0
    """Until when nobody asks (monotonic seconds)."""


@dataclass(slots=True)
class Peers:
    """``token``: this node's own. ``ssl_context`` None: the system's authorities."""

    peers: Mapping[str, Peer]
    token: str
    ssl_context: ssl.SSLContext | None = None
    clock: Callable[[], float] = time.monotonic
    observe: Observe = lambda _what, _result, _seconds: None
    _session: aiohttp.ClientSession | None = None
    _circuits: dict[str, _Circuit] = field(default_factory=dict)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def away(self, node: str) -> bool:
        """Whether requests to this node fail at once."""
        circuit = self._circuits.get(node)
        return circuit is not None and circuit.closed_until > self.clock()

    def back(self, node: str) -> None:
        """The node has been heard of by another way: ask it again at once."""
        self._circuits.pop(node, None)

    async def ask(
        self,
        node: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        what: What,
        within: float = REQUEST_SECONDS,
        key: str = "",
    ) -> Answer:
        """The answer, whatever its status. Raises `PeerUnavailable` after ``within`` seconds.

        The request is repeated while there is no answer. ``key``: its Idempotency-Key.
        """
        headers, data = {"Authorization": f"Bearer {self.token}"}, None
        if key:
            headers["Idempotency-Key"] = key
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        sent = Sent(method, path, headers, data)
        raw = await self._observed(node, sent, what, within)
        return Answer(raw.status, _decoded(raw.body))

    async def relay(self, node: str, sent: Sent, within: float = REQUEST_SECONDS) -> Raw:
        """The answer to a client's request, which has its own token and key, as it comes."""
        return await self._observed(node, sent, "api", within)

    async def _observed(self, node: str, sent: Sent, what: What, within: float) -> Raw:
        since = self.clock()
        try:
            answer = await self._ask(node, sent, within)
        except PeerUnavailable:
            self.observe(what, "failed", self.clock() - since)
            raise
        result: Result = "ok" if answer.status in _OK else "failed"
        if answer.status in _REFUSED:
            result = "refused"
        self.observe(what, result, self.clock() - since)
        return answer

    async def _ask(self, node: str, sent: Sent, within: float) -> Raw:
        peer = self.peers.get(node)
        if peer is None:
            raise PeerUnavailable(node, "it is not configured")
        if self.away(node):
            raise PeerUnavailable(node)
        circuit = self._circuits.setdefault(node, _Circuit())
        end, tries = self.clock() + within, 0
        while True:
            left = end - self.clock()
            problem = why = "it does not answer"
            try:
                answer = await self._once(peer, sent, max(left, 0.001))
                if not sent.raw:
                    _decoded(answer.body)
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                why = tls.problem(error)
                log.debug("peer_not_reached", node=node, error=why)
            except ValueError:
                problem = why = "its answer cannot be read"
            else:
                if answer.status not in _AGAIN:
                    self._circuits.pop(node, None)
                    return answer
            tries += 1
            pause = _PAUSES.pause_seconds(tries)
            if self.clock() + pause >= end or circuit.closed_until > self.clock():
                self._failed(node, circuit, why)
                raise PeerUnavailable(node, problem)
            await asyncio.sleep(pause)

    def _failed(self, node: str, circuit: _Circuit, why: str) -> None:
        circuit.failures += 1
        self._circuits[node] = circuit
        circuit.closed_until = self.clock() + _AWAY.pause_seconds(circuit.failures - 1)
        if circuit.failures == 1:
            log.warning("peer_away", node=node, problem=why)

    async def _once(self, peer: Peer, sent: Sent, seconds: float) -> Raw:
        async with self._opened().request(
            sent.method,
            URL(peer.url + sent.path, encoded=True),
            data=sent.body,
            headers=sent.headers,
            timeout=aiohttp.ClientTimeout(total=seconds),
            allow_redirects=False,
        ) as answer:
            read = bytearray()
            async for chunk in answer.content.iter_any():
                read += chunk
                if len(read) > MAX_ANSWER_BYTES:
                    raise ValueError("too large")
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Raw(answer.status, headers, bytes(read))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit_per_host=32, ssl=self.ssl_context if self.ssl_context is not None else True
            )
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
            )
        return self._session


def _decoded(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("too deep") from None


def check(node: str, answer: Answer) -> Any:
    """The body of a good answer; otherwise raise the error that the other daemon had."""
    if answer.ok:
        return answer.body
    body = answer.body if isinstance(answer.body, dict) else {}
    code, message = body.get("error"), _sentence(body.get("message"))
    match answer.status, code:
        case ((403 | 409), "refused"):
            try:
                reason, message = between.refusal(body)
            except fields.Unusable:
                raise PeerUnavailable(node, "its answer cannot be read") from None
            raise Refused(reason, message)
        case 409, "wrong_state":
            raise WrongState(message)
        case 404, "unknown_party":
            raise UnknownParty(message)
        case 404, "unknown_agent":
            raise UnknownAgent(message)
        case 404, _:
            raise UnknownTransfer(message)
        case 503, "asterisk_busy":
            raise AsteriskBusy(1)
        case 503, _:
            raise AsteriskUnavailable(f"Asterisk of node {node}: {message}")
        case _:
            log.warning("peer_refuses", node=node, status=answer.status)
            raise PeerUnavailable(node, f"it answers {answer.status}")


def _sentence(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= 500 and value.isprintable() else ""  # noqa: PLR2004
