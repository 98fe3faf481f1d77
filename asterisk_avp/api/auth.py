"""Authentication: integrations have a configured token, agents a token from their log-in.

An agent's token is valid for that agent only. It is signed (`asterisk_avp.api.session_tokens`), so
that it outlives this process, and expires after a time, when the agent logs out, or when the PIN
changes. Only hashes of tokens are stored, and PINs are compared with salted scrypt hashes.
`asterisk_avp.api.log_in_limits` limits how often a PIN may be tried.

Agents with a PIN, agents without one and unknown agents cannot be distinguished: the response, the
count and the work are the same. The work is one hash of every cost in use.
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
from asterisk_avp.api.ended_logins import EndedLogins
from asterisk_avp.api.log_in_limits import Attempts, FairQueue, Limits, LoginLimited, QueueFull
from asterisk_avp.api.session_tokens import SessionTokens, Signed, key_of, new_id
from asterisk_avp.api.users import Users
from asterisk_avp.core.model.pins import SALT_BYTES, PinHash

__all__ = ["Authenticator", "Limits", "Login", "LoginFailed", "LoginLimited", "Principal"]

_TOKENS_PER_AGENT = 10
_PINS_AT_ONCE = 1
"""PINs compared at the same time. Each takes a processor for up to 50 ms, which calls need too."""
_PINS_WAITING = 30
"""Log-ins that wait for their turn, at most some seconds; others must retry."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The holder of a valid token. ``agent`` is None for an integration, which may do anything."""

    agent: str | None

    def may_act_for(self, agent_id: str) -> bool:
        return self.agent is None or self.agent == agent_id


class LoginFailed(Exception):
    """No agent with this id has a PIN, or the PIN is wrong; the error does not tell which."""


@dataclass(frozen=True, slots=True)
class Login:
    """A log-in, valid until ``expires`` (seconds of the clock) or until ``ended`` is set."""

    agent: str
    expires: float
    secure: bool = False
    """Whether the log-in was over TLS; its cookie then has a name that no other site can set."""
    user: str | None = None
    """The proxy's user who became this agent by single sign-on; None: logged in with the PIN."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    id: str = ""
    """The token's, by which its end is remembered."""
    until: float = 0.0
    """When the token expires by the clock of all daemons, in Unix seconds."""


class Authenticator:
    """Check tokens and PINs. ``clock`` returns monotonic seconds, ``wall`` Unix seconds."""

    def __init__(
        self,
        *,
        tokens: Iterable[str] = (),
        pins: Mapping[str, str] | None = None,
        pin_hashes: Mapping[str, str] | None = None,
        users: Mapping[str, str] | None = None,
        token_lifetime_seconds: float = 12 * 3600.0,
        metrics_token: str = "",
        limits: Limits | None = None,
        device_secret: bytes | None = None,
        session_key: str = "",
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._integrations = _digests(tokens)
        self._metrics = _digests([metrics_token])
        self._pins = _hashes(pins or {}, pin_hashes or {}, {})
        self._ways = {**(pins or {}), **(pin_hashes or {})}
        """What each agent logs in with, which their tokens' signatures cover."""
        self._decoys = _decoys(self._pins.values())
        self._users = Users(users or {})
        self._lifetime = token_lifetime_seconds
        self._limits = limits or Limits()
        self._clock = clock
        self._logins: dict[bytes, Login] = {}
        self._attempts = Attempts(clock)
        self._turns = FairQueue(_PINS_AT_ONCE, _PINS_WAITING)
        self._wall = wall
        self.devices = Devices(device_secret)
        self.sessions = SessionTokens(key_of(session_key, self.devices.derived))
        self.ended = EndedLogins(wall)
        # Our own threads: the loop's also resolve host names, such as Asterisk's.
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
        """Return a new token for ``agent``. Raises `LoginFailed` and `LoginLimited`.

        ``devices``: the values of the browser's device cookies. ``secure``: whether the request
        came over TLS.
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
        # The PIN may have been changed meanwhile.
        if not right or self._pins.get(agent) != expected:
            raise LoginFailed(agent)
        self._attempts.succeeded(attempt)
        return self._issue(agent, secure=secure)

    def login_by_proxy(
        self, user: str, exists: Callable[[str], bool], *, secure: bool = False
    ) -> str:
        """Return a new token for the agent who is this user of the proxy's.

        ``exists``: whether there is an agent of that id. Raises `LoginFailed`.
        """
        agent = self._users.agent(user, exists)
        if agent is None:
            raise LoginFailed(user)
        return self._issue(agent, secure=secure, user=user)

    def log_out(self, token: str) -> None:
        """End the log-in of ``token``, if it is valid."""
        if self.login_of(token) is not None:
            self._end(_digest(token))

    def log_out_everywhere(self, agent: str) -> None:
        """End all log-ins of an agent, also those that this process has not seen."""
        now = self._wall()
        self.ended.end_all(agent, int(now * 1000), now + self._lifetime)
        for digest, login in list(self._logins.items()):
            if login.agent == agent:
                self._end(digest)

    async def reconfigure(
        self,
        *,
        tokens: Iterable[str],
        pins: Mapping[str, str],
        pin_hashes: Mapping[str, str] | None = None,
        users: Mapping[str, str] | None = None,
        token_lifetime_seconds: float,
        metrics_token: str = "",
    ) -> None:
        """Use other tokens, PINs and users.

        Agents whose PIN or user was changed or removed must log in again.
        """
        hashed = await asyncio.to_thread(_hashes, pins, pin_hashes or {}, self._pins)
        decoys = await asyncio.to_thread(_decoys, hashed.values())
        named = Users(users or {})
        for digest, login in list(self._logins.items()):
            if login.user is not None:
                changed = named.agent(login.user, lambda _: True) != login.agent
            else:
                changed = hashed.get(login.agent) != self._pins.get(login.agent)
            if changed:
                self._end(digest)
        self._users = named
        self._ways = {**pins, **(pin_hashes or {})}
        self._integrations, self._pins, self._decoys = _digests(tokens), hashed, decoys
        self._metrics = _digests([metrics_token])
        self._lifetime = token_lifetime_seconds

    def identify(self, token: str | None) -> Principal | None:
        """The holder of ``token``; None: invalid or expired."""
        if not token:
            return None
        digest = _digest(token)
        if digest in self._integrations:
            return Principal(agent=None)
        login = self._logins.get(digest) or self._known(token, digest)
        if login is None:
            return None
        if self._clock() >= login.expires:
            self._end(digest)
            return None
        return Principal(agent=login.agent)

    def cookie_of(self, cookies: Iterable[tuple[str, bool]], user: str | None = None) -> str | None:
        """The first valid log-in token among a request's session cookies; None: none.

        Each value comes with whether its cookie name is the one that only we can set. There can be
        several, because another site of the same domain can add cookies with the plain name. Those
        are accepted only for a log-in without TLS; otherwise an agent could be made to act as
        another. An integration's token is not accepted from a cookie.

        ``user``: with single sign-on, whom the proxy names for this request, or "" for nobody; only
        that user's log-ins count. The log-in of another user ends: somebody else now sits at this
        browser.
        """
        for token, ours in cookies:
            login = self.login_of(token)
            if login is None or not (ours or not login.secure):
                continue
            if login.user == user:
                return token
            if user and login.user is not None:
                self.log_out(token)
        return None

    def login_of(self, token: str) -> Login | None:
        """The log-in of a valid token; None: invalid, or an integration's token."""
        return self._logins.get(_digest(token)) if self.identify(token) else None

    def seconds_left(self, login: Login) -> float:
        return max(0.0, login.expires - self._clock())

    def _end(self, digest: bytes) -> None:
        login = self._logins.pop(digest, None)
        if login is not None:
            login.ended.set()
            if login.until > self._wall():
                self.ended.end(login.id, login.until)

    def _known(self, token: str, digest: bytes) -> Login | None:
        """The log-in of a token that another process has issued; None: it is not valid."""
        signed = self.sessions.read(token, self._way)
        if signed is None or self.ended.has(signed.id, signed.agent, signed.issued_ms):
            return None
        left = min(signed.expires - self._wall(), self._lifetime)
        if left <= 0:
            return None
        expires = self._clock() + left
        login = _login(signed, expires)
        self._logins[digest] = login
        return login

    def _way(self, signed: Signed) -> str | None:
        """What the agent logs in with now; None: not at all, or not as that user."""
        if signed.user is None:
            return self._ways.get(signed.agent) or None
        now = self._users.agent(signed.user, lambda _: True)
        return "" if now == signed.agent else None

    def may_scrape(self, token: str | None, address: str) -> bool:
        """Whether a client at ``address`` may read the metrics.

        The client needs the metrics' token or an integration's. Without a token for the metrics,
        every client on this machine may read them.
        """
        if token and _digest(token) in self._metrics | self._integrations:
            return True
        return not self._metrics and _is_loopback(address)

    def _issue(self, agent: str, *, secure: bool, user: str | None = None) -> str:
        now, wall = self._clock(), self._wall()
        for digest, login in list(self._logins.items()):
            if login.expires <= now:
                self._end(digest)
        own = [digest for digest, login in self._logins.items() if login.agent == agent]
        for digest in own[: max(0, len(own) - _TOKENS_PER_AGENT + 1)]:
            self._end(digest)
        issued = max(int(wall * 1000), self.ended.issue_after(agent) + 1)
        signed = Signed(new_id(), agent, issued, wall + self._lifetime, secure, user)
        token = self.sessions.issue(signed, self._way(signed) or "")
        self._logins[_digest(token)] = _login(signed, now + self._lifetime)
        return token


def _login(signed: Signed, expires: float) -> Login:
    """``expires``: by this process's clock."""
    who = signed.agent, expires, signed.secure, signed.user
    return Login(*who, id=signed.id, until=signed.expires)


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
    """The hashes of all PINs; an unchanged PIN keeps its hash."""
    hashed = {agent: PinHash.parse(text) for agent, text in written.items() if text}
    for agent, pin in pins.items():
        old = known.get(agent)
        if old is not None and old.matches(pin):
            hashed[agent] = old
        elif pin:
            hashed[agent] = PinHash.of(pin, secrets.token_bytes(SALT_BYTES))
    return hashed


def _decoys(hashes: Iterable[PinHash]) -> tuple[PinHash, ...]:
    """One hash of each cost in use that matches no PIN."""
    kinds = {known.cost: known for known in hashes}
    if not kinds:
        nobody = PinHash.of("", b"\0" * SALT_BYTES)
        kinds[nobody.cost] = nobody
    return tuple(known.decoy(secrets.token_bytes) for known in kinds.values())


def _matches(expected: PinHash | None, decoys: tuple[PinHash, ...], pin: str) -> bool:
    """Compare a PIN with constant work: one hash of each cost, one of which may be the agent's."""
    right = False
    for decoy in decoys:
        mine = expected if expected is not None and expected.cost == decoy.cost else decoy
        right |= mine.matches(pin) and mine is expected
    return right
