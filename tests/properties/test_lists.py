"""Coalesced lists: whatever changes in between, a panel ends with what the server has."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from asterisk_avp.api.lists import Lists, Shown

GROUPS = ("a", "b", "c", "d")
AGENTS = ("1", "2", "3", "4", "5")
STATES = ("available", "talking", "acw", "offline")
COUNTS = ("id", "available", "logged_in", "ready")

groups = st.frozensets(st.sampled_from(GROUPS))


def messages(frames: bytes) -> list[dict[str, Any]]:
    """The JSON of text frames, as a client reads them."""
    client = Protocol(Side.CLIENT, max_size=None)
    client.receive_data(frames)
    events = client.events_received()
    assert all(isinstance(e, Frame) and e.opcode is Opcode.TEXT for e in events)
    return [json.loads(bytes(event.data)) for event in events]


@dataclass
class Client:
    """A panel, which applies messages as docs/api.md says."""

    shown: Shown
    seen: int = 0
    agents: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, Any] = field(default_factory=dict)

    def receive(self, frames: bytes) -> None:
        for message in messages(frames):
            assert message["type"] == "lists"
            if message["complete"]:
                self.agents.clear()
                self.groups.clear()
            self.agents |= {agent["id"]: agent for agent in message["agents"]}
            for agent in message["gone"]:
                self.agents.pop(agent, None)
            for group in message["groups"]:
                self.groups[group["id"]] = {**self.groups.get(group["id"], {}), **group}


class CallCentre(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.agents: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.clients: list[Client] = []
        self.loaded: list[str] = []
        self.lists = Lists(self.load)

    def load(self, wanted: Any) -> list[dict[str, Any]]:
        assert not set(wanted) & set(self.loaded), "loaded twice"
        self.loaded += wanted
        return [a for a in self.agents.values() if set(a["groups"]) & set(wanted)]

    @initialize(own=st.dictionaries(st.sampled_from(AGENTS), groups))
    def people(self, own: dict[str, frozenset[str]]) -> None:
        for agent, of in own.items():
            self.agents[agent] = {"id": agent, "state": "offline", "groups": sorted(of)}

    @rule(agent=st.sampled_from(AGENTS), state=st.sampled_from(STATES))
    def state(self, agent: str, state: str) -> None:
        before = self.agents.get(agent, {"id": agent, "groups": []})
        self.agents[agent] = {**before, "state": state}
        self.lists.agent(self.agents[agent])

    @rule(agent=st.sampled_from(AGENTS), own=groups)
    def regroup(self, agent: str, own: frozenset[str]) -> None:
        before = self.agents.get(agent, {"id": agent, "state": "offline"})
        self.agents[agent] = {**before, "groups": sorted(own)}
        self.lists.agent(self.agents[agent])

    @rule(group=st.sampled_from(GROUPS), ready=st.integers(0, 2), waiting=st.integers(0, 2))
    def group(self, group: str, ready: int, waiting: int) -> None:
        self.groups[group] = {
            "id": group, "available": ready, "logged_in": 3, "ready": ready, "waiting": waiting,
        }  # fmt: skip
        self.lists.group(self.groups[group])

    @rule(own=groups, scope=st.none() | groups)
    def connect(self, own: frozenset[str], scope: frozenset[str] | None) -> None:
        client = Client(Shown(own if scope is None else own & scope, scope))
        client.receive(self.lists.complete(client.shown))
        client.seen = self.lists.version
        self.clients.append(client)
        self.check(client)

    @rule(data=st.data())
    def receive(self, data: st.DataObject) -> None:
        """Any of the panels gets its next message; the others are late."""
        if self.clients:
            self.catch_up(data.draw(st.sampled_from(self.clients)))

    @rule(data=st.data())
    def receive_of_the_own_groups(self, data: st.DataObject) -> None:
        """Nothing, or everything: a panel that is told nothing is told all of it later."""
        if not self.clients:
            return
        client = data.draw(st.sampled_from(self.clients))
        frames = self.lists.batch(client.shown, client.seen, own_only=True)
        if frames:
            assert frames == self.lists.batch(client.shown, client.seen)
            self.catch_up(client)
            return
        for message in messages(self.lists.batch(client.shown, client.seen)):
            assert not message["agents"]
            assert not {group["id"] for group in message["groups"]} & client.shown.groups

    def catch_up(self, client: Client) -> None:
        client.receive(self.lists.batch(client.shown, client.seen))
        client.seen = self.lists.version
        self.check(client)
        assert self.lists.batch(client.shown, client.seen) == b""

    def check(self, client: Client) -> None:
        own, scope = client.shown.groups, client.shown.scope
        assert client.agents == {
            name: {**agent, "groups": [g for g in agent["groups"] if scope is None or g in scope]}
            for name, agent in self.agents.items()
            if set(agent["groups"]) & own
        }
        assert client.groups == {
            group: known if group in own else {key: known[key] for key in COUNTS}
            for group, known in self.groups.items()
            if group in own or scope is None or group in scope
        }

    @invariant()
    def seen_is_never_ahead(self) -> None:
        assert all(client.seen <= self.lists.version for client in self.clients)

    def teardown(self) -> None:
        for client in self.clients:
            self.catch_up(client)


TestCallCentre = CallCentre.TestCase
