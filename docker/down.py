#!/usr/bin/env python3
"""End a call centre that docker/up started, and remove its directory."""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "asterisk"), str(ROOT)]

from bed import Backend, Bed, Docker, RootFs  # noqa: E402
from bed.nodes import end_saved  # noqa: E402


def backends() -> list[Backend]:
    """Where an instance may be. Builds nothing."""
    found: list[Backend] = [Docker()]
    asked = [str(ROOT / "docker" / "rootfs"), "--path"]
    answer = subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True).stdout
    current = Path(answer.strip())
    # Any root of the cache: the builder may have changed since docker/up.
    found += [RootFs(r) for r in current.parent.glob("rootfs-*") if (r / "etc/passwd").exists()]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--instance", default="demo")
    parser.add_argument("--keep", action="store_true", help="keep logs and recordings")
    options = parser.parse_args()
    found = False
    if options.keep:
        os.environ["AVP_KEEP"] = "1"
    for backend in backends():
        if asyncio.run(end_saved(backend, options.instance)):
            found = True
            if options.keep:
                print(f"down: kept {backend.directory(options.instance)}-*")
        if not (backend.directory(options.instance) / "instance.json").exists():
            continue
        found = True
        asyncio.run(Bed.saved(options.instance, backend).stop())
        if options.keep:
            print(f"down: kept {backend.directory(options.instance)}")
    if not found:
        print(f"down: there is no instance {options.instance}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
