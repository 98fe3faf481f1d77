"""The personal queues as rendered for Asterisk."""

from __future__ import annotations

import configparser
from dataclasses import replace

from asterisk_avp.core.model.world import ConfiguredAgent, Group, World
from asterisk_avp.install.asterisk_conf import Member, alone, members
from asterisk_avp.install.personal_queues import (
    PERSONAL_QUEUE_WEIGHT,
    agents_to_render,
    render_queues,
)
from tests.core.world import ALL_ON

GROUPS = {
    "sales": Group(id="sales", queue="sales", name="Sales", acw_seconds=2),
    "support": Group(id="support", queue="Support-Queue", name="Support", acw_seconds=10),
}
WORLD = World(groups=GROUPS)

QUEUES_CONF = r"""
[general]
persistentmembers = yes
;--
member => PJSIP/commented
--;
[usual](!)
strategy = rrmemory
[staff](!)
member => PJSIP/1007
[sales](usual,staff)
member => PJSIP/1001,0,Alice ; the first
member=Local/1002@agents/n,0,Bob,PJSIP/1002
MEMBER => "PJSIP/1001"
; member => PJSIP/1099
member => SIP
#include other.conf
#tryinclude "more.conf"
[support-queue]
member => PJSIP/desk-4
[elsewhere]
member => PJSIP/2001
"""


def read(text: str) -> configparser.ConfigParser:
    """Parsed as Asterisk would: sections, inheritance, ``;`` comments."""
    parser = configparser.ConfigParser(comment_prefixes=(";",), interpolation=None, strict=True)
    parser.read_string(text.replace("](!)", "]").replace("](avp-personal)", "]"))
    return parser


def render(agents: dict[str, frozenset[str] | None]) -> str:
    return render_queues(agents, GROUPS, ring_seconds=15, command="asterisk-avp render queues")


def test_members_are_read_from_queues_conf() -> None:
    conf, included = alone("queues.conf", QUEUES_CONF)
    assert conf.faults == ()
    found = members(conf)
    assert found["sales"] == (
        Member("PJSIP/1007"),
        Member("PJSIP/1001"),
        Member("Local/1002@agents/n", "PJSIP/1002"),
        Member("SIP"),
    )
    assert found["support-queue"] == (Member("PJSIP/desk-4"),)
    assert "staff" not in found, "a template is no queue"
    assert included == ("other.conf", "more.conf")


def test_agents_come_from_settings_options_and_queues() -> None:
    world = World(
        groups=GROUPS,
        agents={
            "dora": ConfiguredAgent(id="dora", interface="PJSIP/desk-4"),
            "1001": ConfiguredAgent(id="1001", groups=("support",)),
            "1008": ConfiguredAgent(id="1008"),
        },
    )
    conf, _ = alone("queues.conf", QUEUES_CONF)
    assert agents_to_render(world, ["1009", "1001"], members(conf)) == {
        "dora": frozenset({"support"}),
        "1001": frozenset({"sales", "support"}),
        "1002": frozenset({"sales"}),
        "1007": frozenset({"sales"}),
        "1008": None,
        "1009": None,
    }
    assert agents_to_render(WORLD) == {}


def test_each_agent_has_a_queue_with_the_longest_wrap_up_of_their_groups() -> None:
    parsed = read(
        render({"b": frozenset({"sales"}), "a": frozenset({"sales", "support"}), "c": None})
    )
    assert parsed.sections() == ["avp-personal", "avp-agent-a", "avp-agent-b", "avp-agent-c"]
    waits = [parsed[f"avp-agent-{agent}"]["wrapuptime"] for agent in "abc"]
    assert waits == ["10", "2", "10"]


def test_what_all_personal_queues_have_in_common() -> None:
    text = render({"1001": None})
    common = dict(read(text)["avp-personal"])
    for key, value in {
        "strategy": "ringall",
        "maxlen": "1",
        "weight": str(PERSONAL_QUEUE_WEIGHT),
        "ringinuse": "no",
        "retry": "1",
        "timeout": "15",
        "joinempty": "paused,invalid,unavailable",
        "leavewhenempty": "paused,invalid,unavailable",
        "setinterfacevar": "no",
    }.items():
        assert common[key] == value
    # The daemon adds the members. It could not remove members that the file has.
    assert "member" not in common
    assert "member =" not in text
    for needed in ("shared_lastcall = yes", "persistentmembers = yes"):
        assert needed in text


def test_the_same_agents_give_the_same_text() -> None:
    one = render({"1": frozenset({"support", "sales"}), "2": None})
    two = render({"2": None, "1": frozenset({"sales", "support"})})
    assert one == two
    assert one.endswith("\n")
    assert "Written by: asterisk-avp render queues\n" in one
    assert all(line.isascii() and len(line) <= 120 for line in one.splitlines())


def test_nothing_is_rendered_for_one() -> None:
    british = replace(GROUPS["sales"], features=replace(ALL_ON, country="GB"))
    members = {"sales": [Member("PJSIP/999"), Member("PJSIP/1001"), Member("PJSIP/112")]}
    found = agents_to_render(World({"sales": british}), ("911", "1002"), members)
    assert set(found) == {"1001", "1002"}
