"""Accounts are different clients: what belongs to another one is invisible in every way."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

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
from asterisk_avp.core.phone.refer import ReferHandler
from asterisk_avp.core.policy import policy
from tests.core.world import ALL_ON, NOW, member, talk


def decided(made: TransferEngine, agent: str, mode: Mode, target: Target) -> tuple[str, str]:
    """Reason and message. The reason is ``ok`` if allowed."""
    facts = made.decision_context(agent, made.call_of(agent))
    try:
        policy.decide(TransferRequest(agent, mode, target), facts, made.agents, made.world)
    except Refused as refused:
        return refused.reason, refused.message
    return "ok", ""


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
    """Settings and targets. 3001 is in one group of each."""
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
    # Its agents are known, and are treated like those of another group of the client.
    for agent in ("2001", "1003"):
        to_agent = Target(TargetKind.AGENT, agent)
        assert decided(made, "1001", Mode.SUPERVISED, to_agent)[0] == "not_in_group"
    # A preset is shared by itself; sharing its group does not share it.
    to_preset = Target(TargetKind.PRESET, "bill")
    assert decided(made, "1001", Mode.SUPERVISED, to_preset)[0] == "unknown_target"
    made.reconfigure(
        replace(WORLD, presets={"bill": replace(WORLD.presets["bill"], shared_with=("acme",))}), NOW
    )
    assert decided(made, "1001", Mode.SUPERVISED, to_preset)[0] == "ok"
    (shown,) = views.targets_view(made, "1001").external_presets
    assert shown == {"id": "bill", "name": "Billing", "group": ""}


def test_nor_is_whom_the_phone_has_called_already_a_target() -> None:
    """The phones' dialplan allows calls between all agents; this transfers no caller."""
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
    # With a single client, all agents belong to it.
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
    assert Tenants(one, lambda _agent: ()).of_agent("1001").unrestricted
    assert Features().contracted
