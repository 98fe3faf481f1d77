"""Random requests to a real Asterisk, and a check of their effects.

tests/run fuzz [--trunk] [--inputs 20000] [--seed 1] [--batch 50] [--from N] [--only N]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.asterisk.fuzz.campaign import campaign
from tests.asterisk.fuzz.lies import lie


def parse() -> argparse.Namespace:
    first = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="tests/run fuzz", description=first)
    parser.add_argument("--ami", action="store_true", help="forge events of AMI instead")
    parser.add_argument("--trunk", action="store_true", help="as another node, over its trunk")
    parser.add_argument("--inputs", type=int, default=20_000, help="how many (default: 20,000)")
    parser.add_argument("--seed", type=int, default=1, help="plays the same ones again")
    parser.add_argument("--batch", type=int, default=50, help="inputs between two looks")
    parser.add_argument("--first", type=int, default=0, help="the number of the first input")
    parser.add_argument(
        "--keep-going", action="store_true", help="go on after a fault, and count the kinds of them"
    )
    return parser.parse_args()


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    options = parse()
    if options.ami:
        lies = asyncio.run(lie(options.seed, options.inputs, say))
        say(f"{len(lies)} forged messages were believed")
        return 1 if lies else 0
    report = asyncio.run(
        campaign(
            options.seed,
            options.inputs,
            batch=options.batch,
            first=options.first,
            keep_going=options.keep_going,
            of_several=options.trunk,
            say=say,
        )
    )
    print(report)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
