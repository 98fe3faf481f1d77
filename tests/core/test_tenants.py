"""Accounts are different clients: what is another's does not exist, whatever door is tried."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import Refused
from asterisk_avp.core.model.features import Features
from asterisk_avp.core.model.tenants import Tenants
from asterisk_avp.core.model.world import (
    ConfiguredAgent,
    Group,
    Mode,
    Preset,
    Target,
    TargetKind,
    TransferRequest,
    World,
)
from asterisk_avp.core.phone.dial_codes import resolve
from asterisk_avp.core.phone.lines import PhoneLines
from asterisk_avp.core.phone.refer import ReferHandler
from asterisk_avp.core.policy import policy
from tests.core.clients import ALL_ON, Centre, agent_id, centres, talk
from tests.core.world import NOW, member

NOBODY = {
    TargetKind.AGENT: "agentno99x",
    TargetKind.GROUP: "groupno99x",
    TargetKind.PRESET: "presetno99x",
}


def decided(made: TransferEngine, agent: str, mode: Mode, target: Target) -> tuple[str, str]:
    """Reason and message; the reason is ``ok`` where it is allowed."""
    facts = made.decision_context(agent, made.call_of(agent))
    try:
        policy.decide(TransferRequest(agent, mode, target), facts, made.agents, made.world)
    except Refused as refused:
        return refused.reason, refused.message
    return "ok", ""


@st.composite
def calls(draw: st.DrawFn) -> tuple[Centre, str, str]:
    """A call centre, an agent there with a call, and the call's group, mostly one of theirs."""
    centre = draw(centres())
    # Who is in no group has no call that we know of.
    agent = draw(st.sampled_from([x for x, groups in centre.members.items() if groups]))
    own = centre.members[agent]
    group = draw(st.sampled_from([*(own * 4), *centre.world.groups]))
    return centre, agent, group


def in_call(centre: Centre, agent: str, group: str) -> TransferEngine:
    made = centre.engine()
    found = centre.world.groups[group]
    # By its queue, and by AVP_GROUP where the agent is not in that queue.
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
                    # To the letter what is said of an id that nobody has.
                    told = (found[0], found[1].replace(identifier, NOBODY[kind]))
                    assert told == unknown
                elif kind is not TargetKind.PRESET and reason == "unknown_target":
                    assert found[0] in {"ok", "not_in_group"}
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
        assert scope.everything is not centre.apart
        assert scope.agent(viewer)
        for group in centre.world.groups:
            assert scope.group(group) is centre.knows_group(group, accounts)
        for preset in centre.world.presets:
            assert scope.preset(preset) is centre.knows_preset(preset, accounts)
        for agent in centre.members.keys() - {viewer}:
            assert scope.agent(agent) is centre.knows_agent(agent, accounts)
        # Of a call less can be known, never more.
        for of_call in (*centre.world.groups.values(), None):
            narrow = tenants.of_call(viewer, of_call)
            assert all(scope.group(x) for x in centre.world.groups if narrow.group(x))
            assert all(scope.preset(x) for x in centre.world.presets if narrow.preset(x))


# --- by example -----------------------------------------------------------------------------------

GROUPS = {
    "sales": Group("sales", "sales", "Sales", "acme", extension="800", features=ALL_ON),
    "desk": Group("desk", "desk", "Desk", "acme", features=ALL_ON),
    "help": Group("help", "help", "Help", "beta", extension="801", features=ALL_ON),
    "lost": Group("lost", "lost", "Lost", None, features=ALL_ON),
}
WORLD = World(
    GROUPS,
    {"2001": ConfiguredAgent("2001"), "3001": ConfiguredAgent("3001", groups=("sales", "help"))},
    {"bill": Preset("bill", "Billing", "+12025550101", "help", "91")},
)
MEMBERS = {"1001": "sales", "1002": "sales", "1003": "desk", "2001": "help", "4001": "lost"}


def two_clients(world: World = WORLD) -> TransferEngine:
    made = TransferEngine(world, new_id=iter(["t1", "t2"]).__next__)
    for agent, queue in MEMBERS.items():
        made.fact(member(agent, queue), NOW)
    for queue in ("sales", "help"):
        made.fact(member("3001", queue), NOW)
    return made


def with_group(name: str, **changes: object) -> World:
    changed = replace(GROUPS[name], **changes)  # type: ignore[arg-type]  # the tests know them
    return replace(WORLD, groups={**GROUPS, name: changed})


def agents_of(shown: object) -> set[str]:
    assert isinstance(shown, dict)
    return {agent["id"] for group in shown["my_agent_groups"] for agent in group["agents"]}


@pytest.mark.parametrize(
    ("queue", "colleagues", "presets"),
    [("sales", {"1001", "1002"}, ["bill"]), ("help", {"2001"}, [])],
)
def test_who_works_for_two_clients_acts_for_the_calls(
    queue: str, colleagues: set[str], presets: list[str]
) -> None:
    """Settings and targets; 3001 is in one group of each."""
    preset = replace(WORLD.presets["bill"], group="desk")
    off = replace(GROUPS["help"], features=replace(ALL_ON, conference=False, presets=False))
    world = replace(WORLD, groups={**GROUPS, "help": off}, presets={"bill": preset})
    made = two_clients(world)
    talk(made, "3001", "caller", queue)
    shown = asdict(views.targets_view(made, "3001"))
    assert agents_of(shown) == colleagues
    assert [x["id"] for x in shown["my_agent_groups"]] == [queue]
    assert [x["id"] for x in shown["external_presets"]] == presets
    assert ("conference" in shown["permissions"]) is (queue == "sales")
    for other in ("1001", "2001"):
        reason, _ = decided(made, "3001", Mode.SUPERVISED, Target(TargetKind.AGENT, other))
        assert reason == ("ok" if other in colleagues else "unknown_target")


def test_shared_with_names_who_else_may_have_it() -> None:
    to_help = Target(TargetKind.GROUP, "help")
    made = two_clients()
    talk(made, "1001", "caller", "sales")
    assert decided(made, "1001", Mode.UNSUPERVISED, to_help)[0] == "unknown_target"
    assert resolve("801", made.agents, made.world, made.scope_of("1001")).kind is TargetKind.NUMBER
    made.reconfigure(with_group("help", shared_with=("acme",)), NOW)
    assert decided(made, "1001", Mode.UNSUPERVISED, to_help)[0] == "ok"
    assert "help" in {x.id for x in views.targets_view(made, "1001").agent_groups}
    assert resolve("801", made.agents, made.world, made.scope_of("1001")) == to_help
    # Its agents are known, and are no more colleagues than those of another group of the client.
    for agent in ("2001", "1003"):
        to_agent = Target(TargetKind.AGENT, agent)
        assert decided(made, "1001", Mode.SUPERVISED, to_agent)[0] == "not_in_group"
    # A preset is shared by itself; that its group is shared does not make it so.
    to_preset = Target(TargetKind.PRESET, "bill")
    assert decided(made, "1001", Mode.SUPERVISED, to_preset)[0] == "unknown_target"
    made.reconfigure(
        replace(WORLD, presets={"bill": replace(WORLD.presets["bill"], shared_with=("acme",))}), NOW
    )
    assert decided(made, "1001", Mode.SUPERVISED, to_preset)[0] == "ok"
    (shown,) = views.targets_view(made, "1001").external_presets
    assert shown == {"id": "bill", "name": "Billing", "group": ""}


def test_nor_is_whom_the_phone_has_called_already_a_target() -> None:
    """By the phones' dialplan anybody can call anybody; the caller is not handed over by that."""
    made = two_clients()
    talk(made, "1001", "caller", "sales")
    for name, line in (("1001", "u2-1001"), ("2001", "u2-2001"), ("1002", "u2-1002")):
        made.fact(ev.ChannelSeen(line, f"PJSIP/{name}-00000021"), NOW)
    desk = ReferHandler(made)
    for peer, reason in (("2001", "unknown_target"), ("1002", "ok")):
        for line in ("u2-1001", f"u2-{peer}"):
            made.fact(ev.BridgeEntered(line, f"b2-{peer}"), NOW)
        asked = ev.ReferReceived(
            "u-1001", peer, attended=True, second="u2-1001", target=f"u2-{peer}"
        )
        wanted = desk.transfer_request(asked, "")
        assert wanted is not None
        found = "ok"
        try:
            desk.refer(asked, wanted, CallVariables(), NOW)
        except Refused as refused:
            found = refused.reason
        assert found == reason


def test_groups_of_no_account_are_one_client_more() -> None:
    made = two_clients()
    talk(made, "4001", "caller", "lost")
    assert {x.id for x in views.targets_view(made, "4001").agent_groups} == {"lost"}
    alone = replace(WORLD, groups={x: replace(y, account=None) for x, y in GROUPS.items()})
    made.reconfigure(alone, NOW)
    assert {x.id for x in views.targets_view(made, "4001").agent_groups} == set(GROUPS)


def test_who_is_in_no_group_knows_nobody_and_nobody_knows_them() -> None:
    world = replace(WORLD, agents={**WORLD.agents, "5001": ConfiguredAgent("5001")})
    made = two_clients(world)
    assert not any(made.scope_of("5001").agent(x) for x in (*MEMBERS, "3001"))
    assert not any(made.scope_of(x).agent("5001") for x in MEMBERS)
    # Where there is one client only, they are its people.
    one = {"sales": GROUPS["sales"], "desk": GROUPS["desk"]}
    made.reconfigure(World(one, world.agents), NOW)
    assert made.scope_of("5001").agent("1001")
    assert made.scope_of("1001").agent("5001")


def test_an_agent_who_is_logged_out_stays_with_their_client() -> None:
    made = two_clients()
    made.agents.member_removed("sales", "PJSIP/1001")
    assert made.scope_of("1002").agent("1001")
    assert not made.scope_of("2001").agent("1001")


def test_a_single_client_knows_everything_as_ever() -> None:
    one = World({"sales": GROUPS["sales"], "desk": GROUPS["desk"]})
    assert Tenants(one, lambda _agent: ()).of_agent(agent_id(1)).everything
    assert Features().contracted
