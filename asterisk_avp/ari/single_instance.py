"""One daemon for one Stasis application.

Asterisk hands an application to whoever connected last (`ApplicationReplaced`), so two daemons
would take it from each other for ever, and both act on the same calls. The rule that prevents it:

- Before it connects, a daemon asks whoever has the application, by an event to it
  (`AVPWhoServes`). A daemon that hears this answers in a global variable of Asterisk, at any time
  until it has left. Whoever gets an answer does not connect, and leaves.
- It writes its name into another global variable before it connects. A daemon that is replaced
  does nothing more, sees by that variable whether it was by another daemon, and asks: whoever gets
  an answer leaves. Without an answer it serves again, and what it knew of transfers is forgotten.

So of two, the one that serves stays, and where they start together the last to connect does. A
daemon that was killed locks nobody out: its connection has ended with it, which Asterisk says, and
nobody is asked. One that hangs, or whose machine is gone without a word, does so for
`answer_seconds`, after which it counts as gone.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any, Final

from asterisk_avp.ari.health_probe import EVENT_TYPE
from asterisk_avp.ari.resources import Applications, AsteriskInfo, Events
from asterisk_avp.core.model.errors import AriGone

ASK: Final = "AVPWhoServes"
OWNER: Final = "AVP_DAEMON"
"""The daemon that was the last to connect."""
ANSWER: Final = "AVP_DAEMON_ANSWER"
"""The number of the question, and who answers it."""

_POLL_SECONDS: Final = 0.1
_ALL: Final = "__AST_"
"""How the ids of Asterisk's topics of all channels and of all bridges begin (res/stasis/app.c,
``CHANNEL_ALL``). An application is subscribed to them only while a WebSocket has it: its end
unsubscribes (``stasis_app_unregister``)."""


class Sole:
    """`who` is what another daemon tells its administrator of this one."""

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

    async def other(self, *, seconds: float | None = None) -> str:
        """The daemon that has the application and is not this one; empty: there is none.

        `seconds` is how long the first request may take. Raises `AriError` and
        `AsteriskUnavailable`.
        """
        try:
            app = await self._applications.get(self._app, seconds=seconds)
        except AriGone:
            return ""
        subscribed = [*app.get("channel_ids", ()), *app.get("bridge_ids", ())]
        if not any(str(topic).startswith(_ALL) for topic in subscribed):
            return ""
        if await self.mine():
            return ""  # a connection of ours that Asterisk does not know to be lost
        question = secrets.token_hex(8)
        try:
            await self._events.user(self._app, ASK, {"question": question})
        except AriGone:
            return ""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._answer_seconds
        while loop.time() < deadline:
            number, _, who = (await self._asterisk.get_variable(ANSWER)).partition(" ")
            if number == question:
                return who or "unknown"
            await asyncio.sleep(_POLL_SECONDS)
        return ""

    async def owner(self) -> str:
        """The id of the daemon that was the last to connect; empty where Asterisk knows none."""
        return await self._asterisk.get_variable(OWNER)

    async def mine(self) -> bool:
        """Whether no other daemon has connected, or is about to, since this one did."""
        return await self.owner() == self._id

    async def claim(self) -> None:
        """To be done before connecting."""
        await self._asterisk.set_variable(OWNER, self._id)

    def asked(self, event: Mapping[str, Any]) -> str:
        """The number of the question that an event is; empty: it is none."""
        if event.get("type") != EVENT_TYPE or event.get("eventname") != ASK:
            return ""
        sent = event.get("userevent")
        return str(sent.get("question", "")) if isinstance(sent, dict) else ""

    async def answer(self, question: str) -> None:
        """Say that this daemon serves. Raises `AriError` and `AsteriskUnavailable`."""
        await self._asterisk.set_variable(ANSWER, f"{question} {self._who}")
