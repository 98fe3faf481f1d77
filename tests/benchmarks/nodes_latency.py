"""The latency of a supervised transfer to another node, compared with one within the node.

    tests/run bench nodes-latency [--samples 12] [--output tests/benchmarks/NODES_LATENCY.md]

Two nodes with real phones. The caller and the transferor are on node a; the targets take turns: one
on node a, one on node b. In each sample the call is transferred twice: the first consultation is
cancelled, the second completed. All times come from one clock.

``--trace`` prints what both Asterisk reported during one transfer.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "asterisk"))

import aiohttp
from bed import Unavailable, party
from bed.nodes import Nodes

from tests.asterisk.nodes_scene import NodesScene, open_nodes
from tests.benchmarks import moments
from tests.benchmarks.figures import conditions, percentile, ratio, spread, table

COMMAND: Final = "tests/run bench nodes-latency"
CALLER, AGENT = "caller1", "1001"
TARGETS: Final = {"local": "1002", "other": "1005"}
AIM: Final = 1.3
FIGURES: Final = {
    "accepted": ("request", "it is answered (201)"),
    "rings": ("request", "the target's phone rings"),
    "consult": ("pick-up", "transferor hears the target only"),
    "agent_back": ("cancel", "transferor hears the caller only"),
    "caller_back": ("cancel", "caller hears the transferor only"),
    "target_hears": ("complete", "target hears the caller only"),
    "caller_hears": ("complete", "caller hears the target only"),
}

Sample = dict[str, float]
"""Milliseconds by figure."""


@dataclass
class Table:
    samples: dict[str, list[Sample]] = field(default_factory=lambda: {kind: [] for kind in TARGETS})

    def values(self, kind: str, key: str) -> list[float]:
        return [sample[key] for sample in self.samples[kind] if key in sample]

    def markdown(self) -> str:
        here, there = TARGETS
        rows = []
        for key, (start, end) in FIGURES.items():
            one, other = self.values(here, key), self.values(there, key)
            p99 = [f"{percentile(x, 99):.0f}" if x else "-" for x in (one, other)]
            cells = (spread(one), p99[0], spread(other), p99[1], ratio(other, one))
            rows.append((start, end, *cells))
        return table(("from", "to", here, "p99", there, "p99", "ratio"), rows, words=2)

    def aim(self) -> str:
        here, there = TARGETS
        slow = [
            f"{start} to {end}: {found}"
            for key, (start, end) in FIGURES.items()
            if (found := ratio(self.values(there, key), self.values(here, key))) != "-"
            and float(found) > AIM
        ]
        most = f"- Aim: at the median at most {AIM} times a transfer within the node: "
        return most + ("; ".join(slow) or "reached in every row")


class Bench:
    def __init__(self, scene: NodesScene, http: aiohttp.ClientSession) -> None:
        self.scene = scene
        self._http, self._url = http, scene.nodes.a.url

    async def sample(self, kind: str) -> list[Sample]:
        """One call with two transfers to this target, from idle to idle."""
        scene, target = self.scene, TARGETS[kind]
        for agent in (AGENT, target):
            for node in "ab":
                await scene.sees(node, agent, state="available", within=15.0)
        await scene.call(CALLER, AGENT)
        await scene.at("a").has_call(AGENT, transfer=None)
        cancelled, transfer = await self._consult(target)
        asked = time.time()
        await self._post(f"/v1/transfers/{transfer}/cancel", None)
        await scene.talking(CALLER, AGENT)
        cancelled |= self._heard(asked, agent_back=(AGENT, CALLER), caller_back=(CALLER, AGENT))
        await scene.gone(target)
        for node in "ab":
            await scene.sees(node, target, state="available", within=15.0)
        await scene.at("a").has_call(AGENT, transfer=None)
        completed, transfer = await self._consult(target)
        asked = time.time()
        await self._post(f"/v1/transfers/{transfer}/complete", None)
        await scene.talking(CALLER, target)
        completed |= self._heard(
            asked, target_hears=(target, CALLER), caller_hears=(CALLER, target)
        )
        await scene.hang_up(CALLER)
        await scene.gone(AGENT, target)
        await scene.nodes.nothing_left()
        return [cancelled, completed]

    async def _consult(self, target: str) -> tuple[Sample, str]:
        body = {"mode": "supervised", "target": {"kind": "agent", "id": target}}
        phone = self.scene.phone(target)
        asked = time.time()
        transfer = await self._post(f"/v1/agents/{AGENT}/transfers", body)
        accepted = time.time()
        await phone.ringing(within=10)
        picked_up = time.time()
        await phone.answer()
        await self.scene.talking(AGENT, target)
        await self.scene.phone(CALLER).hears({"music"})
        await self.scene.at("a").reaches(transfer, "consulting")
        rings = self._rang(target, asked)
        found = {"accepted": 1000 * (accepted - asked), "rings": 1000 * (rings - asked)}
        return found | self._heard(picked_up, consult=(AGENT, target)), transfer

    def _rang(self, target: str, since: float) -> float:
        """When the phone said that it rings, by the clock of its Asterisk."""
        return min(
            float(event["Timestamp"])
            for event in self.scene.of(target).ami.events
            if event["Event"] == "Newstate"
            and event["ChannelStateDesc"] == "Ringing"
            and party(event["Channel"]) == target
            and float(event["Timestamp"]) >= since
        )

    def _heard(self, since: float, **who: tuple[str, str]) -> Sample:
        """For each figure: who hears whom, and nobody else."""
        found = {}
        for key, (name, other) in who.items():
            at = moments.heard_from(self.scene.phone(name), {other}, since, time.time())
            if at is not None:
                found[key] = 1000 * (at - since)
        return found

    async def _post(self, path: str, body: object) -> str:
        async with self._http.post(self._url + path, json=body) as answer:
            text = await answer.text()
            assert answer.status in (200, 201), (path, answer.status, text)
            return str((await answer.json())["id"])


def events(scene: NodesScene, since: float, until: float) -> list[str]:
    """What both Asterisk reported, with milliseconds since ``since``."""
    lines = []
    for node in scene.nodes:
        for event in node.ami.events:
            at = float(event.get("Timestamp") or 0.0)
            if since <= at <= until:
                name = event.get("UserEvent") or event["Event"]
                more = [event[x] for x in ("Channel", "Variable", "DialStatus") if x in event]
                lines.append((at, f"{1000 * (at - since):7.1f} {node.letter} {name} {more}"))
    return [line for _, line in sorted(lines)]


async def trace(kind: str) -> str:
    target = TARGETS[kind]
    async with Nodes("ab", relays=False, wrapuptime=1) as nodes, open_nodes(nodes) as scene:
        headers = {"Authorization": f"Bearer {nodes.a.secrets.token}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            bench = Bench(scene, http)
            await bench.sample(kind)
            for agent in (AGENT, target):
                await scene.sees("a", agent, state="available", within=15.0)
            await scene.call(CALLER, AGENT)
            await scene.at("a").has_call(AGENT, transfer=None)
            since = time.time()
            found, transfer = await bench._consult(target)
            rung = events(scene, since, since + found["rings"] / 1000 + 0.02)
            asked = time.time()
            await bench._post(f"/v1/transfers/{transfer}/complete", None)
            await scene.talking(CALLER, target)
            hearing = {"target_hears": (target, CALLER), "caller_hears": (CALLER, target)}
            found |= bench._heard(asked, **hearing)
            done = events(scene, asked, asked + 0.15)
            await scene.hang_up(CALLER)
            await scene.gone(AGENT, target)
    return "\n".join((str(found), "--- ring", *rung, "--- complete", *done))


async def run(samples: int) -> str:
    found, load = Table(), os.getloadavg()[0]
    async with Nodes("ab", relays=False, wrapuptime=1) as nodes, open_nodes(nodes) as scene:
        headers = {"Authorization": f"Bearer {nodes.a.secrets.token}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            bench = Bench(scene, http)
            for kind in TARGETS:  # warm-up, not counted
                await bench.sample(kind)
            for index in range(samples):
                for kind in list(TARGETS)[:: 1 if index % 2 else -1]:
                    found.samples[kind] += await bench.sample(kind)
        asterisk = (await nodes.a.ami.command("core show version")).split(" built")[0]
    half = "half of which were cancelled and half completed"
    what = (
        f"Milliseconds: median (least-most) and 99th percentile of {2 * samples} requests, {half}."
    )
    about = conditions(f"Two nodes, {asterisk}", nodes.backend.name, load)
    return "\n".join((what, "", found.markdown(), "", found.aim(), *about))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=12, help="rounds (default 12)")
    parser.add_argument("--trace", choices=tuple(TARGETS), help="one transfer, step by step")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args(argv)
    try:
        text = asyncio.run(trace(options.trace) if options.trace else run(options.samples))
    except Unavailable as error:
        print(f"nodes-latency: error: {error}", file=sys.stderr)
        return 1
    print(text)
    if options.output:
        again = f"{COMMAND} --samples {options.samples} --output {options.output}"
        title = "# Latency of a supervised transfer to another node\n\nMade by\n\n"
        options.output.write_text(f"{title}    {again}\n\n{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
