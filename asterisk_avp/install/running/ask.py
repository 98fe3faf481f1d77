"""Ask a running Asterisk for its configuration, by AMI. It changes nothing and rings nobody.

The least rights that the daemon has are enough for all but the list of all PJSIP endpoints, which
needs the class `system`. Without it, the endpoints that are named elsewhere are asked for one by
one (`PJSIP_ENDPOINT()`), so the more names the caller knows, the better.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from asterisk_avp.ami.link import AmiLink
from asterisk_avp.core.model.errors import AmiError, AvpError
from asterisk_avp.install.asterisk_conf import Conf
from asterisk_avp.install.running.answers import (
    FAMILIES,
    OPTIONS,
    VARIABLES,
    Answers,
    database_of,
    hints_of,
    queues_of,
    state_of,
)
from asterisk_avp.install.running.state import FEATURES, PbxEndpoint, RunningPbx

LIST_SECONDS: Final = 10.0
AT_ONCE: Final = 16
"""Requests on their way at a time. Asterisk executes those of one connection in order."""
MOST_ENDPOINTS: Final = 20_000
_PJSIP: Final = re.compile(r"\bPJSIP/([^&,|/@\s]+)(?:@([^&,|/\s]+))?", re.IGNORECASE)
_QUEUE: Final = re.compile(r"[\w.-]{1,79}", re.ASCII)
_ENDPOINT: Final = re.compile(r"[^\s,;()$&|@/\"']{1,79}")
"""Names that can be an argument of a dialplan function."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is known beforehand. ``endpoints``: names that may be endpoints. ``queues``: queues that
    Asterisk may not have loaded yet, because it loads one from a database when it is first used.
    ``variables``: those of endpoints whose other variables need no question (`wanted_of`).
    """

    endpoints: Collection[str] = ()
    queues: Collection[str] = ()
    variables: Mapping[str, Collection[str]] = field(default_factory=dict)
    dialplan: bool = True


@dataclass(frozen=True, slots=True)
class AmiAccess:
    """Where and as whom to ask. The secret is not shown."""

    host: str
    port: int
    username: str
    secret: str = field(repr=False)
    seconds: float = 5.0


async def ask_as(access: AmiAccess, wanted: Wanted) -> RunningPbx:
    """Log in, ask, log off. Raises `AmiError` if Asterisk refuses the user, else `AvpError`."""
    link = AmiLink(access.host, access.port, on_event=lambda _: None, action_seconds=access.seconds)
    try:
        await link.open(access.username, access.secret, "off")
        link.start_events()
        return await ask_pbx(link, wanted, access.username)
    finally:
        await link.close()


async def ask_pbx(link: AmiLink, wanted: Wanted, asked_as: str = "") -> RunningPbx:
    """Everything that this connection's user may see. Raises `AsteriskUnavailable` if it is lost.

    What is refused is missing in the result, with a sentence in `RunningPbx.untold`.
    """
    answers = Answers(asked_as=asked_as)
    asker = _Asker(link, answers, wanted)
    await asker.rights()
    answers.core = await asker.one("CoreSettings", "its version")
    await asker.load_queues(wanted.queues)
    answers.queues = await asker.items("QueueStatus", "queues and members")
    answers.hints = await asker.items("ExtensionStateList", "hints")
    answers.database = await asker.families()
    if wanted.dialplan:
        answers.dialplan = await asker.items("ShowDialPlan", "the dialplan")
    answers.features = await asker.features()
    await asker.endpoints({*wanted.endpoints, *leads(answers)})
    return state_of(answers)


def wanted_of(pjsip: Conf, endpoints: Iterable[str] = (), queues: Collection[str] = ()) -> Wanted:
    """What to ask, where ``pjsip`` (pjsip.conf) is known, and further ``endpoints`` by name.

    Of an endpoint that is in the file only those variables are asked for that the file sets, and
    the guard of its Transfer button: a question for any other is a warning in Asterisk's log.
    """
    written = {
        section.name: [value.partition("=")[0] for value in section.all("set_var")]
        for section in pjsip.sections
        if not section.template and section.last("type").lower() == "endpoint"
    }
    known = {
        name: [x for x in VARIABLES if x in names or x == VARIABLES[0]]
        for name, names in written.items()
    }
    return Wanted({*endpoints, *written}, queues, known)


def leads(answers: Answers) -> set[str]:
    """Endpoints that members, hints and AstDB name: who is asked about without a list."""
    texts: list[str] = []
    for queue in queues_of(answers.queues or ()).values():
        for member in queue.members:
            texts += (member.interface, member.state_interface)
    texts += hints_of(answers.hints or ()).values()
    database = database_of(answers.database or ())
    texts += (value for key, value in database.items() if key.endswith("/dial"))
    return set(endpoints_in(texts))


def endpoints_in(texts: Iterable[str]) -> Iterator[str]:
    """``PJSIP/1001``, ``PJSIP/1001/sip:…`` and ``PJSIP/number@1001`` -> ``1001``."""
    for text in texts:
        for first, last in _PJSIP.findall(text):
            yield last or first


class _Asker:
    def __init__(self, link: AmiLink, answers: Answers, wanted: Wanted) -> None:
        self._link = link
        self._wanted = wanted
        self._answers = answers
        self._allowed: frozenset[str] = frozenset()

    async def rights(self) -> None:
        commands = await self._link.request("ListCommands")
        self._allowed = frozenset(name for name, text in commands.items() if "(Priv:" in text)

    def _may(self, action: str, what: str) -> bool:
        if action in self._allowed:
            return True
        self._answers.untold.append(
            f"Asterisk was not asked for {what}: the AMI user {self._answers.asked_as!r} may not"
            f" send {action}, or its module is not loaded."
        )
        return False

    async def one(self, action: str, what: str) -> Mapping[str, str] | None:
        if not self._may(action, what):
            return None
        try:
            return await self._link.request(action)
        except AmiError as error:
            self._failed(what, error)
            return None

    async def items(
        self, action: str, what: str, headers: Mapping[str, str] | None = None
    ) -> list[Mapping[str, str]] | None:
        if not self._may(action, what):
            return None
        try:
            return await self._link.request_list(
                action, dict(headers or {}), seconds=LIST_SECONDS, whole=True
            )
        except AmiError as error:
            self._failed(what, error)
            return None

    def _failed(self, what: str, error: AvpError) -> None:
        self._answers.untold.append(f"Asterisk did not tell {what}: {error}.")

    async def function(self, text: str) -> str:
        try:
            answer = await self._link.request("Getvar", {"Variable": text})
        except AmiError:
            return ""  # refused, or the function's module is not loaded
        return answer.get("Value", "")

    async def load_queues(self, names: Collection[str]) -> None:
        """Let app_queue load these from its database (find_load_queue_rt_friendly)."""
        if "Getvar" in self._allowed:
            for name in filter(_QUEUE.fullmatch, names):
                await self.function(f"QUEUE_EXISTS({name})")
        # Lists, and so loads, all queues of a database. For an administrator's user only.
        if "Command" in self._allowed:
            await self.one_command("queue show")

    async def one_command(self, command: str) -> None:
        try:
            await self._link.request("Command", {"Command": command}, seconds=LIST_SECONDS)
        except AmiError as error:
            self._failed(f"the output of {command!r}", error)

    async def families(self) -> list[Mapping[str, str]] | None:
        found: list[Mapping[str, str]] = []
        for family in FAMILIES:
            items = await self.items("DBGetTree", "its database (AstDB)", {"Family": family})
            if items is None:
                return None
            found += items
        return found

    async def features(self) -> dict[str, str] | None:
        if not self._may("Getvar", "feature codes"):
            return None
        if not await self.function("FEATURE(featuredigittimeout)"):
            self._answers.untold.append("Asterisk did not tell its feature codes.")
            return None
        found = {name: await self.function(f"FEATUREMAP({name})") for name in FEATURES}
        return found | {"pickupexten": await self.function("FEATURE(pickupexten)")}

    async def endpoints(self, names: set[str]) -> None:
        if "PJSIPShowEndpoints" in self._allowed:
            listed = await self._list_endpoints()
            if listed is not None:
                names |= listed
                self._answers.all_endpoints = True
        usable = sorted(name for name in names if _ENDPOINT.fullmatch(name))[:MOST_ENDPOINTS]
        if "PJSIPShowEndpoint" in self._allowed:
            await _bounded(self._details(name) for name in usable)
            # An empty answer is an answer: there are no endpoints.
            self._answers.endpoints = {}
        elif "Getvar" in self._allowed:
            self._answers.endpoints = {}
            await _bounded(
                self._options(name, self._wanted.variables.get(name, VARIABLES)) for name in usable
            )

    async def _list_endpoints(self) -> set[str] | None:
        try:
            items = await self._link.request_list(
                "PJSIPShowEndpoints", {}, seconds=LIST_SECONDS, whole=True
            )
        except AmiError as error:
            # What it says where there is none (pjsip_configuration.c, ami_show_endpoints).
            return set() if "No endpoints" in str(error) else None
        return {item["ObjectName"] for item in items if item.get("Event") == "EndpointList"}

    async def _details(self, name: str) -> None:
        try:
            items = await self._link.request_list(
                "PJSIPShowEndpoint", {"Endpoint": name}, seconds=LIST_SECONDS
            )
        except AmiError:
            return  # no such endpoint
        # The others of the list are AORs and the like; those of log-ins have passwords.
        self._answers.details += (item for item in items if item.get("Event") == "EndpointDetail")

    async def _options(self, name: str, variables: Collection[str]) -> None:
        async def option(wanted: str) -> str:
            return await self.function(f"PJSIP_ENDPOINT({name},{wanted})")

        exists = await option("allow_transfer")
        if not exists or self._answers.endpoints is None:
            return
        options = {x: await option(x) for x in OPTIONS if x != "allow_transfer"}
        known = {x: await option(x) or None for x in variables}
        self._answers.endpoints[name] = PbxEndpoint({"allow_transfer": exists, **options}, known)


async def _bounded(jobs: Iterable[Coroutine[None, None, None]]) -> None:
    """Run them all, `AT_ONCE` at a time."""
    waiting = iter(jobs)

    async def work() -> None:
        for job in waiting:
            await job

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
