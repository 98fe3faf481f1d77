"""Who may be told a caller who withholds number and name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.caller import Caller, Presentation, Told, presentation_of
from asterisk_avp.core.model.features import ShownNumber
from asterisk_avp.core.model.world import Mode, Target, TargetKind, TransferRequest
from asterisk_avp.core.pops.content import as_told
from asterisk_avp.core.transfer import persistence
from asterisk_avp.core.transfer.legs import dial_leg
from tests.core.world import NOW, call, engine

ALLOWED, WITHHELD, UNKNOWN = Presentation.ALLOWED, Presentation.WITHHELD, Presentation.UNKNOWN
NUMBER, NAME, ACCOUNT = "+12025550177", "Secret Person", "+12025550199"
CALLER = "u-caller1"


@pytest.mark.parametrize(
    ("number", "name", "found"),
    [
        ("", "", UNKNOWN),
        ("allowed_not_screened", "allowed_not_screened", ALLOWED),
        ("allowed_passed_screen", "", ALLOWED),
        ("allowed", "allowed", ALLOWED),
        ("prohib", "allowed", WITHHELD),
        ("allowed", "prohib_not_screened", WITHHELD),
        ("prohib_passed_screen", "prohib_passed_screen", WITHHELD),
        ("prohib_failed_screen", "", WITHHELD),
        ("unavailable", "allowed_not_screened", WITHHELD),
        ("unknown", "allowed", WITHHELD),
    ],
)
def test_what_asterisk_answers(number: str, name: str, found: Presentation) -> None:
    assert presentation_of(number, name) is found


@pytest.mark.parametrize(
    ("number", "presentation", "show", "told"),
    [
        (NUMBER, ALLOWED, False, Told(NUMBER, NAME)),
        (NUMBER, WITHHELD, False, Told(withheld=True)),
        (NUMBER, WITHHELD, True, Told(NUMBER, NAME, withheld=True)),
        (NUMBER, UNKNOWN, False, Told()),
        (NUMBER, UNKNOWN, True, Told(NUMBER, NAME)),
        ("", WITHHELD, False, Told(withheld=True)),
        ("Anonymous", ALLOWED, False, Told(withheld=True)),
        ("anonymous", ALLOWED, True, Told(withheld=True)),
    ],
)
def test_what_agents_are_told(
    number: str,
    presentation: Presentation,
    show: bool,
    told: Told,
) -> None:
    caller = Caller(number, NAME, presentation)
    assert caller.told_agents(show_withheld=show) == told
    assert caller.told_outside is (presentation is ALLOWED and number == NUMBER)


def _in_a_call(presentation: Presentation = UNKNOWN, *, show: bool = False) -> TransferEngine:
    made = engine()
    call(made)
    group = made.world.groups["sales"]
    features = replace(
        group.features,
        show_withheld=show,
        caller_id=ACCOUNT,
        external_caller_id=ShownNumber.CALLER,
        country="US",
        external_transfer=True,
        manual_dial=True,
    )
    groups = {**made.world.groups, "sales": replace(group, features=features)}
    made.reconfigure(replace(made.world, groups=groups), NOW)
    channel = made.calls.channels[CALLER]
    channel.caller_number, channel.caller_name = NUMBER, NAME
    channel.presentation = UNKNOWN
    if presentation is not UNKNOWN:
        made.fact(ev.CallerPresentation(CALLER, presentation), NOW)
    return made


def _asked(target: Target) -> TransferRequest:
    return TransferRequest("1001", Mode.SUPERVISED, target)


def _told(made: TransferEngine) -> tuple[bool, bool]:
    """Whether the agent's view contains the caller, and whether it says that it is withheld."""
    view = views.agent_view(made, made.agents.by_id["1001"])
    assert view.call is not None
    text = repr(view)
    assert (NUMBER in text) is ("5550177" in text or "555-0177" in text)
    return NUMBER in text, view.call.caller_withheld


@pytest.mark.parametrize(
    ("presentation", "show", "told"),
    [
        (UNKNOWN, False, (False, False)),
        (ALLOWED, False, (True, False)),
        (WITHHELD, False, (False, True)),
        (WITHHELD, True, (True, True)),
    ],
)
def test_call_and_transfer(
    presentation: Presentation,
    show: bool,
    told: tuple[bool, bool],
) -> None:
    made = _in_a_call(presentation, show=show)
    assert _told(made) == told
    target = Target(TargetKind.AGENT, "1002")
    session, _ = made.request(
        TransferRequest("1001", Mode.SUPERVISED, target), CallVariables(), NOW
    )
    assert _told(made) == told
    view = repr(views.transfer_view(made, made.record(session.id)))
    assert ((NUMBER in view), (NAME in view)) == (told[0], told[0])


def test_a_presentation_that_changes_in_the_middle() -> None:
    made = _in_a_call(ALLOWED)
    target = Target(TargetKind.NUMBER, "+12025550100")
    session, _ = made.request(
        TransferRequest("1001", Mode.SUPERVISED, target), CallVariables(), NOW
    )
    outcome = made.fact(ev.CallerPresentation(CALLER, WITHHELD), NOW)
    assert "1001" in outcome.agents
    assert session.id in outcome.transfers
    assert _told(made) == (False, True)
    now = made.record(session.id).session
    assert any(isinstance(effect, fx.SetVariables) for _, effect in outcome.effects)
    assert _outside(made, now.id) == (ACCOUNT, "prohib")
    made.fact(ev.CallerPresentation(CALLER, ALLOWED), NOW)
    assert _outside(made, now.id) == (NUMBER, "")


def _outside(made: TransferEngine, transfer: str) -> tuple[str, str]:
    session = made.record(transfer).session
    leg = dial_leg(session, "leg", "other", session.permission, fourth=False)
    return leg.variables["AVP_CALLER_ID"], leg.variables["AVP_PRESENTATION"]


@pytest.mark.parametrize(
    ("presentation", "shown"),
    [(ALLOWED, (NUMBER, "")), (WITHHELD, (ACCOUNT, "prohib")), (UNKNOWN, (ACCOUNT, "prohib"))],
)
@pytest.mark.parametrize("show", [False, True])
def test_an_external_target(
    presentation: Presentation,
    shown: tuple[str, str],
    show: bool,
) -> None:
    made = _in_a_call(presentation, show=show)
    target = Target(TargetKind.NUMBER, "+12025550100")
    session, _ = made.request(
        TransferRequest("1001", Mode.SUPERVISED, target), CallVariables(), NOW
    )
    assert _outside(made, session.id) == shown


def test_the_next_daemon_knows_it() -> None:
    made = _in_a_call(WITHHELD)
    target = Target(TargetKind.AGENT, "1002")
    session, _ = made.request(
        TransferRequest("1001", Mode.SUPERVISED, target), CallVariables(), NOW
    )
    text = persistence.encode(session)
    again = persistence.decode(text, made.world)
    assert again is not None
    assert again.caller.presentation is WITHHELD
    of_earlier = text.replace('"presentation":"withheld",', "")
    assert of_earlier != text
    again = persistence.decode(of_earlier, made.world)
    assert again is not None
    assert again.caller.presentation is UNKNOWN
    assert persistence.decode(text.replace('"withheld"', '"other"'), made.world) is None


def test_a_resync_keeps_what_it_does_not_read() -> None:
    made = _in_a_call(WITHHELD)
    made.sync_started()
    made.fact(ev.ChannelSeen(CALLER, "PJSIP/caller1-00000001", NUMBER, presentation=UNKNOWN), NOW)
    assert made.calls.channels[CALLER].presentation is WITHHELD


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (NUMBER, ""),
        ("(202) 555-0177", ""),
        ("0012025550177", ""),
        (12025550177, ""),
        ("Mr. secret person", ""),
        ({"of": [NUMBER, "4711"]}, {"of": ["", "4711"]}),
        ("4711", "4711"),
        ("202555017", "202555017"),
        (True, True),
        (None, None),
    ],
)
def test_what_the_dialplan_put_into_the_pop(value: object, left: object) -> None:
    caller = Caller(NUMBER, NAME, WITHHELD)
    data = {"value": value}
    assert as_told(data, caller, caller.told_agents(show_withheld=False)) == {"value": left}
    assert as_told(data, caller, caller.told_agents(show_withheld=True)) == data
    assert as_told(data, replace(caller, presentation=ALLOWED), Told(NUMBER, NAME)) == data


def test_a_short_number_may_be_anywhere() -> None:
    caller = Caller("1001", "", WITHHELD)
    assert as_told({"a": "1001", "b": "order 1001"}, caller, Told(withheld=True)) == {
        "a": "",
        "b": "order 1001",
    }
