"""The daemon, profiled between two signals.

    python -m tests.benchmarks.profiled FILE

SIGUSR1 starts the profile; SIGUSR2 ends it and writes it to FILE (for `pstats`).
"""

from __future__ import annotations

import cProfile
import signal
import sys
from pathlib import Path

from asterisk_avp.config.settings import Settings
from asterisk_avp.service import process


def main(file: Path) -> None:
    profile = cProfile.Profile()

    def end(*_: object) -> None:
        profile.disable()
        profile.dump_stats(file)

    signal.signal(signal.SIGUSR1, lambda *_: profile.enable())
    signal.signal(signal.SIGUSR2, end)
    process.main(Settings.load())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
