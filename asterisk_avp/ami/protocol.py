"""What `AmiLink` uses of panoramisk, without the parts that it must not use (see there)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, Protocol

import structlog
from panoramisk import Manager
from panoramisk.ami_protocol import AMIProtocol

from asterisk_avp.ami.integrity import SHAPES
from asterisk_avp.ami.request import AmiRequest
from asterisk_avp.ami.wire import FrameReader, NotAmi

log = structlog.get_logger(__name__)

#: Events that carry the ActionID of an action that has long been answered. Any other event with an
#: ActionID that nobody waits for is a list item that came after its deadline, not news.
_ANNOUNCED_LATER = ("OriginateResponse", "AsyncAGI")


class Link(Protocol):
    """The connection, as the protocol reports to it."""

    looks: bool
    nonce: str

    def answered(self, action_id: str) -> None: ...

    def defect(self, event: str, problem: str) -> None: ...

    def deliver(self, message: Mapping[str, str]) -> None: ...

    def drop(self, reason: str) -> None: ...


class LinkProtocol(AMIProtocol):  # type: ignore[misc]
    """panoramisk's protocol with our reader in front of its table of actions."""

    def __init__(self, link: Link, wanted: Collection[str] | None) -> None:
        self._link = link
        self.frames = FrameReader(wanted, link.defect if link.looks else None)
        self.greeted = asyncio.Event()
        #: Messages received so far: a sign of life.
        self.messages = 0
        self.responses: dict[str, AmiRequest]
        self._outgoing: list[str] = []

    def send(self, request: AmiRequest) -> None:
        """Actions of the same moment leave together: a step of a transfer is some ten of them, and
        the system call for each was a quarter of its cost.
        """
        self.responses[request.id] = request
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self.flush)
        self._outgoing.append(request.text)

    def flush(self) -> None:
        """Write what is to be sent."""
        texts, self._outgoing = self._outgoing, []
        if texts and not self.closed:
            self.transport.write("".join(texts).encode())

    def data_received(self, data: bytes) -> None:
        try:
            messages = self.frames.feed(data)
        except NotAmi as error:
            self._link.drop(str(error))
            return
        if self.frames.version is not None:
            self.greeted.set()
        self.messages += len(messages)
        for message in messages:
            self._take(message)

    def _take(self, message: Mapping[str, str]) -> None:
        action_id = message.get("ActionID")
        if action_id is not None and "Response" in message:
            self._link.answered(action_id)
        request = self.responses.get(action_id) if action_id is not None else None
        if request is not None:
            # As panoramisk's `handle_message`, which would first copy each item of a list into a
            # dictionary without regard to case: seconds, with thousands of members.
            if request.add_message(message):
                self.responses.pop(request.id, None)
        elif action_id is not None and not action_id.startswith(self._link.nonce):
            # Asterisk tells everybody how another program's Originate went, with that one's id.
            if self._link.looks and message.get("Event") in (None, *SHAPES):
                self._link.defect(message.get("Event", ""), "it answers nobody's action")
        elif "Event" in message:
            if action_id is None or message["Event"].startswith(_ANNOUNCED_LATER):
                self._link.deliver(message)
        elif action_id is None and message.get("Response") == "Error":
            # Asterisk could not even read the action, so it does not say which one it was.
            log.warning("ami_error_without_action", message=message.get("Message", ""))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._link.drop(str(exc) if exc else "Asterisk closed the connection")


class LinkManager(Manager):  # type: ignore[misc]
    """panoramisk's manager for one connection: no reconnection, no pinger, no dispatch."""

    def connection_made(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is None:
            super().connection_made(task)
            if self.pinger is not None:
                self.pinger.cancel()

    def ping(self) -> None:
        """Pings have a deadline, which panoramisk's have not: see `AmiLink.watch`."""


class SilentLog:
    """In place of panoramisk's log; `AmiLink` and `AmiClient` report what matters."""

    def _ignore(self, *_args: object, **_kwargs: object) -> None: ...

    debug = info = warning = error = exception = _ignore
