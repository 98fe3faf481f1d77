"""Foreign text (a name, a note, JSON) as a value that means nothing to the dialplan, and back.

Compressed, and then base64 with the alphabet of file names (RFC 4648, section 5) without padding:
letters, digits, ``-`` and ``_``.
"""

from __future__ import annotations

import base64
import re
import zlib
from typing import Final

_PACKED: Final = re.compile(r"[A-Za-z0-9_-]*")


def pack(text: str) -> str:
    """Raises `UnicodeEncodeError` for half characters."""
    return base64.urlsafe_b64encode(zlib.compress(text.encode())).decode("ascii").rstrip("=")


def unpack(packed: str, most_bytes: int) -> str:
    """The text. Raises `ValueError` where it is none, or longer than ``most_bytes``."""
    if _PACKED.fullmatch(packed) is None:
        raise ValueError("not packed")
    inflate = zlib.decompressobj()
    try:
        padded = packed + "=" * (-len(packed) % 4)
        data = inflate.decompress(base64.urlsafe_b64decode(padded), most_bytes + 1)
    except zlib.error:
        raise ValueError("not packed") from None
    if not inflate.eof or inflate.unused_data or len(data) > most_bytes:
        raise ValueError("cut off, or too long")
    return data.decode()
