"""The kernel's word on firewall rules: `nft`, this machine's or the one of Debian's package."""

from __future__ import annotations

import os
import shutil
import subprocess

from tests.debian import libraries, unpacked

PACKAGE = "nftables"
_OWN_NETWORK = ("unshare", "--user", "--map-root-user", "--net")
"""In which everybody may ask, and in which this machine has no firewall that could be changed."""


def objections(rules: str) -> str:
    """What nft has against these rules; empty: nothing.

    Raises `tests.debian.NotProvided` where there is no nft: rules that nobody read prove nothing.
    """
    found = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    environment: dict[str, str] = {}
    if not found:
        folder = unpacked(PACKAGE, "nft")
        found, environment = str(folder / "usr/sbin/nft"), libraries(folder)
    # The kernel is asked about rules by root only.
    before = () if os.geteuid() == 0 else _OWN_NETWORK
    done = subprocess.run(
        [*before, found, "-c", "-f", "-"],
        env={**os.environ, **environment},
        input=rules,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return ""
    return done.stderr or f"nft ended with {done.returncode}"
