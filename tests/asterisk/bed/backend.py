"""Where Asterisk and baresip run: what a backend is, and a root file system of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import build, rtp_start
from .ports import Ports
from .procs import DIE_WITH_PARENT, ProcessId
from .world import CHECKOUT


class Unavailable(RuntimeError):
    """The test bed cannot run here; the text says what is missing and what to do."""


@dataclass(frozen=True)
class Places:
    """Where an instance's parts are for one another; the tests reach all of it on 127.0.0.1."""

    sip: int
    http: int
    ami: int
    #: What Asterisk and the phones listen on.
    bind: str = "127.0.0.1"
    #: How the phones and the daemon reach Asterisk.
    asterisk: str = "127.0.0.1"
    #: How Asterisk reaches the daemon's FastAGI.
    agi: str = "127.0.0.1:4583"
    #: Who may use the manager interface, as the daemon and as the tests.
    permit: str = "127.0.0.1/255.255.255.255"
    permit_probe: str = "127.0.0.1/255.255.255.255"
    #: What stands at each endpoint about the address of its media.
    media: str = ""
    #: A phone's network interface, by address or by name.
    interface: str = "127.0.0.1"
    #: Where the phones' packets are seen; None: where they leave for a container.
    wire: str | None = "lo"

    @property
    def server(self) -> str:
        """Asterisk, as in a SIP address."""
        return f"{self.asterisk}:{self.sip}"


LOOPBACK_MEDIA = """\
; Without an address of its own, RTCP would look up the host's name for each call.
media_address = 127.0.0.1
bind_rtp_to_media_address = yes"""


_NEEDS_ROOT = (
    "running Asterisk in a root file system needs root (chroot); run this as root, "
    "or use a Docker engine that you may talk to"
)


class Backend(ABC):
    """How to run a command next to an instance's directory."""

    name: str
    #: Asterisk's program and its astdatadir, seen from inside. Debian's, unless others are found.
    asterisk = "/usr/sbin/asterisk"
    data = "/usr/share/asterisk"
    #: How long a process may take to start, on a machine that is busy.
    start_seconds = 30.0

    def places(self, ports: Ports) -> Places:
        """Addresses and ports of an instance, seen from inside."""
        return Places(
            sip=ports.sip,
            http=ports.http,
            ami=ports.ami,
            agi=f"127.0.0.1:{ports.agi}",
            media=LOOPBACK_MEDIA,
        )

    def directories(self, instance: str) -> dict[str, str]:
        """Asterisk's directories as itself sees them, by the names of the templates."""
        inside = self.inside(instance)
        parts = {"ETC": "etc", "LIB": "var", "SPOOL": "spool", "RUN": "run", "LOG": "log"}
        return {key: f"{inside}/{part}" for key, part in {**parts, "MOH": "moh"}.items()}

    @abstractmethod
    def directory(self, instance: str) -> Path:
        """An instance's directory as we see it."""

    def inside(self, instance: str) -> str:
        """The same directory as Asterisk and the phones see it."""
        return f"/srv/{instance}"

    def for_daemon(self, instance: str) -> str:
        """The same directory as the daemon sees it."""
        return self.inside(instance)

    @abstractmethod
    def command(
        self, instance: str, process: str, argv: Sequence[str], *, outlive: bool
    ) -> list[str]:
        """The command that runs `argv` as an ordinary user. Unless `outlive`, it ends with us."""

    @abstractmethod
    def give(self, directory: Path) -> None:
        """Let that user write to a directory."""

    def prepare(self, instance: str, ports: Ports) -> None:  # noqa: B027 - most need nothing
        """Write what else the backend needs, once the configuration is there."""

    def daemon(
        self, instance: str, program: Path, env: Mapping[str, str], *, outlive: bool
    ) -> list[str]:
        """The command that runs the daemon with this environment."""
        return [*(() if outlive else DIE_WITH_PARENT), str(program), "run"]

    def nats(self, instance: str, *, outlive: bool) -> list[str] | None:
        """The command that runs a NATS server, without its arguments; None: this machine's."""
        return None

    def signal(self, instance: str, process: str, who: ProcessId, number: int) -> None:
        """Send a signal to a process of the instance."""
        who.signal(number)

    def end(self, instance: str) -> None:  # noqa: B027 - most need nothing
        """End what is left of an instance after its processes were told to end."""

    def clean(self, instance: str) -> None:
        """Remove an instance's directory."""
        shutil.rmtree(self.directory(instance), ignore_errors=True)


class RootFs(Backend):
    """Debian's packages, or an Asterisk of your own, in a directory, run with chroot as root."""

    name = "rootfs"

    def __init__(self, root: Path) -> None:
        """Raises `Unavailable` where something is missing in the folder."""
        try:
            self.build = build.find(root)
        except build.Incomplete as error:
            raise Unavailable(str(error)) from None
        self.root = root
        self.asterisk, self.data = self.build.asterisk, self.build.data
        rtp_start.provide(root)

    @classmethod
    def get(cls) -> RootFs:
        """Take the folder that AVP_ROOTFS names; else build the root file system, or find it in
        the cache.
        """
        named = os.environ.get("AVP_ROOTFS")
        if named:
            return cls._of(Path(named).absolute())
        done = subprocess.run(
            [str(CHECKOUT / "docker" / "rootfs")], stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise Unavailable("no root file system to run Asterisk in; see the message above")
        if os.geteuid() != 0:
            raise Unavailable(_NEEDS_ROOT)
        return cls(Path(done.stdout.strip()))

    @classmethod
    def _of(cls, root: Path) -> RootFs:
        if os.geteuid() != 0:
            raise Unavailable(_NEEDS_ROOT)
        found = cls(root)
        try:
            found.version()
        except Unavailable as error:
            raise Unavailable(f"AVP_ROOTFS: {error}") from None
        (root / "srv").mkdir(exist_ok=True)
        (root / "tmp").mkdir(exist_ok=True)
        return found

    def version(self) -> str:
        """What this Asterisk says of itself. Raises `Unavailable` if it does not start."""
        argv = ["chroot", str(self.root), self.asterisk, "-V"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise Unavailable(f"{self.asterisk} in {self.root} does not start: {said}")
        return done.stdout.strip()

    def directory(self, instance: str) -> Path:
        return self.root / "srv" / instance

    def for_daemon(self, instance: str) -> str:
        return str(self.directory(instance))  # it runs next to us, not in the root

    def command(
        self, instance: str, process: str, argv: Sequence[str], *, outlive: bool
    ) -> list[str]:
        user = [f"--reuid={self.build.uid}", f"--regid={self.build.gid}", "--clear-groups"]
        # The option comes after the change of user, which would clear it.
        tie = [] if outlive else list(DIE_WITH_PARENT[1:])
        # Ahead of the tests and of whatever else runs here: sound that comes late breaks up, and
        # a test fails for what it heard. Where this is not allowed, nice says so and goes on.
        first = ["nice", "-n", "-10", "chroot", str(self.root)]
        chroot = [*first, "/usr/bin/env", "-i", "LC_ALL=C.UTF-8", "HOME=/tmp"]
        path = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        return [*chroot, *path, "setpriv", *user, "--no-new-privs", *tie, *argv]

    def give(self, directory: Path) -> None:
        for path in (directory, *directory.rglob("*")):
            os.chown(path, self.build.uid, self.build.gid)
