"""The commands of docs/cluster.md that make certificates, as the nodes use the files."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

from tests.documentation import blocks, page, section


def context(folder: Path, node: str, *, server: bool) -> ssl.SSLContext:
    """As strict as Python is from 3.13 on."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(folder / "ca.pem")
    made.load_cert_chain(folder / f"cert-{node}.pem", folder / f"key-{node}.pem")
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    return made


def shaken(client: ssl.SSLContext, server: ssl.SSLContext, address: str) -> None:
    """Raises `ssl.SSLError` if either refuses the other."""
    ways = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(ways[0], ways[1], server_hostname=address),
        server.wrap_bio(ways[1], ways[0], server_side=True),
    )
    waiting = list(ends)
    for _ in range(20):
        for end in tuple(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
        if not waiting:
            return
    raise AssertionError("the handshake does not end")


def test_the_certificates_of_the_page_are_accepted_by_both(tmp_path: Path) -> None:
    (made,) = blocks(section(page("docs/cluster.md"), "## TLS"), "sh")
    for node, address in (("a", "192.0.2.11"), ("b", "192.0.2.12")):
        authority, *signed = made.text.strip().replace("\\\n", "").splitlines()
        commands = [authority] if node == "a" else []
        commands += [
            line.replace("192.0.2.11", address).replace("-a.pem", f"-{node}.pem") for line in signed
        ]
        for command in commands:
            subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, capture_output=True)
    for one, other, address in (("a", "b", "192.0.2.12"), ("b", "a", "192.0.2.11")):
        client = context(tmp_path, one, server=False)
        shaken(client, context(tmp_path, other, server=True), address)
