"""A line with delay, jitter, loss and reordering between the test bed's nodes, without netem.

    unshare --net python -m tests.network.line "40 ms, 1 %" COMMAND…

runs a command in a network of its own, in which whatever is sent to an address of a trunk
(`bed.trunks`) takes this line: SIP, RTP and TCP, each packet once on its way. The kernel hands the
packets to a TUN device, this program hands them back later or not at all. Needs root and iproute2.
"""

from __future__ import annotations

import fcntl
import heapq
import itertools
import os
import random
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

NETWORK: Final = "127.66.0.0/16"
"""The addresses of trunks; in such a network those of the lines to NATS and to daemons too."""
VARIABLE: Final = "AVP_TEST_LINE"
"""Set for the command: what the line is like."""

CUTS: Final = "\0avp-line"
"""Where it takes ``cut ADDRESS…`` and ``mend ADDRESS…``; the name belongs to the network."""

_DEVICE: Final = "avpline"
_OWN: Final = "127.66.255.254"
"""What those send from that have no address of the network."""
_TABLE: Final = "66"
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_LITTLE, _NEAR = 0.01, 0.05
_MOST_BYTES: Final = 65536
_TEXT: Final = re.compile(r"(?P<delay>[\d.]+) ms, (?P<loss>[\d.]+) %(?:, seed (?P<seed>\d+))?")


@dataclass(frozen=True)
class Quality:
    """One way: seconds, and shares of packets. Each is delayed by up to ``jitter`` more, in order;
    of those that are overtaken each comes ``late`` seconds later still.
    """

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    reordered: float = 0.0
    late: float = 0.03
    seed: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """``40 ms, 1 %`` or ``40 ms, 1 %, seed 7``: with jitter, and some packets overtaken.

        Raises `ValueError`.
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"not a line: {text!r}; write for example '40 ms, 1 %'")
        delay, loss = float(found["delay"]) / 1000, float(found["loss"]) / 100
        seed = int(found["seed"] or 1)
        return cls(delay, delay / 8, loss, reordered=loss / 2, seed=seed)

    @property
    def lost_seconds(self) -> float:
        """AVP_CLUSTER__LOST_SECONDS for such a line, as docs/cluster.md has it."""
        return 1.5 if self.loss <= _LITTLE and self.delay <= _NEAR else 5.0


@dataclass
class Line:
    """What is on its way. Pure: times are given."""

    quality: Quality
    sent: int = 0
    lost: int = 0
    overtaken: int = 0
    cut: set[bytes] = field(default_factory=set)
    """Addresses at which nothing arrives."""
    _waiting: list[tuple[float, int, bytes]] = field(default_factory=list)
    _last: dict[bytes, float] = field(default_factory=dict)
    """When the last packet in order arrives, by the two addresses."""
    _number: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self._random = random.Random(self.quality.seed)

    def send(self, packet: bytes, at: float) -> None:
        quality, way = self.quality, packet[12:20]
        if way[4:] in self.cut:
            return
        self.sent += 1
        if self._random.random() < quality.loss:
            self.lost += 1
            return
        due = at + quality.delay + quality.jitter * self._random.random()
        if self._random.random() < quality.reordered:
            self.overtaken += 1
            due += quality.late
        else:
            due = self._last[way] = max(due, self._last.get(way, 0.0))
        heapq.heappush(self._waiting, (due, next(self._number), packet))

    def told(self, words: str) -> None:
        """``cut`` or ``mend``, and addresses."""
        what, *addresses = words.split()
        change = self.cut.update if what == "cut" else self.cut.difference_update
        change(map(socket.inet_aton, addresses))

    def arrived(self, at: float) -> list[bytes]:
        """The packets that have arrived by then, in their order."""
        found = []
        while self._waiting and self._waiting[0][0] <= at:
            found.append(heapq.heappop(self._waiting)[2])
        return found

    def pause(self, at: float) -> float | None:
        """Seconds until the next one arrives."""
        return max(0.0, self._waiting[0][0] - at) if self._waiting else None


def open_device() -> int:
    """Make the device and lead all packets to `NETWORK` into it. Raises `OSError`."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = _IFF_TUN | _IFF_NO_PI
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", _DEVICE.encode(), flags))
    for name in ("all", "default", _DEVICE):
        folder = f"/proc/sys/net/ipv4/conf/{name}"
        for option, value in (("rp_filter", 0), ("accept_local", 1), ("route_localnet", 1)):
            Path(folder, option).write_text(str(value), encoding="ascii")
    for words in (
        "link set lo up",
        f"link set {_DEVICE} up mtu 1500 txqueuelen 10000",
        # What is sent here goes to the device, and what comes from it is delivered.
        "rule add pref 10 lookup local",
        f"rule add pref 1 iif lo to {NETWORK} lookup {_TABLE}",
        "rule del pref 0",
        f"route add {NETWORK} dev {_DEVICE} src {_OWN} table {_TABLE}",
    ):
        subprocess.run(["ip", *words.split()], check=True)
    return device


def carry(device: int, line: Line, cuts: socket.socket, until: int) -> None:
    """Pass packets on until the file descriptor ``until`` can be read."""
    poll = select.poll()
    for source in (device, cuts, until):
        poll.register(source, select.POLLIN)
    while True:
        pause = line.pause(time.monotonic())
        ready = dict(poll.poll(None if pause is None else pause * 1000))
        if until in ready:
            return
        if cuts.fileno() in ready:
            words, sender = cuts.recvfrom(_MOST_BYTES)
            line.told(words.decode())
            cuts.sendto(b"done", sender)
        if device in ready:
            _take(device, line)
        for packet in line.arrived(time.monotonic()):
            os.write(device, packet)


def _take(device: int, line: Line) -> None:
    for _ in range(200):
        try:
            packet = os.read(device, _MOST_BYTES)
        except BlockingIOError:
            return
        if packet[0] >> 4 == 4:  # not what the kernel tries with version 6
            line.send(packet, time.monotonic())


def tell(words: str) -> None:
    """Have the line of this network cut or mended; returns when it is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asks:
        asks.settimeout(10)
        asks.bind("")  # a name that is free, for the answer
        asks.sendto(words.encode(), CUTS)
        asks.recv(100)


def main() -> int:
    text, *command = sys.argv[1:]
    own, others = (Path("/proc", who, "ns/net") for who in ("self", str(os.getppid())))
    if own.readlink() == others.readlink():
        sys.exit("line: run it by unshare --net; it changes how this machine's packets go")
    line = Line(Quality.parse(text))
    device = open_device()
    cuts = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    cuts.bind(CUTS)
    ended, ends = os.pipe()
    # Ahead of what sends, so that a busy machine does not make the line worse.
    priority = os.getpriority(os.PRIO_PROCESS, 0)
    child = subprocess.Popen(command, env={**os.environ, VARIABLE: text})
    os.setpriority(os.PRIO_PROCESS, 0, max(-20, priority - 15))
    signal.signal(signal.SIGCHLD, lambda *_: os.write(ends, b"."))
    if child.poll() is None:
        carry(device, line, cuts, ended)
    print(
        f"figure: the line of {text}: {line.sent} packets, {line.lost} lost, "
        f"{line.overtaken} overtaken"
    )
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
