"""Views of agents' work: their groups, and how many callers wait in them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MembershipView:
    """An agent and one of their groups."""

    group: str
    member: bool
    """Whether the agent is logged in to it."""
    dynamic: bool
    """Whether the agent may log in and out."""
    actions: tuple[str, ...]
    """``login`` or ``logout``, where that would not be refused now."""
    logged_in: bool = False
    """Whether the agent is one of the group's ``logged_in``, as in `GroupView`."""
    ready: bool = False
    available: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkView:
    """An agent's own work, as a part of their view."""

    acw_until: float | None = None
    """While in after-call work: when it ends, in Unix seconds."""
    work_actions: tuple[str, ...] = ()
    """What the agent may do about their work now (`core.engine.work.actions`)."""
    memberships: tuple[MembershipView, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupView:
    """An agent group at work, as everybody sees it who may know of it."""

    id: str
    name: str
    logged_in: int
    """Members whose phones can be reached."""
    ready: int
    """Those of them who are not paused."""
    available: int
    """Those of them who could get a call now."""
    waiting: int
    """Callers who wait in its queue."""
    longest_wait_since: float | None
    """When the first of them joined, in Unix seconds; None: nobody waits."""


@dataclass(frozen=True, slots=True)
class WorkRules:
    """What the administrator allows agents about their own work."""

    pause_reasons: tuple[str, ...] = ("Break", "Lunch", "Meeting", "Training")
    other_pause_reasons: bool = True
    """Whether agents may also pause for another reason, or for none."""
    acw_extension_seconds: int = 600
    """For how long agents may extend their after-call work altogether."""
