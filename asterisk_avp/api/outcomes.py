"""What became of a request: for clients that lost the answer.

A request that changes something may carry an ``Idempotency-Key`` (draft-ietf-httpapi-idempotency-
key-header): a name that the client makes up for this one request. It is done once, however often it
arrives; the others get the same answer. ``DELETE /v1/requests/{key}`` settles it: the answer says
whether it was received and how it was answered, and if it was not, it will not be done when it
arrives later. So a client can tell its user "done" or "not done" after a lost connection.

Answers are kept in memory for `KEPT_SECONDS`, and at most `PER_HOLDER` for each token's holder.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from fastapi import FastAPI, Path, Query, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asterisk_avp.api.auth import Principal
from asterisk_avp.api.http import error
from asterisk_avp.api.languages import say
from asterisk_avp.api.routes import TOKEN, CurrentPrincipal, responses
from asterisk_avp.api.schemas import Out
from asterisk_avp.api.throttle import PRINCIPAL

KEPT_SECONDS: Final = 600.0
PER_HOLDER: Final = 50
HOLDERS: Final = 10_000
_HEADER: Final = b"idempotency-key"
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_CHANGES: Final = ("/v1/agents/", "/v1/transfers/")
_FAILED: Final = 500
_UNAVAILABLE: Final = 503

HANDED_ON: Final[ContextVar[str]] = ContextVar("HANDED_ON", default="")
"""The key of the request that is being done, where it is handed on to another daemon; empty: the
client has given none. It follows from the client's, so that it is the same after a restart."""


@dataclass(slots=True)
class Asked:
    """A request with a key. ``fingerprint`` None: given up before it arrived."""

    since: float
    fingerprint: bytes | None
    done: asyncio.Event = field(default_factory=asyncio.Event)
    start: Message | None = None
    body: bytes = b""

    @property
    def status(self) -> int:
        return _FAILED if self.start is None else int(self.start["status"])

    @property
    def to_be_sent_again(self) -> bool:
        """Whether nothing was done, and the answer said when to ask again (RFC 9110, 10.2.3)."""
        headers = self.start["headers"] if self.start is not None else ()
        later = any(name.lower() == b"retry-after" for name, _ in headers)
        return self.done.is_set() and self.status == _UNAVAILABLE and later


class OutcomeOut(Out):
    """``status`` and ``answer`` are the response; null if there is none. ``received`` null: the
    daemon has been started since, and nothing is known.
    """

    received: bool | None
    status: int | None
    answer: Any


class Outcomes:
    """What is known of requests with a key. ``clock``: monotonic seconds."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, per_holder: int = PER_HOLDER
    ) -> None:
        self._clock = clock
        self._per_holder = per_holder
        self._began = clock()
        self._known: OrderedDict[str, OrderedDict[str, Asked]] = OrderedDict()

    def begin(self) -> None:
        """Requests are noted from now on, not since a standby has made this object."""
        self._began = self._clock()

    @property
    def seconds(self) -> float:
        """For how long requests have been noted."""
        return self._clock() - self._began

    def find(self, holder: str, key: str) -> Asked | None:
        return self._of(holder).get(key)

    def add(self, holder: str, key: str, fingerprint: bytes | None) -> Asked:
        """``fingerprint`` None: the request is given up before it has arrived."""
        requests = self._of(holder)
        requests.pop(key, None)  # the oldest come first
        request = requests[key] = Asked(self._clock(), fingerprint)
        if len(requests) > self._per_holder:
            requests.popitem(last=False)
        return request

    def _of(self, holder: str) -> OrderedDict[str, Asked]:
        """The holder's requests, the oldest first, without those that are too old."""
        requests = self._known.setdefault(holder, OrderedDict())
        self._known.move_to_end(holder)
        if len(self._known) > HOLDERS:
            self._known.popitem(last=False)
        oldest = self._clock() - KEPT_SECONDS
        for key, request in list(requests.items()):
            if request.since > oldest:
                break
            del requests[key]
        return requests


class Once:
    """Middleware: do a request with a key once."""

    def __init__(self, app: ASGIApp, outcomes: Outcomes) -> None:
        self._app = app
        self._outcomes = outcomes
        outcomes.begin()  # Starlette makes its middlewares at the first request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = scope.get(PRINCIPAL)
        key = dict(scope.get("headers", ())).get(_HEADER)
        if (
            key is None
            or not isinstance(principal, Principal)
            or scope["method"] == "GET"
            or not scope["path"].startswith(_CHANGES)
        ):
            await self._app(scope, receive, send)
            return
        holder, name = _holder(scope, principal), key.decode("latin-1")
        HANDED_ON.set(hashlib.sha256(f"{holder}\0{name}".encode()).hexdigest())
        await self._once(holder, name, scope, receive, send)

    async def _once(
        self, holder: str, key: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if not _KEY.fullmatch(key):
            await _malformed()(scope, receive, send)
            return
        message = await receive()
        body = message.get("body", b"")
        target = scope["method"].encode() + b" " + scope["path"].encode() + b"\0"
        fingerprint = hashlib.sha256(target + body).digest()
        known = self._outcomes.find(holder, key)
        if known is not None and not known.to_be_sent_again:
            await (await _again(known, fingerprint))(scope, receive, send)
            return
        request = self._outcomes.add(holder, key, fingerprint)

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.start = message
            else:
                request.body += message.get("body", b"")
            await send(message)

        first = True

        async def whole() -> Message:
            nonlocal first
            if not first:
                return await receive()
            first = False
            return message

        try:
            await self._app(scope, whole, noted)
        finally:
            request.done.set()


async def _again(known: Asked, fingerprint: bytes) -> Response:
    if known.fingerprint is None:
        return error(409, "given_up", say("errors.given_up"))
    if known.fingerprint != fingerprint:
        return _malformed()
    await known.done.wait()
    if known.start is None:
        return error(_FAILED, "internal", say("errors.internal"))
    headers = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in known.start["headers"]
        if name.lower() != b"content-length"
    }
    return Response(known.body, known.status, headers)


def add_outcome_routes(app: FastAPI, outcomes: Outcomes) -> None:
    @app.delete(
        "/v1/requests/{key}",
        response_model=OutcomeOut,
        responses=responses(401, 403, 422),
        dependencies=[TOKEN],
    )
    async def settle(
        key: Annotated[str, Path(pattern=f"^{_KEY.pattern}$")],
        request: Request,
        principal: CurrentPrincipal,
        age: Annotated[float, Query(ge=0, le=KEPT_SECONDS)] = 0.0,
    ) -> OutcomeOut:
        """What became of the request with this Idempotency-Key; if it has not arrived: give it up.

        Waits until a request that is being done has its answer. ``age``: how many seconds ago the
        request was sent. If the daemon has been started since, nothing is known of it.
        """
        holder = _holder(request.scope, principal)
        known = outcomes.find(holder, key)
        if known is None:
            outcomes.add(holder, key, None).done.set()
            known_to_be = None if age > outcomes.seconds else False
            return OutcomeOut(received=known_to_be, status=None, answer=None)
        await known.done.wait()
        if known.fingerprint is None:
            return OutcomeOut(received=False, status=None, answer=None)
        return OutcomeOut(received=True, status=known.status, answer=_decoded(known.body))


def _holder(scope: Scope, principal: Principal) -> str:
    if principal.agent is not None:
        return f"agent {principal.agent}"
    token = dict(scope["headers"]).get(b"authorization", b"")
    return f"token {hashlib.sha256(token).hexdigest()}"


def _malformed() -> Response:
    where = {"where": ["header", "idempotency-key"], "message": say("errors.key_unusable")}
    return error(422, "malformed", say("errors.malformed"), details=[where])


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
