"""Where a real nats-server is: this machine's, or the one of Debian's package."""

from __future__ import annotations

import os
import shutil

from tests.debian import unpacked


def program() -> str:
    """Raises `tests.debian.NotProvided` where there is none: a run without it proves nothing."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/bin"
    found = shutil.which("nats-server", path=path)
    return found or str(unpacked("nats-server", "nats-server") / "usr/sbin/nats-server")
