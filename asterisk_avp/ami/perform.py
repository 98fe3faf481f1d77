"""Effects that AMI carries out, and the resync that reads Asterisk's picture."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import structlog

from asterisk_avp.ami.client import AmiClient
from asterisk_avp.ami.queue_functions import Known, queue_by_functions
from asterisk_avp.ami.recording import Recorder, Recordings
from asterisk_avp.ami.translate import translate
from asterisk_avp.ami.variables import actions as together
from asterisk_avp.core.messages import clean
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import (
    AddMember,
    AmiEffect,
    BridgePair,
    HangUp,
    LimitCall,
    PauseMember,
    PauseRecording,
    Redirect,
    RemoveMember,
    ResumeRecording,
    SetVariables,
)
from asterisk_avp.core.model.errors import AmiError, AsteriskUnavailable, AvpError
from asterisk_avp.core.transfer.dialplan import LIMIT
from asterisk_avp.core.transfer.events import EventType, SessionEvent

log = structlog.get_logger(__name__)

Report = Callable[[SessionEvent], None]
Change = AddMember | RemoveMember | PauseMember


class Membership(Protocol):
    """Told how changes of membership go."""

    def started(self, effect: Change) -> None: ...
    def done(self, effect: Change) -> None: ...
    def failed(self, effect: Change) -> None: ...


EndTold = Callable[[Sequence[str]], Awaitable[None]]
"""Channel ids → once the end of one of them is known, or was waited for long enough."""


async def _at_once(_channels: Sequence[str]) -> None: ...


class _Nobody:
    def started(self, effect: Change) -> None: ...
    def done(self, effect: Change) -> None: ...
    def failed(self, effect: Change) -> None: ...


_MISSING = "does not exist"
"""In an answer about a channel that has ended (manager.c, ``action_redirect``; features.c)."""

_DONE_ALREADY = ("Already there", "Not there", "Interface not found")
"""Answers to a change of membership that another change in quick succession has overtaken."""


class AmiPerformer:
    """``name_of`` gives a channel's name for its id (see `Calls.name_of`)."""

    def __init__(
        self,
        client: AmiClient,
        name_of: Callable[[str], str],
        recordings: Recordings | None = None,
    ) -> None:
        self._client = client
        self._name_of = name_of
        self.membership: Membership = _Nobody()
        self.end_told: EndTold = _at_once
        self._recorder = Recorder(client, name_of, recordings or Recordings())

    async def perform(self, effect: AmiEffect, report: Report) -> None:
        """Carry out one effect; outcomes that the session waits for go to ``report``.

        Raises `AsteriskUnavailable` where one that the session does not wait for may not have been
        carried out.
        """
        match effect:
            case SetVariables():
                await self._set_variables(effect)
            case Redirect():
                await self._reported(
                    "Redirect",
                    self._redirect(effect),
                    report,
                    (EventType.REDIRECTED, EventType.REDIRECT_FAILED),
                    [x for x in (effect.channel, effect.extra_channel) if x is not None],
                )
            case BridgePair():
                await self._reported(
                    "Bridge",
                    {
                        "Channel1": self._name_of(effect.first),
                        "Channel2": self._name_of(effect.second),
                        "Tone": "no",
                    },
                    report,
                    (EventType.BRIDGED, EventType.BRIDGE_FAILED),
                    (effect.first, effect.second),
                )
            case LimitCall():
                await self._set_variables(_limit(effect, time.time()))
            case HangUp():
                await self._try("Hangup", {"Channel": self._name_of(effect.channel)})
            case PauseRecording() | ResumeRecording():
                await self._recorder.perform(effect)
            case AddMember() | RemoveMember() | PauseMember():
                await self._membership(effect)
            case _:
                raise TypeError(f"not an AMI effect: {effect!r}")

    async def variables(self, channel: str, names: Sequence[str]) -> dict[str, str]:
        """The channel's variables; empty where unset or the channel is gone.

        Raises `AsteriskUnavailable`.
        """
        name = self._name_of(channel)
        answers = await asyncio.gather(
            *(
                self._client.action("Getvar", {"Channel": name, "Variable": variable})
                for variable in names
            ),
            return_exceptions=True,
        )
        found = {}
        for variable, answer in zip(names, answers, strict=True):
            if isinstance(answer, AmiError):
                continue
            if isinstance(answer, BaseException):
                raise answer
            found[variable] = answer.get("Value", "")
        return found

    async def variable_of_all(self, name: str) -> dict[str, str]:
        """A variable of every channel that has it set, by channel id; the first 511 bytes of it.

        Raises `AvpError`.
        """
        found = {}
        for item in await self._client.list_action("Status", {"Variables": name}):
            _, _, value = item.get("Variable", "").partition("=")
            channel = item.get("Uniqueid")
            if channel and value and value != "(null)":
                found[channel] = value
        return found

    async def all_variables(self, channel: str) -> dict[str, str]:
        """All variables of the channel itself, without `_` before their names.

        Getvar has to be told the names. Raises `AvpError` (also where the channel is gone).
        """
        headers = {"Channel": self._name_of(channel), "AllVariables": "true"}
        found: dict[str, str] = {}
        for item in await self._client.list_action("Status", headers):
            # Line ends inside of a value have become spaces (see `ami.wire`).
            for line in item.get("Variable", "").split("\n"):
                name, _, value = line.partition("=")
                found.setdefault(name, value)
        return found

    async def write(self, channel: str, variables: Mapping[str, str]) -> None:
        """Set variables of a channel. Raises `AvpError`, where one could not be set."""
        answers = await self._setvar(self._name_of(channel), variables)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def set_global(self, name: str, value: str) -> None:
        """Set a global variable of the dialplan. Raises `AvpError`."""
        await self._client.action("Setvar", {"Variable": name, "Value": value})

    async def pause(self, effect: PauseMember) -> None:
        """A pause that somebody waits for. Raises `AmiError` and `AsteriskUnavailable`."""
        await self._client.action("QueuePause", _pause_headers(effect))

    async def queues(self, now: Callable[[], float]) -> list[ev.Fact]:
        """Members and waiting callers of all queues as they are.

        Raises `AmiTampered`, where they have to be asked for one by one, and `AvpError`.
        """
        return _queue_facts(await self._client.list_action("QueueStatus", whole=True), now())

    async def members(self, queue: str, interface: str = "") -> list[ev.Fact]:
        """The member of a queue (all of them, where ``interface`` is empty) and who waits there.

        Raises `AmiTampered` and `AvpError`.
        """
        headers = {"Queue": queue} | ({"Member": interface} if interface else {})
        found = await self._client.list_action("QueueStatus", headers, whole=True)
        return [f for f in _queue_facts(found, time.time()) if _queue_of(f) == queue]

    async def by_functions(self, queue: str, known: Known) -> list[ev.Fact]:
        """The same, where somebody has written into the list; see `ami.queue_functions`."""
        return await queue_by_functions(self._function, queue, known)

    async def _function(self, function: str) -> str:
        answer = await self._client.action("Getvar", {"Variable": function})
        return answer.get("Value", "").partition("\n")[0]

    async def linked(self) -> dict[str, str]:
        """The Linkedid of each channel, by its id; raises `AvpError`.

        Callers can write into this list. It decides nothing but whether a transfer is shown as
        ringing after a resync.
        """
        return {
            item["Uniqueid"]: item["Linkedid"]
            for item in await self._client.list_action("CoreShowChannels")
            if "Uniqueid" in item and "Linkedid" in item
        }

    async def _setvar(
        self, name: str, variables: Mapping[str, str]
    ) -> list[Mapping[str, str] | BaseException]:
        """Sent in one go: AMI answers the actions of one connection in order.

        A variable whose value is not clean is left out; the others are set without it.
        """
        variables, unclean = clean.variables(variables)
        for variable in unclean:
            log.error("unclean_value", channel=name, variable=variable)
        return await asyncio.gather(
            *(
                self._client.action(
                    "Setvar", {"Channel": name, "Variable": variable, "Value": value}
                )
                for variable, value in together(variables)
            ),
            return_exceptions=True,
        )

    async def _set_variables(self, effect: SetVariables) -> None:
        name = self._name_of(effect.channel)
        answers = await self._setvar(name, effect.variables)
        for answer in answers:
            if isinstance(answer, BaseException):
                log.debug("setvar_failed", channel=name, error=str(answer))
                if isinstance(answer, AsteriskUnavailable) or not isinstance(answer, AvpError):
                    raise answer

    def _redirect(self, effect: Redirect) -> dict[str, str]:
        headers = {
            "Channel": self._name_of(effect.channel),
            "Context": effect.destination.context,
            "Exten": effect.destination.extension,
            "Priority": str(effect.destination.priority),
        }
        if effect.extra_channel is not None and effect.extra_destination is not None:
            headers |= {
                "ExtraChannel": self._name_of(effect.extra_channel),
                "ExtraContext": effect.extra_destination.context,
                "ExtraExten": effect.extra_destination.extension,
                "ExtraPriority": str(effect.extra_destination.priority),
            }
        return headers

    async def _reported(
        self,
        action: str,
        headers: Mapping[str, str],
        report: Report,
        outcomes: tuple[EventType, EventType],
        channels: Sequence[str],
    ) -> None:
        good, bad = outcomes
        try:
            await self._client.action(action, headers)
        except AmiError as error:
            log.info("ami_action_refused", action=action, error=str(error))
            if _MISSING in error.message:
                # AMI's answer may come before ARI's word of the end. Whose end it was is what
                # became of the transfer.
                await self.end_told(channels)
            report(SessionEvent(bad))
        else:
            report(SessionEvent(good))

    async def _try(self, action: str, headers: Mapping[str, str]) -> None:
        try:
            await self._client.action(action, headers)
        except AmiError as error:
            # The channel is gone already, and its own event will tell.
            log.debug("ami_action_skipped", action=action, error=str(error))

    async def _membership(self, effect: AddMember | RemoveMember | PauseMember) -> None:
        headers = {"Queue": effect.queue, "Interface": effect.interface}
        if isinstance(effect, AddMember):
            action = "QueueAdd"
            headers |= {
                "StateInterface": effect.state_interface or effect.interface,
                "MemberName": effect.member_name,
                "Paused": "true" if effect.paused else "false",
                "Penalty": "0",
                "Wrapuptime": str(effect.wrapup_seconds),
            }
        elif isinstance(effect, RemoveMember):
            action = "QueueRemove"
        else:
            action = "QueuePause"
            headers = _pause_headers(effect)
        self.membership.started(effect)
        try:
            await self._client.action(action, headers)
        except AmiError as error:
            self.membership.failed(effect)
            if error.message.endswith(_DONE_ALREADY):
                log.debug("ami_action_skipped", action=action, error=str(error))
                return
            log.error(  # noqa: TRY400 - the message says it all; a traceback would hide the hint
                "personal_queue_not_followed",
                queue=effect.queue,
                interface=clean.location(effect.interface) or "(not clean)",
                action=action,
                error=str(error),
                hint="does the queue exist? write it with: asterisk-avp render queues",
            )
        except BaseException:
            self.membership.failed(effect)
            raise
        else:
            self.membership.done(effect)


def _queue_facts(items: Sequence[Mapping[str, str]], now: float) -> list[ev.Fact]:
    """What a list of QueueStatus says.

    Asterisk writes the ActionID last into its items, and a caller's number or a member's name into
    the middle (app_queue.c, ``manager_queues_status``): who has a line end in it can put another
    beginning before a genuine end. But Asterisk lists each queue's parameters before what is in it.
    """
    facts: list[ev.Fact] = []
    listed = None
    for item in items:
        if item.get("Event") == "QueueParams":
            listed = item.get("Queue")
        elif item.get("Queue") != listed:
            log.error("ami_list_impossible", item=item.get("Event"), queue=listed)
        else:
            fact = translate(item, now)
            if fact is not None:
                facts.append(fact)
    return facts


def _queue_of(fact: ev.Fact) -> str:
    return fact.queue if isinstance(fact, ev.MemberSeen | ev.QueueJoined) else ""


def _limit(effect: LimitCall, now: float) -> SetVariables:
    """Asterisk wants to know in how many seconds, of which 0 would mean never."""
    return SetVariables(effect.channel, {LIMIT: str(max(1, round(effect.ends_at - now)))})


def _pause_headers(effect: PauseMember) -> dict[str, str]:
    headers = {
        "Queue": effect.queue,
        "Interface": effect.interface,
        "Paused": "true" if effect.paused else "false",
    }
    return headers | ({"Reason": effect.reason} if effect.reason else {})
