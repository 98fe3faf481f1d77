"""Perform effects by AMI.

AMI and ARI are two connections, and messages on one have no defined order relative to messages on
the other. The engine gets them by two rules (see `service.inbox`):

* The outcome of a Redirect or a Bridge is reported as soon as its response is read, before any
  event that follows it on AMI's connection.
* Until such an action has a response, the end of a channel that it concerns is held. Asterisk
  responds as soon as the action is done, after which the resulting call may end; a busy machine may
  read ARI's event of that end before AMI's response. If Asterisk refuses, the end is reported
  first, because it is the likely cause.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from asterisk_avp.ami.client import AmiClient
from asterisk_avp.ami.membership import MembershipChanges
from asterisk_avp.ami.recording import Recorder, Recordings
from asterisk_avp.ami.translation import Translation
from asterisk_avp.ami.variables import actions as together
from asterisk_avp.core.messages import clean
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
    RenewTranslation,
    ResumeRecording,
    SetPenalty,
    SetRingInUse,
    SetVariables,
    WithdrawCaller,
)
from asterisk_avp.core.model.errors import AmiError, AsteriskUnavailable, AvpError
from asterisk_avp.core.transfer.dialplan import LIMIT
from asterisk_avp.core.transfer.events import EventType, SessionEvent

log = structlog.get_logger(__name__)

Report = Callable[[SessionEvent], None]


class Ends(Protocol):
    """Access to the ends of channels."""

    def hold(self, channels: Sequence[str], /) -> Callable[[], None]:
        """Hold the ends of these channels until the returned function is called (idempotent)."""
        ...

    async def expected(self, channels: Sequence[str], /) -> None:
        """Wait briefly for the end of one of these channels."""
        ...


class _Nobody:
    """An observer without effect."""

    def hold(self, _channels: Sequence[str], /) -> Callable[[], None]:
        return lambda: None

    async def expected(self, _channels: Sequence[str], /) -> None: ...


_MISSING = "does not exist"
"""In a response about a channel that has ended (manager.c, ``action_redirect``; features.c)."""


class AmiPerformer:
    """``name_of`` returns a channel's name for its id (see `Calls.name_of`)."""

    def __init__(
        self,
        client: AmiClient,
        name_of: Callable[[str], str],
        recordings: Recordings | None = None,
        members: MembershipChanges | None = None,
        ends: Ends | None = None,
        phone_beyond: Callable[[str], str] = lambda _channel: "",
    ) -> None:
        self._client = client
        self._name_of = name_of
        self._members = members or MembershipChanges(client)
        self._ends: Ends = ends or _Nobody()
        self._recorder = Recorder(client, name_of, recordings or Recordings())
        self._translation = Translation(client, name_of, phone_beyond)

    async def perform(self, effect: AmiEffect, report: Report) -> None:
        """Perform one effect; outcomes that the session waits for go to ``report``.

        Raises `AsteriskUnavailable` if any other effect may not have been performed.
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
            case WithdrawCaller(queue, channel):
                caller = self._name_of(channel)
                await self._try("QueueWithdrawCaller", {"Queue": queue, "Caller": caller})
            case PauseRecording() | ResumeRecording():
                await self._recorder.perform(effect)
            case RenewTranslation():
                await self._translation.perform(effect)
            case AddMember() | RemoveMember() | PauseMember() | SetPenalty() | SetRingInUse():
                await self._members.perform(effect)
            case _:
                raise TypeError(f"not an AMI effect: {effect!r}")

    async def write(self, channel: str, variables: Mapping[str, str]) -> None:
        """Set variables of a channel. Raises `AvpError` if one could not be set."""
        answers = await self._setvar(self._name_of(channel), variables)
        for answer in answers:
            if isinstance(answer, AvpError):
                raise answer

    async def set_global(self, name: str, value: str) -> None:
        """Set a global variable of the dialplan. Raises `AvpError`."""
        await self._client.action("Setvar", {"Variable": name, "Value": value})

    async def _setvar(
        self, name: str, variables: Mapping[str, str]
    ) -> list[Mapping[str, str] | AvpError]:
        """Send all actions before anything else; AMI executes those of one connection in order.

        So whatever is sent next relies on these variables. Those whose values are not clean are
        omitted.
        """
        variables, unclean = clean.variables(variables)
        for variable in unclean:
            log.error("unclean_value", channel=name, variable=variable)
        return await self._client.actions(
            "Setvar",
            [
                {"Channel": name, "Variable": variable, "Value": value}
                for variable, value in together(variables)
            ],
        )

    async def _set_variables(self, effect: SetVariables) -> None:
        name = self._name_of(effect.channel)
        answers = await self._setvar(name, effect.variables)
        for answer in answers:
            if isinstance(answer, AvpError):
                log.debug("setvar_failed", channel=name, error=str(answer))
                if isinstance(answer, AsteriskUnavailable):
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
        release = self._ends.hold(channels)

        def answered(error: AmiError | None) -> None:
            if error is None:
                report(SessionEvent(good))
                release()
                return
            log.info("ami_action_refused", action=action, error=str(error))
            release()
            if _MISSING not in error.message:
                report(SessionEvent(bad))

        try:
            await self._client.action(action, headers, answered=answered)
        except AmiError as error:
            if _MISSING in error.message:
                # AMI's response may precede ARI's event of the end, which tells who hung up and
                # decides the outcome of the transfer.
                await self._ends.expected(channels)
                report(SessionEvent(bad))
        finally:
            release()  # if the outcome is unknown, the resync finds it

    async def _try(self, action: str, headers: Mapping[str, str]) -> None:
        try:
            await self._client.action(action, headers)
        except AmiError as error:
            # The channel has ended, as its own event reports.
            log.debug("ami_action_skipped", action=action, error=str(error))


def _limit(effect: LimitCall, now: float) -> SetVariables:
    """The limit in seconds from now, at least 1, because 0 means no limit to Asterisk."""
    return SetVariables(effect.channel, {LIMIT: str(max(1, round(effect.ends_at - now)))})
