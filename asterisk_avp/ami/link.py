"""One AMI connection, from connect to loss, on panoramisk with the guards it lacks.

panoramisk connects, keeps the table of actions, gives them their ids and matches the answers. What
this module takes away from it, and why (panoramisk 1.4):

- Its reconnection, which sends the actions of the old connection again on the new one: a late
  `Redirect` would move a call that nobody asks for any more. Every connection has its own `Manager`
  here, so nothing can outlive it.
- Futures that stay pending for ever when the connection drops: every action has a deadline, and a
  drop fails all of them at once.
- Its decoding and its dispatch of events (see `asterisk_avp.ami.wire`): each event would be matched
  with the regular expression of every registered pattern.
- Its log, which writes whole actions, with the secret of `Login` among them.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Mapping
from itertools import count

import structlog

from asterisk_avp.ami.protocol import LinkManager, LinkProtocol, SilentLog
from asterisk_avp.ami.request import AmiRequest, Answered
from asterisk_avp.ami.wire import Headers, OnDefect, check_headers
from asterisk_avp.core.model.errors import (
    AmiError,
    AmiTampered,
    AsteriskSilent,
    AsteriskUnavailable,
)

log = structlog.get_logger(__name__)

OnEvent = Callable[[Mapping[str, str]], None]

#: Asterisk waits a second before it refuses a login (main/manager.c, action_login).
_LOGIN_PENALTY_SECONDS = 1.0
#: How long a deliberate close waits for Asterisk's goodbye.
_GOODBYE_SECONDS = 0.5
#: Unanswered pings in a row after which a connection is given up although events still arrive.
#: Asterisk runs the actions of a connection one after the other, so a slow one delays the pong.
_MAX_UNANSWERED_PINGS = 3
_PING = "Ping"


class AmiLink:
    """A connection that is used once: `open`, `start_events`, `watch`, `close`."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        on_event: OnEvent,
        action_seconds: float,
        wanted: Collection[str] | None = None,
        on_defect: OnDefect | None = None,
    ) -> None:
        self._tell_defect = on_defect
        self.looks = on_defect is not None
        #: No caller can guess it, so nobody can write an answer to an action of ours.
        self.nonce = secrets.token_hex(16)
        self._address = f"{host}:{port}"
        self._on_event = on_event
        self._action_seconds = action_seconds
        self._held_events: list[Mapping[str, str]] | None = []
        self._protocol: LinkProtocol | None = None
        self._lost = asyncio.Event()
        self._lost_reason = ""
        self._numbers = count(1)
        self._overdue: set[str] = set()
        """Ids of actions whose answers nobody waits for any more, and which are still to come."""
        self._manager = LinkManager(
            host=host,
            port=port,
            protocol_factory=lambda: LinkProtocol(self, wanted),
            reconnect_timeout=0,
            log=SilentLog(),
        )

    @property
    def lost_reason(self) -> str:
        """Why the connection ended, empty while it stands."""
        return self._lost_reason

    @property
    def silent(self) -> bool:
        """Whether an action has been without an answer for longer than it may."""
        return bool(self._overdue)

    def next_id(self) -> str:
        """An ActionID for the next action."""
        return f"{self.nonce}/{next(self._numbers)}"

    def answered(self, action_id: str) -> None:
        """An answer has come, in time or not."""
        if action_id in self._overdue:
            self._overdue.clear()  # they come in order: none before it will come any more

    async def open(self, username: str, secret: str, events: str) -> str:
        """Connect, wait for the greeting, log in; return the protocol version of the greeting.

        Raises `AmiError` when Asterisk refuses the login, `AsteriskUnavailable` for the rest.
        """
        try:
            async with asyncio.timeout(self._action_seconds):
                await self._manager.connect()
                protocol = self._manager.protocol
                # The secret goes out only to something that has greeted us as AMI.
                if not self._lost.is_set():
                    await protocol.greeted.wait()
        except TimeoutError:
            raise AsteriskUnavailable(
                f"AMI at {self._address} did not greet us within {self._action_seconds} s"
            ) from None
        except OSError as error:
            raise AsteriskUnavailable(f"AMI at {self._address}: {error}") from None
        if not self._lost.is_set():
            self._protocol = protocol
            credentials = {"Username": username, "Secret": secret, "Events": events}
            await self.request(
                "Login", credentials, seconds=self._action_seconds + _LOGIN_PENALTY_SECONDS
            )
        if self._lost.is_set():
            raise AsteriskUnavailable(f"AMI at {self._address}: {self._lost_reason}")
        return str(protocol.frames.version)

    def start_events(self) -> None:
        """Deliver the events held back since the login, and from now on each as it arrives.

        The first events follow the answer to the login in the same segment; without this they
        would come before the owner has said that we are connected.
        """
        held, self._held_events = self._held_events, None
        for message in held or ():
            self.deliver(message)

    async def watch(self, ping_seconds: float) -> None:
        """Return once the connection is lost; ping Asterisk so that silence is noticed as well."""
        unanswered = 0
        while not await self._lost_within(ping_seconds):
            heard_before = self._protocol.messages if self._protocol else 0
            try:
                await self.request(_PING)
                unanswered = 0
                self._overdue.clear()  # a list, say, that was too long for its time
            except AmiError:
                unanswered = 0  # An answer all the same.
            except AsteriskUnavailable:
                unanswered += 1
                heard = self._protocol.messages if self._protocol else 0
                if heard == heard_before or unanswered >= _MAX_UNANSWERED_PINGS:
                    self.drop(f"no answer to a ping within {self._action_seconds} s")

    async def request(
        self,
        name: str,
        headers: Headers | None = None,
        *,
        seconds: float | None = None,
        answered: Answered | None = None,
    ) -> Mapping[str, str]:
        """Send one action and return its answer.

        ``answered`` gets it in turn with the events: what Asterisk wrote before the answer has been
        delivered, and what it wrote behind it has not.
        """
        request = AmiRequest(name, check_headers(headers or {}), self, answered=answered)
        return (await self._send(request, seconds))[0]

    async def request_list(
        self, name: str, headers: Headers | None = None, *, seconds: float, whole: bool = False
    ) -> list[Mapping[str, str]]:
        """Send an action that Asterisk answers with a list of events; return the items.

        Raises `AmiTampered` with ``whole`` where somebody has written into the stream meanwhile.
        """
        request = AmiRequest(name, check_headers(headers or {}), self, as_list=True)
        items = await self._send(request, seconds)
        if whole and request.tampered:
            raise AmiTampered(f"AMI {name}: somebody has written into the answer")
        return items

    def defect(self, event: str, problem: str) -> None:
        """A message that Asterisk has not written so: no list that is being read is whole."""
        protocol = self._protocol
        for request in protocol.responses.values() if protocol is not None else ():
            request.tampered = True
        if self._tell_defect is not None:
            self._tell_defect(event, problem)

    async def _send(
        self, request: AmiRequest, seconds: float | None = None
    ) -> list[Mapping[str, str]]:
        seconds = self._action_seconds if seconds is None else seconds
        protocol = self._protocol
        if protocol is None or self._lost.is_set() or protocol.transport.is_closing():
            raise AsteriskUnavailable(f"AMI {request.name}: not connected to {self._address}")
        if self._overdue and request.name != _PING:
            # Asterisk runs the actions of a connection one after the other. What is sent behind
            # one that hangs is carried out when nobody wants it any more.
            raise AsteriskSilent(f"AMI {request.name}: not sent, earlier actions have no answer")
        self._manager.send_action(request, as_list=request.as_list)
        try:
            async with asyncio.timeout(seconds):
                return await request.replies
        except TimeoutError:
            self._overdue.add(request.id)
            raise AsteriskSilent(f"AMI {request.name}: no answer within {seconds} s") from None
        finally:
            # Whether answered, late or cancelled: the table of actions must not grow.
            protocol.responses.pop(request.id, None)

    def deliver(self, message: Mapping[str, str]) -> None:
        """Hand one event to the owner, whose failures are not ours."""
        if self._held_events is not None:
            self._held_events.append(message)
            return
        try:
            self._on_event(message)
        except Exception:
            log.exception("ami_event_handler_failed", ami_event=message.get("Event"))

    def drop(self, reason: str) -> None:
        """End the connection now; every action that waits for an answer fails at once."""
        if not self._lost.is_set():
            self._lost_reason = reason
            self._lost.set()
        protocol = self._protocol or self._manager.protocol
        if protocol is None:
            return
        protocol.greeted.set()
        unanswered = list(protocol.responses.values())
        protocol.responses.clear()
        for request in unanswered:
            request.fail(AsteriskUnavailable(f"AMI {request.name}: {self._lost_reason}"))
        # abort, not close: on a half-open connection a close waits for its write buffer for ever.
        protocol.transport.abort()

    async def close(self) -> None:
        """Log off if still possible, then leave nothing behind."""
        if self._protocol is not None and not self._lost.is_set():
            self._protocol.flush()
            goodbye = f"Action: Logoff\r\nActionID: {self.next_id()}\r\n\r\n"
            self._protocol.transport.write(goodbye.encode())
            await self._lost_within(_GOODBYE_SECONDS)
        self.drop("closed by us")
        self._manager.close()

    async def _lost_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._lost.wait()
        except TimeoutError:
            return False
        return True
