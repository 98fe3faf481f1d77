"""One station of a `call_centre`: a call, its transfer, and their result."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import requests
from bed import Hold, Phone, Wires, party
from bed.procs import end

from tests.asterisk import matrix
from tests.asterisk.scene import FOURTH, Scene

WITHIN = 12.0
"""The time limit for every result in seconds, on a busy machine."""

EXTRA = {
    "waiting": "other",
    "queued": "other",
    "conference of four": "fourth",
    "colleague rings": "colleague",
    "consult of three": "colleague",
}
"""Further parties of a state."""


_EITHER = ("agent", "target")


@dataclass
class Station:
    """The parties of one call, and its transfer."""

    scene: Scene
    wires: Wires
    number: int
    state: str
    transfer: str = ""
    dead: set[str] = field(default_factory=set)
    """Parties whose phones are off."""
    _hold: Hold | None = None
    _asking: asyncio.Task[Any] | None = None

    @property
    def names(self) -> dict[str, str]:
        """The phone of each party."""
        number = self.number
        names = {"caller": f"caller{number}", "agent": f"{number}01", "target": f"{number}02"}
        match EXTRA.get(self.state):
            case "other":
                names["other"] = f"other{number}"
            case "fourth":
                names["fourth"] = "pstn"
            case "colleague":
                names["fourth"] = f"{number}03"
        return names

    def name(self, who: str) -> str:
        return self.names[who]

    @property
    def unheard(self) -> bool:
        """Asterisk executes requests, but nobody receives its answers and events."""
        return self.state in ("starting, moved", "sending, moved", "completing, bridged")

    # --- into the state ------------------------------------------------------------------------

    async def arrange(self) -> None:
        """Bring the call into the state, or to the request that leads into it."""
        match self.state.partition(",")[0]:
            case "starting" | "sending":
                return
            case "collecting":
                await self.scene.press(self.name("agent"), "*7")
                self.transfer = await self._transfer_of_agent()
            case "waiting" | "queued":
                await self.phone("other").dial(self.name("target"))
                await self.phone("target").answer(WITHIN)
                await self.scene.talking(self.name("other"), self.name("target"), within=WITHIN)
                mode = "supervised" if self.state == "waiting" else "unsupervised"
                await self._request(mode)
            case "ringing":
                await self._request("supervised")
            case "offered":
                await self._request("unsupervised")
            case _:
                await self._consult()
        await self.comes_to(_ARRANGED[self.state])

    async def call(self) -> None:
        """The caller dials the group's number, and the agent answers."""
        await self.phone("caller").dial(f"8{self.number}")
        await self.phone("agent").answer(WITHIN)
        await self.scene.talking(self.name("caller"), self.name("agent"), within=WITHIN)

    async def _request(self, mode: str) -> None:
        target = self.name("target")
        self.transfer = await self.scene.transfer(self.name("agent"), mode, target)

    async def _consult(self) -> None:
        await self._request("supervised")
        await self.phone("target").answer(WITHIN)
        await self.comes_to(matrix.CONSULTING)
        match self.state:
            case "swapped":
                await self.scene.act(self.transfer, "swap")
            case "conference":
                await self.scene.act(self.transfer, "conference")
            case "conference of four":
                await self.scene.act(self.transfer, "conference")
                await self._add({"number": FOURTH})
                await self.phone("fourth").answer(WITHIN)
            case "colleague rings":
                await self._add({"agent": self.name("fourth")})
                await self.phone("fourth").ringing(WITHIN)
            case "consult of three":
                await self._add({"agent": self.name("fourth")})
                await self.phone("fourth").answer(WITHIN)

    async def _add(self, party: dict[str, str]) -> None:
        answer = await self.scene.api("POST", f"/v1/transfers/{self.transfer}/parties", party)
        assert answer.status == 201, answer

    async def ask(self) -> None:
        """The one request that leads into a state of milliseconds; it is held back."""
        channel = (await self.scene.ami.channel_of(self.name("caller")))["Channel"]
        match self.state.partition(",")[0]:
            case "starting" | "sending":
                mode = "supervised" if self.state.startswith("starting") else "unsupervised"
                self._hold = self.wires.ami.hold("action: redirect", channel)
                asking = self.scene.transfer(self.name("agent"), mode, self.name("target"))
                self._asking = asyncio.create_task(asking)
            case "completing":
                self._hold = self.wires.ami.hold("action: bridge", channel)
                self._asking = asyncio.create_task(self.scene.complete(self.transfer))
            case _:
                return
        async with asyncio.timeout(WITHIN):
            await self._hold.caught.wait()
        self.transfer = await self._transfer_of_agent()

    async def _transfer_of_agent(self) -> str:
        async def look() -> str | None:
            transfers = (await self.scene.api("GET", "/v1/transfers")).body
            mine = [t for t in transfers if t["agent"] == self.name("agent")]
            running = [t["id"] for t in mine if t["ended_reason"] is None]
            return running[0] if running else None

        found = await self.scene.ami.until(look, WITHIN)
        assert found is not None
        return found

    async def let_it_happen(self) -> None:
        """Asterisk receives and executes the request that was held back."""
        self.release()
        names = [self.name("caller"), self.name("agent")]
        match self.state:
            case "completing, bridged":
                together = self.name("caller"), self.name("target")
                await self.scene.ami.bridged(*together, within=WITHIN)
                return
            case "sending, moved":
                await self.phone("target").ringing(WITHIN)
                return

        async def look() -> bool | None:
            rows = await self.scene.ami.channels()
            there = {party(row["Channel"]) for row in rows if row["Application"] == "Stasis"}
            return there.issuperset(names) or None

        assert await self.scene.ami.until(look, WITHIN)

    def release(self) -> None:
        if self._hold is not None:
            self._hold.release()

    # --- what happens to it --------------------------------------------------------------------

    def phone(self, who: str) -> Phone:
        return self.scene.phone(self.name(who))

    async def hangs_up(self, who: str) -> None:
        """And Asterisk has noticed it."""
        ends = [who]
        if self.state == "completing, bridged" and who in ("caller", "target") and not self.dead:
            # They talk already, so the other's call ends too. Until then, a daemon that comes back
            # would still return the caller.
            ends = ["caller", "target"]
        ami = self.scene.ami
        channels = {(await ami.channel_of(self.name(each)))["Channel"] for each in ends}
        await self.phone(who).hangup()

        async def look() -> bool | None:
            return channels.isdisjoint(row["Channel"] for row in await ami.channels()) or None

        assert await self.scene.ami.until(look, WITHIN)

    async def is_taken(self) -> None:
        line = await self.scene.ami.channel_of(self.name("caller"))
        to = {"Context": "callers", "Exten": f"8{self.number}", "Priority": "1"}
        await self.scene.ami.action("Redirect", Channel=line["Channel"], **to)

    async def unplug(self, who: str = "target") -> None:
        phone = self.phone(who)
        await phone.detach()
        await asyncio.to_thread(end, phone.process, first=signal.SIGKILL)
        self.dead.add(who)

    async def put_right(self) -> None:
        for who in self.dead:
            await self.scene.start_again(self.phone(who))
        if self._asking is not None:
            self._asking.cancel()
            # The daemon was killed, or answered that Asterisk is not reachable.
            with suppress(asyncio.CancelledError, requests.RequestException, AssertionError):
                await self._asking

    # --- what comes of it ----------------------------------------------------------------------

    async def comes_to(self, text: str) -> None:
        """Wait for the result in a cell."""
        cell = matrix.read(text)
        try:
            await self._ends_up(cell)
            for together in cell.talks:
                await self._talk(together, plain=cell.over)
            for who, sound in cell.hears.items():
                await self._waits(who, sound, cell)
            for who, queue in cell.queues.items():
                await self.phone(who).hearing({"music"}, WITHIN)
                if queue == "group":
                    await self.scene.waits(f"station{self.number}", self.name(who), within=WITHIN)
            await self._target_queue(cell)
            absent = set(self.names) - cell.named - self.dead
            if "somebody" in cell.named:
                absent -= {*_EITHER}
            await self.scene.gone(*map(self.name, absent), within=WITHIN)
        except AssertionError as error:
            raise AssertionError(
                f"expected: {text}\n{error}\nthere are: {await self._floor()}"
            ) from error

    async def _ends_up(self, cell: matrix.Cell) -> None:
        async def look() -> bool | None:
            answer = await self.scene.api("GET", f"/v1/transfers/{self.transfer}")
            if cell.state == "unknown":
                return answer.status == 404 or None
            if answer.status != 200:
                return None
            found = f"{answer.body['state']} {answer.body['ended_reason'] or ''}".strip()
            return found in cell.ends or None

        if not await self.scene.ami.until(look, WITHIN):
            raise AssertionError(f"{await self.scene.api('GET', f'/v1/transfers/{self.transfer}')}")

    async def _talk(self, together: tuple[str, ...], *, plain: bool) -> None:
        names = [self.name(who) for who in together]
        await self.scene.hear_one_another(*names, within=WITHIN)
        # Target and fourth party are in a bridge of ours through half of a Local channel.
        seated = [self.name(who) for who in together if who in ("caller", "agent")]
        ours = (f"avp-{self.transfer}-hold", f"avp-{self.transfer}-consult")

        async def look() -> bool | None:
            bridges = await self.scene.ami.bridges()
            if plain or len(seated) == 0:
                plain_ones = [b for b in bridges if b.kind == "basic" and b.id not in ours]
                return any(b.holds(*names) for b in plain_ones) or None
            held = [{*map(party, b.channels)} for b in bridges if b.id in ours]
            return any(there.issuperset(seated) for there in held) or None

        assert await self.scene.ami.until(look, WITHIN), f"{names} are not in such a bridge"

    async def _rings(self, phone: Phone, cell: matrix.Cell) -> None:
        """For who is to call now: the call before may ring on for a moment."""
        caller = self.name("caller" if "caller" in cell.queues else "agent")

        async def look() -> bool | None:
            rings = [call.number for call in phone.live if call.state == "incoming"]
            return rings == [caller] or None

        assert await self.scene.ami.until(look, WITHIN), (caller, phone.live)

    async def _waits(self, who: str, sound: str, cell: matrix.Cell) -> None:
        if who == "somebody":
            either = [asyncio.create_task(self.phone(w).ringing(WITHIN)) for w in _EITHER]
            done, left = await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            assert any(task.exception() is None for task in done), "nobody rings"
            return
        phone = self.phone(who)
        match sound:
            case "rings":
                await self._rings(phone, cell)
                return
            case "nothing":
                await phone.hearing(set(), WITHIN)
                return
            case "asked":
                pass  # there is silence between words
            case _:
                await phone.hearing({sound}, WITHIN)
        if who == "target":
            return  # in a bridge of ours through half of a Local channel
        kind = "-hold" if who == "caller" else "-consult"

        async def look() -> bool | None:
            bridges = await self.scene.ami.bridges()
            seats = [b.id for b in bridges if b.holds(self.name(who))]
            ours = [seat for seat in seats if seat == f"avp-{self.transfer}{kind}"]
            return bool(ours) or None

        assert await self.scene.ami.until(look, WITHIN), f"{who} is not alone in a bridge of ours"

    async def _target_queue(self, cell: matrix.Cell) -> None:
        """The target's one waiting slot: taken by the caller or by our leg, or free."""
        queue = f"avp-agent-{self.name('target')}"
        if cell.queues.get("caller") == "target":
            await self.scene.waits(queue, self.name("caller"), within=WITHIN)
            return
        wanted = 1 if cell.state in ("waiting", "ringing") else 0

        async def look() -> bool | None:
            return len(await self.scene.ami.waiting(queue)) == wanted or None

        assert await self.scene.ami.until(look, WITHIN), await self.scene.ami.waiting(queue)

    async def _floor(self) -> list[str]:
        mine = {*self.names.values()}
        rows = await self.scene.ami.channels()
        return [
            f"{row['Channel']} {row['Application']}({row['ApplicationData']}) {row['BridgeId']}"
            for row in rows
            if party(row["Channel"]) in mine or str(self.number) in row["Channel"]
        ]

    # --- and on --------------------------------------------------------------------------------

    async def goes_on(self, fault: str) -> None:
        """Perform the next action, and wait for its result."""
        following = matrix.following(fault, matrix.CELLS[self.state][fault])
        if following is None:
            return
        doing, then = following
        who, _, what = doing.partition(" ")
        match what:
            case "answers":
                await self.phone(who).answer(WITHIN)
            case "hangs up":
                await self.hangs_up(who)
            case "completes" | "cancels" | "swaps":
                action = {"completes": "complete", "cancels": "cancel", "swaps": "swap"}[what]
                await self.scene.act(self.transfer, action)
            case "asks again":
                await self._request("supervised")
            case "calls again":
                await self.call()
                await self._request("supervised")
            case "keys in the target":
                await self.scene.press(self.name("agent"), f"{self.name('target')}#")
            case _:
                raise ValueError(doing)
        await self.comes_to(then)


_ARRANGED = {
    state: cells["daemon killed"] for state, cells in matrix.CELLS.items() if "," not in state
} | {"completing, asked": matrix.CONSULTING, "completing, bridged": matrix.CONSULTING}
"""The situation in each state before the fault, and while the daemon is down."""
