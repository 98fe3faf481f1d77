"""Twelve hundred idle connections, with systemd's default limit of descriptors.

This used to kill the API, lose AMI for good, and grow the log by 106 MB in half a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
from bed import Bed, Wire, Wires, backend_named, match

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.flood import Flood, descriptors, flood, taken
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session"), pytest.mark.thorough]

IDLE = 1200
LIMIT = 1024
NUMBER = "+12025550100"
ABROAD = "+442079460000"
PART = b"GET / HTTP/1.1\r\nX-A: "
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HANDSHAKE = (
    b"GET /v1/events HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
BODY = b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
AGI = b"agi_network: yes\nagi_network_script: avp/dial\n"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def wired() -> AsyncIterator[tuple[Bed, Wires]]:
    async with Bed(world(), backend=backend_named(None)) as bed:
        wires = Wires(Wire(bed.ports.ami), Wire(bed.ports.http))
        await wires.start()
        await bed.start_daemon(wires.daemon_env())
        yield bed, wires
        await bed.stop_daemon()
        await wires.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def scene(wired: tuple[Bed, Wires]) -> AsyncIterator[Scene]:
    async with open_scene(wired[0]) as opened:
        yield opened


def log_size(bed: Bed) -> int:
    return (bed.directory / "log" / "daemon.log").stat().st_size


async def crowded(scene: Scene, crowd: Flood, count: int) -> None:
    """Until all of them have connected, even if they were closed since."""

    async def look() -> bool | None:
        return crowd.opened >= count or None

    assert await scene.ami.until(look, 60), crowd.opened


async def gate_works(scene: Scene) -> None:
    """An allowed number rings outside, and a refused one gets a voice prompt."""
    mark = await scene.ami.mark()
    await scene.phone("1004").dial(quote(NUMBER, safe="+"))
    await scene.phone("pstn").answer()
    await scene.talking("1004", "pstn")
    await scene.hang_up("1004")
    await scene.gone("pstn")
    await scene.phone("1004").dial(quote(ABROAD, safe="+"))
    await scene.phone("1004").established()
    await scene.phone("1004").closed(within=12.0)
    assert len(scene.ami.seen(match("DialBegin"), mark)) == 1


async def transfers_work(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    await scene.gone("1001")
    await scene.hang_up("caller1")
    await scene.gone("1002")


async def panel_works(scene: Scene) -> None:
    """An agent signs in and receives events."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        async with http.post(
            f"{scene.bed.url}/v1/session",
            json={"agent": "1003", "pin": "pin-1003"},
            headers={"X-AVP-Panel": "1"},
        ) as answer:
            assert answer.status == 200
        async with http.ws_connect(f"{scene.bed.url}/v1/events") as socket:
            assert (await socket.receive_json(timeout=10))["type"] == "snapshot"
            await scene.pause("1003")
            for paused in (True, False):
                while True:
                    event = await socket.receive_json(timeout=10)
                    agent = event.get("agent", {})
                    if agent.get("id") == "1003" and (agent["state"] == "not_ready") is paused:
                        break
                await scene.pause("1003", paused=False)


@pytest.mark.parametrize(
    ("data", "to"),
    [
        pytest.param(PART, "api", marks=pytest.mark.thorough),
        pytest.param(b"", "api", marks=pytest.mark.thorough),
        pytest.param(HEALTH, "api", marks=pytest.mark.thorough),
        pytest.param(HANDSHAKE, "api", marks=pytest.mark.thorough),
        (BODY, "api"),
        (AGI, "agi"),
    ],
    ids=["part of a head", "nothing", "a request", "a WebSocket", "part of a body", "FastAGI"],
)
async def test_idle_connections_stop_nothing(
    wired: tuple[Bed, Wires],
    scene: Scene,
    data: bytes,
    to: str,
) -> None:
    bed, wires = wired
    port = bed.ports.api if to == "api" else bed.ports.agi
    before = log_size(bed)
    transfer = await scene.consult("caller2", "1001", "1002")
    with descriptors(bed, LIMIT):
        async with flood(port, IDLE, data) as crowd:
            await crowded(scene, crowd, IDLE)
            assert taken(bed) < LIMIT
            # The running transfer is completed when its agent hangs up.
            await scene.hang_up("1001")
            await scene.talking("caller2", "1002")
            await scene.hang_up("caller2")
            await scene.gone("1002")
            await transfers_work(scene)
            await gate_works(scene)
            await panel_works(scene)
            # Asterisk is lost, and found again although that takes descriptors.
            for wire in wires.named("both"):
                wire.break_off()
            await ready(scene, 503)
            wires.mend()
            await ready(scene, 200)
            await transfers_work(scene)
            assert taken(bed) < LIMIT
            figures = {"opened": crowd.opened, "descriptors": taken(bed)}
        grown = log_size(bed) - before
        figures["log"] = grown
    print(f"{IDLE} idle connections ({to}):", figures)
    assert grown < 1_000_000
    assert "Traceback" not in scene.log_of_daemon()
    assert (await scene.api("GET", f"/v1/transfers/{transfer}")).body["state"] == "completed"


async def ready(scene: Scene, status: int) -> None:
    async def look() -> bool | None:
        return (await scene.api("GET", "/readyz")).status == status or None

    assert await scene.ami.until(look, 20), await scene.api("GET", "/readyz")


async def test_few_descriptors_are_said(wired: tuple[Bed, Wires], scene: Scene) -> None:
    bed, _ = wired
    log = scene.log_of_daemon()
    assert " file_descriptors " in log, "how many there are, at the start"
    with descriptors(bed, 512):
        answer = await scene.api("GET", "/readyz")
        assert answer.status == 200
        if bed.backend.name == "rootfs":
            (warning,) = answer.body["warnings"]
            assert warning.startswith("Only 512 file descriptors")
    assert not any("512" in text for text in (await scene.api("GET", "/readyz")).body["warnings"])


async def test_log_ins_of_a_call_centre_behind_one_address(
    wired: tuple[Bed, Wires], scene: Scene
) -> None:
    """An attacker in it has tried many PINs. The agents get in, and so does their own browser."""
    url = f"{scene.bed.url}/v1/session"
    headers = {"X-AVP-Panel": "1", "X-Forwarded-For": "198.51.100.7"}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:

        async def sign_in(agent: str, pin: str, device: str = "") -> tuple[int, str]:
            cookie = {"Cookie": f"avp_device=bad; avp_device={device}"} if device else {}
            body = {"agent": agent, "pin": pin}
            async with http.post(url, json=body, headers=headers | cookie) as answer:
                found = answer.cookies.get("avp_device")
                return answer.status, found.value if found is not None else ""

        status, device = await sign_in("1001", "pin-1001")
        assert status == 200
        tried = [(await sign_in(f"n{number}", "x"))[0] for number in range(31)]
        assert tried == [401] * 31
        known = [(await sign_in("1001", "x"))[0] for _ in range(7)]
        unknown = [(await sign_in("nobody", "x"))[0] for _ in range(7)]
        assert known == unknown == [401] * 5 + [429] * 2
        assert (await sign_in("1001", "pin-1001"))[0] == 429
        assert (await sign_in("1001", "pin-1001", device))[0] == 200
        for agent in ("1002", "1003", "1004"):
            assert (await sign_in(agent, f"pin-{agent}"))[0] == 200
        # The key of the cookie is derived again from the daemon's settings, and is the same.
        await scene.bed.stop_daemon()
        await scene.bed.start_daemon(wired[1].daemon_env())
        for _ in range(6):
            await sign_in("1001", "x")
        assert (await sign_in("1001", "pin-1001"))[0] == 429
        assert (await sign_in("1001", "pin-1001", device))[0] == 200


async def test_a_token_has_twenty_panels_and_the_first_stay(scene: Scene) -> None:
    headers = {"Authorization": f"Bearer {scene.bed.secrets.token}"}
    url = f"{scene.bed.url}/v1/events"
    async with aiohttp.ClientSession() as http:
        accepted, refused = [], []
        for _ in range(60):
            try:
                accepted.append(await http.ws_connect(url, headers=headers))
            except aiohttp.WSServerHandshakeError as error:
                refused.append(error.status)
        assert (len(accepted), refused) == (20, [429] * 40)
        await scene.pause("1003")
        for socket in accepted:
            while (await socket.receive_json(timeout=10)).get("agent", {}).get("id") != "1003":
                pass
        await asyncio.gather(*(socket.close() for socket in accepted))
        await scene.pause("1003", paused=False)
