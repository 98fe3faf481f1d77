"""Where Asterisk and baresip run: in a root file system of their own, or in Docker."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from .procs import DIE_WITH_PARENT
from .world import CHECKOUT

#: The host's certificate authorities (Debian's place; elsewhere the images bring their own).
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


class Unavailable(RuntimeError):
    """The test bed cannot run here; the text says what is missing and what to do."""


class Backend(ABC):
    """How to run a command next to an instance's directory."""

    name: str

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

    def daemon(
        self, instance: str, program: Path, env: Mapping[str, str], *, outlive: bool
    ) -> list[str]:
        """The command that runs the daemon with this environment."""
        return [*(() if outlive else DIE_WITH_PARENT), str(program), "run"]

    def end(self, instance: str) -> None:  # noqa: B027 - most need nothing
        """End what is left of an instance after its processes were told to end."""

    def clean(self, instance: str) -> None:
        """Remove an instance's directory."""
        shutil.rmtree(self.directory(instance), ignore_errors=True)


class RootFs(Backend):
    """Debian's packages in a directory, run with chroot. Needs root, and nothing else."""

    name = "rootfs"

    def __init__(self, root: Path) -> None:
        self.root = root
        entry = next(
            line.split(":")
            for line in (root / "etc/passwd").read_text().splitlines()
            if line.startswith("asterisk:")
        )
        self.uid, self.gid = int(entry[2]), int(entry[3])

    @classmethod
    def get(cls) -> RootFs:
        """Build the root file system, or find it in the cache."""
        done = subprocess.run(
            [str(CHECKOUT / "docker" / "rootfs")], stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise Unavailable("no root file system to run Asterisk in; see the message above")
        if os.geteuid() != 0:
            raise Unavailable(
                "running Asterisk in a root file system needs root (chroot); run this as root, "
                "or use a Docker engine that you may talk to"
            )
        return cls(Path(done.stdout.strip()))

    def directory(self, instance: str) -> Path:
        return self.root / "srv" / instance

    def for_daemon(self, instance: str) -> str:
        return str(self.directory(instance))  # it runs next to us, not in the root

    def command(
        self, instance: str, process: str, argv: Sequence[str], *, outlive: bool
    ) -> list[str]:
        user = ["--reuid", str(self.uid), "--regid", str(self.gid), "--clear-groups"]
        # The option comes after the change of user, which would clear it.
        tie = [] if outlive else list(DIE_WITH_PARENT[1:])
        # Ahead of the tests and of whatever else runs here: sound that comes late breaks up, and
        # a test fails for what it heard. Where this is not allowed, nice says so and goes on.
        first = ["nice", "-n", "-10", "chroot", str(self.root)]
        chroot = [*first, "/usr/bin/env", "-i", "LC_ALL=C.UTF-8", "HOME=/tmp"]
        path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        return [*chroot, path, "setpriv", *user, "--no-new-privs", *tie, *argv]

    def give(self, directory: Path) -> None:
        for path in (directory, *directory.rglob("*")):
            os.chown(path, self.uid, self.gid)


class Docker(Backend):
    """The images of docker/Dockerfile, on the host's network."""

    name = "docker"
    IMAGE = "asterisk-avp-bed"
    STAGES = ("asterisk", "phone", "daemon")
    CONTEXT = (
        "requirements.lock",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "dialplan",
        "asterisk_avp",
    )

    def __init__(self, state: Path | None = None) -> None:
        default = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
        self.state = state or Path(os.environ.get("AVP_STATE", f"{default}/asterisk-avp"))

    @classmethod
    def get(cls) -> Docker:
        """Check that a Docker engine answers, and make the images."""
        cls.engine()
        script = CHECKOUT / "docker"
        base = subprocess.run([str(script / "base-image")], stdout=sys.stderr, check=False)
        if base.returncode:
            raise Unavailable("no image debian:forky-slim; see the message above")
        for stage in cls.STAGES:
            cls._build(stage)
        return cls()

    @classmethod
    def engine(cls) -> None:
        if shutil.which("docker") is None:
            raise Unavailable("docker is not installed")
        asked = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False)
        if asked.returncode:
            why = (asked.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise Unavailable(f"no Docker engine answers ({why})")

    @classmethod
    def _build(cls, stage: str) -> None:
        docker = CHECKOUT / "docker"
        acquire = subprocess.run(
            [str(docker / "rootfs"), "--acquire"], capture_output=True, text=True, check=True
        ).stdout
        # The context by a pipe: the checkout may hold much that no image needs.
        command = [
            *("docker", "build", "--network", "host", "--target", stage),
            *("--build-arg", f"APT_ACQUIRE={acquire}"),
            *("--tag", f"{cls.IMAGE}:{stage}", "-"),
        ]
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w", format=tarfile.GNU_FORMAT) as tar:
            tar.add(docker / "Dockerfile", "Dockerfile", filter=_stable)
            authorities = Path(os.environ.get("PIP_CERT") or AUTHORITIES)
            if authorities.exists():
                tar.add(authorities.resolve(), "host-ca.crt", filter=_stable)
            for part in cls.CONTEXT:
                tar.add(CHECKOUT / part, part, filter=_stable)
        done = subprocess.run(
            command,
            input=context.getvalue(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode:
            tail = done.stdout.decode(errors="replace")[-2000:]
            raise Unavailable(f"docker build --target {stage} failed: {tail}")

    def directory(self, instance: str) -> Path:
        return self.state / instance

    def _run(self, instance: str, process: str, *, outlive: bool) -> list[str]:
        return [
            *(() if outlive else DIE_WITH_PARENT),
            *("docker", "run", "--rm", "--init", "--network", "host"),
            *("--name", f"avp-{instance}-{process}", "--label", f"asterisk-avp={instance}"),
            *("--user", f"{os.geteuid()}:{os.getegid()}"),
            *("--volume", f"{self.directory(instance)}:{self.inside(instance)}"),
        ]

    def command(
        self, instance: str, process: str, argv: Sequence[str], *, outlive: bool
    ) -> list[str]:
        stage = "asterisk" if process == "asterisk" else "phone"
        run = self._run(instance, process, outlive=outlive)
        return [*run, "--entrypoint", argv[0], f"{self.IMAGE}:{stage}", *argv[1:]]

    def daemon(
        self, instance: str, program: Path, env: Mapping[str, str], *, outlive: bool
    ) -> list[str]:
        run = self._run(instance, "daemon", outlive=outlive)
        # Names only: the values, secrets among them, come from the environment of this command.
        names = [word for name in env if name.startswith("AVP_") for word in ("--env", name)]
        return [*run, *names, f"{self.IMAGE}:daemon", "run"]

    def give(self, directory: Path) -> None:
        """The containers run as our own user."""

    def end(self, instance: str) -> None:
        """Containers outlive a `docker run` that was killed."""
        listed = subprocess.run(
            ["docker", "ps", "--all", "--quiet", "--filter", f"label=asterisk-avp={instance}"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.split()
        if listed:
            subprocess.run(["docker", "rm", "--force", *listed], capture_output=True, check=False)


def _stable(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """The same context for the same files, so that the engine's cache holds."""
    if "__pycache__" in info.name:
        return None
    info.uid = info.gid = 0
    info.mtime = 0
    info.uname = info.gname = ""
    return info
