"""`/metrics`: the figures, the access, and the dashboard that uses their names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import aiohttp
import pytest
import yaml  # schemathesis brings it
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from scripted_transfer_service import INTEGRATION, PINS, ScriptedTransferService, bearer

from asterisk_avp import __version__
from asterisk_avp.api.app import create_app
from asterisk_avp.api.auth import Authenticator
from asterisk_avp.api.server import serve
from asterisk_avp.cluster.directory import Directory
from asterisk_avp.config.settings import Settings
from asterisk_avp.core.engine.admission import Admission, Bounds
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.queue_events import DIAL_REASONS
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.effects import ClearTimer, SetTimer, StartMusic, StopMusic
from asterisk_avp.core.model.world import (
    CallerOutcome,
    ConfiguredAgent,
    Group,
    Mode,
    Readiness,
    Target,
    TargetKind,
    World,
)
from asterisk_avp.core.policy.policy import REASONS
from asterisk_avp.core.transfer import machine
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Choice, Session
from asterisk_avp.core.transfer.states import State
from asterisk_avp.core.transfer.table import ROWS
from asterisk_avp.observe import endings
from asterisk_avp.observe.metrics import Metrics
from asterisk_avp.observe.peer_metrics import PeerMetrics
from asterisk_avp.service.admission import AdmissionControl
from asterisk_avp.service.clients import ami_client, ari_client
from asterisk_avp.service.daemon import Daemon
from asterisk_avp.service.executor import Workers
from asterisk_avp.service.gauges import show_admission, show_standby
from asterisk_avp.service.links import Links
from asterisk_avp.service.remote_agents import show_directory
from asterisk_avp.service.standing import Standing
from asterisk_avp.service.trunk_state import show_trunks
from tests.config.test_settings import NEEDED
from tests.core.sessions import OUT, fourth_party
from tests.core.sessions import session as at
from tests.promtool import provide

DOCKER = Path(__file__).resolve().parents[2] / "docker"
NODE = NEEDED | {
    "AVP_CLUSTER__NODE": "a",
    "AVP_CLUSTER__SERVERS": "nats://127.0.0.1:9",
    "AVP_NODES__A__URL": "http://127.0.0.1:9",
    "AVP_NODES__A__TOKEN": "a" * 32,
}
"""With several nodes there is more to measure."""
DASHBOARD = DOCKER / "grafana" / "asterisk_avp.json"
ALERTS = DOCKER / "prometheus" / "asterisk_avp_alerts.yml"
LOST = (CallerOutcome.DISCONNECTED, CallerOutcome.LOST)
READY = Readiness(ready=True, ari=True, ami=True, synced=True)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Counted:
    """Metrics of a call centre of two agents, with a manual clock."""

    def __init__(self) -> None:
        agents = {name: ConfiguredAgent(name, groups=("sales",)) for name in ("1001", "1002")}
        world = World({"sales": Group("sales", "sales", "Sales")}, agents)
        self.clock = Clock()
        self.engine = TransferEngine(world, new_id=lambda: "t")
        self.metrics = Metrics(self.engine, self.clock)
        self.metrics.show_readiness(lambda: READY)

    def values(self) -> dict[str, float]:
        """The non-zero values, by name and label values (sorted by the labels' names)."""
        return {
            sample.name.removeprefix("asterisk_avp_")
            + "".join(f" {value}" for value in sample.labels.values()): sample.value
            for family in text_string_to_metric_families(self.metrics.text().decode())
            for sample in family.samples
            if sample.name.startswith("asterisk_avp_")
            and not sample.name.endswith("_bucket")
            and sample.value
        }

    def steps(self, session: Session, *steps: tuple[float, State]) -> None:
        """The session in a series of states, each a number of seconds after the previous one."""
        for seconds, state in steps:
            self.clock.now += seconds
            reason = {State.COMPLETED: "completed", State.FAILED: "max_hold"}.get(state, "")
            self.metrics.transfer(replace(session, state=state, reason=reason))


@pytest.fixture
def counted() -> Counted:
    return Counted()


def test_a_supervised_transfer(counted: Counted) -> None:
    session = at(State.STARTING)
    counted.steps(session, (0, State.STARTING))
    counted.clock.now += 0.04
    for effect in (
        StartMusic(session.transferor.channel),  # ringing, for the transferor
        StopMusic(session.caller.channel),
        StartMusic(session.caller.channel),
    ):
        counted.metrics.performed(session.id, effect)
    counted.steps(session, (0.06, State.WAITING), (1, State.RINGING))
    counted.steps(session, (4, State.WAITING), (1, State.RINGING), (3, State.CONSULTING))
    counted.steps(session, (5, State.SWAPPED), (5, State.SWAPPED), (5, State.CONSULTING))
    counted.metrics.performed(session.id, StartMusic(session.caller.channel))  # after the swap
    counted.steps(session, (5, State.COMPLETING), (0.03, State.COMPLETED))
    counted.steps(session, (9, State.COMPLETED))  # its view changed once more
    values = {name: round(value, 6) for name, value in counted.values().items()}
    assert values["transfers_total supervised completed completed agent"] == 1
    assert values["transfer_start_seconds_count supervised"] == 1
    assert values["transfer_start_seconds_sum supervised"] == 0.04
    assert values["transfer_ring_seconds_count agent"] == 2
    assert values["transfer_ring_seconds_sum agent"] == 7
    assert values["transfer_consult_seconds_sum"] == 20
    assert values["transfer_completion_seconds_sum"] == 0.03
    assert values["transfer_wait_seconds_sum supervised completed"] == 29.13
    assert values["transfer_wait_seconds_count supervised completed"] == 1
    assert counted.metrics._running == {}


def test_an_unsupervised_transfer(counted: Counted) -> None:
    session = replace(
        at(State.STARTING), mode=Mode.UNSUPERVISED, target=Target(TargetKind.GROUP, "support")
    )
    counted.steps(session, (0, State.QUEUEING), (0.02, State.QUEUED), (2, State.OFFERED))
    counted.steps(session, (3, State.QUEUED), (3, State.FAILED))
    values = {name: round(value, 6) for name, value in counted.values().items()}
    assert values["transfers_total unsupervised failed max_hold group"] == 1
    assert values["transfer_start_seconds_sum unsupervised"] == 0.02
    assert values["transfer_ring_seconds_sum group"] == 3
    assert values["transfer_wait_seconds_sum unsupervised failed"] == 8.02


def test_a_consult_that_goes_on_without_agent_1_starts_once(counted: Counted) -> None:
    session = at(State.STARTING)
    counted.steps(session, (0, State.STARTING))
    counted.metrics.performed(session.id, StartMusic(session.caller.channel))
    counted.steps(session, (1, State.RINGING), (1, State.QUEUEING), (1, State.QUEUED))
    assert counted.values()["transfer_start_seconds_count supervised"] == 1
    assert "transfer_start_seconds_count unsupervised" not in counted.values()


def test_decisions_connections_and_events(counted: Counted) -> None:
    counted.metrics.decision("supervised", "allow", "ok")
    counted.metrics.decision("dial", "deny", "not_landline")
    heard: list[bool] = []
    ami = counted.metrics.connection("ami", heard.append)
    ari = counted.metrics.connection("ari", heard.append)
    for told, connected in ((ami, True), (ari, True), (ami, False), (ami, True)):
        told(connected)
    counted.metrics.ami_event(handled=True)
    counted.metrics.ami_event(handled=False)
    assert heard == [True, True, False, True]
    values = counted.values()
    assert values["decisions_total allow supervised ok"] == 1
    assert values["decisions_total deny dial not_landline"] == 1
    assert values["reconnects_total ami"] == 1
    assert "reconnects_total ari" not in values
    assert values["ami_events_total yes"] == values["ami_events_total no"] == 1


def test_what_is_so_now(counted: Counted) -> None:
    values = counted.values()
    assert values["agents offline"] == 2
    assert values["connected ami"] == values["connected ari"] == values["ready"] == 1
    assert "transfers_running" not in values
    version = ".".join(map(str, sys.version_info[:3]))
    assert values[f"build_info {version} {__version__}"] == 1
    text = counted.metrics.text().decode()
    for line in ('asterisk_avp_agents{state="talking"} 0.0', "asterisk_avp_transfers_running 0.0"):
        assert line in text
    assert "_created" not in text


def series(metrics: Metrics) -> set[str]:
    """The names and labels of all series."""
    return {
        line.rpartition(" ")[0]
        for line in metrics.text().decode().splitlines()
        if not line.startswith("#")
    }


def test_a_thousand_transfers_are_as_many_series_as_none(counted: Counted) -> None:
    before = series(counted.metrics)
    for number in range(1000):
        session = replace(
            at(State.STARTING),
            id=f"t{number}",
            agent=f"a{number}",
            target=Target(TargetKind.NUMBER, f"+1202555{number:04}"),
        )
        counted.steps(session, (0, State.STARTING), (1, State.RINGING), (1, State.COMPLETED))
    assert counted.values()["group_transfers_total sales supervised completed"] == 1000
    assert series(counted.metrics) == before
    assert not [name for name in before if "+1202" in name]


EVENT_REASONS = {
    EventType.LEG_UNANSWERED: ("no_answer", "rejected"),
    EventType.LEG_LEFT_QUEUE: ("max_hold", "target_queue_full", "target_offline", "withdrawn"),
    EventType.LEFT_QUEUE: ("max_hold", "target_queue_full", "target_not_ready", "withdrawn"),
    EventType.CALLER_LEFT: ("left_queue", "taken"),
    EventType.LEG_GONE: tuple(DIAL_REASONS.values()),
    EventType.LEG_FAILED: tuple(DIAL_REASONS.values()),
    EventType.WRONG_CHOICE: tuple(REASONS),
}
BEGINNINGS = (
    *(
        at(State.STARTING, target=Target(kind, "x"))
        for kind in (TargetKind.AGENT, TargetKind.PRESET, TargetKind.NUMBER)
    ),
    at(State.STARTING, target=None),
    *(
        at(State.QUEUEING, mode=Mode.UNSUPERVISED, target=Target(kind, "x"))
        for kind in (TargetKind.AGENT, TargetKind.GROUP)
    ),
    *(
        at(State.STARTING, mode=mode, target=Target(kind, "x"), refused=True, reason=reason)
        for mode in Mode
        for kind in TargetKind
        for reason in ("unsupervised_external", "target_offline", "not_landline")
    ),
)


@given(st.sampled_from(BEGINNINGS), st.data())
def test_however_a_transfer_goes_its_end_was_foreseen(begun: Session, data: st.DataObject) -> None:
    session = begun
    for _ in range(40):
        legal = [kind for kind in EventType if machine.legal(session, kind)]
        if session.state.final or not legal:
            break
        kind = data.draw(st.sampled_from(legal))
        reason = data.draw(st.sampled_from(EVENT_REASONS.get(kind, ("",))))
        choice = Choice(Mode.UNSUPERVISED, Target(TargetKind.GROUP, "x"), session.permission)
        session = machine.step(
            session,
            SessionEvent(
                kind,
                reason,
                choice=choice if kind is EventType.CHOSEN else None,
                fourth=fourth_party(OUT) if kind is EventType.ADD_PARTY else None,
            ),
        ).session
    if session.state.final:
        target = session.target.kind.value if session.target is not None else "none"
        ended = session.state.spec.reported.value
        assert (session.mode.value, target, ended, session.reason) in FORESEEN


FORESEEN = set(endings.transfers())


def test_each_foreseen_end_is_a_series_from_the_start(counted: Counted) -> None:
    names = series(counted.metrics)
    for mode, target, outcome, reason in FORESEEN:
        labels = f'mode="{mode}",outcome="{outcome}",reason="{reason}",target="{target}"'
        assert f"asterisk_avp_transfers_total{{{labels}}}" in names


@pytest.mark.parametrize(
    ("outcome", "reason", "cause"),
    [
        (CallerOutcome.DISCONNECTED, "max_hold", "max_hold"),
        (CallerOutcome.DISCONNECTED, "target_offline", "disconnected"),
        (CallerOutcome.LOST, "asterisk_timeout", "lost"),
        *((outcome, "max_hold", None) for outcome in CallerOutcome if outcome not in LOST),
        (None, "", None),
    ],
)
def test_callers_whom_nobody_has(
    counted: Counted, outcome: CallerOutcome | None, reason: str, cause: str | None
) -> None:
    session = replace(at(State.FAILED), reason=reason)
    counted.engine.store.adopt(session, 0.0, Outcome())
    for _ in range(2):  # its view may change once more
        counted.metrics.caller_after(session, outcome)
        values = {k: v for k, v in counted.values().items() if k.startswith("callers_lost")}
        assert values == ({f"callers_lost_total {cause} sales": 1} if cause else {})


def test_decisions_are_there_before_the_first(counted: Counted) -> None:
    before = series(counted.metrics)
    for mode in ("supervised", "unsupervised", "party", "dial"):
        counted.metrics.decision(mode, "allow", "ok")
        for reason in REASONS:
            counted.metrics.decision(mode, "deny", reason)
    counted.metrics.decision("dial", "pass", "emergency")
    assert series(counted.metrics) == before


def test_a_group_of_a_reload_is_there_before_its_first_transfer(counted: Counted) -> None:
    groups = {**counted.engine.world.groups, "vip": Group("vip", "vip", "VIP")}
    counted.engine.reconfigure(World(groups), 0)
    before = series(counted.metrics)
    assert 'asterisk_avp_callers_lost_total{cause="max_hold",group="vip"}' in before
    session = replace(at(State.STARTING), group="vip")
    counted.steps(session, (0, State.STARTING), (1, State.FAILED))
    assert series(counted.metrics) == before


async def test_what_the_daemon_holds() -> None:
    daemon = Daemon(Settings.load(NEEDED, Path("/nonexistent")))
    daemon._workers.resume()  # it knows that it is alone
    daemon._inbox.post(Outcome([("t1", SetTimer(60)), ("t1", StartMusic("chan-caller"))]))
    for line in ("asterisk_avp_workers 1.0", "asterisk_avp_timers 1.0", "asterisk_avp_tasks 2.0"):
        assert f"\n{line}\n" in daemon._metrics.text().decode()
    daemon._inbox.post(Outcome([("t1", ClearTimer())]))
    await daemon._workers.wait_idle(5)
    text = daemon._metrics.text().decode()
    for line in (
        "asterisk_avp_channels_known 0.0",
        "asterisk_avp_transfers_remembered 0.0",
        "asterisk_avp_workers 0.0",
        "asterisk_avp_timers 0.0",
        "asterisk_avp_tasks 1.0",
    ):
        assert f"\n{line}\n" in text, text
    await daemon._ari.close()


# --- the dashboard ---------------------------------------------------------------------------


def names_of(counted: Counted) -> set[str]:
    """As Prometheus has them."""
    names = set()
    settings = Settings.load(NEEDED, Path("/nonexistent"))
    ami = ami_client(settings.ami, lambda *_defect: None)
    ari = ari_client(settings, lambda: None, warm=False)
    control = AdmissionControl(counted.engine, Admission(Bounds()), Links(ami, ari))
    show_admission(counted.metrics.gauge, control)
    node = Settings.load(NODE, Path("/nonexistent")).cluster
    show_directory(
        counted.metrics.gauge,
        Directory(node, counted.engine, lambda _fact: None, lambda: True, lambda: None),
    )
    show_trunks(counted.metrics.gauge, lambda: 0)
    show_standby(
        counted.metrics.gauge, Standing(ari, ami, Workers(AsyncMock(), AsyncMock(), Mock()))
    )
    PeerMetrics(counted.metrics.registry)
    for family in counted.metrics.registry.collect():
        kinds = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        for ending in kinds.get(family.type, ("",)):
            names.add(family.name + ending)
    return names


def test_every_name_in_the_dashboard_is_a_metric(counted: Counted) -> None:
    names = names_of(counted)
    labels: dict[str, set[str]] = {}
    for counter in vars(counted.metrics).values():
        if hasattr(counter, "_labelnames"):
            labels[counter._name] = set(counter._labelnames)
    text = DASHBOARD.read_text(encoding="utf-8")
    json.loads(text)
    used = set(re.findall(r"\b(?:asterisk_avp|process)_[a-z_]+", text)) - {"asterisk_avp"}
    assert used <= names, used - names
    # And the reverse: everything that is measured is displayed.
    shown = {re.sub("_(bucket|total)$", "", name) for name in used}
    measured = {re.sub("_(bucket|sum|count|total)$", "", x) for x in names if "asterisk" in x}
    assert measured <= shown, measured - shown
    for name, known in labels.items():
        for by in re.findall(rf"by \(([^)]*)\) \((?:rate|increase)\({name}", text):
            assert set(re.split(", ?", by)) <= known | {"le"}, (name, by)


def test_alerts_are_about_metrics_and_reasons_that_there_are(counted: Counted) -> None:
    rules = [
        rule
        for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]
    used = {x for rule in rules for x in re.findall(r"\basterisk_avp_[a-z_]+", rule["expr"])}
    assert used
    assert used <= names_of(counted), used - names_of(counted)
    told = {row.reason for row in ROWS} | set(DIAL_REASONS.values())
    asked = {
        x
        for rule in rules
        for m in re.findall(r'reason=~"([^"]+)', rule["expr"])
        for x in m.split("|")
    }
    assert asked
    assert asked <= told, asked - told
    job = yaml.safe_load((ALERTS.parent / "prometheus.yml").read_text(encoding="utf-8"))
    assert job["rule_files"] == [ALERTS.name]
    assert job["scrape_configs"][0]["job_name"] in ALERTS.read_text(encoding="utf-8")
    assert job["scrape_configs"][0]["static_configs"] == [{"targets": ["127.0.0.1:8766"]}]


def test_each_panel_says_what_it_shows_and_from_when_on_it_is_bad() -> None:
    panels = [x for x in dashboard()["panels"] if x["type"] != "row"]
    assert len(panels) > 20
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["description"].endswith("."), panel["title"]
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert steps[0]["value"] is None, panel["title"]
        assert [x["value"] for x in steps[1:]] == sorted(x["value"] for x in steps[1:])
    variables = {x["name"] for x in dashboard()["templating"]["list"]}
    used = set(re.findall(r"\$(?!__)\{?(\w+)", DASHBOARD.read_text(encoding="utf-8")))
    assert used == variables


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return found


def expressions() -> list[str]:
    """PromQL of the dashboard's panels and variables, and of the alert rules."""
    panels = [
        target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())
    ]
    variables = [x["query"]["query"] for x in dashboard()["templating"]["list"] if "refresh" in x]
    rules = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return panels + variables + [rule["expr"] for group in rules for rule in group["rules"]]


SCRAPED = {"job": "asterisk_avp", "instance": "127.0.0.1:8766"}
"""The labels that Prometheus adds."""


def selected(expression: str, scraped: list[Sample]) -> Iterator[tuple[str, list[Sample]]]:
    """Each selector of an expression, with the samples that it selects. Any group is selected."""
    for name, matchers in re.findall(
        r"\b((?:asterisk_avp|process)_\w+)(?:\{([^}]*)\})?", expression
    ):
        if name == "asterisk_avp" or f'"{name}"' in expression:
            continue
        found = [sample for sample in scraped if sample.name == name]
        for label, operator, value in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers):
            pattern = ".*" if value.startswith("$") else value
            pattern = pattern if "~" in operator else re.escape(pattern)
            found = [
                sample
                for sample in found
                if (re.fullmatch(pattern, (sample.labels | SCRAPED)[label]) is not None)
                is not operator.startswith("!")
            ]
        yield f"{name}{{{matchers}}}", found


async def test_a_daemon_that_has_just_started_has_all_that_dashboard_and_alerts_select() -> None:
    """So no panel is empty for want of a failure, and each alert sees the first one."""
    scraped = [
        sample
        for family in text_string_to_metric_families(await started_daemon())
        for sample in family.samples
    ]
    for expression in expressions():
        for selector, found in selected(expression, scraped):
            assert found, selector


async def started_daemon() -> str:
    """The metrics of a daemon before anything has happened."""
    daemon = Daemon(Settings.load(NODE, Path("/nonexistent")))
    text = daemon._metrics.text().decode()
    await daemon._ari.close()
    return text


def promtool(*command: str, cwd: Path = ALERTS.parent) -> None:
    ran = subprocess.run([str(provide()), *command], cwd=cwd, check=False, capture_output=True)
    assert ran.returncode == 0, (ran.stdout + ran.stderr).decode()


def test_prometheus_itself_fires_them() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("test", "rules", "alerts_test.yml")


def test_prometheus_understands_the_dashboard(tmp_path: Path) -> None:
    panels = [
        target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())
    ]
    rules = [
        {"record": f"panel:{n}", "expr": expr.replace("$__rate_interval", "1m")}
        for n, expr in enumerate(panels)
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "x", "rules": rules}]}))
    promtool("check", "rules", "rules.yml", cwd=tmp_path)


FIRST_FAILURES = {
    "AsteriskAvpCallerLost": CallerOutcome.LOST,
    "AsteriskAvpCallerDisconnected": CallerOutcome.DISCONNECTED,
}


@pytest.mark.parametrize("alert", FIRST_FAILURES)
def test_the_first_failure_since_the_start_alerts(
    alert: str, counted: Counted, tmp_path: Path
) -> None:
    """Two scrapes of the real text, before and after it, as Prometheus would store them."""
    before = scraped_values(counted)
    session = replace(at(State.FAILED), reason="max_hold")
    counted.metrics.caller_after(session, FIRST_FAILURES[alert])
    after = scraped_values(counted)
    assert sum(after[name] != before.get(name) for name in after) == 1
    inputs = [
        # A series that was not in the first scrapes is absent there (_).
        {"series": name, "values": f"{before.get(name, '_')}x20 {value}x20"}
        for name, value in after.items()
    ]
    case = {
        "interval": "15s",
        "input_series": inputs,
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing",group="sales"}})',
                "eval_time": time,
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
            for time, fires in (("5m", False), ("6m", True))
        ],
    }
    (tmp_path / "rules.yml").write_text(ALERTS.read_text(encoding="utf-8"))
    tests = {"rule_files": ["rules.yml"], "evaluation_interval": "15s", "tests": [case]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(tests))
    promtool("test", "rules", "test.yml", cwd=tmp_path)


def scraped_values(counted: Counted) -> dict[str, float]:
    """The labelled counters with their values; the names as PromQL has them."""
    return {
        line.rpartition(" ")[0].replace("{", '{instance="pbx",', 1): float(line.rpartition(" ")[2])
        for line in counted.metrics.text().decode().splitlines()
        if re.match(r"asterisk_avp_\w+_total\{", line)
    }


def test_reasons_are_words_of_ours() -> None:
    assert all(re.fullmatch("[a-z_]+", reason) for reason in REASONS)


# --- who may read it -------------------------------------------------------------------------


@asynccontextmanager
async def served(auth: Authenticator) -> AsyncIterator[str]:
    metrics = Counted().metrics
    server = await serve(
        create_app(ScriptedTransferService(), auth, metrics=metrics.text), "127.0.0.1", 0
    )
    yield server.url + "/metrics"
    await server.stop()


async def test_this_machine_reads_it_without_a_token() -> None:
    async with (
        served(Authenticator(tokens=[INTEGRATION])) as url,
        aiohttp.ClientSession() as http,
        http.get(url) as answer,
    ):
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "asterisk_avp_ready 1.0" in await answer.text()


async def test_with_a_token_of_its_own_everybody_needs_it() -> None:
    auth = Authenticator(tokens=[INTEGRATION], pins=PINS, metrics_token="scrape")
    agent = await auth.login("1001", PINS["1001"], "")
    async with served(auth) as url, aiohttp.ClientSession() as http:
        for token, status in (
            (None, 401),
            ("wrong", 401),
            (agent, 401),
            ("scrape", 200),
            (INTEGRATION, 200),
        ):
            async with http.get(url, headers=bearer(token) if token else {}) as answer:
                assert answer.status == status, token
        # It opens nothing else.
        other = url.replace("/metrics", "/v1/agents")
        async with http.get(other, headers=bearer("scrape")) as answer:
            assert answer.status == 401


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.7", False),
        ("::ffff:192.0.2.7", False),
        ("2001:db8::1", False),
        ("", False),
        ("localhost", False),
    ],
)
async def test_other_machines_always_need_a_token(address: str, local: bool) -> None:
    auth = Authenticator(tokens=[INTEGRATION])
    assert auth.may_scrape(None, address) is local
    assert auth.may_scrape(INTEGRATION, address)
    await auth.reconfigure(tokens=[], pins={}, token_lifetime_seconds=60, metrics_token="scrape")
    assert not auth.may_scrape(None, address)
    assert auth.may_scrape("scrape", address)
