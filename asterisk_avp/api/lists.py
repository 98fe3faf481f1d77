"""The agents and groups that panels show, and what of them has changed since a panel was told.

Agents are kept for each group that a panel shows, in the order of their last change, so that what
has changed since a version is found without a look at the others. What panels with the same groups
receive is encoded once (`Lists.batch`, `Lists.complete`). No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from asterisk_avp.api.clients import agent_for
from asterisk_avp.api.event_cache import as_text
from asterisk_avp.api.frames import text_frames
from asterisk_avp.core.model.tenants import Scope

Json = Mapping[str, Any]

_COUNTS: Final[tuple[str, ...]] = ("id", "available", "logged_in", "ready")
"""What a panel is told of a group that is not its agent's own, as in the targets."""

KEPT: Final = 32
"""Complete lists that are kept. They serve panels that connect at the same time, and a list of each
set of groups for good would be most of a panel's memory."""
_FEW: Final = 20
"""Changes that are sent beside a complete list that is older, before it is made anew."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a panel shows: the agents of these groups, restricted to a scope."""

    groups: frozenset[str]
    scope: frozenset[str] | None
    """The groups that may be known; None: all."""


@dataclass(slots=True)
class _Agent:
    shown: Json
    groups: frozenset[str]
    texts: dict[frozenset[str] | None, str] = field(default_factory=dict)
    """Scope to the agent's JSON."""

    def text(self, scope: frozenset[str] | None) -> str:
        found = self.texts.get(scope)
        if found is None:
            shown = agent_for(self.shown, Scope(scope, own=self.shown["id"]))
            found = self.texts[scope] = as_text(shown)
        return found


@dataclass(slots=True)
class _Log:
    """Keys with the version of their last change, the latest last."""

    version: int = 0
    changed: dict[str, int] = field(default_factory=dict)

    def note(self, key: str, version: int) -> None:
        self.changed.pop(key, None)
        self.changed[key] = self.version = version

    def since(self, version: int) -> Iterator[str]:
        if self.version <= version:
            return
        for key in reversed(self.changed):
            if self.changed[key] <= version:
                return
            yield key


@dataclass(slots=True)
class _Complete:
    version: int
    frame: bytes
    count: int


Loader = Callable[[Collection[str]], Iterable[Json]]
"""Groups to their agents, as every agent may see them (`schemas.agent_for_all`)."""


class Lists:
    """``load``: the agents of groups that no panel has shown so far."""

    def __init__(self, load: Loader) -> None:
        self._load = load
        self.version = 0
        """Counts changes. A panel that was told at a version misses the later ones."""
        self._agents: dict[str, _Agent] = {}
        self._members: dict[str, _Log] = {}
        """The groups that are shown: their agents, and those that have left."""
        self._groups: dict[str, Json] = {}
        self._counts: dict[str, Json] = {}
        self._changed_groups = _Log()
        """Groups whose event has come."""
        self._changed_counts = _Log()
        """Groups of which those outside are told something new."""
        self._complete: dict[Shown, _Complete] = {}
        self._batches: dict[tuple[object, int], bytes] = {}
        self._batched = 0

    # --- changes ---------------------------------------------------------------------------------

    def show(self, groups: Collection[str]) -> None:
        """Keep the agents of these groups from now on."""
        new = {group: _Log() for group in groups if group not in self._members}
        if not new:
            return
        self._members.update(new)
        for shown in self._load(tuple(new)):
            agent = _Agent(shown, frozenset(shown["groups"]))
            self._agents[shown["id"]] = agent
            # No panel has been told of these groups: each is told everything first (`complete`).
            for group in agent.groups & new.keys():
                new[group].note(shown["id"], 0)

    def groups_of(self, agent: str) -> frozenset[str]:
        """The groups of an agent, as far as they are known here."""
        found = self._agents.get(agent)
        return frozenset() if found is None else found.groups

    def agent(self, shown: Json) -> None:
        """An agent has changed, or their groups; without what only the agent may see."""
        agent, groups = shown["id"], frozenset(shown["groups"])
        before = self._agents.get(agent)
        concerned = [
            log
            for group in (groups if before is None else groups | before.groups)
            if (log := self._members.get(group)) is not None
        ]
        if not concerned and before is None:
            return
        # Known agents are kept up to date in other groups too, which a panel may show later.
        self.version += 1
        for log in concerned:
            log.note(agent, self.version)
        self._agents[agent] = _Agent(shown, groups)

    def group(self, group: Json) -> None:
        """Something of a group: its counts, or all that its event has."""
        name = group["id"]
        known = {**self._groups.get(name, {}), **group}
        if known == self._groups.get(name):
            return
        self.version += 1
        self._groups[name] = known
        self._changed_groups.note(name, self.version)
        counts = {key: known[key] for key in _COUNTS if key in known}
        if self._counts.get(name) != counts:
            self._counts[name] = counts
            self._changed_counts.note(name, self.version)

    # --- what panels receive ---------------------------------------------------------------------

    def batch(self, shown: Shown, since: int, *, own_only: bool = False) -> bytes:
        """The frames with what has changed after the version ``since``; empty: nothing.

        ``own_only``: only if something of the own groups has changed.
        """
        if self._batched != self.version:
            self._batches.clear()
            self._batched = self.version
        own = self._once((shown, since), lambda: self._own(shown, since))
        if own_only and not own:
            return b""
        return own + self._once((shown.scope, since), lambda: self._others(shown.scope, since))

    def complete(self, shown: Shown) -> bytes:
        """The frames with everything, as of now."""
        self.show(shown.groups)
        found = self._complete.get(shown)
        if found is None or self._missing(shown, found) > max(_FEW, found.count // 4):
            agents = self._all(shown)
            self._complete.pop(shown, None)
            if len(self._complete) >= KEPT:
                del self._complete[next(iter(self._complete))]
            found = self._complete[shown] = _Complete(
                self.version,
                _frame(
                    (self._agents[agent].text(shown.scope) for agent in agents),
                    groups=(
                        self._groups[group] if group in shown.groups else counts
                        for group, counts in self._counts.items()
                        if group in shown.groups or _open(shown.scope, group)
                    ),
                    complete=True,
                ),
                len(agents),
            )
        return found.frame + self.batch(shown, found.version)

    def _once(self, key: tuple[object, int], make: Callable[[], bytes]) -> bytes:
        found = self._batches.get(key)
        if found is None:
            found = self._batches[key] = make()
        return found

    def _own(self, shown: Shown, since: int) -> bytes:
        changed = dict.fromkeys(
            agent for group in shown.groups for agent in self._members[group].since(since)
        )
        there = [a for a in changed if self._agents[a].groups & shown.groups]
        groups = [g for g in self._changed_groups.since(since) if g in shown.groups]
        if not (changed or groups):
            return b""
        return _frame(
            (self._agents[agent].text(shown.scope) for agent in there),
            gone=changed.keys() - there,
            groups=(self._groups[group] for group in groups),
        )

    def _others(self, scope: frozenset[str] | None, since: int) -> bytes:
        changed = [g for g in self._changed_counts.since(since) if _open(scope, g)]
        return _frame((), groups=(self._counts[group] for group in changed)) if changed else b""

    def _all(self, shown: Shown) -> list[str]:
        found = {agent for group in shown.groups for agent in self._members[group].changed}
        return sorted(agent for agent in found if self._agents[agent].groups & shown.groups)

    def _missing(self, shown: Shown, found: _Complete) -> int:
        """How much of a complete list is out of date, at most; counted no further than needed."""
        logs = [self._members[group] for group in shown.groups]
        return sum(1 for log in (*logs, self._changed_counts) for _ in log.since(found.version))


def _open(scope: frozenset[str] | None, group: str) -> bool:
    return scope is None or group in scope


def _frame(
    agents: Iterable[str],
    *,
    gone: Iterable[str] = (),
    groups: Iterable[Json] = (),
    complete: bool = False,
) -> bytes:
    rest = as_text({"gone": sorted(gone), "groups": list(groups)})[1:]
    whole = "true" if complete else "false"
    text = f'{{"type": "lists", "complete": {whole}, "agents": [{", ".join(agents)}], {rest}'
    return text_frames(text)
