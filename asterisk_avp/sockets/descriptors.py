"""File descriptors: how many this process may have, and who gets them.

Every connection takes one. When none is left, AMI and ARI cannot be connected again and FastAGI
answers nobody, whoever took them. So the API, which strangers may reach, gets what the others
leave, and the limit is read when it matters: an administrator can change it while we run (prlimit).
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)

ENOUGH: Final = 4096
"""For 1,000 agents with a panel each, and as many again who come back at the same moment."""
_OURS: Final = 160
"""AMI, ARI's WebSocket and its requests, webhooks, files, look-ups of names, the event loop."""
_AGI: Final = 128
_UNKNOWN: Final = 1024
"""What is reckoned with where the limit cannot be read."""


def limit() -> int:
    """How many descriptors this process may have now (the soft limit)."""
    try:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    except (OSError, ValueError):
        return _UNKNOWN
    return soft if soft >= 0 else ENOUGH


def for_agi(most: int | None = None) -> int:
    """Connections of FastAGI. ``most``: of how many descriptors; None: of those there may be."""
    return max(1, min(_AGI, (limit() if most is None else most) // 4))


def for_api(most: int | None = None) -> int:
    """Connections of the API: what AMI, ARI and FastAGI leave."""
    there = limit() if most is None else most
    return max(1, there - for_agi(there) - min(_OURS, there // 4))


def too_few() -> str:
    """A sentence for an administrator where the limit is low; else empty."""
    now = limit()
    if now >= ENOUGH:
        return ""
    return (
        f"Only {now} file descriptors (ulimit -n): the API takes {for_api(now)} connections at "
        f"most; LimitNOFILE= in the unit, or ulimits in the Compose file, should be {ENOUGH} or "
        "more."
    )


def raise_limit(
    raised: Callable[[int, tuple[int, int]], None] = resource.setrlimit,
) -> None:
    """Take as many descriptors as we are allowed to; say in the log how many that is."""
    before = limit()
    # Refused by a seccomp filter: then the limit is what the unit or the container says.
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        raised(resource.RLIMIT_NOFILE, (hard, hard))
    log.info("descriptors", limit=limit(), before=before, api=for_api(), agi=for_agi())
    if hint := too_few():
        log.warning("descriptors_few", hint=hint)
