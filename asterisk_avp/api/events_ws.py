"""The WebSocket `/v1/events`: events about every change.

The token comes in the `Authorization` header, in the panel's cookie (from the panel's own page
only), or as the first message, ``{"token": …}``, within `FIRST_MESSAGE_SECONDS`. The server then
sends a ``snapshot`` of everything visible (agents, transfers, groups, readiness, and the pops
of calls that ring, which nothing else would tell again) and one message for each later change:
``agent``, ``transfer``, ``group``, …, with the same objects as the GETs. After
`ALIVE_SECONDS` without a change it sends ``alive``; a client that receives nothing for longer has
lost the connection, and its state is outdated. The client sends nothing after its token.

With ``?lists=coalesced``, an agent's client gets the snapshot without the other agents, and their
states and those of groups in ``lists`` messages, at most twice a second (`panels`).

`visibility` defines what an agent's token sees.

If a client's scope changes (`clients`: groups, or settings), or if it has received an agent who is
no longer visible, it gets another snapshot instead of the event.

The number of connections of a token and of an agent is limited (`socket_count`). Further ones are
refused with 429 in response to the handshake, or with close code 4429 after a first message.

Close codes: 4401: no valid token, or it has ended. 4409: the token is not that of the agent in the
query (``?agent=``), whom the panel's page takes itself for (see `http.AGENT_HEADER`). 1013: the
client did not keep up and must reconnect, so that an outdated state never looks live; or too many
clients have not sent a token.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from starlette.websockets import WebSocket, WebSocketDisconnect

from asterisk_avp.api.auth import Authenticator, Principal
from asterisk_avp.api.broadcast import agent_event, transfer_event
from asterisk_avp.api.clients import Scopes, event_for, scope_of, unrestricted
from asterisk_avp.api.connections import network_of
from asterisk_avp.api.cookies import SESSION_COOKIE, is_secure, values
from asterisk_avp.api.event_cache import Rosters, SharedEvent, as_text
from asterisk_avp.api.http import bearer_token, same_origin
from asterisk_avp.api.panel_access import PanelAccess
from asterisk_avp.api.panel_connection import Panel, is_coalesced
from asterisk_avp.api.panels import Panels
from asterisk_avp.api.port import TransferService
from asterisk_avp.api.schemas import agent_for_all, iso_time, ready_out
from asterisk_avp.api.socket_count import TOO_MANY, SocketCount, too_many
from asterisk_avp.api.throttle import PRINCIPAL, UNAUTHORIZED
from asterisk_avp.api.visibility import visible_to
from asterisk_avp.api.work_routes import groups_of
from asterisk_avp.api.work_schemas import own_part
from asterisk_avp.core.model.errors import UnknownAgent
from asterisk_avp.core.model.tenants import Scope

FIRST_MESSAGE_SECONDS = 5.0
ALIVE_SECONDS = 10.0
SEND_SECONDS = 10.0

MAX_UNAUTHENTICATED = 200
"""Clients that may wait to send their token as a first message, at the same time."""

MAX_UNAUTHENTICATED_PER_ADDRESS = 50
"""The same, from one address."""
TRY_AGAIN = 1013
OTHER_AGENT = 4409


def add_events_route(
    app: FastAPI,
    service: TransferService,
    auth: Authenticator,
    access: PanelAccess,
    scopes: Scopes = unrestricted,
) -> None:
    unknown: Counter[str] = Counter()
    count = SocketCount()
    rosters = Rosters(agent_for_all)
    panels = Panels(service)

    def view(principal: Principal, *, lists: bool = True) -> View:
        return View(service, principal, rosters, lambda: scope_of(principal, scopes), lists=lists)

    async def read_token(socket: WebSocket) -> str | None:
        address = network_of(socket.client.host if socket.client else "")
        if (
            unknown.total() >= MAX_UNAUTHENTICATED
            or unknown[address] >= MAX_UNAUTHENTICATED_PER_ADDRESS
        ):
            await socket.close(TRY_AGAIN, "too many without a token")
            return None
        unknown[address] += 1
        try:
            return await _first_message(socket) or ""
        finally:
            unknown[address] -= 1
            if not unknown[address]:
                del unknown[address]

    @app.websocket("/v1/events")
    async def events(socket: WebSocket) -> None:
        headers = socket.headers
        bearer = bearer_token(headers.get("authorization"))
        user = access.user(socket.scope)
        # An Authorization header takes precedence over cookies, unless a proxy may have added it.
        cookies = [] if bearer and not user else values(socket.scope, SESSION_COOKIE)
        secure = is_secure(socket.scope)
        if cookies and not same_origin(headers.get("origin"), headers.get("host"), secure=secure):
            await socket.close()  # before accept: the response to the handshake is 403
            return
        token = auth.cookie_of(cookies, user) or "" if cookies else bearer
        principal = auth.identify(token)
        if token and principal is not None and count.full(token, principal):
            socket.scope[PRINCIPAL] = principal
            await socket.send_denial_response(too_many())
            return
        await socket.accept()
        if token is None:
            token = await read_token(socket)
            if token is None:
                return
            principal = auth.identify(token)
        if principal is None:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.close(UNAUTHORIZED, "unauthorized")
            return
        socket.scope[PRINCIPAL] = principal  # authenticated from now on (see `connections`)
        if socket.query_params.get("agent", principal.agent) != principal.agent:
            await socket.close(OTHER_AGENT, "another agent has logged in")
            return
        if count.full(token, principal):
            await socket.close(TOO_MANY, "too many with this token")
            return
        with count.one_more(token, principal):
            if is_coalesced(socket, principal):
                own = view(principal, lists=False)
                await panels.serve(Panel(principal, own, socket, lambda: auth.identify(token)))
            else:
                await _stream(socket, service, view(principal), principal, auth, token)


async def _stream(
    socket: WebSocket,
    service: TransferService,
    view: View,
    principal: Principal,
    auth: Authenticator,
    token: str,
) -> None:
    # Subscribe before taking the snapshot, so that no event is missed.
    queue = service.subscribe()
    try:
        login = auth.login_of(token)
        ended = login.ended if login is not None else asyncio.Event()
        await _serve(socket, queue, view, lambda: auth.identify(token) == principal, ended)
    finally:
        service.unsubscribe(queue)


async def _first_message(socket: WebSocket) -> str | None:
    try:
        async with asyncio.timeout(FIRST_MESSAGE_SECONDS):
            message = json.loads(await socket.receive_text())
    except (TimeoutError, ValueError, RecursionError, KeyError, WebSocketDisconnect):
        return None
    token = message.get("token") if isinstance(message, dict) else None
    return token if isinstance(token, str) else None


async def _serve(
    socket: WebSocket,
    queue: asyncio.Queue[Mapping[str, Any]],
    view: View,
    still_valid: Callable[[], bool],
    ended: asyncio.Event,
) -> None:
    sender = asyncio.create_task(_send(socket, queue, view, still_valid))
    watcher = asyncio.create_task(_until_closed(socket))
    signed_out = asyncio.create_task(ended.wait())
    tasks = {sender, watcher, signed_out}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        code = UNAUTHORIZED if signed_out in done else None
        if sender in done:
            code = sender.result()
        if code is not None:
            await socket.close(code)
    except (RuntimeError, WebSocketDisconnect, TimeoutError):
        pass  # the client has gone, or no longer reads
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(
    socket: WebSocket,
    queue: asyncio.Queue[Mapping[str, Any]],
    view: View,
    still_valid: Callable[[], bool],
) -> int:
    """Send until there is a reason to close; return the close code."""
    await _send_one(socket, view.snapshot())
    while True:
        try:
            event = queue.get_nowait() if not queue.empty() else await _next(queue)
        except TimeoutError:
            event = None
        if not still_valid():
            return UNAUTHORIZED
        if view.outdated(event):
            await _send_one(socket, view.snapshot())
        if event is None:
            await _send_one(socket, as_text({"type": "alive", "now": iso_time(time.time())}))
            continue
        text = view.text(event)
        if text is not None:
            await _send_one(socket, text)
        if event.get("type") == "overflow":
            return TRY_AGAIN


async def _next(queue: asyncio.Queue[Mapping[str, Any]]) -> Mapping[str, Any]:
    async with asyncio.timeout(ALIVE_SECONDS):
        return await queue.get()


async def _send_one(socket: WebSocket, text: str) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await socket.send_text(text)


async def _until_closed(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


class View:
    """The events and snapshots that one client receives."""

    def __init__(
        self,
        service: TransferService,
        principal: Principal,
        rosters: Rosters,
        scope: Callable[[], Scope],
        *,
        lists: bool = True,
    ) -> None:
        """``lists``: whether the snapshots contain the other agents."""
        self._service = service
        self._principal = principal
        self._rosters = rosters
        self._scope_now = scope
        self._scope = scope()
        self._lists = lists
        self._told: set[str] = set()
        """The agents that the client has received, if its scope is restricted."""

    @property
    def scope(self) -> Scope:
        """As of the last snapshot."""
        return self._scope

    def snapshot(self) -> str:
        self._scope = self._scope_now()
        self._told.clear()
        found = (
            visible_to(self._principal, transfer_event(view), self._scope)
            for view in self._service.transfers(self._principal.agent)
        )
        rest = {
            "transfers": [event["transfer"] for event in found if event],
            "pops": [
                {**pop, "call": pop["pop"]["id"]}
                for pop in self._service.offered_pops(self._principal.agent)
            ],
            "groups": groups_of(self._service, self._principal),
            "readiness": ready_out(self._service.readiness()).model_dump(mode="json"),
        }
        agents = ", ".join(self._agents())
        now = as_text(iso_time(time.time()))
        return f'{{"type": "snapshot", "now": {now}, "agents": [{agents}], {as_text(rest)[1:]}'

    def outdated(self, event: Mapping[str, Any] | None) -> bool:
        """Whether the client's scope has changed, or an agent it has received is not visible."""
        scope = self._scope_now()
        if scope.unrestricted and self._scope.unrestricted:
            return False
        if scope != self._scope:
            return True
        match event:
            case {"type": "agent", "agent": {"id": agent_id, "groups": groups}}:
                return agent_id in self._told and not scope.member(groups)
            case _:
                return False

    def text(self, event: Mapping[str, Any]) -> str | None:
        """The event's JSON for the client; None: not visible."""
        shared = event if isinstance(event, SharedEvent) else SharedEvent(event)
        if event.get("type") == "group":
            return self._group(shared)
        text = shared.text_for(self._principal, self._scope)
        if text is not None and not self._scope.unrestricted and event.get("type") == "agent":
            self._note(event["agent"]["id"])
        return text

    def _group(self, event: SharedEvent) -> str | None:
        """An event of a group: of all of them for an integration, otherwise of the agent's own."""
        agent = self._principal.agent
        if agent is None:
            return event.text_with("group", own_part(None))
        membership = self._service.membership(agent, event["group"]["id"])
        return None if membership is None else event.text_with("group", own_part(membership))

    def _note(self, agent: str) -> None:
        if not self._scope.unrestricted and agent != self._scope.own:
            self._told.add(agent)

    def _agents(self) -> Iterator[str]:
        """The agents' JSON: with calls for an integration, otherwise only for the agent itself."""
        if self._principal.agent is None:
            for view in self._service.agents():
                yield as_text(agent_event(view)["agent"])
            return
        if not self._lists:
            yield from self._own(self._principal.agent)
            return
        for agent, text in self._rosters.texts(self._service.roster(), self._scope):
            self._note(agent)
            if agent != self._principal.agent:
                yield text
            else:
                yield from self._own(agent)

    def _own(self, agent: str) -> Iterator[str]:
        with contextlib.suppress(UnknownAgent):
            shown = event_for(agent_event(self._service.agent(agent)), self._scope)
            if shown is not None:
                yield as_text(shown["agent"])
