"""Encode foreign text (a name, a note, JSON) as a value without special characters, and decode it.

The text is compressed, then encoded as base64url without padding (RFC 4648, section 5): letters,
digits, ``-`` and ``_``.
"""

from __future__ import annotations

import base64
import re
import zlib
from typing import Final

_PACKED: Final = re.compile(r"[A-Za-z0-9_-]*")


def pack(text: str) -> str:
    """Encode. Raises `UnicodeEncodeError` for unpaired surrogates."""
    return base64.urlsafe_b64encode(zlib.compress(text.encode())).decode("ascii").rstrip("=")


def split_text(packed: str, size: int) -> list[str]:
    """Split what is longer than one channel variable can be."""
    return [packed[at : at + size] for at in range(0, len(packed), size)]


def unpack(packed: str, max_bytes: int) -> str:
    """Decode. Raises `ValueError` for invalid input or text longer than ``max_bytes``."""
    if _PACKED.fullmatch(packed) is None:
        raise ValueError("not packed")
    inflate = zlib.decompressobj()
    try:
        padded = packed + "=" * (-len(packed) % 4)
        data = inflate.decompress(base64.urlsafe_b64decode(padded), max_bytes + 1)
    except zlib.error:
        raise ValueError("not packed") from None
    if not inflate.eof or inflate.unused_data or len(data) > max_bytes:
        raise ValueError("truncated, or too long")
    return data.decode()
