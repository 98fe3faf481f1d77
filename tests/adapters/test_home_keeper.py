"""Agents whose home is elsewhere leave the queues here, even if the first attempt fails."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from servers.waiting import eventually

from asterisk_avp.cluster.home_keeper import HomeKeeper
from asterisk_avp.cluster.homes import Entry, StoreAway
from asterisk_avp.cluster.messages import Heartbeat, Page, Told
from asterisk_avp.cluster.peer import News
from asterisk_avp.cluster.picture import Picture
from asterisk_avp.core.engine import remote
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages.effects import RemoveMember
from asterisk_avp.core.messages.facts import MemberRemoved
from asterisk_avp.core.messages.remote import HomeElsewhere
from asterisk_avp.core.model.agent_state import AgentState
from asterisk_avp.core.model.nodes import RemoteAgent
from asterisk_avp.core.model.world import ConfiguredAgent
from tests.core.world import NOW, WORLD, member

DAVE = "1004"


class Store:
    """What it has says that agents are at home on node b; or it is away."""

    def __init__(self, *, away: bool) -> None:
        self.away = away

    async def get(self, agent: str) -> Entry | None:
        if self.away:
            raise StoreAway
        return Entry("b", 3)

    async def create(self, agent: str, node: str) -> int:
        raise StoreAway

    async def update(self, agent: str, node: str, revision: int) -> int:
        raise StoreAway


class Here:
    """Node a. ``pin``: where the settings pin Dave. ``works``: whether Asterisk removes members."""

    def __init__(self, *, pin: str | None = None, store_away: bool = False) -> None:
        world = replace(WORLD, agents={**WORLD.agents, DAVE: ConfiguredAgent(DAVE, node=pin)})
        self.engine = TransferEngine(world, new_id=lambda: "t1")
        self.picture = Picture("a", "ab", 1.5, {DAVE: pin}.get)
        store = Store(away=store_away)
        self.homes = HomeKeeper(self.engine, self.picture, store, self._take, lambda _agent: None)
        self.works = False
        self.asked: list[str] = []
        """The queues that Dave was to be removed from."""
        self.told = 0
        self.at = time.monotonic()
        self._take(self.picture.pinned([DAVE]))
        self.picture.tick(self.at, self.at)

    def _take(self, news: News) -> None:
        for fact in news.facts:
            self.told += isinstance(fact, HomeElsewhere)
            for _, effect in remote.apply(self.engine, fact, NOW).effects:
                if isinstance(effect, RemoveMember):
                    self.asked.append(effect.queue)
                    if self.works:
                        self.removed(effect.queue)
        if news.displaced:
            self.homes.displaced(news.displaced)

    def add(self, queue: str, *, dynamic: bool = True) -> None:
        """A dialplan logs Dave in."""
        self.engine.fact(member(DAVE, queue, dynamic=dynamic), NOW)
        self.homes.look([DAVE])

    def removed(self, queue: str) -> None:
        self.engine.fact(MemberRemoved(queue, f"PJSIP/{DAVE}", NOW), NOW)
        self.homes.look([DAVE])

    def b_tells(self) -> None:
        """Node b says that Dave is at home there."""
        dave = RemoteAgent("b", AgentState.AVAILABLE, NOW, ("sales",), ("sales",))
        beat = Heartbeat("b", 1, NOW, 1, True, "", "", {})
        self._take(self.picture.heartbeat(beat, self.at, NOW))
        self._take(
            self.picture.page(Page("b", 1, NOW, 1, (Told(DAVE, 3, 1, dave),), ""), "", self.at)
        )

    @property
    def queues(self) -> set[str]:
        return set(self.engine.agents.by_id[DAVE].memberships)

    def pass_(self, seconds: float, *, claims: bool = True) -> None:
        end = self.at + seconds
        while self.at < end:
            self.at += 0.1
            self.homes.tick(self.at, claims=claims)

    async def decided(self) -> None:
        await eventually(lambda: not self.homes.busy)


async def pinned(*, dynamic: bool = True) -> Here:
    """Dave is pinned to node b, and logged in here."""
    here = Here(pin="b")
    here.add("sales", dynamic=dynamic)
    return here


async def displaced(*, dynamic: bool = True) -> Here:
    """Dave was at home here, until node b says that it has his home."""
    here = Here(store_away=True)
    here.add("sales", dynamic=dynamic)
    await here.decided()
    assert DAVE in here.picture.held
    here.b_tells()
    return here


async def twice(*, dynamic: bool = True) -> Here:
    """Dave is logged in at home, and here as well."""
    here = Here()
    here.b_tells()
    here.add("sales", dynamic=dynamic)
    await here.decided()
    return here


Begin = Callable[..., Awaitable[Here]]
whenever = pytest.mark.parametrize("begin", [pinned, displaced, twice])


@whenever
async def test_who_is_in_one_more_queue_leaves_that_too(begin: Begin) -> None:
    """While Asterisk removes the first membership, the agent is still logged in here."""
    here = await begin()
    assert here.asked == ["sales"]
    here.add("q-support")
    assert set(here.asked) == {"sales", "q-support"}


@whenever
@pytest.mark.parametrize("claims", [True, False], ids=["", "NATS away"])
async def test_whom_asterisk_has_not_removed_is_removed_again(begin: Begin, claims: bool) -> None:
    here = await begin()
    here.add("q-support")
    here.pass_(5, claims=claims)
    assert here.queues == {"sales", "q-support"}
    here.works = True
    here.pass_(12, claims=claims)
    assert here.queues == set()
    told = here.told
    here.pass_(30, claims=claims)
    assert here.told == told


@whenever
async def test_it_is_not_repeated_in_haste(begin: Begin) -> None:
    """Asterisk may never remove them: the daemon may lack the right."""
    here = await begin()
    here.pass_(300)
    assert 30 <= here.told <= 80


@whenever
async def test_members_of_the_configuration_are_left_alone(begin: Begin) -> None:
    here = await begin(dynamic=False)
    here.pass_(30)
    assert here.told == 0
    assert here.queues == {"sales"}


async def test_who_is_logged_in_again_leaves_at_once() -> None:
    here = await pinned()
    here.works = True
    here.pass_(60)
    for queue in ("sales", "q-support", "sales"):
        here.add(queue)
        assert here.queues == set()


@pytest.mark.parametrize("pin", [None, "a"])
async def test_who_is_at_home_here_stays(pin: str | None) -> None:
    here = Here(pin=pin, store_away=True)
    here.works = True
    here.add("sales")
    await here.decided()
    assert DAVE in here.picture.held
    here.add("q-support")
    here.pass_(30)
    assert here.queues == {"sales", "q-support"}
    assert here.told == 0


async def test_who_may_move_here_because_their_node_is_lost_stays() -> None:
    """Nobody else offers them calls; their home is claimed once the node is lost for long."""
    here = await displaced()
    here.picture.tick(here.at, here.at)
    here.at += 3
    here.picture.tick(here.at, here.at)  # we were stopped, perhaps
    here.at += 1
    for _ in range(30):
        here.at += 0.1
        here.picture.tick(here.at, here.at)
    assert here.picture.lost_for("b", here.at) is not None
    here.works = True
    here.pass_(30, claims=False)
    assert here.queues == {"sales"}


def test_what_a_node_claims_by_the_api_has_the_same_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asterisk_avp.cluster.picture.MOST_AGENTS", 50)
    here = Here()
    for number in range(200):
        here.homes.claimed(f"x{number}", "b", 1)
        here.homes.claimed(f"x{number}", "not-a-node", 1)
    assert len(here.picture.peers["b"].agents) == 50
    remote_agents = [one for one in here.engine.agents.by_id.values() if one.remote is not None]
    assert len(remote_agents) == 50
