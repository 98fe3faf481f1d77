"""Choose values that nobody else uses on this machine: the port of FastAGI, the transfer code."""

from __future__ import annotations

import socket
from collections.abc import Collection
from typing import Final

_PORTS: Final = 16
"""How many ports are tried: 4574 to 4589 belong to nobody (IANA)."""
_CODES: Final = ("*7", "*9", "*6", "*5", "*4", "*3", "*70", "*90", "#7", "#9", "#77")


def free_port(first: int) -> int | None:
    """The first port from ``first`` on at which nobody listens on this machine."""
    for port in range(first, first + _PORTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return None


def free_code(wanted: str, taken: Collection[str]) -> str | None:
    """A code that does not begin with one of ``taken``, nor one of them with it: Asterisk runs the
    shorter one at once (bridge_channel.c, ast_bridge_channel_feature_digit).
    """
    for code in (wanted, *_CODES):
        if not any(x.startswith(code) or code.startswith(x) for x in taken if x):
            return code
    return None
