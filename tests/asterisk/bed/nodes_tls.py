"""Nodes with TLS, as an administrator sets it up: trunks, NATS and the daemons' API.

    async with Nodes("ab", tls=True) as nodes: ...

Each node has one certificate, which names its addresses.
"""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from asterisk_avp.config.node_secrets import nats_password
from asterisk_avp.config.settings import Settings
from asterisk_avp.install.nats_conf import nats_conf
from tests.certificates import Authority, Certificate, paths

FOLDER = "tls"
"""Of a node's certificate, below the folder of Asterisk's files."""
NATS_STORE = "/var/lib/nats/jetstream"


@dataclass
class Tls:
    """``folder``: of the authority, the NATS server and the proxies before the daemons' API."""

    folder: Path
    tokens: Mapping[str, str]
    certificates: dict[str, Certificate] = field(default_factory=dict)
    addresses: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.authority = Authority(self.folder / "authority")

    def issue(self, node: str, addresses: Iterable[str]) -> None:
        self.addresses[node] = (*addresses, "127.0.0.1")
        self.certificates[node] = self.authority.sign(self.addresses[node])

    def bad(self, node: str, how: str) -> Certificate:
        """A certificate of this node's that no other accepts: ``stranger expired name``."""
        if how == "stranger":
            stranger = Authority(self.folder / "stranger", "somebody else")
            shown = stranger.sign(self.addresses[node])
            return replace(shown, ca=self.certificates[node].ca)
        if how == "expired":
            return self.authority.sign(self.addresses[node], expired=True)
        return self.authority.sign(["192.0.2.1"])

    def install(self, node: str, directory: Path) -> None:
        """Write the node's files where its Asterisk and its daemon read them."""
        self.certificates[node].write(directory / "etc" / FOLDER)

    def for_asterisk(self, etc: str) -> dict[str, str]:
        """The settings of the trunks' certificates, as Asterisk sees the files."""
        return _settings(paths(f"{etc}/{FOLDER}"))

    def for_daemon(self, node: str, directory: Path) -> dict[str, str]:
        credentials = f"{node}:{nats_password(self.tokens[node])}"
        files = _settings(paths(str(directory / "etc" / FOLDER)))
        return {**files, "AVP_CLUSTER__CREDENTIALS": credentials}

    def before_api(self, node: str) -> ssl.SSLContext:
        """Of the proxy before a node's API."""
        return self.certificates[node].server(self.folder / f"proxy-{node}")

    def nats(self, node: str, port: int, store: Path) -> str:
        """The file of the NATS server, as the product renders it for this node."""
        env = {
            "AVP_CLUSTER__NODE": node,
            "AVP_CLUSTER__SERVERS": f"tls://127.0.0.1:{port}",
            **_settings(self.certificates[node].write(self.folder / "nats")),
        }
        for name, token in self.tokens.items():
            env[f"AVP_NODES__{name.upper()}__URL"] = "https://127.0.0.1"
            env[f"AVP_NODES__{name.upper()}__TOKEN"] = token
        settings = Settings.load(env, Path("/nonexistent"), connect=False)
        text = nats_conf(settings, "the test bed")
        assert NATS_STORE in text
        return text.replace(NATS_STORE, str(store))

    def end(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _settings(files: Mapping[str, str]) -> dict[str, str]:
    return {f"AVP_CLUSTER__TLS_{name}": path for name, path in files.items()}
