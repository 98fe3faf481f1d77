"""PINs as salted scrypt hashes, in memory and optionally in the settings.

The text form is ``scrypt:<log2 n>:<r>:<p>:<salt>:<hash>`` with salt and hash in hexadecimal, e.g.
``scrypt:14:8:1:9f…:4c…``. It contains no ``$``, which Compose files and shells would expand. A hash
hides a PIN from a casual look; a short PIN can still be found by brute force, so the file remains a
secret.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

SALT_BYTES = 16
_WRITTEN = re.compile(
    r"scrypt:(1[0-7]):([1-9]|1[0-6]):([1-4]):([0-9a-f]{16,128}):([0-9a-f]{64,128})"
)

IN_MEMORY = 11
"""log2 of scrypt's n: a few ms and 2 MiB each, for hundreds of agents at start."""
AT_REST = 14
"""log2 of n for hashes in the settings: about 50 ms and 16 MiB."""


@dataclass(frozen=True, slots=True)
class PinHash:
    salt: bytes
    digest: bytes
    log_n: int = IN_MEMORY
    r: int = 8
    p: int = 1

    @classmethod
    def of(cls, pin: str, salt: bytes, log_n: int = IN_MEMORY) -> Self:
        """Hash a PIN. ``salt``: `SALT_BYTES` random bytes, new for each PIN."""
        return cls(salt, _scrypt(pin, salt, log_n, 8, 1, 64), log_n)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text form. Raises `ValueError`, whose message does not contain the text."""
        found = _WRITTEN.fullmatch(text)
        if found is None:
            raise ValueError("must be a hash as printed by `asterisk-avp pin-hash`")
        log_n, r, p, salt, digest = found.groups()
        return cls(bytes.fromhex(salt), bytes.fromhex(digest), int(log_n), int(r), int(p))

    def __str__(self) -> str:
        return ":".join(
            (
                "scrypt",
                *map(str, (self.log_n, self.r, self.p)),
                self.salt.hex(),
                self.digest.hex(),
            )
        )

    @property
    def cost(self) -> tuple[int, int, int, int, int]:
        """Parameters that determine the time of a comparison."""
        return (self.log_n, self.r, self.p, len(self.salt), len(self.digest))

    def decoy(self, random_bytes: Callable[[int], bytes]) -> Self:
        """A hash of the same cost that matches no PIN."""
        salt, digest = random_bytes(len(self.salt)), random_bytes(len(self.digest))
        return replace(self, salt=salt, digest=digest)

    def matches(self, pin: str) -> bool:
        """Whether the PIN matches; compares in constant time, at this hash's cost."""
        given = _scrypt(pin, self.salt, self.log_n, self.r, self.p, len(self.digest))
        return hmac.compare_digest(given, self.digest)


def _scrypt(pin: str, salt: bytes, log_n: int, r: int, p: int, length: int) -> bytes:
    n = 1 << log_n
    return hashlib.scrypt(
        pin.encode("utf-8", "surrogatepass"),
        salt=salt,
        n=n,
        r=r,
        p=p,
        maxmem=128 * r * (n + p + 2) + (1 << 20),
        dklen=length,
    )
