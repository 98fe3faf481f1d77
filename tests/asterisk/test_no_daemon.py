"""Without a daemon, callers go to the right place within the time that the settings state.

And a daemon that is stopped returns callers to agents first.
"""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, backend_named, match
from bed.deadlines import patiently

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

ORPHAN_SECONDS = 10
# A caller on music leaves it within that time after the daemon's last renewal.
NET = ORPHAN_SECONDS + 3.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mortal() -> AsyncIterator[Bed]:
    patient = world()
    patient.settings["AVP_SESSION__RING_SECONDS"] = "30"
    patient.settings["AVP_SESSION__ORPHAN_SECONDS"] = str(ORPHAN_SECONDS)
    patient.settings["AVP_SESSION__DRAIN_SECONDS"] = "1"
    # Calls with a limit of their own, and a survey after the call.
    limited = (
        "exten => 803,1,Answer()\n same => n,Set(TIMEOUT(absolute)=16)\n same => n,Queue(sales,i)"
    )
    made = replace(patient, max_hold_seconds=60, extensions=f"[callers](+)\n{limited}\n")
    async with Bed(made, backend=backend_named(None)) as bed:
        await bed.start_daemon()
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def scene(mortal: Bed) -> AsyncIterator[Scene]:
    if mortal.daemon is None:
        await mortal.start_daemon()
    async with open_scene(mortal) as opened:
        yield opened
        if mortal.daemon is None:
            await mortal.start_daemon()


async def limit(scene: Scene, name: str) -> float:
    """How long Asterisk lets a phone's call continue, in seconds; 0: no limit."""
    return float(await scene.variable(name, "TIMEOUT(absolute)"))


class OwnLimit:
    """A call that the inbound dialplan lets last 16 seconds, from a moment while it is set up."""

    SECONDS = 16
    ROUNDING = 2.0

    async def begin(self, scene: Scene) -> None:
        self.earliest = time.time() + self.SECONDS - self.ROUNDING
        await scene.call("caller1", "1001", number="803")
        self.call = scene.phone("caller1").call
        self.latest = time.time() + self.SECONDS + self.ROUNDING

    async def holds(self, scene: Scene) -> None:
        asked = time.time()
        left = await limit(scene, "caller1")
        answered = time.time()
        assert asked + left <= self.latest, left
        assert answered + left >= self.earliest, left

    def has_ended(self) -> None:
        assert self.call.ended is not None
        assert self.earliest <= self.call.ended <= self.latest + 2.0


@pytest.mark.smoke("no daemon")
async def test_agents_hang_up_and_nobody_is_there(scene: Scene) -> None:
    """The caller, left on music by both, is at the head of the group within the stated time."""
    await scene.consult("caller1", "1001", "1002")
    await scene.bed.stop_daemon(kill=True)
    gone = time.time()
    await scene.phone("caller2").dial("800")
    await scene.hang_up("1001", "1002")
    await scene.phone("1001").answer(within=6)
    await scene.talking("caller2", "1001")
    await scene.on_music("caller1")
    rung = await scene.phone("1002").ringing(within=NET)
    assert rung.began - gone < ORPHAN_SECONDS + patiently(3.0)
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    assert await limit(scene, "caller1") == 0
    await scene.bed.start_daemon()
    assert (await scene.api("GET", "/v1/transfers")).body == []
    await scene.talking("caller1", "1002")
    # And it is a call like any other.
    await scene.hang_up("caller2")
    await scene.agent_is("1001", "available")
    transfer = await scene.transfer("1002", "supervised", "1001")
    await scene.phone("1001").answer()
    await scene.consulting(transfer, "caller1", "1002", "1001")


@pytest.mark.thorough
async def test_a_caller_is_not_taken_from_a_daemon_that_is_there(scene: Scene) -> None:
    """A consultation that lasts longer than the limit."""
    transfer = await scene.consult("caller1", "1001", "1002")
    renewed = match("Newexten", Context="avp-stasis", Extension="T")
    began = time.time()

    async def look() -> bool | None:
        assert await limit(scene, "caller1") > ORPHAN_SECONDS / 2
        return time.time() - began > ORPHAN_SECONDS + 2 or None

    assert await scene.ami.until(look, ORPHAN_SECONDS + 8)
    assert not scene.ami.seen(renewed, began)
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    assert await limit(scene, "caller1") == 0


@pytest.mark.parametrize("how", ["complete", pytest.param("cancel", marks=pytest.mark.thorough)])
async def test_the_limit_of_the_calls_own_holds_again(scene: Scene, how: str) -> None:
    own = OwnLimit()
    await own.begin(scene)
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.act(transfer, how)
    await scene.talking("caller1", "1002" if how == "complete" else "1001")
    await own.holds(scene)


@pytest.mark.thorough
async def test_the_limit_of_the_calls_own_holds_in_the_queue(scene: Scene) -> None:
    """The consultation continues without the transferor, by the dialplan."""
    own = OwnLimit()
    await own.begin(scene)
    await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await scene.hang_up("1001")
    await scene.rung_again("1002")
    await scene.talking("caller1", "1002")
    await own.holds(scene)
    await scene.gone("caller1", "1002", within=20)
    own.has_ended()


async def leaves(scene: Scene) -> None:
    daemon = scene.bed.daemon
    assert daemon is not None
    daemon.signal(signal.SIGTERM)

    async def look() -> bool | None:
        return not daemon.alive() or None

    assert await scene.ami.until(look, 10.0)
    scene.bed.daemon = None


@pytest.mark.thorough
@pytest.mark.parametrize(
    "state",
    [
        *("consulting", "conference"),
        *(pytest.param(x, marks=pytest.mark.thorough) for x in ("ringing", "swapped")),
    ],
)
async def test_told_to_leave_it_hands_callers_back(scene: Scene, state: str) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    if state == "ringing":
        await scene.phone("1002").ringing()
    else:
        await scene.phone("1002").answer()
        await scene.consulting(transfer, "caller1", "1001", "1002")
    if state in ("swapped", "conference"):
        await scene.act(transfer, "swap" if state == "swapped" else state)
    await leaves(scene)
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")
    await scene.gone("1002")
    assert await limit(scene, "caller1") == 0
    await scene.hang_up("caller1")
    await scene.gone("1001")
    await scene.booked(Alice=1, **({} if state == "ringing" else {"Bob": 1}))


@pytest.mark.thorough
async def test_told_to_leave_it_leaves_the_queues_to_asterisk(scene: Scene) -> None:
    """A call that waits in app_queue does not delay the stop."""
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.reaches(transfer, "waiting")
    logged = len(scene.log_of_daemon())
    await leaves(scene)
    assert "transfers_returned" not in scene.log_of_daemon(logged)
    await scene.hang_up("caller2")
    await scene.phone("1002").answer(within=6)
    await scene.talking("caller1", "1002")
