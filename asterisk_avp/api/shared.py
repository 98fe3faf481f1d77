"""What many panels are told, written once.

A change goes to every WebSocket, and most of them are told the same: with hundreds of panels it is
the writing of JSON that would take the time, and calls have to wait for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from asterisk_avp.api.auth import Caller
from asterisk_avp.api.visibility import Sight, partly, sight
from asterisk_avp.core.model import AgentView


def as_text(value: object) -> str:
    """JSON; what is no character (half of one) becomes a question mark."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()


class Shared(dict[str, Any]):
    """An event that keeps its texts."""

    __slots__ = ("_texts",)

    def __init__(self, event: Mapping[str, Any]) -> None:
        super().__init__(event)
        self._texts: dict[Sight, str] = {}

    def text_for(self, caller: Caller) -> str | None:
        """What ``caller`` is told of it; None where it is none of their business."""
        seen = sight(caller, self)
        if seen is Sight.NOTHING:
            return None
        text = self._texts.get(seen)
        if text is None:
            text = self._texts[seen] = as_text(self if seen is Sight.ALL else partly(self))
        return text


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
