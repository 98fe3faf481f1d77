"""The ARI client: one WebSocket that comes back by itself, and the requests.

    client = AriClient("http://127.0.0.1:8088/ari", "avp", password, "asterisk_avp")
    task = asyncio.create_task(client.run(on_event, on_connected))
    await client.channels.originate("Local/1002@avp-agent-queue", app="asterisk_avp", channel_id=…)

The vocabulary is that of ari-py, which does not run on Python 3.

Events that happen while the WebSocket is down are lost and channels stay in Stasis: whoever hears
`on_connected(True)` has to compare its view with `client.channels.list()`.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import aiohttp
import structlog

from asterisk_avp.ari.resources import Applications, AsteriskInfo, Bridges, Channels, Playbacks
from asterisk_avp.ari.rest import AriRest
from asterisk_avp.core.errors import AriError, AsteriskUnavailable

log = structlog.get_logger(__name__)

OnEvent = Callable[[Mapping[str, Any]], None]
OnConnected = Callable[[bool], None]
WebSocket: TypeAlias = "aiohttp.ClientWebSocketResponse[bool]"

_REPLACED = "ApplicationReplaced"
_CLOSING = frozenset(
    {
        aiohttp.WSMsgType.CLOSE,
        aiohttp.WSMsgType.CLOSING,
        aiohttp.WSMsgType.CLOSED,
        aiohttp.WSMsgType.ERROR,
    }
)


class AriClient:
    """ARI as the daemon uses it.

    All times are in seconds. `heartbeat_seconds` is the interval of WebSocket pings; a connection
    without a pong for half of it more is given up. `event_types` are the types of event that
    Asterisk may send, all of them if empty. `subscriptions` are event sources.
    `replaced_pause_seconds` is how long the client leaves the app to a program that took it over
    (ApplicationReplaced) before it takes it back; two daemons by mistake must not do so all the
    time.
    """

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        app: str,
        *,
        request_timeout_seconds: float = 3.0,
        event_types: Sequence[str] = (),
        subscriptions: Sequence[str] = ("channel:", "bridge:"),
        heartbeat_seconds: float = 5.0,
        backoff_initial_seconds: float = 0.2,
        backoff_max_seconds: float = 5.0,
        replaced_pause_seconds: float = 15.0,
    ) -> None:
        for source in subscriptions:
            # A WebSocket that closes while a device state is on its way to it blocks the app in
            # Asterisk for good (asterisk issue 2170).
            if not source.startswith(("channel:", "bridge:", "endpoint:")):
                raise ValueError(f"no subscription to {source!r}: it can block Asterisk")
        self._rest = AriRest(url, username, password, timeout_seconds=request_timeout_seconds)
        self.channels = Channels(self._rest)
        self.bridges = Bridges(self._rest)
        self.applications = Applications(self._rest)
        self.asterisk = AsteriskInfo(self._rest)
        self.playbacks = Playbacks(self._rest)
        self.app = app
        self._connect_seconds = request_timeout_seconds
        # The filter applies to ApplicationReplaced as well, and without it nobody would notice.
        self._event_types = [*dict.fromkeys((*event_types, _REPLACED))] if event_types else []
        self._subscriptions = tuple(subscriptions)
        self._heartbeat_seconds = heartbeat_seconds
        self._backoff_initial_seconds = backoff_initial_seconds
        self._backoff_max_seconds = backoff_max_seconds
        self._replaced_pause_seconds = replaced_pause_seconds
        self._connected = False

    def __repr__(self) -> str:
        state = "connected" if self._connected else "not connected"
        return f"<AriClient {self._rest.username} at {self._rest.base}, app {self.app}, {state}>"

    @property
    def connected(self) -> bool:
        """Whether the WebSocket is up, with its filter and subscriptions."""
        return self._connected

    async def run(self, on_event: OnEvent, on_connected: OnConnected) -> None:
        """Keep a WebSocket until cancelled.

        `on_event` gets every event as Asterisk sent it. `on_connected` hears True once the event
        filter and the subscriptions are set, before the first event of that connection, and False
        when it is lost. Neither may block; what they raise is logged and otherwise ignored.
        """
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            opened_at: float | None = None
            replaced = False
            try:
                async with self._websocket() as websocket:
                    await self._prepare()
                    opened_at = loop.time()
                    log.info("ari_connected", url=self._rest.base, app=self.app)
                    self._connected = True
                    try:
                        _tell(on_connected, connected=True)
                        replaced = await self._read(websocket, on_event)
                    finally:
                        # Before the WebSocket's closing handshake, which may take its time.
                        self._connected = False
                        _tell(on_connected, connected=False)
                    if not replaced:
                        log.warning("ari_lost", url=self._rest.base, reason=_why(websocket))
            except TimeoutError:
                log.warning("ari_unavailable", url=self._rest.base, reason="no answer in time")
            except aiohttp.WSServerHandshakeError as error:
                # Not its text, which may repeat the headers of the request.
                refused = error.status in {401, 403}
                log.error(  # noqa: TRY400
                    "ari_login_refused" if refused else "ari_unavailable",
                    url=self._rest.base,
                    username=self._rest.username,
                    status=error.status,
                )
            except (aiohttp.ClientError, OSError, AriError, AsteriskUnavailable) as error:
                log.warning("ari_unavailable", url=self._rest.base, reason=str(error))
            # A connection that ends at once counts as a failure as well, so that Asterisk is not
            # asked for a new one several times a second.
            if opened_at is not None and loop.time() - opened_at > self._backoff_max_seconds:
                failures = 0
            if replaced:
                log.error("ari_application_replaced", app=self.app)
                await asyncio.sleep(self._replaced_pause_seconds)
            else:
                await asyncio.sleep(self._pause_seconds(failures))
            failures += 1

    async def close(self) -> None:
        """Close the HTTP connections. Cancel `run` first."""
        await self._rest.close()

    @asynccontextmanager
    async def _websocket(self) -> AsyncIterator[WebSocket]:
        # subscribeAll is never asked for: it includes device states (see __init__).
        async with self._rest.session().ws_connect(
            self._rest.url("/events", {"app": self.app, "subscribeAll": "false"}),
            heartbeat=self._heartbeat_seconds,
            timeout=aiohttp.ClientWSTimeout(ws_close=self._connect_seconds),
        ) as websocket:
            yield websocket

    async def _prepare(self) -> None:
        """Set the event filter, then subscribe; in the other order everything would pour in."""
        await self.applications.set_event_filter(self.app, self._event_types)
        if self._subscriptions:
            await self.applications.subscribe(self.app, self._subscriptions)

    async def _read(self, websocket: WebSocket, on_event: OnEvent) -> bool:
        """Deliver events until the WebSocket ends; True if another program took the app over."""
        while True:
            message = await websocket.receive()
            if message.type in _CLOSING:
                return False
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            event = _parse(message.data)
            if event is None:
                continue
            try:
                on_event(event)
            except Exception:
                log.exception("ari_event_handler_failed", event_type=event.get("type"))
            # From here on Asterisk sends this WebSocket nothing, but keeps it open.
            if event.get("type") == _REPLACED and event.get("application") == self.app:
                return True

    def _pause_seconds(self, failures: int) -> float:
        """Exponential back-off with jitter, so that many clients do not return in step."""
        ceiling = self._backoff_initial_seconds * 2.0 ** min(failures, 16)
        return min(ceiling, self._backoff_max_seconds) * random.uniform(0.5, 1.0)  # noqa: S311


def _parse(text: str) -> Mapping[str, Any] | None:
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        log.warning("ari_malformed_event", characters=len(text))
        return None
    return event


def _why(websocket: WebSocket) -> str:
    error = websocket.exception()
    return str(error or f"closed with code {websocket.close_code}")


def _tell(on_connected: OnConnected, *, connected: bool) -> None:
    try:
        on_connected(connected)
    except Exception:
        log.exception("ari_connection_handler_failed", connected=connected)
