"""Who is asking: integrations with a configured token, agents with a token from their log-in.

An agent's token may act for that agent only. Tokens are random, live in this process alone and
end after a while, or when the agent signs out; only their hashes are kept, and of PINs only salted
scrypt hashes. A PIN is short, so what protects it is the limit on failed log-ins, per agent (a
short one and one for the hour) and per address.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from asterisk_avp.core.pins import IN_MEMORY, SALT_BYTES, PinHash

_TOKENS_PER_AGENT = 10
_ADDRESSES_REMEMBERED = 10_000
_PINS_AT_ONCE = 1
"""PINs compared at a time. Each takes a processor for up to 50 ms, and calls need them too."""
_PINS_WAITING = 30
"""Log-ins that wait for their turn, some seconds at most; more are asked to come again."""


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
    per_agent_and_hour: int = 30
    """So that who is patient does not try all PINs of four digits within a day either."""


@dataclass(frozen=True, slots=True)
class Login:
    """A log-in that lasts until ``expires`` (seconds of the clock) or until ``ended`` is set."""

    agent: str
    expires: float
    ended: asyncio.Event = field(default_factory=asyncio.Event)


_HOUR = 3600.0


class Authenticator:
    """Checks tokens and PINs. ``clock`` gives monotonic seconds."""

    def __init__(
        self,
        *,
        tokens: Iterable[str] = (),
        pins: Mapping[str, str] | None = None,
        pin_hashes: Mapping[str, str] | None = None,
        token_lifetime_seconds: float = 12 * 3600.0,
        metrics_token: str = "",
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._integrations = _digests(tokens)
        self._metrics = _digests([metrics_token])
        self._pins = _hashes(pins or {}, pin_hashes or {}, {})
        self._nobody = _like_the_slowest(self._pins)
        self._lifetime = token_lifetime_seconds
        self._limits = limits or Limits()
        self._clock = clock
        self._logins: dict[bytes, Login] = {}
        self._failures: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()
        # Threads of our own: the loop's own ones also look up names, e.g. Asterisk's.
        self._threads = ThreadPoolExecutor(_PINS_AT_ONCE, thread_name_prefix="pin")
        self._comparing = 0

    @property
    def lifetime_seconds(self) -> float:
        return self._lifetime

    async def login(self, agent: str, pin: str, address: str) -> str:
        """A new token for ``agent``. Raises `LoginFailed` and `LoginLimited`."""
        window = self._limits.window_seconds
        counters = [(("address", address), self._limits.per_address, window)]
        if agent in self._pins:
            counters.append((("agent", agent), self._limits.per_agent, window))
            counters.append((("hour", agent), self._limits.per_agent_and_hour, _HOUR))
        now = self._clock()
        for key, limit, seconds in counters:
            _refuse_above(limit, self._recent(key, now, seconds), now, seconds)
        if self._comparing >= _PINS_AT_ONCE + _PINS_WAITING:
            raise LoginLimited(1)
        # Counted before the slow comparison, so that attempts at the same moment count as well.
        for key, _, seconds in counters:
            self._recent(key, now, seconds).append(now)

        expected = self._pins.get(agent, self._nobody)
        right = await self._compare(expected, pin)
        # Still the agent's PIN: it may have been changed meanwhile.
        if not right or self._pins.get(agent) != expected:
            raise LoginFailed(agent)
        for key, _, seconds in counters:
            attempts = self._recent(key, self._clock(), seconds)
            if key[0] == "agent":
                attempts.clear()
            elif attempts:
                attempts.pop()
        return self._issue(agent)

    async def _compare(self, expected: PinHash, pin: str) -> bool:
        self._comparing += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, expected.matches, pin)
        finally:
            self._comparing -= 1

    def log_out(self, token: str) -> None:
        """End the log-in that ``token`` belongs to, if it is one."""
        self._end(_digest(token))

    def log_out_everywhere(self, agent: str) -> None:
        """End all log-ins of an agent, wherever they are."""
        for digest, login in list(self._logins.items()):
            if login.agent == agent:
                self._end(digest)

    async def reconfigure(
        self,
        *,
        tokens: Iterable[str],
        pins: Mapping[str, str],
        pin_hashes: Mapping[str, str] | None = None,
        token_lifetime_seconds: float,
        metrics_token: str = "",
    ) -> None:
        """Go by other tokens and PINs. Whose PIN has changed or gone has to log in anew."""
        hashed = await asyncio.to_thread(_hashes, pins, pin_hashes or {}, self._pins)
        nobody = await asyncio.to_thread(_like_the_slowest, hashed)
        for digest, login in list(self._logins.items()):
            if hashed.get(login.agent) != self._pins.get(login.agent):
                self._end(digest)
        self._integrations, self._pins, self._nobody = _digests(tokens), hashed, nobody
        self._metrics = _digests([metrics_token])
        self._lifetime = token_lifetime_seconds

    def identify(self, token: str | None) -> Caller | None:
        """Who holds ``token``; None where it is not valid or not valid any more."""
        if not token:
            return None
        digest = _digest(token)
        if digest in self._integrations:
            return Caller(agent=None)
        login = self._logins.get(digest)
        if login is None:
            return None
        if self._clock() >= login.expires:
            self._end(digest)
            return None
        return Caller(agent=login.agent)

    def login_of(self, token: str) -> Login | None:
        """The log-in that a valid token belongs to; None for an integration's token."""
        return self._logins.get(_digest(token)) if self.identify(token) else None

    def seconds_left(self, login: Login) -> float:
        return max(0.0, login.expires - self._clock())

    def _end(self, digest: bytes) -> None:
        login = self._logins.pop(digest, None)
        if login is not None:
            login.ended.set()

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
        for digest, login in list(self._logins.items()):
            if login.expires <= now:
                self._end(digest)
        own = [digest for digest, login in self._logins.items() if login.agent == agent]
        for digest in own[: max(0, len(own) - _TOKENS_PER_AGENT + 1)]:
            self._end(digest)
        token = secrets.token_urlsafe(32)
        self._logins[_digest(token)] = Login(agent, now + self._lifetime)
        return token

    def _recent(self, key: tuple[str, str], now: float, seconds: float) -> deque[float]:
        attempts = self._failures.setdefault(key, deque())
        self._failures.move_to_end(key)
        while attempts and attempts[0] <= now - seconds:
            attempts.popleft()
        while len(self._failures) > _ADDRESSES_REMEMBERED:
            self._failures.popitem(last=False)
        return attempts


def _refuse_above(limit: int, attempts: deque[float], now: float, seconds: float) -> None:
    if len(attempts) >= limit:
        raise LoginLimited(max(1, round(attempts[0] + seconds - now)))


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


def _hashes(
    pins: Mapping[str, str], written: Mapping[str, str], known: Mapping[str, PinHash]
) -> dict[str, PinHash]:
    """The hashes of all PINs; a PIN that is the same keeps the hash it has."""
    hashed = {agent: PinHash.parse(text) for agent, text in written.items() if text}
    for agent, pin in pins.items():
        old = known.get(agent)
        if old is not None and old.matches(pin):
            hashed[agent] = old
        elif pin:
            hashed[agent] = PinHash.of(pin, secrets.token_bytes(SALT_BYTES))
    return hashed


def _like_the_slowest(hashes: Mapping[str, PinHash]) -> PinHash:
    """What is compared with when the agent is unknown, so that the answer takes as long."""
    slowest = max((known.log_n for known in hashes.values()), default=IN_MEMORY)
    return PinHash.of(secrets.token_urlsafe(), secrets.token_bytes(SALT_BYTES), slowest)
