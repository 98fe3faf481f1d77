"""The JSON of agents' work: pauses, after-call work, and groups."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from asterisk_avp.api.schemas import In, Out, Time
from asterisk_avp.core.model.work import GroupView, MembershipView


class PauseIn(In):
    """``reason`` is told to whoever watches the queues, e.g. in reports on pauses."""

    reason: Annotated[str, Field(max_length=80)] = ""


class ReadyIn(In):
    """``keep_acw``: only end a pause; after-call work goes on."""

    keep_acw: bool = False


class AcwIn(In):
    extend_seconds: Annotated[int, Field(ge=1, le=3600)] = 30


class GroupOut(Out):
    """An agent group at work."""

    id: str
    name: str
    logged_in: int
    """Members whose phones can be reached."""
    ready: int
    """Those of them who are not paused."""
    available: int
    """Those of them who could get a call now."""
    waiting: int
    """Callers who wait in the queue."""
    longest_wait_since: Time | None
    """Since when the first of them waits."""


class OwnGroupOut(GroupOut):
    """An agent group, and whether the agent who asks is in it; null for an integration."""

    member: bool | None
    dynamic: bool | None
    """Whether the agent may log in and out."""


def group_out(view: GroupView) -> dict[str, Any]:
    """The group's JSON, the same for everybody."""
    return GroupOut.model_validate(view).model_dump(mode="json")


def own_part(membership: MembershipView | None) -> dict[str, bool | None]:
    """The part of a group's JSON that concerns the agent who reads it."""
    if membership is None:
        return {"member": None, "dynamic": None}
    return {"member": membership.member, "dynamic": membership.dynamic}
