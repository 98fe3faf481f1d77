"""One AMI connection, from connect to loss, based on panoramisk.

panoramisk connects, assigns ids to actions and matches responses. This module replaces the
following parts of it (panoramisk 1.4):

- Its reconnection, which repeats the actions of the old connection on the new one: a late
  `Redirect` would move a call for an outdated request. Here each connection has its own `Manager`,
  so no action outlives it.
- Futures that stay pending forever when the connection drops: here each action has a deadline, and
  a drop fails all of them at once.
- Its decoding and its dispatch of events (see `asterisk_avp.ami.wire`), which matches each event
  with the regular expression of every registered pattern.
- Its log, which contains whole actions, including the secret of `Login`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
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
#: Time to wait for Asterisk's response to Logoff.
_GOODBYE_SECONDS = 0.5
#: Consecutive unanswered pings after which a connection is dropped although events still arrive.
#: Asterisk executes the actions of a connection in order, so a slow one delays the pong.
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
        #: Unguessable, so that no caller can forge a response to our actions.
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
        """Ids of actions that timed out and whose responses are still outstanding."""
        self._manager = LinkManager(
            host=host,
            port=port,
            protocol_factory=lambda: LinkProtocol(self, wanted),
            reconnect_timeout=0,
            log=SilentLog(),
        )

    @property
    def lost_reason(self) -> str:
        """Why the connection ended; empty: it is up."""
        return self._lost_reason

    @property
    def silent(self) -> bool:
        """Whether an action has timed out and its response is still outstanding."""
        return bool(self._overdue)

    def next_id(self) -> str:
        """An ActionID for the next action."""
        return f"{self.nonce}/{next(self._numbers)}"

    def answered(self, action_id: str) -> None:
        """A response has arrived, in time or not."""
        if action_id in self._overdue:
            self._overdue.clear()  # responses come in order: no earlier one can follow

    async def open(self, username: str, secret: str, events: str) -> str:
        """Connect, wait for the banner, log in; return the protocol version of the banner.

        Raises `AmiError` if Asterisk refuses the login, otherwise `AsteriskUnavailable`.
        """
        try:
            async with asyncio.timeout(self._action_seconds):
                await self._manager.connect()
                protocol = self._manager.protocol
                # Send the secret only to a peer that has sent AMI's banner.
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
        """Deliver the events held since the login, and from now on each as it arrives.

        The first events can arrive in the same segment as the response to the login; they must not
        be delivered before ``on_connected``.
        """
        held, self._held_events = self._held_events, None
        for message in held or ():
            self.deliver(message)

    async def watch(self, ping_seconds: float) -> None:
        """Return once the connection is lost; ping Asterisk to detect a silent loss."""
        unanswered = 0
        while not await self._lost_within(ping_seconds):
            heard_before = self._protocol.messages if self._protocol else 0
            try:
                await self.request(_PING)
                unanswered = 0
                self._overdue.clear()  # for example a list that took longer than its deadline
            except AmiError:
                unanswered = 0  # an error is a response, too
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
        """Send one action and return its response.

        ``answered`` gets the response in order with the events: those that Asterisk wrote before it
        have been delivered, and those after it have not.
        """
        request = AmiRequest(name, check_headers(headers or {}), self, answered=answered)
        return (await self._send(request, seconds))[0]

    def send(self, name: str, headers: Headers) -> Awaitable[Mapping[str, str]]:
        """Like `request`, but the action is sent, or refused, when this returns."""
        request = AmiRequest(name, check_headers(headers), self)
        return self._first(request, self._begin(request))

    async def _first(self, request: AmiRequest, protocol: LinkProtocol) -> Mapping[str, str]:
        return (await self._reply(request, protocol, None))[0]

    async def request_list(
        self, name: str, headers: Headers | None = None, *, seconds: float, whole: bool = False
    ) -> list[Mapping[str, str]]:
        """Send an action whose response is a list of events; return the items.

        With ``whole``, raises `AmiTampered` if text was injected into the stream meanwhile.
        """
        request = AmiRequest(name, check_headers(headers or {}), self, as_list=True)
        items = await self._send(request, seconds)
        if whole and request.tampered:
            raise AmiTampered(f"AMI {name}: text was injected into the response")
        return items

    def defect(self, event: str, problem: str) -> None:
        """A message is not as Asterisk writes it: mark all lists in flight as tampered with."""
        protocol = self._protocol
        for request in protocol.responses.values() if protocol is not None else ():
            request.tampered = True
        if self._tell_defect is not None:
            self._tell_defect(event, problem)

    async def _send(
        self, request: AmiRequest, seconds: float | None = None
    ) -> list[Mapping[str, str]]:
        return await self._reply(request, self._begin(request), seconds)

    def _begin(self, request: AmiRequest) -> LinkProtocol:
        protocol = self._protocol
        if protocol is None or self._lost.is_set() or protocol.transport.is_closing():
            raise AsteriskUnavailable(f"AMI {request.name}: not connected to {self._address}")
        if self._overdue and request.name != _PING:
            # Asterisk executes the actions of a connection in order. An action behind one that
            # hangs would be executed when it is out of date.
            raise AsteriskSilent(f"AMI {request.name}: not sent, earlier actions have no response")
        self._manager.send_action(request, as_list=request.as_list)
        return protocol

    async def _reply(
        self, request: AmiRequest, protocol: LinkProtocol, seconds: float | None
    ) -> list[Mapping[str, str]]:
        seconds = self._action_seconds if seconds is None else seconds
        try:
            async with asyncio.timeout(seconds):
                return await request.replies
        except TimeoutError:
            self._overdue.add(request.id)
            raise AsteriskSilent(f"AMI {request.name}: no answer within {seconds} s") from None
        finally:
            # Always remove the action, so that the table does not grow.
            protocol.responses.pop(request.id, None)

    def deliver(self, message: Mapping[str, str]) -> None:
        """Pass one event to the owner; log its exceptions."""
        if self._held_events is not None:
            self._held_events.append(message)
            return
        try:
            self._on_event(message)
        except Exception:
            log.exception("ami_event_handler_failed", ami_event=message.get("Event"))

    def drop(self, reason: str) -> None:
        """End the connection; every action without a response fails at once."""
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
        # abort, not close: on a half-open connection, close waits forever for its write buffer.
        protocol.transport.abort()

    async def close(self) -> None:
        """Log off if possible, and release all resources."""
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
