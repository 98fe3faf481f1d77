"""Notifications to systemd, as datagrams that sd_notify(3) describes.

A daemon that systemd did not start has no `NOTIFY_SOCKET` and sends none.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import structlog

from asterisk_avp.core.model.world import Readiness

log = structlog.get_logger(__name__)

LATEST_SECONDS: Final = 5.0
"""How long READY=1 may wait for Asterisk, in seconds. The start succeeds even without Asterisk:
the daemon connects by itself later, while systemd could only restart it."""


class Notifier:
    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        # An @ stands for the zero byte at the beginning of abstract socket names. Other prefixes
        # (vsock:) are for virtual machines.
        self._address = name.replace("@", "\0", 1) if name.startswith(("/", "@")) else ""
        self._watchdog_seconds = _watchdog_interval(environ)
        self._ready = False
        self._failed = False

    async def run(self) -> None:
        """Feed the watchdog until cancelled. An event loop that hangs stops feeding it."""
        if not self._address:
            return
        timer = asyncio.get_running_loop().call_later(LATEST_SECONDS, self._started)
        try:
            while self._watchdog_seconds:
                self._send("WATCHDOG=1")
                await asyncio.sleep(self._watchdog_seconds)
            await asyncio.get_running_loop().create_future()
        finally:
            timer.cancel()

    def readiness(self, readiness: Readiness) -> None:
        """Report the status. The start is complete once the daemon accepts transfers."""
        self._send(f"STATUS={readiness.detail or 'Ready for transfers.'}")
        if readiness.ready:
            self._started()

    def standby(self) -> None:
        """Report that this daemon waits, which completes its start."""
        self._send("STATUS=Standby: waits until no daemon serves this Asterisk.")
        self._started()

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Report a reload while it runs."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now}")
        try:
            yield
        finally:
            if self._ready:
                self._send("READY=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def _started(self) -> None:
        if not self._ready:
            self._ready = True
            self._send("READY=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.connect(self._address)
                sender.send(message.encode())
        except OSError as error:
            if not self._failed:  # log it once, not at every watchdog message
                log.warning("systemd_notify_failed", error=str(error))
            self._failed = True
        else:
            self._failed = False


def _watchdog_interval(environ: Mapping[str, str]) -> float:
    """Seconds between two watchdog messages, half of the limit; 0: no watchdog."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    process = environ.get("WATCHDOG_PID", "") or str(os.getpid())
    if not microseconds.isdecimal() or process != str(os.getpid()):
        return 0.0
    return int(microseconds) / 2 / 1e6
