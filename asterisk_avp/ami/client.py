"""The AMI client: one logged-in connection that reconnects automatically.

    client = AmiClient("127.0.0.1", 5038, "avp", secret)
    task = asyncio.create_task(client.run(on_event, on_connected))
    await client.action("Redirect", {"Channel": …, "ExtraChannel": …})
    members = await client.list_action("QueueStatus", {"Queue": "sales"})

An action is sent at most once. It fails with `AsteriskUnavailable` if there is no connection, if
the connection drops before the response, or if the response does not arrive in time; in the last
two cases Asterisk may or may not have executed it. It is never sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

import structlog

from asterisk_avp.ami.link import PING, AmiLink, OnEvent
from asterisk_avp.ami.request import Answered, Take
from asterisk_avp.ami.wire import CheckedHeaders, Headers, OnDefect, check_headers
from asterisk_avp.core.messages import clean
from asterisk_avp.core.model.errors import AmiError, AsteriskUnavailable, AvpError, UncleanValue
from asterisk_avp.runtime.backoff import Backoff

log = structlog.get_logger(__name__)

OnConnected = Callable[[bool], None]

#: Classes of events: `agent` for queues; `call` for music, recordings and bridges. Not `user`:
#: a UserEvent contains text of any length from any source. Not `dialplan`: it has an event for
#: every priority and every variable.
DEFAULT_EVENTS = "call,agent"


class _Lacking(Exception):
    """The user lacks rights that we need."""


class AmiClient:
    """AMI as the daemon uses it.

    All times are in seconds. A dead connection is noticed within `ping_interval_seconds` plus
    `action_timeout_seconds`. `list_timeout_seconds` is the deadline of `list_action`, whose
    response can have thousands of messages. `needs`: the actions that the user must be allowed,
    each with the classes any one of which permits it. Only the name is delivered of events whose
    names are not in `wanted` (None: all are wanted). Messages that Asterisk cannot have written go
    only to `on_defect` (`asterisk_avp.ami.integrity`).
    """

    def __init__(
        self,
        host: str,
        port: int,
        username: str,
        secret: str,
        *,
        action_timeout_seconds: float = 3.0,
        list_timeout_seconds: float = 10.0,
        ping_interval_seconds: float = 5.0,
        backoff_initial_seconds: float = 0.2,
        backoff_max_seconds: float = 5.0,
        events: str = DEFAULT_EVENTS,
        needs: Mapping[str, Collection[str]] = MappingProxyType({}),
        wanted: Collection[str] | None = None,
        on_defect: OnDefect | None = None,
    ) -> None:
        check_headers({"Username": username, "Secret": secret, "Events": events})
        self._host = host
        self._port = port
        self._username = username
        self._secret = secret
        self._events = events
        self._action_seconds = action_timeout_seconds
        self._list_seconds = list_timeout_seconds
        self._ping_seconds = ping_interval_seconds
        self._backoff = Backoff(backoff_initial_seconds, backoff_max_seconds)
        self._needs = needs
        self._wanted = wanted
        self._on_defect = on_defect
        self._link: AmiLink | None = None
        self._trouble = ""
        self.gate: Callable[[], Awaitable[None]] | None = None
        """Awaited before each action."""

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        return f"<AmiClient {self._username} at {self._host}:{self._port}, {state}>"

    @property
    def connected(self) -> bool:
        """Whether we are logged in."""
        return self._link is not None and not self._link.lost_reason

    @property
    def silent(self) -> bool:
        """Whether an action has timed out and its response is still outstanding."""
        return self.connected and self._link is not None and self._link.silent

    @property
    def trouble(self) -> str:
        """Why it is not connected, as a sentence for the administrator; empty: connected."""
        return "" if self.connected else self._trouble

    async def run(self, on_event: OnEvent, on_connected: OnConnected) -> None:
        """Keep a connection open until cancelled.

        `on_event` gets every event as a dict, with header names as Asterisk sends them and repeated
        headers joined by a line feed. `on_connected` gets True after each login, before the first
        event of the connection, and False when the connection is lost. Neither may block; their
        exceptions are logged.
        """
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            opened_at: float | None = None
            link = AmiLink(
                self._host,
                self._port,
                on_event=on_event,
                action_seconds=self._action_seconds,
                wanted=self._wanted,
                on_defect=self._on_defect,
            )
            try:
                version = await link.open(self._username, self._secret, self._events)
                await self._check_rights(link)
                opened_at = loop.time()
                log.info("ami_connected", address=self._address, version=version)
                self._link = link
                _tell(on_connected, connected=True)
                link.start_events()
                await link.watch(self._ping_seconds)
                log.warning("ami_connection_lost", address=self._address, reason=link.lost_reason)
                self._trouble = f"The connection to AMI was lost: {link.lost_reason}."
            except _Lacking as lacking:
                self._trouble = str(lacking)
                log.error("ami_rights_missing", address=self._address, hint=str(lacking))  # noqa: TRY400
            except AmiError as error:
                self._trouble = (
                    f"AMI refuses the user {self._username!r}: {error.message}. Compare "
                    "AVP_AMI__USERNAME and AVP_AMI__SECRET with manager.conf, and its permit lines."
                )
                log.error(  # noqa: TRY400 - a traceback says nothing more, and may say too much
                    "ami_login_refused",
                    address=self._address,
                    username=self._username,
                    reason=error.message,
                )
            except AsteriskUnavailable as error:
                self._trouble = f"{error}."
                log.warning("ami_unavailable", address=self._address, reason=str(error))
            finally:
                was_connected, self._link = self._link is not None, None
                if was_connected:
                    _tell(on_connected, connected=False)
                await link.close()
            # A connection that ends at once counts as a failure too, so that the client does not
            # reconnect several times a second.
            if opened_at is not None and loop.time() - opened_at > self._backoff.max_seconds:
                failures = 0
            await asyncio.sleep(self._backoff.pause_seconds(failures))
            failures += 1

    async def _check_rights(self, link: AmiLink) -> None:
        """Raise `_Lacking` if the user may not use an action that we need.

        ListCommands needs no right, and lists the actions that the user may use (manager.c,
        ``action_listcommands``). Rights cannot change after the login.
        """
        if not self._needs:
            return
        allowed = await link.request("ListCommands")
        lacking = [action for action in self._needs if action not in allowed]
        if lacking:
            classes = {tuple(sorted(self._needs[action]))[:1] for action in lacking}
            named = sorted(name for some in classes for name in some)
            raise _Lacking(
                f"The manager user {self._username!r} may not use {', '.join(lacking)}: "
                f"its write= in manager.conf must name {', '.join(named) or 'nothing more'} "
                "(and app_queue must be loaded)."
            )

    async def action(
        self,
        name: str,
        headers: Headers | None = None,
        *,
        answered: Answered | None = None,
    ) -> Mapping[str, str]:
        """Send an action and return the headers of its response.

        ``answered`` is called with the response or the refusal in order with the events. The caller
        of this method resumes later, when events after the response may have been delivered.

        Raises `AmiError` (Asterisk refuses, or a value is not clean, see `core.messages.clean`),
        `AsteriskUnavailable` (no connection or no response) and `AmiHeaderError` (nothing was
        sent). A header can have several values, one line each.
        """
        try:
            checked = _refuse_unclean(name, headers)
        except AmiError as error:
            if answered is not None:
                answered(error)
            raise
        await self._pass()
        return await self._connection(name).request(name, checked, answered=answered)

    async def actions(
        self, name: str, wanted: Sequence[Headers]
    ) -> list[Mapping[str, str] | AvpError]:
        """Send an action several times at once; the response to each, in order.

        Where there is none, what `action` would raise stands in its place.
        """
        checked = [_checked_or_refused(name, headers) for headers in wanted]
        allowed = [each for each in checked if not isinstance(each, AvpError)]
        found: Iterator[Mapping[str, str] | AvpError]
        try:
            await self._pass()
            found = iter(await self._connection(name).request_all(name, allowed))
        except AsteriskUnavailable as unavailable:
            found = iter([unavailable] * len(allowed))
        return [each if isinstance(each, AvpError) else next(found) for each in checked]

    async def list_action(
        self,
        name: str,
        headers: Headers | None = None,
        *,
        whole: bool = False,
        take: Take | None = None,
    ) -> list[Mapping[str, str]]:
        """Send an action whose response is a list, such as `QueueStatus`.

        Returns its items, without the response before them and the event that ends them. ``take``
        gets each at once instead, so that not all of thousands are in memory together. Raises what
        `action` raises; with ``whole`` also `AmiTampered` if text was injected into AMI's stream
        before the end of the list.
        """
        checked = _refuse_unclean(name, headers)
        await self._pass()
        return await self._connection(name).request_list(
            name, checked, seconds=self._list_seconds, whole=whole, take=take
        )

    async def ping(self) -> None:
        """Wait for Asterisk's answer. Raises `AsteriskUnavailable`."""
        await self._connection(PING).request(PING)

    async def _pass(self) -> None:
        if self.gate is not None:
            await self.gate()

    def _connection(self, name: str) -> AmiLink:
        if self._link is None:
            raise AsteriskUnavailable(f"AMI {name}: not connected to {self._address}")
        return self._link

    @property
    def _address(self) -> str:
        return f"{self._host}:{self._port}"


def _refuse_unclean(action: str, headers: Headers | None) -> CheckedHeaders:
    """Check an action's headers, and return them.

    Raises `AmiError` for an unclean value, as if Asterisk had refused it, and `AmiHeaderError` for
    a value that would inject a header.
    """
    try:
        checked = check_headers(headers or {})
        clean.check_action(action, checked)
    except UncleanValue as error:
        log.error("unclean_value", action=action, variable=error.what)  # noqa: TRY400
        raise AmiError(action, str(error)) from None
    return checked


def _checked_or_refused(action: str, headers: Headers) -> CheckedHeaders | AvpError:
    try:
        return _refuse_unclean(action, headers)
    except AvpError as error:
        return error


def _tell(on_connected: OnConnected, *, connected: bool) -> None:
    try:
        on_connected(connected)
    except Exception:
        log.exception("ami_connection_handler_failed", connected=connected)
