"""An authority of a test's own, and the certificates that it signs, by the program openssl."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
_TEXTS = ("ca.pem", "cert.pem", "key.pem")


@dataclass(frozen=True)
class Certificate:
    """PEM texts: the authority's certificate, one that it has signed, and the key of that one."""

    ca: str
    cert: str
    key: str

    def write(self, folder: Path) -> dict[str, str]:
        """Write the three files; their paths by the names of the settings."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in zip(_TEXTS, (self.ca, self.cert, self.key), strict=True):
            (folder / name).write_text(text)
        return paths(str(folder))

    def server(self, folder: Path) -> ssl.SSLContext:
        """A server's context with this certificate. ``folder``: for files of it."""
        files = self.write(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files["CERT"], files["KEY"])
        return context


def paths(folder: str) -> dict[str, str]:
    """Where `Certificate.write` puts the files, by the names of the settings."""
    return {what: f"{folder}/{what.lower()}.pem" for what in ("CA", "CERT", "KEY")}


class Authority:
    """``folder``: where it keeps its files."""

    def __init__(self, folder: Path, name: str = "the test's authority") -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        _openssl(
            f"req -x509 {_KEY} -days 90 -keyout ca.key -out ca.pem"
            " -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign",
            folder,
            ("-subj", f"/CN={name}"),
        )

    def sign(self, addresses: Iterable[str], *, expired: bool = False) -> Certificate:
        """A certificate for a server and a client of these IP addresses."""
        folder = self._folder
        names = ",".join(f"IP:{address}" for address in addresses)
        _openssl(f"req -new {_KEY} -keyout key.pem -out request.pem", folder, ("-subj", "/CN=node"))
        (folder / "extensions").write_text(
            f"subjectAltName = {names}\nextendedKeyUsage = serverAuth, clientAuth\n"
        )
        _openssl(
            "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial"
            f" -days {0 if expired else 90} -extfile extensions -out cert.pem",
            folder,
        )
        return Certificate(*((folder / name).read_text() for name in _TEXTS))


def _openssl(command: str, folder: Path, more: Iterable[str] = ()) -> None:
    subprocess.run(
        ["openssl", *command.split(), *more], cwd=folder, check=True, capture_output=True
    )
