"""Measurements, on a real Asterisk or a simulated one. Each module says how it is run."""

import sys
from pathlib import Path

# Where pytest finds the test bed (pythonpath in pyproject.toml) and the simulated Asterisk.
for _folder in ("asterisk", "adapters"):
    _path = str(Path(__file__).resolve().parents[1] / _folder)
    if _path not in sys.path:
        sys.path.insert(0, _path)
