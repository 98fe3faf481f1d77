"""A real nats-server on loopback, with JetStream in a temporary folder."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from asterisk_avp.install.nats_conf import publishes, subscribes
from tests.nats_program import program
from tests.ports import free_port

WITHIN_SECONDS = 60.0
NODES = ("a", "b", "c")
ANYBODY = "anybody"
"""A user who may do everything."""


def rights(node: str) -> str:
    """What an installation gives to a node's user."""
    return (
        f"permissions: {{ publish: {{ allow: {json.dumps(publishes(node))} }}, "
        f"subscribe: {{ allow: {json.dumps(subscribes(node))} }}, allow_responses: true }}"
    )


def password(user: str) -> str:
    return f"{user}-of-nats"


class NatsServer:
    """The server, which can be stopped and started again with what it has stored."""

    def __init__(self, folder: Path, *, jetstream: bool = True) -> None:
        self.folder = folder
        self.jetstream = jetstream
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        users = "\n".join(
            f'{{ user: "{name}", password: "{password(name)}", {rights(name)} }}' for name in NODES
        )
        users += f'\n{{ user: "{ANYBODY}", password: "{password(ANYBODY)}" }}'
        store = f'jetstream {{ store_dir: "{self.folder}/store" }}\n' if self.jetstream else ""
        settings = self.folder / "nats.conf"
        settings.write_text(
            f'listen: "127.0.0.1:{self.port}"\n{store}authorization {{ users: [\n{users}\n] }}\n'
        )
        with (self.folder / "nats.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program(), "-c", str(settings)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + WITHIN_SECONDS
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as one:
                    if one.recv(4) == b"INFO":
                        return
            except OSError:
                pass
            if time.monotonic() > deadline or self.process.poll() is not None:
                text = (self.folder / "nats.log").read_text()
                self.stop()
                raise RuntimeError(f"nats-server does not start:\n{text}")
            time.sleep(0.01)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(WITHIN_SECONDS)
            self.process = None
