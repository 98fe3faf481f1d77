"""What other nodes tell takes a bounded amount of memory and time, whatever they tell."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.cluster import peer, wire
from asterisk_avp.cluster.allowance import BYTES, MESSAGES, Allowance
from asterisk_avp.cluster.messages import Changes, Heartbeat, Page, Told
from asterisk_avp.cluster.picture import Picture
from asterisk_avp.cluster.tls import context
from asterisk_avp.core.messages import between, fields
from asterisk_avp.core.messages.remote import RemoteAgentSeen
from asterisk_avp.core.model.agent_state import AgentState
from asterisk_avp.core.model.errors import ConfigError
from asterisk_avp.core.model.nodes import RemoteAgent
from tests.certificates import Authority

AT = 100.0


def heard() -> Picture:
    """Node b has been heard, and is asked for its agents."""
    made = Picture("a", "abcde", 1.5, lambda _agent: None)
    made.tick(AT, AT)
    made.heartbeat(Heartbeat("b", 1, AT, 0, True, "", "", {}), AT, AT)
    return made


def told(*names: str, seq: int = 1) -> tuple[Told, ...]:
    about = RemoteAgent("b", AgentState.AVAILABLE, AT, ("sales",))
    return tuple(Told(name, 1, seq, about) for name in names)


def test_a_hundred_thousand_agents_of_one_node_are_not_all_believed() -> None:
    picture, seen = heard(), 0
    for number in range(500):
        names = [f"x{number * 200 + one:06}" for one in range(200)]
        after = "" if not number else f"x{number * 200 - 1:06}"
        news = picture.page(Page("b", 1, AT, 0, told(*names), names[-1]), after, AT)
        seen += sum(isinstance(fact, RemoteAgentSeen) for fact in news.facts)
    assert seen == peer.MOST_AGENTS
    assert len(picture.peers["b"].agents) == peer.MOST_AGENTS


def test_a_snapshot_without_an_end_is_given_up() -> None:
    picture, pages, after = heard(), 0, ""
    while True:
        page = Page("b", 1, AT, 0, (), f"y{pages:09}")  # nobody of it is clean
        pages += 1
        asks = picture.page(page, after, AT).asks
        if not asks:
            break
        after = page.next
    assert pages == peer.MOST_PAGES
    assert picture.peers["b"].fetch is None


def test_agents_who_come_and_go_are_not_believed_without_end() -> None:
    picture, seen = heard(), 0
    picture.page(Page("b", 1, AT, 0, (), ""), "", AT)
    for seq in range(1, 600):
        names = [f"z{seq}-{one}" for one in range(200)]
        before = [f"z{seq - 1}-{one}" for one in range(200)]
        news = picture.changes(Changes("b", 1, AT, seq, told(*names, seq=seq), tuple(before)), AT)
        seen += sum(isinstance(fact, RemoteAgentSeen) for fact in news.facts)
    assert seen == peer.MOST_EVER
    assert len(picture.peers["b"].agents) <= 200


def test_agents_whom_a_node_claims_are_not_believed_without_end() -> None:
    """By the API of daemons; together with those whom it tells over NATS."""
    picture, seen = heard(), 0
    picture.page(Page("b", 1, AT, 0, told("1001", "1002"), ""), "", AT)
    about = RemoteAgent("b", AgentState.NOT_READY, AT, ())
    for number in range(60_000):
        news = picture.claimed(f"x{number}", 1, about)
        seen += sum(isinstance(fact, RemoteAgentSeen) for fact in news.facts)
    assert seen == peer.MOST_AGENTS - 2
    assert len(picture.peers["b"].agents) == peer.MOST_AGENTS
    # Who is known can still move.
    (moved,) = picture.claimed("1001", 2, replace(about, state=AgentState.ACW)).facts
    assert isinstance(moved, RemoteAgentSeen)
    assert picture.claimed("1001", 2, about).facts == []
    # Other nodes have room, but not for more than all of them may have.
    for name in ("c", "d", "e"):
        about = replace(about, node=name)
        for number in range(19_000):
            picture.claimed(f"{name}{number}", 1, about)
    assert sum(len(each.agents) for each in picture.peers.values()) == peer.MOST_EVER


def test_a_node_claims_nobody_who_is_pinned_to_another() -> None:
    counted: list[str] = []
    picture = Picture("a", "abc", 1.5, {"1005": "c", "1006": "a"}.get, counted.append)
    for agent in ("1005", "1006"):
        about = RemoteAgent("b", AgentState.NOT_READY, AT, ())
        assert picture.claimed(agent, 2**53 - 1, about).facts == []
    assert picture.claimed("1005", 1, RemoteAgent("x", AgentState.NOT_READY, AT, ())).facts == []
    assert counted == ["not_theirs", "not_theirs"]
    assert not picture.peers["b"].agents


@pytest.mark.parametrize("revision", [-1, 2**53, 2**63 - 1, 2**63, 1.5, True, "1", None])
def test_a_revision_that_is_none(revision: object) -> None:
    """Nobody could ever have a later home than one of the highest number."""
    with pytest.raises(fields.Unusable):
        between.home({"version": 1, "agent": "1005", "revision": revision})
    assert between.home(between.home_body("1005", 2**53 - 1)) == ("1005", 2**53 - 1)


def test_clocks_that_differ_by_hours_and_epochs_that_jump() -> None:
    picture = heard()
    picture.page(Page("b", 1, AT, 0, told("1005"), ""), "", AT)
    for hours in (-5, 100_000, 0):
        now = AT + 3600 * hours + 1_000_000_000
        picture.heartbeat(Heartbeat("b", 1, now, 0, True, "", "", {}), AT, AT + 1_000_000_000)
        agent = RemoteAgent("b", AgentState.TALKING, now - 7, ("sales",))
        seq = (picture.peers["b"].seq or 0) + 1
        picture.changes(Changes("b", 1, now, seq, (Told("1005", 1, seq, agent),), ()), AT)
        shown = picture.peers["b"].agents["1005"].agent
        assert shown.since == pytest.approx(AT + 1_000_000_000 - 7)
    # Another daemon of the node's begins later; the former one is not believed while it speaks.
    picture.heartbeat(Heartbeat("b", 2**52, AT, 0, True, "", "", {}), AT, AT)
    picture.heartbeat(Heartbeat("b", 3, AT, 0, True, "", "", {}), AT + 1, AT)
    assert picture.peers["b"].epoch == 2**52
    picture.heartbeat(Heartbeat("b", 3, AT, 0, True, "", "", {}), AT + 2, AT)
    assert picture.peers["b"].epoch == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    [
        *("v", "node", "epoch", "now", "seq", "ready", "version", "config_hash", "trunks"),
        *("agents", "gone", "next", "groups", "id", "rev", "state", "since", "logged_in"),
        *("on_break", "paused", "reason", "acw_end", "waiting_transfer", "name", "group"),
    ]
)
READERS = st.sampled_from([wire.heartbeat, wire.changes, wire.page, wire.groups])
HEAD = {"v": 1, "node": "b", "epoch": 1, "now": 1.0, "seq": 1, "ready": True, "groups": []}


@given(READERS, st.dictionaries(FIELDS, JSON), st.lists(st.dictionaries(FIELDS, JSON), max_size=3))
def test_whatever_a_message_has_it_is_read_or_refused(
    read: Any, fields: dict[str, Any], agents: list[dict[str, Any]]
) -> None:
    """And what is read can be told to the picture."""
    body = {**HEAD, "agents": agents, **fields}
    try:
        message = read("b", json.dumps(body).encode())
    except wire.Bad:
        return
    picture = heard()
    take = {
        wire.heartbeat: lambda: picture.heartbeat(message, AT, AT),
        wire.changes: lambda: picture.changes(message, AT),
        wire.page: lambda: picture.page(message, "", AT),
        wire.groups: lambda: picture.groups(message, AT),
    }
    take[read]()
    picture.tick(AT + 1, AT + 1)


@given(READERS, st.binary(max_size=300))
def test_bytes(read: Any, data: bytes) -> None:
    with pytest.raises(wire.Bad):
        read("b", data)


def test_the_allowance() -> None:
    allowance = Allowance()
    taken = sum(allowance.take("b", 10, AT) for _ in range(5_000))
    assert taken == MESSAGES * 4
    assert allowance.take("c", 10, AT)  # another node's is its own
    assert allowance.take("b", 10, AT + 1)
    assert not allowance.take("d", int(BYTES) * 5, AT)
    assert sum(allowance.take("e", 2**18, AT) for _ in range(500)) == BYTES * 4 // 2**18
    for number in range(1_000):
        allowance.take(f"name{number}", 1, AT)
    assert len(allowance._left) <= 65


def test_what_a_healthy_node_sends_is_within_its_allowance() -> None:
    """10,000 agents in pages, and then changes at 50 a second of 200 agents each."""
    allowance, at = Allowance(), AT
    for _ in range(3_000):
        at += 0.02
        assert allowance.take("b", 60_000, at)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    one = authority.sign(["127.0.0.1"]).write(tmp_path / "one")
    other = authority.sign(["127.0.0.1"]).write(tmp_path / "other")
    ca, cert, key = one["CA"], one["CERT"], one["KEY"]
    context(ca, cert, key)
    (tmp_path / "garbage").write_text("no certificate")
    for given_ca, given_cert, given_key, name in (
        (str(tmp_path / "none"), cert, key, "AVP_CLUSTER__TLS_CA"),
        (str(tmp_path / "garbage"), cert, key, "AVP_CLUSTER__TLS_CA"),
        (ca, str(tmp_path / "none"), key, "AVP_CLUSTER__TLS_CERT"),
        (ca, cert, str(tmp_path), "AVP_CLUSTER__TLS_KEY"),
        (ca, cert, other["KEY"], "AVP_CLUSTER__TLS_KEY"),
        (ca, str(tmp_path / "garbage"), key, "AVP_CLUSTER__TLS_CERT and AVP_CLUSTER__TLS_KEY"),
    ):
        with pytest.raises(ConfigError) as caught:
            context(given_ca, given_cert, given_key)
        assert str(caught.value).startswith(f"{name}: "), caught.value
