"""`/v1/cluster/`: what the daemons of several nodes ask each other.

An application of its own beside the API's: other tokens (`api.node_tokens`), no page, no cookies,
and larger bodies, because screen pops come this way. `core.messages.between` reads every body.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Annotated, Any, Final, Protocol, cast

import structlog
from fastapi import Depends, FastAPI, Path, Query, Request
from pydantic import StringConstraints
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from asterisk_avp.api.budget import Budget
from asterisk_avp.api.http import BodyLimit, add_error_handlers, error, json_response
from asterisk_avp.api.languages import say
from asterisk_avp.api.node_tokens import NODE, NodeTokenCheck, NodeTokens
from asterisk_avp.api.outcomes import Once, Outcomes
from asterisk_avp.core.engine.reservations import Slot
from asterisk_avp.core.messages import between, fields
from asterisk_avp.core.messages.between import TransferEvent
from asterisk_avp.core.messages.told_pops import CALL
from asterisk_avp.core.model.errors import (
    NodeOversteps,
    PeerUnavailable,
    Refused,
    UnknownAgent,
    UnknownParty,
    WrongState,
)
from asterisk_avp.core.model.world import Target

log = structlog.get_logger(__name__)

PREFIX: Final = "/v1/cluster/"
MAX_BODY_BYTES: Final = 128 * 1024
BODY_SECONDS: Final = 5.0
MOST_CALLS: Final = 25
"""Of which the screen pops can be asked for at once: the answer has a limit (`cluster.peers`)."""
_COMMANDS: Final = ("complete", "cancel", "swap", "conference")
_KEY: Final = b"idempotency-key"
KEYS_OF_A_NODE: Final = 10_000
"""Requests of another node, of all of its agents, whose answers are kept."""


class NodeService(Protocol):
    """The daemon, as other nodes' daemons see it. ``node``: the one that asks."""

    async def settled(self) -> None:
        """Wait until the state of Asterisk is known: a daemon that has just begun to serve knows
        nobody, and would refuse everything.

        Raises `AsteriskUnavailable`.
        """
        ...

    def reserve(self, wanted: between.SlotRequest) -> Slot:
        """Raises `Refused`."""
        ...

    def give_back(self, node: str, token: str) -> None: ...

    async def forwarded(self, node: str, request: between.ForwardedRequest) -> TransferEvent | None:
        """None: the agent is being asked for the target.

        Raises as `TransferService.request`.
        """
        ...

    async def command(self, node: str, transfer: str, name: str) -> TransferEvent:
        """Raises as the methods of `TransferService` of this name."""
        ...

    async def add_party(self, node: str, transfer: str, wanted: Target) -> TransferEvent: ...

    async def drop_party(self, node: str, transfer: str, party: str) -> TransferEvent: ...

    def answered(self, node: str, transfer: str, agent: str) -> None:
        """An agent of the node's has answered the transferred call, which was for a group."""
        ...

    def home_taken(self, node: str, agent: str, revision: int) -> None:
        """The agent has logged in there, and is at home there now."""
        ...

    def rings(self, node: str, transfer: str, agent: str, *, rings: bool, consult: bool) -> None:
        """The phone of the node's agent rings for the transfer's caller, or does not any more.

        ``consult``: it rings for the consult leg, or as a fourth party's.
        """
        ...

    def told(self, node: str, event: TransferEvent) -> None:
        """Raises `NodeOversteps` if it is not the node's to tell."""
        ...

    def concerning(self, node: str, ids: Collection[str] = ()) -> list[TransferEvent]:
        """The transfers that concern agents who are at home on this node, with these ids or all."""
        ...

    def pops(self, node: str, calls: Collection[str]) -> list[TransferEvent]:
        """The screen pops that agents who are at home on this node have of these calls."""
        ...


class ClusterRoutes:
    """Middleware of the API's application: everything below `PREFIX` goes to ``cluster``."""

    def __init__(self, app: ASGIApp, cluster: ASGIApp) -> None:
        self._app = app
        self._cluster = cluster

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ours = scope["type"] == "http" and scope.get("path", "").startswith(PREFIX)
        await (self._cluster if ours else self._app)(scope, receive, send)


class OnceByNode(Once):
    """A request with an Idempotency-Key is done once for each node."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = dict(scope["headers"]).get(_KEY)
        if key is None:
            await self._app(scope, receive, send)
            return
        await self._once(_holder(scope[NODE]), key.decode("latin-1"), scope, receive, send)


def _holder(node: str) -> str:
    return f"node {node}"


def add_cluster_routes(
    app: FastAPI, service: NodeService, tokens: NodeTokens, refusals: Budget | None = None
) -> None:
    """Let the API's application answer other nodes' daemons, and tell of those that do not answer.

    Call it before the first request.
    """

    @app.exception_handler(PeerUnavailable)
    async def away(_request: Request, exc: PeerUnavailable) -> Response:
        log.warning("peer_request_failed", node=exc.node, error=str(exc))
        return error(503, "node_unavailable", say("errors.node_unavailable", node=exc.node))

    outcomes = Outcomes(per_holder=KEYS_OF_A_NODE)
    cluster = cluster_app(service, outcomes)
    once = OnceByNode(cluster, outcomes)
    limited = BodyLimit(once, MAX_BODY_BYTES, BODY_SECONDS)
    checked = NodeTokenCheck(limited, tokens, refusals or Budget())
    app.add_middleware(ClusterRoutes, cluster=checked)


def cluster_app(service: NodeService, outcomes: Outcomes) -> FastAPI:
    async def settled() -> None:
        await service.settled()

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, dependencies=[Depends(settled)])
    add_error_handlers(app)
    _add_error_handlers(app)
    _add_slots(app, service)
    _add_homes(app, service)
    _add_transfers(app, service)
    _add_requests(app, outcomes)
    return app


async def _node(request: Request) -> str:
    return cast("str", request.scope[NODE])


async def _body(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise fields.Unusable("body") from None


Node = Annotated[str, Depends(_node)]
Body = Annotated[Any, Depends(_body)]
_ID: Final = "^[A-Za-z0-9_.-]{1,80}$"
TransferId = Annotated[str, Path(pattern=_ID)]
TransferIds = Annotated[
    list[Annotated[str, StringConstraints(pattern=_ID)]] | None, Query(alias="id", max_length=100)
]
Calls = Annotated[
    list[Annotated[str, StringConstraints(pattern=f"^{CALL.pattern}$")]] | None,
    Query(alias="call", max_length=MOST_CALLS),
]
PartyId = Annotated[str, Path(max_length=80)]


def _add_error_handlers(app: FastAPI) -> None:
    """English, and exact: the other daemon tells its agent in the agent's language."""

    @app.exception_handler(Refused)
    async def refused(_request: Request, exc: Refused) -> Response:
        return error(409, "refused", exc.message, reason=exc.reason)

    @app.exception_handler(WrongState)
    async def wrong_state(_request: Request, exc: WrongState) -> Response:
        return error(409, "wrong_state", str(exc))

    @app.exception_handler(UnknownAgent)
    async def unknown_agent(_request: Request, exc: UnknownAgent) -> Response:
        return error(404, "unknown_agent", str(exc))

    @app.exception_handler(UnknownParty)
    async def unknown_party(_request: Request, exc: UnknownParty) -> Response:
        return error(404, "unknown_party", str(exc))

    @app.exception_handler(fields.Unusable)
    async def unusable(_request: Request, exc: fields.Unusable) -> Response:
        return error(422, "malformed", f"This cannot be used: {exc}.")

    @app.exception_handler(NodeOversteps)
    async def not_theirs(request: Request, exc: NodeOversteps) -> Response:
        log.warning("node_oversteps", node=request.scope[NODE], error=str(exc))
        return error(403, "forbidden", str(exc))


def _add_slots(app: FastAPI, service: NodeService) -> None:
    @app.post(PREFIX + "slots")
    async def reserve(node: Node, body: Body) -> Response:
        wanted = between.slot_request(body)
        if wanted.anchor != node:
            raise NodeOversteps("a slot for another node")
        slot = service.reserve(wanted)
        return json_response(201, {"token": slot.token, "until": slot.until})

    @app.delete(PREFIX + "slots/{token}")
    async def give_back(token: TransferId, node: Node) -> Response:
        service.give_back(node, token)
        return Response(status_code=204)


def _add_homes(app: FastAPI, service: NodeService) -> None:
    @app.post(PREFIX + "homes")
    async def taken(node: Node, body: Body) -> Response:
        service.home_taken(node, *between.home(body))
        return Response(status_code=204)


def _add_requests(app: FastAPI, outcomes: Outcomes) -> None:
    @app.get(PREFIX + "requests/{key}")
    async def answered(key: TransferId, node: Node) -> Response:
        """How the node's request with this key was answered: for its daemon after a restart."""
        known = outcomes.find(_holder(node), key)
        if known is None:
            return error(404, "unknown_request", "No such request is known.")
        await known.done.wait()
        answer = json.loads(known.body) if known.body else None
        return json_response(200, {"status": known.status, "answer": answer})


def _add_transfers(app: FastAPI, service: NodeService) -> None:
    @app.post(PREFIX + "transfers")
    async def request(node: Node, body: Body) -> Response:
        event = await service.forwarded(node, between.forwarded_request(body))
        return json_response(201, {} if event is None else event.body())

    @app.get(PREFIX + "transfers")
    async def concerning(node: Node, ids: TransferIds = None) -> Response:
        """All that concern the node's agents, or those with these ids."""
        return _events(service.concerning(node, ids or ()))

    @app.get(PREFIX + "pops")
    async def pops(node: Node, calls: Calls = None) -> Response:
        """The screen pops of these calls: few at once, because each may be large."""
        return _events(service.pops(node, calls or ()))

    @app.post(PREFIX + "transfers/{transfer}/events")
    async def told(transfer: TransferId, node: Node, body: Body) -> Response:
        event = between.transfer_event(body)
        if event.transfer is not None and event.transfer.id != transfer:
            raise fields.Unusable("id")
        service.told(node, event)
        return Response(status_code=204)

    @app.post(PREFIX + "transfers/{transfer}/answered")
    async def answered(transfer: TransferId, node: Node, body: Body) -> Response:
        service.answered(node, transfer, between.answered_by(body))
        return Response(status_code=204)

    @app.post(PREFIX + "transfers/{transfer}/rings")
    async def rings(transfer: TransferId, node: Node, body: Body) -> Response:
        agent, ringing, consult = between.ring(body)
        service.rings(node, transfer, agent, rings=ringing, consult=consult)
        return Response(status_code=204)

    @app.post(PREFIX + "transfers/{transfer}/parties")
    async def add_party(transfer: TransferId, node: Node, body: Body) -> Response:
        event = await service.add_party(node, transfer, between.wanted_party(body))
        return json_response(201, event.body())

    @app.delete(PREFIX + "transfers/{transfer}/parties/{party}")
    async def drop_party(transfer: TransferId, party: PartyId, node: Node) -> Response:
        return json_response(200, (await service.drop_party(node, transfer, party)).body())

    for name in _COMMANDS:
        app.post(PREFIX + "transfers/{transfer}/" + name, name=name)(_command(service, name))


def _events(events: Iterable[TransferEvent]) -> Response:
    told = [event.body() for event in events]
    return json_response(200, {"version": fields.VERSION, "events": told})


def _command(service: NodeService, name: str) -> Callable[..., Awaitable[Response]]:
    async def command(transfer: TransferId, node: Node) -> Response:
        return json_response(200, (await service.command(node, transfer, name)).body())

    return command
