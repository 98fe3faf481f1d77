"""Benchmarks, on a real Asterisk or a simulated one. Each module says how to run it."""

import sys
from pathlib import Path

# The paths of the test bed (pythonpath in pyproject.toml) and of the simulated Asterisk.
for _folder in ("asterisk", "adapters"):
    _path = str(Path(__file__).resolve().parents[1] / _folder)
    if _path not in sys.path:
        sys.path.insert(0, _path)
