"""The images of docker/Dockerfile: is there an engine, and make them."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from .backend import Unavailable
from .world import CHECKOUT

#: Their tags are the stages of the Dockerfile.
IMAGE = "asterisk-avp-bed"
#: What goes into the context, besides the Dockerfile.
CONTEXT = (
    "docker/add-packages",
    "docker/requirements.lock",
    "docker/build.lock",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "dialplan",
    "asterisk_avp",
)
#: The host's certificate authorities (Debian's place; elsewhere the images bring their own).
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
#: Build arguments that every Dockerfile knows; given by name, their values stay out of the image.
PROXIES = tuple(
    name for lower in ("http_proxy", "https_proxy", "no_proxy") for name in (lower, lower.upper())
)


def engine() -> None:
    """Raise Unavailable unless a Docker engine answers."""
    if shutil.which("docker") is None:
        raise Unavailable("docker is not installed")
    asked = docker("version")
    if asked.returncode:
        why = (asked.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Unavailable(f"no Docker engine answers ({why})")


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    """Run one of docker's own commands."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False)


def make(stages: Iterable[str]) -> None:
    """Make these images, as far as the engine does not have them."""
    engine()
    scripts = CHECKOUT / "docker"
    with Path(tempfile.gettempdir(), f"asterisk-avp-images.{os.getuid()}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one of several test processes does it
        base = subprocess.run(
            [str(scripts / "base-image")], stdout=subprocess.PIPE, text=True, check=False
        )
        if base.returncode:
            raise Unavailable("no base image for docker/Dockerfile; see the message above")
        asked = [str(scripts / "rootfs"), "--acquire"]
        acquire = subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True).stdout
        arguments = [f"BASE={base.stdout.strip()}", f"APT_ACQUIRE={acquire}"]
        arguments += [name for name in PROXIES if name in os.environ]
        context = _context()
        for stage in stages:
            _build(stage, arguments, context)


def _build(stage: str, arguments: Iterable[str], context: bytes) -> None:
    begin = time.monotonic()
    # The context by a pipe: the checkout may hold much that no image needs.
    command = [
        *("docker", "build", "--network", "host", "--target", stage),
        *("--file", "docker/Dockerfile", "--tag", f"{IMAGE}:{stage}"),
        *(word for argument in arguments for word in ("--build-arg", argument)),
        "-",
    ]
    done = subprocess.run(
        command, input=context, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        tail = done.stdout.decode(errors="replace")[-3000:]
        raise Unavailable(f"docker build --target {stage} failed: {tail}")
    seconds = time.monotonic() - begin
    if seconds > 5:
        print(f"bed: image {IMAGE}:{stage} made in {seconds:.0f} s", file=sys.stderr, flush=True)


def _context() -> bytes:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(CHECKOUT / "docker" / "Dockerfile", "docker/Dockerfile", filter=_stable)
        authorities = Path(os.environ.get("PIP_CERT") or AUTHORITIES)
        if authorities.exists():
            tar.add(authorities.resolve(), "host-ca.crt", filter=_stable)
        for part in CONTEXT:
            tar.add(CHECKOUT / part, part, filter=_stable)
    return context.getvalue()


def _stable(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """The same context for the same files, so that the engine's cache holds."""
    if "__pycache__" in info.name:
        return None
    info.uid = info.gid = 0
    info.mtime = 0
    info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
    info.uname = info.gname = ""
    return info
