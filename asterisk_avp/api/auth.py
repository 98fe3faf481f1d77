"""Who is asking: integrations with a configured token, agents with a token from their log-in.

An agent's token may act for that agent only. Tokens are random, live in this process alone and
end after a while; only their hashes are kept, and of PINs only salted scrypt hashes. A PIN is
short, so what protects it is the limit on failed log-ins, per agent and per address.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

_SALT_BYTES = 16
_TOKENS_PER_AGENT = 10
_ADDRESSES_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a valid token. ``agent`` is None for an integration, which may do anything."""

    agent: str | None

    def may_act_for(self, agent_id: str) -> bool:
        return self.agent is None or self.agent == agent_id


class LoginFailed(Exception):
    """No agent with a PIN has this id, or the PIN is wrong; which of the two is not said."""


class LoginLimited(Exception):
    """Too many failed log-ins. ``retry_after_seconds`` says when to try again."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"too many failed log-ins, try again in {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Limits:
    """How many log-ins may fail within ``window_seconds``."""

    window_seconds: float = 60.0
    per_agent: int = 5
    per_address: int = 30


class Authenticator:
    """Checks tokens and PINs. ``clock`` gives monotonic seconds."""

    def __init__(
        self,
        *,
        tokens: Iterable[str] = (),
        pins: Mapping[str, str] | None = None,
        token_lifetime_seconds: float = 12 * 3600.0,
        metrics_token: str = "",
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._integrations = _digests(tokens)
        self._metrics = _digests([metrics_token])
        self._pins = {agent: _hash_pin(pin) for agent, pin in (pins or {}).items() if pin}
        # Compared with when the agent is unknown, so that the answer takes as long.
        self._nobody = _hash_pin(secrets.token_urlsafe())
        self._lifetime = token_lifetime_seconds
        self._limits = limits or Limits()
        self._clock = clock
        self._sessions: dict[bytes, tuple[str, float]] = {}
        self._failures: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    async def login(self, agent: str, pin: str, address: str) -> str:
        """A new token for ``agent``. Raises `LoginFailed` and `LoginLimited`."""
        counters = [(("address", address), self._limits.per_address)]
        if agent in self._pins:
            counters.append((("agent", agent), self._limits.per_agent))
        now = self._clock()
        for key, limit in counters:
            self._refuse_above(limit, self._recent(key, now), now)
        # Counted before the slow comparison, so that attempts at the same moment count as well.
        for key, _ in counters:
            self._recent(key, now).append(now)

        salt, expected = self._pins.get(agent, self._nobody)
        given = await asyncio.to_thread(_scrypt, pin, salt)
        # Still the agent's PIN: it may have been changed meanwhile.
        if not hmac.compare_digest(given, expected) or self._pins.get(agent) != (salt, expected):
            raise LoginFailed(agent)
        for key, _ in counters:
            attempts = self._recent(key, self._clock())
            if key[0] == "agent":
                attempts.clear()
            elif attempts:
                attempts.pop()
        return self._issue(agent)

    async def reconfigure(
        self,
        *,
        tokens: Iterable[str],
        pins: Mapping[str, str],
        token_lifetime_seconds: float,
        metrics_token: str = "",
    ) -> None:
        """Go by other tokens and PINs. Whose PIN has changed or gone has to log in anew."""
        hashed = await asyncio.to_thread(_hash_changed, pins, self._pins)
        for digest, (agent, _) in list(self._sessions.items()):
            if hashed.get(agent) != self._pins.get(agent):
                del self._sessions[digest]
        self._integrations, self._pins = _digests(tokens), hashed
        self._metrics = _digests([metrics_token])
        self._lifetime = token_lifetime_seconds

    def identify(self, token: str | None) -> Caller | None:
        """Who holds ``token``; None where it is not valid or not valid any more."""
        if not token:
            return None
        digest = _digest(token)
        if digest in self._integrations:
            return Caller(agent=None)
        session = self._sessions.get(digest)
        if session is None:
            return None
        agent, expires = session
        if self._clock() >= expires:
            del self._sessions[digest]
            return None
        return Caller(agent=agent)

    def may_scrape(self, token: str | None, address: str) -> bool:
        """Whether whoever asks from ``address`` may read the metrics.

        With a token of their own or an integration's; where the metrics have no token, everybody
        on this machine may.
        """
        if token and _digest(token) in self._metrics | self._integrations:
            return True
        return not self._metrics and _is_loopback(address)

    def _issue(self, agent: str) -> str:
        now = self._clock()
        for digest, (_, expires) in list(self._sessions.items()):
            if expires <= now:
                del self._sessions[digest]
        own = [digest for digest, (holder, _) in self._sessions.items() if holder == agent]
        for digest in own[: max(0, len(own) - _TOKENS_PER_AGENT + 1)]:
            del self._sessions[digest]
        token = secrets.token_urlsafe(32)
        self._sessions[_digest(token)] = (agent, now + self._lifetime)
        return token

    def _recent(self, key: tuple[str, str], now: float) -> deque[float]:
        attempts = self._failures.setdefault(key, deque())
        self._failures.move_to_end(key)
        while attempts and attempts[0] <= now - self._limits.window_seconds:
            attempts.popleft()
        while len(self._failures) > _ADDRESSES_REMEMBERED:
            self._failures.popitem(last=False)
        return attempts

    def _refuse_above(self, limit: int, attempts: deque[float], now: float) -> None:
        if len(attempts) >= limit:
            raise LoginLimited(max(1, round(attempts[0] + self._limits.window_seconds - now)))


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _digests(tokens: Iterable[str]) -> frozenset[bytes]:
    return frozenset(_digest(token) for token in tokens if token)


def _hash_changed(
    pins: Mapping[str, str], known: Mapping[str, tuple[bytes, bytes]]
) -> dict[str, tuple[bytes, bytes]]:
    """The hashes of ``pins``; a PIN that is the same keeps the hash it has."""
    hashed = {}
    for agent, pin in pins.items():
        old = known.get(agent)
        if old is not None and hmac.compare_digest(_scrypt(pin, old[0]), old[1]):
            hashed[agent] = old
        elif pin:
            hashed[agent] = _hash_pin(pin)
    return hashed


def _hash_pin(pin: str) -> tuple[bytes, bytes]:
    salt = secrets.token_bytes(_SALT_BYTES)
    return salt, _scrypt(pin, salt)


def _scrypt(pin: str, salt: bytes) -> bytes:
    # A few ms and 2 MiB each: hundreds of agents are hashed at start, on the path of no call.
    return hashlib.scrypt(pin.encode("utf-8", "surrogatepass"), salt=salt, n=2**11, r=8, p=1)
