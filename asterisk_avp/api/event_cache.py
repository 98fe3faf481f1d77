"""Cache the JSON of events and agents that many panels receive.

Every WebSocket gets each change, and most get the same text. With hundreds of panels, encoding JSON
for each would take most of the time and delay calls.
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
    """JSON text, with unpaired surrogates replaced by question marks."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()


class SharedEvent(dict[str, Any]):
    """An event that caches its JSON texts."""

    __slots__ = ("_parts", "_texts")

    def __init__(self, event: Mapping[str, Any]) -> None:
        super().__init__(event)
        self._texts: dict[tuple[Visibility, frozenset[str] | None], str | None] = {}
        self._parts: dict[tuple[tuple[str, Any], ...], str] = {}

    def text_for(self, principal: Principal, scope: Scope = EVERYTHING) -> str | None:
        """The event's JSON for a principal and their scope; None: not visible.

        Cached for all principals with the same scope, except an agent whom the event is about.
        """
        seen = visibility_of(principal, self)
        if seen is Visibility.NOTHING:
            return None
        key = seen, scope.groups
        if key not in self._texts or not (scope.unrestricted or self._of_another(seen)):
            shown = event_for(self if seen is Visibility.ALL else redacted(self), scope)
            self._texts[key] = None if shown is None else as_text(shown)
        return self._texts[key]

    def text_with(self, part: str, more: Mapping[str, Any]) -> str:
        """The event's JSON with ``more`` in its object ``part``, the same for many clients."""
        key = tuple(sorted(more.items()))
        if key not in self._parts:
            self._parts[key] = as_text({**self, part: {**self[part], **more}})
        return self._parts[key]

    def _of_another(self, seen: Visibility) -> bool:
        return seen is Visibility.PART and self.get("type") == "agent"


class Roster:
    """All agents as JSON by ``shown``; texts of unchanged agents are cached."""

    def __init__(self, shown: Callable[[AgentView], Mapping[str, Any]]) -> None:
        self._shown = shown
        self._known: dict[str, tuple[AgentView, str]] = {}

    def texts(self, views: Iterable[AgentView]) -> Iterable[tuple[str, str]]:
        """Id and JSON of each agent; ``views`` are without calls."""
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
    """One `Roster` for each scope."""

    def __init__(self, shown: Callable[[AgentView], Mapping[str, Any]]) -> None:
        self._shown = shown
        self._all = Roster(shown)
        self._of: dict[frozenset[str], Roster] = {}
        """Groups of a scope to its roster."""

    def texts(self, views: Iterable[AgentView], scope: Scope) -> Iterable[tuple[str, str]]:
        """Id and JSON of each agent in ``scope``."""
        if scope.groups is None:
            return self._all.texts(views)
        if scope.groups not in self._of and len(self._of) >= _MAX_ROSTERS:
            self._of.clear()  # scopes of an earlier configuration
        roster = self._of.setdefault(scope.groups, Roster(partial(self._known, scope)))
        return roster.texts(v for v in views if v.id == scope.own or scope.member(v.groups))

    def _known(self, scope: Scope, view: AgentView) -> Mapping[str, Any]:
        shown = self._shown(view)
        return {**shown, "groups": [group for group in shown["groups"] if scope.group(group)]}
