"""Random call centres of several clients, and a plain rule of what their agents may know.

The ids and names of everything are unique words, so that anything that is shown can be searched for
what it must not reveal.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from hypothesis import strategies as st

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.model.world import ConfiguredAgent, Group, Preset, World
from tests.core.world import ALL_ON, NOW, member

ACCOUNTS = (None, "acme", "beta", "gamma")
NAMED = ACCOUNTS[1:]
SHARED = st.lists(st.sampled_from([x for x in NAMED if x]), max_size=2, unique=True).map(tuple)


def group_id(number: int) -> str:
    return f"groupno{number}x"


def agent_id(number: int) -> str:
    return f"agentno{number}x"


@dataclass(frozen=True)
class Centre:
    """A configuration, and the groups of each agent."""

    world: World
    members: dict[str, tuple[str, ...]]

    def accounts_of(self, agent: str) -> set[str | None]:
        return {self.world.groups[group].account for group in self.members[agent]}

    @property
    def apart(self) -> bool:
        return len({group.account for group in self.world.groups.values()}) > 1

    def knows_group(self, group: str, *whose: set[str | None]) -> bool:
        """Whether it is visible to an account of each of ``whose``."""
        found = self.world.groups[group]
        open_to = {found.account, *found.shared_with}
        return not self.apart or all(accounts & open_to for accounts in whose)

    def knows_preset(self, preset: str, *whose: set[str | None]) -> bool:
        found = self.world.presets[preset]
        open_to = {self.world.groups[found.group].account, *found.shared_with}
        return not self.apart or all(accounts & open_to for accounts in whose)

    def knows_agent(self, agent: str, *whose: set[str | None]) -> bool:
        groups = self.members[agent]
        return not self.apart or any(self.knows_group(group, *whose) for group in groups)

    def foreign_words(self, viewer: str) -> set[str]:
        """Words that must not occur in anything that this agent is shown."""
        accounts = self.accounts_of(viewer)
        words: set[str] = set()
        for group in self.world.groups.values():
            if not self.knows_group(group.id, accounts):
                words |= {group.id, group.name, group.queue, group.extension or ""}
        for preset in self.world.presets.values():
            if not self.knows_preset(preset.id, accounts):
                words |= {preset.id, preset.name, preset.number, preset.code or ""}
        for agent in self.members.keys() - {viewer}:
            if not self.knows_agent(agent, accounts):
                words |= {agent, f"name of {agent}"}
        return words - {""}

    def engine(self) -> TransferEngine:
        """With all agents logged in and free."""
        numbers = itertools.count(1)
        made = TransferEngine(self.world, new_id=lambda: f"t{next(numbers)}")
        for agent, groups in self.members.items():
            for group in groups:
                made.fact(member(agent, self.world.groups[group].queue), NOW)
        return made


@st.composite
def centres(draw: st.DrawFn) -> Centre:
    groups = {}
    for number in range(draw(st.integers(1, 5))):
        identifier = group_id(number)
        groups[identifier] = Group(
            identifier,
            f"queueno{number}x",
            f"Group No {number}x",
            account=draw(st.sampled_from(ACCOUNTS)),
            extension=f"8{number:03}777",
            pop_url="https://crm.example/" + identifier,
            features=ALL_ON,
            shared_with=draw(SHARED),
        )
    some_group = st.sampled_from([*groups])
    presets = {}
    for number in range(draw(st.integers(0, 3))):
        identifier = f"presetno{number}x"
        presets[identifier] = Preset(
            identifier,
            f"Preset No {number}x",
            f"+1202555010{number}",
            draw(some_group),
            f"7{number:03}888",
            draw(SHARED),
        )
    members = {
        agent_id(number): tuple(
            draw(st.lists(some_group, min_size=0 if number else 1, max_size=3, unique=True))
        )
        for number in range(draw(st.integers(2, 6)))
    }
    world = World(groups, {agent: ConfiguredAgent(agent) for agent in members}, presets)
    return Centre(world, members)
