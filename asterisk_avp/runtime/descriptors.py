"""File descriptors: how many this process may have, and how they are divided.

Every connection takes one. If none is left, the daemon cannot reconnect to AMI and ARI, and FastAGI
does not answer. Therefore the API, which strangers may reach, gets only what the others leave. The
limit is read each time, because an administrator can change it at run time (prlimit).
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)

ENOUGH: Final = 4096
"""Enough for 1,000 agents with a panel each, and as many who reconnect at the same moment."""
_RESERVED: Final = 160
"""For AMI, ARI's WebSocket and requests, webhooks, files, name look-ups, the event loop."""
_AGI: Final = 128
_UNKNOWN: Final = 1024
"""The limit that is assumed if it cannot be read."""


def limit() -> int:
    """The current limit of descriptors of this process (the soft limit)."""
    try:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    except (OSError, ValueError):
        return _UNKNOWN
    return soft if soft >= 0 else ENOUGH


def for_agi(most: int | None = None) -> int:
    """The limit of FastAGI connections. ``most``: total descriptors; None: the process limit."""
    return max(1, min(_AGI, (limit() if most is None else most) // 4))


def for_api(most: int | None = None) -> int:
    """The limit of API connections: what AMI, ARI and FastAGI leave."""
    total = limit() if most is None else most
    return max(1, total - for_agi(total) - min(_RESERVED, total // 4))


def too_few() -> str:
    """A sentence for the administrator if the limit is low; else an empty string."""
    now = limit()
    if now >= ENOUGH:
        return ""
    return (
        f"Only {now} file descriptors (ulimit -n), so the API accepts at most {for_api(now)} "
        f"connections. Set LimitNOFILE= in the unit, or ulimits in the Compose file, to {ENOUGH} "
        "or more."
    )


def raise_limit(
    raised: Callable[[int, tuple[int, int]], None] = resource.setrlimit,
) -> None:
    """Raise the limit as far as allowed, and log it."""
    before = limit()
    # A seccomp filter may refuse it. Then the limit of the unit or the container applies.
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        raised(resource.RLIMIT_NOFILE, (hard, hard))
    log.info("file_descriptors", limit=limit(), before=before, api=for_api(), agi=for_agi())
    if hint := too_few():
        log.warning("file_descriptors_low", hint=hint)
