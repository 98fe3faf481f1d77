"""A call centre with open transfers, and what the daemon reports while AMI is forged.

Alice (1001) consults Bob (1002) about caller1; caller3, whom Carol (1003) transferred, waits for
Dave (1004), who talks to caller4. Carol is free.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from bed import Bed, World, backend_named, party

from tests.asterisk.scene import Scene

from . import message
from .centre import TRUNK_HOST
from .forged import HALLS, QUEUES, Attempt, dialplan, number_of, number_of_hall
from .inputs import TRUNK, Input
from .message import Dialog
from .phone import Phone, status

_PJSIP: Final = f"""
[trunk](outside)
context = forge
trust_id_inbound = yes
[trunk]
type = identify
endpoint = trunk
match = {TRUNK_HOST}
"""
_AT_ONCE: Final = 8
_CHANGED_WITHIN: Final = 6.0
_NAMES: Final = {
    "caller1": "caller1",
    "alice": "1001",
    "bob": "1002",
    "caller3": "caller3",
    "dave": "1004",
    "caller4": "caller4",
}


def world() -> World:
    """Nothing here ends by itself during the forgery."""
    demo = World(
        rtp_timeout=0,  # its phones send no audio
        call_seconds=3600,
        max_hold_seconds=3600,
        pjsip=_PJSIP,
        extensions=dialplan(),
        queues=QUEUES,
        settings={"AVP_SESSION__RING_SECONDS": "600"},
    )
    patient = replace(demo, callers=("caller1", "caller2", "caller3", "caller4"))
    return patient.with_group("sales", strategy="linear").with_group("support", strategy="linear")


class CallCentre:
    """`write` makes AMI send something; `unchanged` checks the effect."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.scene = Scene(bed)
        self.told: list[dict[str, Any]] = []
        """The events of the WebSocket since the last call of `unchanged`."""
        self.begun = False
        self.trunk: Phone
        self.session: aiohttp.ClientSession
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> AsyncIterator[CallCentre]:
        async with Bed(world(), backend=backend_named(None)) as bed:
            await bed.start_daemon()
            centre = cls(bed)
            centre.trunk = await Phone("trunk", TRUNK_HOST, bed.ports.sip, None).start()
            async with aiohttp.ClientSession() as centre.session:
                await centre.connect()
                try:
                    yield centre
                finally:
                    await centre._disconnect()
                    centre.trunk.stop()

    async def connect(self) -> None:
        """The WebSocket to the current daemon."""
        await self._disconnect()
        headers = {"Authorization": f"Bearer {self.bed.secrets.token}"}
        url = f"{self.bed.url}/v1/events"
        self._socket = await self.session.ws_connect(url, headers=headers)
        self._reader = asyncio.create_task(self._listen(self._socket))

    async def _disconnect(self) -> None:
        if self._socket is not None and self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
            await self._socket.close()

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for got in socket:
            if got.type is aiohttp.WSMsgType.TEXT:
                self.told.append(json.loads(got.data))

    # The call centre ------------------------------------------------------------------------

    async def begin(self) -> None:
        """Also after the daemon has accepted a forgery: then it restarts."""
        scene = self.scene
        if self.begun:
            await self.bed.stop_daemon(kill=True)
            await self.bed.start_daemon()
            await self.connect()
        self.begun = True
        await scene.everybody_free()
        scene.begin()
        self.consult = await scene.consult("caller1", "1001", "1002")
        await scene.call("caller3", "1003", "support")
        await scene.call("caller4", "1004", "support", "1004")
        self.waiting = await scene.transfer("1003", "unsupervised", "1004")
        await scene.reaches(self.waiting, "waiting")
        await scene.gone("1003")
        await scene.agent_is("1003", "available", within=10)
        self.ids = await self._ids()
        self.before = await self.picture()
        await self.unchanged()  # what was sent during the set-up

    async def _ids(self) -> dict[str, str]:
        rows = await self.bed.ami.channels()
        ids = {"action": "1", "bridge": "none", "dave_bridge": "none"}
        for name, account in _NAMES.items():
            row = next(row for row in rows if party(row["Channel"]) == account)
            ids |= {name: row["Uniqueid"], f"{name}_name": row["Channel"]}
            if name in ("alice", "dave"):
                ids["bridge" if name == "alice" else "dave_bridge"] = row["BridgeId"]
        return ids

    async def finish(self) -> None:
        """Both transfers end as their agents intend."""
        scene = self.scene
        await scene.complete(self.consult)
        await scene.talking("caller1", "1002")
        await scene.hang_up("1004")
        await scene.phone("1004").answer(within=10)
        await scene.talking("caller3", "1004")
        await scene.ends(self.waiting, "completed", "completed")
        await scene.ends(self.consult, "completed", "completed")
        await scene.hang_up("caller1", "caller3")
        await scene.gone("1002", "1004")

    # What is told ----------------------------------------------------------------------------

    async def picture(self) -> dict[str, Any]:
        """The API's answers, without their times."""
        agents = (await self.scene.api("GET", "/v1/agents")).body
        told: dict[str, Any] = {"agents": sorted(agent["id"] for agent in agents)}
        for agent in agents:
            told[agent["id"]] = agent_told(await self.scene.agent(agent["id"]))
        for name in (self.consult, self.waiting):
            transfer = (await self.scene.api("GET", f"/v1/transfers/{name}")).body
            told[name] = transfer_told(transfer)
        told["transfers"] = sorted(
            (t["id"], t["state"]) for t in (await self.scene.api("GET", "/v1/transfers")).body
        )
        return told

    async def unchanged(self, *, told: bool = True) -> list[str]:
        """The differences from the former state; empty if there are none.

        Without ``told``, the events that panels received meanwhile do not count: a daemon that
        resyncs may send them one after the other.

        What was written into AMI has been read when the daemon reports a later event; and its
        queries to Asterisk about it are answered when it reports the next one.
        """
        try:
            for _ in range(2):
                for paused, state in ((True, "not_ready"), (False, "available")):
                    await self.scene.pause("1003", paused=paused)
                    await self.scene.agent_is("1003", state, within=_CHANGED_WITHIN)
        except AssertionError as error:
            await self.scene.pause("1003", paused=False)
            return [f"what happens is not told: {error}"]
        wrong = differences(self.before, await self.picture())
        if wrong:  # a picture that is being resynced is not a belief
            await self.scene.ami.until(self._as_before, _CHANGED_WITHIN)
            wrong = differences(self.before, await self.picture())
        heard, self.told = self.told, []
        for event in heard if told else ():
            wrong += self._told_wrong(event)
        return sorted(set(wrong))

    async def _as_before(self) -> bool | None:
        return not differences(self.before, await self.picture()) or None

    def _told_wrong(self, event: dict[str, Any]) -> list[str]:
        """False events that a panel received on the WebSocket."""
        if event["type"] == "agent":
            agent = event["agent"]
            expected = dict(self.before.get(agent["id"], {}))
            told = agent_told(agent)
            if agent["id"] == "1003":  # who takes breaks meanwhile
                expected.pop("state")
                told.pop("state")
            return differences({agent["id"]: expected}, {agent["id"]: told}, "told ")
        if event["type"] == "transfer":
            transfer = event["transfer"]
            told = transfer_told(transfer)
            expected = self.before.get(transfer["id"], {})
            return differences({transfer["id"]: expected}, {transfer["id"]: told}, "told ")
        return []

    # Writing ---------------------------------------------------------------------------------

    async def write(self, attempts: Iterable[Attempt]) -> int:
        """Call, so that AMI sends all of these. Returns how many of the calls ran."""
        free = asyncio.Semaphore(_AT_ONCE)

        async def one(attempt: Attempt) -> bool:
            async with free:
                return await self._call_with(attempt.way, attempt.text(self.ids).encode())

        return sum(await asyncio.gather(*map(one, attempts)))

    async def lists_with(self, text: bytes, by: str) -> None:
        """Make the daemon resync its lists while some of their entries are forged like this."""
        if by == "pause reason":
            assert await self._call_with(by, text)
            await self._cut_ami()
            await self.tidy()
            return
        dialogs = [await self._wait_in(hall, by, text) for hall in HALLS]
        try:
            await self._cut_ami()
        finally:
            for dialog in dialogs:
                await self.trunk.ask("BYE", dialog, tries=4)
                self.trunk.forget(dialog)

    async def tidy(self) -> None:
        """The entry that `pause reason` leaves in all other lists."""
        await self.bed.ami.action(
            "QueuePause", Queue="lobby", Interface="Local/8@forge-end", Paused="false"
        )

    async def _wait_in(self, hall: str, by: str, text: bytes) -> Dialog:
        dialog = await self._stay(number_of_hall(hall, by).encode(), text)

        async def look() -> bool | None:
            rows = await self.bed.ami.command(f"queue show {hall}")
            return "PJSIP/trunk" in rows or None

        assert await self.scene.ami.until(look, 5.0), hall
        return dialog

    async def _stay(self, dialled: bytes, text: bytes = b"") -> Dialog:
        """A call to this number, which stays."""
        what = Input(0, "request", TRUNK, "INVITE", (("user", dialled), ("from", b"+12025550133")))
        dialog = message.opening(what, self.trunk.line)
        note = b"X-Note: " + quote(text, safe="").encode() + b"\r\n"
        answer = await self.trunk.ask("INVITE", dialog, more=note, sdp=True, tries=4)
        assert status(answer) == 200, answer
        return dialog

    async def lists_with_no_text(self) -> None:
        """Make the daemon resync while a channel's extension is not UTF-8."""
        dialog = await self._stay(b"7\xff")
        try:
            await self._cut_ami()
        finally:
            await self.trunk.ask("BYE", dialog, tries=4)
            self.trunk.forget(dialog)

    async def _cut_ami(self) -> None:
        """Asterisk closes the daemon's connection; the daemon reconnects and resyncs."""
        log = len(self.scene.log_of_daemon())

        async def only() -> str | None:  # the one that was cut before may still be listed
            shown = await self.bed.ami.command("manager show connected")
            handles = re.findall(r"(?m)^\s*avp\s+\S+\s+\d+\s+\d+\s+(\d+)", shown)
            return handles[0] if len(handles) == 1 else None

        handle = await self.scene.ami.until(only, 5.0)
        assert handle is not None, "not one connection of the daemon"
        await self.bed.ami.command(f"manager kick session {handle}")

        async def back() -> bool | None:
            again = "ami_connected" in self.scene.log_of_daemon(log)
            return (again and (await self.scene.api("GET", "/readyz")).status == 200) or None

        assert await self.scene.ami.until(back, 15.0)

    async def _call_with(self, way: str, text: bytes) -> bool:
        """Whether the call with that text in it was accepted."""
        dialled = number_of(way).encode()
        known = text if way in ("number", "waiting caller") else b"+12025550133"
        what = Input(0, "request", TRUNK, "INVITE", (("user", dialled), ("from", known)))
        dialog = message.opening(what, self.trunk.line)
        note = b"X-Note: " + quote(text, safe="").encode() + b"\r\n"
        answer = await self.trunk.ask("INVITE", dialog, more=note, sdp=True, tries=4)
        if 200 <= status(answer) < 300:
            await self.trunk.ask("BYE", dialog, tries=4)
        self.trunk.forget(dialog)
        return status(answer) not in (0, 401, 403, 404)


def agent_told(agent: dict[str, Any]) -> dict[str, Any]:
    groups = [group["id"] if isinstance(group, dict) else group for group in agent["groups"]]
    call = agent.get("call") or {}
    transfer = call.get("transfer") or {}
    return {
        "state": agent["state"],
        "groups": groups,
        "waiting_transfer": agent["waiting_transfer"],
        "caller": call.get("caller"),
        "group": call.get("group"),
        "transfer": transfer.get("id") if isinstance(transfer, dict) else transfer,
    }


def transfer_told(transfer: dict[str, Any]) -> dict[str, Any]:
    kept = ("agent", "group", "mode", "target", "state", "ended_reason", "caller", "actions")
    told = {key: transfer.get(key) for key in kept}
    told["parties"] = [(p["id"], p.get("hears")) for p in transfer.get("parties") or ()]
    return told


def differences(expected: dict[str, Any], found: dict[str, Any], head: str = "") -> list[str]:
    return [
        f"{head}{key}: {found.get(key)} and was {expected.get(key)}"
        for key in sorted({*expected, *found})
        if expected.get(key) != found.get(key)
    ]
