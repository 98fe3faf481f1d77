"""Three real nats-servers that are one cluster, by the files that the product renders, with TLS."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from asterisk_avp.config.settings import Settings
from asterisk_avp.install.nats_conf import credentials, nats_conf
from tests.certificates import Authority
from tests.nats_program import program

LETTERS = "abc"
TOKENS = {letter: f"token-of-node-{letter}-" + letter * 32 for letter in LETTERS}
_PORT, _ROUTES = 4222, 6222
_WITHIN = 60.0


class NatsCluster:
    """Node a, b and c each have a server. ``tls``: everything is encrypted."""

    def __init__(self, folder: Path, *, tls: bool = True) -> None:
        self.folder, self.tls = folder, tls
        self.hosts = dict(zip(LETTERS, _free_addresses(), strict=True))
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.certificates: dict[str, Authority] = {}
        """Servers that show another certificate than their nodes, to who has signed it."""
        if tls:
            authority = Authority(folder / "authority")
            for letter, host in self.hosts.items():
                authority.sign([host]).write(folder / letter)

    def settings(self, letter: str, servers: str = LETTERS, **more: str) -> Settings:
        """A node's, as its daemon, `render` and `check` have them."""
        scheme = "tls" if self.tls else "nats"
        env = {
            "AVP_CLUSTER__NODE": letter,
            "AVP_CLUSTER__SERVERS": ",".join(f"{scheme}://{self.hosts[x]}" for x in servers),
        }
        for other, host in self.hosts.items():
            env[f"AVP_NODES__{other.upper()}__URL"] = f"http://{host}:8766"
            env[f"AVP_NODES__{other.upper()}__TOKEN"] = TOKENS[other]
        if self.tls:
            for what in ("CA", "CERT", "KEY"):
                env[f"AVP_CLUSTER__TLS_{what}"] = str(self.folder / letter / f"{what.lower()}.pem")
        rendered = Settings.load(env, Path("/nonexistent"), connect=False)
        env["AVP_CLUSTER__CREDENTIALS"] = credentials(rendered)
        return Settings.load(env | more, Path("/nonexistent"), connect=False)

    def start(self, *letters: str, servers: str = LETTERS) -> None:
        """Start these nodes' servers, by default all, with what they have stored."""
        for letter in letters or LETTERS:
            own = self.folder / letter
            own.mkdir(exist_ok=True)
            text = nats_conf(self.settings(letter, servers), "a test")
            assert "/var/lib/nats/jetstream" in text
            if letter in self.certificates:
                signed = self.certificates[letter].sign([self.hosts[letter]])
                signed.write(own / "server")
                for name in ("cert.pem", "key.pem"):
                    text = text.replace(str(own / name), str(own / "server" / name))
            file = own / "nats-server.conf"
            file.write_text(text.replace("/var/lib/nats/jetstream", str(own / "store")))
            with (own / "nats.log").open("ab") as log:
                self.running[letter] = subprocess.Popen(
                    [program(), "-c", str(file)], stdout=log, stderr=log
                )
        for letter in letters or LETTERS:
            self._wait(letter)

    def _wait(self, letter: str) -> None:
        deadline = time.monotonic() + _WITHIN
        while True:
            try:
                with socket.create_connection((self.hosts[letter], _PORT), 1) as line:
                    if line.recv(4) == b"INFO":
                        return
            except OSError:
                pass
            if time.monotonic() > deadline or self.running[letter].poll() is not None:
                raise RuntimeError((self.folder / letter / "nats.log").read_text()[-2000:])
            time.sleep(0.01)

    def kill(self, *letters: str) -> None:
        """They are gone without a word; what they have stored stays."""
        for letter in letters or tuple(self.running):
            process = self.running.pop(letter)
            process.send_signal(signal.SIGKILL)
            process.wait(_WITHIN)

    def wipe(self) -> None:
        """Delete what all servers have stored; none runs."""
        assert not self.running
        for letter in LETTERS:
            shutil.rmtree(self.folder / letter / "store", ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.kill()


def _free_addresses() -> list[str]:
    """Three addresses of loopback on which nobody uses the ports of NATS."""
    for number in itertools.count(os.getpid()):
        hosts = [f"127.{100 + number // 250 % 100}.{number % 250}.{last}" for last in (11, 12, 13)]
        if all(_is_free(host, port) for host in hosts for port in (_PORT, _ROUTES)):
            return hosts
    raise AssertionError


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind((host, port))
        except OSError:
            return False
    return True
