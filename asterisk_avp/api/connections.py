"""How many connections the API has, and who has to go when there is no room for another.

At the limit a newcomer gets the place of whoever has kept us waiting, each time of the one that has
been so for longest: first of those that have sent no complete request although they had time to,
then of those between two requests, then of those that have only just come, then of those whose
request had no valid token, and of those with one between two requests last. Who has a token and is
being served keeps their place; where only such are left, the newcomer is turned away. One address
has half of the places at most, unless it is a trusted proxy's, behind which everybody comes from
one address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import Final, Protocol

import structlog

log = structlog.get_logger(__name__)

HEAD_SECONDS: Final = 10.0
"""For the head of a request to arrive, and between two requests."""
REQUEST_SECONDS: Final = 60.0
"""For a request to be answered, and the answer to be taken."""
LEAVE_SECONDS: Final = 10.0
"""For a connection that is being closed to take what was sent last."""
SWEEP_SECONDS: Final = 1.0
GRACE_SECONDS: Final = 1.0
"""For a newcomer to begin, before they are counted among the silent."""
_COMPLAINT_PAUSE_SECONDS: Final = 10.0
_V6_NETWORK: Final = 64
"""What one subscriber has of IPv6 (RFC 6177): its addresses count as one."""


class Stage(IntEnum):
    """What a connection does."""

    SILENT = 0
    """It has sent no complete request, or has been refused and is being closed."""
    IDLE = 1
    """Its last request was answered."""
    SERVED = 2
    """A request is being answered, or it is a WebSocket."""


class GuardedProtocol(Protocol):
    """Who sits there: a protocol of the server."""

    def known(self) -> bool:
        """Whether the request that is being served, or was last, has a valid token."""
        ...

    def overdue(self) -> None:
        """Its time is up."""
        ...


class Seat:
    """A connection's place."""

    __slots__ = ("address", "due", "gone", "leaving", "occupant", "since", "stage", "transport")

    def __init__(self, address: str, since: float, due: float) -> None:
        self.address = address
        self.stage = Stage.SILENT
        self.since = since
        """Of this stage, in seconds of the clock."""
        self.due: float | None = due
        """When its time is up; None: never."""
        self.transport: asyncio.Transport | None = None
        self.occupant: GuardedProtocol | None = None
        self.leaving: float | None = None
        """Since when its transport has been closing."""
        self.gone = False

    def known(self) -> bool:
        return self.occupant is not None and self.occupant.known()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class Proxies:
    """The addresses and networks whose ``X-Forwarded-For`` is believed."""

    def __init__(self, trusted: Iterable[str] = ("127.0.0.1", "::1")) -> None:
        self._networks = [ipaddress.ip_network(text, strict=False) for text in trusted]
        # As a socket that listens for both, IPv6 and IPv4, has them (RFC 4291, section 2.5.5.2).
        mapped = [
            f"::ffff:{network.network_address}/{96 + network.prefixlen}"
            for network in self._networks
            if isinstance(network, ipaddress.IPv4Network)
        ]
        self.trusted = (*map(str, self._networks), *mapped)
        """As uvicorn wants them."""

    def __contains__(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self._networks)


class Connections:
    """All of them. ``room``: how many there may be now; ``clock`` gives monotonic seconds."""

    def __init__(
        self,
        room: Callable[[], int] = lambda: 1024,
        proxies: Proxies | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        head_seconds: float = HEAD_SECONDS,
    ) -> None:
        self.room = room
        self.proxies = proxies or Proxies()
        self._clock = clock
        self.head_seconds = head_seconds
        self._stages: dict[Stage, dict[Seat, None]] = {stage: {} for stage in Stage}
        """Each oldest first."""
        self._of: Counter[str] = Counter()
        """How many each address has."""
        self._by_transport: dict[asyncio.BaseTransport, Seat] = {}
        self.evicted = 0
        self.refused = 0

    def __len__(self) -> int:
        return sum(map(len, self._stages.values()))

    def enter(self, address: str) -> Seat | None:
        """A place for a newcomer, made where that can be; None: there is none."""
        network = network_of(address)
        room = self.room()
        share = room if address in self.proxies else max(1, room // 2)
        while len(self) >= room or self._of[network] >= share:
            # Of the same address, where that has its share, else of any.
            if not self._evict(network if self._of[network] >= share else None):
                self.refused += 1
                return None
        now = self._clock()
        seat = Seat(network, now, now + self.head_seconds)
        self._stages[Stage.SILENT][seat] = None
        self._of[network] += 1
        return seat

    def sit(self, seat: Seat, transport: asyncio.Transport, occupant: GuardedProtocol) -> None:
        """The connection is there; or has become a WebSocket, with another protocol."""
        seat.transport, seat.occupant = transport, occupant
        self._by_transport[transport] = seat
        if seat.gone:
            seat.abort()

    def seat_of(self, transport: asyncio.BaseTransport) -> Seat | None:
        return self._by_transport.get(transport)

    def move(self, seat: Seat, stage: Stage, seconds: float | None) -> None:
        """The connection does something else now, and has so long for it."""
        if seat.gone:
            return
        del self._stages[seat.stage][seat]
        seat.stage, seat.since = stage, self._clock()
        seat.due = None if seconds is None else seat.since + seconds
        self._stages[stage][seat] = None

    def leave(self, seat: Seat) -> None:
        """The connection is no more."""
        if seat.transport is not None:
            self._by_transport.pop(seat.transport, None)
        self._forget(seat)

    def make_room(self) -> None:
        """No descriptor is left, whoever took them: a few of those that can go, go."""
        for _ in range(8):
            if not self._evict(None):
                return

    def sweep(self) -> None:
        """End what has taken too long, and what does not fit any more."""
        now = self._clock()
        for seat in [seat for stage in self._stages.values() for seat in stage]:
            if seat.transport is None:
                continue
            if seat.transport.is_closing():
                seat.leaving = seat.leaving or now
                if now >= seat.leaving + LEAVE_SECONDS:
                    seat.abort()
            elif seat.due is not None and now >= seat.due and seat.occupant is not None:
                seat.occupant.overdue()
        while len(self) > self.room() and self._evict(None):
            pass

    async def watch(self) -> None:
        """Until cancelled; says in the log where connections had to go for want of room."""
        told, again = 0, 0.0
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep()
            ended = self.evicted + self.refused
            if ended > told and self._clock() >= again:
                log.warning("api_connection_limit", ended=ended - told, connections=len(self))
                told, again = ended, self._clock() + _COMPLAINT_PAUSE_SECONDS

    def _evict(self, network: str | None) -> bool:
        """Whether somebody (of this network) could be sent away."""
        seat = next(self._who_goes(network), None)
        if seat is None:
            return False
        self.evicted += 1
        self._forget(seat)
        seat.abort()
        return True

    def _who_goes(self, network: str | None) -> Iterator[Seat]:
        """In this order."""

        def all_in(stage: Stage) -> Iterator[Seat]:
            found = self._stages[stage]
            return (seat for seat in found if network is None or seat.address == network)

        silent = next(all_in(Stage.SILENT), None)
        if silent is not None and silent.since <= self._clock() - GRACE_SECONDS:
            yield silent
        yield from (seat for seat in all_in(Stage.IDLE) if not seat.known())
        if silent is not None:
            yield silent
        yield from (seat for seat in all_in(Stage.SERVED) if not seat.known())
        yield from all_in(Stage.IDLE)

    def _forget(self, seat: Seat) -> None:
        if seat.gone:
            return
        seat.gone = True
        del self._stages[seat.stage][seat]
        self._of[seat.address] -= 1
        if not self._of[seat.address]:
            del self._of[seat.address]


def network_of(address: str) -> str:
    """Whose connections, log-ins and refusals count together: an address, or a /64 of IPv6.

    What is no address (a proxy hands on what it was given) is nobody in particular.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, _V6_NETWORK), strict=False))
    return str(found)
