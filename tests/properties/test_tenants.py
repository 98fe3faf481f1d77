"""Random call centres of several clients: nobody sees or reaches another client's."""

from __future__ import annotations

import json
from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.model.tenants import Tenants
from asterisk_avp.core.model.world import (
    Mode,
    Target,
    TargetKind,
)
from asterisk_avp.core.phone.lines import PhoneLines
from tests.core.test_tenants import decided
from tests.core.world import talk
from tests.properties.clients import Centre, centres

NOBODY = {
    TargetKind.AGENT: "agentno99x",
    TargetKind.GROUP: "groupno99x",
    TargetKind.PRESET: "presetno99x",
}


@st.composite
def calls(draw: st.DrawFn) -> tuple[Centre, str, str]:
    """A call centre, an agent with a call, and the call's group, usually one of theirs."""
    centre = draw(centres())
    # An agent without a group has no call that we know of.
    agent = draw(st.sampled_from([x for x, groups in centre.members.items() if groups]))
    own = centre.members[agent]
    group = draw(st.sampled_from([*(own * 4), *centre.world.groups]))
    return centre, agent, group


def in_call(centre: Centre, agent: str, group: str) -> TransferEngine:
    made = centre.engine()
    found = centre.world.groups[group]
    # By its queue, and by AVP_GROUP if the agent is not in that queue.
    talk(made, agent, "caller", found.queue, "" if group in centre.members[agent] else group)
    return made


@given(calls())
def test_no_decision_lets_a_call_go_to_another_client(case: tuple[Centre, str, str]) -> None:
    centre, agent, group = case
    made, world = in_call(centre, agent, group), centre.world
    ours, mine = {world.groups[group].account}, centre.accounts_of(agent)
    known = {
        TargetKind.AGENT: (centre.knows_agent, centre.members),
        TargetKind.GROUP: (centre.knows_group, world.groups),
        TargetKind.PRESET: (centre.knows_preset, world.presets),
    }
    for kind, (knows, ids) in known.items():
        for mode in Mode:
            reason, message = decided(made, agent, mode, Target(kind, NOBODY[kind]))
            unknown = reason, message
            for identifier in ids:
                if identifier == agent:
                    continue
                found = decided(made, agent, mode, Target(kind, identifier))
                if not knows(identifier, ours, mine):
                    # Exactly the answer for an id that does not exist.
                    told = (found[0], found[1].replace(identifier, NOBODY[kind]))
                    assert told == unknown
                elif kind is not TargetKind.PRESET and reason == "unknown_target":
                    # Everybody is logged in, so only a group without members is of nobody.
                    of_nobody = not any(identifier in groups for groups in centre.members.values())
                    empty = kind is TargetKind.GROUP and of_nobody
                    assert found[0] in ({"target_offline"} if empty else {"ok", "not_in_group"})
                if kind is TargetKind.AGENT and found[0] == "ok":
                    assert set(centre.members[identifier]) & set(centre.members[agent])


@given(calls())
def test_what_is_keyed_in_means_nothing_of_another_client(case: tuple[Centre, str, str]) -> None:
    centre, agent, group = case
    made, world = in_call(centre, agent, group), centre.world
    found = world.groups[group]
    ours, mine = {found.account}, centre.accounts_of(agent)
    lines = PhoneLines(made)
    texts = [
        *((x, TargetKind.AGENT, x, centre.knows_agent) for x in centre.members if x != agent),
        *((x.extension, TargetKind.GROUP, x.id, centre.knows_group) for x in world.groups.values()),
        *((x.code, TargetKind.PRESET, x.id, centre.knows_preset) for x in world.presets.values()),
    ]
    for text, kind, identifier, knows in texts:
        assert text is not None
        means = lines.resolve(text, agent, found)
        if knows(identifier, ours, mine):
            assert means == Target(kind, identifier)
        else:
            assert means == Target(TargetKind.NUMBER, text)


@given(calls())
def test_the_lists_have_all_that_may_be_known_and_nothing_else(
    case: tuple[Centre, str, str],
) -> None:
    centre, agent, group = case
    made, world = in_call(centre, agent, group), centre.world
    ours, mine = {world.groups[group].account}, centre.accounts_of(agent)

    def known(identifier: str) -> bool:
        return centre.knows_group(identifier, ours, mine)

    shown = views.targets_view(made, agent)
    own = centre.members[agent]
    assert {x.id for x in shown.my_agent_groups} == {x for x in own if known(x)}
    assert {x.id for x in shown.agent_groups} == {x for x in world.groups if known(x)}
    assert {x["id"] for x in shown.external_presets} == {
        x.id
        for x in world.presets.values()
        if x.group not in own and centre.knows_preset(x.id, ours, mine)
    }
    text = json.dumps(asdict(shown))
    foreign = centre.foreign_words(agent)
    assert not {word for word in foreign if word in text}
    for preset in shown.external_presets:
        assert preset["group"] in {"", *filter(known, world.groups)}


@given(centres())
def test_the_scope_of_an_agent(centre: Centre) -> None:
    tenants = Tenants(centre.world, centre.members.__getitem__)
    for viewer in centre.members:
        scope, accounts = tenants.of_agent(viewer), centre.accounts_of(viewer)
        assert scope.unrestricted is not centre.apart
        assert scope.agent(viewer)
        for group in centre.world.groups:
            assert scope.group(group) is centre.knows_group(group, accounts)
        for preset in centre.world.presets:
            assert scope.preset(preset) is centre.knows_preset(preset, accounts)
        for agent in centre.members.keys() - {viewer}:
            assert scope.agent(agent) is centre.knows_agent(agent, accounts)
        # About a call, they may know less, never more.
        for of_call in (*centre.world.groups.values(), None):
            narrow = tenants.of_call(viewer, of_call)
            assert all(scope.group(x) for x in centre.world.groups if narrow.group(x))
            assert all(scope.preset(x) for x in centre.world.presets if narrow.preset(x))
