"""Do a hundred clients whose requests are refused delay the transfers of others?

    python -m tests.benchmarks.refusals [--samples 20] [--output tests/benchmarks/REFUSALS.md]

Supervised transfers on real phones, alternately without load and while `tests.benchmarks.hammer`
sends requests that are refused, as fast as they are answered: wrong tokens, malformed JSON, unknown
agents, forbidden transfers, wrong PINs, WebSockets without a valid token. The clients run on the
same machine and take their share of it, to our disadvantage.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
from bed import Bed, Unavailable, World, backend_named

from tests.benchmarks.figures import ROOT, conditions, percentile
from tests.benchmarks.latency import (
    AGENT,
    CALLER,
    FIGURES,
    OURS,
    Bench,
    ClockSet,
    Sample,
)

COMMAND = "python -m tests.benchmarks.refusals"
QUIET, HAMMERED = "quiet", "hammered"
KINDS = (QUIET, HAMMERED)
SHOWN = ("taken", "music", "rings", "consult", "connected", "bridged", "heard")


@dataclass
class Outcome:
    samples: dict[str, list[Sample]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    refused: Counter[str] = field(default_factory=Counter)
    hammered_seconds: float = 0.0

    def values(self, kind: str, key: str) -> list[float]:
        return sorted(sample[key] for sample in self.samples[kind] if key in sample)

    def markdown(self) -> str:
        lines = [
            "| from | to | quiet | hammered | median, times | p99, times |",
            "| --- | --- | ---: | ---: | ---: | ---: |",
        ]
        for figure in FIGURES:
            if figure.key not in SHOWN:
                continue
            quiet, hammered = (self.values(kind, figure.key) for kind in KINDS)
            cells = [
                f"{statistics.median(found):.0f} ({found[0]:.0f}-{found[-1]:.0f})"
                for found in (quiet, hammered)
            ]
            ratios = [
                f"{percentile(hammered, p) / max(percentile(quiet, p), 1):.1f}" for p in (50, 99)
            ]
            lines.append(f"| {' | '.join((figure.start, figure.end, *cells, *ratios))} |")
        return "\n".join(lines)

    def rates(self) -> str:
        seconds = max(self.hammered_seconds, 0.001)
        each = ", ".join(f"{kind} {n / seconds:.0f}" for kind, n in self.refused.most_common())
        return f"{sum(self.refused.values()) / seconds:.0f} refusals a second ({each})"


@asynccontextmanager
async def hammering(bed: Bed, outcome: Outcome) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.benchmarks.hammer", bed.url, AGENT),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(f"{bed.secrets.token}\n".encode())
    await process.stdin.drain()
    began = time.monotonic()
    await asyncio.sleep(2)  # its clients have started; the daemon's budgets are used up
    try:
        yield
    finally:
        out, _ = await process.communicate(b"")  # end of input: it stops
        outcome.hammered_seconds += time.monotonic() - began
        outcome.refused.update(json.loads(out))


async def run(samples: int, backend: str | None) -> str:
    world = World(wrapuptime=1).with_group("sales", strategy="linear")
    world = replace(world, callers=(CALLER,), outside=())
    outcome = Outcome()
    load = os.getloadavg()[0]
    async with Bed(world, backend=backend_named(backend)) as bed:
        await bed.start_daemon()
        headers = {"Authorization": f"Bearer {bed.secrets.token}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            bench = Bench(bed, http)
            await bench.sample(OURS)  # warm-up, not counted
            for index in range(samples):
                for kind in KINDS if index % 2 else reversed(KINDS):
                    outcome.samples[kind] += await _sample(bench, kind, outcome)
                print(f"refusals: {index + 1} of {samples}", file=sys.stderr, flush=True)
        asterisk = (await bed.ami.command("core show version")).split(" built")[0]
    return "\n".join(
        (
            f"Milliseconds: median of {samples} (least-most).",
            "",
            outcome.markdown(),
            "",
            f"- While hammered: {outcome.rates()}",
            *conditions(asterisk, bed.backend.name, load),
        )
    )


async def _sample(bench: Bench, kind: str, outcome: Outcome) -> list[Sample]:
    while True:
        try:
            if kind == QUIET:
                return await bench.sample(OURS)
            async with hammering(bench.bed, outcome):
                return await bench.sample(OURS)
        except ClockSet:
            print("refusals: the clock was set; repeating this sample", file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=20, help="of each kind (default 20)")
    parser.add_argument("--backend", choices=("docker", "rootfs"), help="as for docker/up")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args(argv)
    try:
        table = asyncio.run(run(options.samples, options.backend))
    except Unavailable as error:
        print(f"refusals: error: {error}", file=sys.stderr)
        return 1
    print(table)
    if options.output:
        again = f"{COMMAND} --samples {options.samples} --output {options.output}"
        title = "# Transfers while a hundred clients are refused\n\nMade by\n\n"
        options.output.write_text(f"{title}    {again}\n\n{table}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
