"""Addresses of loopback at which packets are lost without a word, as behind a cut line.

The kernel delivers to all of 127.0.0.0/8. A route of its own for one address, into a network device
that leads nowhere, takes what is sent there; as an address of the loopback device, it remains one
that may be sent from. Needs root and iproute2, concerns no other address, and needs no firewall.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.network import line

from .backend import Unavailable


class Cut:
    """Cuts addresses that are this instance's alone. ``device``: a name that is free."""

    def __init__(self, device: str) -> None:
        self.device = device

    def cut(self, addresses: Iterable[str]) -> None:
        """From now on nothing arrives at these addresses. Raises `Unavailable`."""
        if line.VARIABLE in os.environ:
            line.tell(" ".join(("cut", *addresses)))
            return
        self._nowhere()
        for address in addresses:
            own = f"{address}/32"
            _ip("address", "replace", own, "dev", "lo")
            _try("route", "del", "local", address, "dev", "lo", "table", "local")
            _ip("route", "replace", "unicast", own, "dev", self.device, "table", "local")

    def mend(self, addresses: Iterable[str]) -> None:
        """Everything arrives again at these, of which none, some or all were cut."""
        if line.VARIABLE in os.environ:
            line.tell(" ".join(("mend", *addresses)))
            return
        if Path("/sys/class/net", self.device).exists():
            for address in addresses:
                _try("route", "del", "unicast", f"{address}/32", "table", "local")
                _try("address", "del", f"{address}/32", "dev", "lo")
            _try("link", "del", self.device)

    def _nowhere(self) -> None:
        """A device that swallows packets: one end of a cable whose other end has no address."""
        if Path("/sys/class/net", self.device).exists():
            return
        other = f"{self.device}x"
        _ip("link", "add", self.device, "type", "veth", "peer", "name", other)
        for name in (self.device, other):
            _ip("link", "set", name, "arp", "off", "up")
        try:  # otherwise the kernel sends nothing from 127.0.0.0/8 into it
            Path(f"/proc/sys/net/ipv4/conf/{self.device}/route_localnet").write_text("1")
        except OSError as error:
            raise Unavailable(f"cutting a line: {error}") from None


def _ip(*words: str) -> None:
    error = _try(*words)
    if error:
        raise Unavailable(f"ip {' '.join(words)}: {error}")


def _try(*words: str) -> str:
    """Run `ip`. Returns what it complains of."""
    program = shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        return "the program is missing (iproute2)"
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    return done.stderr.strip() or "failed" if done.returncode else ""
