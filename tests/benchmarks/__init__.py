"""Measurements on a real Asterisk. Each module says how it is run."""

import sys
from pathlib import Path

# Where pytest finds the test bed (pythonpath in pyproject.toml).
_BED = str(Path(__file__).resolve().parents[1] / "asterisk")
if _BED not in sys.path:
    sys.path.insert(0, _BED)
