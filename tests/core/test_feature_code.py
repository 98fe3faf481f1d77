"""The feature code and the keys, in an engine with a call: the response to each press."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import Refused, WrongState
from asterisk_avp.core.model.features import Features
from asterisk_avp.core.model.world import Mode, Preset, Target, TargetKind
from asterisk_avp.core.phone.feature_code import FeatureCodeHandler, Selection
from asterisk_avp.core.phone.keypad import CODE_SECONDS, KeyCodes
from asterisk_avp.core.policy import policy
from asterisk_avp.core.transfer import prompts
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.core.transfer.states import State
from tests.core.world import NOW, WORLD, call, engine, member

EVERYTHING = Features(
    external_transfer=True, manual_dial=True, presets=True, conference=True, country="US"
)
OUTSIDE = "2025550100"


class Office:
    """1001 talks to caller1."""

    def __init__(self, **features: object) -> None:
        self.engine: TransferEngine = engine()
        self.configure(**features)
        self.desk = FeatureCodeHandler(self.engine, KeyCodes())
        self.now = NOW
        self.effects: list[fx.Effect] = []
        """The result of the last press."""
        self.refusals: list[str] = []
        call(self.engine)

    def configure(self, **features: object) -> None:
        chosen = replace(EVERYTHING, **features)  # type: ignore[arg-type]  # the tests know them
        groups = {
            "sales": replace(WORLD.groups["sales"], features=chosen, extension="800"),
            "support": replace(WORLD.groups["support"], features=chosen, extension="801"),
        }
        presets = {"billing": Preset("billing", "Billing", "+12025550101", "support", "91")}
        self.engine.reconfigure(replace(WORLD, groups=groups, presets=presets), NOW)

    def code(self, channel: str = "u-1001") -> Session:
        """Press *7."""
        session, _ = self.desk.code(ev.FeatureUsed(channel), CallVariables(), self.now)
        return session

    def asked(self) -> Session:
        """Press *7; both parties are in Stasis."""
        session = self.code()
        for channel in ("u-caller1", "u-1001"):
            self.engine.fact(ev.StasisEntered(channel), self.now)
        assert self.session.state is State.COLLECTING
        return session

    def consulting(self, typed: str = "1002#") -> Session:
        session = self.asked()
        self.press(typed)
        assert self.state is State.WAITING
        self.engine.fact(ev.StasisEntered(session.leg.channel), self.now)
        assert self.state is State.CONSULTING
        return session

    def with_fourth(self) -> Session:
        self.consulting()
        self.press(f"*5{OUTSIDE}#")
        assert self.session.fourth is not None
        self.engine.fact(ev.StasisEntered(self.session.fourth.party.channel), self.now)
        return self.session

    @property
    def session(self) -> Session:
        (record,) = self.engine.store.records.values()
        return record.session

    @property
    def state(self) -> State:
        return self.session.state

    def press(self, keys: str, channel: str = "u-1001") -> list[fx.Effect]:
        """Press keys. Returns the result of the last one."""
        for key in keys:
            self.now += 0.2
            outcome, selection = self.desk.key(ev.KeyPressed(channel, key), self.now)
            self._take(outcome, selection)
        return self.effects

    def pause(self) -> bool:
        """The session's timer has expired. Returns whether the handler is responsible."""
        found = self.desk.timed_out(self.session.id)
        if found is None:
            self.engine.report(self.session.id, SessionEvent(EventType.TIMED_OUT), self.now)
            return False
        self._take(*found)
        return True

    def _take(self, outcome: Outcome, selection: Selection | None) -> None:
        self.effects = [effect for _, effect in outcome.effects]
        if selection is None:
            return
        try:
            _, outcome = self.desk.apply_selection(selection, self.now)
        except Refused as refused:
            self.refusals.append(refused.reason)
            outcome = self.desk.reject_selection(selection, refused.reason, self.now)
        except WrongState:
            outcome = self.desk.discard_selection(selection)
        self.effects += [effect for _, effect in outcome.effects]

    def said(self) -> tuple[str, ...]:
        plays = [effect for effect in self.effects if isinstance(effect, fx.Play)]
        return plays[-1].media if plays else ()

    def sent(self) -> list[tuple[str, str]]:
        keys = [effect for effect in self.effects if isinstance(effect, fx.SendKeys)]
        return [(effect.channel, effect.keys) for effect in keys]


@pytest.fixture
def office() -> Office:
    return Office()


# --- the code -----------------------------------------------------------------------------------


def test_the_code_asks_where_to(office: Office) -> None:
    session = office.code()
    assert (session.state, session.target, session.mode) == (
        State.STARTING,
        None,
        Mode.SUPERVISED,
    )


@pytest.mark.parametrize(
    ("features", "reason"),
    [({"session_transfer": False}, "transfer_disabled"), ({"contracted": False}, "not_contracted")],
)
def test_a_code_that_is_switched_off_does_nothing(features: dict[str, bool], reason: str) -> None:
    office = Office(**features)
    with pytest.raises(Refused) as refusal:
        office.code()
    assert refusal.value.reason == reason
    assert office.engine.store.records == {}


@pytest.mark.parametrize("channel", ["u-caller1", "u-1002", "u-nobody"])
def test_the_code_of_others_does_nothing(office: Office, channel: str) -> None:
    office.engine.fact(ev.ChannelSeen("u-1002", "PJSIP/1002-00000009"), NOW)
    with pytest.raises(Refused) as refusal:
        office.code(channel)
    assert refusal.value.reason == "no_active_call"


def test_the_code_twice(office: Office) -> None:
    office.code()
    with pytest.raises(Refused) as refusal:
        office.code()
    assert refusal.value.reason == "already_transferring"


def test_the_code_of_a_phone_behind_a_local_member() -> None:
    """The phone is in a bridge with the ``;2`` half. The call belongs to the ``;1`` half."""
    made = engine()
    made.fact(ev.MemberRemoved("sales", "PJSIP/1002", NOW), NOW)
    made.fact(member("1002", interface="Local/1002@agents/n"), NOW)
    made.fact(ev.ChannelSeen("u-l1", "Local/1002@agents-00000001;1"), NOW)
    made.fact(ev.ChannelSeen("u-l2", "Local/1002@agents-00000001;2"), NOW)
    made.fact(ev.ChannelSeen("u-phone", "PJSIP/1002-00000008"), NOW)
    made.fact(ev.ChannelSeen("u-c2", "PJSIP/caller2-00000007", "caller2"), NOW)
    for channel, bridge in (("u-l1", "b1"), ("u-c2", "b1"), ("u-l2", "b2"), ("u-phone", "b2")):
        made.fact(ev.BridgeEntered(channel, bridge), NOW)
    desk = FeatureCodeHandler(made, KeyCodes())
    session, _ = desk.code(ev.FeatureUsed("u-phone"), CallVariables(), NOW)
    assert (session.agent, session.transferor.channel) == ("1002", "u-l1")
    for channel in ("u-c2", "u-l1"):
        made.fact(ev.StasisEntered(channel), NOW)
    # The phone and the half in Stasis both report each key. It counts once.
    desk.key(ev.KeyPressed("u-phone", "1"), NOW)
    _, selection = desk.key(ev.KeyPressed("u-l1", "1"), NOW)
    assert selection is None
    _, selection = desk.key(ev.KeyPressed("u-l1", "#"), NOW)
    assert selection is not None
    assert selection.typed == "1"


# --- where to -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "state", "dialled"),
    [
        ("1002", State.WAITING, "Local/1002@avp-agent-queue"),
        ("91", State.WAITING, "Local/+12025550101@avp-external-leg"),
        (OUTSIDE, State.WAITING, "Local/+12025550100@avp-external-leg"),
        ("801", State.QUEUEING, None),
        ("800", State.QUEUEING, None),
    ],
)
@pytest.mark.parametrize("end", ["#", "a pause"])
def test_choices(typed: str, state: State, dialled: str | None, end: str) -> None:
    office = Office()
    office.asked()
    office.press(typed)
    assert office.state is State.COLLECTING
    if end == "#":
        office.press("#")
    else:
        assert office.pause()
    assert office.state is state
    legs = [
        effect.permission.endpoint for effect in office.effects if isinstance(effect, fx.DialLeg)
    ]
    assert legs == ([dialled] if dialled else [])
    assert office.refusals == []
    assert office.desk._pads == {}


def test_the_first_digit_ends_the_prompt_and_each_gives_more_time(office: Office) -> None:
    office.asked()
    prompt = fx.StopPlaying(f"avp-{office.session.id}-prompt")
    assert office.press("1") == [prompt, fx.SetTimer(4.0)]
    assert office.press("0") == [fx.SetTimer(4.0)]


@pytest.mark.parametrize(
    ("typed", "reason", "features"),
    [
        ("", "invalid_format", {}),
        ("12", "invalid_format", {}),
        ("911", "emergency", {}),
        ("1001", "self_transfer", {}),
        ("1003", "not_in_group", {}),
        ("+442079460000"[1:], "invalid_format", {}),
        ("011442079460000", "country_mismatch", {}),
        ("8005550199", "toll_free_not_enabled", {}),
        (OUTSIDE, "manual_dial_disabled", {"manual_dial": False}),
        (OUTSIDE, "external_disabled", {"external_transfer": False}),
        ("91", "presets_disabled", {"presets": False}),
        ("1002", "internal_disabled", {"internal_transfer": False}),
        ("801", "unsupervised_disabled", {"unsupervised_transfer": False}),
    ],
)
def test_what_is_refused_can_be_repeated(
    typed: str, reason: str, features: dict[str, bool]
) -> None:
    office = Office(**features)
    office.asked()
    office.press(typed + "#")
    assert office.refusals == [reason]
    assert office.said() == prompts.wrong(reason, typed)
    assert fx.SetTimer(15.0) in office.effects
    assert office.state is State.COLLECTING
    office.press("10")
    assert office.effects == [fx.SetTimer(4.0)]


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (member("1002", paused=True), "target_not_ready"),
        (member("1002", status=5), "target_offline"),
        (ev.QueueJoined("avp-agent-1002", "u-other"), "target_queue_full"),
    ],
)
def test_an_agent_who_cannot_take_it(office: Office, seen: ev.Fact, reason: str) -> None:
    office.asked()
    office.engine.fact(seen, NOW)
    office.press("1002#")
    assert office.refusals == [reason]
    assert "digits:1002" in office.said()


def test_three_times_wrong(office: Office) -> None:
    office.asked()
    office.press("12#12#")
    assert office.state is State.COLLECTING
    office.press("12#")
    assert (office.state, office.session.reason) == (State.RETURNING, "invalid_format")
    assert office.said() == (), "nothing is to delay the way back"
    assert office.press("12#") == []
    assert office.desk._pads == {}


def test_back(office: Office) -> None:
    office.asked()
    office.press("10*")
    assert (office.state, office.session.outcome) == (State.RETURNING, State.CANCELLED)
    assert isinstance(office.effects[1], fx.StopPlaying)


def test_nothing_typed(office: Office) -> None:
    office.asked()
    assert not office.pause()
    assert (office.state, office.session.reason) == (State.RETURNING, "no_input")


def echo(office: Office, key: str) -> list[fx.Effect]:
    """Asterisk reports the press of this key twice more, as seen on 22.10.1."""
    effects: list[fx.Effect] = []
    for later in (0.02, 0.05):
        outcome, selection = office.desk.key(ev.KeyPressed("u-1001", key), office.now + later)
        assert selection is None
        effects += [effect for _, effect in outcome.effects]
    return effects


def test_a_key_told_three_times_was_pressed_once(office: Office) -> None:
    office.asked()
    assert echo(office, "7") == [], "the end of *7"
    for key in "12#":
        office.press(key)
        assert echo(office, key) == []
    assert office.refusals == ["invalid_format"]
    office.press("1002#")
    assert echo(office, "#") == []
    assert office.state is State.WAITING
    office.engine.fact(ev.StasisEntered(office.session.leg.channel), office.now)
    for state in (State.SWAPPED, State.CONSULTING):
        office.press("*3")
        assert echo(office, "3") == []
        assert office.state is state
    office.press("5")
    assert echo(office, "5") == []
    office.press("5")
    assert len(office.sent()) == 1, "but pressed again it counts"


def test_presses_that_are_read_late_and_together_are_two(office: Office) -> None:
    """A busy daemon reads both zeros of 1002 at once. Asterisk has told when they were pressed."""
    office.asked()
    pressed = office.now
    for key in "1002#":
        pressed += 0.15
        outcome, selection = office.desk.key(ev.KeyPressed("u-1001", key, pressed), office.now)
        office._take(outcome, selection)
    assert office.state is State.WAITING


def test_presses_between_which_asterisks_clock_was_set_back_are_two(office: Office) -> None:
    office.asked()
    for key, at in (("1", 9.0), ("0", 9.2), ("0", 4.4), ("2", 4.6), ("#", 4.8)):
        office.now += 0.2
        office._take(*office.desk.key(ev.KeyPressed("u-1001", key, at), office.now))
    assert office.state is State.WAITING


def test_a_duplicate_that_is_read_late_is_one(office: Office) -> None:
    office.asked()
    pressed = office.now
    for key, later in (("1", 0.2), ("0", 0.4), ("0", 0.6), ("0", 0.62), ("2", 0.8), ("#", 1.0)):
        office.now += 0.3
        press = ev.KeyPressed("u-1001", key, pressed + later)
        office._take(*office.desk.key(press, office.now))
    assert office.state is State.WAITING


def test_the_duplicate_of_a_long_press_is_no_second_answer(office: Office) -> None:
    """Without digits, ``#`` would be a refused number, and a try less."""
    office.asked()
    office.press("12#")
    outcome, selection = office.desk.key(ev.KeyPressed("u-1001", "#"), office.now + 0.3)
    assert (selection, outcome.effects) == (None, Outcome().effects)
    office.press("12#")
    assert office.state is State.COLLECTING, "the second of three tries"


def test_a_key_before_we_ask_is_no_part_of_the_answer(office: Office) -> None:
    office.code()
    office.engine.fact(ev.StasisEntered("u-1001"), NOW)
    office.press("*")
    office.engine.fact(ev.StasisEntered("u-caller1"), NOW)
    office.press("1002#")
    assert office.state is State.WAITING


@pytest.mark.parametrize("channel", ["u-caller1", "u-1002", "u-nobody"])
def test_keys_of_others_mean_nothing(office: Office, channel: str) -> None:
    office.asked()
    assert office.press("1002#*1", channel) == []
    assert office.state is State.COLLECTING
    assert office.desk._pads == {}


@pytest.mark.parametrize("gone", ["u-1001", "u-caller1"])
def test_what_was_half_typed_is_forgotten(office: Office, gone: str) -> None:
    session = office.asked()
    office.press("10")
    office.engine.fact(ev.ChannelGone(gone), NOW)
    expected = {"u-1001": State.RECALLING, "u-caller1": State.ABANDONED}
    assert office.state is expected[gone]
    office.engine.report(session.id, SessionEvent(EventType.REDIRECTED), NOW)
    assert office.state.final
    office.desk.forget_ended()
    assert (office.desk._pads, office.desk._last) == ({}, {})
    assert office.press("02#") == []
    assert office.desk.timed_out(session.id) is None


# --- keys during a consult ----------------------------------------------------------------------

BEEP = prompts.NOT_NOW


@pytest.mark.parametrize(
    ("keys", "state"),
    [
        ("*1", State.COMPLETING),
        ("*2", State.RETURNING),
        ("*3", State.SWAPPED),
        ("*4", State.CONFERENCE),
        ("*3*3", State.CONSULTING),
        ("*3*4", State.CONFERENCE),
        ("*3*1", State.COMPLETING),
        ("*4*2", State.RETURNING),
        ("5*1", State.COMPLETING),
    ],
)
def test_commands(office: Office, keys: str, state: State) -> None:
    office.consulting()
    office.press(keys)
    assert office.state is state
    assert office.said() == ()


@pytest.mark.parametrize("key", ["*3", "*4", "*5"])
def test_not_now_while_it_rings(office: Office, key: str) -> None:
    session = office.asked()
    office.press("1002#")
    office.press(key)
    assert office.said() == BEEP
    assert office.effects[-1] == fx.StartMusic("u-1001"), "the beep has cut it off"
    office.engine.fact(ev.AgentRung("avp-agent-1002", session.local_far_end, "PJSIP/1002"), NOW)
    office.press(key)
    assert office.said() == BEEP
    assert office.effects[-1] == fx.StartRingback("u-1001")
    assert office.state is State.RINGING


@pytest.mark.parametrize(
    ("key", "state", "outcome"),
    [("*1", State.RELEASING_LEG, None), ("*2", State.RETURNING, State.CANCELLED)],
)
def test_complete_and_cancel_while_it_rings(
    office: Office, key: str, state: State, outcome: State | None
) -> None:
    office.asked()
    office.press("1002#")
    office.press(key)
    assert office.state is state
    assert outcome is None or office.session.outcome is outcome


def test_an_external_number_cannot_be_completed_before_it_answers(office: Office) -> None:
    office.asked()
    office.press(f"{OUTSIDE}#")
    office.press("*1")
    assert (office.state, office.said()) == (State.WAITING, BEEP)


@pytest.mark.parametrize("keys", ["*4*4", "*4*3", "*3*5"])
def test_not_now(office: Office, keys: str) -> None:
    office.consulting()
    before = office.press(keys[:2])
    assert before
    state = office.state
    office.press(keys[2:])
    assert (office.state, office.said()) == (state, BEEP)


@pytest.mark.parametrize("key", ["*4", "*5"])
def test_what_is_not_enabled_beeps(key: str) -> None:
    office = Office(conference=False)
    office.consulting()
    office.press(key)
    assert (office.state, office.said()) == (State.CONSULTING, BEEP)


def test_other_keys_are_for_who_is_talked_with(office: Office) -> None:
    session = office.consulting()
    leg = session.leg.channel
    office.press("5")
    assert office.sent() == [(leg, "5")]
    office.press("*9")
    assert office.sent() == [(leg, "*9")]
    office.press("*3")
    office.press("5")
    assert office.sent() == [("u-caller1", "5")]
    office.press("*4")
    office.press("5")
    assert office.sent() == [(leg, "5")]


def test_a_lone_star_is_for_them_after_a_pause(office: Office) -> None:
    session = office.consulting()
    assert office.press("*") == [fx.SetTimer(CODE_SECONDS)]
    assert office.pause()
    assert office.sent() == [(session.leg.channel, "*")]
    office.press("1")
    assert office.sent() == [(session.leg.channel, "1")]
    assert office.state is State.CONSULTING


def test_a_lone_star_does_not_touch_the_timer_of_a_wait(office: Office) -> None:
    office.asked()
    office.press("1002#")
    assert office.press("*") == []
    assert not office.pause(), "the end of the maximum hold"
    assert (office.state, office.session.reason) == (State.RETURNING, "max_hold")


# --- the fourth party ---------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["", "*4"])
@pytest.mark.parametrize("end", ["#", "a pause"])
def test_a_fourth_party(office: Office, before: str, end: str) -> None:
    office.consulting()
    office.press(before + "*5")
    assert office.said() == prompts.ASK
    office.press(OUTSIDE)
    if end == "#":
        office.press("#")
    else:
        assert office.pause()
    (leg,) = (effect for effect in office.effects if isinstance(effect, fx.DialLeg))
    assert leg.fourth
    assert leg.permission.number == "+12025550100"
    assert office.desk._pads == {}
    office.press("*5")
    assert office.said() == BEEP, "there can be no fifth"


def test_keys_reach_the_fourth_party_too(office: Office) -> None:
    session = office.with_fourth()
    assert session.fourth is not None
    office.press("5")
    assert office.sent() == [(session.leg.channel, "5"), (session.fourth.party.channel, "5")]
    office.press("*1")
    assert office.state is State.CONFERENCE_WITHOUT_TRANSFEROR


def test_a_fourth_party_who_is_refused(office: Office) -> None:
    office.consulting()
    office.press("*51002#")  # who takes part already
    assert office.refusals == ["already_transferring"]
    assert office.said() == prompts.wrong("already_transferring", "1002")
    office.press("12#")
    assert fx.SetTimer(15.0) in office.effects
    office.press("12#")
    assert office.said() == prompts.wrong("invalid_format", "12", again=False)
    assert office.effects[-1] == fx.ClearTimer(), "three times, and they talk on"
    office.press("*3")
    assert office.state is State.SWAPPED


def test_no_fourth_party_after_all(office: Office) -> None:
    office.consulting()
    office.press("*520*")
    assert [type(effect) for effect in office.effects] == [fx.StopPlaying, fx.ClearTimer]
    office.press("*5")
    assert office.pause()
    assert office.said() == BEEP
    assert office.effects[-1] == fx.ClearTimer()
    assert office.refusals == []
    office.press("*1")
    assert office.state is State.COMPLETING


def test_a_fourth_party_whom_the_api_has_called_meanwhile(office: Office) -> None:
    session = office.consulting()
    office.press(f"*5{OUTSIDE}")
    office.engine.add_party(session.id, Target(TargetKind.NUMBER, "+12025550111"), NOW)
    office.press("#")
    assert office.said() == BEEP
    office.press("*4")
    assert office.state is State.CONFERENCE


@pytest.mark.parametrize("command", [EventType.SWAP, EventType.COMPLETE, EventType.CANCEL])
def test_the_api_overtakes_the_asking(office: Office, command: EventType) -> None:
    session = office.consulting()
    office.press("*520")
    outcome = office.engine.command(session.id, command, NOW)
    stop = fx.StopPlaying(f"avp-{session.id}-prompt")
    assert command is EventType.COMPLETE or stop in [effect for _, effect in outcome.effects]
    assert not office.pause() or office.state is State.SWAPPED
    if command is EventType.SWAP:
        office.engine.command(session.id, EventType.SWAP, NOW)
        office.press("*1")
        assert office.state is State.COMPLETING


# --- what is said -------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("reason", policy.REASONS)
def test_every_reason_has_a_prompt(reason: str, again: bool) -> None:
    said = prompts.wrong(reason, "1002", again=again)
    assert said
    assert all(name.startswith(("sound:", "digits:")) for name in said)
    asks_again = {"sound:please-try-again", "sound:invalid"} & set(said)
    assert bool(asks_again) is again
