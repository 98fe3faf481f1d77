"""Agents' tokens that outlive a daemon: signed, so that the next daemon knows them.

A token says whose it is, until when, and whether it was issued over TLS or to a proxy's user. Its
signature also covers what that agent logs in with (the PIN, or the hash that is configured), so
that a token is void once the PIN has changed, whichever daemon issued it.

The key is `AVP_API__SESSION_KEY`; without it, it is derived from the daemon's passwords for
Asterisk (`asterisk_avp.api.devices`). All daemons that may serve the same panels need the same.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Final

STANDBY_HEADER: Final = "x-avp-standby"
"""By which a standby proves, when it asks `/healthz`, that it has our key."""
STANDBY: Final = "standby"
_VERSION: Final = "avp1"
_LONGEST: Final = 2000
_ID_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Signed:
    """What a token says. ``expires``: Unix seconds. ``user``: the proxy's; None: by PIN."""

    id: str
    agent: str
    issued_ms: int
    expires: float
    secure: bool
    user: str | None


class SessionTokens:
    """Sign and verify. ``key`` returns the key, and may take 50 ms at its first call."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._key = key

    def issue(self, signed: Signed, way: str) -> str:
        """``way``: what the agent logs in with; it is not in the token."""
        text = json.dumps([*astuple(signed)])
        body = base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode("ascii")
        return f"{_VERSION}.{body}.{self._mac('session', body, way)}"

    def read(self, token: str, way: Callable[[Signed], str | None]) -> Signed | None:
        """What a token says; None: it is not ours, or void.

        ``way``: what the agent logs in with now; None: not at all.
        """
        version, _, rest = token.partition(".")
        body, _, mac = rest.partition(".")
        if version != _VERSION or len(token) > _LONGEST or not token.isascii():
            return None
        signed = _parse(body)
        known = way(signed) if signed is not None else None
        if signed is None or known is None:
            return None
        good = hmac.compare_digest(mac, self._mac("session", body, known))
        return signed if good else None

    def proof(self, purpose: str) -> str:
        """What proves to another process with the same key that this one has it."""
        return self._mac("proof", purpose)

    def proves(self, purpose: str, proof: str) -> bool:
        return bool(proof) and hmac.compare_digest(proof.encode(), self.proof(purpose).encode())

    def _mac(self, *parts: str) -> str:
        text = json.dumps(parts).encode()
        return hmac.new(self._key(), text, hashlib.sha256).hexdigest()


def new_id() -> str:
    """The id of a token, by which it is remembered as ended."""
    return secrets.token_urlsafe(_ID_BYTES)


def key_of(written: str, derive: Callable[[bytes], bytes]) -> Callable[[], bytes]:
    """The key: from the setting, or else derived by ``derive`` for a purpose."""
    if written:
        key = hashlib.sha256(b"asterisk_avp sessions 1\0" + written.encode()).digest()
        return lambda: key
    return lambda: derive(b"sessions 1")


def _parse(body: str) -> Signed | None:
    try:
        found = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    match found:
        case [str(i), str(agent), int(at), float(expires), bool(secure), (str() | None) as user]:
            return Signed(i, agent, at, expires, secure, user)
    return None
