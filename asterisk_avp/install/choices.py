"""Choose values that nobody else uses on this machine: the port of FastAGI, the agents' keys."""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping
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


def free_keys(wanted: Mapping[str, str], taken: Collection[str]) -> dict[str, str]:
    """Other codes for those of ``wanted`` that conflict with one of ``taken``, by their names."""
    found: dict[str, str] = {}
    for name, code in wanted.items():
        ours = [found.get(other, keys) for other, keys in wanted.items() if other != name]
        free = free_code(code, (*taken, *ours))
        if free is not None and free != code:
            found[name] = free
    return found
