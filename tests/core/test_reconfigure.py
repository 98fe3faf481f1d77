"""A new configuration during calls: what follows it, and what remains unchanged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import Effect, Play, RemoveMember, ResumeRecording
from asterisk_avp.core.model.errors import Refused, WrongState
from asterisk_avp.core.model.features import ConsultRecording, Features
from asterisk_avp.core.model.world import (
    AgentState,
    ConfiguredAgent,
    Group,
    Target,
    TargetKind,
    World,
)
from asterisk_avp.core.phone.feature_code import FeatureCodeHandler
from asterisk_avp.core.phone.keypad import KeyCodes
from asterisk_avp.core.transfer import prompts
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.core.transfer.states import State
from tests.core.world import NOW, WORLD, call, engine, member, request


def begun(made: TransferEngine) -> Session:
    call(made)
    session, outcome = made.request(request(), CallVariables(), NOW)
    for agent in outcome.agents:  # as the daemon does, and Asterisk has not confirmed it yet
        made.personal_queues.mirror(made.agents.by_id[agent], NOW)
    return session


def with_features(features: Features) -> World:
    sales = replace(WORLD.groups["sales"], features=features)
    return replace(WORLD, groups={**WORLD.groups, "sales": sales})


def test_the_same_configuration_changes_nothing() -> None:
    made = engine()
    session = begun(made)
    before = [views.agent_view(made, agent) for agent in made.agents.by_id.values()]
    assert made.reconfigure(WORLD, NOW).effects == []
    assert [views.agent_view(made, agent) for agent in made.agents.by_id.values()] == before
    assert made.record(session.id).session is session


def test_new_requests_follow_it_and_what_goes_on_is_left_alone() -> None:
    made = engine()
    session = begun(made)
    outcome = made.reconfigure(with_features(Features(internal_transfer=False)), NOW)
    # Views of running transfers change: other settings, other actions.
    assert (outcome.effects, outcome.transfers) == ([], [session.id])
    assert made.record(session.id).session is session
    assert made.store.role_of("u-caller1") == (session, "caller")
    call(made, agent="1002", caller="caller2")
    with pytest.raises(Refused) as refused:
        made.request(request("1002", "1001"), CallVariables(), NOW)
    assert refused.value.reason == "internal_disabled"
    made.reconfigure(WORLD, NOW)
    with pytest.raises(Refused) as refused:
        made.request(request("1002", "1002"), CallVariables(), NOW)
    assert refused.value.reason == "self_transfer"


def test_names_are_the_new_ones() -> None:
    made = engine()
    agents = {"1001": ConfiguredAgent("1001", "Alicia", groups=("sales",))}
    outcome = made.reconfigure(replace(WORLD, agents=agents), NOW)
    assert made.agents.name_of("1001") == "Alicia"
    assert "1001" in outcome.agents
    assert "1009" not in made.agents.by_id  # no longer configured, and not a member anywhere
    assert "1002" in made.agents.by_id  # a member


def test_a_group_that_is_gone_takes_its_members_with_it() -> None:
    made = engine()
    made.fact(member("avp", "avp-agent-1003", interface="PJSIP/1003"), NOW)
    assert made.agents.by_id["1003"].personal is not None
    world = replace(WORLD, groups={"sales": WORLD.groups["sales"]})
    outcome = made.reconfigure(world, NOW)
    assert [effect for _, effect in outcome.effects] == [
        RemoveMember("avp-agent-1003", "PJSIP/1003")
    ]
    assert made.agents.by_id["1003"].state is AgentState.OFFLINE
    assert made.agents.groups_of("1003") == ()
    made.fact(member("1003", "q-support"), NOW)  # no longer visible to us
    assert made.agents.by_id["1003"].memberships == {}


def test_a_new_group_has_the_members_that_a_resync_finds() -> None:
    made = engine()
    world = replace(WORLD, groups={**WORLD.groups, "vip": Group("vip", "vip", "VIP")})
    made.reconfigure(world, NOW)
    made.sync_started()
    for agent, queue in (("1001", "sales"), ("1001", "vip"), ("1007", "vip")):
        made.fact(member(agent, queue), NOW)
    made.sync_finished(NOW)
    assert made.agents.groups_of("1001") == ("sales", "vip")
    assert made.agents.by_id["1007"].state is AgentState.AVAILABLE


def test_one_that_comes_in_the_middle_of_a_resync_waits_for_its_end() -> None:
    made = engine()
    made.sync_started()
    assert made.reconfigure(WORLD, NOW).effects == []
    assert made.agents.by_id["1001"].state is AgentState.AVAILABLE


# --- what is begun in a transfer that runs -------------------------------------------------------

ON = Features(external_transfer=True, manual_dial=True, presets=True, conference=True, country="US")
NUMBER = "+12015550123"
STEPS = {
    # what the transferor may request: in which state, and the settings that it needs
    "swap": (State.CONSULTING, ("session_transfer", "contracted")),
    "conference": (State.CONSULTING, ("session_transfer", "contracted", "conference")),
    "add_party": (
        State.CONSULTING,
        ("session_transfer", "contracted", "conference", "external_transfer", "manual_dial"),
    ),
    "alone": (
        State.RINGING,
        ("session_transfer", "contracted", "internal_transfer", "unsupervised_transfer"),
    ),
    "chosen": (State.COLLECTING, ("session_transfer", "contracted", "internal_transfer")),
    "number": (
        State.COLLECTING,
        ("session_transfer", "contracted", "external_transfer", "manual_dial"),
    ),
}


class Running:
    """A transfer from 1001 to 1002 in ``state``."""

    def __init__(self, state: State, features: Features = ON) -> None:
        self.engine = engine()
        self.engine.reconfigure(with_features(features), NOW)
        call(self.engine)
        self.desk = FeatureCodeHandler(self.engine, KeyCodes())
        if state is State.COLLECTING:
            used = ev.FeatureUsed("u-1001")
            self.id = self.desk.code(used, CallVariables(), NOW)[0].id
        else:
            self.id = self.engine.request(request(), CallVariables(), NOW)[0].id
        for channel in ("u-1001", "u-caller1"):
            self.engine.fact(ev.StasisEntered(channel), NOW)
        leg = self.session.leg.channel
        if state in (State.RINGING, State.CONSULTING):
            self.engine.report(self.id, SessionEvent(EventType.LEG_RINGING), NOW)
        if state is State.CONSULTING:
            self.engine.fact(ev.ChannelSeen(leg, "Local/1002@avp-agent-queue-1;1"), NOW)
            self.engine.fact(ev.StasisEntered(leg), NOW)
        assert self.session.state is state

    @property
    def session(self) -> Session:
        return self.engine.record(self.id).session

    def wants(self, step: str) -> str:
        """The reason for the refusal, or ``ok``."""
        try:
            match step:
                case "swap":
                    self.engine.command(self.id, EventType.SWAP, NOW)
                case "conference":
                    self.engine.command(self.id, EventType.CONFERENCE, NOW)
                case "add_party":
                    self.engine.add_party(self.id, Target(TargetKind.NUMBER, NUMBER), NOW)
                case "alone":
                    self.engine.command(self.id, EventType.COMPLETE, NOW)
                case "chosen" | "number":
                    typed = NUMBER if step == "number" else "1002"
                    selection = self.desk._selection(self.session, typed)
                    assert selection is not None
                    self.desk.apply_selection(selection, NOW)
        except Refused as refused:
            return refused.reason
        except WrongState:
            return "wrong_state"
        return "ok"


@pytest.mark.parametrize(
    ("step", "setting"), [(step, x) for step, (_, needs) in STEPS.items() for x in needs]
)
def test_what_is_not_allowed_any_more_cannot_be_begun(step: str, setting: str) -> None:
    """Allowed with the setting, and refused when it was disabled after the transfer began."""
    state, _ = STEPS[step]
    assert Running(state).wants(step) == "ok"
    running = Running(state)
    running.engine.reconfigure(with_features(replace(ON, **{setting: False})), NOW)
    before = running.session
    reason = running.wants(step)
    assert reason == ("wrong_state" if step == "alone" else _REASONS[setting])
    assert running.session.state is before.state
    assert running.session.fourth is None
    # And allowed again once it is enabled.
    running.engine.reconfigure(with_features(ON), NOW)
    assert running.wants(step) == "ok"


_REASONS = {
    "contracted": "not_contracted",
    "session_transfer": "transfer_disabled",
    "internal_transfer": "internal_disabled",
    "external_transfer": "external_disabled",
    "manual_dial": "manual_dial_disabled",
    "conference": "conference_disabled",
}


@pytest.mark.parametrize("step", STEPS)
def test_what_is_allowed_since_then_can_be_begun(step: str) -> None:
    """Only what the transfer itself needs was enabled when it began."""
    running = Running(STEPS[step][0], Features(unsupervised_transfer=False, country="US"))
    if step in ("swap", "chosen"):
        assert running.wants(step) == "ok"
        return
    assert running.wants(step) != "ok"
    running.engine.reconfigure(with_features(ON), NOW)
    assert running.wants(step) == "ok"


NOTHING = World(groups={"support": WORLD.groups["support"]})


@pytest.mark.parametrize("step", STEPS)
def test_of_a_group_that_is_gone_nothing_can_be_begun(step: str) -> None:
    running = Running(STEPS[step][0])
    running.engine.reconfigure(NOTHING, NOW)
    assert running.wants(step) == ("wrong_state" if step == "alone" else "transfer_disabled")
    if running.session.state is State.CONSULTING and "1001" in running.engine.agents.by_id:
        assert views.targets_view(running.engine, "1001").permissions == ()


@pytest.mark.parametrize("world", [NOTHING, with_features(Features(session_transfer=False))])
@pytest.mark.parametrize(
    ("state", "kind", "following"),
    [
        (State.COLLECTING, EventType.CANCEL, State.RETURNING),
        (State.RINGING, EventType.CANCEL, State.RETURNING),
        (State.CONSULTING, EventType.CANCEL, State.RETURNING),
        (State.CONSULTING, EventType.COMPLETE, State.COMPLETING),
    ],
)
def test_what_goes_on_ends_in_peace(
    world: World, state: State, kind: EventType, following: State
) -> None:
    running = Running(state)
    running.engine.reconfigure(world, NOW)
    if state is State.RINGING:  # the target may answer
        leg = running.session.leg.channel
        running.engine.fact(ev.ChannelSeen(leg, "Local/1002@avp-agent-queue-1;1"), NOW)
        running.engine.fact(ev.StasisEntered(leg), NOW)
        assert running.session.state is State.CONSULTING
    running.engine.command(running.id, kind, NOW)
    assert running.session.state is following


@pytest.mark.parametrize(
    "world",
    [
        with_features(Features(unsupervised_transfer=False)),
        with_features(Features(internal_transfer=False)),
        NOTHING,
        replace(WORLD, groups={**WORLD.groups, "sales": replace(WORLD.groups["sales"], queue="x")}),
    ],
)
def test_agent_1_who_hangs_up_leaves_the_call_to_the_group(world: World) -> None:
    """It would be an unsupervised transfer; agent 1002 no longer exists in the last world."""
    running = Running(State.RINGING)
    running.engine.reconfigure(world, NOW)
    running.engine.fact(ev.ChannelGone("u-1001"), NOW)
    assert (running.session.state, running.session.reason) == (
        State.RECALLING,
        "transferor_hangup",
    )
    running = Running(State.RINGING)
    running.engine.reconfigure(with_features(ON), NOW)
    running.engine.fact(ev.ChannelGone("u-1001"), NOW)
    assert running.session.state is State.RELEASING_LEG


def test_a_completion_that_was_wanted_too_early_is_judged_when_it_is_due() -> None:
    """Requested while the parties are being moved; no longer allowed when they arrive."""
    made = engine()
    session = begun(made)
    made.command(session.id, EventType.COMPLETE, NOW)
    made.reconfigure(with_features(Features(unsupervised_transfer=False)), NOW)
    for channel in ("u-1001", "u-caller1"):
        made.fact(ev.StasisEntered(channel), NOW)
    assert made.record(session.id).session.state is State.WAITING


@pytest.mark.parametrize("keys", ["*4", "*5"])
def test_a_key_for_what_is_off_does_nothing(keys: str) -> None:
    """Only a beep. ``*4`` is for a conference, ``*5`` requests a fourth party."""

    def pressed(running: Running) -> list[Effect]:
        effects = []
        for number, key in enumerate(keys):
            fact = ev.KeyPressed("u-1001", key)
            outcome, _ = running.desk.key(fact, NOW + number)
            effects += [effect for _, effect in outcome.effects]
        return effects

    def beeps(effects: list[Effect]) -> bool:
        return any(isinstance(x, Play) and x.media == prompts.NOT_NOW for x in effects)

    assert not beeps(pressed(Running(State.CONSULTING)))
    running = Running(State.CONSULTING)
    running.engine.reconfigure(with_features(replace(ON, conference=False)), NOW)
    before = running.session
    assert beeps(pressed(running))
    assert running.session == before


def test_what_was_begun_by_the_old_settings_is_ended_by_them() -> None:
    """A paused recording resumes, although recordings are no longer to be paused."""
    pausing = replace(ON, consult_recording=ConsultRecording.PAUSE)
    running = Running(State.CONSULTING, pausing)
    running.engine.reconfigure(with_features(ON), NOW)
    outcome = running.engine.command(running.id, EventType.CANCEL, NOW)
    assert any(isinstance(effect, ResumeRecording) for _, effect in outcome.effects)


def test_another_account_is_no_way_out_either() -> None:
    """The target's group moves to another client while their phone rings."""
    running = Running(State.RINGING)
    sales = replace(with_features(ON).groups["sales"], account="acme")
    support = replace(WORLD.groups["support"], account="beta")
    members = {"1002": ConfiguredAgent("1002", groups=("support",))}
    world = World({"sales": sales, "support": support}, members)
    running.engine.reconfigure(world, NOW)
    assert running.wants("alone") == "ok"  # 1002 is still in sales
    running = Running(State.RINGING)
    running.engine.agents.member_removed("sales", "PJSIP/1002")
    running.engine.agents.by_id["1002"].former_queues.clear()
    running.engine.reconfigure(world, NOW)
    assert running.wants("alone") == "wrong_state"
