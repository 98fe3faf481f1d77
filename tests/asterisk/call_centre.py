"""Create the cells of `matrix`: a station for each state, and one fault for all at once.

A station is a caller, an agent, a target, and any other parties of its state, with a group queue of
their own. All stations are brought into their states in parallel, the fault hits all of them at the
same moment, and each is checked by itself: one column of the table at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from bed import Agent, Bed, Group, Wire, Wires, World, backend_named

from tests.asterisk import matrix
from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene
from tests.asterisk.station import EXTRA, WITHIN, Station

_EXPECTED = {
    # The state of a transfer is lost with its caller's channel.
    "caller hangs up, daemon dead": ("orphaned_channel_released",),
    # While Asterisk starts, its web server answers before ARI is available.
    "Asterisk killed": ("[error",),
}
"""Log messages of the daemon that are not faults in this column."""


def _world(states: Iterable[str], rtp_timeout: int) -> World:
    """A station for each state: agents 1101 and 1102 with number 811, and so on."""
    agents, groups, callers, outside = [], [], [], []
    for number, state in enumerate(states, 11):
        members = [Agent(f"{number}01", f"Agent{number}"), Agent(f"{number}02", f"Target{number}")]
        if EXTRA.get(state) == "colleague":
            members.append(Agent(f"{number}03", f"Colleague{number}"))
        agents += members
        queue, ids = f"station{number}", tuple(agent.id for agent in members)
        groups.append(Group(queue, ids, number=f"8{number}", strategy="linear"))
        callers.append(f"caller{number}")
        match EXTRA.get(state):
            case "other":
                callers.append(f"other{number}")
            case "fourth":
                outside.append("pstn")
    return World(
        agents=tuple(agents),
        groups=tuple(groups),
        callers=tuple(callers),
        outside=tuple(outside),
        wrapuptime=0,
        # No timer may expire while a daemon restarts on a busy machine.
        max_hold_seconds=120,
        rtp_timeout=rtp_timeout,
        # What the dialplan does instead of a daemon has tests of its own.
        variables={"AVP_HEARTBEAT_SECONDS": "120"},
        settings={
            "AVP_SESSION__RING_SECONDS": "60",
            "AVP_SESSION__ORPHAN_SECONDS": "120",
            "AVP_AMI__RECONNECT_MAX_SECONDS": "0.5",
            "AVP_ARI__RECONNECT_MAX_SECONDS": "0.5",
        },
    )


@asynccontextmanager
async def open_call_centre(*states: str, rtp_timeout: int = 300) -> AsyncIterator[CallCentre]:
    """``rtp_timeout``: by default, Asterisk does not notice a dead phone within a test."""
    async with Bed(_world(states, rtp_timeout), backend=backend_named(None)) as bed:
        wires = Wires(Wire(bed.ports.ami), Wire(bed.ports.http))
        await wires.start()
        try:
            centre = CallCentre(bed, wires, states)
            await centre.start_daemon()
            yield centre
            await centre.leave()
            await bed.stop_daemon()
        finally:
            await wires.stop()


class CallCentre:
    """A call centre with a station for each of ``states``."""

    def __init__(self, bed: Bed, wires: Wires, states: Iterable[str]) -> None:
        self.bed, self.wires = bed, wires
        self.states = tuple(states)
        self._column: Column | None = None
        self._open = AsyncExitStack()

    async def start_daemon(self) -> None:
        await self.bed.start_daemon(self.wires.daemon_env())

    async def cell(self, fault: str, state: str) -> None:
        """Raises any difference from the table, and anything left after the fault's last cell.

        The first cell that is requested triggers the fault for all stations. After a failed cell,
        everything stays as it is, for inspection, until the next fault.
        """
        if self._column is None or self._column.fault != fault:
            await self.leave()
            self._column = await self._open.enter_async_context(self._happening(fault))
        self._column.verdict(state)
        if state == [*self._column.stations][-1]:
            await self.leave()

    async def leave(self) -> None:
        """The same questions as after every test."""
        self._column = None
        await self._open.aclose()

    @asynccontextmanager
    async def _happening(self, fault: str) -> AsyncIterator[Column]:
        self.wires.mend()
        if self.bed.daemon is None:
            await self.start_daemon()
        async with open_scene(self.bed) as scene:
            column = Column(self, scene, fault)
            try:
                await column.run()
                yield column
            finally:
                await column.put_right()


class Column:
    """One fault, and every station whose state has a cell for it."""

    def __init__(self, centre: CallCentre, scene: Scene, fault: str) -> None:
        self.centre, self.scene, self.fault = centre, scene, fault
        self.bed, self.wires = centre.bed, centre.wires
        self.stations = {
            state: Station(scene, centre.wires, number, state)
            for number, state in enumerate(centre.states, 11)
            if fault in matrix.CELLS[state]
        }
        self._failed: dict[str, BaseException] = {}

    async def run(self) -> None:
        self.scene.expected = {*_EXPECTED.get(self.fault, ())}
        stations = self.stations.values()
        await asyncio.gather(*(station.call() for station in stations))
        # A transferor who is asked for a target has 15 seconds for the first key, which others may
        # need on a busy machine: that station comes last.
        for last in (False, True):
            of_these = [s for s in stations if (s.state == "collecting") is last]
            await asyncio.gather(*(station.arrange() for station in of_these))
        await asyncio.gather(*(station.ask() for station in stations))
        if any(station.unheard for station in stations):
            for wire in self.wires.named("both"):
                wire.deafen()
            await asyncio.gather(
                *(station.let_it_happen() for station in stations if station.unheard)
            )
        await self._happens()
        await self._each(self._result)
        await self._each(self._next)

    async def _result(self, station: Station) -> None:
        await station.comes_to(matrix.CELLS[station.state][self.fault])
        if station.state == "collecting":  # whose time is limited: it does not wait for the others
            await station.goes_on(self.fault)

    async def _next(self, station: Station) -> None:
        if station.state != "collecting":
            await station.goes_on(self.fault)

    async def _each(self, look: Callable[[Station], Coroutine[Any, Any, None]]) -> None:
        left = {
            state: station for state, station in self.stations.items() if state not in self._failed
        }
        results = await asyncio.gather(*map(look, left.values()), return_exceptions=True)
        for state, result in zip(left, results, strict=True):
            if isinstance(result, BaseException):
                self._failed[state] = result

    def verdict(self, state: str) -> None:
        """Raises the differences from the table."""
        if state in self._failed:
            raise self._failed[state]

    # --- the faults --------------------------------------------------------------------------

    async def _happens(self) -> None:
        who, _, outage = self.fault.removesuffix(" hangs up").partition(" hangs up, ")
        match self.fault:
            case "daemon killed":
                await self._without_daemon(self._nothing())
            case "ARI cut" | "AMI cut":
                await self._cut(self.fault[:3].lower(), self._nothing())
            case "target unplugged":
                await asyncio.gather(*(station.unplug() for station in self.stations.values()))
                self._release()
            case "phone dead":
                await asyncio.gather(*(station.unplug() for station in self.stations.values()))
            case "agent's phone dead":
                stations = self.stations.values()
                await asyncio.gather(*(station.unplug("agent") for station in stations))
            case "Asterisk killed":
                await self._without_asterisk()
            case matrix.TAKEN:
                await asyncio.gather(*(x.is_taken() for x in self.stations.values()))
            case _ if outage == "daemon dead":
                await self._without_daemon(self._all_hang_up(who))
            case _ if outage == "both cut":
                await self._cut("both", self._all_hang_up(who))
            case _:
                await self._all_hang_up(who)
                self._release()

    async def _nothing(self) -> None: ...

    async def _all_hang_up(self, who: str) -> None:
        await asyncio.gather(*(station.hangs_up(who) for station in self.stations.values()))

    def _release(self) -> None:
        """The requests that were held back, and Asterisk's answers meanwhile."""
        for station in self.stations.values():
            station.release()
        for wire in self.wires.named("both"):
            wire.hear()

    async def _without_daemon(self, meanwhile: Awaitable[None]) -> None:
        await self.bed.stop_daemon(kill=True)
        await meanwhile
        self.wires.mend()
        await self.centre.start_daemon()

    async def _cut(self, which: str, meanwhile: Awaitable[None]) -> None:
        for wire in self.wires.named(which):
            wire.break_off()
        await self._ready(503)
        if which != "ami":
            await self._no_application()
        self._release()
        await meanwhile
        self.wires.mend()
        await self._ready(200)

    async def _no_application(self) -> None:
        """Asterisk has noticed that the phones are gone."""

        async def look() -> bool | None:
            return "asterisk_avp" not in await self.scene.ami.command("ari show apps") or None

        assert await self.scene.ami.until(look, WITHIN)

    async def _without_asterisk(self) -> None:
        await self.bed.kill_asterisk()
        for wire in self.wires.named("both"):
            wire.break_off()
        self.wires.mend()
        await self.bed.start_asterisk()
        # The phones do not know yet that their calls have ended.
        await asyncio.gather(*(phone.idle() for phone in self.bed.phones.values()))
        await self._ready(200)

    async def _ready(self, status: int) -> None:
        async def look() -> bool | None:
            return (await self.scene.api("GET", "/readyz")).status == status or None

        assert await self.scene.ami.until(look, WITHIN), await self.scene.api("GET", "/readyz")

    async def put_right(self) -> None:
        """Restore everything, whatever has failed."""
        self.wires.mend()
        for station in self.stations.values():
            await station.put_right()
        if self.bed.daemon is None:
            await self.centre.start_daemon()
        await self._ready(200)
