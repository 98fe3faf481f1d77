"""Change memberships of queues by AMI: the agents' own, and those of the personal queues."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, Protocol

import structlog

from asterisk_avp.ami.client import AmiClient
from asterisk_avp.core.messages import clean
from asterisk_avp.core.messages.effects import (
    AddMember,
    PauseMember,
    RemoveMember,
    SetPenalty,
    SetRingInUse,
)
from asterisk_avp.core.model.errors import AmiError, UncleanValue
from asterisk_avp.core.pbx.renewal import Renewal

log = structlog.get_logger(__name__)

Change = AddMember | RemoveMember | PauseMember | SetPenalty | SetRingInUse

DONE_ALREADY: Final = ("Already there", "Not there", "Interface not found")
"""Responses to a change of membership that another change has made unnecessary."""

NOT_DYNAMIC: Final = "Member not dynamic"
"""The response to the removal of a static member (app_queue.c, ``RES_NOT_DYNAMIC``)."""

NO_SUCH_QUEUE: Final = "No such queue"


class Observer(Protocol):
    """Observer of changes of membership."""

    def started(self, effect: Change) -> None: ...
    def done(self, effect: Change) -> None: ...
    def failed(self, effect: Change) -> None: ...


class _Nobody:
    """An observer without effect."""

    def started(self, effect: Change) -> None: ...
    def done(self, effect: Change) -> None: ...
    def failed(self, effect: Change) -> None: ...


class MembershipChanges:
    def __init__(self, client: AmiClient, observer: Observer | None = None) -> None:
        self._client = client
        self._observer: Observer = observer or _Nobody()

    async def perform(self, effect: Change) -> None:
        """Make a change of a personal queue, which is logged where Asterisk refuses it.

        Raises `AsteriskUnavailable` if the change may not have been made.
        """
        try:
            await self.change(effect)
        except AmiError as error:
            _log_refusal(effect, error)

    async def change(self, effect: Change) -> None:
        """Make a change, and wait for it.

        Raises `AmiError`, also where the change was made already, and `AsteriskUnavailable`.
        """
        action, headers = _action(effect)

        def answered(error: AmiError | None) -> None:
            if error is None:
                self._observer.done(effect)
            else:
                self._observer.failed(effect)

        self._observer.started(effect)
        try:
            await self._client.action(action, headers, answered=answered)
        except AmiError:
            raise
        except BaseException:
            self._observer.failed(effect)
            raise

    async def renew(self, renewals: Iterable[Renewal]) -> None:
        """Renew memberships. Raises `AmiError` and `AsteriskUnavailable` for the first that failed.

        All actions are written at once, so that no failure of this program comes between them.
        Nothing is changed where one of the values is not clean.
        """
        wanted = list(renewals)
        for renewal in wanted:
            for change in renewal.changes:
                _check(*_action(change))
        await asyncio.gather(*(self._renew(renewal) for renewal in wanted))

    async def _renew(self, renewal: Renewal) -> None:
        # Until Asterisk has answered, the events of these changes say nothing about the agent.
        answers = await asyncio.gather(
            *(
                self.change(change)
                if change is renewal.back
                else self._client.action(*_action(change))
                for change in renewal.changes
            ),
            return_exceptions=True,
        )
        for change, answer in zip(renewal.changes, answers, strict=True):
            if isinstance(answer, BaseException) and change in (renewal.out, renewal.back):
                raise answer


def _check(action: str, headers: dict[str, str]) -> None:
    try:
        clean.check_action(action, headers)
    except UncleanValue as error:
        raise AmiError(action, str(error)) from None


def _action(effect: Change) -> tuple[str, dict[str, str]]:
    headers = {"Queue": effect.queue, "Interface": effect.interface}
    match effect:
        case AddMember():
            action = "QueueAdd"
            headers |= {
                "StateInterface": effect.state_interface or effect.interface,
                "MemberName": clean.member_name(effect.member_name),
                "Paused": _flag(effect.paused),
                "Penalty": str(effect.penalty),
                "Wrapuptime": str(effect.wrapup_seconds),
            }
            headers |= _reason(effect.reason)
        case RemoveMember():
            action = "QueueRemove"
        case PauseMember():
            action = "QueuePause"
            headers |= {"Paused": _flag(effect.paused)} | _reason(effect.reason)
        case SetPenalty():
            action = "QueuePenalty"
            headers |= {"Penalty": str(effect.penalty)}
        case SetRingInUse():
            action = "QueueMemberRingInUse"
            headers |= {"RingInUse": _flag(effect.ring_in_use)}
    return action, headers


def _flag(value: bool) -> str:  # noqa: FBT001 - an AMI header
    return "true" if value else "false"


def _reason(reason: str) -> dict[str, str]:
    kept = clean.name(reason)
    return {"Reason": kept} if kept else {}


def _log_refusal(effect: Change, error: AmiError) -> None:
    if error.message.endswith(DONE_ALREADY):
        log.debug("ami_action_skipped", action=error.action, error=str(error))
        return
    log.error(
        "personal_queue_not_followed",
        queue=effect.queue,
        interface=clean.location(effect.interface) or "(not clean)",
        action=error.action,
        error=str(error),
        hint="does the queue exist? write it with: asterisk-avp render queues",
    )
