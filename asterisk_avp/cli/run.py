"""`asterisk-avp run` without the rest of the command line, which a daemon has no use for."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Final

from asterisk_avp.core.model.errors import ConfigError, OtherDaemon

PROGRAM: Final = "asterisk-avp"
ANOTHER_SERVES: Final = 75
"""Exit status of a daemon that leaves because another serves (sysexits.h: EX_TEMPFAIL)."""


def run() -> int:
    """Run the daemon until it is told to stop; the exit status."""
    # Nothing of what is loaded is garbage: it is not looked through while it is being loaded, which
    # takes a tenth of the time, nor ever again.
    gc.disable()
    # Imported only here: the other commands need neither the daemon nor the settings.
    from asterisk_avp.config.settings import Settings  # noqa: PLC0415
    from asterisk_avp.service import process  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    try:
        asyncio.run(process.run(Settings.load(whole=True)))
    except OtherDaemon as other:
        say(str(other))
        return ANOTHER_SERVES
    except (ConfigError, OSError) as error:
        say(str(error))
        return 1
    return 0


def say(message: str) -> None:
    print(f"{PROGRAM}: {message}", file=sys.stderr)  # noqa: T201
