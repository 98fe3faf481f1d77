"""PINs as they are kept: salted scrypt hashes, in memory and, where wanted, in the settings.

Written ``scrypt:<log2 n>:<r>:<p>:<salt>:<hash>``, salt and hash in hexadecimal, e.g.
``scrypt:14:8:1:9f…:4c…`` (no ``$``, which Compose files and shells would expand). A hash hides a
PIN from who reads over a shoulder; a PIN of few digits can be found by trying them all, so the
file is a secret all the same.
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
"""For what is written down: some 50 ms and 16 MiB."""


@dataclass(frozen=True, slots=True)
class PinHash:
    salt: bytes
    digest: bytes
    log_n: int = IN_MEMORY
    r: int = 8
    p: int = 1

    @classmethod
    def of(cls, pin: str, salt: bytes, log_n: int = IN_MEMORY) -> Self:
        """``salt``: `SALT_BYTES` random bytes, fresh for each PIN."""
        return cls(salt, _scrypt(pin, salt, log_n, 8, 1, 64), log_n)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `ValueError`, without the text in it."""
        found = _WRITTEN.fullmatch(text)
        if found is None:
            raise ValueError("must be as `asterisk-avp pin-hash` prints it")
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
        """What a comparison takes; the same for hashes that cannot be told apart by time."""
        return (self.log_n, self.r, self.p, len(self.salt), len(self.digest))

    def decoy(self, random_bytes: Callable[[int], bytes]) -> Self:
        """A hash of the same cost that no PIN has."""
        salt, digest = random_bytes(len(self.salt)), random_bytes(len(self.digest))
        return replace(self, salt=salt, digest=digest)

    def matches(self, pin: str) -> bool:
        """Compared in constant time; takes as long as the hash was made to take."""
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
