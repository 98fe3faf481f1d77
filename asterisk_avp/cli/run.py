"""`asterisk-avp run`, without the rest of the command line, which the daemon does not need."""

from __future__ import annotations

import gc
import sys
from typing import Final

from asterisk_avp.core.model.errors import ConfigError, OtherDaemon

PROGRAM: Final = "asterisk-avp"
ANOTHER_SERVES: Final = 75
"""The exit status if another daemon serves this Asterisk (sysexits.h: EX_TEMPFAIL)."""


def run(*, standby: bool = False) -> int:
    """Run the daemon until it receives a signal to stop. Returns the exit status.

    ``standby``: it waits until no other daemon serves.
    """
    # Loaded modules are never garbage. Excluding them from collection saves a tenth of the loading
    # time, and time in every later collection.
    gc.disable()
    # Imported here because the other commands need neither the daemon nor the settings.
    from asterisk_avp.config.settings import Settings  # noqa: PLC0415
    from asterisk_avp.service import process  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    try:
        process.main(Settings.load(whole=True), standby=standby)
    except OtherDaemon as other:
        say(str(other))
        return ANOTHER_SERVES
    except (ConfigError, OSError) as error:
        say(str(error))
        return 1
    return 0


def say(message: str) -> None:
    print(f"{PROGRAM}: {message}", file=sys.stderr)  # noqa: T201
