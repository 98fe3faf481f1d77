"""The metrics that Prometheus reads at `/metrics`.

No label contains a person, a call or a number. Label values are constants of this program, but for
the ids of the configured groups, which few metrics have; so the number of series is known at the
start, and all of them are there from the start (`observe.endings`). Names and labels are a contract
with dashboards, such as `docker/grafana/asterisk_avp.json`.

Durations are measured here with a monotonic clock, as a transfer goes through its phases.
"""

from __future__ import annotations

import platform
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from asterisk_avp import __version__
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages.effects import Effect, StartMusic
from asterisk_avp.core.model.world import AgentState, CallerOutcome, Mode, Readiness, TargetKind
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.core.transfer.spec import Phase
from asterisk_avp.observe import endings

# This would be one more series for each counter and histogram, which Prometheus does not use.
disable_created_metrics()  # type: ignore[no-untyped-call]  # typed, all but this function

_PREFIX: Final = "asterisk_avp_"
_MACHINE = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Buckets for the daemon and Asterisk: normally milliseconds; the time-out is five seconds."""
_PEOPLE = (1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 600.0)
"""Buckets for durations that depend on a person."""

Interface = Literal["ami", "ari"]


@dataclass(slots=True)
class _Running:
    """A running transfer, and when it and its phase began (monotonic seconds)."""

    mode: str
    target: str
    """The kind of the target, or `endings.NO_TARGET`."""
    caller: str
    began: float
    phase: Phase
    phase_began: float
    music_heard: bool = False


class Metrics:
    """Counts events, and reads gauges from ``engine`` and ``readiness`` at each scrape."""

    def __init__(
        self,
        engine: TransferEngine,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._callers_lost: set[str] = set()
        """The transfers that are counted already, as long as the engine knows them."""
        registry = self.registry = CollectorRegistry()

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(_PREFIX + name, meaning, labels, registry=registry)

        def seconds(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(
                f"{_PREFIX}transfer_{name}_seconds",
                meaning,
                labels,
                buckets=buckets,
                registry=registry,
            )

        self._ended = counter(
            "transfers_total",
            "Transfers that have ended, by mode, target, outcome and reason.",
            *("mode", "target", "outcome", "reason"),
        )
        self._ended_by_group = counter(
            "group_transfers_total",
            "Transfers that have ended, by the call's group, mode and outcome.",
            *("group", "mode", "outcome"),
        )
        self._lost = counter(
            "callers_lost_total",
            "Callers of ended transfers whom nobody has: hung up on, at max hold or not, or lost.",
            *("group", "cause"),
        )
        self._decisions = counter(
            "decisions_total",
            "Decisions on transfers, fourth parties (mode party) and dialled numbers (mode dial).",
            *("mode", "decision", "reason"),
        )
        self._start = seconds(
            "start",
            "From the decision until the caller hears music or is in the target's queue.",
            _MACHINE,
            "mode",
        )
        self._ring = seconds("ring", "One ring of the target.", _PEOPLE, "target")
        self._consult = seconds("consult", "The consultation, from the target's answer.", _PEOPLE)
        self._completion = seconds(
            "completion", "From completing until caller and target are connected.", _MACHINE
        )
        self._wait = seconds(
            "wait", "The whole transfer, from decision to end.", _PEOPLE, "mode", "outcome"
        )
        self._reconnects = counter("reconnects_total", "Reconnections to Asterisk.", "interface")
        meaning = "Whether the daemon keeps after-call work, because app_queue does not."
        self._lastcall = Gauge(f"{_PREFIX}shared_lastcall_off", meaning, registry=registry)
        meaning = "Agents with a phone whose Transfer button Asterisk obeys, past every rule."
        self.unguarded_phones = Gauge(_PREFIX + "unguarded_phones", meaning, registry=registry).set
        self._impossible = counter(
            "ami_impossible_messages_total",
            "AMI messages that Asterisk cannot have written. Investigate each one.",
        )
        self._swaps = counter(
            "bridge_swaps_total",
            "Phones that replaced another one in a call (INVITE with Replaces, or a transfer).",
        )
        # Plain integers: there are thousands per second, and a Counter takes a lock for each.
        self._ami_events = {"yes": 0, "no": 0}
        self._connected: dict[Interface, bool | None] = {"ami": None, "ari": None}
        for interface in self._connected:
            self._reconnects.labels(interface)
        build = Gauge(
            _PREFIX + "build_info",
            "Always 1.",
            ("version", "python"),
            registry=registry,
        )
        build.labels(__version__, platform.python_version()).set(1)
        registry.register(_CurrentState(engine, self._ami_events))
        ProcessCollector(registry=registry)
        self._engine = engine
        self._begin_at_zero()
        self._begin_groups()

    def _begin_at_zero(self) -> None:
        for ending in endings.transfers():
            self._ended.labels(*ending)
        for decision in endings.decisions():
            self._decisions.labels(*decision)
        for mode in Mode:
            self._start.labels(mode.value)
            for outcome in endings.OUTCOMES:
                self._wait.labels(mode.value, outcome)
        for target in (*TargetKind, endings.NO_TARGET):
            self._ring.labels(str(target))

    def _begin_groups(self) -> None:
        """As above, for the groups that there are now: a reload can bring new ones."""
        for group in self._engine.world.groups:
            for mode, outcome in product(Mode, endings.OUTCOMES):
                self._ended_by_group.labels(group, mode.value, outcome)
            for cause in endings.LostCause:
                self._lost.labels(group, cause.value)

    def gauge(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Add a gauge that calls ``value`` at each scrape."""
        Gauge(_PREFIX + name, meaning, registry=self.registry).set_function(value)

    def show_readiness(
        self, readiness: Callable[[], Readiness], stuck: Callable[[], bool] = lambda: False
    ) -> None:
        """Show whether new transfers are taken. ``stuck``: see `AriClient.stuck`."""
        self.registry.register(_Standing(readiness, stuck))

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        self._begin_groups()
        return generate_latest(self.registry)

    def decision(self, mode: str, decision: str, reason: str) -> None:
        """``reason``: ``ok`` or one of `asterisk_avp.core.policy.policy.REASONS`."""
        self._decisions.labels(mode, decision, reason).inc()

    def ami_event(self, *, handled: bool) -> None:
        self._ami_events["yes" if handled else "no"] += 1

    def shared_lastcall_off(self, off: bool) -> None:  # noqa: FBT001 - it is the value
        self._lastcall.set(off)

    def impossible_message(self) -> None:
        self._impossible.inc()

    def swapped(self) -> None:
        self._swaps.inc()

    def connection(
        self, interface: Interface, then: Callable[[bool], None]
    ) -> Callable[[bool], None]:
        """The ``on_connected`` callback for a client: counts reconnections and calls ``then``."""

        def on_connected(connected: bool) -> None:  # noqa: FBT001 - the clients' signature
            if connected and self._connected[interface] is not None:
                self._reconnects.labels(interface).inc()
            self._connected[interface] = connected
            then(connected)

        return on_connected

    def performed(self, session_id: str | None, effect: Effect) -> None:
        """An effect was performed. The caller's first music ends the start phase."""
        running = self._running.get(session_id or "")
        if (
            running is not None
            and not running.music_heard
            and isinstance(effect, StartMusic)
            and effect.channel == running.caller
        ):
            running.music_heard = True
            self._start.labels(running.mode).observe(self._clock() - running.began)

    def transfer(self, session: Session) -> None:
        """A transfer has changed. A repeated state has no effect."""
        now = self._clock()
        running = self._running.get(session.id)
        phase = session.state.spec.phase
        target = session.target.kind.value if session.target is not None else endings.NO_TARGET
        if running is None:
            if session.state.final:
                return  # a change of an ended transfer
            running = self._running[session.id] = _Running(
                mode=session.mode.value,
                target=target,
                caller=session.caller.channel,
                began=now,
                phase=phase,
                phase_began=now,
            )
        elif phase != running.phase:
            self._phase_over(running, now - running.phase_began)
            running.phase, running.phase_began = phase, now
        running.mode, running.target = session.mode.value, target
        if session.state.final:
            del self._running[session.id]
            outcome = session.state.spec.reported.value
            self._wait.labels(running.mode, outcome).observe(now - running.began)
            self._ended.labels(
                running.mode, running.target, outcome, session.reason or "none"
            ).inc()
            self._ended_by_group.labels(session.group, running.mode, outcome).inc()

    def caller_after(self, session: Session, outcome: CallerOutcome | None) -> None:
        """What has become of the caller of a transfer. Repetitions have no effect."""
        cause = endings.cause_of_loss(outcome, session.reason)
        if cause is not None and session.id not in self._callers_lost:
            self._callers_lost.add(session.id)
            self._lost.labels(session.group, cause.value).inc()

    def forget(self, transfers: Iterable[str]) -> None:
        """These are no longer known to the engine, which reports nothing more of them."""
        self._callers_lost.difference_update(transfers)

    def _phase_over(self, running: _Running, seconds: float) -> None:
        match running.phase:
            case Phase.START if running.mode == Mode.UNSUPERVISED:
                self._start.labels(running.mode).observe(seconds)
            case Phase.RING:
                self._ring.labels(running.target).observe(seconds)
            case Phase.CONSULT:
                self._consult.observe(seconds)
            case Phase.COMPLETION:
                self._completion.observe(seconds)


class _CurrentState(Collector):
    """Gauges that are read at each scrape."""

    def __init__(
        self,
        engine: TransferEngine,
        ami_events: Mapping[str, int],
    ) -> None:
        self._engine = engine
        self._ami_events = ami_events

    def collect(self) -> Iterator[Metric]:
        events = CounterMetricFamily(
            _PREFIX + "ami_events",
            "AMI events, by whether the daemon handles them.",
            labels=("handled",),
        )
        for handled, count in self._ami_events.items():
            events.add_metric((handled,), count)
        yield events
        agents = {k: a for k, a in self._engine.agents.by_id.items() if a.remote is None}
        states = Tally(agent.state for agent in agents.values())
        by_state = GaugeMetricFamily(_PREFIX + "agents", "Agents, by state.", labels=("state",))
        for state in AgentState:
            by_state.add_metric((state.value,), states[state])
        yield by_state
        yield GaugeMetricFamily(
            _PREFIX + "waiting_slots_taken",
            "Agents with a transferred call that waits or is on its way.",
            value=sum(self._engine.slot_taken(agent) for agent in agents),
        )
        yield GaugeMetricFamily(
            _PREFIX + "transfers_running",
            "Transfers that have not ended.",
            value=self._engine.store.running(),
        )


class _Standing(Collector):
    """How things stand with Asterisk at the moment of asking."""

    def __init__(self, readiness: Callable[[], Readiness], stuck: Callable[[], bool]) -> None:
        self._readiness = readiness
        self._stuck = stuck

    def collect(self) -> Iterator[Metric]:
        readiness = self._readiness()
        connected = GaugeMetricFamily(
            _PREFIX + "connected",
            "Whether the daemon is connected to Asterisk.",
            labels=("interface",),
        )
        connected.add_metric(("ami",), readiness.ami)
        connected.add_metric(("ari",), readiness.ari)
        yield connected
        yield GaugeMetricFamily(
            _PREFIX + "stasis_stuck",
            "Whether Asterisk ignores our Stasis app although the connection is up.",
            value=self._stuck(),
        )
        yield GaugeMetricFamily(
            _PREFIX + "ready", "Whether the daemon accepts new transfers.", value=readiness.ready
        )
