"""Screen pops of callers here for agents of other nodes: with the ring, as on one node."""

from __future__ import annotations

import pytest

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.engine.told_transfers import ToldPop, ToldTransfers
from asterisk_avp.core.messages import between, fields
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.remote import RemoteEnded, RemoteLeg, RemoteRing
from asterisk_avp.core.model.world import TargetKind
from asterisk_avp.core.pops.board import PopBoard
from asterisk_avp.core.pops.content import read
from asterisk_avp.core.transfer.states import State
from tests.core.test_remote_calls import CALLER, consult, engine, queue
from tests.core.world import NOW

ALICE = "1001"
"""The transferor."""


class Centre:
    """Node a, with its board. Variables are read at once."""

    def __init__(self, made: TransferEngine) -> None:
        self.engine = made
        self.board = PopBoard(made, str)
        self.board.started()
        self.heard: list[str] = []

    def fact(self, *facts: ev.Fact) -> None:
        for fact in facts:
            self.board.observe(fact, NOW)
            self.follow(self.engine.fact(fact, NOW))

    def follow(self, outcome: Outcome) -> None:
        told, to_read = self.board.refresh(outcome.agents, outcome.transfers, NOW)
        self.heard += [f"{each.agent} {each.state}" for each in told if each.agent != ALICE]
        for call in to_read:
            self.board.ledger.variables_read(call, read({"AVP_POP": '{"id": 7}'}))
            self.follow(Outcome(agents=self.board.holders(call)))


def centre(target: str = "1003", kind: TargetKind = TargetKind.AGENT) -> Centre:
    """Caller 1 is being transferred to Carol, or to her group, on node b."""
    made = engine()
    queue(made, target, kind)
    found = Centre(made)
    found.follow(Outcome(transfers=["t1"]))
    return found


def dial(status: str) -> ev.DialProgress:
    return ev.DialProgress(CALLER, status)


def test_what_a_node_is_told_that_asks_again() -> None:
    found = centre()

    def has() -> list[str]:
        told = found.board.notified(CALLER, NOW)
        assert all(each.pop["data"] == {"id": 7} for each in told)
        return [f"{each.agent} {each.state}" for each in told if each.agent != ALICE]

    assert has() == []
    found.fact(dial("RINGING"))
    assert has() == ["1003 offered"]
    found.fact(dial("ANSWER"))
    assert has() == ["1003 delivered"]
    found.fact(ev.ChannelGone(CALLER))
    assert has() == []
    assert found.board.notified("unknown", NOW) == []


def test_it_is_offered_while_the_phone_rings() -> None:
    found = centre()
    found.fact(dial("RINGING"))
    assert found.heard == ["1003 offered"]
    assert [x.agent for x in found.board.offered("1003")] == ["1003"]
    found.fact(dial("RINGING"))  # and the other daemon tells of it, too
    found.fact(RemoteRing(CALLER, "1003", rings=True))
    assert found.heard == ["1003 offered"]
    found.fact(dial("ANSWER"))
    assert found.heard == ["1003 offered", "1003 delivered"]
    assert found.board.offered() == []


@pytest.mark.parametrize(
    "end",
    [
        RemoteEnded(CALLER, "NOANSWER", 18),
        ev.ChannelGone(CALLER),
        RemoteRing(CALLER, "1003", False),
    ],
)
def test_it_is_withdrawn_where_the_agent_does_not_get_the_call(end: ev.Fact) -> None:
    found = centre()
    found.fact(dial("RINGING"))
    found.fact(end)
    assert found.heard == ["1003 offered", "1003 withdrawn"]


def test_each_ring_of_a_phone_is_offered_again() -> None:
    found = centre()
    for _ in range(2):
        found.fact(RemoteRing(CALLER, "1003", rings=True))
        found.fact(RemoteRing(CALLER, "1003", rings=False))
    assert found.heard == ["1003 offered", "1003 withdrawn"] * 2


def test_the_target_of_a_consultation_gets_none() -> None:
    made = engine()
    consult(made)
    found = Centre(made)
    found.follow(Outcome(transfers=["t1"]))
    found.fact(RemoteRing(CALLER, "1003", rings=True, consult=True))
    assert made.record("t1").session.state is State.RINGING
    assert found.heard == []
    assert found.board.offered("1003") == []


def test_of_a_group_whose_phone_rings_the_other_node_tells() -> None:
    found = centre("support", TargetKind.GROUP)
    found.fact(dial("RINGING"))
    assert found.heard == []
    found.fact(RemoteRing(CALLER, "1004", rings=True))
    found.fact(RemoteRing(CALLER, "1003", rings=True))
    assert sorted(found.heard) == ["1003 offered", "1004 offered"]


def test_a_ring_outlasts_a_resync() -> None:
    found = centre()
    found.fact(dial("RINGING"))
    seen = found.engine.calls.channels.copy()
    found.engine.sync_started()
    found.board.sync_started()
    for channel in seen.values():
        found.engine.fact(ev.ChannelSeen(channel.id, channel.name), NOW)
    found.follow(found.engine.sync_finished(NOW))
    found.board.sync_finished(NOW)
    found.follow(Outcome())
    assert found.heard == ["1003 offered"]


@pytest.mark.parametrize("fact", [dial("RINGING"), dial("ANSWER"), RemoteEnded("x", "BUSY", 17)])
def test_calls_of_nobody_have_no_pops(fact: ev.Fact) -> None:
    found = Centre(engine())
    found.fact(RemoteLeg("x", "1003", "b", "t9"), fact)
    assert found.heard == []


def test_what_the_home_remembers() -> None:
    told = ToldTransfers()
    assert told.put_pop("1003", ("a", "c"), ToldPop(5, {"id": "c"}, "offered"))
    assert not told.put_pop("1003", ("a", "c"), ToldPop(5, {}, "withdrawn"))
    assert told.pops_of(("a", "c"))["1003"].state == "offered"
    assert told.put_pop("1003", ("a", "c"), ToldPop(6, {}, "withdrawn"))
    assert told.pop_of("1003", ("a", "c")) == {}
    assert told.pops_of(("a", "x")) == {}


def test_what_is_said_of_a_ring() -> None:
    assert between.ring(between.ring_body("1003", rings=True)) == ("1003", True, False)
    consult = between.ring_body("1003", rings=False, consult=True)
    assert between.ring(consult) == ("1003", False, True)
    assert between.ring({**consult, "rings": 1, "consult": 1}) == ("1003", False, False)
    with pytest.raises(fields.Unusable):
        between.ring({"version": 1, "agent": "x y", "rings": True})
