"""The limit of the API's connections, and the eviction of idle ones.

At the limit, a new connection evicts another, each time the oldest of the first non-empty class:
connections that have sent no complete request for `GRACE_SECONDS`, unauthenticated connections
between two requests, those with a request in progress for `GRACE_SECONDS`, new connections, other
unauthenticated connections with a request in progress, and authenticated connections between two
requests. Authenticated connections with a request in progress are never evicted; if only such
remain, the new connection is refused. One address gets at most half of the connections, unless it
is a trusted proxy's, behind which all clients share one address.
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
"""Time for the head of a request to arrive, and between two requests."""
REQUEST_SECONDS: Final = 60.0
"""Time for a request to be answered and the response to be read."""
LEAVE_SECONDS: Final = 10.0
"""Time for a closing connection to read the last data."""
SWEEP_SECONDS: Final = 1.0
GRACE_SECONDS: Final = 1.0
"""Time for a new connection to send a request before it counts as silent, and for a request without
a valid token to be served before it counts as held open."""
_COMPLAINT_PAUSE_SECONDS: Final = 10.0
_V6_NETWORK: Final = 64
"""The IPv6 prefix length of one subscriber (RFC 6177); its addresses count as one."""


class Stage(IntEnum):
    """The stage of a connection."""

    SILENT = 0
    """No complete request so far, or refused and closing."""
    IDLE = 1
    """Between two requests."""
    SERVED = 2
    """A request is in progress, or it is a WebSocket."""


class GuardedProtocol(Protocol):
    """The asyncio protocol of a connection."""

    def is_authenticated(self) -> bool:
        """Whether the current or last request has a valid token."""
        ...

    def deadline_passed(self) -> None:
        """Called when the connection's deadline has passed."""
        ...


class ConnectionSlot:
    """A connection, as counted against the limit."""

    __slots__ = (
        "address",
        "closing_since",
        "due",
        "protocol",
        "removed",
        "since",
        "stage",
        "transport",
    )

    def __init__(self, address: str, since: float, due: float) -> None:
        self.address = address
        self.stage = Stage.SILENT
        self.since = since
        """Start of the stage, in seconds of the clock."""
        self.due: float | None = due
        """The deadline, in seconds of the clock; None: none."""
        self.transport: asyncio.Transport | None = None
        self.protocol: GuardedProtocol | None = None
        self.closing_since: float | None = None
        """When its transport began to close, in seconds of the clock."""
        self.removed = False

    def is_authenticated(self) -> bool:
        return self.protocol is not None and self.protocol.is_authenticated()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class Proxies:
    """The addresses and networks of trusted proxies, whose ``X-Forwarded-For`` counts."""

    def __init__(self, trusted: Iterable[str] = ("127.0.0.1", "::1")) -> None:
        self._networks = [ipaddress.ip_network(text, strict=False) for text in trusted]
        # The form in which a dual-stack socket reports IPv4 (RFC 4291, section 2.5.5.2).
        mapped = [
            f"::ffff:{network.network_address}/{96 + network.prefixlen}"
            for network in self._networks
            if isinstance(network, ipaddress.IPv4Network)
        ]
        self.trusted = (*map(str, self._networks), *mapped)
        """In the form that uvicorn expects."""

    def __contains__(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self._networks)


class Connections:
    """All connections. ``limit`` returns the current limit; ``clock`` monotonic seconds."""

    def __init__(
        self,
        limit: Callable[[], int] = lambda: 1024,
        proxies: Proxies | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        head_seconds: float = HEAD_SECONDS,
    ) -> None:
        self.limit = limit
        self.proxies = proxies or Proxies()
        self._clock = clock
        self.head_seconds = head_seconds
        self._stages: dict[Stage, dict[ConnectionSlot, None]] = {stage: {} for stage in Stage}
        """Each stage's connections, oldest first."""
        self._by_address: Counter[str] = Counter()
        """Connections of each address."""
        self._by_transport: dict[asyncio.BaseTransport, ConnectionSlot] = {}
        self.evicted = 0
        self.refused = 0

    def __len__(self) -> int:
        return sum(map(len, self._stages.values()))

    def admit(self, address: str) -> ConnectionSlot | None:
        """Admit a new connection, evicting another if necessary; None: refused."""
        network = network_of(address)
        limit = self.limit()
        share = limit if address in self.proxies else max(1, limit // 2)
        while len(self) >= limit or self._by_address[network] >= share:
            # An address that has used its share evicts one of its own connections.
            if not self._evict(network if self._by_address[network] >= share else None):
                self.refused += 1
                return None
        now = self._clock()
        slot = ConnectionSlot(network, now, now + self.head_seconds)
        self._stages[Stage.SILENT][slot] = None
        self._by_address[network] += 1
        return slot

    def attach(
        self, slot: ConnectionSlot, transport: asyncio.Transport, protocol: GuardedProtocol
    ) -> None:
        """Attach transport and protocol; called again when it becomes a WebSocket."""
        if slot.transport is not None:
            self._by_transport.pop(slot.transport, None)
        slot.transport, slot.protocol = transport, protocol
        self._by_transport[transport] = slot
        if slot.removed:
            slot.abort()

    def slot_of(self, transport: asyncio.BaseTransport) -> ConnectionSlot | None:
        return self._by_transport.get(transport)

    def set_stage(self, slot: ConnectionSlot, stage: Stage, seconds: float | None) -> None:
        """Enter another stage, with a deadline in ``seconds``; None: no deadline."""
        if slot.removed:
            return
        del self._stages[slot.stage][slot]
        slot.stage, slot.since = stage, self._clock()
        slot.due = None if seconds is None else slot.since + seconds
        self._stages[stage][slot] = None

    def remove(self, slot: ConnectionSlot) -> None:
        """Remove a connection that has ended."""
        if slot.transport is not None:
            self._by_transport.pop(slot.transport, None)
        self._forget(slot)

    def evict_some(self) -> None:
        """Evict a few connections, because the process has no file descriptor left."""
        for _ in range(8):
            if not self._evict(None):
                return

    def sweep(self) -> None:
        """End overdue connections, and evict those above the limit."""
        now = self._clock()
        for slot in [slot for stage in self._stages.values() for slot in stage]:
            if slot.transport is None:
                continue
            if slot.transport.is_closing():
                slot.closing_since = slot.closing_since or now
                if now >= slot.closing_since + LEAVE_SECONDS:
                    slot.abort()
            elif slot.due is not None and now >= slot.due and slot.protocol is not None:
                slot.protocol.deadline_passed()
        while len(self) > self.limit() and self._evict(None):
            pass

    async def watch(self) -> None:
        """Sweep until cancelled, and log evictions and refusals."""
        reported, again = 0, 0.0
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep()
            ended = self.evicted + self.refused
            if ended > reported and self._clock() >= again:
                log.warning("api_connection_limit", ended=ended - reported, connections=len(self))
                reported, again = ended, self._clock() + _COMPLAINT_PAUSE_SECONDS

    def _evict(self, network: str | None) -> bool:
        """Evict one connection (of this network); return whether there was one."""
        slot = next(self._eviction_order(network), None)
        if slot is None:
            return False
        self.evicted += 1
        self._forget(slot)
        slot.abort()
        return True

    def _eviction_order(self, network: str | None) -> Iterator[ConnectionSlot]:
        """Connections in the order of eviction."""

        def all_in(stage: Stage) -> Iterator[ConnectionSlot]:
            found = self._stages[stage]
            return (slot for slot in found if network is None or slot.address == network)

        # A busy daemon accepts several connections before it reads from the first of them: that one
        # must outlast those that hold their place with half a request.
        old = self._clock() - GRACE_SECONDS
        silent = next(all_in(Stage.SILENT), None)
        if silent is not None and silent.since <= old:
            yield silent
        yield from (slot for slot in all_in(Stage.IDLE) if not slot.is_authenticated())
        held = next((s for s in all_in(Stage.SERVED) if not s.is_authenticated()), None)
        if held is not None and held.since <= old:
            yield held
        yield from (slot for slot in (silent, held) if slot is not None)
        yield from all_in(Stage.IDLE)

    def _forget(self, slot: ConnectionSlot) -> None:
        if slot.removed:
            return
        slot.removed = True
        del self._stages[slot.stage][slot]
        self._by_address[slot.address] -= 1
        if not self._by_address[slot.address]:
            del self._by_address[slot.address]


def network_of(address: str) -> str:
    """The unit for limits of connections, log-ins and refusals: an address, or an IPv6 /64.

    Returns "unknown" for invalid addresses, which a proxy may pass on.
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
