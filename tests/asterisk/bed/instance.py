"""One Asterisk with its phones (and, when wanted, the daemon) on ports of its own."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from . import ports as port_blocks
from .ami import ActionFailed, Probe, party
from .audio import PHONE_TONES, Listener, Tones, write_music
from .backend import Backend, RootFs, Unavailable
from .containers import Composed, Docker
from .phones import Call, Phone
from .ports import Ports
from .procs import ProcessId, end, exited, spawn
from .queuelog import QueueLog
from .world import DIALPLAN, TEMPLATES, World

STAGES = ("etc", "var/keys", "spool", "log", "run", "moh", "phones")
_RENDERED: dict[tuple[Path, frozenset[tuple[str, str]]], dict[str, str]] = {}
"""What the product rendered, by its program and settings."""


@dataclass(frozen=True)
class Secrets:
    """Made anew for each instance."""

    ari: str
    ami: str
    probe: str
    token: str

    @classmethod
    def fresh(cls) -> Secrets:
        return cls(*(secrets.token_hex(12) for _ in range(4)))


def backend_named(name: str | None) -> Backend:
    """`rootfs`, `docker`, or None for what this machine has (AVP_BED may say which, and AVP_ROOTFS
    names a root file system).
    """
    named = "rootfs" if os.environ.get("AVP_ROOTFS") else None
    name = name or os.environ.get("AVP_BED") or named
    if name == "rootfs":
        return RootFs.get()
    if name == "docker":
        return Docker.get()
    if name == "compose":
        return Composed.get()
    if name is not None:
        raise Unavailable(f"no backend named {name}; there are rootfs, docker and compose")
    try:
        return Docker.get()
    except Unavailable as why:
        print(f"bed: {why}; using a root file system instead", file=sys.stderr)
    return RootFs.get()


class Bed:
    """A running test bed; `async with Bed(world) as bed:`, or `start` and `stop`."""

    def __init__(
        self,
        world: World | None = None,
        *,
        name: str | None = None,
        backend: Backend | None = None,
        outlive: bool = False,
        program: Path | None = None,
    ) -> None:
        #: The product's command, by default that of the environment we run in.
        self.program = program or Path(sys.executable).with_name("asterisk-avp")
        self.world = world or World()
        self.backend = backend or backend_named(None)
        self.outlive = outlive
        self.ports = port_blocks.claim()
        self.name = name or f"avp-{self.ports.base}"
        self.secrets = Secrets.fresh()
        self.tones = Tones(dict(zip(self.world.accounts, PHONE_TONES, strict=False)))
        self.phones: dict[str, Phone] = {}
        self.asterisk: ProcessId | None = None
        self.daemon: ProcessId | None = None
        self.places = self.backend.places(self.ports)
        self.listener = Listener(self.ports.phones, self.places.wire)
        self._connect()

    def _connect(self) -> None:
        self.ami = Probe(self.ports.ami, self.secrets.probe)
        self.queue_log = QueueLog(self.directory / "log" / "queue_log")

    @property
    def directory(self) -> Path:
        """The instance's directory as we see it; `log`, `etc` and so on are below."""
        return self.backend.directory(self.name)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    # Start ---------------------------------------------------------------------------------

    def render(self) -> None:
        """Write the instance's configuration."""
        directory = self.directory
        for part in STAGES:
            (directory / part).mkdir(parents=True, exist_ok=True)
        (directory / "log" / "cdr-csv").mkdir(exist_ok=True)
        (directory / "spool" / "recording").mkdir(exist_ok=True)
        values = {
            **self.world.placeholders(),
            **self.backend.directories(self.name),
            "DATA": self.backend.data,
            "NAME": self.name,
            "BIND": self.places.bind,
            "PERMIT": self.places.permit,
            "PERMIT_PROBE": self.places.permit_probe,
            "MEDIA": self.places.media,
            "SIP_PORT": str(self.places.sip),
            "HTTP_PORT": str(self.places.http),
            "AMI_PORT": str(self.places.ami),
            "RTP_START": str(self.ports.rtp[0]),
            "RTP_END": str(self.ports.rtp[1]),
            "ARI_USER": "avp",
            "ARI_PASSWORD": self.secrets.ari,
            "AMI_USER": "avp",
            "AMI_SECRET": self.secrets.ami,
            "PROBE_SECRET": self.secrets.probe,
        }
        values["GLOBALS"] += f"\nAVP_AGI = agi://{self.places.agi}"
        for template in TEMPLATES.glob("*.conf"):
            text = template.read_text()
            for key, value in values.items():
                text = text.replace(f"@{key}@", value)
            (directory / "etc" / template.name).write_text(text)
        self.render_dialplan()
        self.render_personal_queues()
        write_music(directory / "moh" / "music.wav")
        # Not the folder itself, where the daemon runs: its settings may be in no stranger's folder.
        for part in directory.iterdir():
            if part.is_dir():
                self.backend.give(part)
        self.backend.prepare(self.name, self.ports)

    def render_dialplan(self) -> None:
        """Bring the project's dialplan files as they are now."""
        target = self.directory / "etc" / "dialplan"
        if DIALPLAN.is_dir():
            shutil.copytree(DIALPLAN, target, dirs_exist_ok=True)

    def render_personal_queues(self) -> None:
        """The agents' personal queues and ids, written by the product as for an administrator."""
        settings = dict(self.world.daemon_settings())
        for agent in self.world.agents:
            groups = ",".join(g.queue for g in self.world.groups_of(agent.id))
            settings[f"AVP_AGENTS__{agent.id}__GROUPS"] = groups
        # Most instances of a process have the same settings, and so the same files.
        key = (self.program, frozenset(settings.items()))
        if key not in _RENDERED:
            _RENDERED[key] = self._rendered({**self._inherited(), **settings})
        for what, text in _RENDERED[key].items():
            (self.directory / "etc" / f"avp_{what}.conf").write_text(text)

    def _rendered(self, env: Mapping[str, str]) -> dict[str, str]:
        """What `asterisk-avp render` prints for these settings."""
        running = {
            what: subprocess.Popen(
                [str(self.program), "render", what],
                env=env,
                cwd=self.directory,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for what in ("queues", "extensions")
        }
        printed = {what: (process.communicate(), process) for what, process in running.items()}
        for what, ((_, errors), process) in printed.items():
            if process.returncode:
                raise RuntimeError(f"asterisk-avp render {what}: {errors}")
        return {what: output for what, ((output, _), _) in printed.items()}

    @staticmethod
    def _inherited() -> dict[str, str]:
        """Our environment without settings that are none of the instance's."""
        return {k: v for k, v in os.environ.items() if not k.startswith("AVP_")}

    async def start(self, phones: Iterable[str] | None = None) -> None:
        """Start Asterisk and phones (default: one per account)."""
        if self.directory.exists():
            self.backend.clean(self.name)
        self.render()
        await self.start_asterisk()
        self.listener.start()
        await self.start_phones(self.world.accounts if phones is None else phones)
        self.save()

    async def start_asterisk(self) -> None:
        conf = f"{self.backend.directories(self.name)['ETC']}/asterisk.conf"
        command = self.backend.command(
            self.name, "asterisk", [self.backend.asterisk, "-f", "-C", conf], outlive=self.outlive
        )
        self.asterisk = spawn(command, log=self.directory / "log" / "console.log")
        await self.connect()

    async def connect(self) -> None:
        """Connect to AMI as soon as Asterisk answers there; also when it was started again."""
        assert self.asterisk is not None
        log = self.directory / "log" / "console.log"
        was_there = self.asterisk.alive()
        deadline = time.monotonic() + self.backend.start_seconds
        while True:
            try:
                await self.ami.connect(max(1.0, deadline - time.monotonic()))
            except (OSError, ActionFailed) as error:
                await self.ami.close()
                ended = was_there and exited(self.asterisk) is not None
                if ended or time.monotonic() > deadline:
                    tail = log.read_text(errors="replace")[-1500:]
                    raise RuntimeError(f"Asterisk does not start ({error}): {tail}") from None
                await asyncio.sleep(0.02)
            else:
                return

    async def kill_asterisk(self) -> None:
        """End Asterisk as a crash would; `start_asterisk` starts it again."""
        assert self.asterisk is not None
        kill = (self.name, "asterisk", self.asterisk, signal.SIGKILL)
        await asyncio.to_thread(self.backend.signal, *kill)
        await asyncio.to_thread(end, self.asterisk, first=signal.SIGKILL)
        self.asterisk = None
        await self.ami.close()

    async def start_phones(self, names: Iterable[str]) -> None:
        await asyncio.gather(*(self.start_phone(name) for name in names))

    def _phone(self, name: str) -> Phone:
        index = self.world.accounts.index(name)
        agent = next((a for a in self.world.agents if a.id == name), None)
        phone = Phone(
            name=name,
            backend=self.backend,
            instance=self.name,
            ports=self.ports.phone(index),
            places=self.places,
            tone=PHONE_TONES[index],
            tones=self.tones,
            display=agent.name if agent else name,
            outlive=self.outlive,
            keys="info" if name in self.world.keys_by_info else "rtpevent",
            codecs=self.world.codecs.get(name, "ulaw"),
            call_seconds=self.world.call_seconds,
            any_rtp_start=bool(self.world.codecs),
        )
        self.phones[name] = phone
        self.listener.add(phone.ear)
        return phone

    def configure_phone(self, name: str, answer: str = "manual") -> Phone:
        """Write a phone's configuration. `answer`: manual or auto."""
        phone = self._phone(name)
        phone.answer_mode = answer
        phone.configure()
        return phone

    async def start_phone(self, name: str, answer: str = "manual") -> Phone:
        phone = self.configure_phone(name, answer)
        await phone.start()
        return phone

    # The daemon ----------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports.api}"

    def daemon_env(self) -> dict[str, str]:
        """The daemon's settings for this instance."""
        return {
            **self.world.daemon_settings(),
            "AVP_ARI__URL": f"http://127.0.0.1:{self.ports.http}/ari",
            "AVP_ARI__USERNAME": "avp",
            "AVP_ARI__PASSWORD": self.secrets.ari,
            "AVP_AMI__HOST": "127.0.0.1",
            "AVP_AMI__PORT": str(self.ports.ami),
            "AVP_AMI__USERNAME": "avp",
            "AVP_AMI__SECRET": self.secrets.ami,
            "AVP_AGI__PORT": str(self.ports.agi),
            "AVP_API__PORT": str(self.ports.api),
            "AVP_API__TOKENS": self.secrets.token,
        }

    async def start_daemon(
        self,
        env: dict[str, str] | None = None,
        *,
        within: float | None = None,
    ) -> None:
        """Run `asterisk-avp run` and wait until GET /readyz answers 200."""
        log = self.directory / "log" / "daemon.log"
        environment = {**self._inherited(), **self.daemon_env(), **(env or {})}
        self.daemon = spawn(
            self.backend.daemon(self.name, self.program, environment, outlive=self.outlive),
            log=log,
            env=environment,
            cwd=self.directory,  # so that no .env of the checkout is read
        )
        deadline = time.monotonic() + (within or self.backend.start_seconds)
        while not await asyncio.to_thread(self._ready):
            if exited(self.daemon) is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"the daemon does not get ready: {tail}")
            await asyncio.sleep(0.05)
        if self.directory.joinpath("instance.json").exists():
            self.save()

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:  # noqa: S310 - our own http URL
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def signal_daemon(self, number: int) -> None:
        """Send the daemon a signal; in a container it is not the process that we started."""
        assert self.daemon is not None
        self.backend.signal(self.name, "daemon", self.daemon, number)

    async def stop_daemon(self, *, kill: bool = False) -> None:
        """End the daemon; with `kill`, as a crash would."""
        if self.daemon is not None:
            await asyncio.to_thread(self.signal_daemon, signal.SIGKILL if kill else signal.SIGTERM)
            # One signal: a second SIGTERM makes the daemon exit at once, before it has drained.
            await asyncio.to_thread(end, self.daemon, grace=15.0, first=None)
            self.daemon = None
            # Asterisk learns of it when it reads the closed connections. A call that is answered
            # before that enters an application in which nobody is left.
            if kill and await self.ami.until(self._unheard, 5.0) is None:
                raise AssertionError("Asterisk still has the daemon's application")

    async def _unheard(self) -> bool | None:
        return "asterisk_avp" not in await self.ami.command("ari show apps") or None

    # Between tests and at the end ----------------------------------------------------------

    async def idle(self) -> None:
        """End all calls, log out dynamic members, end pauses, wait until nothing is left."""
        for phone in self.phones.values():
            await phone.do_not_disturb(False)
            await phone.auto_answer(False)
            await phone.idle()
        await self.ami.assert_clean()
        for group in self.world.groups:
            for member in (await self.ami.members(group.queue)).values():
                if member["Paused"] == "1":
                    await self.ami.action(
                        "QueuePause", Interface=member["Location"], Paused="false"
                    )
                if member["Membership"] == "dynamic":
                    await self.ami.action(
                        "QueueRemove", Queue=group.queue, Interface=member["Location"]
                    )

    async def attended_transfer(self, phone: Phone, original: Call, consult: Call) -> None:
        """Press Transfer to join the other ends of two calls: a REFER with Replaces.

        baresip cannot do it by itself, so Asterisk is asked for the second call's dialog.
        """
        for row in await self.ami.channels():
            name = row["Channel"]
            if party(name) != phone.name:
                continue
            if await self.ami.variable(name, "CHANNEL(pjsip,call-id)") != consult.id:
                continue
            replaces = quote(await self.dialog(name), safe="")
            target = f"sip:{consult.number}@{self.places.server}?Replaces={replaces}"
            await phone.transfer(target, original)
            return
        raise AssertionError(f"{phone.name} has no channel for {consult}")

    async def dialog(self, channel: str) -> str:
        """A PJSIP channel's dialog, as a Replaces header names it to Asterisk (RFC 3891)."""
        call = await self.ami.variable(channel, "CHANNEL(pjsip,call-id)")
        ours = await self.ami.variable(channel, "CHANNEL(pjsip,local_tag)")
        theirs = await self.ami.variable(channel, "CHANNEL(pjsip,remote_tag)")
        return f"{call};to-tag={ours};from-tag={theirs}"

    async def available(self, *agents: str, within: float = 15.0) -> None:
        """Wait until these agents are idle and their wrap-up is over in all their queues."""

        async def look() -> bool | None:
            now = time.time()
            for queue in {g.queue for a in agents for g in self.world.groups_of(a)}:
                for member in (await self.ami.members(queue)).values():
                    mine = any(self.world.agent(a).name == member["Name"] for a in agents)
                    last, wrap = int(member["LastCall"]), int(member.get("Wrapuptime") or 0)
                    wrap = wrap or self.wrapuptime(queue)
                    if mine and (member["Status"] != "1" or (last and now < last + wrap + 1)):
                        return None
            return True

        if await self.ami.until(look, within) is None:
            raise AssertionError(f"{agents} not available within {within} s")

    def wrapuptime(self, queue: str) -> int:
        group = next(g for g in self.world.groups if g.queue == queue)
        return self.world.wrapuptime if group.wrapuptime is None else group.wrapuptime

    async def stop(self) -> None:
        """End everything that was started here, also what follows something that fails to end.

        Where Asterisk was killed, for example, its connections and the phones' are closed as well.
        """
        async with AsyncExitStack() as ends:  # the last one first
            ends.callback(port_blocks.release, self.ports)
            ends.push_async_callback(self._clean)
            ends.push_async_callback(self._end_asterisk)
            ends.push_async_callback(self.ami.close)
            ends.push_async_callback(self._stop_phones)
            ends.push_async_callback(self.stop_daemon)
            ends.callback(self.listener.stop)

    async def _stop_phones(self) -> None:
        await asyncio.gather(*(phone.stop() for phone in self.phones.values()))

    async def _end_asterisk(self) -> None:
        if self.asterisk is not None:
            await asyncio.to_thread(end, self.asterisk)
            self.asterisk = None

    async def _clean(self) -> None:
        await asyncio.to_thread(self.backend.end, self.name)
        if self.directory.exists() and not os.environ.get("AVP_KEEP"):
            self.backend.clean(self.name)

    # Instances that outlive their starter ----------------------------------------------------

    def save(self) -> None:
        """Note what belongs to the instance, for `attach` and for docker/down."""
        owners = [p for p in (self.asterisk, self.daemon) if p is not None]
        note: dict[str, Any] = {
            "base": self.ports.base,
            "secrets": asdict(self.secrets),
            "asterisk": asdict(self.asterisk) if self.asterisk else None,
            "daemon": asdict(self.daemon) if self.daemon else None,
            "phones": {
                name: asdict(phone.process)
                for name, phone in self.phones.items()
                if phone.process is not None
            },
        }
        file = self.directory / "instance.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(note, indent=2))
        if self.outlive:
            port_blocks.hand_over(self.ports, owners)

    @classmethod
    def saved(cls, name: str, backend: Backend, world: World | None = None) -> Bed:
        """The instance of that name as it was noted, without connecting to it."""
        note = json.loads((backend.directory(name) / "instance.json").read_text())
        bed = cls.__new__(cls)
        bed.program = Path(sys.executable).with_name("asterisk-avp")
        bed.world, bed.backend, bed.outlive, bed.name = world or World(), backend, True, name
        bed.ports = Ports(note["base"])
        bed.secrets = Secrets(**note["secrets"])
        bed.tones = Tones(dict(zip(bed.world.accounts, PHONE_TONES, strict=False)))
        bed.phones = {}
        bed.asterisk = ProcessId(**note["asterisk"]) if note["asterisk"] else None
        bed.daemon = ProcessId(**note["daemon"]) if note["daemon"] else None
        bed.places = backend.places(bed.ports)
        bed.listener = Listener(bed.ports.phones, bed.places.wire)
        bed._connect()
        for phone_name, process in note["phones"].items():
            bed._phone(phone_name).process = ProcessId(**process)
        return bed

    async def attach(self) -> None:
        """Connect to a saved instance: its AMI, its phones' controls and recordings."""
        await self.ami.connect()
        self.listener.start()
        await asyncio.gather(*(p.attach() for p in self.phones.values()))

    async def detach(self) -> None:
        """Let go of an instance and leave it running."""
        self.listener.stop()
        await self.ami.close()
        for phone in self.phones.values():
            await phone.detach()
            phone.ear.close()
