"""What a node has told and another one has not taken over is told again, also of groups.

Messages about groups have no numbers: nobody sees a gap where only these are missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from nats import errors
from nats.aio.msg import Msg
from servers.nats import NatsServer
from servers.node import WITHIN, Node, a_and_b
from servers.waiting import eventually
from test_directory_picture import Here, agent

from asterisk_avp.cluster.connection import Connection
from asterisk_avp.cluster.messages import Groups, Heartbeat, Page
from asterisk_avp.cluster.peer import STANDBY_SECONDS, News
from asterisk_avp.cluster.picture import ASK_AGAIN_SECONDS, KEEP_SECONDS, Picture
from asterisk_avp.config.cluster import ClusterSettings
from asterisk_avp.core.messages.remote import NodeBack, NodeLost


def lost(here: Here) -> None:
    assert NodeLost("b") in here.pass_(2.0, beats="c").facts


def lost_while_its_asterisk_is_away(here: Here) -> None:
    here.beat(seq=4, ready=False)
    assert NodeLost("b") in here.pass_(STANDBY_SECONDS, beats="c").facts


def lost_while_we_were_alone(here: Here) -> None:
    assert NodeLost("b") in here.pass_(KEEP_SECONDS + 3, echo=False).facts
    here.beat("a")


def disconnected(here: Here) -> None:
    """For less time than after which a node is lost."""
    here.picture.cut_off(here.at)
    here.pass_(0.3, echo=False)
    here.beat("a")


def without_echo(here: Here) -> None:
    here.pass_(2.0, echo=False)
    here.beat("a")


def dropped(here: Here) -> None:
    here.picture.missed("b")


def stopped(here: Here) -> None:
    """NATS has ended the connection meanwhile, because we did not read."""
    here.at += 30.0
    here.picture.tick(here.at, here.at - 30.0)
    here.picture.cut_off(here.at)
    here.beat("a")


Happens = Callable[[Here], None]
whatever = pytest.mark.parametrize(
    "happens",
    [
        *(lost, lost_while_its_asterisk_is_away, lost_while_we_were_alone),
        *(disconnected, without_echo, dropped, stopped),
    ],
)


@pytest.fixture
def here() -> Here:
    made = Here()
    made.synced(4, agent(seq=4))
    made.beat("c")
    made.picture.page(Page("c", 1, made.at, 0, (), ""), "", made.at)
    return made


@whatever
def test_a_node_is_asked_once_more(here: Here, happens: Happens) -> None:
    """The question makes it tell of all groups. Its other agents are as they were."""
    happens(here)
    assert here.beat(seq=4).asks == [("b", "")]
    assert here.beat(seq=4).asks == []
    assert here.page(4, agent("1001", 3), more="1001").asks == []
    assert here.seen.keys() == {"1001", "1005"}
    assert here.pass_(2 * ASK_AGAIN_SECONDS, beats="b").asks == []


@whatever
def test_agents_who_were_missed_too_are_read(here: Here, happens: Happens) -> None:
    happens(here)
    assert here.beat(seq=6).asks == [("b", "")]
    assert here.page(6, agent("1001", 3), more="1001").asks == [("b", "1001")]
    here.page(6, agent("1006", 6), after="1001")
    assert here.seen.keys() == {"1001", "1006"}


@whatever
def test_agents_whose_changes_come_after_the_question_are_read(
    here: Here, happens: Happens
) -> None:
    happens(here)
    here.beat(seq=4)
    assert here.page(5, agent("1001", 3), more="1001").asks == [("b", "1001")]
    here.page(5, agent("1006", 5), after="1001")
    assert here.seen.keys() == {"1001", "1006"}


@whatever
def test_a_gap_while_it_is_asked(here: Here, happens: Happens) -> None:
    happens(here)
    here.beat(seq=4)
    here.change(6, agent("1006", 6))
    here.page(6, agent("1001", 3), more="1001")
    assert here.pass_(2 * ASK_AGAIN_SECONDS, beats="b").asks[:1] == [("b", "")]
    here.page(6, agent("1006", 6))
    assert here.seen.keys() == {"1006"}


@whatever
def test_while_a_snapshot_is_read_it_is_read_once_more(here: Here, happens: Happens) -> None:
    here.beat(seq=5)
    assert here.page(5, agent("1001", 1), more="1001").asks == [("b", "1001")]
    happens(here)
    here.beat(seq=5)
    here.page(5, agent("1006", 5), after="1001")
    assert here.pass_(2 * ASK_AGAIN_SECONDS, beats="b").asks[:1] == [("b", "")]


def test_a_node_that_is_not_configured_is_not_asked(here: Here) -> None:
    here.picture.missed("x")
    here.picture.missed("a")
    assert here.beat(seq=4).asks == []


def test_after_a_reload_all_is_read_anew() -> None:
    """Agents who are pinned elsewhere now were not believed; groups are new."""
    here = Here({"1005": "c"})
    here.synced(4, agent(seq=4))
    assert here.seen == {}
    del here.pins["1005"]
    here.take(here.picture.reconfigured(here.pins))
    assert here.beat(seq=4).asks == [("b", "")]
    assert here.page(4, agent("1001", 1), more="1001").asks == [("b", "1001")]
    here.page(4, agent(seq=4), after="1001")
    assert here.seen.keys() == {"1001", "1005"}


@pytest.mark.parametrize("seconds", [2.0, KEEP_SECONDS + 2])
def test_nodes_that_come_back_together_are_asked_for_one_page_each(seconds: float) -> None:
    """NATS was away, for a moment or for so long that all nodes were given up."""
    names = [f"n{number}" for number in range(10)]
    others = names[1:]
    picture = Picture("n0", names, 1.5, lambda _agent: None)

    def beat(name: str, at: float) -> tuple[list[tuple[str, str]], list[object]]:
        news = picture.heartbeat(Heartbeat(name, 1, at, 7, True, "", "", {}), at, at)
        return news.asks, list(news.facts)

    def answer(name: str, after: str, at: float) -> list[tuple[str, str]]:
        number = int(after or 1000) + 200
        more = str(number) if number < 2000 else ""
        return picture.page(Page(name, 1, at, 7, (), more), after, at).asks

    at = 100.0
    picture.tick(at, at)
    beat("n0", at)
    for name in others:
        asks, _ = beat(name, at)
        while asks:
            asks = answer(*asks[0], at)
    picture.cut_off(at)
    for _ in range(int(seconds * 10)):
        at += 0.1
        picture.tick(at, 0.0)
    beat("n0", at)
    asked, back = list[tuple[str, str]](), 0
    for _ in range(20):
        at += 0.5
        picture.tick(at, at)
        beat("n0", at)
        for name in others:
            asks, facts = beat(name, at)
            back += facts == [NodeBack(name)]
            asked += asks
            for one in asks:
                asked += answer(*one, at)
    assert asked == [(name, "") for name in others]
    assert back == (len(others) if seconds > KEEP_SECONDS else 0)


@dataclass
class Deaf:
    """Instead of the allowance: reads nothing of node b while it ``refuses``."""

    refuses: bool = False

    def take(self, node: str, _size: int, _at: float) -> bool:
        return not self.refuses or node != "b"


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[tuple[Node, Node]]:
    with NatsServer(tmp_path) as nats:
        async with a_and_b(nats) as both:
            yield both


def callers(node: Node) -> int:
    return node.engine.waiting.of("sales").callers


async def test_who_waits_at_a_node_that_was_lost_is_counted_again(
    nodes: tuple[Node, Node],
) -> None:
    a, b = nodes
    deaf = Deaf()
    a.directory.connection._allowance = deaf  # type: ignore[assignment]
    b.pbx.offer("1005", "sales")
    await eventually(lambda: callers(a) == 1, WITHIN)
    deaf.refuses = True
    await eventually(lambda: not a.remote("1005", "b"), WITHIN)
    assert callers(a) == 0
    deaf.refuses = False
    await eventually(lambda: a.remote("1005", "b"), WITHIN)
    await eventually(lambda: callers(a) == 1, WITHIN)
    assert callers(b) == 1


async def test_a_count_that_could_not_be_taken_over_is_told_again(
    nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = nodes
    taken, failed = a.directory.picture.groups, list[str]()

    def once(told: Groups, at: float) -> News:
        if not failed and any(waits.callers for waits in told.waiting):
            failed.append(told.node)
            raise RuntimeError
        return taken(told, at)

    monkeypatch.setattr(a.directory.picture, "groups", once)
    b.pbx.offer("1005", "sales")
    await eventually(lambda: failed == ["b"], WITHIN)
    await eventually(lambda: callers(a) == 1, WITHIN)


async def test_whose_message_was_not_read() -> None:
    missed: list[str] = []
    settings = ClusterSettings.model_validate({"node": "a", "servers": "nats://127.0.0.1:1"})
    made = Connection(settings, {}, lambda: None, missed=missed.append)

    async def handle(_node: str, _message: Msg) -> None:
        if len(missed) == 1:
            raise RuntimeError

    received = made._received(handle)
    for node, refuses in (("c", False), ("b", True), ("b", False), ("c", False)):
        made._allowance = Deaf(refuses=refuses)  # type: ignore[assignment]
        await received(Msg(made._client, f"avp.v1.group.{node}", data=b"{}"))  # type: ignore[arg-type]
    assert missed == ["b", "b"]
    slow = errors.SlowConsumerError("avp.v1.group.b", "", 1, None)  # type: ignore[arg-type]
    await made._on_error(slow)
    assert missed == ["b", "b", "b"]
