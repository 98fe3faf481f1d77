"""The call centre of several nodes: who is at home where, and each node's part of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .world import DIALPLAN, Agent, Group, World

#: Who is where: agents (id, name) and callers, by node.
AGENTS: Mapping[str, tuple[Agent, ...]] = {
    "a": (Agent("1001", "Alice"), Agent("1002", "Bob")),
    "b": (Agent("1003", "Carol"), Agent("1004", "Dave"), Agent("1005", "Erin")),
    "c": (Agent("1006", "Frank"), Agent("1007", "Grace")),
}
CALLERS: Mapping[str, tuple[str, ...]] = {
    "a": ("caller1", "caller2"),
    "b": ("caller3", "caller4"),
    "c": ("caller5", "caller6"),
}
#: `sales` spans all nodes, `support` has agents of b (and c), `blend` has everybody.
MEMBERS: Mapping[str, tuple[str, ...]] = {
    "sales": ("1001", "1002", "1005", "1006"),
    "support": ("1003", "1004", "1007"),
    "blend": ("1001", "1002", "1003", "1004", "1005", "1006", "1007"),
}
NUMBERS: Mapping[str, str] = {"sales": "800", "support": "801", "blend": "803"}
GROUPS = tuple(
    Group(queue, agents, number=NUMBERS[queue], strategy="linear")
    for queue, agents in MEMBERS.items()
)


def has_context(name: str) -> bool:
    """Whether the project's dialplan has a context."""
    file = DIALPLAN / "asterisk_avp.conf"
    return any(line.startswith(f"[{name}]") for line in file.read_text().splitlines())


@dataclass(frozen=True)
class NodeWorld(World):
    """One node. ``agents``, ``callers`` and the members of ``groups`` are this node's.

    ``everybody``: the agents of all nodes with their nodes. ``members_of``: those of each group, on
    all nodes. ``everywhere``: the accounts of all nodes, so that each has a tone of its own.
    ``pinned``: the settings say which node each agent is at home on.
    """

    letter: str = ""
    everybody: tuple[tuple[Agent, str], ...] = ()
    members_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    everywhere: tuple[str, ...] = ()
    pinned: bool = False

    @property
    def local(self) -> tuple[str, ...]:
        """The accounts of this node's own phones."""
        return super().accounts

    @property
    def accounts(self) -> tuple[str, ...]:
        return self.everywhere

    def render_accounts(self) -> str:
        own = World(
            agents=self.agents,
            callers=self.callers,
            outside=self.outside,
            keys_by_info=self.keys_by_info,
            codecs=self.codecs,
            pjsip=self.pjsip,
        )
        return own.render_accounts()

    def daemon_settings(self) -> dict[str, str]:
        """Those of all nodes: everybody is configured everywhere."""
        env: dict[str, str] = {}
        for agent, node in self.everybody:
            prefix = f"AVP_AGENTS__{agent.id}__"
            groups = [queue for queue, members in self.members_of.items() if agent.id in members]
            env[f"{prefix}NAME"] = agent.name
            env[f"{prefix}PIN"] = f"pin-{agent.id}"
            env[f"{prefix}GROUPS"] = ",".join(groups)
            if self.pinned:
                env[f"{prefix}NODE"] = node
        return {**env, **super().daemon_settings()}

    def placeholders(self) -> dict[str, str]:
        values = super().placeholders()
        # One MAC address for all of this machine's Asterisk: each gets an entity id of its own.
        number = f"{ord(self.letter) - ord('a') + 1:02}"
        values["OPTIONS"] = f"{values['OPTIONS']}\nentityid = 02:00:00:00:00:{number}".strip()
        if not has_context("avp-node-in"):  # what trunks lead to, for as long as it has nothing
            values["EXTENSIONS"] = f"[avp-node-in]\n\n{values['EXTENSIONS']}"
        return values


def worlds(
    letters: str,
    *,
    pinned: bool = False,
    staff: Mapping[str, tuple[Agent, ...]] = AGENTS,
    callers_of: Mapping[str, tuple[str, ...]] = CALLERS,
    **changes: object,
) -> dict[str, NodeWorld]:
    """Each node's world, by its letter. ``changes``: fields of `World`, the same for all nodes.

    ``changes["groups"]``: groups with members of any nodes, instead of sales, support and blend.
    ``staff`` and ``callers_of``: who is where, instead of the usual people; at most 18 with pstn.
    """
    people = tuple((agent, letter) for letter in letters for agent in staff[letter])
    ids = [agent.id for agent, _ in people]
    given = changes.pop("groups", GROUPS)
    assert isinstance(given, tuple)
    groups: tuple[Group, ...] = given
    callers = tuple(caller for letter in letters for caller in callers_of[letter])
    found = {}
    for letter in letters:
        own = {agent.id for agent in staff[letter]}
        found[letter] = NodeWorld(
            letter=letter,
            agents=staff[letter],
            callers=callers_of[letter],
            groups=tuple(replace(g, agents=tuple(a for a in g.agents if a in own)) for g in groups),
            everybody=people,
            members_of={g.queue: tuple(a for a in g.agents if a in ids) for g in groups},
            everywhere=(*ids, *callers, "pstn"),
            pinned=pinned,
            **changes,  # type: ignore[arg-type]
        )
    return found
