"""Log-ins that outlive a daemon: what another one accepts, and what ends them at all."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from servers.waiting import eventually

from asterisk_avp.api.auth import Authenticator
from asterisk_avp.api.ended_logins import MOST, EndedLogins
from asterisk_avp.api.session_tokens import SessionTokens, Signed, key_of
from asterisk_avp.core.model.errors import AsteriskUnavailable
from asterisk_avp.core.model.pins import SALT_BYTES, PinHash
from asterisk_avp.runtime.stall import Gate
from asterisk_avp.service.ended_logins import VARIABLE, EndedLoginsInAsterisk

PINS = {"1001": "1111", "1002": "2222"}
KEY = "k" * 32
SIGNED = Signed("id", "1001", 5, 100.0, secure=True, user=None)


def daemon(**more: Any) -> Authenticator:
    return Authenticator(**{"pins": PINS, "session_key": KEY, **more})


def agent(auth: Authenticator, token: str) -> str | None:
    principal = auth.identify(token)
    return principal.agent if principal is not None else None


async def test_another_daemon_of_the_same_key_knows_a_token() -> None:
    first = daemon()
    token = await first.login("1001", "1111", "192.0.2.1", secure=True)
    second = daemon()
    login = second.login_of(token)
    assert login is not None
    assert (login.agent, login.secure, login.user) == ("1001", True, None)
    assert second.seconds_left(login) == pytest.approx(12 * 3600, abs=5)
    assert agent(daemon(session_key="x" * 32), token) is None
    assert agent(daemon(session_key="", device_secret=b"a"), token) is None


async def test_without_a_key_it_is_derived_from_what_the_daemons_share() -> None:
    first = daemon(session_key="", device_secret=b"of Asterisk")
    token = await first.login("1001", "1111", "192.0.2.1")
    assert agent(daemon(session_key="", device_secret=b"of Asterisk"), token) == "1001"
    assert agent(daemon(session_key="", device_secret=b"another"), token) is None


async def test_another_pin_or_none_makes_it_void() -> None:
    token = await daemon().login("1001", "1111", "192.0.2.1")
    for pins in ({**PINS, "1001": "3333"}, {"1002": "2222"}):
        assert agent(daemon(pins=pins), token) is None
    same = str(PinHash.of("1111", b"s" * SALT_BYTES))
    hashed = daemon(pins={}, pin_hashes={"1001": same})
    assert agent(hashed, token) is None


async def test_a_token_expires_by_the_clock_of_all() -> None:
    now = [1_000_000.0]
    token = await daemon(wall=lambda: now[0]).login("1001", "1111", "192.0.2.1")
    now[0] += 12 * 3600 - 10
    assert agent(daemon(wall=lambda: now[0]), token) == "1001"
    now[0] += 11
    assert agent(daemon(wall=lambda: now[0]), token) is None


async def test_a_single_sign_on_is_that_user_s_only() -> None:
    first = daemon(users={"1001": "alice"})
    token = first.login_by_proxy("alice", lambda _: True)
    login = daemon(users={"1001": "alice"}).login_of(token)
    assert login is not None
    assert login.user == "alice"
    assert daemon(users={"1002": "alice"}).login_of(token) is None


async def test_what_was_changed_in_a_token_is_not_believed() -> None:
    auth = daemon()
    token = await auth.login("1001", "1111", "192.0.2.1")
    version, body, mac = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    said[1] = "1002"
    forged = base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()
    other = daemon()
    for bad in (
        f"{version}.{forged}.{mac}",
        f"{version}.{body}.{mac[:-1]}",
        f"{version}.{body}",
        f"{version}..",
        f"avp2.{body}.{mac}",
        f"{version}.{body}.ü",
        f"{version}.W10.{mac}",
        f"{version}.{'WyJhIl0' * 400}.{mac}",
    ):
        assert agent(other, bad) is None
    assert "1111" not in token + body


def test_a_token_is_no_proof_and_a_proof_no_token() -> None:
    tokens = SessionTokens(key_of(KEY, lambda _: b""))
    token = tokens.issue(SIGNED, "way")
    assert tokens.read(token, lambda _: "way") == SIGNED
    assert tokens.read(token, lambda _: "other") is None
    assert tokens.read(token, lambda _: None) is None
    assert tokens.proves("standby", tokens.proof("standby"))
    assert not tokens.proves("standby", tokens.proof("session"))
    assert not tokens.proves("standby", "")
    assert not tokens.proves("standby", "ü")


async def test_sign_outs_are_known_where_the_list_is() -> None:
    first, second = daemon(), daemon()
    one, other = [await first.login("1001", "1111", "192.0.2.1") for _ in range(2)]
    first.log_out(one)
    assert agent(second, one) == "1001", "it cannot know"
    third = daemon()
    third.ended.absorb(first.ended.lines())
    assert agent(third, one) is None
    assert agent(third, other) == "1001"
    third.log_out(other)  # issued elsewhere
    assert agent(third, other) is None


async def test_all_sign_outs_of_an_agent() -> None:
    first = daemon()
    tokens = [await first.login("1001", "1111", "192.0.2.1") for _ in range(2)]
    theirs = await first.login("1002", "2222", "192.0.2.1")
    second = daemon()
    second.log_out_everywhere("1001")
    new = await second.login("1001", "1111", "192.0.2.1")
    third = daemon()
    third.ended.absorb(second.ended.lines())
    assert [agent(third, token) for token in (*tokens, theirs, new)] == [None, None, "1002", "1001"]


def test_the_list_is_limited_and_forgets_what_has_expired() -> None:
    now = [0.0]
    ended = EndedLogins(lambda: now[0])
    for number in range(MOST + 5):
        ended.end(f"t{number}", 100.0 + number)
    assert len(ended.lines()) == MOST
    assert not ended.has("t4", "1001", 0)
    assert ended.has("t5", "1001", 0)
    now[0] = 100.0 + MOST
    assert len(ended.lines()) == 4
    ended.absorb(["", "x", "t.a.1", "t.${EVIL}.0.5", "a.MTAwMQ.7.999999999999"])
    assert len(ended.lines()) == 5
    assert ended.has("another", "1001", 7)
    assert not ended.has("another", "1001", 8)


class Variables:
    """Asterisk's global variables."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.away = False

    async def get_variable(self, name: str) -> str:
        if self.away:
            raise AsteriskUnavailable("away")
        return self.known.get(name, "")

    async def set_variable(self, name: str, value: str) -> None:
        self.known[name] = value


async def test_the_list_is_kept_in_asterisk() -> None:
    asterisk, ended = Variables(), EndedLogins()
    kept = EndedLoginsInAsterisk(ended, asterisk)
    asterisk.away = True
    kept.connection(True)
    await asyncio.sleep(0)
    asterisk.away = False
    for number in range(45):
        ended.end(f"t{number}", 9e9)
    kept.connection(True)
    await eventually(lambda: len(asterisk.known) == 3)
    ended.end("late", 9e9)
    await eventually(lambda: "late" in asterisk.known[f"{VARIABLE}2"])
    kept.stop()
    other = EndedLogins()
    again = EndedLoginsInAsterisk(other, asterisk)
    await again.read()
    assert other.lines() == ended.lines()
    asterisk.known.clear()  # it was restarted
    again.connection(True)
    await eventually(lambda: len(asterisk.known) == 3)
    again.stop()


async def test_the_gate_closes_after_a_stand_still() -> None:
    now, asked = [0.0], 0
    ours = False

    async def verify() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        if not ours:
            raise AsteriskUnavailable("another daemon")

    gate = Gate(verify, 1.0, lambda: now[0])
    now[0] = 50.0
    await gate.passed()  # it does not run yet
    running = asyncio.create_task(gate.run())
    await asyncio.sleep(0)
    await gate.passed()
    assert asked == 0
    now[0] += 1.5
    results = await asyncio.gather(*(gate.passed() for _ in range(3)), return_exceptions=True)
    assert [type(x) for x in results] == [AsteriskUnavailable] * 3
    assert asked == 1
    ours = True
    await gate.passed()
    await gate.passed()
    assert asked == 2
    running.cancel()
