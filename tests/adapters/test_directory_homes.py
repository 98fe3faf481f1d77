"""Where agents are at home: the rule, races for a home, and JetStream going away."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.nats import NatsServer, password
from servers.waiting import eventually

from asterisk_avp.cluster.connection import Connection
from asterisk_avp.cluster.homes import Entry, StoreAway, Taken, Verdict, claim, verdict
from asterisk_avp.cluster.messages import Changes, Heartbeat, Page, Told
from asterisk_avp.cluster.picture import Picture
from asterisk_avp.cluster.store import HomeStore, key
from asterisk_avp.config.cluster import ClusterSettings
from asterisk_avp.core.model.agent_state import AgentState
from asterisk_avp.core.model.nodes import RemoteAgent

AT = 100.0


def picture(own: str = "a", *, state: str = "", heard: float = AT, alone: bool = False) -> Picture:
    """Node b has told of agent 1005, if ``state`` is given; it was last heard at ``heard``."""
    made = Picture(own, "abc", 1.5, lambda _agent: None)
    made.tick(heard, heard)
    made.heartbeat(Heartbeat("b", 1, heard, 1, True, "", "", {}), heard, heard)
    about = RemoteAgent("b", AgentState(state or "offline"), 1.0, ("sales",))
    agents = (Told("1005", 3, 1, about),) if state else ()
    made.page(Page("b", 1, heard, 1, agents, ""), "", heard)
    at = heard
    while at < AT:
        at += 0.5
        made.tick(at, None if alone else at)
    return made


HERE, ELSEWHERE = Entry("a", 3), Entry("b", 3)


@pytest.mark.parametrize(
    ("entry", "fresh", "seen", "wanted"),
    [
        (None, False, picture(), Verdict.TAKE),
        (HERE, False, picture(), Verdict.OURS),
        (ELSEWHERE, True, picture(state="talking"), Verdict.TAKE),
        (ELSEWHERE, False, picture(state="talking"), Verdict.ELSEWHERE),
        (ELSEWHERE, False, picture(state="offline"), Verdict.TAKE),
        (ELSEWHERE, False, picture(), Verdict.TAKE),
        (ELSEWHERE, False, picture(state="available", heard=AT - 9), Verdict.WAIT),
        (ELSEWHERE, False, picture(state="available", heard=AT - 12), Verdict.TAKE),
        (ELSEWHERE, False, picture(state="available", heard=AT - 12, alone=True), Verdict.WAIT),
        (Entry("x", 3), False, picture(), Verdict.TAKE),  # no node of ours any more
    ],
    ids=range(10),
)
def test_the_rule(entry: Entry | None, fresh: bool, seen: Picture, wanted: Verdict) -> None:
    assert verdict(seen, "1005", entry, AT, fresh=fresh) is wanted


class Memory:
    """A store in memory, whose answers take random times."""

    def __init__(self, seed: int) -> None:
        self.entries: dict[str, Entry] = {}
        self.revision = 0
        self.random = random.Random(seed)

    async def _pause(self) -> None:
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)

    async def get(self, agent: str) -> Entry | None:
        await self._pause()
        found = self.entries.get(agent)
        await self._pause()
        return found

    async def create(self, agent: str, node: str) -> int:
        return await self.update(agent, node, 0)

    async def update(self, agent: str, node: str, revision: int) -> int:
        await self._pause()
        known = self.entries.get(agent)
        if (known.revision if known is not None else 0) != revision:
            raise Taken
        self.revision += 1
        self.entries[agent] = Entry(node, self.revision)
        written = self.revision
        await self._pause()
        return written


@given(st.integers(0, 2**32), st.lists(st.sampled_from("abc"), min_size=1, max_size=6))
def test_a_home_has_one_holder(seed: int, claims: list[str]) -> None:
    """Whoever claims at the same moment: once all have heard all, one node holds the agent."""

    async def run() -> None:
        store = Memory(seed)
        nodes = {name: Picture(name, "abc", 1.5, lambda _agent: None) for name in "abc"}
        numbers = dict.fromkeys("abc", 0)

        async def log_in(name: str) -> None:
            decided, entry, _ = await claim(store, nodes[name], "1005", AT, fresh=True)
            if decided is Verdict.OURS:
                assert entry is not None
                assert entry.node == name
                nodes[name].hold("1005", entry.revision)

        await asyncio.gather(*(log_in(name) for name in claims))
        # Everybody tells what they hold, in any order.
        tellers = list("abc")
        store.random.shuffle(tellers)
        for name in tellers:
            for other in set("abc") - {name}:
                held = nodes[name].held.get("1005")
                numbers[name] += 1
                about = RemoteAgent(name, AgentState.AVAILABLE, 1.0, ("sales",))
                told = () if held is None else (Told("1005", held, numbers[name], about),)
                gone = ("1005",) if held is None else ()
                nodes[other].changes(Changes(name, 1, 1.0, numbers[name], told, gone), AT)
        holders = [name for name in "abc" if "1005" in nodes[name].held]
        assert holders == [store.entries["1005"].node]

    asyncio.run(run())


def test_keys() -> None:
    assert key("a.b.") == "a=b="
    assert key("1005") == "1005"


async def connected(server: NatsServer, user: str) -> tuple[Connection, asyncio.Task[None]]:
    settings = ClusterSettings.model_validate(
        {"node": user, "servers": server.url, "credentials": f"{user}:{password(user)}"}
    )
    made = Connection(settings, {}, lambda: None)
    running = asyncio.create_task(made.run())
    await eventually(lambda: made.connected)
    return made, running


async def test_races_in_jetstream(tmp_path: Path) -> None:
    """Three nodes claim 20 agents at the same moments; then one of them after the other."""
    agents = [str(1000 + number) for number in range(20)]
    with NatsServer(tmp_path) as server:
        made = [await connected(server, user) for user in "abc"]
        stores = [HomeStore(connection, 1) for connection, _ in made]
        seen = [Picture(user, "abc", 1.5, lambda _agent: None) for user in "abc"]
        for agent in agents:
            found = await asyncio.gather(
                *(claim(s, p, agent, AT, fresh=True) for s, p in zip(stores, seen, strict=True))
            )
            holders = [p.own for p, (v, _, _) in zip(seen, found, strict=True) if v is Verdict.OURS]
            stored = await stores[0].get(agent)
            assert stored is not None
            # Who came after another had it took it over, with a higher revision.
            newest = max(
                (e for v, e, _ in found if v is Verdict.OURS and e), key=lambda e: e.revision
            )
            assert (newest.node, newest.revision) == (stored.node, stored.revision)
            assert holders
        for connection, running in made:
            running.cancel()
            await asyncio.wait([running])
            assert not connection.connected


async def answered(store: HomeStore) -> Entry | None:
    """What the store answers once it does: JetStream needs a moment after its start."""
    async with asyncio.timeout(20):
        while True:
            store._failed = None  # it does not ask for a while
            try:
                return await store.get("1005")
            except StoreAway:
                await asyncio.sleep(0.02)


async def test_jetstream_away_and_back(tmp_path: Path) -> None:
    with NatsServer(tmp_path, jetstream=False) as server:
        connection, running = await connected(server, "a")
        store = HomeStore(connection, 1)
        with pytest.raises(StoreAway):
            await store.get("1005")
        assert store.away
        server.stop()
        server.jetstream = True
        server.start()
        await eventually(lambda: connection.connected)
        assert await answered(store) is None
        assert not store.away
        first = await store.create("1005", "a")
        with pytest.raises(Taken):
            await store.create("1005", "b")
        server.stop()
        await eventually(lambda: not connection.connected)
        with pytest.raises(StoreAway):
            await store.get("1005")
        server.start()
        await eventually(lambda: connection.connected)
        assert await answered(store) == Entry("a", first)
        running.cancel()
        await asyncio.wait([running])
