"""A NATS server with JetStream for the test bed's nodes, on a port of loopback."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from asterisk_avp.install.nats_conf import publishes, subscribes

from .backend import Backend, Unavailable
from .procs import DIE_WITH_PARENT, ProcessId, end, exited, spawn

_CONF = """\
listen: "127.0.0.1:{port}"
server_name: "{name}"
jetstream {{ store_dir: "{folder}/jetstream", max_mem: 64MB, max_file: 256MB }}
accounts {{ AVP {{ jetstream: enabled, users: [
{users}
] }} }}
"""


def _program() -> Path:
    """This machine's, or the one of Debian's package. Raises `Unavailable`."""
    found = os.environ.get("AVP_NATS_SERVER") or shutil.which(
        "nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/bin"
    )
    if found:
        return Path(found)
    from tests.debian import NotProvided, unpacked

    try:
        return unpacked("nats-server", "nats-server") / "usr/sbin/nats-server"
    except NotProvided as error:
        raise Unavailable(f"several nodes need nats-server (AVP_NATS_SERVER): {error}") from None


def _user(name: str, password: str) -> str:
    """With the rights that an installation gives to a node."""
    allowed = [f"publish: {{ allow: {json.dumps(publishes(name))} }}"]
    allowed.append(f"subscribe: {{ allow: {json.dumps(subscribes(name))} }}")
    rights = f"permissions: {{ {', '.join(allowed)}, allow_responses: true }}"
    return f'  {{ user: "{name}", password: "{password}", {rights} }}'


class Nats:
    """One server. ``users``: passwords by user, which is a node's id. ``backend``: where it runs;
    the folder is that of an instance there.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        users: Mapping[str, str],
        *,
        outlive: bool = False,
        backend: Backend | None = None,
    ) -> None:
        self._backend = backend
        self.folder, self.port, self.users, self.outlive = folder, port, dict(users), outlive
        self.process: ProcessId | None = None
        #: Written instead of ours, if it is not empty.
        self.configuration = ""

    @property
    def log(self) -> Path:
        return self.folder / "nats.log"

    async def start(self) -> None:
        """Start it, or start it again with what it has stored. Raises `Unavailable`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        users = "\n".join(_user(name, password) for name, password in self.users.items())
        conf = self.folder / "nats.conf"
        conf.touch(mode=0o600)
        own = _CONF.format(port=self.port, name="bed", folder=self.folder, users=users)
        conf.write_text(self.configuration or own)
        command = [*self._command(), "-c", str(conf)]
        self.process = spawn(command, log=self.log, cwd=self.folder)
        deadline = time.monotonic() + 30
        while not self._answers():
            if exited(self.process) is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-1500:]
                raise RuntimeError(f"nats-server does not start: {tail}")
            await asyncio.sleep(0.02)

    def _command(self) -> list[str]:
        own = self._backend
        given = own.nats(self.folder.name, outlive=self.outlive) if own is not None else None
        tie = () if self.outlive else DIE_WITH_PARENT
        return given if given is not None else [*tie, str(_program())]

    def _signal(self, number: int) -> None:
        assert self.process is not None
        if self._backend is None:
            self.process.signal(number)
        else:
            self._backend.signal(self.folder.name, "nats", self.process, number)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as line:
                return line.recv(5) == b"INFO "
        except OSError:
            return False

    async def stop(self, *, kill: bool = False) -> None:
        """End it; what it has stored stays."""
        if self.process is not None:
            await asyncio.to_thread(self._signal, signal.SIGKILL if kill else signal.SIGTERM)
            await asyncio.to_thread(end, self.process, first=None)
            self.process = None

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self.process is not None:
            self._signal(signal.SIGCONT)

    def note(self) -> dict[str, Any]:
        """What `saved` needs; no passwords."""
        return {"port": self.port, "process": asdict(self.process) if self.process else None}

    @classmethod
    def saved(cls, folder: Path, note: Mapping[str, Any], backend: Backend | None = None) -> Self:
        """A server that has outlived its starter, to be ended."""
        found = cls(folder, note["port"], {}, outlive=True, backend=backend)
        found.process = ProcessId(**note["process"]) if note["process"] else None
        return found

    async def end(self) -> None:
        """For good."""
        self.thaw()
        await self.stop()
        if self._backend is not None:
            self._backend.end(self.folder.name)
        if not os.environ.get("AVP_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)
