"""Single-instance guard: one daemon for each Stasis application.

Asterisk gives an application to the last client that connected (`ApplicationReplaced`), so two
daemons would take it from each other forever, and both would act on the same calls. The protocol
that prevents it:

- Before it connects, a daemon sends an event to the application (`AVPWhoServes`). The daemon that
  owns the application answers in a global variable of Asterisk, until it has exited. A daemon that
  gets an answer does not connect, and exits.
- A daemon writes its id into another global variable before it connects. A daemon that is replaced
  stops acting, checks that variable to see whether another daemon replaced it, and sends the event:
  if it gets an answer, it exits; otherwise it serves again, and drops its state of transfers.

So of two daemons, the one that serves remains; if both start at once, the last to connect remains.
A killed daemon does not lock out others: Asterisk reports that its connection has ended, and no
event is sent. A daemon that hangs, or whose machine has vanished, counts as gone after
`answer_seconds`.

A daemon that stops says so in a third variable, with its id. A standby (`service.standby`) answers
in a fourth, and serves as soon as the application has no owner.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any, Final

import structlog

from asterisk_avp.ari.health_probe import EVENT_TYPE
from asterisk_avp.ari.resources import Applications, AsteriskInfo, Events
from asterisk_avp.ari.rest import AriRest
from asterisk_avp.core.model.errors import AriError, AriGone, AsteriskUnavailable, OtherDaemon

log = structlog.get_logger(__name__)

ASK: Final = "AVPWhoServes"
OWNER: Final = "AVP_DAEMON"
"""The id of the daemon that connected last."""
ANSWER: Final = "AVP_DAEMON_ANSWER"
"""The id of the question, and the name of the daemon that answers."""
LEAVING: Final = "AVP_DAEMON_LEAVING"
"""The id of the daemon that is about to stop."""
SUCCESSOR: Final = "AVP_DAEMON_SUCCESSOR"
"""That id, and the name of the standby that will take its place."""

_POLL_SECONDS: Final = 0.1
_LONGEST: Final = 80
"""Of these values, as for names (`core.messages.clean`)."""
_ASKED_AGAIN: Final = 2
"""How many more times a daemon that has taken our place is asked before it counts as gone."""
_ALL: Final = "__AST_"
"""Prefix of the ids of Asterisk's topics for all channels and all bridges (res/stasis/app.c,
``CHANNEL_ALL``). An application is subscribed to them only while a WebSocket owns it: its end
unsubscribes (``stasis_app_unregister``)."""


class SingleInstanceGuard:
    """`who` names this daemon in the messages of others."""

    def __init__(
        self,
        asterisk: AsteriskInfo,
        applications: Applications,
        events: Events,
        app: str,
        who: str,
        *,
        answer_seconds: float,
    ) -> None:
        self._asterisk = asterisk
        self._applications = applications
        self._events = events
        self._app = app
        self._who = who
        self._answer_seconds = answer_seconds
        self._id = secrets.token_hex(8)

    async def enter(self, *, served: bool, seconds: float) -> bool:
        """Claim the application before connecting.

        ``served``: this daemon has been connected before. `seconds` limits the first request.
        Returns whether another daemon owned the application meanwhile and has gone. Raises
        `OtherDaemon` if another daemon owns it, `AriError` and `AsteriskUnavailable`.
        """
        self._leave_it_to_another(await self.other_daemon(seconds=seconds))
        replaced = served and bool(await self.owner()) and not await self.is_owner()
        if replaced:
            for _ in range(_ASKED_AGAIN):  # another daemon has connected; it may only be slow
                self._leave_it_to_another(await self.other_daemon())
            log.error("other_daemon_was_active", app=self._app, hint="and is gone")
        await self._asterisk.set_variable(OWNER, self._id)
        return replaced

    def _leave_it_to_another(self, who: str) -> None:
        if who:
            raise OtherDaemon(
                f"Another daemon serves the Stasis application {self._app}: {who}. "
                "Each Asterisk can have only one: stop the other daemon, or this one."
            )

    async def owned(self, *, seconds: float | None = None) -> bool:
        """Whether a connection owns the application.

        `seconds` limits the request. Raises `AriError` and `AsteriskUnavailable`.
        """
        try:
            app = await self._applications.get(self._app, seconds=seconds)
        except AriGone:
            return False
        subscribed = [*app.get("channel_ids", ()), *app.get("bridge_ids", ())]
        return any(str(topic).startswith(_ALL) for topic in subscribed)

    async def other_daemon(self, *, seconds: float | None = None) -> str:
        """The other daemon that owns the application; empty: none.

        `seconds` limits the first request. Raises `AriError` and `AsteriskUnavailable`.
        """
        if not await self.owned(seconds=seconds) or await self.is_owner():
            return ""  # or our own lost connection, which Asterisk has not noticed
        return await self.ask(self._answer_seconds)

    async def ask(self, answer_seconds: float, *, by_standby: bool = False) -> str:
        """The name of the daemon that owns the application; empty: no answer in time.

        ``by_standby``: it is no reproach. The time in which Asterisk itself does not answer does
        not count, up to four times as long. Raises `AriError` and `AsteriskUnavailable`.
        """
        question = secrets.token_hex(8)
        try:
            more = {"standby": "1"} if by_standby else {}
            await self._events.user(self._app, ASK, {"question": question, **more})
        except AriGone:
            return ""
        loop = asyncio.get_running_loop()
        now = loop.time()
        deadline, latest = now + answer_seconds, now + 4 * answer_seconds
        while now < min(deadline, latest):
            asked = now
            number, _, who = (await self._asterisk.get_variable(ANSWER)).partition(" ")
            if number == question:
                return who or "unknown"
            if by_standby:
                deadline += loop.time() - asked
            await asyncio.sleep(_POLL_SECONDS)
            now = loop.time()
        return ""

    async def leave(self, seconds: float) -> str:
        """Say that this daemon stops; the name of the standby that serves then, empty: none.

        Raises `AriError` and `AsteriskUnavailable`.
        """
        await self._asterisk.set_variable(LEAVING, self._id)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while loop.time() < deadline:
            leaving, _, who = (await self._asterisk.get_variable(SUCCESSOR)).partition(" ")
            if leaving == self._id:
                return who or "unknown"
            await asyncio.sleep(_POLL_SECONDS / 2)
        return ""

    async def leaving(self) -> str:
        """The id of the owner, if it is about to stop; empty: it is not."""
        said = await self._asterisk.get_variable(LEAVING)
        return said if said and said == await self.owner() else ""

    async def succeed(self, leaving: str) -> None:
        """Tell the daemon of that id that this standby takes its place."""
        await self._asterisk.set_variable(SUCCESSOR, f"{leaving} {self._who}"[:_LONGEST])

    async def owner(self) -> str:
        """The id of the daemon that connected last; empty: none."""
        return await self._asterisk.get_variable(OWNER)

    async def is_owner(self) -> bool:
        """Whether no other daemon has connected, or is about to, since this one connected."""
        return await self.owner() == self._id

    @staticmethod
    def of_standby(event: Mapping[str, Any]) -> bool:
        """Whether the question in an event is a standby's."""
        sent = event.get("userevent")
        return isinstance(sent, dict) and sent.get("standby") == "1"

    def question_in(self, event: Mapping[str, Any]) -> str:
        """The id of the question in an event; empty: not a question."""
        if event.get("type") != EVENT_TYPE or event.get("eventname") != ASK:
            return ""
        sent = event.get("userevent")
        return str(sent.get("question", "")) if isinstance(sent, dict) else ""

    async def answer(self, question: str, *, to_standby: bool = False) -> None:
        """Answer that this daemon serves. A failure is logged."""
        if to_standby:
            log.warning("standby_answered", hint="it had no answer from this daemon's API")
        else:
            log.error(
                "other_daemon_rejected",
                app=self._app,
                hint="this daemon serves and has told the other, which should exit",
            )
        try:
            await self._asterisk.set_variable(ANSWER, f"{question} {self._who}"[:_LONGEST])
        except (AriError, AsteriskUnavailable) as error:
            log.warning("other_daemon_answer_failed", error=str(error))


def new_guard(rest: AriRest, app: str, who: str, answer_seconds: float) -> SingleInstanceGuard:
    """The guard of ``app``, with requests by ``rest``."""
    return SingleInstanceGuard(
        AsteriskInfo(rest),
        Applications(rest),
        Events(rest),
        app,
        who,
        answer_seconds=answer_seconds,
    )
