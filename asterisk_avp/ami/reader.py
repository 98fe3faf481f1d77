"""Read Asterisk's state by AMI: variables of channels, and queues with members and callers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from asterisk_avp.ami.client import AmiClient
from asterisk_avp.ami.queue_functions import Known, queue_by_functions
from asterisk_avp.ami.translate import integer, translate
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AmiError, AvpError

log = structlog.get_logger(__name__)

_TIMES: Final = ("CoreStartupDate", "CoreStartupTime", "CoreReloadDate", "CoreReloadTime")
_SUMMARY: Final = ("Callers", "LongestHoldTime", "LoggedIn", "Available")


class AmiReader:
    """Read-only queries. ``name_of`` returns a channel's name for its id (`Calls.name_of`)."""

    def __init__(self, client: AmiClient, name_of: Callable[[str], str]) -> None:
        self._client = client
        self._name_of = name_of

    async def variables(self, channel: str, names: Sequence[str]) -> dict[str, str]:
        """The channel's variables; empty values where unset, or if the channel has ended.

        Raises `AsteriskUnavailable`.
        """
        name = self._name_of(channel)
        answers = await self._client.actions(
            "Getvar", [{"Channel": name, "Variable": variable} for variable in names]
        )
        found = {}
        for variable, answer in zip(names, answers, strict=True):
            if isinstance(answer, AmiError):
                continue
            if isinstance(answer, AvpError):
                raise answer
            found[variable] = answer.get("Value", "")
        return found

    async def variable_of_all(self, name: str) -> dict[str, str]:
        """The first 511 bytes of a variable, by channel id, of every channel that has it set.

        Raises `AvpError`.
        """
        return (await self.linked_with(name))[1]

    async def linked_with(self, name: str) -> tuple[dict[str, str], dict[str, str]]:
        """`linked` and `variable_of_all` from one list. Raises `AvpError`."""
        linked, found = {}, {}
        for item in await self._client.list_action("Status", {"Variables": name}):
            _, _, value = item.get("Variable", "").partition("=")
            channel = item.get("Uniqueid")
            if not channel:
                continue
            if "Linkedid" in item:
                linked[channel] = item["Linkedid"]
            if value and value != "(null)":
                found[channel] = value
        return linked, found

    async def all_variables(self, channel: str) -> dict[str, str]:
        """All variables of the channel itself, without `_` before their names.

        Getvar needs the names. Raises `AvpError`, also if the channel has ended.
        """
        headers = {"Channel": self._name_of(channel), "AllVariables": "true"}
        found: dict[str, str] = {}
        for item in await self._client.list_action("Status", headers):
            # Line ends inside a value have become spaces (see `ami.wire`).
            for line in item.get("Variable", "").split("\n"):
                name, _, value = line.partition("=")
                found.setdefault(name, value)
        return found

    async def queues(self, now: Callable[[], float]) -> list[ev.Fact]:
        """The members and waiting callers of all queues.

        Raises `AmiTampered`, after which the queues must be read individually, and `AvpError`.
        """
        listed = _QueueList(now)
        await self._client.list_action("QueueStatus", whole=True, take=listed.take)
        return listed.facts

    async def members(self, queue: str, interface: str = "") -> list[ev.Fact]:
        """One member of a queue (all if ``interface`` is empty), and its waiting callers.

        Raises `AmiTampered` and `AvpError`.
        """
        headers = {"Queue": queue} | ({"Member": interface} if interface else {})
        listed = _QueueList(time.time)
        await self._client.list_action("QueueStatus", headers, whole=True, take=listed.take)
        return [fact for fact in listed.facts if _queue_of(fact) == queue]

    async def waiting(self, queue: str) -> ev.QueueWaiting:
        """How many callers wait in a queue, and how many members it has. Raises `AvpError`.

        The answer contains no text of a caller, so that nobody can inject anything into it.
        """
        for item in await self._client.list_action("QueueSummary", {"Queue": queue}):
            if item.get("Event") == "QueueSummary" and item.get("Queue") == queue:
                callers, longest, logged_in, available = (integer(item.get(x)) for x in _SUMMARY)
                return ev.QueueWaiting(queue, callers, longest, time.time(), logged_in, available)
        return ev.QueueWaiting(queue, 0, 0, time.time())

    async def by_functions(self, queue: str, known: Known) -> list[ev.Fact]:
        """The same by dialplan functions, if the list was tampered with (`ami.queue_functions`)."""
        return await queue_by_functions(self.function, queue, known)

    async def ring_in_use(self, queue: str, interface: str) -> bool | None:
        """Whether a member is rung while its phone is in use; None: Asterisk does not tell.

        Only this function reads it (app_queue.c, ``queue_function_mem_read``); no list of AMI has
        it. Raises `AvpError`, also where the names are not valid as its arguments.
        """
        value = await self.function(f"QUEUE_MEMBER({queue},ringinuse,{interface})")
        return {"0": False, "1": True}.get(value)

    async def has_realtime(self, family: str, column: str) -> bool:
        """Whether the database has a row for this family of extconfig.conf. Raises `AvpError`.

        ``column``: one that is empty in no row. Asterisk returns nothing where the family is not
        configured, where it has no row, and where the database does not answer.
        """
        return bool(await self.function(f"REALTIME_FIELD({family},{column} LIKE,%,{column})"))

    async def read_again(self, queue: str) -> bool:
        """Let app_queue read a queue and its members from the database, if it has any there.

        Returns whether the queue exists. Of the functions that do so, this one logs no warning for
        a queue that does not (app_queue.c, ``queue_function_exists``). Raises `AvpError`.
        """
        return await self.function(f"QUEUE_EXISTS({queue})") == "1"

    async def last_reload(self) -> str:
        """When Asterisk was started and last reloaded, as it writes it. Raises `AvpError`."""
        answer = await self._client.action("CoreStatus")
        return " ".join(answer.get(name, "") for name in _TIMES)

    async def function(self, function: str) -> str:
        """The value of a dialplan function that needs no channel. Raises `AvpError`."""
        answer = await self._client.action("Getvar", {"Variable": function})
        return answer.get("Value", "").partition("\n")[0]

    async def entry(self, family: str, key: str) -> str:
        """An entry of AstDB; empty: there is none. Raises `AvpError`.

        Getvar may not read it: DB() counts as dangerous for who is no dialplan (func_db.c).
        """
        try:
            found = await self._client.list_action("DBGet", {"Family": family, "Key": key})
        except AmiError as error:
            if "not found" in str(error):
                return ""
            raise
        return found[0].get("Val", "") if found else ""

    async def linked(self) -> dict[str, str]:
        """The Linkedid of each channel, by channel id. Raises `AvpError`.

        Callers can inject text into this list. It only decides whether a transfer is shown as
        ringing after a resync.
        """
        return {
            item["Uniqueid"]: item["Linkedid"]
            for item in await self._client.list_action("CoreShowChannels")
            if "Uniqueid" in item and "Linkedid" in item
        }


class _QueueList:
    """The facts in a list of QueueStatus.

    Asterisk writes the ActionID last in each item, and a caller's number or a member's name in the
    middle (app_queue.c, ``manager_queues_status``). With a line end in it, a forged beginning can
    precede a genuine end. But Asterisk lists each queue's parameters before its contents.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.facts: list[ev.Fact] = []
        self._now = now
        self._queue: str | None = None

    def take(self, item: Mapping[str, str]) -> None:
        if item.get("Event") == "QueueParams":
            self._queue = item.get("Queue")
        elif item.get("Queue") != self._queue:
            log.error("ami_list_impossible", item=item.get("Event"), queue=self._queue)
        else:
            fact = translate(item, self._now())
            if fact is not None:
                self.facts.append(fact)


def _queue_of(fact: ev.Fact) -> str:
    return fact.queue if isinstance(fact, ev.MemberSeen | ev.QueueJoined) else ""
