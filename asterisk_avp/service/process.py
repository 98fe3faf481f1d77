"""The daemon's process: logging and signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

import structlog

from asterisk_avp.config.settings import Settings
from asterisk_avp.observe import log as logging_setup
from asterisk_avp.observe.systemd_notify import Notifier
from asterisk_avp.runtime import descriptors, loop
from asterisk_avp.runtime.tasks import TaskSet
from asterisk_avp.service.daemon import Daemon
from asterisk_avp.service.takeover import Takeover

log = structlog.get_logger(__name__)


def main(settings: Settings, *, standby: bool = False) -> None:
    """`run` in an event loop of its own."""
    loop.run(run(settings, standby=standby))


async def run(settings: Settings, *, standby: bool = False) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP reloads the settings.

    ``standby``: wait until no other daemon serves, and wait again if one displaces this one.

    A second SIGTERM or SIGINT makes the process exit immediately; the next daemon continues the
    running transfers.
    """
    logging_setup.configure(settings.log.level, settings.log.format, numbers=settings.log.numbers)
    descriptors.raise_limit()
    stop = asyncio.Event()
    running = asyncio.get_running_loop()

    def shut_down() -> None:
        if stop.is_set():
            log.warning("forced_exit")
            sys.stdout.flush()
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            running.add_signal_handler(number, shut_down)
    notifier = Notifier()
    daemon = Takeover(settings, notifier) if standby else Daemon(settings, notifier)
    reloads = TaskSet("reload")

    def reload() -> None:
        reloads.start(daemon.reload())

    with contextlib.suppress(NotImplementedError):
        running.add_signal_handler(signal.SIGHUP, reload)
    await daemon.run(stop)
