"""What many panels are told, written once.

A change goes to every WebSocket, and most of them are told the same: with hundreds of panels it is
the writing of JSON that would take the time, and calls have to wait for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from asterisk_avp.api.auth import Principal
from asterisk_avp.api.clients import event_for
from asterisk_avp.api.visibility import Visibility, redacted, visibility_of
from asterisk_avp.core.model.tenants import EVERYTHING, Scope
from asterisk_avp.core.model.world import AgentView


def as_text(value: object) -> str:
    """JSON; what is no character (half of one) becomes a question mark."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()


class SharedEvent(dict[str, Any]):
    """An event that keeps its texts."""

    __slots__ = ("_texts",)

    def __init__(self, event: Mapping[str, Any]) -> None:
        super().__init__(event)
        self._texts: dict[tuple[Visibility, frozenset[str] | None], str | None] = {}

    def text_for(self, principal: Principal, scope: Scope = EVERYTHING) -> str | None:
        """What ``caller``, whose scope it is, is told of it; None where it is not their business.

        The same for all of one scope, but for agents whom it concerns: they know themselves.
        """
        seen = visibility_of(principal, self)
        if seen is Visibility.NOTHING:
            return None
        key = seen, scope.groups
        if key not in self._texts or not (scope.unrestricted or self._of_another(seen)):
            shown = event_for(self if seen is Visibility.ALL else redacted(self), scope)
            self._texts[key] = None if shown is None else as_text(shown)
        return self._texts[key]

    def _of_another(self, seen: Visibility) -> bool:
        return seen is Visibility.PART and self.get("type") == "agent"


class Roster:
    """All agents, each as ``shown``; of who has not changed, the text is kept."""

    def __init__(self, shown: Callable[[AgentView], Mapping[str, Any]]) -> None:
        self._shown = shown
        self._known: dict[str, tuple[AgentView, str]] = {}

    def texts(self, views: Iterable[AgentView]) -> Iterable[tuple[str, str]]:
        """Id and text of each agent, given without their calls."""
        known, now = self._known, {}
        for view in views:
            before = known.get(view.id)
            if before is None or before[0] != view:
                before = (view, as_text(self._shown(view)))
            now[view.id] = before
        self._known = now
        return [(agent, text) for agent, (_, text) in now.items()]


_MAX_ROSTERS = 64


class Rosters:
    """The same for agents of several clients, of whom each knows some."""

    def __init__(self, shown: Callable[[AgentView], Mapping[str, Any]]) -> None:
        self._shown = shown
        self._all = Roster(shown)
        self._of: dict[frozenset[str], Roster] = {}
        """By the groups of a scope."""

    def texts(self, views: Iterable[AgentView], scope: Scope) -> Iterable[tuple[str, str]]:
        """Id and text of each agent in ``scope``."""
        if scope.groups is None:
            return self._all.texts(views)
        if scope.groups not in self._of and len(self._of) >= _MAX_ROSTERS:
            self._of.clear()  # those of a configuration that is no more
        roster = self._of.setdefault(scope.groups, Roster(partial(self._known, scope)))
        return roster.texts(v for v in views if v.id == scope.own or scope.member(v.groups))

    def _known(self, scope: Scope, view: AgentView) -> Mapping[str, Any]:
        shown = self._shown(view)
        return {**shown, "groups": [group for group in shown["groups"] if scope.group(group)]}
