"""The measurements of `growth`, as tables."""

from __future__ import annotations

import pstats
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.benchmarks.growth_centre import Size


@dataclass
class Figures:
    """The samples of one size, by name."""

    size: Size
    samples: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.samples.setdefault(name, []).append(value)

    def median(self, name: str) -> float:
        return statistics.median(self.samples[name])

    def cell(self, name: str, digits: int) -> str:
        if name not in self.samples:
            return "-"
        values = sorted(self.samples[name])
        middle = f"{statistics.median(values):.{digits}f}"
        if len(values) == 1:
            return middle
        return f"{middle} ({values[0]:.{digits}f}-{values[-1]:.{digits}f})"


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    name: str
    digits: int = 0


ROWS = (
    Row("process start to ready, s", "start", 2),
    Row("- of these, AMI login to ready, s", "sync", 2),
    Row("- CPU until ready, s", "start_cpu", 2),
    Row("memory when ready, MiB", "rss", 1),
    Row("AMI events a second, to the last one's effect", "rate"),
    Row("CPU per AMI event, us", "event", 1),
    Row("- the same while the transfers below are held, us", "event_held", 1),
    Row("CPU per GET targets, ms", "targets", 2),
    Row("CPU per GET agents, ms", "agents", 2),
    Row("CPU per GET one agent, ms", "agent", 2),
    Row("panels open", "panels"),
    Row("CPU per panel that connects, ms", "panel", 2),
    Row("- its snapshot, KiB", "snapshot", 1),
    Row("memory per panel, KiB", "panel_rss"),
    Row("CPU per change of a state and panel, us", "told", 1),
    Row("change to the last panel told, ms", "told_ms"),
    Row("CPU per transfer, ms", "transfer", 2),
    Row("transfers held at the same time", "held"),
    Row("- CPU per transfer beside them, ms", "transfer_held", 2),
    Row("- CPU per transfer that is begun, ms", "begun", 2),
    Row("- CPU per transfer that is completed, ms", "completed", 2),
    Row("- memory per transfer, KiB", "session_rss", 1),
    Row("- CPU per GET metrics, ms", "metrics", 2),
)


def top(stats: pstats.Stats, transfers: int) -> str:
    found = stats.stats  # type: ignore[attr-defined]
    # Exclude waiting for events.
    busy = {name: figures for name, figures in found.items() if "'poll'" not in name[2]}
    total = sum(own for _, _, own, _, _ in busy.values())
    lines = ["| own time, % | calls per transfer | function |", "| ---: | ---: | --- |"]
    for (file, line, function), (_, calls, own, _, _) in sorted(
        busy.items(), key=lambda item: -item[1][2]
    )[:20]:
        where = re.sub(r"^.*/(site-packages|lib/python[0-9.]+|(?=asterisk_avp/))", "", file)
        name = f"{where.lstrip('/')}:{line} {function}" if line else function
        lines.append(f"| {own / total * 100:.1f} | {calls / transfers:.1f} | `{name}` |")
    return "\n".join(lines)


def markdown(found: Sequence[Figures]) -> str:
    sizes = [f.size for f in found]
    heads = [f"{s.agents} agents, {s.queues} queues" for s in sizes]
    lines = [
        f"| | {' | '.join(heads)} |",
        f"| --- |{' ---: |' * len(heads)}",
        *(
            f"| {row.title} | {' | '.join(f.cell(row.name, row.digits) for f in found)} |"
            for row in ROWS
        ),
    ]
    least, most = found[0], found[-1]
    agents = most.size.agents - least.size.agents
    if not agents:
        return "\n".join([*lines, ""])
    per_agent = (most.median("rss") - least.median("rss")) / agents * 1024

    def ratio(more: float, less: float) -> str:
        return f"{more / less:.2f} times"

    less = found[-2]
    sizes_compared = f"{most.size.agents} agents to {less.size.agents}"
    held = f"{most.size.sessions} transfers held to none"
    event, transfer = (ratio(most.median(n), less.median(n)) for n in ("event", "transfer"))
    can_run_concurrently = [
        ratio(most.median(f"{name}_held"), most.median(name)) for name in ("event", "transfer")
    ]
    lines += [
        "",
        f"- Memory per agent: {per_agent:.1f} KiB",
        f"- CPU per AMI event, {sizes_compared}: {event}; {held}: {can_run_concurrently[0]}",
        f"- CPU per transfer, {sizes_compared}: {transfer}; {held}: {can_run_concurrently[1]}",
    ]
    return "\n".join(lines)


NOTES = """\
How to read it:

- A call is some 40 events: of channels (Newchannel, Newstate, NewConnectedLine, Hangup, ...), of
  the bridge, and of the queue (QueueCallerJoin and Leave, AgentCalled, AgentConnect,
  AgentComplete); for each change of the agent's phone, a DeviceStateChange and a QueueMemberStatus
  for each of their three queues; and some unrelated events. VarSet and Newexten are not included,
  because the daemon does not subscribe to their class.
- With few agents, few events arrive at a time and share the cost of a batch (system calls,
  iterations of the event loop).
- The cost of the events includes the daemon's own requests (a call's variables for its screen pop,
  its group).
- A transfer is complete: the call arrives through the queue, is answered, transferred with a
  consultation, completed, and hung up.
- "Panels" are logged-in agents, each with a WebSocket.
- The profile is cProfile's, which overstates small functions.
"""
