"""Asterisk, the phones and the daemon in containers.

`Docker` puts them on the host's network, where everything is on 127.0.0.1 as in a root file system.
`Composed` runs Asterisk and the daemon by `docker/compose.yaml`, on private networks, each with an
address of its own; only what the tests talk to is published, on 127.0.0.1.
"""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import images
from .backend import Backend, Places, Unavailable
from .images import IMAGE, docker
from .ports import Ports
from .procs import DIE_WITH_PARENT, ProcessId
from .world import CHECKOUT

#: Carried by every container, with the instance's name; docker/down and the tests look for it.
LABEL = "asterisk-avp"
COMPOSE = CHECKOUT / "docker" / "compose.yaml"
PHONES = CHECKOUT / "tests" / "asterisk" / "bed" / "compose.yaml"


def containers(instance: str | None = None) -> list[str]:
    """The ids of an instance's containers, or of all instances'; running or not."""
    label = LABEL if instance is None else f"{LABEL}={instance}"
    return docker("ps", "--all", "--quiet", "--filter", f"label={label}").stdout.split()


class Docker(Backend):
    """The images of docker/Dockerfile, on the host's network."""

    name = "docker"
    start_seconds = 120.0
    STAGES: tuple[str, ...] = ("asterisk", "phone", "daemon")

    def __init__(self, state: Path | None = None) -> None:
        default = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
        self.state = state or Path(os.environ.get("AVP_STATE", f"{default}/asterisk-avp"))

    @classmethod
    def get(cls) -> Docker:
        """Check that a Docker engine answers, and make the images."""
        images.make(cls.STAGES)
        return cls()

    def directory(self, instance: str) -> Path:
        return self.state / instance

    def network(self, instance: str, process: str) -> list[str]:
        """How a container of ours is reached."""
        return ["--network", "host"]

    def _run(self, instance: str, process: str, *, outlive: bool) -> list[str]:
        return [
            *(() if outlive else DIE_WITH_PARENT),
            *("docker", "run", "--rm", "--init", *self.network(instance, process)),
            *("--name", self.container(instance, process), "--label", f"{LABEL}={instance}"),
            *("--user", f"{os.geteuid()}:{os.getegid()}"),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--volume", f"{self.directory(instance)}:{self.inside(instance)}"),
        ]

    def command(
        self, instance: str, process: str, argv: Sequence[str], *, outlive: bool
    ) -> list[str]:
        stage = "asterisk" if process == "asterisk" else "phone"
        run = self._run(instance, process, outlive=outlive)
        return [*run, "--entrypoint", argv[0], f"{IMAGE}:{stage}", *argv[1:]]

    def daemon(
        self, instance: str, program: Path, env: Mapping[str, str], *, outlive: bool
    ) -> list[str]:
        run = self._run(instance, "daemon", outlive=outlive)
        # Names only: the values, secrets among them, come from the environment of this command.
        names = [word for name in env if name.startswith("AVP_") for word in ("--env", name)]
        return [*run, *names, f"{IMAGE}:daemon", "run"]

    def nats(self, instance: str, *, outlive: bool) -> list[str] | None:
        images.make(("nats",))
        there = self.directory(instance)  # its configuration names files as we see them
        run = self._run(instance, "nats", outlive=outlive)
        return [*run, "--volume", f"{there}:{there}", f"{IMAGE}:nats"]

    def give(self, directory: Path) -> None:
        """The containers run as our own user."""

    def container(self, instance: str, process: str) -> str:
        return f"avp-{instance}-{process}"

    def signal(self, instance: str, process: str, who: ProcessId, number: int) -> None:
        """To the container: a `docker run` cannot pass on all of them, and may be killed alone."""
        if number == signal.SIGKILL:
            # And gone, so that the next one can have its name.
            docker("rm", "--force", self.container(instance, process))
        else:
            docker("kill", "--signal", str(number), self.container(instance, process))

    def end(self, instance: str) -> None:
        """Containers outlive a `docker run` that was killed."""
        listed = containers(instance)
        if listed:
            docker("rm", "--force", "--volumes", *listed)


class Composed(Docker):
    """Asterisk and the daemon as docker/compose.yaml has them, with phones on the same network."""

    name = "compose"
    STAGES = ("asterisk", "phone", "daemon")

    @classmethod
    def get(cls) -> Composed:
        images.make((*cls.STAGES, *(() if _own_compose() else ("compose",))))
        return cls()

    def places(self, ports: Ports) -> Places:
        return Places(
            sip=5060,
            http=8088,
            ami=5038,
            bind="0.0.0.0",
            asterisk="asterisk",
            agi="daemon:4583",
            permit=_control(ports.base),
            # The tests come by the engine's own proxy, from the gateway of some network.
            permit_probe="0.0.0.0/0.0.0.0",
            interface="eth0",
            wire=None,
        )

    def directories(self, instance: str) -> dict[str, str]:
        """As Debian has them."""
        return {
            "ETC": "/etc/asterisk",
            "LIB": "/var/lib/asterisk",
            "SPOOL": "/var/spool/asterisk",
            "RUN": "/run/asterisk",
            "LOG": "/var/log/asterisk",
            "MOH": "/srv/moh",
        }

    def network(self, instance: str, process: str) -> list[str]:
        control = _value(
            self.directory(instance) / "phones" / process / "config", "ctrl_tcp_listen"
        )
        port = control.rpartition(":")[2]
        return ["--network", f"{instance}_voice", "--publish", f"127.0.0.1:{port}:{port}"]

    def give(self, directory: Path) -> None:
        """Asterisk runs as its image's user, the phones as ours."""
        for path in (directory, *directory.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o644)

    def prepare(self, instance: str, ports: Ports) -> None:
        """Write what docker/compose.yaml asks for."""
        directory = self.directory(instance)
        values = {
            "COMPOSE_PROJECT_NAME": instance,
            "AVP_ASTERISK_ETC": directory / "etc",
            "AVP_DAEMON_ENV": directory / "daemon.env",
            "AVP_SECRETS": directory / "secrets",
            "AVP_CONTROL_SUBNET": _control(ports.base),
            "AVP_API_PORT": ports.api,
            # An engine in a sandbox cannot give more than it has.
            "AVP_NOFILE": min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
            "AVP_ASTERISK_IMAGE": f"{IMAGE}:asterisk",
            "AVP_DAEMON_IMAGE": f"{IMAGE}:daemon",
            "BED_DIR": directory,
            "BED_INSTANCE": instance,
            "BED_AMI_PORT": ports.ami,
            "BED_HTTP_PORT": ports.http,
        }
        text = "".join(f"{key}={value}\n" for key, value in values.items())
        (directory / "compose.env").write_text(text)

    def compose(self, instance: str, *words: str) -> list[str]:
        """A command of Compose for the instance."""
        files = ("--file", str(COMPOSE), "--file", str(PHONES))
        env = ("--env-file", str(self.directory(instance) / "compose.env"))
        return [*compose_command(self.state), *env, *files, *words]

    def container(self, instance: str, process: str) -> str:
        if process in SERVICES:
            return f"{instance}-{process}-1"
        return super().container(instance, process)

    def command(
        self, instance: str, process: str, argv: Sequence[str], *, outlive: bool
    ) -> list[str]:
        if process != "asterisk":
            return super().command(instance, process, argv, outlive=outlive)
        return self._up(instance, process, outlive=outlive)

    def daemon(
        self, instance: str, program: Path, env: Mapping[str, str], *, outlive: bool
    ) -> list[str]:
        directory = self.directory(instance)
        secrets = directory / "secrets"
        secrets.mkdir(mode=0o755, exist_ok=True)
        lines = []
        for name, value in env.items():
            if name in SECRETS:
                (secrets / SECRETS[name]).write_text(f"{value}\n")
            elif name.startswith("AVP_") and name not in OF_COMPOSE:
                lines.append(f"{name}={value}\n")
        (directory / "daemon.env").write_text("".join(lines))
        return self._up(instance, "daemon", outlive=outlive)

    def _up(self, instance: str, service: str, *, outlive: bool) -> list[str]:
        """Start a service, and be as long as its container is, with its log for output."""
        up = self.compose(instance, "up", "--detach", "--no-build", "--no-deps", service)
        follow = shlex.join(("docker", "logs", "--follow", self.container(instance, service)))
        # A container that is started again has its earlier log still.
        text = f'since=$(date +%s.%N) && {shlex.join(up)} && exec {follow} --since "$since"'
        return [*(() if outlive else DIE_WITH_PARENT), "sh", "-c", text]

    def end(self, instance: str) -> None:
        super().end(instance)
        if (self.directory(instance) / "compose.env").exists():
            subprocess.run(
                self.compose(instance, "down", "--volumes", "--remove-orphans", "--timeout", "5"),
                capture_output=True,
                check=False,
            )

    def clean(self, instance: str) -> None:
        """What Asterisk's own user wrote is not ours to remove unless we are root."""
        directory = self.directory(instance)
        if directory.exists() and os.geteuid() != 0:
            mounted = ("--volume", f"{directory}:/instance", "--user", "0")
            find = ("/instance", "-mindepth", "1", "-delete")
            docker("run", "--rm", *mounted, "--entrypoint", "find", f"{IMAGE}:daemon", *find)
        shutil.rmtree(directory, ignore_errors=True)


#: What docker/compose.yaml runs; the rest are phones.
SERVICES = ("asterisk", "daemon")
#: Secrets, and the files that docker/compose.yaml takes them from.
SECRETS = {
    "AVP_ARI__PASSWORD": "ari",
    "AVP_AMI__SECRET": "ami",
    "AVP_API__TOKENS": "api_tokens",
}
#: What docker/compose.yaml says itself.
OF_COMPOSE = (
    "AVP_ARI__URL",
    "AVP_AMI__HOST",
    "AVP_AMI__PORT",
    "AVP_AGI__PORT",
    "AVP_API__PORT",
)


def _control(base: int) -> str:
    """The network between Asterisk and the daemon: one for each block of ports."""
    return f"10.213.{(base - 20000) // 400}.0/28"


def _value(file: Path, key: str) -> str:
    lines = (line.split() for line in file.read_text().splitlines())
    return next(words[1] for words in lines if words[:1] == [key])


def _own_compose() -> bool:
    done = docker("compose", "version", "--short")
    if done.returncode:
        return False
    version = done.stdout.strip().removeprefix("v").split(".")
    return [int(part) for part in version[:2]] >= [2, 24]  # `!override`


def compose_command(state: Path) -> list[str]:
    """Compose of this machine, else from an image of ours."""
    if _own_compose():
        return ["docker", "compose"]
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not host.startswith("unix://"):
        raise Unavailable("there is no `docker compose` (2.24 or newer) here; install it")
    run = ["docker", "run", "--rm", "--network", "none"]
    for path in (CHECKOUT, state):
        run += ["--volume", f"{path}:{path}"]
    run += ["--volume", f"{host.removeprefix('unix://')}:/var/run/docker.sock"]
    return [*run, "--user", f"{os.geteuid()}:{os.getegid()}", f"{IMAGE}:compose"]
