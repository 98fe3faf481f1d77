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
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import aiohttp
import structlog

from asterisk_avp.ari.health_probe import EVENT_TYPE, MAX_WAIT_SECONDS, HealthProbe
from asterisk_avp.ari.request_sockets import RequestSockets, keep_open
from asterisk_avp.ari.resources import (
    Applications,
    AsteriskInfo,
    Bridges,
    Channels,
    Endpoints,
    Events,
    Playbacks,
)
from asterisk_avp.ari.rest import AriRest
from asterisk_avp.ari.single_instance import SingleInstanceGuard, new_guard
from asterisk_avp.core.model.errors import AriError, AsteriskSilent, AsteriskUnavailable
from asterisk_avp.runtime.backoff import Backoff
from asterisk_avp.runtime.tasks import TaskSet

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


class _Replaced(Exception):
    """Another program has taken over the application, or is about to."""


class AriClient:
    """ARI as the daemon uses it.

    All times are in seconds. `heartbeat_seconds` is the interval of WebSocket pings; the client
    closes a connection without a pong for 1.5 times as long. `event_types` are the types of event
    that Asterisk may send, all of them if empty. `subscriptions` are event sources.
    `replaced_pause_seconds`: pause after another program has taken over the application
    (ApplicationReplaced), before the client takes it back; a daemon that answers keeps it.
    `answer_seconds`: how long that daemon may take to answer; None: as long as a request.

    With `who`, a name for this process, the client ensures that no other daemon owns the
    application (`asterisk_avp.ari.single_instance`), and checks every `probe_seconds` that Asterisk
    delivers events (`asterisk_avp.ari.health_probe`). `outdated` is called before the client
    reconnects if another daemon owned the application meanwhile and has gone: the known state of
    transfers is out of date.
    """

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        app: str,
        *,
        who: str = "",
        outdated: Callable[[], None] = lambda: None,
        request_timeout_seconds: float = 3.0,
        event_types: Sequence[str] = (),
        subscriptions: Sequence[str] = ("channel:", "bridge:"),
        heartbeat_seconds: float = 5.0,
        probe_seconds: float = 5.0,
        backoff_initial_seconds: float = 0.2,
        backoff_max_seconds: float = 5.0,
        replaced_pause_seconds: float = 15.0,
        answer_seconds: float | None = None,
    ) -> None:
        for source in subscriptions:
            # A WebSocket that closes while a device state is being sent to it blocks the
            # application in Asterisk permanently (asterisk issue 2170).
            if not source.startswith(("channel:", "bridge:", "endpoint:")):
                raise ValueError(f"no subscription to {source!r}: it can block Asterisk")
        self._rest, self._ungated = (
            AriRest(url, username, password, timeout_seconds=request_timeout_seconds) for _ in "ab"
        )
        self.channels = Channels(self._rest)
        self.bridges = Bridges(self._rest)
        self.applications = Applications(self._rest)
        self.asterisk = AsteriskInfo(self._rest)
        self.endpoints = Endpoints(self._rest)
        self.events = Events(self._rest)
        self.playbacks = Playbacks(self._rest)
        self.app = app
        self._connect_seconds = request_timeout_seconds
        # The filter also applies to our own events and to ApplicationReplaced.
        needed = (_REPLACED, EVENT_TYPE) if who else (_REPLACED,)
        self._event_types = [*dict.fromkeys((*event_types, *needed))] if event_types else []
        self._subscriptions = tuple(subscriptions)
        self._heartbeat_seconds = heartbeat_seconds
        self._backoff = Backoff(backoff_initial_seconds, backoff_max_seconds)
        self._replaced_pause_seconds = replaced_pause_seconds
        self._open = False
        self._told = False
        self._served = False
        self._hung = 0
        """Consecutive attempts without a response from Asterisk."""
        self._trouble = "Not connected to ARI yet."
        self._on_connected: OnConnected = lambda _connected: None
        self._health_probe: HealthProbe | None = None
        self._outdated = outdated
        self._instance_guard: SingleInstanceGuard | None = None
        self._background = TaskSet("ari")
        """The health probe, and answers to other daemons."""
        if who:
            self._health_probe = HealthProbe(
                self.events,
                app,
                interval_seconds=probe_seconds,
                deadline_seconds=request_timeout_seconds,
                changed=self._tell,
            )
            self._instance_guard = new_guard(
                self._ungated, app, who, answer_seconds or request_timeout_seconds
            )

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        return f"<AriClient {self._rest.username} at {self._rest.base}, app {self.app}, {state}>"

    @property
    def connected(self) -> bool:
        """Whether the WebSocket is up, with filter and subscriptions, and delivers events."""
        return self._open and not (self._health_probe and self._health_probe.trouble)

    @property
    def stuck(self) -> bool:
        """Whether the connection is up, but Asterisk no longer serves our application."""
        return self._open and self._health_probe is not None and self._health_probe.stuck

    @property
    def trouble(self) -> str:
        """Why it is not connected, as a sentence for the administrator; empty: connected."""
        if self._open:
            return self._health_probe.trouble if self._health_probe is not None else ""
        return self._trouble

    async def run(self, on_event: OnEvent, on_connected: OnConnected) -> None:
        """Keep a WebSocket open until cancelled.

        `on_event` gets every event as Asterisk sent it, except those that the client sends to
        itself. `on_connected` gets True once the event filter and the subscriptions are set, before
        the first event of the connection; False when the connection is lost or delivers no events;
        True when it delivers them again. Neither may block; their exceptions are logged.

        Raises `OtherDaemon` if another daemon owns the application, so that this one must exit.
        """
        loop = asyncio.get_running_loop()
        self._on_connected = on_connected
        failures = replacements = 0
        while True:
            began = loop.time()
            pause: float | None = None
            try:
                await self._connection(on_event)
            except _Replaced as replaced:
                # Replaced by a delayed connection of our own, by another daemon, which will answer,
                # or by another program, against which we must not fight continuously.
                replacements = replacements + 1 if failures else 1
                self._note("ari_application_replaced", str(replaced), error=True)
                if self._instance_guard is None or replacements > 1:
                    pause = self._replaced_pause_seconds
            except TimeoutError:
                self._hung += 1
                self._note("ari_unavailable", f"ARI at {self._rest.base}: no answer in time")
            except aiohttp.WSServerHandshakeError as error:
                # Without its text, which may contain the headers of the request.
                self._note_refusal(error.status, f"it answered {error.status}")
            except AriError as error:
                self._note_refusal(error.status, str(error))
            except AsteriskUnavailable as error:
                self._hung += isinstance(error, AsteriskSilent)
                self._note("ari_unavailable", str(error))
            except (aiohttp.ClientError, OSError) as error:
                self._note("ari_unavailable", f"ARI at {self._rest.base}: {error}")
            # A connection that ends at once counts as a failure too, so that the client does not
            # reconnect several times a second.
            if loop.time() - began > 2 * self._backoff.max_seconds + self._connect_seconds:
                failures = 0
            await asyncio.sleep(self._backoff.pause_seconds(failures) if pause is None else pause)
            failures += 1

    async def close(self) -> None:
        """Close the HTTP connections. Cancel `run` first."""
        await asyncio.gather(self._rest.close(), self._ungated.close())

    def use_gate(self, gate: Callable[[], Awaitable[None]]) -> None:
        """Await ``gate`` before each request, except those of the single-instance protocol."""
        self._rest.gate = gate

    @property
    def guard(self) -> SingleInstanceGuard | None:
        """What ensures that no other daemon owns the application; None without `who`."""
        return self._instance_guard

    async def _connection(self, on_event: OnEvent) -> None:
        """Open one WebSocket, if no other daemon owns the application, and read it to its end."""
        seconds = self._connect_seconds
        if self._hung:
            # A request that hangs occupies an HTTP session of Asterisk (see `ari.health_probe`). So
            # ping first, to find out whether only the application hangs, and wait longer for it.
            await AsteriskInfo(self._ungated).ping()
            seconds = min(seconds * 2.0 ** min(self._hung, 6), MAX_WAIT_SECONDS)
        guard = self._instance_guard
        if guard is not None and await guard.enter(served=self._served, seconds=seconds):
            self._outdated()
        async with self._websocket(self.app) as websocket:
            await self._prepare()
            self._hung = 0
            if guard is not None and not await guard.is_owner():
                raise _Replaced(f"another daemon is about to take the Stasis app {self.app}")
            log.info("ari_connected", url=self._rest.base, app=self.app)
            self._served = self._open = True
            try:
                if self._health_probe is not None:
                    self._health_probe.reset()
                    self._background.start(self._health_probe.run(websocket.close))
                self._background.start(self._keep_request_sockets())
                self._tell()
                await self._read(websocket, on_event)
            finally:
                # Before the WebSocket's closing handshake, which can take long.
                self._open = False
                self._trouble = f"The connection to ARI was lost: {_why(websocket)}."
                self._tell()
                self._background.cancel()
            log.warning("ari_connection_lost", url=self._rest.base, reason=_why(websocket))

    @asynccontextmanager
    async def _websocket(self, app: str) -> AsyncIterator[WebSocket]:
        # Without subscribeAll, which includes device states (see __init__).
        async with self._rest.session().ws_connect(
            self._rest.url("/events", {"app": app, "subscribeAll": "false"}),
            heartbeat=self._heartbeat_seconds,
            timeout=aiohttp.ClientWSTimeout(ws_close=self._connect_seconds),
        ) as websocket:
            yield websocket

    async def _keep_request_sockets(self) -> None:
        """Send requests over WebSockets as long as this connection stands, if Asterisk can."""
        sockets = RequestSockets(self._websocket, self.app, backoff=self._backoff)
        await keep_open(sockets, self.asterisk.version, self._rest.use_sockets)

    async def _prepare(self) -> None:
        """Set the event filter, then subscribe; the reverse order would deliver every event."""
        await self.applications.set_event_filter(self.app, self._event_types)
        if self._subscriptions:
            await self.applications.subscribe(self.app, self._subscriptions)

    async def _read(self, websocket: WebSocket, on_event: OnEvent) -> None:
        """Deliver events until the WebSocket ends. Raises `_Replaced`."""
        while True:
            message = await websocket.receive()
            if message.type in _CLOSING:
                return
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            event = _parse(message.data)
            if event is None or self._is_ours(event):
                continue
            try:
                on_event(event)
            except Exception:
                log.exception("ari_event_handler_failed", event_type=event.get("type"))
            # After this, Asterisk sends nothing on this WebSocket, but keeps it open.
            if event.get("type") == _REPLACED and event.get("application") == self.app:
                raise _Replaced(f"Another program has taken over the Stasis app {self.app}")

    def _is_ours(self, event: Mapping[str, Any]) -> bool:
        """Whether a daemon has sent the event; answers another daemon's question."""
        if self._health_probe is not None and self._health_probe.handle(event):
            return True
        guard = self._instance_guard
        question = guard.question_in(event) if guard is not None else ""
        if guard is not None and question:
            self._background.start(guard.answer(question, to_standby=guard.of_standby(event)))
        return bool(question)

    def _note_refusal(self, status: int, why: str) -> None:
        if status in {401, 403}:
            user = self._rest.username
            sentence = (
                f"ARI refuses the user {user!r}: {why}. Compare AVP_ARI__USERNAME and "
                "AVP_ARI__PASSWORD with ari.conf, where read_only must be no"
            )
            self._note("ari_login_refused", sentence, error=True)
        else:
            self._note("ari_unavailable", f"ARI at {self._rest.base}: {why}")

    def _note(self, event: str, sentence: str, *, error: bool = False) -> None:
        """Log why there is no connection, and keep it as `trouble`."""
        tell = log.error if error else log.warning
        tell(event, url=self._rest.base, app=self.app, reason=sentence)
        self._trouble = f"{sentence}."

    def _tell(self) -> None:
        """Call `on_connected` if `connected` has changed."""
        connected = self.connected
        if connected == self._told:
            return
        self._told = connected
        try:
            self._on_connected(connected)
        except Exception:
            log.exception("ari_connection_handler_failed", connected=connected)


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
