"""What `asterisk-avp check` says of the other nodes: each fault, present and absent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from asterisk_avp.config.settings import Settings
from asterisk_avp.core.model.world import ConfiguredAgent, World
from asterisk_avp.install.asterisk_conf import read
from asterisk_avp.install.checks import nodes as checks
from asterisk_avp.install.checks.model import Facts, Finding
from asterisk_avp.install.checks.node_members import static_members
from asterisk_avp.install.checks.nodes_model import NatsFacts, NodesFacts, NodeTold
from asterisk_avp.install.trunks import trunks_conf
from tests.install.test_render_nodes import NODES

TOLD = NodeTold("1.0", "same", 0.1, ready=True, trunks={})
WELL = NodesFacts(
    own="a",
    trunks={"b": "avp-node-b", "c": "avp-node-c"},
    hash="same",
    version="1.0",
    servers=3,
    contacts={"b": "Reachable", "c": "Reachable"},
    nats=NatsFacts(told={"a": TOLD, "b": TOLD, "c": TOLD}, copies=3, current=3),
)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """The folder of Asterisk's files, with the trunks as they are rendered."""
    settings = Settings.load(NODES, tmp_path, connect=False)
    (tmp_path / "avp_nodes.conf").write_text(trunks_conf(settings, "x"))
    (tmp_path / "pjsip.conf").write_text("#include avp_nodes.conf\n")
    return tmp_path


def faults(folder: Path | None, facts: NodesFacts | None) -> list[tuple[str, str, str]]:
    files = {} if folder is None else {"pjsip.conf": read(folder, "pjsip.conf")}
    all_of_them = (checks.trunk_settings, checks.trunks, checks.nats, checks.same)
    found: list[Finding] = [x for f in all_of_them for x in f(Facts(files, nodes=facts))]
    assert all(x.why for x in found if x.severity != "ok"), "each says why it matters"
    return [(x.id, x.severity.value, x.what) for x in found if x.severity != "ok"]


def with_nats(**changes: object) -> NodesFacts:
    assert WELL.nats is not None
    return replace(WELL, nats=replace(WELL.nats, **changes))  # type: ignore[arg-type]


def only(found: list[tuple[str, str, str]], identifier: str, severity: str, text: str) -> None:
    assert [x[:2] for x in found] == [(identifier, severity)], found
    assert text in found[0][2]


def test_there_is_nothing_to_say_of_one_asterisk(conf: Path) -> None:
    facts = Facts({"pjsip.conf": read(conf, "pjsip.conf")})

    assert [
        x
        for f in (checks.trunk_settings, checks.trunks, checks.nats, checks.same)
        for x in f(facts)
    ] == []


def test_what_is_rendered_is_well(conf: Path) -> None:
    assert faults(conf, WELL) == []


@pytest.mark.parametrize(
    ("old", "new", "severity", "text"),
    [
        ("context = avp-node-in", "context = from-internal", "error", "from-internal"),
        ("allow_transfer = no", "allow_transfer = yes", "error", "allow_transfer"),
        ("identify_by = ip\n", "", "error", "identify_by"),
        ("message_context = avp-nowhere\n", "", "error", "message_context"),
        ("rtp_timeout = 4", "rtp_timeout = 0", "warning", "rtp_timeout"),
        ("rtp_keepalive = 1\n", "", "warning", "rtp_keepalive"),
        ("timers = always", "timers = no", "warning", "timers"),
        ("qualify_frequency = 1", "qualify_frequency = 60", "warning", "qualify_frequency"),
        ("contact = sip:", "contact = sips:", "error", "sips address"),
        ("type = identify", "type = avp-gone", "error", "identify"),
        ("\nauth = avp-node-b-in", "", "error", "no auth"),
        ("outbound_auth = avp-node-b-out\n", "", "error", "no outbound_auth"),
    ],
)
def test_a_trunk_without_what_it_needs(
    conf: Path, old: str, new: str, severity: str, text: str
) -> None:
    file = conf / "avp_nodes.conf"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))

    only(faults(conf, WELL), "node_trunk_settings", severity, text)


def test_a_trunk_that_is_missing(conf: Path) -> None:
    (conf / "pjsip.conf").write_text("")

    found = faults(conf, WELL)

    assert [x[:2] for x in found] == [("node_trunk_settings", "error")] * 2


@pytest.mark.parametrize("status", ["Unreachable", "NonQualified", ""])
def test_a_node_that_does_not_answer(status: str) -> None:
    facts = replace(WELL, contacts={"b": status, "c": "Reachable"})

    only(faults(None, facts), "node_trunk", "error", "node b")


def test_a_node_that_is_not_answered() -> None:
    told = {**_told(), "c": replace(TOLD, trunks={"a": False, "b": True})}

    only(faults(None, with_nats(told=told)), "node_trunk", "error", "node c gets no answer")


def test_two_daemons_with_one_letter() -> None:
    only(faults(None, with_nats(twins=("b",))), "nodes", "error", "they are node b")


@pytest.mark.parametrize(
    ("change", "severity", "text"),
    [
        ({"config_hash": "other"}, "error", "other settings"),
        ({"version": "1.1"}, "warning", "version 1.1"),
        ({"ahead": -3.0}, "warning", "3.0 s behind"),
        ({"ahead": 2.0}, "warning", "2.0 s ahead of"),
        ({"ready": False}, "warning", "not ready"),
    ],
)
def test_a_node_that_differs(change: dict[str, object], severity: str, text: str) -> None:
    told = {**_told(), "b": replace(TOLD, **change)}  # type: ignore[arg-type]

    only(faults(None, with_nats(told=told)), "nodes", severity, text)


def test_a_node_that_is_silent() -> None:
    told = dict.fromkeys("ac", TOLD)

    only(faults(None, with_nats(told=told)), "nodes", "error", "daemon of node b")


@pytest.mark.parametrize(
    ("change", "identifier", "severity", "text"),
    [
        ({"away": {"nats://x": "refused"}}, "nats", "warning", "nats://x"),
        ({"denied": ("Permissions Violation",)}, "nats_rights", "error", "Permissions"),
        ({"excess": True}, "nats_rights", "warning", "more than"),
        ({"store": "it has no leader"}, "nats", "error", "no leader"),
        ({"copies": 3, "current": 2}, "nats", "warning", "2 of 3"),
        ({"copies": 1, "current": 1}, "nats", "warning", "1 of 3"),
    ],
)
def test_servers(change: dict[str, object], identifier: str, severity: str, text: str) -> None:
    only(faults(None, with_nats(**change)), identifier, severity, text)


def test_no_server_at_all() -> None:
    away = {f"nats://{n}": "refused" for n in range(3)}
    facts = replace(WELL, nats=NatsFacts(error="no NATS server can be used", away=away))

    assert {x[:2] for x in faults(None, facts)} == {("nats", "error")}


def test_two_servers_are_no_majority() -> None:
    facts = replace(with_nats(copies=2, current=2), servers=2)

    only(faults(None, facts), "nats", "warning", "2 NATS servers")


def _told() -> Mapping[str, NodeTold]:
    return dict.fromkeys("abc", TOLD)


# --- members -------------------------------------------------------------------------------------

MEMBERS = """
[sales]
member => PJSIP/1001
member => PJSIP/1003,0,Carol
[support]
member => PJSIP/1003
"""


def members_here(
    folder: Path, facts: NodesFacts | None, **homes: str | None
) -> list[tuple[str, str, str]]:
    """``homes``: the settings' AVP_AGENTS__<ID>__NODE, as ``x1003="b"``."""
    (folder / "queues.conf").write_text(MEMBERS)
    agents = {x[1:]: ConfiguredAgent(x[1:], node=node) for x, node in homes.items()}
    files = {"queues.conf": read(folder, "queues.conf")}
    found = static_members(Facts(files, world=World(groups={}, agents=agents), nodes=facts))
    return [(x.id, x.severity.value, x.what) for x in found if x.severity != "ok"]


def test_static_members_of_one_agent_on_two_nodes(tmp_path: Path) -> None:
    """By the settings, or by what the other node tells."""
    assert members_here(tmp_path, None, x1003="b") == []
    assert members_here(tmp_path, WELL, x1001="a", x1003=None) == []
    text = "agents of other nodes are static members here: 1003 (node b)"
    only(members_here(tmp_path, WELL, x1003="b"), "node_members", "warning", text)
    only(members_here(tmp_path, with_nats(at_home={"1003": "b"})), "node_members", "warning", text)
    many = with_nats(at_home={"1003": "b", "1001": "c"})
    only(members_here(tmp_path, many), "node_members", "warning", "1001 (node c), 1003 (node b)")
