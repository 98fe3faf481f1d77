"""End a frozen daemon on this machine, so that its addresses are free and it cannot wake up.

Only a process of our own user that listens on our API's address and runs `asterisk-avp run` is
ended, by a descriptor of the process, so that no other one that has its number meanwhile is met.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

_LISTEN: Final = "0A"
"""State of a listening socket in /proc/net/tcp (net/tcp_states.h)."""
_DEATH_SECONDS: Final = 1.0
_PROC: Final = Path("/proc")


def end_frozen(port: int) -> int | None:
    """Kill our process that listens on ``port``; its number, None: there is none that we may.

    Blocks until it is gone, up to a second.
    """
    for number in _listeners(port):
        if number == os.getpid():
            continue
        try:
            process = os.pidfd_open(number)
        except OSError:
            continue
        try:
            if not _is_daemon(number):  # looked at while the descriptor holds the number
                continue
            signal.pidfd_send_signal(process, signal.SIGKILL)
            select.select([process], [], [], _DEATH_SECONDS)
        except OSError as error:
            log.warning("frozen_daemon_not_ended", process=number, error=error.strerror)
            continue
        finally:
            os.close(process)
        return number
    return None


def _is_daemon(number: int) -> bool:
    try:
        words = (_PROC / str(number) / "cmdline").read_bytes().split(b"\0")
        ours = (_PROC / str(number)).stat().st_uid == os.getuid()
    except OSError:
        return False
    named = any(Path(os.fsdecode(word)).name in {"asterisk-avp", "asterisk_avp"} for word in words)
    return ours and named and b"run" in words


def _listeners(port: int) -> list[int]:
    """The processes of our user that listen on a TCP port."""
    inodes = {f"socket:[{inode}]" for inode in _inodes(port)}
    found = []
    for place in _PROC.iterdir() if inodes else ():
        if not place.name.isdecimal():
            continue
        with suppress(OSError):  # another user's, or it has ended
            if any(str(each.readlink()) in inodes for each in (place / "fd").iterdir()):
                found.append(int(place.name))
    return found


def _inodes(port: int) -> list[str]:
    found = []
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (_PROC / "net" / name).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == _LISTEN and int(words[1].rpartition(":")[2], 16) == port:
                    found.append(words[9])
    return found
