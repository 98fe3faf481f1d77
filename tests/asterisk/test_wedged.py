"""Asterisk does not execute requests, or does nothing at all: calls continue, and all recovers."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio
from bed import Bed, backend_named
from bed.ari_proxy import AriProxy, Fault
from bed.deadlines import deadline
from bed.procs import end

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

SECONDS = 2.0
"""The daemon's time limit of a request, and the interval of its health probe."""


@dataclass
class Wedged:
    bed: Bed
    ari: AriProxy


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def wedged() -> AsyncIterator[Wedged]:
    patient = world()
    patient.settings["AVP_SESSION__RING_SECONDS"] = "30"
    async with Bed(replace(patient, max_hold_seconds=60), backend=backend_named(None)) as bed:
        proxy = AriProxy(bed.ports.http)
        await proxy.start()
        await bed.start_daemon(
            {
                **proxy.daemon_env(),
                "AVP_ARI__REQUEST_TIMEOUT_SECONDS": str(SECONDS),
                "AVP_AMI__ACTION_TIMEOUT_SECONDS": str(SECONDS),
                "AVP_ARI__PROBE_SECONDS": str(SECONDS),
                "AVP_ARI__RECONNECT_MAX_SECONDS": "1",
                "AVP_AMI__RECONNECT_MAX_SECONDS": "1",
            }
        )
        yield Wedged(bed, proxy)
        await bed.stop_daemon()
        await proxy.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def scene(wedged: Wedged) -> AsyncIterator[Scene]:
    async with open_scene(wedged.bed) as opened:
        try:
            yield opened
        finally:
            wedged.ari.mend()
            await ready(opened)


async def ready(scene: Scene, within: float = 20.0) -> None:
    await says(scene, "", within)


async def says(scene: Scene, words: str, within: float = 15.0) -> None:
    """Wait until /readyz is not ready and has these words; without words, until it is ready."""

    async def look() -> bool | None:
        answer = await scene.api("GET", "/readyz")
        detail = answer.body["detail"]
        return ((answer.status == 200) is (not words) and words in detail) or None

    over = deadline(within)
    while not await look():
        assert time.monotonic() < over, await scene.api("GET", "/readyz")
        await asyncio.sleep(0.1)


async def consult_and_complete(scene: Scene, transfer: str) -> None:
    """As usual, from the point where the target's phone rings or is about to."""
    await scene.phone("1002").answer(within=10)
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await complete(scene, transfer)


async def complete(scene: Scene, transfer: str) -> None:
    await scene.complete(transfer)
    await scene.ends(transfer, "completed", "completed", within=10)
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    await scene.gone("1001")
    await scene.hang_up("caller1")
    await scene.gone("1002")
    await scene.booked(Alice=1, Bob=1)


# --- one request goes wrong ------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", [503, *(pytest.param(one, marks=pytest.mark.thorough) for one in (500, 0))]
)
@pytest.mark.parametrize(
    "request_line",
    [
        r"POST /bridges/avp-\w+-hold$",
        pytest.param(r"POST /bridges/avp-\w+-hold/addChannel", marks=pytest.mark.thorough),
        r"POST /bridges/avp-\w+-consult/addChannel",
        r"POST /channels/.*/moh",
    ],
)
async def test_what_was_not_done_at_the_start_is_made_good(
    scene: Scene, wedged: Wedged, request_line: str, status: int
) -> None:
    await scene.call("caller1", "1001")
    fault = wedged.ari.fail(request_line, status)
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await met(scene, fault)
    await heard_music(scene, "caller1")
    await arranged(scene, transfer)
    await consult_and_complete(scene, transfer)


async def met(scene: Scene, fault: Fault) -> None:
    """Wait until the request has gone wrong: the target may ring before it is sent."""

    async def look() -> bool | None:
        return fault.met == fault.times or None

    assert await scene.ami.until(look, 5.0), fault


async def arranged(scene: Scene, transfer: str) -> None:
    """Each waits in their bridge: only then can they be bridged unnoticed by app_queue."""
    hold, consult = (f"avp-{transfer}-{name}" for name in ("hold", "consult"))

    async def look() -> bool | None:
        seats = {b.id: b for b in await scene.ami.bridges()}
        there = hold in seats and seats[hold].holds(scene.seat("caller1"))
        return (there and consult in seats and seats[consult].holds(scene.seat("1001"))) or None

    assert await scene.ami.until(look, 10.0), await scene.ami.bridges()


async def heard_music(scene: Scene, name: str, within: float = 10.0) -> None:
    over = deadline(within)
    while True:
        try:
            await scene.on_music(name)
        except AssertionError:
            if time.monotonic() > over:
                raise
        else:
            return


@pytest.mark.thorough
async def test_the_target_is_not_seated(scene: Scene, wedged: Wedged) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await scene.reaches(transfer, "ringing")
    fault = wedged.ari.fail(r"POST /bridges/avp-\w+-consult/addChannel", 503, times=2)
    await scene.phone("1002").answer(within=10)
    await scene.hear_one_another("1001", "1002")
    assert fault.met == 2
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await complete(scene, transfer)


@pytest.mark.thorough
async def test_a_leg_that_was_dialled_although_nobody_said_so(scene: Scene, wedged: Wedged) -> None:
    """The transfer fails, the transferor is back with the caller, and all phones stop ringing."""
    await scene.call("caller1", "1001")
    wedged.ari.fail(r"POST /channels(/avp-[\w-]+-leg)?$", 0, carried_out=True)
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await scene.ends(transfer, "failed", "target_unreachable", within=15)
    await scene.talking("caller1", "1001")
    await scene.gone("1002", within=15)
    await scene.hang_up("caller1")
    await scene.gone("1001")


# --- the application -------------------------------------------------------------------------


async def test_events_cease_to_come(scene: Scene, wedged: Wedged) -> None:
    """The connection is up, requests are answered, and no event arrives."""
    transfer = await scene.consult("caller1", "1001", "1002")
    scene.expected |= {"[error"}
    wedged.ari.deaf = True
    await says(scene, "delivers no events to the Stasis application")
    assert await scene.metric("asterisk_avp_stasis_stuck") == 1.0
    answer = await scene.ask("1001", "supervised", "agent", "1002")
    assert answer.status == 503, answer
    assert answer.body["error"] == "asterisk_unavailable"
    await scene.hear_one_another("1001", "1002")
    await scene.on_music("caller1")
    wedged.ari.deaf = False
    await ready(scene, within=80)
    await complete(scene, transfer)


@pytest.mark.thorough
async def test_requests_hang(scene: Scene, wedged: Wedged) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    scene.expected |= {"[error"}
    fault = wedged.ari.fail(r"POST /events/user/", 0, times=10)
    await says(scene, "answers no requests about the Stasis application")
    assert fault.met == 1
    wedged.ari.mend()
    # Release what hangs, as if the proxy had been restarted.
    await ready(scene, within=80)
    await complete(scene, transfer)


# --- all of Asterisk -------------------------------------------------------------------------


async def test_asterisk_stands_still(scene: Scene) -> None:
    """A frozen process: TCP connections are accepted, and nothing is answered."""
    transfer = await scene.consult("caller1", "1001", "1002")
    scene.expected |= {"[error"}
    asterisk = scene.bed.asterisk
    assert asterisk is not None
    asterisk.signal(signal.SIGSTOP)
    try:
        await says(scene, "Not connected to Asterisk: ARI and AMI.", within=30)
        assert (await scene.ask("1001", "supervised", "agent", "1002")).status == 503
        assert (await scene.api("GET", "/healthz")).status == 200
    finally:
        asterisk.signal(signal.SIGCONT)
    await ready(scene)
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await complete(scene, transfer)


@pytest.mark.thorough
async def test_asterisk_is_started_again(scene: Scene) -> None:
    """Calls end with it. Their state is forgotten, and the next call is normal."""
    transfer = await scene.consult("caller1", "1001", "1002")
    scene.expected |= {"[error"}
    bed = scene.bed
    assert bed.asterisk is not None
    await bed.ami.close()
    await asyncio.to_thread(end, bed.asterisk, first=signal.SIGKILL)
    await says(scene, "Not connected to Asterisk")
    for name in ("caller1", "1001", "1002"):
        await scene.phone(name).hangup()
    await bed.start_asterisk()
    await ready(scene)
    await scene.ends(transfer, "abandoned", "caller_hangup")
    await scene.everybody_free()
    scene.begin()
    transfer = await scene.consult("caller1", "1001", "1002")
    await complete(scene, transfer)
