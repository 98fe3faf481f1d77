"""Does Asterisk still deliver events to our application?

A WebSocket may be open, and answer pings, while no event will ever come by it again: an application
can get into a deadlock in Asterisk (asterisk issue 2170), where REST requests about it hang as
well, or are answered as if nothing were wrong. So the application is sent an event of our own
every some seconds, which goes the way of all its events and has to come back.

A request that hangs in Asterisk keeps one of its HTTP sessions (100 by default, for everyone)
until it is restarted. So there is never more than one such question under way, and each that hangs
is left waiting for twice as long as the one before, up to a minute. One that is answered keeps
nothing: the next is asked at the next interval, so that a standstill that passes is known to have
passed before the callers' limits are over (`core.transfer.orphan_timeout`).
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
"""The type of our own events, which the event filter has to let through."""

NAME: Final = "AVPAlive"
PATIENCE_SECONDS: Final = 60.0
"""How long one question may stay unanswered, at most, before the next is asked."""
_OURS_SECONDS: Final = 0.1
"""A timer that is later than this was held up by ourselves, and so was what came meanwhile."""
_AGAIN_SECONDS: Final = 1.0
"""A request that failed is made once more before anything is made of it."""


class Pulse:
    """Asks every `interval_seconds`, and expects the event back within `deadline_seconds`.

    `changed` is told when `trouble` has changed.
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
        self._beat = ""
        self._echo: asyncio.Future[None] | None = None
        self._late: asyncio.TimerHandle
        self._failures = 0
        self._hung = 0
        """Questions in a row that were not even answered."""
        self._since = 0.0
        self.trouble = ""
        """A sentence for the administrator; empty while events come."""
        self.stuck = False
        """Whether the trouble is that events do not come although requests are answered, or not
        even these: not one error or another of Asterisk's."""

    def heard(self, event: Mapping[str, Any]) -> bool:
        """Take an event; whether it was one of ours."""
        if event.get("type") != EVENT_TYPE or event.get("eventname") != NAME:
            return False
        sent = event.get("userevent")
        echo = self._echo
        known = isinstance(sent, dict) and sent.get("beat") == self._beat
        if known and echo is not None and not echo.done():
            echo.set_result(None)
        return True

    def begin(self) -> None:
        """A new connection: nothing is wrong with it."""
        self.trouble, self.stuck, self._failures, self._hung = "", False, 0, 0

    async def run(self, forgotten: Callable[[], Awaitable[object]]) -> None:
        """Until cancelled, or until Asterisk knows no such application: `forgotten` is awaited."""
        while True:
            await asyncio.sleep(_AGAIN_SECONDS if self._failures == 1 else self._interval_seconds)
            try:
                await self._ask()
            except AriGone:
                log.warning("ari_app_forgotten", app=self._app)
                await forgotten()
                return

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        self._beat = secrets.token_hex(8)
        echo = self._echo = loop.create_future()
        seconds = min(self._deadline_seconds * 2.0 ** min(self._hung + 1, 9), PATIENCE_SECONDS)
        asked = asyncio.ensure_future(
            self._events.user(self._app, NAME, {"beat": self._beat}, seconds=seconds)
        )
        self._late = loop.call_later(self._deadline_seconds, self._look, asked)
        try:
            await asked
            if self._late.when() < loop.time():  # it hung, and was let go
                self._late = loop.call_later(self._deadline_seconds, self._look, asked)
            await echo
        except AriGone:
            raise
        except AsteriskSilent:
            self._hung += 1  # `_missed` has said so
        except (AriError, AsteriskUnavailable) as error:
            self._failures += 1
            if self._failures > 1 and not self.stuck:
                self._say(f"Asterisk's REST interface fails: {error}.", stuck=False)
        except TimeoutError:
            self._hung = 0  # `_missed` has said so
        else:
            self._failures = self._hung = 0
            self._say("", stuck=False)
        finally:
            self._late.cancel()
            asked.cancel()

    def _look(self, asked: asyncio.Future[None]) -> None:
        """The deadline is over; unless it was we who had no time to listen."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._late.when() > _OURS_SECONDS:
            self._late = loop.call_later(self._deadline_seconds, self._look, asked)
        elif self._echo is None or not self._echo.done():
            self._missed(answered=asked.done())
            if self._echo is not None and asked.done():
                self._echo.set_exception(TimeoutError())

    def _missed(self, *, answered: bool) -> None:
        if answered:
            what = f"delivers no events to the Stasis application {self._app}"
        else:
            what = f"answers no requests about the Stasis application {self._app}"
        self._say(
            f"Asterisk {what}, although the connection stands. Calls go on; if this does not pass, "
            "restart Asterisk when calls allow it (core restart gracefully; asterisk issue 2170).",
            stuck=True,
        )

    def _say(self, trouble: str, *, stuck: bool) -> None:
        if trouble == self.trouble:
            return
        if trouble and not self.trouble:
            self._since = time.monotonic()
            log.error("ari_app_stuck" if stuck else "ari_failing", app=self._app, hint=trouble)
        elif not trouble:
            seconds = round(time.monotonic() - self._since, 1)
            log.warning("ari_app_recovered", app=self._app, after_seconds=seconds)
        self.trouble, self.stuck = trouble, stuck
        self._changed()
