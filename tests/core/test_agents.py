"""Agent states, after-call work, and the personal queues' membership."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine import acw
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.groups import membership
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import AddMember, PauseMember, RemoveMember
from asterisk_avp.core.model.world import AgentState, agent_id_of_interface, personal_queue
from asterisk_avp.core.pbx import personal_queues
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.pbx.personal_queues import GRACE_SECONDS, PersonalQueues
from asterisk_avp.core.pbx.renewal import PLACEHOLDER
from asterisk_avp.core.pbx.wrapup import longest_acw
from tests.core.world import NOW, WORLD, engine, member


def test_a_change_in_one_group_only_is_told() -> None:
    """The state stays, and the counts of that group and what the agent may do there do not."""
    made = engine()
    made.fact(member("1002", "q-support"), NOW)
    for changed in (
        member("1002", "q-support", paused=True),
        member("1002", "q-support"),
        member("1002", "q-support", status=5),
        member("1002", "q-support"),
        replace(member("1002", "q-support"), dynamic=True),
        ev.MemberRemoved("q-support", "PJSIP/1002", NOW),
    ):
        assert made.fact(changed, NOW).agents == {"1002"}, changed
        assert made.fact(changed, NOW).agents == set(), "told once"
        assert made.agents.by_id["1002"].state is AgentState.AVAILABLE


@pytest.mark.parametrize(
    ("status", "paused", "counted"),
    [(1, False, (1, 1, 1)), (2, False, (1, 1, 0)), (1, True, (1, 0, 0)), (5, False, (0, 0, 0))],
)
def test_a_membership_says_how_the_agent_is_counted(
    status: int, paused: bool, counted: tuple[int, ...]
) -> None:
    """So that whoever shows the group's counts to the agent can take them off."""
    made = engine()
    made.fact(member("1002", "q-support", status=status, paused=paused), NOW)
    (without, with_them) = (
        made.agents.headcounts.without("support", "1002"),
        made.agents.headcounts.of("support"),
    )
    shown = membership(made.agents, made.agents.by_id["1002"], "support")
    assert (shown.logged_in, shown.ready, shown.available) == counted
    assert tuple(with_them.minus(without)) == counted


def test_since_when_is_unknown_of_what_was_so_before_the_daemon_started() -> None:
    made = engine()
    first, later = made.agents.by_id["1001"], made.agents.by_id["1002"]
    assert (first.since, later.since) == (NOW, NOW)
    started = TransferEngine(WORLD, new_id=lambda: "t1")
    for again, now in ((False, NOW), (True, NOW + 100)):
        started.sync_started()
        for agent in ("1001", "1002"):
            status = 2 if again and agent == "1002" else 1
            started.fact(member(agent, status=status), now)
        started.sync_finished(now)
        shown = {a: started.agents.by_id[a].since for a in ("1001", "1002")}
        assert shown == {"1001": 0.0, "1002": 0.0}, "the second resync has found a change, too"
    started.fact(member("1001", status=2), NOW + 200)
    assert started.agents.by_id["1001"].since == NOW + 200
    started.sync_started()
    for agent in ("1001", "1002"):
        started.fact(member(agent), NOW + 300)
    started.sync_finished(NOW + 300)
    assert started.agents.by_id["1001"].since == NOW + 300, "it talked a moment ago"


@pytest.mark.parametrize(
    ("interface", "agent"),
    [
        ("PJSIP/1001", "1001"),
        ("Local/1001@agents/n", "1001"),
        ("PJSIP/alice.b", "alice.b"),
        ("nothing", None),
        ("PJSIP/a b", None),
        ("PJSIP/" + "x" * 41, None),
    ],
)
def test_agent_id_of_an_interface(interface: str, agent: str | None) -> None:
    assert agent_id_of_interface(interface) == agent


@pytest.mark.parametrize(
    ("status", "paused", "in_call", "state"),
    [
        (1, False, False, AgentState.AVAILABLE),
        (0, False, False, AgentState.AVAILABLE),
        (2, False, False, AgentState.TALKING),
        (3, False, False, AgentState.TALKING),
        (7, False, False, AgentState.TALKING),
        (8, False, False, AgentState.TALKING),
        (1, False, True, AgentState.TALKING),
        (6, False, False, AgentState.RINGING),
        (4, False, False, AgentState.OFFLINE),
        (5, False, False, AgentState.OFFLINE),
        (5, True, False, AgentState.OFFLINE),
        (1, True, False, AgentState.NOT_READY),
        (2, True, False, AgentState.TALKING),
    ],
)
def test_state_of_one_membership(
    status: int, paused: bool, in_call: bool, state: AgentState
) -> None:
    made = engine()
    made.fact(member("1002", status=status, paused=paused, in_call=in_call), NOW)
    assert made.agents.by_id["1002"].state is state


def test_acw_lasts_as_long_as_app_queue_says() -> None:
    made = engine()
    made.fact(member("1002", status=2, in_call=True), NOW)
    outcome = made.fact(member("1002", last_call=NOW), NOW + 0.4)
    assert outcome.agents == {"1002"}
    bob = made.agents.by_id["1002"]
    assert (bob.state, bob.since) == (AgentState.ACW, NOW + 0.4)
    assert made.agents.next_acw_end() == NOW + 10
    made.fact(ev.ClockTick(NOW + 9.9), NOW + 9.9)
    assert bob.state is AgentState.ACW
    made.fact(ev.ClockTick(NOW + 10), NOW + 10)
    assert (bob.state, bob.since) == (AgentState.AVAILABLE, NOW + 10)
    assert made.agents.next_acw_end() is None


@pytest.mark.parametrize(
    ("queue", "own", "seconds"),
    [("sales", 0, 10), ("sales", 4, 4), ("avp-agent-1002", 0, 10), ("q-support", 0, 2)],
)
def test_acw_is_that_of_the_queue_of_the_last_call(queue: str, own: int, seconds: int) -> None:
    made = engine()
    made.fact(member("1002", "q-support"), NOW)
    made.fact(member("1002", queue, last_call=NOW, wrapup_seconds=own), NOW)
    assert made.agents.by_id["1002"].acw_until == NOW + seconds


@pytest.mark.parametrize(("queue", "seconds"), [("sales", 10), ("q-support", 2), ("", 10)])
def test_acw_goes_by_the_queue_that_delivered_the_call(queue: str, seconds: int) -> None:
    """Asterisk reports the end of a call for all queues of the agent, in any order."""
    made = engine()
    made.fact(member("1002", "q-support"), NOW)
    if queue:
        made.fact(ev.AgentConnected(queue, "u-caller1", "PJSIP/1002"), NOW - 5)
    made.fact(member("1002", "q-support", last_call=NOW), NOW)
    made.fact(member("1002", "sales", last_call=NOW), NOW)
    assert made.agents.by_id["1002"].acw_until == NOW + seconds


def test_acw_after_a_call_that_was_known_by_its_status_only() -> None:
    made = engine()
    made.fact(member("1002", "q-support", status=2, in_call=True), NOW - 5)
    made.fact(member("1002", "sales", last_call=NOW), NOW)
    assert made.agents.by_id["1002"].acw_until == NOW + 2
    # The next call is from another queue. A repeated report of the last one changes nothing.
    made.fact(ev.AgentConnected("sales", "u-caller2", "PJSIP/1002"), NOW + 5)
    made.fact(member("1002", "q-support", last_call=NOW), NOW + 5)
    assert made.agents.by_id["1002"].acw_until == NOW + 2
    made.fact(member("1002", "q-support", last_call=NOW + 6), NOW + 6)
    assert made.agents.by_id["1002"].acw_until == NOW + 16


def test_acw_where_asterisk_never_announces_the_end_of_the_call() -> None:
    """The device state came before ``update_queue``: its event has the previous LastCall."""
    made = engine()
    made.fact(member("1002", "q-support", last_call=NOW - 100), NOW - 50)
    made.fact(ev.AgentConnected("q-support", "u-caller1", "PJSIP/1002"), NOW - 5)
    made.fact(member("1002", "q-support", status=2, in_call=True), NOW - 5)
    made.fact(member("1002", "q-support", last_call=NOW - 100), NOW)
    outcome = made.fact(ev.AgentCompleted("q-support", "PJSIP/1002", NOW + 0.4), NOW + 0.4)
    bob = made.agents.by_id["1002"]
    assert outcome.agents == {"1002"}
    assert (bob.state, bob.acw_until) == (AgentState.ACW, NOW + 2)
    # Asterisk later reports the time. It applies, and the queue remains known.
    made.fact(member("1002", "sales", last_call=NOW + 1), NOW + 1)
    assert (bob.last_queue, bob.acw_until) == ("q-support", NOW + 3)
    # Another call from an unknown queue: the longest wrap-up applies.
    made.fact(member("1002", "sales", last_call=NOW + 7), NOW + 7)
    assert bob.acw_until == NOW + 17


@pytest.mark.parametrize("last_call", [0.0, NOW])
def test_the_end_of_a_call_that_a_colleague_picked_up(last_call: float) -> None:
    """The member's own phone was free before, so that Asterisk reports no status after the end."""
    made = engine()
    made.fact(member("1002", "sales", last_call=last_call), NOW - 5)
    made.fact(ev.AgentConnected("sales", "u-caller1", "PJSIP/1002"), NOW - 5)
    made.fact(member("1002", "sales", in_call=True, last_call=last_call), NOW - 4)
    bob = made.agents.by_id["1002"]
    assert bob.state is AgentState.TALKING
    outcome = made.fact(ev.AgentCompleted("sales", "PJSIP/1002", NOW + 0.4), NOW + 0.4)
    assert outcome.agents == {"1002"}
    assert bob.state is AgentState.ACW
    made.fact(ev.ClockTick(NOW + 60), NOW + 60)
    assert bob.state is AgentState.AVAILABLE


def test_the_end_of_a_call_that_was_announced_is_not_another_end() -> None:
    made = engine()
    made.fact(ev.AgentConnected("sales", "u-caller1", "PJSIP/1002"), NOW - 5)
    made.fact(member("1002", "sales", last_call=NOW), NOW)
    assert not made.fact(ev.AgentCompleted("sales", "PJSIP/1002", NOW + 1.1), NOW + 1.1).agents
    assert made.agents.by_id["1002"].acw_until == NOW + 10


def test_longest_acw() -> None:
    assert longest_acw(WORLD, ("support", "sales")) == 10
    assert longest_acw(WORLD, ()) == 0


def test_a_break_is_a_break_in_every_group() -> None:
    made = engine()
    made.fact(member("1002", "q-support", paused=True), NOW)
    assert made.agents.by_id["1002"].state is AgentState.AVAILABLE
    made.fact(member("1002", "sales", paused=True), NOW)
    assert made.agents.by_id["1002"].state is AgentState.NOT_READY


def test_groups_survive_a_log_out() -> None:
    made = engine()
    made.fact(member("1002", "q-support"), NOW)
    for queue, interface in (
        ("sales", "PJSIP/1001"),
        ("sales", "PJSIP/1002"),
        ("q-support", "PJSIP/1002"),
    ):
        made.fact(ev.MemberRemoved(queue, interface, NOW), NOW)
    assert made.agents.groups_of("1001") == ("sales",), "it is configured"
    assert made.agents.groups_of("1002") == ("sales", "support"), "it was there"
    assert made.agents.by_id["1002"].state is AgentState.OFFLINE
    made.fact(member("1002", "q-support"), NOW)
    assert made.agents.groups_of("1002") == ("support",)


def test_groups_survive_a_log_out_during_a_resync() -> None:
    made = engine()
    made.sync_started()
    made.sync_finished(NOW)
    assert made.agents.groups_of("1002") == ("sales",)
    assert made.agents.by_id["1002"].state is AgentState.OFFLINE


def test_a_configured_interface_names_the_agent() -> None:
    made = engine()
    made.fact(member("?", interface="Local/ivy@agents/n"), NOW)
    assert made.agents.by_id["1009"].state is AgentState.AVAILABLE
    assert "ivy" not in made.agents.by_id


def test_other_queues_are_not_ours() -> None:
    agents = Agents(WORLD)
    assert agents.member_seen(member("1002", "somebody-elses")) is None
    assert "1002" not in agents.by_id


# --- membership of the personal queue ----------------------------------------------------------


def effects_of(outcome: object) -> list[object]:
    return [effect for _, effect in outcome.effects]  # type: ignore[attr-defined]


def waits(made: TransferEngine, agent: str, now: float = NOW) -> list[object]:
    """A call is on its way to the agent, whose personal queue gets what it needs."""
    made.fact(ev.QueueJoined(personal_queue(agent), "u-caller1"), now)
    return list(made.personal_queues.mirror(made.agents.by_id[agent], now))


def nobody_waits(made: TransferEngine, agent: str) -> None:
    made.fact(ev.QueueLeft(personal_queue(agent), "u-caller1"), NOW)


@pytest.fixture
def nobody_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personal_queues, "KEPT", 0)


def test_nobody_is_a_member_at_rest() -> None:
    made = engine()
    assert effects_of(made.fact(member("1005"), NOW)) == []
    assert effects_of(made.fact(member("1005", paused=True), NOW)) == []


def test_log_in_pause_and_log_out_are_followed() -> None:
    made = engine()
    queue, interface = "avp-agent-1005", "PJSIP/1005"
    made.fact(member("1005"), NOW)
    assert waits(made, "1005") == [AddMember(queue, interface, "", "name of 1005", paused=False)]
    assert effects_of(made.fact(member("1005"), NOW)) == [], "asked for once"
    assert effects_of(made.fact(member("1005", queue), NOW)) == [], "and confirmed"
    assert effects_of(made.fact(member("1005", paused=True), NOW)) == [
        PauseMember(queue, interface, paused=True)
    ]
    made.fact(member("1005", queue, paused=True), NOW)
    assert effects_of(made.fact(ev.MemberRemoved("sales", interface, NOW), NOW)) == [
        RemoveMember(queue, interface)
    ]
    assert effects_of(made.fact(ev.MemberRemoved(queue, interface, NOW), NOW)) == []


def test_another_interface_replaces_the_first() -> None:
    made = engine()
    made.fact(member("1002"), NOW)
    waits(made, "1002")
    made.fact(member("1002", "avp-agent-1002"), NOW)
    nobody_waits(made, "1002")
    made.fact(ev.MemberRemoved("sales", "PJSIP/1002", NOW), NOW)
    made.fact(member("1002", interface="Local/1002@agents/n"), NOW)
    added = AddMember("avp-agent-1002", "Local/1002@agents/n", "", "name of 1002", paused=False)
    assert waits(made, "1002") == [
        # Whoever waits must not find the queue empty.
        AddMember("avp-agent-1002", PLACEHOLDER, "PJSIP/1002", "", paused=False),
        RemoveMember("avp-agent-1002", "PJSIP/1002"),
        added,
        RemoveMember("avp-agent-1002", PLACEHOLDER),
    ]


def test_one_person_by_two_interfaces() -> None:
    """Both are in the personal queue, so that its weight counts for both; one of them is rung."""
    made = engine()
    queue, other = "avp-agent-1002", "Local/1002@from-queue/n"
    paused = AddMember(queue, other, "", "name of 1002", paused=True)
    made.fact(member("1002"), NOW)
    waits(made, "1002")
    made.fact(member("1002", queue), NOW)
    assert effects_of(made.fact(member("1002", "q-support", interface=other), NOW)) == [paused]
    alias = member("1002", queue, interface=other, paused=True)
    assert effects_of(made.fact(alias, NOW)) == []
    agent = made.agents.by_id["1002"]
    assert agent.personal is not None
    assert agent.personal.interface == "PJSIP/1002"
    assert agent.state is AgentState.AVAILABLE
    assert agent.member(queue, other) is not None
    # Somebody ends all pauses of that interface.
    assert effects_of(made.fact(replace(alias, paused=False), NOW)) == [
        PauseMember(queue, other, paused=True)
    ]
    made.fact(alias, NOW)
    # They log out of the first group: the other interface is rung from now on.
    assert effects_of(made.fact(ev.MemberRemoved("sales", "PJSIP/1002", NOW), NOW)) == [
        PauseMember(queue, other, paused=False),
        RemoveMember(queue, "PJSIP/1002"),
    ]
    made.fact(member("1002", queue, interface=other), NOW)
    assert effects_of(made.fact(ev.MemberRemoved(queue, "PJSIP/1002", NOW), NOW)) == []
    assert agent.personal.interface == other
    assert effects_of(made.fact(ev.MemberRemoved("q-support", other, NOW), NOW)) == [
        RemoveMember(queue, other)
    ]


def test_two_interfaces_after_a_resync_in_any_order() -> None:
    made = engine()
    queue, other = "avp-agent-1002", "Local/1002@from-queue/n"
    made.sync_started()
    made.fact(ev.QueueJoined(queue, "u-caller1"), NOW)
    made.fact(member("1002", queue, interface=other, paused=True), NOW)
    made.fact(member("1002", queue), NOW)
    made.fact(member("1002", "q-support", interface=other), NOW)
    made.fact(member("1002"), NOW)
    assert effects_of(made.sync_finished(NOW)) == []
    personal = made.agents.by_id["1002"].personal
    assert personal is not None
    assert personal.interface == "PJSIP/1002"


def test_the_members_own_wrap_up_is_followed() -> None:
    """It overrides that of the personal queue, so it must not be shorter than any other."""
    made = engine()
    queue, interface = "avp-agent-1005", "PJSIP/1005"
    added = AddMember(queue, interface, "", "name of 1005", paused=False, wrapup_seconds=4)
    made.fact(member("1005", "q-support", wrapup_seconds=4), NOW)
    assert waits(made, "1005") == [added]
    made.fact(member("1005", queue, wrapup_seconds=4), NOW)
    assert effects_of(made.fact(member("1005", "sales"), NOW)) == [], "a call waits there"


TODAY = 1_800_000_000.0
"""Unlike `NOW`, a time that no wrap-up is as long as."""


def test_a_member_that_is_added_during_acw_is_not_rung_before_its_end() -> None:
    """A new member has no last call, so that its wrap-up time must be the end itself."""
    made = engine()
    made.fact(member("1002", last_call=TODAY - 4), TODAY)
    end = round(TODAY) + 6
    added = AddMember(
        "avp-agent-1002", "PJSIP/1002", "", "name of 1002", paused=False, wrapup_seconds=end
    )
    assert waits(made, "1002", TODAY) == [added]
    own = member("1002", "avp-agent-1002", wrapup_seconds=end)
    assert effects_of(made.fact(own, TODAY)) == []
    assert made.agents.by_id["1002"].acw_end == end
    # The end comes, and the agent is rung: nothing need be done.
    assert effects_of(made.fact(ev.ClockTick(end + 1), end + 1)) == []
    assert made.agents.by_id["1002"].state is AgentState.AVAILABLE


def test_an_event_of_a_call_that_comes_late_changes_nothing_of_it() -> None:
    made = engine()
    made.fact(ev.AgentConnected("sales", "u-caller1", "PJSIP/1002"), TODAY - 9)
    made.fact(ev.AgentCompleted("sales", "PJSIP/1002", TODAY), TODAY)
    made.fact(member("1002", status=2, in_call=True), TODAY)
    made.fact(member("1002", last_call=TODAY), TODAY)
    (added,) = waits(made, "1002", TODAY)
    assert isinstance(added, AddMember)
    assert added.wrapup_seconds == TODAY + 10


def test_a_member_that_was_added_as_the_call_ended_is_renewed() -> None:
    """Their call had ended, and the daemon did not know it yet."""
    made = engine()
    made.fact(member("1002", status=2, in_call=True), TODAY)
    waits(made, "1002", TODAY)
    own = replace(member("1002", "avp-agent-1002", status=2), login_time=TODAY)
    assert effects_of(made.fact(own, TODAY)) == []
    outcome = made.fact(member("1002", last_call=TODAY - 1), TODAY)
    assert effects_of(outcome) == renewed(round(TODAY) + 9)


def test_a_renewed_member_keeps_its_place_for_a_call_on_its_way() -> None:
    """A caller who returned to the transferor found the queue empty, and went to the group."""
    made = engine()
    made.fact(member("1002", status=2, in_call=True), TODAY)
    waits(made, "1002", TODAY)
    made.fact(replace(member("1002", "avp-agent-1002", status=2), login_time=TODAY), TODAY)
    nobody_waits(made, "1002")
    made.fact(member("1002", last_call=TODAY - 1), TODAY)
    queues = PersonalQueues(made.agents, wanted=lambda _agent: True)  # they transfer a call
    effects = queues.mirror(made.agents.by_id["1002"], TODAY)
    assert list(effects) == renewed(round(TODAY) + 9)


def test_a_member_that_was_there_at_the_end_of_the_call_stays() -> None:
    """What app_queue noted for it may not have been reported yet."""
    made = engine()
    made.fact(member("1002", status=2, in_call=True), TODAY)
    waits(made, "1002", TODAY)
    own = replace(member("1002", "avp-agent-1002", status=2), login_time=TODAY)
    made.fact(own, TODAY)
    assert effects_of(made.fact(member("1002", last_call=TODAY + 5), TODAY + 5)) == []


def renewed(end: int) -> list[object]:
    """Whoever waits must not find the queue empty meanwhile."""
    queue, own = "avp-agent-1002", "PJSIP/1002"
    return [
        AddMember(queue, PLACEHOLDER, own, "", paused=False),
        RemoveMember(queue, own),
        AddMember(queue, own, "", "name of 1002", paused=False, wrapup_seconds=end),
        RemoveMember(queue, PLACEHOLDER),
    ]


def test_a_call_during_that_wait_renews_the_member() -> None:
    """After it, the member's wrap-up time counts from that call: it would never be rung again."""
    made = engine()
    made.fact(member("1002", last_call=TODAY - 4), TODAY)
    waits(made, "1002", TODAY)
    made.fact(member("1002", "avp-agent-1002", wrapup_seconds=round(TODAY) + 6), TODAY)
    ended = TODAY + 20
    outcome = made.fact(member("1002", last_call=ended), ended)
    assert effects_of(outcome) == renewed(round(ended) + 10)


def test_an_end_that_is_noted_in_the_new_member_renews_it() -> None:
    """app_queue goes through all queues at the end of a call, and tells nobody what it notes."""
    made = engine()
    made.fact(member("1002", last_call=TODAY - 4), TODAY)
    waits(made, "1002", TODAY)
    end = round(TODAY) + 6
    made.fact(member("1002", "avp-agent-1002", wrapup_seconds=end), TODAY)
    late = member("1002", "avp-agent-1002", wrapup_seconds=end, last_call=TODAY - 4)
    assert effects_of(made.fact(late, TODAY + 0.3)) == renewed(end)


def test_an_end_of_acw_by_the_agent_renews_the_member() -> None:
    made = engine()
    made.fact(member("1002", last_call=TODAY - 4), TODAY)
    waits(made, "1002", TODAY)
    made.fact(member("1002", "avp-agent-1002", wrapup_seconds=round(TODAY) + 6), TODAY)
    acw.end_asked(made, "1002")
    assert effects_of(made.fact(member("1002", status=2), TODAY)) == [], "whoever asks renews it"
    assert effects_of(acw.ended(made, "1002", TODAY)) == []
    assert effects_of(acw.end_answered(made, "1002", TODAY)) == renewed(0), "and has not"


def test_a_member_that_is_there_has_the_end_of_its_call() -> None:
    made = engine()
    made.fact(member("1002", status=2), NOW)
    (added,) = waits(made, "1002")
    assert isinstance(added, AddMember)
    assert added.wrapup_seconds == 0
    made.fact(member("1002", "avp-agent-1002", status=2), NOW)
    made.fact(member("1002", last_call=NOW + 5), NOW + 5)
    assert effects_of(made.fact(member("1002", "avp-agent-1002", last_call=NOW + 5), NOW + 5)) == []


@pytest.mark.usefixtures("nobody_stays")
def test_a_member_that_nobody_needs_stays_for_a_while_and_is_removed() -> None:
    made = engine()
    made.fact(member("1002"), NOW)
    waits(made, "1002")
    made.fact(member("1002", "avp-agent-1002", dynamic=True), NOW)
    nobody_waits(made, "1002")
    assert made.personal_queues.mirror(made.agents.by_id["1002"], NOW) == ()
    assert made.personal_queues.removals(NOW + GRACE_SECONDS - 1) == ()
    removed = RemoveMember("avp-agent-1002", "PJSIP/1002")
    assert made.personal_queues.removals(NOW + GRACE_SECONDS) == (removed,)
    assert made.personal_queues.removals(NOW + GRACE_SECONDS) == (), "asked for once"


def test_it_stays_for_the_next_call() -> None:
    made = engine()
    made.fact(member("1002"), NOW)
    waits(made, "1002")
    made.fact(member("1002", "avp-agent-1002", dynamic=True), NOW)
    nobody_waits(made, "1002")
    assert waits(made, "1002") == []
    assert made.personal_queues.removals(NOW + 60) == ()


@pytest.mark.usefixtures("nobody_stays")
def test_a_call_from_there_that_is_over_keeps_nobody() -> None:
    made = engine()
    queue = "avp-agent-1002"
    made.fact(member("1002", status=2), NOW)
    made.fact(member("1002", queue, status=2, dynamic=True), NOW)
    made.fact(ev.AgentConnected(queue, "u-caller1", "PJSIP/1002"), NOW)
    assert made.personal_queues.mirror(made.agents.by_id["1002"], NOW) == ()
    assert not made.personal_queues.surplus()
    made.fact(member("1002", queue, dynamic=True), NOW)
    made.fact(member("1002"), NOW)
    assert made.personal_queues.surplus()


def test_the_last_two_stay() -> None:
    """Their next calls show whether app_queue notes the end in all queues."""
    made = engine()
    made.sync_started()
    for agent in ("1001", "1002", "1005"):
        made.fact(member(agent), NOW)
        made.fact(member(agent, personal_queue(agent), dynamic=True), NOW)
    made.sync_finished(NOW)
    later = NOW + GRACE_SECONDS
    assert made.personal_queues.surplus() == 1
    (removed,) = made.personal_queues.removals(later)
    assert removed == RemoveMember("avp-agent-1001", "PJSIP/1001")
    assert made.personal_queues.removals(later) == ()


@pytest.mark.usefixtures("nobody_stays")
@pytest.mark.parametrize("in_call", [True, False])
def test_it_stays_as_long_as_their_call_lasts(*, in_call: bool) -> None:
    made = engine()
    made.fact(member("1002", status=2), NOW)
    own = member("1002", "avp-agent-1002", status=2, in_call=in_call, dynamic=True)
    made.fact(own, NOW)
    assert bool(made.personal_queues.removals(NOW + 60)) is not in_call


@pytest.mark.usefixtures("nobody_stays")
def test_the_members_of_an_earlier_version_are_removed_one_agent_at_a_time() -> None:
    made = engine()
    made.sync_started()
    for agent in ("1001", "1002"):
        made.fact(member(agent), NOW)
        made.fact(member(agent, personal_queue(agent), dynamic=True), NOW)
    assert effects_of(made.sync_finished(NOW)) == []
    assert made.personal_queues.surplus() == 2
    later = NOW + GRACE_SECONDS
    found = [*made.personal_queues.removals(later), *made.personal_queues.removals(later)]
    assert found == [
        RemoveMember("avp-agent-1001", "PJSIP/1001"),
        RemoveMember("avp-agent-1002", "PJSIP/1002"),
    ]
    assert made.personal_queues.surplus() == 0


def test_members_of_other_queues_are_no_agents() -> None:
    made = engine()
    made.fact(ev.AgentConnected("theirs", "u-caller1", "PJSIP/2001"), NOW)
    made.fact(ev.MemberRemoved("theirs", "PJSIP/2001", NOW), NOW)
    assert "2001" not in made.agents.by_id


def test_nothing_is_touched_while_the_picture_is_incomplete() -> None:
    made = engine()
    made.sync_started()
    assert effects_of(made.fact(member("1002", "avp-agent-1002"), NOW)) == []
    assert effects_of(made.fact(member("1002"), NOW)) == []
    assert effects_of(made.sync_finished(NOW)) == []
    made.sync_started()
    made.fact(member("1002", "avp-agent-1002"), NOW)
    assert effects_of(made.sync_finished(NOW)) == [RemoveMember("avp-agent-1002", "PJSIP/1002")]


# --- what panels are told -----------------------------------------------------------------------


def test_a_resync_tells_nothing_new_of_the_same_members() -> None:
    made = engine()
    members = [member("1002"), member("1002", "q-support"), member("1002", "avp-agent-1002")]
    for seen in members:
        made.fact(seen, NOW)
    made.sync_started()
    for seen in reversed(members):
        made.fact(seen, NOW)
    assert "1002" not in made.sync_finished(NOW).agents
