"""The WebSocket `/v1/events`: what changes, as it changes.

The token comes in the `Authorization` header, in the panel's cookie (from the panel's own page
only: any other is refused), or as the first message, ``{"token": …}``, within
`FIRST_MESSAGE_SECONDS`. Then come a ``snapshot`` of all that can be seen (agents, transfers,
readiness) and one message for each change after it: ``agent``, ``transfer``, ``readiness``, …,
with the objects of the GETs. Every `ALIVE_SECONDS` without a change comes ``alive``: who hears
nothing for longer is cut off, and what was heard is old. Nothing is expected from the client
after its token.

What an agent's token sees is in `visibility`.

Close codes: 4401 no valid token, or it ended; 1013 the client did not keep up and has to start
again, since an old state must never look live, or too many clients have yet to send their token.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from starlette.websockets import WebSocket, WebSocketDisconnect

from asterisk_avp.api.auth import Authenticator, Caller
from asterisk_avp.api.http import bearer_token, cookie_token, same_origin
from asterisk_avp.api.patience import UNAUTHORIZED
from asterisk_avp.api.port import Switchboard
from asterisk_avp.api.schemas import agent_event, agent_for_all, iso_time, ready_out, transfer_event
from asterisk_avp.api.shared import Roster, Shared, as_text
from asterisk_avp.api.visibility import visible_to

FIRST_MESSAGE_SECONDS = 5.0
ALIVE_SECONDS = 10.0
SEND_SECONDS = 10.0

MOST_UNKNOWN = 200
"""Clients whose first message is waited for at a time; who brings a token at once needs none."""

TRY_AGAIN = 1013


def add_events_route(app: FastAPI, switchboard: Switchboard, auth: Authenticator) -> None:
    unknown = 0
    roster = Roster(agent_for_all)

    def snapshot(caller: Caller) -> str:
        return _snapshot(switchboard, caller, roster)

    async def told_by(socket: WebSocket) -> str | None:
        nonlocal unknown
        unknown += 1
        try:
            return await _first_message(socket)
        finally:
            unknown -= 1

    @app.websocket("/v1/events")
    async def events(socket: WebSocket) -> None:
        headers = socket.headers
        cookie = cookie_token(headers.get("cookie"))
        if bearer_token(headers.get("authorization")):
            cookie = None  # a program that was given a token goes by it
        if cookie and not same_origin(headers.get("origin"), headers.get("host")):
            await socket.close()  # before it is accepted: the handshake is answered with 403
            return
        await socket.accept()
        token = bearer_token(headers.get("authorization")) or cookie
        if token is None and unknown >= MOST_UNKNOWN:
            await socket.close(TRY_AGAIN, "too many without a token")
            return
        token = token or await told_by(socket)
        caller = auth.identify(token)
        if cookie and caller is not None and caller.agent is None:
            caller = None  # an integration's token has no business in a cookie
        if caller is None:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.close(UNAUTHORIZED, "unauthorized")
            return
        # Subscribed before the snapshot is taken, so that nothing falls between the two.
        queue = switchboard.subscribe()
        try:
            login = auth.login_of(token) if token else None
            ended = login.ended if login is not None else asyncio.Event()
            await _serve(
                socket, queue, snapshot, caller, lambda: auth.identify(token) == caller, ended
            )
        finally:
            switchboard.unsubscribe(queue)


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
    snapshot: Callable[[Caller], str],
    caller: Caller,
    still_valid: Callable[[], bool],
    ended: asyncio.Event,
) -> None:
    sender = asyncio.create_task(_send(socket, queue, snapshot, caller, still_valid))
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
    snapshot: Callable[[Caller], str],
    caller: Caller,
    still_valid: Callable[[], bool],
) -> int:
    """Send until there is a reason to close, and return that as a close code."""
    await _send_one(socket, snapshot(caller))
    while True:
        try:
            event = queue.get_nowait() if not queue.empty() else await _next(queue)
        except TimeoutError:
            event = None
        if not still_valid():
            return UNAUTHORIZED
        if event is None:
            await _send_one(socket, as_text({"type": "alive", "now": iso_time(time.time())}))
            continue
        shared = event if isinstance(event, Shared) else Shared(event)
        text = shared.text_for(caller)
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


def _snapshot(switchboard: Switchboard, caller: Caller, roster: Roster) -> str:
    transfers = [visible_to(caller, transfer_event(view)) for view in switchboard.transfers()]
    rest = {
        "transfers": [event["transfer"] for event in transfers if event],
        "readiness": ready_out(switchboard.readiness()).model_dump(mode="json"),
    }
    agents = ", ".join(_agents(switchboard, caller, roster))
    now = as_text(iso_time(time.time()))
    return f'{{"type": "snapshot", "now": {now}, "agents": [{agents}], {as_text(rest)[1:]}'


def _agents(switchboard: Switchboard, caller: Caller, roster: Roster) -> Iterator[str]:
    """An integration sees all of every agent, and an agent only of themselves."""
    if caller.agent is None:
        for view in switchboard.agents():
            yield as_text(agent_event(view)["agent"])
        return
    for agent, text in roster.texts(switchboard.roster()):
        own = agent == caller.agent
        yield as_text(agent_event(switchboard.agent(agent))["agent"]) if own else text
