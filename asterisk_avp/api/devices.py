"""Device cookies: browsers in which an agent has logged in before.

After a log-in at the panel, the browser gets a signed cookie. The cookie grants no access. It only
gives the browser its own count of failed log-ins, so that an attacker who locks an agent's log-in
does not lock out the agent. It is bound to the agent; a browser can have several agents, of whom
the latest are kept.

The key is derived from the daemon's passwords for Asterisk, so that cookies survive a restart
although the daemon stores nothing. A holder of a cookie could try passwords against it; so the key
combines both passwords and uses a slow function (scrypt).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

DEVICE_DAYS: Final = 180
_AGENTS_PER_BROWSER: Final = 5
_ENTRY: Final = re.compile(r"([A-Za-z0-9_-]{1,430})\.([0-9a-f]{16})\.([0-9]{1,12})\.([0-9a-f]{64})")
_DAY: Final = 86_400.0


class Devices:
    """Sign and verify device cookies. ``secret``: the source of the key.

    ``clock`` returns Unix seconds, because a cookie outlives this process.
    """

    def __init__(self, secret: bytes | None = None, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret or secrets.token_bytes(32)
        self._clock = clock
        self._key: bytes | None = None

    def prepare(self) -> None:
        """Derive the key, which takes 50 ms; do not call it in the event loop."""
        if self._key is None:
            self._key = hashlib.scrypt(
                self._secret,
                salt=b"asterisk_avp: browsers of agents",
                n=1 << 14,
                r=8,
                p=1,
                maxmem=64 << 20,
                dklen=32,
            )

    @property
    def prepared(self) -> bool:
        return self._key is not None

    def derived(self, purpose: bytes) -> bytes:
        """Another key from the same source, for another purpose."""
        self.prepare()
        assert self._key is not None  # noqa: S101 - just made
        return hmac.new(self._key, b"asterisk_avp: " + purpose, hashlib.sha256).digest()

    def known(self, agent: str, cookies: Iterable[str]) -> str | None:
        """The id of the agent's device in these cookies; None: none.

        Another site of the same domain can add cookies; only those that we have signed count.
        """
        return next((device for whose, device, _ in self._valid(cookies) if whose == agent), None)

    def remember(self, agent: str, cookies: Iterable[str]) -> str:
        """The new cookie for a browser in which this agent has just logged in."""
        found = list(self._valid(cookies))
        device = next((device for whose, device, _ in found if whose == agent), None)
        mine = self._entry(agent, device or secrets.token_hex(8), int(self._clock()))
        others: dict[str, str] = {}
        for whose, device, issued in found:
            if whose != agent:
                others.setdefault(whose, self._entry(whose, device, issued))
        return "~".join([mine, *list(others.values())[: _AGENTS_PER_BROWSER - 1]])

    def _valid(self, cookies: Iterable[str]) -> Iterator[tuple[str, str, int]]:
        now = self._clock()
        for cookie in cookies:
            for entry in cookie.split("~", _AGENTS_PER_BROWSER)[:_AGENTS_PER_BROWSER]:
                found = _ENTRY.fullmatch(entry)
                if found is None:
                    continue
                whose, device, issued, mac = found.groups()
                if not hmac.compare_digest(mac, self._mac(whose, device, issued)):
                    continue
                if -_DAY < now - int(issued) < DEVICE_DAYS * _DAY:
                    yield _plain(whose), device, int(issued)

    def _entry(self, agent: str, device: str, issued: int) -> str:
        whose = base64.urlsafe_b64encode(agent.encode("utf-8", "surrogatepass"))
        text = whose.rstrip(b"=").decode("ascii")
        return f"{text}.{device}.{issued}.{self._mac(text, device, str(issued))}"

    def _mac(self, whose: str, device: str, issued: str) -> str:
        self.prepare()
        assert self._key is not None  # noqa: S101 - just made
        text = f"device 1.{whose}.{device}.{issued}"
        return hmac.new(self._key, text.encode("ascii"), hashlib.sha256).hexdigest()


def _plain(whose: str) -> str:
    try:
        padded = whose + "=" * (-len(whose) % 4)
        return base64.urlsafe_b64decode(padded).decode("utf-8", "surrogatepass")
    except (binascii.Error, UnicodeDecodeError):  # not signed by us
        return ""
