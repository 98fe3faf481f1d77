"""The daemon as a process: its log and its signals."""

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
from asterisk_avp.service.daemon import Daemon
from asterisk_avp.sockets import descriptors

log = structlog.get_logger(__name__)


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP reads the settings again.

    A second SIGTERM or SIGINT does not wait for the transfers that are under way: the next daemon
    goes on with them.
    """
    logging_setup.configure(settings.log.level, settings.log.format, numbers=settings.log.numbers)
    descriptors.raise_limit()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def leave() -> None:
        if stop.is_set():
            log.warning("forced_exit")
            sys.stdout.flush()
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, leave)
    daemon = Daemon(settings, Notifier())
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(daemon.reload(), name="reload")
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    with contextlib.suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGHUP, reload)
    await daemon.run(stop)
