"""Who is asking: integrations with a configured token, agents with a token from their log-in.

An agent's token may act for that agent only. Tokens are random, live in this process alone and
end after a while, or when the agent signs out; only their hashes are kept, and of PINs only salted
scrypt hashes. How often a PIN may be tried is `asterisk_avp.api.log_in_limits`.

Agents that do not exist, that have no PIN, and that have one cannot be told apart: the answer is
the same, so is the count, and so is the work, which is a hash of every kind that is in use.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from asterisk_avp.api.devices import Devices
from asterisk_avp.api.log_in_limits import Attempts, FairQueue, Limits, LoginLimited, QueueFull
from asterisk_avp.core.model.pins import SALT_BYTES, PinHash

__all__ = ["Authenticator", "Limits", "Login", "LoginFailed", "LoginLimited", "Principal"]

_TOKENS_PER_AGENT = 10
_PINS_AT_ONCE = 1
"""PINs compared at a time. Each takes a processor for up to 50 ms, and calls need them too."""
_PINS_WAITING = 30
"""Log-ins that wait for their turn, some seconds at most; more are asked to come again."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever sent a valid token. ``agent`` is None for an integration, which may do anything."""

    agent: str | None

    def may_act_for(self, agent_id: str) -> bool:
        return self.agent is None or self.agent == agent_id


class LoginFailed(Exception):
    """No agent with a PIN has this id, or the PIN is wrong; which of the two is not said."""


@dataclass(frozen=True, slots=True)
class Login:
    """A log-in that lasts until ``expires`` (seconds of the clock) or until ``ended`` is set."""

    agent: str
    expires: float
    secure: bool = False
    """Whether it was made over TLS. Its cookie then has a name that no other site can set."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


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
        device_secret: bytes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._integrations = _digests(tokens)
        self._metrics = _digests([metrics_token])
        self._pins = _hashes(pins or {}, pin_hashes or {}, {})
        self._decoys = _decoys(self._pins.values())
        self._lifetime = token_lifetime_seconds
        self._limits = limits or Limits()
        self._clock = clock
        self._logins: dict[bytes, Login] = {}
        self._attempts = Attempts(clock)
        self._turns = FairQueue(_PINS_AT_ONCE, _PINS_WAITING)
        self.devices = Devices(device_secret)
        # Threads of our own: the loop's own ones also look up names, e.g. Asterisk's.
        self._threads = ThreadPoolExecutor(_PINS_AT_ONCE, thread_name_prefix="pin")

    async def login(
        self,
        agent: str,
        pin: str,
        address: str,
        *,
        devices: Iterable[str] = (),
        secure: bool = False,
    ) -> str:
        """A new token for ``agent``. Raises `LoginFailed` and `LoginLimited`.

        ``devices``: what the browser has in its cookies of earlier log-ins. ``secure``: whether
        the request came over TLS.
        """
        if not self.devices.prepared:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, self.devices.prepare)
        device = self.devices.known(agent, devices)
        attempt = await self._attempts.begin(self._limits, agent, address, device)
        try:
            async with self._turns.turn(attempt.peer):
                expected, decoys = self._pins.get(agent), self._decoys
                loop = asyncio.get_running_loop()
                right = await loop.run_in_executor(self._threads, _matches, expected, decoys, pin)
        except QueueFull:
            self._attempts.undo(attempt)
            raise LoginLimited(1) from None
        # Still the agent's PIN: it may have been changed meanwhile.
        if not right or self._pins.get(agent) != expected:
            raise LoginFailed(agent)
        self._attempts.succeeded(attempt)
        return self._issue(agent, secure=secure)

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
        decoys = await asyncio.to_thread(_decoys, hashed.values())
        for digest, login in list(self._logins.items()):
            if hashed.get(login.agent) != self._pins.get(login.agent):
                self._end(digest)
        self._integrations, self._pins, self._decoys = _digests(tokens), hashed, decoys
        self._metrics = _digests([metrics_token])
        self._lifetime = token_lifetime_seconds

    def identify(self, token: str | None) -> Principal | None:
        """Who holds ``token``; None where it is not valid or not valid any more."""
        if not token:
            return None
        digest = _digest(token)
        if digest in self._integrations:
            return Principal(agent=None)
        login = self._logins.get(digest)
        if login is None:
            return None
        if self._clock() >= login.expires:
            self._end(digest)
            return None
        return Principal(agent=login.agent)

    def cookie_of(self, cookies: Iterable[tuple[str, bool]]) -> str | None:
        """The first token of an agent's log-in among a request's session cookies, if any.

        Each comes with whether its name is the one that only we can set. There may be several:
        another site of the same domain can add some, under the plain name. Such a one counts only
        for a log-in that was made without TLS, or an agent could be made to act as another. An
        integration's token has no business in a cookie.
        """
        for token, ours in cookies:
            login = self.login_of(token)
            if login is not None and (ours or not login.secure):
                return token
        return None

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

    def _issue(self, agent: str, *, secure: bool) -> str:
        now = self._clock()
        for digest, login in list(self._logins.items()):
            if login.expires <= now:
                self._end(digest)
        own = [digest for digest, login in self._logins.items() if login.agent == agent]
        for digest in own[: max(0, len(own) - _TOKENS_PER_AGENT + 1)]:
            self._end(digest)
        token = secrets.token_urlsafe(32)
        self._logins[_digest(token)] = Login(agent, now + self._lifetime, secure)
        return token


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


def _decoys(hashes: Iterable[PinHash]) -> tuple[PinHash, ...]:
    """A hash of each kind that is in use, of a PIN that nobody has."""
    kinds = {known.cost: known for known in hashes}
    if not kinds:
        nobody = PinHash.of("", b"\0" * SALT_BYTES)
        kinds[nobody.cost] = nobody
    return tuple(known.decoy(secrets.token_bytes) for known in kinds.values())


def _matches(expected: PinHash | None, decoys: tuple[PinHash, ...], pin: str) -> bool:
    """The same work for everybody: one hash of each kind, of which one may be the agent's."""
    right = False
    for decoy in decoys:
        mine = expected if expected is not None and expected.cost == decoy.cost else decoy
        right |= mine.matches(pin) and mine is expected
    return right
