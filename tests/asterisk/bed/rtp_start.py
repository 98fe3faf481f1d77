"""Phones whose RTP streams begin at any number, as RFC 3550 (5.1) wants it.

libre, on which baresip stands, begins below 32768 (src/rtp/rtp.c, ``rtp_alloc``: ``rand_u16() &
0x7fff``). Asterisk with Debian's patch takes part of the numbers above for earlier ones, so that
faults of it would not be seen. A copy of the library without that limit is put beside, for the
machines whose code is known; on others phones begin below 32768, as do those of all tests that are
not about codecs.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = "opt/asterisk-avp-phones"
"""Within the root file system."""

#: ``and $0x7fff,%ax`` of x86-64, and with all 16 bits.
_LIMITED, _WHOLE = b"\x66\x25\xff\x7f", b"\x66\x25\xff\xff"


def provide(root: Path) -> None:
    """Put the copy into the root file system, if its library is known."""
    for library in sorted(root.glob("usr/lib/*-linux-gnu/libre.so.[0-9]*")):
        code = library.read_bytes()
        if library.name.count(".") != 2 or code.count(_LIMITED) != 1:
            continue
        there = root / FOLDER / library.name
        if not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            mine = there.with_name(f"{there.name}.{os.getpid()}")
            mine.write_bytes(code.replace(_LIMITED, _WHOLE))
            mine.replace(there)
