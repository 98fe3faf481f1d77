"""The group of a call as it is shown: that of AVP_GROUP, which the decision uses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import Refused
from asterisk_avp.core.model.features import Features
from asterisk_avp.core.model.world import Group, Mode, TargetKind
from tests.core.world import NOW, WORLD, call, engine, request

ALONE = Mode.UNSUPERVISED
TO_GROUP = request(target="sales", kind=TargetKind.GROUP, mode=ALONE)


def strict_support() -> TransferEngine:
    """Calls of support may not be transferred unsupervised."""
    made = engine()
    support: Group = WORLD.groups["support"]
    strict = replace(support, features=Features(unsupervised_transfer=False))
    made.reconfigure(replace(WORLD, groups={**WORLD.groups, "support": strict}), NOW)
    return made


def shown(made: TransferEngine, agent: str = "1001") -> str | None:
    view = views.agent_view(made, made.agents.by_id[agent])
    assert view.call is not None
    return view.call.group


def may_alone(made: TransferEngine, agent: str = "1001") -> bool:
    return "unsupervised_transfer" in views.targets_view(made, agent).permissions


def test_the_picture_and_the_decision_agree() -> None:
    made = strict_support()
    call(made)
    assert (shown(made), may_alone(made)) == ("sales", True)
    outcome = made.fact(ev.CallGroup("u-caller1", "support"), NOW)
    assert outcome.agents == {"1001"}, "whoever looks on is told"
    assert (shown(made), may_alone(made)) == ("support", False)
    assert views.targets_view(made, "1001").agent_groups == ()
    with pytest.raises(Refused) as refusal:
        made.request(TO_GROUP, CallVariables(), NOW)
    assert refusal.value.reason == "unsupervised_disabled"


def test_the_number_rules_are_those_of_the_calls_group() -> None:
    made = engine()
    free = Features(external_transfer=True, country="US", toll_free_service=True)
    groups = {name: replace(group, features=free) for name, group in WORLD.groups.items()}
    groups["support"] = replace(groups["support"], features=replace(free, toll_free_service=False))
    made.reconfigure(replace(WORLD, groups=groups), NOW)
    call(made)
    assert views.number_check(made, "1001", "18003569377").allowed
    made.fact(ev.CallGroup("u-caller1", "support"), NOW)
    assert views.number_check(made, "1001", "18003569377").reason == "toll_free_not_enabled"


def test_the_same_again_is_not_news() -> None:
    made = engine()
    call(made)
    made.fact(ev.CallGroup("u-caller1", "support"), NOW)
    assert made.fact(ev.CallGroup("u-caller1", "support"), NOW).agents == set()


def test_a_call_that_is_gone_meanwhile() -> None:
    made = engine()
    call(made)
    made.fact(ev.ChannelGone("u-caller1"), NOW)
    assert made.fact(ev.CallGroup("u-caller1", "support"), NOW).agents == set()
    assert "u-caller1" not in made.calls.channels


def test_a_group_that_is_taken_back() -> None:
    made = engine()
    call(made)
    made.fact(ev.CallGroup("u-caller1", "support"), NOW)
    made.fact(ev.CallGroup("u-caller1", ""), NOW)
    assert shown(made) == "sales"


def test_while_the_call_is_being_transferred() -> None:
    """The same settings decide what the panel offers in a consultation."""
    made = strict_support()
    call(made)
    made.fact(ev.CallGroup("u-caller1", "support"), NOW)
    made.request(request(), CallVariables(), NOW)
    made.fact(ev.BridgeLeft("u-caller1", "b-1001"), NOW)
    assert (shown(made), may_alone(made)) == ("support", False)


def test_both_who_come_together_have_news() -> None:
    """Whichever of the two enters the bridge last."""
    made = engine()
    made.fact(ev.ChannelSeen("u-1001", "PJSIP/1001-00000002"), NOW)
    made.fact(ev.ChannelSeen("u-caller1", "PJSIP/caller1-00000001"), NOW)
    made.fact(ev.BridgeEntered("u-1001", "b"), NOW)
    assert made.fact(ev.BridgeEntered("u-caller1", "b"), NOW).agents == {"1001"}


def test_of_half_a_picture_nothing_is_told() -> None:
    made = engine()
    call(made)
    made.sync_started()
    call(made)
    assert made.fact(ev.CallGroup("u-caller1", "support"), NOW).agents == set()
    assert "1001" in made.sync_finished(NOW).agents
    assert made.sync_finished(NOW).agents == set(), "once"
