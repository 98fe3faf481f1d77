"""What the page keeps in memory, and whether it grows with each call.

A heap snapshot tells data from compiled code. The browser compiles what runs often, anew for every
kind of value that it meets, for hundreds of calls: that is no leak. What the page keeps of a call
that is over is one: its data must be flat. The snapshot also has what only the test's driver and
the developer tools hold, such as the answers of all requests. That is left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from playwright.async_api import CDPSession

CODE: Final = frozenset({"code", "object shape", "hidden"})
"""Types of nodes that V8 makes of the source: functions' code and feedback, maps of objects."""
DRIVER: Final = (
    "blink::NetworkResourcesData",  # answers, kept for the developer tools
    "blink::InspectorNetworkAgent",
    "UtilityScript",  # Playwright's own objects in the page
    "InjectedScript",
    "Performance",  # the browser's own record of requests and of what was drawn when, which is
    "PerformanceEventTiming",  # limited in number
    "LargestContentfulPaint",
    "InteractionContentfulPaint",
)
"""Nodes that are not followed: the page is reached by other ways."""
HANDLES: Final = "DevTools console"
"""In the name of an edge to what the console, or an evaluation of the driver's, holds."""
OF_THE_BROWSER: Final = ("blink::", "system /")
"""Beginnings of the names of styles, boxes and caches, which follow from the DOM (whose nodes have
the names that scripts know), and of V8's notes about code."""

VIEWS: Final = frozenset({"Attr", "NamedNodeMap", "NodeList", "DOMStringMap"})
"""What a script got when it asked an element for its attributes or children. These live as long as
the element, and how many there are depends on which of the elements were asked last."""

DATA_BYTES: Final = 250
"""Growth of the data for each call that is not taken for a leak. A transfer that stays, with its
parties, is more than 1,500 bytes; its identifier in a set is more than 100, but so is the noise
of the history's names and numbers, which differ from call to call."""
NODES: Final = 1.0
"""The same for nodes of the DOM, of which the smallest part of the page has several."""
ROUNDS_WITHOUT_GAIN: Final = 3
"""So many collections of garbage in a row must free nothing before the memory is read."""


@dataclass(frozen=True)
class Kept:
    """Bytes of a snapshot."""

    data: int
    code: int
    kinds: Counter[str] = field(default_factory=Counter)
    """Data, `named`."""


def kept(snapshot: dict[str, Any]) -> Kept:
    """What the page keeps alive, without what only the driver does."""
    meta = snapshot["snapshot"]["meta"]
    names: list[str] = snapshot["strings"]
    nodes: list[int] = snapshot["nodes"]
    of_node = {name: index for index, name in enumerate(meta["node_fields"])}
    types: list[str] = meta["node_types"][0]
    width = len(of_node)
    data = code = 0
    kinds: Counter[str] = Counter()
    for node in reached(snapshot):
        kind = types[nodes[node * width + of_node["type"]]]
        name = names[nodes[node * width + of_node["name"]]]
        size = nodes[node * width + of_node["self_size"]]
        if kind in CODE:
            code += size
        elif kind != "synthetic" and name not in VIEWS and not name.startswith(OF_THE_BROWSER):
            data += size
            kinds[named(kind, name)] += size
    return Kept(data, code, kinds)


def named(kind: str, name: str) -> str:
    """A kind of data: the constructor of an object, an element's tag, the type of other values."""
    if kind == "native":
        return f"{kind} {name.partition(' ')[0].rstrip('>')}"
    return f"{kind} {name[:40]}" if kind in ("object", "closure") else kind


def reached(snapshot: dict[str, Any]) -> Iterable[int]:
    """The numbers of the nodes that the root holds, by edges that keep alive, past the driver."""
    meta = snapshot["snapshot"]["meta"]
    names: list[str] = snapshot["strings"]
    nodes: list[int] = snapshot["nodes"]
    edges: list[int] = snapshot["edges"]
    width, edge_width = len(meta["node_fields"]), len(meta["edge_fields"])
    name_at, count_at = (meta["node_fields"].index(one) for one in ("name", "edge_count"))
    weak = meta["edge_types"][0].index("weak")
    numbered = {meta["edge_types"][0].index(one) for one in ("element", "hidden")}
    first = [0]
    for at in range(count_at, len(nodes), width):
        first.append(first[-1] + nodes[at] * edge_width)
    driver = {index for index, name in enumerate(names) if name in DRIVER}
    handles = {index for index, name in enumerate(names) if HANDLES in name}
    seen = {0}
    rest = [0]
    while rest:
        node = rest.pop()
        for edge in range(first[node], first[node + 1], edge_width):
            kind, name, to = edges[edge : edge + 3]
            after = to // width
            if after in seen or kind == weak or (kind not in numbered and name in handles):
                continue
            if nodes[to + name_at] in driver:
                continue
            seen.add(after)
            rest.append(after)
    return seen


@dataclass(frozen=True)
class Growth:
    """The page's memory at rest."""

    calls: int
    heap: int
    nodes: int
    listeners: int
    kept: Kept

    def row(self) -> str:
        return (
            f"| {self.calls:5} | {self.heap:10,} | {self.kept.data:10,} | {self.kept.code:10,}"
            f" | {self.nodes:6} | {self.listeners:9} |"
        )


HEAD: Final = (
    "| calls | heap bytes | data bytes | code bytes | nodes  | listeners |\n"
    "|------:|-----------:|-----------:|-----------:|-------:|----------:|"
)


async def at_rest(cdp: CDPSession, calls: int) -> Growth:
    """Collect garbage until neither heap nor nodes fall any more: what finalizers release, and what
    a request that is still under way holds, need several rounds."""
    heap, nodes, listeners = await _counted(cdp)
    idle = 0
    while idle < ROUNDS_WITHOUT_GAIN:
        await cdp.send("HeapProfiler.collectGarbage")
        now, count, listeners = await _counted(cdp)
        idle = 0 if now < heap or count < nodes else idle + 1
        heap, nodes = min(now, heap), min(count, nodes)
    return Growth(calls, heap, nodes, listeners, kept(await snapshot_of(cdp)))


async def _counted(cdp: CDPSession) -> tuple[int, int, int]:
    used = await cdp.send("Runtime.getHeapUsage")
    dom = await cdp.send("Memory.getDOMCounters")
    return int(used["usedSize"]), dom["nodes"], dom["jsEventListeners"]


async def snapshot_of(cdp: CDPSession) -> dict[str, Any]:
    """A heap snapshot, in the format of DevTools' files. V8 collects garbage before it."""
    chunks: list[str] = []

    def more(event: dict[str, Any]) -> None:
        chunks.append(event["chunk"])

    cdp.on("HeapProfiler.addHeapSnapshotChunk", more)
    try:
        await cdp.send("HeapProfiler.takeHeapSnapshot", {"reportProgress": False})
    finally:
        cdp.remove_listener("HeapProfiler.addHeapSnapshotChunk", more)
    taken: dict[str, Any] = json.loads("".join(chunks))
    return taken


@dataclass(frozen=True)
class Verdict:
    """Growth for each call, and of which kinds of data."""

    data: float
    code: float
    nodes: float
    kinds: list[tuple[str, float]]

    @property
    def flat(self) -> bool:
        return self.data <= DATA_BYTES and self.nodes <= NODES

    def __str__(self) -> str:
        kinds = "".join(f"\n{each:+9.1f}  {kind}" for kind, each in self.kinds)
        return (
            f"growth for each call after the warm-up: data {self.data:+.0f} bytes (at most"
            f" {DATA_BYTES}), nodes {self.nodes:+.2f} (at most {NODES}), code {self.code:+.0f}"
            f" bytes; {'flat' if self.flat else 'NOT FLAT'}\nbytes of data that grew most:{kinds}"
        )


def verdict(measured: Sequence[Growth], warm_up: float) -> Verdict:
    """Of the measurements from ``warm_up`` calls on: the slopes of the best lines."""
    warm = [one for one in measured if one.calls >= warm_up]
    calls = [one.calls for one in warm]
    kinds = set().union(*(one.kept.kinds for one in warm))
    grown = [(kind, slope(calls, [one.kept.kinds[kind] for one in warm])) for kind in kinds]
    grown.sort(key=lambda one: -one[1])
    return Verdict(
        data=slope(calls, [one.kept.data for one in warm]),
        code=slope(calls, [one.kept.code for one in warm]),
        nodes=slope(calls, [one.nodes for one in warm]),
        kinds=grown[:10],
    )


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Of the line with the least squares."""
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    square = sum((x - x_mean) ** 2 for x in xs)
    return sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True)) / square
