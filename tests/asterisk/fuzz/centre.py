"""The call centre under attack: its trunk, its phones, and a call that nobody may disturb."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
from bed import Bed, World, backend_named

from . import trunk
from .inputs import HIT, SECRET, Words
from .message import Dialog
from .phone import OK, Phone
from .trace import Dialplan, Log

TRUNK_HOST: Final = "127.0.0.2"
STRANGER_HOST: Final = "127.0.0.3"
AGENTS: Final = ("1001", "1002", "1003", "1004")
OUTSIDE: Final = "+12025550100"
_SECONDS: Final = 10.0

#: A provider's trunk, identified by its address, whose caller id is trusted.
_PJSIP: Final = f"""
[trunk](outside)
trust_id_inbound = yes
[trunk]
type = identify
endpoint = trunk
match = {TRUNK_HOST}
"""
#: Agents see what the caller says, as in the inbound dialplan of docs/screen-pops.md.
_EXTENSIONS: Final = """
[callers](+)
exten => 803,1,Answer()
 same => n,Set(AVP_POP_CALLER=${CALLERID(name)})
 same => n,Set(AVP_POP_NOTE=${PJSIP_HEADER(read,X-Note)})
 same => n,Queue(sales,ib(avp-pop-headers^s^1))
 same => n,Hangup()
"""


def world() -> World:
    """No wrap-up: a thousand calls go to the same four agents."""
    settings = {
        "AVP_ACCOUNTS__ACME__EXTERNAL_CALLER_ID": "caller",
        "AVP_POP__SIP_HEADERS": "caller,note",
        "AVP_SESSION__RING_SECONDS": "4",
    }
    # Its phones send no audio.
    demo = World(
        wrapuptime=0, rtp_timeout=0, pjsip=_PJSIP, extensions=_EXTENSIONS, settings=settings
    )
    return replace(demo.with_group("sales", retry=1), callers=("caller1", "caller2"))


@dataclass
class Events:
    """ARI's view of all channels and bridges."""

    url: str
    user: str
    password: str
    protocol: dict[str, str] = field(default_factory=dict)
    """SIP Call-IDs by channel name."""
    created: Counter[str] = field(default_factory=Counter)
    """Channels that were created, by owner, since `take`."""
    entered: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    """Channels that entered a bridge with others."""
    busy_in: dict[str, str] = field(default_factory=dict)
    """The application of a call, by Call-ID."""
    ended: set[str] = field(default_factory=set)
    """Call-IDs of channels that have ended."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    leaks: list[str] = field(default_factory=list)
    secret: str = ""

    async def start(self) -> None:
        user = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        self.session = aiohttp.ClientSession(
            headers={"Authorization": f"Basic {user}"}, timeout=aiohttp.ClientTimeout(_SECONDS)
        )
        self._socket = await self.session.ws_connect(f"{self.url}/events?app=fuzz", heartbeat=30)
        self._task = asyncio.create_task(self._read(), name="ari of the fuzzer")
        source = "channel:,bridge:"
        await self.post("/applications/fuzz/subscription", eventSource=source)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._socket.close()
        await self.session.close()

    async def post(self, path: str, **query: str) -> None:
        async with self.session.post(self.url + path, params=query) as answer:
            assert answer.status < 300, await answer.text()

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.session.get(self.url + path) as answer:
            return answer.status, await answer.json()

    async def delete(self, path: str) -> None:
        async with self.session.delete(self.url + path):
            pass

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self._take(message.data)

    def _take(self, text: str) -> None:
        if self.secret in text:
            self.leaks.append(text)
        event = json.loads(text)
        kind, channel = event["type"], event.get("channel") or {}
        name, call = channel.get("name", ""), channel.get("protocol_id", "")
        if call:
            self.protocol[name] = call
        if kind == "ChannelCreated":
            self.created[name.rpartition("-")[0] or name] += 1
        elif kind == "ChannelDialplan" and call:
            self.busy_in[call] = event["dialplan_app"]
        elif kind == "ChannelEnteredBridge":
            self.entered.append((name, frozenset(event["bridge"]["channels"])))
        elif kind == "ChannelDestroyed" and call:
            self.ended.add(call)
        self.changed.set()

    def forget(self) -> None:
        """Start a new batch."""
        for kept in (self.protocol, self.created, self.entered, self.busy_in, self.ended):
            kept.clear()

    async def until(self, test: Any, within: float) -> bool:
        """Wait until ``test()`` is true. Returns False if it is not in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not test():
                    self.changed.clear()
                    await self.changed.wait()
        return bool(test())


class Centre:
    """A running call centre with phones of ours instead of all of its phones."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.phones: dict[str, Phone] = {}
        self.secret = f"fz{secrets.token_hex(8)}"
        self.log = Log(bed.directory / "log" / "full.log")
        self.leaks: list[str] = []
        self.wrong: list[str] = []
        """What a sender was answered that must not be."""
        self.answered = self.ran = 0
        """Requests that were answered, and dialplan lines that ran, so far."""
        self.events = Events(
            f"http://127.0.0.1:{bed.ports.http}/ari", "avp", bed.secrets.ari, secret=self.secret
        )

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, using: World | None = None, *, of_several: bool = False
    ) -> AsyncIterator[Self]:
        """``of_several``: it is a node, and another one attacks it (see `trunk`)."""
        bed = Bed(using or world(), backend=backend_named(None))
        if of_several:
            bed.world = trunk.world(bed.world)
            trunk.settle_in(bed)
        centre = cls(bed)
        try:
            await bed.start(phones=())
            await bed.start_daemon()
            await centre._start(trunk.attackers(bed) if of_several else {})
            yield centre
        finally:
            for phone in centre.phones.values():
                phone.stop()
            if hasattr(centre.events, "session"):
                await centre.events.stop()
            await bed.stop()

    async def _start(self, more: dict[str, Phone]) -> None:
        proxy = self.bed.ports.sip
        for account in (*AGENTS, "caller1", "caller2", "pstn"):
            self.phones[account] = Phone(account, "127.0.0.1", proxy, f"pw-{account}")
        self.phones["trunk"] = Phone("trunk", TRUNK_HOST, proxy, None)
        self.phones["stranger"] = Phone("stranger", STRANGER_HOST, proxy, None)
        self.phones |= more
        for phone in self.phones.values():
            phone.heard = self._heard
            await phone.start()
        await self.bed.ami.command(f"dialplan set global {SECRET} {self.secret}")
        await self.bed.ami.action("Events", EventMask="off")
        self.dialplan = Dialplan.read(await self.bed.ami.command("dialplan show"))
        await self.events.start()
        await self.begin_call()
        self.log.skip()

    def _heard(self, message: bytes) -> None:
        if self.secret.encode() in message:
            self.leaks.append(message.decode("utf-8", "replace"))

    async def begin_call(self) -> None:
        """caller2 talks to 1004 all the time."""
        caller, agent = self.phones["caller2"], self.phones["1004"]
        agent.reply = lambda _invite: OK
        us = f"<sip:caller2@127.0.0.1>;tag={secrets.token_hex(4)}".encode()
        target = f"sip:1004@127.0.0.1:{self.bed.ports.sip}".encode()
        dialog = Dialog(us, b"<" + target + b">", target)
        self.events.entered.clear()
        answer = await caller.ask("INVITE", dialog, sdp=True, tries=5)
        assert answer.startswith(b"SIP/2.0 200"), answer
        assert await self.events.until(lambda: len(self.events.entered) >= 2, _SECONDS)
        names = sorted(name for name, _ in self.events.entered)
        self.victims = tuple(names)
        _, channels = await self.events.get("/channels")
        self.victim_ids = {row["name"]: row["id"] for row in channels}
        self.replaces = [(await self.bed.dialog(name)).encode() for name in names]
        self.events.forget()

    # What is there ---------------------------------------------------------------------------

    def canary(self) -> tuple[str, Path]:
        """A file that only a command in an input creates: its path there, and here."""
        there = f"{self.bed.backend.directories(self.bed.name)['SPOOL']}/fz"
        return there, self.bed.directory / "spool" / "fz"

    def words(self) -> Words:
        there, _ = self.canary()
        return Words(f"touch {there}", there, self.victim_ids[self.victims[-1]])

    async def globals_hit(self) -> bool:
        answer = await self.bed.ami.action("Getvar", Variable=HIT)
        return bool(answer.get("Value"))

    def files(self) -> frozenset[str]:
        """Files of the instance that Asterisk or its child processes could have created."""
        where = self.bed.directory
        found = {
            str(path.relative_to(where))
            for part in ("spool", "etc", "var", "run", "moh", "phones")
            for path in (where / part).rglob("*")
            if not path.name.startswith("astdb.")  # Asterisk's own database
        }
        tmp = where.parents[1] / "tmp"  # the root file system's, if it is one
        if (where.parents[1] / "srv") == where.parent and tmp.is_dir():
            found |= {str(path) for path in tmp.glob("fz*")}
        return frozenset(found)

    async def channels(self) -> list[str]:
        """The names of all channels, from an answer that nobody else can write."""
        names = (row["Channel"] for row in await self.bed.ami.channels())
        # Asterisk's own, for SIP MESSAGE; it remains, and what it runs is in the log.
        return sorted(name for name in names if name != "Message/ast_msg_queue")
