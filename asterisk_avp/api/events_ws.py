"""The WebSocket `/v1/events`: what changes, as it changes.

The token comes in the `Authorization` header, in the panel's cookie (from the panel's own page
only: any other is refused), or as the first message, ``{"token": …}``, within
`FIRST_MESSAGE_SECONDS`. Then come a ``snapshot`` of all that can be seen (agents, transfers,
readiness) and one message for each change after it: ``agent``, ``transfer``, ``readiness``, …,
with the objects of the GETs. Every `ALIVE_SECONDS` without a change comes ``alive``: who hears
nothing for longer is cut off, and what was heard is old. Nothing is expected from the client
after its token.

What an agent's token sees is in `visibility`.

A client whose scope has changed (`clients`: their groups, or the settings), or that was told of an
agent whom they may no longer know, gets another snapshot in the place of what changed.

A token has so many of these at a time, and so has an agent (`socket_count`); the next one is
refused, by 429 in answer to the handshake or by close code 4429 after a first message.

Close codes: 4401 no valid token, or it ended; 1013 the client did not keep up and has to start
again, since an old state must never look live, or too many clients have yet to send their token.
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
from asterisk_avp.api.clients import Scopes, event_for, scope_of, unrestricted
from asterisk_avp.api.connections import network_of
from asterisk_avp.api.cookies import SESSION_COOKIE, is_secure, values
from asterisk_avp.api.event_cache import Rosters, SharedEvent, as_text
from asterisk_avp.api.http import bearer_token, same_origin
from asterisk_avp.api.port import TransferService
from asterisk_avp.api.schemas import agent_event, agent_for_all, iso_time, ready_out, transfer_event
from asterisk_avp.api.socket_count import TOO_MANY, SocketCount, too_many
from asterisk_avp.api.throttle import PRINCIPAL, UNAUTHORIZED
from asterisk_avp.api.visibility import visible_to
from asterisk_avp.core.model.tenants import Scope

FIRST_MESSAGE_SECONDS = 5.0
ALIVE_SECONDS = 10.0
SEND_SECONDS = 10.0

MAX_UNAUTHENTICATED = 200
"""Clients whose first message is waited for at a time; who brings a token at once needs none."""

MAX_UNAUTHENTICATED_PER_ADDRESS = 50
"""Of these, from one address."""
TRY_AGAIN = 1013


def add_events_route(
    app: FastAPI, service: TransferService, auth: Authenticator, scopes: Scopes = unrestricted
) -> None:
    unknown: Counter[str] = Counter()
    count = SocketCount()
    rosters = Rosters(agent_for_all)

    def view(principal: Principal) -> View:
        return View(service, principal, rosters, lambda: scope_of(principal, scopes))

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
        # A program that was given a token goes by it.
        cookies = [] if bearer else values(socket.scope, SESSION_COOKIE)
        secure = is_secure(socket.scope)
        if cookies and not same_origin(headers.get("origin"), headers.get("host"), secure=secure):
            await socket.close()  # before it is accepted: the handshake is answered with 403
            return
        token = bearer or (auth.cookie_of(cookies) or "" if cookies else None)
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
        socket.scope[PRINCIPAL] = principal  # known, from here on (see `connections`)
        if count.full(token, principal):
            await socket.close(TOO_MANY, "too many with this token")
            return
        with count.one_more(token, principal):
            await _stream(socket, service, view(principal), principal, auth, token)


async def _stream(
    socket: WebSocket,
    service: TransferService,
    view: View,
    principal: Principal,
    auth: Authenticator,
    token: str,
) -> None:
    # Subscribed before the snapshot is taken, so that nothing falls between the two.
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
        pass  # the client is gone, or takes nothing any more
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
    """Send until there is a reason to close, and return that as a close code."""
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
    """What one client sees, and is to be told of."""

    def __init__(
        self,
        service: TransferService,
        principal: Principal,
        rosters: Rosters,
        scope: Callable[[], Scope],
    ) -> None:
        self._service = service
        self._principal = principal
        self._rosters = rosters
        self._scope_now = scope
        self._scope = scope()
        self._told: set[str] = set()
        """The agents the client has been told of, where there are others."""

    def snapshot(self) -> str:
        self._scope = self._scope_now()
        self._told.clear()
        found = (
            visible_to(self._principal, transfer_event(view), self._scope)
            for view in self._service.transfers()
        )
        rest = {
            "transfers": [event["transfer"] for event in found if event],
            "readiness": ready_out(self._service.readiness()).model_dump(mode="json"),
        }
        agents = ", ".join(self._agents())
        now = as_text(iso_time(time.time()))
        return f'{{"type": "snapshot", "now": {now}, "agents": [{agents}], {as_text(rest)[1:]}'

    def outdated(self, event: Mapping[str, Any] | None) -> bool:
        """Whether what the client has been told is more, or less, than it may know now."""
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
        """What the client is told of ``event``; None where it is none of their business."""
        shared = event if isinstance(event, SharedEvent) else SharedEvent(event)
        text = shared.text_for(self._principal, self._scope)
        if text is not None and not self._scope.unrestricted and event.get("type") == "agent":
            self._note(event["agent"]["id"])
        return text

    def _note(self, agent: str) -> None:
        if not self._scope.unrestricted and agent != self._scope.own:
            self._told.add(agent)

    def _agents(self) -> Iterator[str]:
        """An integration sees all of every agent, and an agent only of themselves."""
        if self._principal.agent is None:
            for view in self._service.agents():
                yield as_text(agent_event(view)["agent"])
            return
        for agent, text in self._rosters.texts(self._service.roster(), self._scope):
            self._note(agent)
            if agent != self._principal.agent:
                yield text
                continue
            own = agent_event(self._service.agent(agent))
            shown = event_for(own, self._scope)
            if shown is not None:
                yield as_text(shown["agent"])
