"""Tenant isolation: accounts are different clients, and each sees only its own part. Pure.

A group belongs to its account; groups without an account form one more, unnamed account. A group or
preset is *open* to its own account (for a preset, that of its group) and to the accounts in its
``shared_with``. An agent is visible to every account to which one of the agent's groups is open.

* An agent's *scope* is everything open to any account of the agent's groups. It limits what the
  agent sees: agents, transfers, screen pops, events.
* For a call, the scope is further limited to what is open to the account of the call's group. An
  agent who works for several clients acts for the call's client.

With a single account there is nothing to isolate, and every scope is everything. Otherwise an agent
who is in no group sees only themselves, and nobody else sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from asterisk_avp.core.model.world import Group, Preset, World

GroupsOf = Callable[[str], Iterable[str]]
"""The groups of the agent of that id."""


def _nowhere(_agent: str) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Scope:
    """The ids of groups and presets that are visible. None: all."""

    groups: frozenset[str] | None = None
    presets: frozenset[str] | None = None
    groups_of: GroupsOf = field(default=_nowhere, compare=False, repr=False)
    own: str = field(default="", compare=False)
    """The agent whose scope this is, who is always visible to themselves."""

    @property
    def unrestricted(self) -> bool:
        return self.groups is None

    def group(self, group: str | None) -> bool:
        return self.groups is None or group in self.groups

    def preset(self, preset: str) -> bool:
        return self.presets is None or preset in self.presets

    def agent(self, agent: str) -> bool:
        return self.groups is None or agent == self.own or self.member(self.groups_of(agent))

    def member(self, groups: Iterable[str]) -> bool:
        """Whether an agent of these groups is visible, other than the scope's own agent."""
        return self.groups is None or any(group in self.groups for group in groups)

    def both(self, other: Scope) -> Scope:
        """The intersection of the two scopes."""
        if self.groups is None or other.groups is None:
            return self if other.groups is None else other
        presets = (self.presets or frozenset()) & (other.presets or frozenset())
        return Scope(self.groups & other.groups, presets, self.groups_of, self.own)


EVERYTHING = Scope()


class Tenants:
    """The scopes of a configuration."""

    def __init__(self, world: World, groups_of: GroupsOf) -> None:
        self._world = world
        self._groups_of = groups_of
        self._apart = len({group.account for group in world.groups.values()}) > 1
        self._open: dict[frozenset[str | None], tuple[frozenset[str], frozenset[str]]] = {}
        """Accounts to the groups and presets that are open to any of them."""

    def of_agent(self, agent: str) -> Scope:
        """The scope of an agent."""
        if not self._apart:
            return EVERYTHING
        groups = self._world.groups
        return self._scope({groups[g].account for g in self._groups_of(agent)}, agent)

    def of_call(self, agent: str, group: Group | None) -> Scope:
        """The agent's scope for a call of ``group``; None where neither has a group."""
        scope = self.of_agent(agent)
        if group is None or scope.unrestricted:
            return scope
        return scope.both(self._scope({group.account}, agent))

    def _scope(self, accounts: set[str | None], agent: str) -> Scope:
        key = frozenset(accounts)
        found = self._open.get(key)
        if found is None:
            groups = self._world.groups.values()
            presets = self._world.presets.values()
            found = self._open[key] = (
                frozenset(x.id for x in groups if any(map(x.open_to, key))),
                frozenset(x.id for x in presets if any(self._preset_open(x, y) for y in key)),
            )
        return Scope(*found, self._groups_of, agent)

    def _preset_open(self, preset: Preset, account: str | None) -> bool:
        group = self._world.groups.get(preset.group)
        own = group is not None and group.account == account
        return own or account in preset.shared_with
