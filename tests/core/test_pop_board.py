"""Who receives which pop and when: order of facts, gaps, resyncs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.world import Mode
from asterisk_avp.core.pops.board import PopBoard
from asterisk_avp.core.pops.content import read
from asterisk_avp.core.pops.notifications import PopNotification
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from tests.core.world import NOW, WORLD, engine, member, request

CALLER = "u-caller1"


class CallCentre:
    """An engine and a board wired as in the daemon. Variables are read immediately."""

    def __init__(self, made: TransferEngine | None = None) -> None:
        self.engine = made or engine()
        self.now = NOW
        self.board = PopBoard(self.engine, lambda at: f"at {at - NOW:g}")
        self.told: list[PopNotification] = []
        self.variables: dict[str, dict[str, str]] = {CALLER: {"AVP_POP": '{"id": 7}'}}
        self.reads: list[str] = []
        self.answers = True
        self.board.started()

    def fact(self, *facts: ev.Fact) -> None:
        for fact in facts:
            self.board.observe(fact, self.now)
            self.follow(self.engine.fact(fact, self.now))

    def follow(self, outcome: Outcome) -> None:
        notifications, to_read = self.board.refresh(outcome.agents, outcome.transfers, self.now)
        self.told += notifications
        self.reads += to_read
        if self.answers:
            for call in to_read:
                self.answer(call)
        for call, variables in self.board.ledger.unwritten().items():
            self.variables.setdefault(call, {}).update(variables)

    def answer(self, call: str) -> None:
        self.board.ledger.variables_read(call, read(self.variables.get(call, {})))
        self.follow(Outcome(agents=self.board.holders(call)))

    def command(self, transfer: str, kind: EventType) -> None:
        self.follow(self.engine.command(transfer, kind, self.now))

    def report(self, transfer: str, kind: EventType) -> None:
        self.follow(self.engine.report(transfer, SessionEvent(kind), self.now))

    def transfer(self, mode: Mode, notes: str = "a note") -> str:
        asked = replace(request(mode=mode), notes=notes)
        session, outcome = self.engine.request(asked, CallVariables(), self.now)
        self.follow(outcome)
        return session.id

    @property
    def heard(self) -> list[str]:
        return [f"{notification.agent} {notification.state}" for notification in self.told]

    # --- what Asterisk tells ---------------------------------------------------------------

    def arrives(self) -> None:
        self.fact(
            ev.ChannelSeen(CALLER, "PJSIP/caller1-00000001", "5550100", "Ann", queue="sales"),
            ev.QueueJoined("sales", CALLER),
        )

    def rings(self, agent: str, queue: str = "sales", call: str = CALLER) -> None:
        self.fact(ev.AgentRung(queue, call, f"PJSIP/{agent}"))

    def stops(self, agent: str, queue: str = "sales", call: str = CALLER) -> None:
        self.fact(ev.AgentUnanswered(queue, call, f"PJSIP/{agent}", 15.0))

    def answers_call(self, agent: str, queue: str = "sales", bridge: str = "b1") -> None:
        """In app_queue's order: the call leaves the queue, is connected, and enters the bridge."""
        self.fact(
            ev.QueueLeft(queue, CALLER),
            ev.AgentConnected(queue, CALLER, f"PJSIP/{agent}"),
            ev.ChannelSeen(f"u-{agent}", f"PJSIP/{agent}-00000002"),
            ev.BridgeEntered(f"u-{agent}", bridge),
            ev.BridgeEntered(CALLER, bridge),
            member(agent, status=2, in_call=True),
        )

    def talking(self, agent: str = "1001") -> None:
        self.arrives()
        self.rings(agent)
        self.answers_call(agent)

    def in_stasis(self, transfer: str) -> None:
        session = self.engine.store.records[transfer].session
        self.fact(
            ev.BridgeLeft(CALLER, "b1"),
            ev.BridgeLeft("u-1001", "b1"),
            ev.StasisEntered(CALLER),
            ev.StasisEntered("u-1001"),
            ev.ChannelSeen(session.local_far_end, "Local/1002@avp-agent-queue-00000001;2"),
            ev.ChannelSeen(session.leg.channel, "Local/1002@avp-agent-queue-00000001;1"),
            ev.QueueJoined("avp-agent-1002", session.local_far_end),
            ev.AgentRung("avp-agent-1002", session.local_far_end, "PJSIP/1002"),
            ev.QueueLeft("avp-agent-1002", session.local_far_end),
            ev.AgentConnected("avp-agent-1002", session.local_far_end, "PJSIP/1002"),
            ev.ChannelSeen("u-1002", "PJSIP/1002-00000003"),
            ev.BridgeEntered("u-1002", "b2"),
            ev.BridgeEntered(session.local_far_end, "b2"),
            ev.StasisEntered(session.leg.channel),
        )


def shown(centre: CallCentre, agent: str) -> dict[str, object]:
    def pops(of: str, call: str) -> dict[str, object]:
        return centre.board.shown(of, call, centre.now)

    view = views.agent_view(centre.engine, centre.engine.agents.by_id[agent], pops)
    return dict(view.call.pop) if view.call is not None else {}


# --- a call of the group ---------------------------------------------------------------------


def test_offered_and_delivered() -> None:
    centre = CallCentre()
    centre.arrives()
    assert centre.told == []
    centre.now += 12
    centre.rings("1001")
    centre.answers_call("1001")
    assert centre.heard == ["1001 offered", "1001 delivered"]
    pop = centre.told[1].pop
    assert pop == shown(centre, "1001")
    assert (pop["id"], pop["data"], pop["group"]) == (CALLER, {"id": 7}, "sales")
    known = {"number": "5550100", "number_formatted": "5550100", "name": "Ann", "withheld": False}
    assert (pop["caller"], pop["waited_seconds"]) == (known, 12)
    assert centre.variables[CALLER]["AVP_WAITED"] == "12"
    assert centre.reads == [CALLER, CALLER], "once in the queue, once in the bridge"


def test_the_keys_that_the_administrator_names_come_first() -> None:
    centre = CallCentre()
    centre.board = PopBoard(centre.engine, str, keys=("order", "missing", "id"))
    centre.board.started()
    centre.variables[CALLER] = {"AVP_POP": '{"a": 1, "id": 7, "b": 2, "order": 88}'}
    centre.arrives()
    centre.rings("1001")
    assert list(centre.told[0].pop["data"]) == ["order", "id", "a", "b"]


def test_that_a_call_has_come_to_a_queue_takes_nothing_back() -> None:
    """AMI may report it late: the member is already ringing or has the call."""
    centre = CallCentre()
    centre.arrives()
    centre.rings("1001")
    centre.fact(ev.QueueJoined("sales", CALLER))
    centre.answers_call("1001")
    centre.fact(ev.QueueJoined("sales", CALLER))
    assert centre.heard == ["1001 offered", "1001 delivered"]


def test_ringing_all() -> None:
    """One member answers: the pop is withdrawn from the others, about whom app_queue sends no
    event."""
    centre = CallCentre()
    centre.fact(member("1004"))
    centre.arrives()
    for agent in ("1001", "1002", "1004"):
        centre.rings(agent)
    centre.answers_call("1002")
    assert sorted(centre.heard[:3]) == ["1001 offered", "1002 offered", "1004 offered"]
    assert sorted(centre.heard[3:]) == ["1001 withdrawn", "1002 delivered", "1004 withdrawn"]


@pytest.mark.parametrize(
    "end",
    [
        lambda centre: centre.stops("1001"),
        lambda centre: centre.fact(ev.ChannelGone(CALLER)),
        lambda centre: centre.fact(ev.AgentRingEnded("sales", CALLER, "PJSIP/1001")),
        lambda centre: centre.fact(ev.QueueEnded(CALLER, "TIMEOUT")),
    ],
)
def test_withdrawn(end: Callable[[CallCentre], None]) -> None:
    centre = CallCentre()
    centre.arrives()
    centre.rings("1001")
    end(centre)
    assert centre.heard == ["1001 offered", "1001 withdrawn"]
    assert centre.told[1].pop["data"] == {"id": 7}
    centre.fact(ev.ChannelGone(CALLER))
    assert len(centre.told) == 2
    assert centre.board.ledger.pops == {}


def test_a_slow_answer_from_asterisk() -> None:
    """A pop is published as soon as it is read, if it is still current, and otherwise never."""
    centre = CallCentre()
    centre.answers = False
    centre.arrives()
    centre.rings("1001")
    assert (centre.told, centre.reads) == ([], [CALLER])
    centre.answers_call("1001")
    assert centre.told == []
    centre.answer(CALLER)
    assert centre.heard == ["1001 delivered"]
    centre = CallCentre()
    centre.answers = False
    centre.arrives()
    centre.rings("1001")
    centre.fact(ev.ChannelGone(CALLER))
    centre.answer(CALLER)
    assert centre.told == []


def test_no_answer_from_asterisk() -> None:
    centre = CallCentre()
    centre.answers = False
    centre.arrives()
    centre.rings("1001")
    centre.board.ledger.variables_unreadable(CALLER)
    centre.follow(Outcome(agents=centre.board.holders(CALLER)))
    assert centre.heard == ["1001 offered"]
    assert centre.told[0].pop["data"] == {}


def test_data_set_later_is_told_again() -> None:
    centre = CallCentre()
    centre.variables[CALLER] = {}
    centre.arrives()
    centre.rings("1001")
    centre.variables[CALLER] = {"AVP_POP_CASE": "9"}
    centre.answers_call("1001")
    assert centre.heard == ["1001 offered", "1001 delivered", "1001 delivered"]
    assert centre.told[-1].pop["data"] == {"case": "9"}


def test_a_direct_call_pops_only_where_something_was_set() -> None:
    for variables, told in (({}, []), ({"AVP_POP_A": "1"}, ["1001 delivered"])):
        centre = CallCentre()
        centre.variables[CALLER] = variables
        centre.fact(
            ev.ChannelSeen(CALLER, "PJSIP/caller1-00000001", "5550100"),
            ev.ChannelSeen("u-1001", "PJSIP/1001-00000002"),
            ev.BridgeEntered("u-1001", "b1"),
            ev.BridgeEntered(CALLER, "b1"),
        )
        assert centre.heard == told
        assert bool(shown(centre, "1001")) is bool(told)


def test_agents_who_call_each_other_pop_nothing() -> None:
    """Although a channel that app_queue or Dial created may have inherited a caller's variables."""
    centre = CallCentre()
    centre.variables |= {"u-1001": {"AVP_POP_A": "1"}, "u-1002": {"AVP_POP_A": "1"}}
    centre.fact(
        ev.ChannelSeen("u-1001", "PJSIP/1001-00000001"),
        ev.ChannelSeen("u-1002", "PJSIP/1002-00000002"),
        ev.BridgeEntered("u-1001", "b1"),
        ev.BridgeEntered("u-1002", "b1"),
    )
    assert centre.told == []


# --- transfers -------------------------------------------------------------------------------


def test_supervised_completed() -> None:
    centre = CallCentre()
    centre.talking()
    centre.told.clear()
    transfer = centre.transfer(Mode.SUPERVISED)
    leg = centre.engine.store.records[transfer].session.local_far_end
    centre.variables[leg] = {"AVP_POP": '{"inherited": 1}'}
    centre.in_stasis(transfer)
    assert centre.told == []
    assert shown(centre, "1001")["data"] == {"id": 7}
    assert shown(centre, "1002") == {}
    centre.command(transfer, EventType.COMPLETE)
    assert centre.told == []
    centre.fact(
        ev.BridgeLeft("u-1002", "b2"),
        ev.BridgeEntered(CALLER, "b3"),
        ev.BridgeEntered("u-1002", "b3"),
    )
    centre.report(transfer, EventType.BRIDGED)
    centre.fact(ev.ChannelGone("u-1001"))
    assert centre.heard == ["1002 delivered"]
    [past] = centre.told[0].pop["transfers"]
    assert past == {
        "from": "1001",
        "from_name": "Alice",
        "mode": "supervised",
        "note": "a note",
        "at": "at 0",
    }
    centre.fact(ev.ChannelGone(CALLER))
    assert centre.heard == ["1002 delivered"]


def test_a_transfer_reads_the_variables_only_for_whoever_gets_the_call() -> None:
    """Between the bridges of a transfer runs no dialplan but ours, which could change them."""
    centre = CallCentre()
    centre.talking()
    assert centre.reads == [CALLER, CALLER]  # in the queue, and in the bridge
    transfer = centre.transfer(Mode.SUPERVISED)
    centre.in_stasis(transfer)
    centre.fact(ev.BridgeEntered(CALLER, f"avp-{transfer}-hold"))
    centre.fact(ev.BridgeLeft(CALLER, f"avp-{transfer}-hold"))
    assert centre.reads == [CALLER, CALLER]
    centre.command(transfer, EventType.COMPLETE)
    centre.fact(
        ev.BridgeLeft("u-1002", "b2"),
        ev.BridgeEntered(CALLER, "b3"),
        ev.BridgeEntered("u-1002", "b3"),
    )
    centre.report(transfer, EventType.BRIDGED)
    assert centre.reads == [CALLER, CALLER, CALLER]


def test_a_call_that_ari_reports_after_ami_has_let_it_ring() -> None:
    """Channels come by ARI and rings by AMI: on a busy machine either may be behind."""
    office = CallCentre()
    office.fact(ev.QueueJoined("sales", CALLER))
    office.rings("1001")
    assert office.heard == []
    office.fact(ev.ChannelSeen(CALLER, "PJSIP/caller1-00000001", "5550100", "Ann", queue="sales"))
    assert office.heard == ["1001 offered"]
    assert office.told[-1].pop["data"] == {"id": 7}
    office.answers_call("1001")
    assert office.heard == ["1001 offered", "1001 delivered"]


def test_supervised_cancelled() -> None:
    """No pop is published, whichever comes first: the bridge or the end of the announcement."""
    for bridge_first in (True, False):
        centre = CallCentre()
        centre.talking()
        centre.told.clear()
        transfer = centre.transfer(Mode.SUPERVISED)
        centre.in_stasis(transfer)
        centre.command(transfer, EventType.CANCEL)
        if not bridge_first:
            centre.report(transfer, EventType.BRIDGED)
        centre.fact(ev.BridgeEntered("u-1001", "b3"), ev.BridgeEntered(CALLER, "b3"))
        if bridge_first:
            centre.report(transfer, EventType.BRIDGED)
        assert centre.told == []
        assert shown(centre, "1001")["transfers"] == []


def test_a_completion_that_fails_leaves_no_trace() -> None:
    centre = CallCentre()
    centre.talking()
    centre.told.clear()
    transfer = centre.transfer(Mode.SUPERVISED)
    centre.in_stasis(transfer)
    centre.command(transfer, EventType.COMPLETE)
    assert "AVP_HISTORY_1_1" in centre.variables[CALLER]
    centre.report(transfer, EventType.BRIDGE_FAILED)
    assert shown(centre, "1001")["transfers"] == []
    assert centre.variables[CALLER]["AVP_HISTORY_1_1"] == ""
    assert centre.told == []


def test_unsupervised() -> None:
    centre = CallCentre()
    centre.talking()
    centre.told.clear()
    centre.transfer(Mode.UNSUPERVISED)
    centre.fact(
        ev.BridgeLeft(CALLER, "b1"),
        ev.BridgeLeft("u-1001", "b1"),
        ev.ChannelGone("u-1001"),
        ev.QueueJoined("avp-agent-1002", CALLER),
    )
    assert centre.told == []
    centre.now += 30
    centre.rings("1002", "avp-agent-1002")
    centre.stops("1002", "avp-agent-1002")
    centre.rings("1002", "avp-agent-1002")
    centre.answers_call("1002", "avp-agent-1002", "b2")
    assert centre.heard == ["1002 offered", "1002 withdrawn", "1002 offered", "1002 delivered"]
    pop = centre.told[-1].pop
    assert (pop["note"], pop["transfers"][0]["mode"]) == ("a note", "unsupervised")
    assert (pop["waited_seconds"], pop["group"]) == (30, "sales")


def test_back_to_agent_1() -> None:
    """The agent who had the pop is offered it again, like any other, when the call returns."""
    centre = CallCentre()
    centre.talking()
    transfer = centre.transfer(Mode.UNSUPERVISED)
    centre.report(transfer, EventType.REDIRECTED)
    centre.fact(
        ev.ChannelGone("u-1001"),
        ev.QueueJoined("avp-agent-1002", CALLER),
        ev.QueueLeft("avp-agent-1002", CALLER),
        ev.QueueEnded(CALLER, "TIMEOUT"),
        ev.QueueJoined("avp-agent-1001", CALLER),
    )
    centre.told.clear()
    centre.rings("1001", "avp-agent-1001")
    centre.answers_call("1001", "avp-agent-1001", "b2")
    assert centre.heard == ["1001 offered", "1001 delivered"]
    assert centre.told[0].pop["note"] == "a note"


# --- a daemon that starts anew, and connections that come back ---------------------------------


def synchronise(centre: CallCentre, *facts: ev.Fact) -> None:
    centre.engine.sync_started()
    centre.board.sync_started()
    centre.fact(*(member(agent, "sales") for agent in ("1001", "1002")), *facts)
    synced = centre.engine.sync_finished(centre.now)
    centre.board.sync_finished(centre.now)
    centre.follow(synced)
    centre.board.started()


def picture(agent: str = "1002", queue: str | None = "sales") -> tuple[ev.Fact, ...]:
    return (
        ev.ChannelSeen(
            CALLER, "PJSIP/caller1-00000001", "5550100", "Ann", queue=queue, bridge="b9"
        ),
        ev.ChannelSeen(f"u-{agent}", f"PJSIP/{agent}-00000002", bridge="b9"),
    )


@pytest.mark.parametrize("queue", ["sales", None])
def test_restart(queue: str | None) -> None:
    """The pops exist again, and nothing that another daemon published is published twice."""
    before = CallCentre()
    before.talking()
    transfer = before.transfer(Mode.UNSUPERVISED)
    before.fact(ev.QueueJoined("avp-agent-1002", CALLER))
    before.now += 5
    before.rings("1002", "avp-agent-1002")
    before.answers_call("1002", "avp-agent-1002", "b9")
    assert before.engine.store.records[transfer].session.state.final
    after = CallCentre()
    after.board._started = False
    after.variables = before.variables
    synchronise(after, *picture(queue=queue))
    assert after.told == []
    assert shown(after, "1002") == before.told[-1].pop | {"waited_seconds": 5}
    after.fact(ev.ChannelGone("u-1002"), ev.QueueJoined("sales", CALLER))
    after.rings("1002")
    assert after.heard == ["1002 offered"], "what happens from now on is told"


def test_a_connection_lost_and_found() -> None:
    """What was missed is published now; what continues is not published again."""
    centre = CallCentre()
    centre.talking()
    centre.told.clear()
    synchronise(centre, *picture("1001"))
    assert centre.told == []
    assert shown(centre, "1001")["data"] == {"id": 7}
    synchronise(centre, *picture("1002"))
    assert centre.heard == ["1002 delivered"]


def test_an_offer_that_ended_meanwhile() -> None:
    centre = CallCentre()
    centre.arrives()
    centre.rings("1001")
    waiting = ev.ChannelSeen(CALLER, "PJSIP/caller1-00000001", "5550100")
    synchronise(centre, waiting, ev.QueueJoined("sales", CALLER, 3.0))
    assert centre.heard == ["1001 offered"]
    synchronise(centre, waiting)
    assert centre.heard == ["1001 offered", "1001 withdrawn"]


def test_waiting_time_over_a_resync() -> None:
    centre = CallCentre()
    seen = ev.ChannelSeen(CALLER, "PJSIP/caller1-00000001", "5550100")
    synchronise(centre, seen, ev.QueueJoined("sales", CALLER, 40.0))
    centre.now += 2
    centre.rings("1001")
    assert centre.told[0].pop["waited_seconds"] == 42


def test_the_groups_address() -> None:
    sales = replace(WORLD.groups["sales"], pop_url="https://crm.example/{id}?n={caller_number}")
    made = engine()
    made.reconfigure(replace(WORLD, groups={**WORLD.groups, "sales": sales}), NOW)
    centre = CallCentre(made)
    centre.talking()
    assert centre.told[0].pop["url"] == "https://crm.example/7?n=5550100"
