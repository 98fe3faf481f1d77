"""Health probe: check that Asterisk still delivers events to our application.

A WebSocket can be open and answer pings while it delivers no more events: an application can
deadlock in Asterisk (asterisk issue 2170). REST requests about it then hang as well, or succeed as
if nothing were wrong. So the probe sends the application an event of our own at intervals, which
must arrive on the WebSocket like any other event.

A request that hangs occupies one of Asterisk's HTTP sessions (100 by default, for all clients)
until Asterisk restarts. So at most one probe is in flight, and each that hangs waits twice as long
as the one before, up to a minute. A probe that is answered occupies nothing, and the next follows
at the next interval, so that the end of a stall is noticed before the callers' orphan timeouts
expire (`service.orphan_timeout`).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog

from asterisk_avp.ari.resources import Events
from asterisk_avp.core.model.errors import AriError, AriGone, AsteriskSilent, AsteriskUnavailable

log = structlog.get_logger(__name__)

EVENT_TYPE: Final = "ChannelUserevent"
"""The type of our own events, which the event filter must allow."""

NAME: Final = "AVPAlive"
MAX_WAIT_SECONDS: Final = 60.0
"""The longest wait for the response to one probe."""
_OWN_DELAY_SECONDS: Final = 0.1
"""A timer that fires this late was delayed by our own process, and so were received events."""
_RETRY_SECONDS: Final = 1.0
"""A failed request is repeated once after this time before it counts."""


class HealthProbe:
    """Probe every `interval_seconds`, and expect the event within `deadline_seconds`.

    `changed` is called when `trouble` has changed.
    """

    def __init__(
        self,
        events: Events,
        app: str,
        *,
        interval_seconds: float,
        deadline_seconds: float,
        changed: Callable[[], None],
    ) -> None:
        self._events = events
        self._app = app
        self._interval_seconds = interval_seconds
        self._deadline_seconds = deadline_seconds
        self._changed = changed
        self._nonce = ""
        self._returned: asyncio.Future[None] | None = None
        self._deadline_timer: asyncio.TimerHandle
        self._failures = 0
        self._unanswered = 0
        """Consecutive probes without a response."""
        self._since = 0.0
        self.trouble = ""
        """A sentence for the administrator; empty while events arrive."""
        self.stuck = False
        """Whether the trouble is missing events or responses, and not an error from Asterisk."""

    def handle(self, event: Mapping[str, Any]) -> bool:
        """Process an event; return whether it was one of ours."""
        if event.get("type") != EVENT_TYPE or event.get("eventname") != NAME:
            return False
        sent = event.get("userevent")
        returned = self._returned
        known = isinstance(sent, dict) and sent.get("beat") == self._nonce
        if known and returned is not None and not returned.done():
            returned.set_result(None)
        return True

    def reset(self) -> None:
        """Forget all trouble, for a new connection."""
        self.trouble, self.stuck, self._failures, self._unanswered = "", False, 0, 0

    async def run(self, on_app_missing: Callable[[], Awaitable[object]]) -> None:
        """Until cancelled, or until Asterisk knows no such application: `forgotten` is awaited."""
        while True:
            await asyncio.sleep(_RETRY_SECONDS if self._failures == 1 else self._interval_seconds)
            try:
                await self._ask()
            except AriGone:
                log.warning("ari_app_missing", app=self._app)
                await on_app_missing()
                return

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        self._nonce = secrets.token_hex(8)
        returned = self._returned = loop.create_future()
        seconds = min(
            self._deadline_seconds * 2.0 ** min(self._unanswered + 1, 9), MAX_WAIT_SECONDS
        )
        request = asyncio.ensure_future(
            self._events.user(self._app, NAME, {"beat": self._nonce}, seconds=seconds)
        )
        self._deadline_timer = loop.call_later(
            self._deadline_seconds, self._deadline_passed, request
        )
        try:
            await request
            if self._deadline_timer.when() < loop.time():  # it hung, and was let go
                self._deadline_timer = loop.call_later(
                    self._deadline_seconds, self._deadline_passed, request
                )
            await returned
        except AriGone:
            raise
        except AsteriskSilent:
            self._unanswered += 1  # `_missed` has said so
        except (AriError, AsteriskUnavailable) as error:
            self._failures += 1
            if self._failures > 1 and not self.stuck:
                self._set_trouble(f"Asterisk's REST interface fails: {error}.", stuck=False)
        except TimeoutError:
            self._unanswered = 0  # `_missed` has said so
        else:
            self._failures = self._unanswered = 0
            self._set_trouble("", stuck=False)
        finally:
            self._deadline_timer.cancel()
            request.cancel()

    def _deadline_passed(self, request: asyncio.Future[None]) -> None:
        """The deadline has passed. Extend it if our own process was delayed."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._deadline_timer.when() > _OWN_DELAY_SECONDS:
            self._deadline_timer = loop.call_later(
                self._deadline_seconds, self._deadline_passed, request
            )
        elif self._returned is None or not self._returned.done():
            self._report_missing(answered=request.done())
            if self._returned is not None and request.done():
                self._returned.set_exception(TimeoutError())

    def _report_missing(self, *, answered: bool) -> None:
        if answered:
            what = f"delivers no events to the Stasis application {self._app}"
        else:
            what = f"answers no requests about the Stasis application {self._app}"
        self._set_trouble(
            f"Asterisk {what}, although the connection stands. Calls go on; if this does not pass, "
            "restart Asterisk when calls allow (core restart gracefully; asterisk issue 2170).",
            stuck=True,
        )

    def _set_trouble(self, trouble: str, *, stuck: bool) -> None:
        if trouble == self.trouble:
            return
        if trouble and not self.trouble:
            self._since = time.monotonic()
            log.error(
                "ari_app_stuck" if stuck else "ari_requests_failing", app=self._app, hint=trouble
            )
        elif not trouble:
            seconds = round(time.monotonic() - self._since, 1)
            log.warning("ari_app_recovered", app=self._app, after_seconds=seconds)
        self.trouble, self.stuck = trouble, stuck
        self._changed()
