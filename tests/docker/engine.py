"""Build the images for the container tests, or say why not. First step of `tests/run docker`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "asterisk"))

from bed import Composed, Unavailable


def main() -> int:
    try:
        Composed.get()
    except Unavailable as error:
        print(f"tests: containers are not available: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
