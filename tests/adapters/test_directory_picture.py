"""What a node knows of the others: gaps, epochs, snapshots, loss, clocks, homes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from asterisk_avp.cluster.messages import Changes, Groups, Heartbeat, Page, Told, Waits
from asterisk_avp.cluster.peer import STANDBY_SECONDS, News
from asterisk_avp.cluster.picture import KEEP_SECONDS, Picture
from asterisk_avp.core.messages.remote import (
    NodeBack,
    NodeLost,
    RemoteAgentGone,
    RemoteAgentSeen,
    RemoteGroupSeen,
)
from asterisk_avp.core.model.agent_state import AgentState
from asterisk_avp.core.model.nodes import RemoteAgent

UNIX = 1_800_000_000.0
LOST = 1.5


class Here:
    """Node a, with the moments at which it hears something."""

    def __init__(self, pins: dict[str, str] | None = None) -> None:
        self.pins = pins or {}
        self.dropped: Counter[str] = Counter()
        self.picture = Picture(
            "a", "abc", LOST, self.pins.get, lambda reason: self.dropped.update([reason])
        )
        self.at = 100.0
        self.seen: dict[str, RemoteAgent] = {}

    def take(self, news: News) -> News:
        for fact in news.facts:
            if isinstance(fact, RemoteAgentSeen):
                self.seen[fact.agent] = fact.seen
            elif isinstance(fact, RemoteAgentGone):
                del self.seen[fact.agent]
        return news

    def beat(
        self,
        node: str = "b",
        seq: int = 0,
        epoch: int = 1,
        *,
        ready: bool = True,
        off: float = 0.0,
        standby: bool = False,
    ) -> News:
        now = UNIX + self.at
        beat = Heartbeat(node, epoch, now - off, seq, ready, "1", "hash", {}, standby)
        return self.take(self.picture.heartbeat(beat, self.at, now))

    def change(
        self, seq: int, *agents: Told, node: str = "b", epoch: int = 1, gone: tuple[str, ...] = ()
    ) -> News:
        told = Changes(node, epoch, UNIX + self.at, seq, agents, gone)
        return self.take(self.picture.changes(told, self.at))

    def page(
        self, seq: int, *agents: Told, after: str = "", more: str = "", epoch: int = 1
    ) -> News:
        page = Page("b", epoch, UNIX + self.at, seq, agents, more)
        return self.take(self.picture.page(page, after, self.at))

    def synced(self, seq: int = 0, *agents: Told) -> None:
        """Node b is known completely."""
        self.beat("a")
        self.beat(seq=seq)
        self.page(seq, *agents)
        assert self.picture.peers["b"].fetch is None

    def pass_(self, seconds: float, *, echo: bool = True, beats: str = "") -> News:
        """Time passes; ``beats``: the nodes that go on sending heartbeats."""
        news, end = News(), self.at + seconds
        while self.at < end - 1e-6:
            self.at = round(self.at + 0.1, 3)
            if echo:
                self.beat("a")
            for node in beats:
                peer = self.picture.peers[node]
                news.facts += self.beat(node, peer.seq or 0, peer.epoch).facts
            some = self.take(self.picture.tick(self.at, self.at if echo else 0.0))
            news.facts += some.facts
            news.asks += some.asks
        return news


def agent(
    name: str = "1005", seq: int = 1, revision: int = 1, state: str = "available", **more: float
) -> Told:
    about = RemoteAgent("b", AgentState(state), UNIX, ("sales",), **more)  # type: ignore[arg-type]
    return Told(name, revision, seq, about)


def test_a_node_is_asked_for_all_it_has_when_it_is_first_heard() -> None:
    here = Here()
    here.beat("a")
    assert here.beat(seq=4).asks == [("b", "")]
    assert here.beat(seq=4).asks == []
    here.page(4, agent(seq=4))
    assert here.seen["1005"].reachable
    assert here.beat(seq=4).asks == []
    assert here.change(5, agent(seq=5, state="talking")).asks == []
    assert here.seen["1005"].state is AgentState.TALKING


def test_a_gap_asks_for_a_snapshot() -> None:
    here = Here()
    here.synced(4, agent(seq=2))
    assert here.change(6, agent("1006", 6)).asks == [("b", "")]
    assert here.seen.keys() == {"1005", "1006"}  # what is known is used meanwhile
    here.page(6, agent("1006", 6))
    assert here.seen.keys() == {"1006"}  # 1005 was gone in the message that is missing
    assert here.beat(seq=7).asks == [("b", "")]  # the last message before a pause is missing


def test_messages_that_come_twice_or_late_change_nothing() -> None:
    here = Here()
    here.synced(4, agent(seq=4, state="talking"))
    here.change(4, agent(seq=4))
    here.change(3, agent(seq=3))
    assert here.seen["1005"].state is AgentState.TALKING
    assert here.dropped == {"repeated": 2}


def test_changes_while_pages_are_read() -> None:
    here = Here()
    here.beat("a")
    here.beat(seq=4)
    assert here.page(4, agent("1001", 1), more="1001").asks == [("b", "1001")]
    here.change(5, agent("1000", 5), agent("1009", 5, state="talking"))
    assert here.page(4, agent("1009", 2), after="1001").asks == []
    assert here.seen["1009"].state is AgentState.TALKING  # the page was older
    assert here.seen.keys() == {"1000", "1001", "1009"}
    assert here.beat(seq=5).asks == []


def test_a_gap_while_pages_are_read_begins_anew() -> None:
    here = Here()
    here.beat("a")
    here.beat(seq=4)
    here.page(4, agent("1001", 1), more="1001")
    assert here.change(7, agent("1009", 7)).asks == []
    assert here.page(7, agent("1009", 7), after="1001").asks == []  # not in haste
    assert here.pass_(1.2, beats="b").asks == [("b", "")]
    here.page(7, agent("1009", 7))
    assert here.seen.keys() == {"1009"}


def test_a_page_that_does_not_come_is_asked_for_again() -> None:
    here = Here()
    here.beat("a")
    here.beat(seq=4)
    here.page(4, agent("1001", 1), more="1001")
    assert ("b", "1001") in here.pass_(1.2, beats="b").asks
    # Pages that were not asked for, or that go round in circles.
    assert here.page(4, agent("1002", 1), after="0").facts == []
    assert here.page(4, after="1001", more="1000").asks == []
    assert here.dropped == {"page": 1}


def test_a_daemon_that_begins_anew() -> None:
    here = Here()
    here.synced(9, agent(seq=9), agent("1006", 3))
    assert here.change(1, agent(seq=1, state="talking"), epoch=2).asks == [("b", "")]
    assert here.seen["1005"].state is AgentState.TALKING
    here.page(1, agent(seq=1, state="talking"), epoch=2)
    assert here.seen.keys() == {"1005"}


def test_of_two_daemons_of_a_node_the_later_one_is_believed() -> None:
    here = Here()
    here.synced(0)
    here.beat(seq=1, epoch=5)
    here.page(1, agent(seq=1), epoch=5)
    assert here.change(8, agent(seq=8, state="talking"), epoch=1).facts == []
    assert here.beat(seq=9, epoch=1).asks == []
    assert here.dropped == {"former_daemon": 2}
    # The later one has gone: a clock was set back, perhaps.
    here.pass_(2.0)
    assert here.beat(seq=9, epoch=1).asks == [("b", "")]


def test_loss_and_return() -> None:
    here = Here()
    here.synced(0)
    assert here.pass_(1.4).facts == []
    assert here.pass_(0.3, beats="b").facts == [NodeLost("c")]  # it was never heard
    assert here.picture.lost_for("b", here.at) is None
    assert here.pass_(2.0).facts == [NodeLost("b")]
    assert here.picture.connected == 0
    assert here.picture.lost_for("b", here.at) == pytest.approx(2.0, abs=0.2)
    assert here.beat().facts == [NodeBack("b")]
    assert here.beat().facts == []


def test_what_is_heard_of_a_lost_node_is_not_reachable() -> None:
    here = Here()
    here.synced(0, agent())
    here.pass_(2.0)
    here.change(1, agent(state="talking"))
    assert not here.seen["1005"].reachable
    here.beat(seq=1)


def test_a_node_that_does_not_know_its_asterisk_is_as_good_as_lost() -> None:
    here = Here()
    here.synced(0, agent())
    lost = []
    for _ in range(20):
        here.beat(ready=False)
        lost += here.pass_(0.1).facts
    assert NodeLost("b") in lost


def test_a_standby_does_not_speak_for_its_node() -> None:
    here = Here()
    here.synced(4, agent(seq=4))
    assert here.beat(seq=0, epoch=7, ready=False).asks == []
    assert here.beat(seq=4).asks == []
    assert here.dropped == {}


def without_its_daemon(here: Here, seconds: float) -> list[object]:
    """Only the standby of node b is heard, which reads its Asterisk."""
    facts: list[object] = []
    end = here.at + seconds
    while here.at < end - 1e-6:
        here.beat(seq=0, epoch=7, ready=False, standby=True)
        facts += here.pass_(0.5, beats="c").facts
    return facts


def test_a_node_is_not_lost_while_its_standby_takes_over() -> None:
    here = Here()
    here.synced(4, agent(seq=4))
    here.beat("c")
    assert without_its_daemon(here, 8.0) == []
    assert here.seen["1005"].reachable
    assert here.beat(seq=1, epoch=8).asks == [("b", "")]
    here.page(1, agent(seq=1, state="talking"), epoch=8)
    assert here.seen["1005"].state is AgentState.TALKING
    assert NodeLost("b") in here.pass_(3.0, beats="c").facts


def test_a_standby_that_does_not_serve_soon_is_not_waited_for() -> None:
    here = Here()
    here.synced(4)
    here.beat("c")
    assert without_its_daemon(here, STANDBY_SECONDS + 1) == [NodeLost("b")]
    assert without_its_daemon(here, 2.0) == []  # and does not bring it back


def test_a_standby_does_not_help_while_asterisk_is_away() -> None:
    """The daemon says so itself."""
    here = Here()
    here.synced(4)
    here.beat("c")
    here.beat(seq=4, ready=False)
    assert without_its_daemon(here, 3.0) == [NodeLost("b")]
    assert here.beat(seq=4).facts == [NodeBack("b")]
    assert without_its_daemon(here, 3.0) == []


def test_a_standby_alone_makes_no_node() -> None:
    here = Here()
    here.beat("a")
    here.beat("c")
    assert without_its_daemon(here, 3.0) == [NodeLost("b")]


def test_alone_the_last_picture_is_kept_for_a_while() -> None:
    here = Here()
    here.synced(0, agent())
    here.pass_(1.0, beats="bc")
    here.picture.cut_off(here.at)
    assert here.pass_(KEEP_SECONDS - 0.2, echo=False).facts == []
    assert here.picture.alone
    assert here.picture.lost_for("b", here.at) is None
    assert here.pass_(0.4, echo=False).facts == [NodeLost("b"), NodeLost("c")]
    # NATS is back: they have time to be heard.
    here.beat("a")
    assert not here.picture.alone
    assert here.beat().facts == [NodeBack("b")]


def test_back_before_it_was_given_up() -> None:
    here = Here()
    here.synced(0, agent())
    here.pass_(0.5, beats="bc")
    here.pass_(10, echo=False)
    here.beat("a")
    assert here.pass_(1.0).facts == []
    assert here.pass_(1.0, beats="b").facts == [NodeLost("c")]


def test_without_an_echo_of_our_own_the_others_are_not_lost() -> None:
    """The connection is there and says nothing: nobody else is to blame."""
    here = Here()
    here.synced(0, agent())
    here.pass_(0.5, beats="bc")
    here.at += 0.1
    news = here.pass_(5.0, echo=False)
    assert news.facts == []
    assert here.picture.alone


def test_a_daemon_that_was_stopped_does_not_lose_the_others() -> None:
    here = Here()
    here.synced(0, agent())
    here.pass_(0.5, beats="bc")
    here.at += 8.0
    assert here.picture.tick(here.at, here.at - 8.0).facts == []
    assert here.pass_(1.0, beats="b").facts == []


@pytest.mark.parametrize("off", [3600.0, -3600.0])
def test_clocks_that_differ(off: float) -> None:
    """Node b's clock is behind by ``off`` seconds."""
    here = Here()
    here.beat("a")
    here.beat(off=off)
    told = agent(state="acw", acw_end=UNIX + 10 - off)
    here.page(0, told._replace(agent=replace(told.agent, since=UNIX - off)))
    assert here.seen["1005"].since == pytest.approx(UNIX, abs=0.01)
    assert here.seen["1005"].acw_end == pytest.approx(UNIX + 10, abs=0.01)
    before = here.seen["1005"]
    here.beat(off=off + 0.4)  # this message took longer
    here.change(1, told._replace(seq=1, agent=replace(told.agent, since=UNIX - off)))
    assert here.seen["1005"] == before


def test_small_differences_are_none() -> None:
    here = Here()
    here.beat("a")
    here.beat(off=0.7)
    here.page(0, agent())
    assert here.seen["1005"].since == UNIX


def test_the_higher_revision_of_a_home_is_right() -> None:
    here = Here()
    here.synced(0, agent(revision=3))
    told = agent(revision=5, state="talking")
    of_c = told._replace(agent=replace(told.agent, node="c"))
    here.beat("c", 1)
    here.change(1, of_c, node="c")
    assert here.seen["1005"].node == "c"
    here.change(1, agent(revision=3, state="acw"))
    assert here.seen["1005"].node == "c"
    here.change(2, gone=("1005",), node="c")
    assert here.seen["1005"].node == "b"


def test_homes_here() -> None:
    here = Here()
    here.take(here.picture.hold("1005", 4))
    here.synced(0, agent(revision=3))
    assert here.seen == {}
    news = here.change(1, agent(revision=5))
    assert news.displaced == ["1005"]
    assert here.picture.held == {}
    assert here.seen["1005"].node == "b"
    here.take(here.picture.hold("1005", 6))
    assert here.seen == {}


def test_pinned_agents() -> None:
    here = Here({"1005": "b", "1001": "a", "1006": "c"})
    here.take(here.picture.pinned(here.pins))
    assert here.seen.keys() == {"1005", "1006"}
    assert here.seen["1005"] == RemoteAgent("b", AgentState.OFFLINE, 0.0, (), reachable=False)
    here.synced(0, agent(revision=0), agent("1001", revision=99), agent("1006", revision=99))
    assert here.seen["1005"].state is AgentState.AVAILABLE
    assert here.seen["1006"].node == "c"
    assert "1001" not in here.seen
    assert here.dropped == {"not_theirs": 2}


def test_nodes_that_are_not_configured() -> None:
    here = Here()
    assert here.change(1, agent(), node="x").facts == []
    assert here.beat("x").facts == []
    assert here.dropped == {"unknown_node": 2}


def test_groups() -> None:
    here = Here()
    here.synced(0)
    told = Groups("b", 1, UNIX, (Waits("sales", 2, UNIX - 5), Waits("support", 0, None)))
    assert here.picture.groups(told, here.at).facts == [
        RemoteGroupSeen("sales", "b", 2, UNIX - 5),
        RemoteGroupSeen("support", "b", 0, None),
    ]


def test_ages() -> None:
    here = Here()
    assert list(here.picture.ages(here.at)) == [float("inf"), float("inf")]
    here.synced(0)
    here.pass_(0.3)
    assert min(here.picture.ages(here.at)) == pytest.approx(0.3)
