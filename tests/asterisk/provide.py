"""Provide what the Asterisk tests need, or say what is missing. The first step of ``tests/run``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from bed import Unavailable, backend_named
from bed.backend import RootFs


def main() -> int:
    try:
        backend = backend_named(os.environ.get("AVP_BED"))
    except Unavailable as error:
        print(f"tests: no Asterisk to test with: {error}", file=sys.stderr)
        return 1
    version = f", {backend.version()}" if isinstance(backend, RootFs) else ""
    print(f"tests: Asterisk runs by {type(backend).__name__}{version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
