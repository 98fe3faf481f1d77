"""An Asterisk with the PBX's configuration, and its Apply Config."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bed import Agent, Bed, Group, Phone, World
from bed.audio import write_music
from bed.instance import STAGES
from bed.world import TEMPLATES

from tests.asterisk.freepbx import dialplan, files
from tests.asterisk.freepbx.agi import FastAgi
from tests.asterisk.freepbx.model import Device, Pbx, Queue, RingGroup, User

OUTSIDE = ("12025550100", "+12025550100", "+12025550101")
"""Numbers that somebody has at the trunk's other end, as they are dialled there."""

_FROM_TEMPLATES = (
    *("asterisk", "modules", "logger", "musiconhold", "rtp", "cdr", "cel", "acl", "ccss"),
    *("pjproject", "udptl", "websocket_client", "confbridge", "indications", "queuerules"),
)
"""What is not the PBX's own, from our test bed."""


def pbx() -> Pbx:
    """Three queues, the second recorded, a hot desk, a ring group, follow-me, and four trunks.

    Users have a phone each, 1005 in device-and-user mode at device 2005. 1004 logs in by star code.
    What is unusual is in the queue 602: a ring group, and Frank, who is followed.
    """
    return Pbx(
        users=(
            User("1001", "Alice"),
            User("1002", "Bob", ring_seconds=3),
            User("1003", "Carol"),
            User("1004", "Dave", voicemail=False),
            User("1005", "Erin"),
            User("1006", "Frank", follow_me=("12025550100#",), pre_ring=2),
        ),
        devices=(
            *(Device(number, number) for number in ("1001", "1002", "1003", "1004", "1006")),
            Device("2005", "1005", kind="adhoc"),
        ),
        queues=(
            Queue("600", "Sales", ("1001", "1002"), **_QUICK),
            Queue("601", "Support", ("1003", "1005"), ("1004",), recording="force", **_QUICK),
            Queue("602", "Desk", ("1006", "700"), **_QUICK),
        ),
        ring_groups=(RingGroup("700", ("1003", "1004")),),
        trunks=("pstn", "caller1", "caller2", "caller3"),
        routes={
            "15550600": "600",
            "15550601": "601",
            "15550602": "602",
            "15550700": "700",
            "15551001": "1001",
        },
    )


_QUICK: dict[str, Any] = {"strategy": "linear", "timeout": 8, "wrapuptime": 1}


def world(pbx: Pbx) -> World:
    """The same in the words of the test bed."""
    static = dict.fromkeys(n for queue in pbx.queues for n in queue.static)
    names = {user.number: user.name for user in pbx.users}
    return World(
        agents=tuple(Agent(n, names[n]) for n in static if n in names),
        groups=tuple(
            Group(
                queue.number,
                tuple(n for n in queue.static if n in names),
                number=next((did for did, to in pbx.routes.items() if to == queue.number), None),
                wrapuptime=queue.wrapuptime,
            )
            for queue in pbx.queues
        ),
        callers=pbx.trunks[1:],
        outside=pbx.trunks[:1],
        phones=tuple(device.id for device in pbx.devices),
        local_members=True,
        member_context="from-queue",
        member_state="hint:{}@ext-local",
    )


class PbxBed(Bed):
    """The PBX. Nothing of ours is installed on it."""

    def __init__(self, pbx: Pbx, **more: object) -> None:
        self.pbx = pbx
        self._rows: dict[str, str] = {}
        super().__init__(world(pbx), **more)  # type: ignore[arg-type]
        self.fastagi = FastAgi(self.ports.spare[0], self.ami, self._hint)

    def _hint(self, user: str, devices: object) -> str:
        return dialplan.hint(self.pbx, user, devices)  # type: ignore[arg-type]

    @property
    def etc(self) -> Path:
        return self.directory / "etc"

    # --- the machine ---------------------------------------------------------------------------

    def render(self) -> None:
        for part in (*STAGES, "spool/monitor", "spool/voicemail", "spool/recording", "log/cdr-csv"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        values = {
            **self.backend.directories(self.name),
            "DATA": self.backend.data,
            "NAME": self.name,
            "OPTIONS": "dontwarn = yes\nexecincludes = yes",
            "RTP_START": str(self.ports.rtp[0]),
            "RTP_END": str(self.ports.rtp[1]),
        }
        for name in _FROM_TEMPLATES:
            text = (TEMPLATES / f"{name}.conf").read_text()
            for key, value in values.items():
                text = text.replace(f"@{key}@", value)
            if name == "modules":  # the PBX has voicemail
                text = re.sub(r"(?m)^noload = app_voicemail\.so\n", "", text)
            (self.etc / f"{name}.conf").write_text(text)
        for name in files.CUSTOM:
            (self.etc / name).touch()
        # The tests' own view of events: another program of the administrator's, so to speak.
        (self.etc / "manager_custom.conf").write_text(
            f"[probe]\nsecret = {self.secrets.probe}\nread = all\nwrite = all\n"
        )
        self.write_configuration()
        write_music(self.directory / "moh" / "music.wav")
        for part in self.directory.iterdir():
            if part.is_dir():
                self.backend.give(part)
        self.backend.prepare(self.name, self.ports)

    def write_configuration(self) -> None:
        """What the GUI's modules write. Files of the administrator's stay as they are."""
        values = {
            "BIND": self.places.bind,
            "SIP_PORT": str(self.places.sip),
            "HTTP_PORT": str(self.places.http),
            "AMI_PORT": str(self.places.ami),
            "MEDIA": self.places.media,
            "ADMIN_SECRET": self.secrets.probe[::-1],
            "ARI_SECRET": self.secrets.ari[::-1],
            "FASTAGI": self.fastagi.url,
        }
        for name, text in files.written(self.pbx, values).items():
            (self.etc / name).write_text(text)
        self.backend.give(self.etc)

    async def start_asterisk(self) -> None:
        await self.fastagi.start()
        await super().start_asterisk()
        await self._write_database()

    async def stop(self) -> None:
        await self.fastagi.stop()
        await super().stop()

    async def _write_database(self) -> None:
        """Rows that are new or have changed in the GUI. What star codes have written stays."""
        wanted = files.database(self.pbx)
        for key in self._rows.keys() - wanted.keys():
            family, _, name = key.rpartition("/")
            await self.ami.action("DBDel", Family=family, Key=name)
        for key, value in wanted.items():
            if self._rows.get(key) != value:
                family, _, name = key.rpartition("/")
                await self.ami.action("DBPut", Family=family, Key=name, Val=value)
        self._rows = wanted

    def configure_phone(self, name: str, answer: str = "manual") -> Phone:
        """At the trunk's other end, somebody has the called numbers."""
        phone = super().configure_phone(name, answer)
        if name == self.pbx.trunks[0]:
            accounts = phone.directory / "accounts"
            line = accounts.read_text()
            for number in OUTSIDE:
                line += re.sub(rf"sip:{name}@", f"sip:{number}@", accounts.read_text()).replace(
                    "regint=600", "regint=0"
                )
            accounts.write_text(line)
            self.backend.give(phone.directory)
        return phone

    # --- the GUI -------------------------------------------------------------------------------

    async def apply_config(self, pbx: Pbx | None = None, **changes: object) -> None:
        """*Apply Config*, also `fwconsole reload`: write all files, and reload Asterisk."""
        self.pbx = replace(pbx or self.pbx, **changes)  # type: ignore[arg-type]
        now = world(self.pbx)
        self.world = replace(self.world, agents=now.agents, groups=now.groups)
        await asyncio.to_thread(self.write_configuration)
        await self._write_database()
        await self.ami.action("Reload")

    async def qualify(self) -> None:
        """Ask all phones whether they are there, as Asterisk does within a minute."""
        for account in (*(device.id for device in self.pbx.devices), *self.pbx.trunks):
            await self.ami.command(f"pjsip qualify {account}")

    async def star(self, phone: str, code: str) -> None:
        """Dial a feature code on a phone, and hang up when it has answered by a prompt."""
        mine, since = self.phones[phone], time.time()
        call = await mine.dial(code)

        async def done() -> bool | None:
            return "speech" in mine.heard(since) or not call.live or None

        assert await self.ami.until(done, 8.0), (phone, code, call)
        await mine.idle()
