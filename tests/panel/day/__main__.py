"""The command: `tests/run day`."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "asterisk"))

from bed import Bed, backend_named

from tests.asterisk.evidence import Evidence
from tests.panel.browser import chromium
from tests.panel.day.calls import a_day
from tests.panel.day.desk import world

MEASUREMENTS = 20


async def _main(chosen: argparse.Namespace) -> int:
    seed = chosen.seed if chosen.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    async with chromium() as browser, Bed(world(), backend=backend_named(None)) as bed:
        await bed.start_daemon()
        evidence = Evidence(bed)
        try:
            async with a_day(browser, bed, chosen.calls, seed) as day:
                await day.work(max(1, chosen.calls // MEASUREMENTS))
        except BaseException:
            print(await evidence.report(), file=sys.stderr)
            raise
    desk, verdict = day.desk, day.verdict()
    print(
        f"{chosen.calls} calls, {sum(desk.did.values())} steps; page and API compared"
        f" {desk.judge.compared} times; console errors: {len(desk.page.console_errors)}"
    )
    for name, count in desk.did.most_common():
        print(f"{count:6}  {name}")
    print(verdict or "too few calls to judge the memory")
    return int(verdict is not None and not verdict.flat)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests/run day")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seed", type=int)
    return asyncio.run(_main(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
