"""Log-ins: they reveal nothing to a stranger, and lock out only the stranger."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import sys
from collections import Counter
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from types import FrameType
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from api_client import Api, Clock, api_here
from scripted_transfer_service import INTEGRATION, PINS, UNLIMITED, ScriptedTransferService

from asterisk_avp.api.app import create_app
from asterisk_avp.api.auth import Authenticator, Limits, LoginFailed, LoginLimited
from asterisk_avp.api.devices import DEVICE_DAYS, Devices
from asterisk_avp.api.log_in_limits import FairQueue, QueueFull
from asterisk_avp.api.server import serve
from asterisk_avp.core.model.pins import PinHash

PANEL = {"X-AVP-Panel": "1"}
HTTPS = {"X-Forwarded-Proto": "https"}


@pytest_asyncio.fixture(loop_scope="function")
async def api() -> AsyncIterator[Api]:
    async with api_here() as running:
        running.http._cookie_jar = aiohttp.DummyCookieJar()
        yield running


async def sign_in(
    api: Api, agent: str, pin: str, cookies: str = "", **headers: str
) -> tuple[int, SimpleCookie]:
    given = PANEL | headers | ({"Cookie": cookies} if cookies else {})
    async with api.http.post(
        api.server.url + "/v1/session", json={"agent": agent, "pin": pin}, headers=given
    ) as answer:
        return answer.status, answer.cookies


def pair(found: SimpleCookie, *names: str) -> str:
    return "; ".join(f"{name}={found[name].value}" for name in names)


# --- agents that cannot be told apart ------------------------------------------------------------

KINDS = ["has-pin", "has-old-hash", "no-pin", "nobody"]


def mixed() -> Authenticator:
    """PINs with two kinds of hashes, which take different times."""
    return Authenticator(
        pins={"has-pin": "right"},
        pin_hashes={"has-old-hash": str(PinHash.of("right", b"s" * 16, 12))},
    )


async def test_unknown_agents_and_those_with_a_pin_get_the_same_answers(api: Api) -> None:
    """Status, headers, body and count for both log-ins; ``1003`` is an agent without a PIN."""
    pins = {"1001": PINS["1001"]}
    await api.auth.reconfigure(tokens=[], pins=pins, token_lifetime_seconds=60)
    told: dict[str, list[object]] = {}
    for agent in ("1001", "1003", "nobody", "1001\0", "é", "x" * 80):
        told[agent] = []
        for way in ("/v1/login", "/v1/session"):
            for _ in range(4):
                async with api.http.post(
                    api.server.url + way, json={"agent": agent, "pin": "x"}, headers=PANEL
                ) as answer:
                    headers = {k: v for k, v in answer.headers.items() if k != "Date"}
                    seconds = headers.pop("Retry-After", "60")
                    assert 50 <= int(seconds) <= 60
                    body = (await answer.text()).replace(f"{seconds} s", "60 s")
                    told[agent].append((answer.status, headers, body))
    first = told.pop("1001")
    assert [str(answer)[1:4] for answer in first] == ["401"] * 5 + ["429"] * 3
    for agent, answers in told.items():
        assert answers == first, agent


async def test_unknown_agents_and_those_with_a_pin_take_the_same_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every hash and every step of ours; times would show the same less clearly."""
    done: Counter[tuple[int, int, int, int]] = Counter()
    scrypt = hashlib.scrypt

    def counted(pin: bytes, *, salt: bytes, n: int, r: int, p: int, **more: int) -> bytes:
        done[n, r, p, more["dklen"]] += 1
        return scrypt(pin, salt=salt, n=n, r=r, p=p, **more)

    work = {}
    for agent in KINDS:
        auth = mixed()
        auth.devices.prepare()
        monkeypatch.setattr(hashlib, "scrypt", counted)
        steps: Counter[str] = Counter()

        def trace(frame: FrameType, _event: str, _arg: Any, counts: Counter[str] = steps) -> Any:
            if "asterisk_avp" not in frame.f_code.co_filename:
                return None
            frame.f_trace_opcodes = True
            counts[frame.f_code.co_name] += 1
            return trace

        for _ in range(7):
            before = sys.gettrace()
            sys.settrace(trace)
            try:
                with pytest.raises((LoginFailed, LoginLimited)):
                    await auth.login(agent, "wrong", "192.0.2.1")
            finally:
                sys.settrace(before)
        monkeypatch.setattr(hashlib, "scrypt", scrypt)
        work[agent] = (dict(done), dict(steps))
        done.clear()
    hashes, steps_of_first = work["has-pin"]
    assert hashes == {(1 << 11, 8, 1, 64): 5, (1 << 12, 8, 1, 64): 5}
    assert steps_of_first
    for agent in KINDS:
        assert work[agent] == work["has-pin"], agent
    auth = mixed()
    assert await auth.login("has-pin", "right", "192.0.2.1")
    assert await auth.login("has-old-hash", "right", "192.0.2.1")


async def test_a_pin_that_changes_meanwhile_is_not_the_old_one() -> None:
    auth = Authenticator(pins={"a": "old"})
    trying = asyncio.create_task(auth.login("a", "old", "192.0.2.1"))
    await auth.reconfigure(tokens=[], pins={"a": "new"}, token_lifetime_seconds=60)
    with pytest.raises(LoginFailed):
        await trying
    assert await auth.login("a", "new", "192.0.2.1")


# --- whom a lock locks out -----------------------------------------------------------------------


async def lock(api: Api, agent: str) -> None:
    for _ in range(5):
        assert (await sign_in(api, agent, "wrong"))[0] == 401
    assert (await sign_in(api, agent, PINS[agent]))[0] == 429


async def test_a_lock_does_not_lock_out_the_agents_own_browser(api: Api) -> None:
    status, cookies = await sign_in(api, "1001", PINS["1001"])
    assert status == 200
    device = cookies["avp_device"]
    assert device["httponly"]
    assert device["samesite"] == "strict"
    assert device["path"] == "/"
    assert not device["domain"]
    assert int(device["max-age"]) == DEVICE_DAYS * 86_400
    known = pair(cookies, "avp_device")
    await lock(api, "1001")
    for _ in range(3):
        status, cookies = await sign_in(api, "1001", PINS["1001"], known)
        assert status == 200
        known = pair(cookies, "avp_device")
    # It has a limit of its own, which it does not share.
    answers = [(await sign_in(api, "1001", "wrong", known))[0] for _ in range(7)]
    assert answers == [401] * 5 + [429] * 2
    assert (await sign_in(api, "1001", PINS["1001"], known))[0] == 429
    assert (await sign_in(api, "1002", PINS["1002"], known))[0] == 200


async def test_what_is_mistyped_in_the_own_browser_locks_no_other(api: Api) -> None:
    _, cookies = await sign_in(api, "1001", PINS["1001"])
    for _ in range(6):
        await sign_in(api, "1001", "wrong", pair(cookies, "avp_device"))
    assert (await sign_in(api, "1001", PINS["1001"]))[0] == 200


async def test_a_browser_is_one_agents_and_cannot_be_made_up(api: Api) -> None:
    _, cookies = await sign_in(api, "1002", PINS["1002"])
    mine = cookies["avp_device"].value
    whose, device, issued, mac = mine.split(".")
    await lock(api, "1001")
    forged = [
        mine,  # Bob's, which is independent of Alice's
        f"MTAwMQ.{device}.{issued}.{mac}",
        f"MTAwMQ.{device}.{issued}.{'0' * 64}",
        f"{whose}.{device}.{int(issued) + 1}.{mac}",
        f"{whose}.{device}.99999999999999.{mac}",
        mine[:-1],
        "~".join([mine] * 50),
        "....",
        "~~~",
        "x" * 5000,
        INTEGRATION,
        "\xff" * 20,
    ]
    for value in forged:
        assert (await sign_in(api, "1001", PINS["1001"], f"avp_device={value}"))[0] == 429, value


async def test_bad_cookies_beside_the_good_device_do_no_harm(api: Api) -> None:
    _, cookies = await sign_in(api, "1001", PINS["1001"])
    good = pair(cookies, "avp_device")
    bad = "; ".join(["avp_device=x", "avp_device=MTAwMQ.0.0.0", "avp_device", "avp_device="] * 60)
    await lock(api, "1001")
    for given in (f"{bad}; {good}", f"{good}; {bad}", f"{bad}; {good}; {bad}"):
        status, cookies = await sign_in(api, "1001", PINS["1001"], given)
        assert status == 200


async def test_a_browser_of_several_agents_knows_the_last_few() -> None:
    clock = Clock()
    devices = Devices(b"secret", clock)
    value = ""
    for agent in "abcdefg":
        value = devices.remember(agent, [value])
        clock.now += 1
    assert [agent for agent in "abcdefg" if devices.known(agent, [value])] == list("cdefg")
    again = devices.remember("d", [value, "other~things"])
    assert devices.known("d", [again]) == devices.known("d", [value]), "it is the same browser"
    assert len(again) < 1000


async def test_a_known_browser_outlives_a_restart_and_not_half_a_year() -> None:
    clock = Clock()
    value = Devices(b"secret", clock).remember("a", [])
    assert Devices(b"secret", clock).known("a", [value])
    assert not Devices(b"another", clock).known("a", [value])
    assert not Devices(clock=clock).known("a", [value])
    clock.now += DEVICE_DAYS * 86_400.0
    assert not Devices(b"secret", clock).known("a", [value])


async def test_over_tls_the_cookies_have_names_that_no_other_site_can_set(api: Api) -> None:
    _, cookies = await sign_in(api, "1001", PINS["1001"], **HTTPS)
    assert set(cookies) == {"__Host-avp_session", "__Host-avp_device"}
    for cookie in cookies.values():
        assert cookie["secure"]
        assert cookie["path"] == "/"
        assert not cookie["domain"]
    await lock(api, "1001")
    status, _ = await sign_in(
        api, "1001", PINS["1001"], pair(cookies, "__Host-avp_device"), **HTTPS
    )
    assert status == 200


# --- many behind one address ---------------------------------------------------------------------


async def test_an_address_is_never_locked(api: Api) -> None:
    """A call centre behind one address, with an attacker who tries all agents."""
    answers = [(await sign_in(api, f"n{n}", "x"))[0] for n in range(31)]
    assert set(answers) == {401}
    assert (await sign_in(api, "1001", PINS["1001"]))[0] == 200
    assert (await sign_in(api, "1002", PINS["1002"]))[0] == 200


async def test_beyond_its_budget_an_address_waits_and_no_other_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    go = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await go.wait()

    monkeypatch.setattr("asterisk_avp.api.log_in_limits.asyncio.sleep", sleep)
    clock = Clock()
    auth = Authenticator(
        pins={"a": "1"}, limits=Limits(window_seconds=60, per_address=3), clock=clock
    )
    for number in range(3):
        with pytest.raises(LoginFailed):
            await auth.login(f"n{number}", "x", "crowd")
    slowed = [asyncio.create_task(auth.login(f"m{number}", "x", "crowd")) for number in range(30)]
    right = asyncio.create_task(auth.login("a", "1", "crowd"))
    assert await auth.login("a", "1", "elsewhere")
    done, _ = await asyncio.wait([*slowed, right], timeout=0.2)
    # The limit of waiting requests; the next ones must retry a few seconds later.
    assert len(done) == 11
    for task in done:
        error = task.exception()
        assert isinstance(error, LoginLimited)
        assert error.retry_after_seconds <= 3
    assert len(waits) == 20
    assert max(waits) <= 3
    go.set()
    clock.now += 60
    assert await auth.login("a", "1", "crowd")
    await asyncio.gather(*slowed, right, return_exceptions=True)


async def test_a_right_pin_costs_an_address_nothing() -> None:
    """Three hundred agents who start work behind one address."""
    pins = {str(number): f"pin {number}" for number in range(60)}
    auth = Authenticator(pins=pins, clock=Clock())
    for _ in range(5):
        for agent, pin in pins.items():
            assert await auth.login(agent, pin, "192.0.2.1")


async def test_a_stranger_from_one_address_does_not_use_up_what_an_agent_has() -> None:
    clock = Clock()
    auth = Authenticator(pins={"a": "1"}, clock=clock)
    failed = 0
    for minute in range(60):
        clock.now = 1000.0 + 60 * minute
        for _ in range(5):
            try:
                await auth.login("a", "x", "stranger")
            except LoginFailed:
                failed += 1
            except LoginLimited:
                pass
    assert failed == 10
    assert await auth.login("a", "1", "elsewhere")


async def test_a_crowd_from_one_place_makes_only_itself_wait() -> None:
    turns, order = FairQueue(1, 6), []
    go = asyncio.Event()

    async def run(peer: str, number: int) -> None:
        async with turns.turn(peer):
            order.append((peer, number))
            await go.wait()

    async def start(peer: str, number: int) -> asyncio.Task[None]:
        task = asyncio.create_task(run(peer, number))
        for _ in range(3):
            await asyncio.sleep(0)
        return task

    crowd = [await start("crowd", number) for number in range(10)]
    assert sum(task.done() for task in crowd) == 3, "one has its turn, six wait"
    others = [await start("other", number) for number in range(2)]
    third = await start("third", 0)
    assert not any(task.done() for task in [*others, third])
    go.set()
    results = await asyncio.gather(*crowd, *others, third, return_exceptions=True)
    assert sum(isinstance(result, QueueFull) for result in results) == 6
    assert order == [
        ("crowd", 0),
        ("crowd", 1),
        ("other", 0),
        ("third", 0),
        ("crowd", 2),
        ("other", 1),
        ("crowd", 3),
    ]
    assert not turns._queues
    assert turns._running == 0


async def test_who_leaves_the_queue_leaves_nothing_behind() -> None:
    turns, go = FairQueue(1, 10), asyncio.Event()

    async def run(peer: str) -> None:
        async with turns.turn(peer):
            await go.wait()

    tasks = [asyncio.create_task(run(peer)) for peer in "aabbc"]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for task in (tasks[1], tasks[3], tasks[4]):
        task.cancel()
    go.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not turns._queues
    assert turns._running == 0


async def test_counts_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asterisk_avp.api.log_in_limits._MAX_COUNTS", 500)
    monkeypatch.setattr(PinHash, "matches", lambda _self, _pin: False)
    auth = Authenticator(pins={"a": "1"}, limits=Limits(per_address=10**6))
    for number in range(2000):
        with pytest.raises(LoginFailed):
            await auth.login(f"{number}" * 20, "x", f"192.0.2.{number % 250}")
    assert len(auth._attempts._failures) <= 500


# --- several cookies -----------------------------------------------------------------------------


async def who(api: Api, cookies: str, **headers: str) -> tuple[int, str]:
    async with api.http.get(
        api.server.url + "/v1/session", headers=headers | {"Cookie": cookies}
    ) as answer:
        return answer.status, (await answer.json()).get("agent", "")


async def test_a_bad_cookie_beside_the_good_one_does_no_harm(api: Api) -> None:
    _, cookies = await sign_in(api, "1001", PINS["1001"])
    good = pair(cookies, "avp_session")
    bads = ["avp_session=bad", "avp_session", "avp_session=", f"avp_session={INTEGRATION}", "x=y"]
    for first, last in itertools.product([*bads, "; ".join(bads * 50)], repeat=2):
        assert await who(api, f"{first}; {good}; {last}") == (200, "1001")
    # In separate lines, as a proxy may send them.
    reader, writer = await asyncio.open_connection(api.server.host, api.server.port)
    lines = f"Cookie: avp_session=bad\r\nCookie: {good}\r\nCookie: avp_session=worse\r\n"
    for path in ("/v1/session", "/v1/agents/1001"):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        await reader.readuntil(b"\r\n\r\n")
        await reader.read(100_000)
    writer.close()
    # And for the WebSocket.
    headers = {"Cookie": f"avp_session=bad; {good}; avp_session=worse"}
    async with api.events(headers=headers) as socket:
        assert (await socket.receive_json())["type"] == "snapshot"
    # Signing out ends the valid one, whatever else is sent.
    async with api.http.delete(api.server.url + "/v1/session", headers=PANEL | headers) as answer:
        assert answer.status == 204
    assert (await who(api, good))[0] == 401


async def test_nobody_can_be_made_to_act_as_another_agent(api: Api) -> None:
    """A site of the same domain adds the cookie of its own log-in, with the plain name."""
    _, mine = await sign_in(api, "1001", PINS["1001"], **HTTPS)
    _, theirs = await sign_in(api, "1002", PINS["1002"], **HTTPS)
    tossed = f"avp_session={theirs['__Host-avp_session'].value}"
    good = pair(mine, "__Host-avp_session")
    for given in (f"{tossed}; {good}", f"{good}; {tossed}"):
        assert await who(api, given, **HTTPS) == (200, "1001")
    assert (await who(api, tossed, **HTTPS))[0] == 401
    assert (await who(api, tossed))[0] == 401
    async with api.http.post(
        api.server.url + "/v1/login", json={"agent": "1002", "pin": PINS["1002"]}, headers=HTTPS
    ) as answer:
        token = (await answer.json())["token"]
    assert (await who(api, f"avp_session={token}", **HTTPS))[0] == 401
    assert (await api.ask("GET", "/v1/agents/1002", token=token))[0] == 200


async def test_a_log_in_ends_the_one_that_the_browser_had(api: Api) -> None:
    _, first = await sign_in(api, "1001", PINS["1001"])
    old = pair(first, "avp_session")
    _, second = await sign_in(api, "1002", PINS["1002"], old)
    assert first["avp_session"].value != second["avp_session"].value
    assert (await who(api, old))[0] == 401
    assert await who(api, pair(second, "avp_session")) == (200, "1002")


async def test_log_ins_and_known_browsers_outlive_a_restart() -> None:
    found = SimpleCookie()
    for turn in range(2):
        auth = Authenticator(pins=PINS, device_secret=b"of Asterisk")
        app = create_app(ScriptedTransferService(), auth, refusals=UNLIMITED)
        server = await serve(app, "127.0.0.1", 0)
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            here = Api(server, ScriptedTransferService(), http, auth)
            if turn:
                assert await who(here, pair(found, "avp_session")) == (200, "1001")
                await lock(here, "1001")
                known = pair(found, "avp_device")
                assert (await sign_in(here, "1001", PINS["1001"], known))[0] == 200
            else:
                _, found = await sign_in(here, "1001", PINS["1001"])
        await server.stop()
