"""A large simulated office: hundreds or thousands of agents, dozens of groups."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import cycle

from asterisk_avp.core.model.world import AgentState, AgentView, TargetGroup, TargetsView
from tests.panel.office import EVERYTHING, ME, Office, OpenOffice, opened

FIRST = (
    "Anna", "Björn", "Chloé", "Deniz", "Elżbieta", "François", "Gülşen", "Håkon", "Inés", "Jürgen",
    "Kateřina", "Łukasz", "María", "Nadia", "Øyvind", "Paweł", "Quentin", "Róża", "Søren", "Théo",
)  # fmt: skip
LAST = (
    "Andersson", "Bąk", "Castellanos", "Dvořák", "Eriksen", "Fontaine", "García", "Horváth",
    "Ibáñez", "Johansson", "Krüger", "Lefèvre", "Müller", "Novák", "Östberg",
)  # fmt: skip
STATES = (
    AgentState.TALKING, AgentState.AVAILABLE, AgentState.ACW, AgentState.NOT_READY,
    AgentState.TALKING, AgentState.OFFLINE, AgentState.TALKING, AgentState.AVAILABLE,
)  # fmt: skip
EMPTY, PAUSED = "group-2", "group-3"
"""A group where nobody is logged in, and one where everybody is on a break."""


@dataclass
class CrowdedOffice(Office):
    """Alice is in the first group, with everybody else; each of them is in another one too."""

    agent_count: int = 300
    group_count: int = 60

    def __post_init__(self) -> None:
        super().__post_init__()
        self.names = {f"group-{n}": f"Group {n:02}" for n in range(1, self.group_count + 1)}
        others = list(self.names)[3:]
        now = time.time()
        mine = replace(self.views[ME], groups=("group-1",))
        self.views.clear()
        self.views[ME] = mine
        states = cycle(STATES)
        for n in range(self.agent_count):
            agent_id, state = str(2000 + n), next(states)
            number = f" {n // 300 + 1}" if n >= 300 else ""
            name = f"{FIRST[n % 20]} {LAST[n // 20 % 15]}{number}"
            self.views[agent_id] = AgentView(
                id=agent_id, name=name, state=state, since=now - 7 * (n % 90),
                groups=("group-1", others[n % len(others)]), waiting_transfer=n % 10 == 4,
                paused=state is AgentState.NOT_READY,
            )  # fmt: skip
        for n, (group, state) in enumerate(
            ((EMPTY, AgentState.OFFLINE), (PAUSED, AgentState.NOT_READY))
        ):
            self.views[f"190{n}"] = AgentView(
                id=f"190{n}", name=f"Zoë Last {n}", state=state, since=now, groups=(group,),
                waiting_transfer=False, paused=state is AgentState.NOT_READY,
            )  # fmt: skip

    def targets(self, agent_id: str) -> TargetsView:
        own = self.agent(agent_id).groups
        return TargetsView(
            permissions=self.permissions,
            my_agent_groups=tuple(self._group(group, agent_id, True) for group in own),
            agent_groups=tuple(self._group(group, agent_id, False) for group in self.names),
            external_presets=(
                {"id": "warehouse", "name": "Warehouse, Newark", "group": "group-5"},
                {"id": "courier", "name": "Courier hotline", "group": "group-6"},
            ),
        )

    def _group(self, group: str, asking: str, with_agents: bool) -> TargetGroup:
        return self.group_of(group, self.names[group], asking, with_agents)


@asynccontextmanager
async def crowded_office(
    agents: int = 300, groups: int = 60, permissions: Sequence[str] = EVERYTHING
) -> AsyncIterator[OpenOffice]:
    office = CrowdedOffice(permissions=tuple(permissions), agent_count=agents, group_count=groups)
    async with opened(office) as serving:
        yield serving
