"""Port blocks: each instance has a range of ports of its own, also between test processes."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from .procs import ProcessId

#: Below the ephemeral range, so that outgoing connections do not take our ports.
FIRST, LAST, SIZE = 20000, 32000, 400
REGISTRY = Path(os.environ.get("AVP_PORTS", f"{tempfile.gettempdir()}/asterisk-avp-ports"))


@dataclass(frozen=True)
class Ports:
    """A block. The fields are the ports an instance uses; all on 127.0.0.1."""

    base: int

    @property
    def sip(self) -> int:
        return self.base

    @property
    def http(self) -> int:
        return self.base + 1

    @property
    def ami(self) -> int:
        return self.base + 2

    @property
    def agi(self) -> int:
        return self.base + 3

    @property
    def api(self) -> int:
        return self.base + 4

    @property
    def spare(self) -> tuple[int, ...]:
        """For whatever else a test listens on (web hooks, …)."""
        return tuple(range(self.base + 5, self.base + 20))

    @property
    def rtp(self) -> tuple[int, int]:
        """Asterisk's RTP: 40 calls' worth of legs."""
        return self.base + 20, self.base + 179

    @property
    def phones(self) -> range:
        """All ports of phones."""
        return range(self.base + 180, self.base + 180 + 18 * 12)

    def phone(self, index: int) -> PhonePorts:
        """Up to 18 phones, with room for five calls each."""
        if not 0 <= index < 18:
            raise ValueError("a port block has room for 18 phones")
        first = self.base + 180 + 12 * index
        return PhonePorts(control=first, sip=first + 1, rtp=(first + 2, first + 11))


@dataclass(frozen=True)
class PhonePorts:
    control: int
    sip: int
    rtp: tuple[int, int]


@contextmanager
def _registry() -> Iterator[Path]:
    REGISTRY.mkdir(mode=0o1777, parents=True, exist_ok=True)
    with (REGISTRY / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield REGISTRY


def _taken(path: Path) -> bool:
    try:
        claim = json.loads(path.read_text())
        owners = [ProcessId(**owner) for owner in claim["owners"]]
    except (OSError, ValueError, TypeError, KeyError):
        return False
    return any(o.alive() for o in owners)


def _usable(ports: Ports) -> bool:
    """A block may be in use by something that knows nothing of our registry."""
    ours = (ports.http, ports.ami, ports.agi, ports.api, ports.phone(0).control, *ports.spare)
    for kind, numbers in (
        (socket.SOCK_STREAM, ours),
        (socket.SOCK_DGRAM, (ports.sip, ports.rtp[0], ports.phone(0).sip, *ports.spare)),
    ):
        for number in numbers:
            with socket.socket(socket.AF_INET, kind) as probe:
                if kind == socket.SOCK_STREAM:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", number))
                except OSError:
                    return False
    return True


def claim() -> Ports:
    """Take a free block for this process; `hand_over` it to the processes that outlive us."""
    with _registry() as registry:
        for base in range(FIRST, LAST, SIZE):
            path = registry / f"{base}.json"
            ports = Ports(base)
            if not _taken(path) and _usable(ports):
                path.write_text(json.dumps({"owners": [asdict(ProcessId.mine())]}))
                return ports
    raise RuntimeError(f"no free block of {SIZE} ports between {FIRST} and {LAST}")


def hand_over(ports: Ports, owners: list[ProcessId]) -> None:
    """The block stays taken as long as one of `owners` lives."""
    claim = {"owners": [asdict(owner) for owner in owners]}
    with _registry() as registry:
        (registry / f"{ports.base}.json").write_text(json.dumps(claim))


def release(ports: Ports) -> None:
    with _registry() as registry:
        (registry / f"{ports.base}.json").unlink(missing_ok=True)
