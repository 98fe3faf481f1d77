"""The WebSocket `/v1/events`: what changes, as it changes.

The token comes in the `Authorization` header or as the first message, ``{"token": …}``, within
`FIRST_MESSAGE_SECONDS`. Then come a ``snapshot`` of all that can be seen (agents, transfers,
readiness) and one message for each change after it: ``agent``, ``transfer``, ``readiness``, …,
with the objects of the GETs. Nothing is expected from the client after its token.

What an agent's token sees is in `visibility`.

Close codes: 4401 no valid token, or it ended; 1013 the client did not keep up and has to start
again, since an old state must never look live.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from starlette.websockets import WebSocket, WebSocketDisconnect

from asterisk_avp.api.auth import Authenticator, Caller
from asterisk_avp.api.http import bearer_token
from asterisk_avp.api.port import Switchboard
from asterisk_avp.api.schemas import agent_event, ready_out, transfer_event
from asterisk_avp.api.visibility import visible_to

FIRST_MESSAGE_SECONDS = 5.0
SEND_SECONDS = 10.0
_TOKEN_CHECK_SECONDS = 30.0

UNAUTHORIZED = 4401
TRY_AGAIN = 1013


def add_events_route(app: FastAPI, switchboard: Switchboard, auth: Authenticator) -> None:
    @app.websocket("/v1/events")
    async def events(socket: WebSocket) -> None:
        await socket.accept()
        token = bearer_token(socket.headers.get("authorization")) or await _first_message(socket)
        caller = auth.identify(token)
        if caller is None:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.close(UNAUTHORIZED, "unauthorized")
            return
        # Subscribed before the snapshot is taken, so that nothing falls between the two.
        queue = switchboard.subscribe()
        try:
            await _serve(socket, queue, switchboard, caller, lambda: auth.identify(token) == caller)
        finally:
            switchboard.unsubscribe(queue)


async def _first_message(socket: WebSocket) -> str | None:
    try:
        async with asyncio.timeout(FIRST_MESSAGE_SECONDS):
            message = json.loads(await socket.receive_text())
    except (TimeoutError, ValueError, KeyError, WebSocketDisconnect):
        return None
    token = message.get("token") if isinstance(message, dict) else None
    return token if isinstance(token, str) else None


async def _serve(
    socket: WebSocket,
    queue: asyncio.Queue[Mapping[str, Any]],
    switchboard: Switchboard,
    caller: Caller,
    still_valid: Callable[[], bool],
) -> None:
    sender = asyncio.create_task(_send(socket, queue, switchboard, caller, still_valid))
    watcher = asyncio.create_task(_until_closed(socket))
    try:
        done, _ = await asyncio.wait({sender, watcher}, return_when=asyncio.FIRST_COMPLETED)
        code = sender.result() if sender in done else None
        if code is not None:
            await socket.close(code)
    except (RuntimeError, WebSocketDisconnect, TimeoutError):
        pass  # the client is gone, or takes nothing any more
    finally:
        for task in (sender, watcher):
            task.cancel()
        await asyncio.gather(sender, watcher, return_exceptions=True)


async def _send(
    socket: WebSocket,
    queue: asyncio.Queue[Mapping[str, Any]],
    switchboard: Switchboard,
    caller: Caller,
    still_valid: Callable[[], bool],
) -> int:
    """Send until there is a reason to close, and return that as a close code."""
    await _send_one(socket, _snapshot(switchboard, caller))
    while True:
        try:
            async with asyncio.timeout(_TOKEN_CHECK_SECONDS):
                event = await queue.get()
        except TimeoutError:
            event = None
        if not still_valid():
            return UNAUTHORIZED
        if event is None:
            continue
        visible = visible_to(caller, event)
        if visible is not None:
            await _send_one(socket, visible)
        if event.get("type") == "overflow":
            return TRY_AGAIN


async def _send_one(socket: WebSocket, event: Mapping[str, Any]) -> None:
    text = json.dumps(event, ensure_ascii=False).encode("utf-8", "replace").decode()
    async with asyncio.timeout(SEND_SECONDS):
        await socket.send_text(text)


async def _until_closed(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


def _snapshot(switchboard: Switchboard, caller: Caller) -> dict[str, Any]:
    agents = [visible_to(caller, agent_event(view)) for view in switchboard.agents()]
    transfers = [visible_to(caller, transfer_event(view)) for view in switchboard.transfers()]
    return {
        "type": "snapshot",
        "agents": [event["agent"] for event in agents if event],
        "transfers": [event["transfer"] for event in transfers if event],
        "readiness": ready_out(switchboard.readiness()).model_dump(mode="json"),
    }
