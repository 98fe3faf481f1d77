"""Asterisk is too busy: new transfers are refused, and every caller stays with their agent."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, backend_named

from tests.asterisk import guard, transfer_button
from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def busy_office() -> AsyncIterator[Bed]:
    """No Asterisk answers so soon."""
    demo = transfer_button.world()
    never = {"AVP_SESSION__BUSY_ANSWER_SECONDS": "0.000001"}
    async with Bed(
        replace(demo, settings=demo.settings | never), backend=backend_named(None)
    ) as bed:
        await guard.start_daemon(bed)
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def busy(busy_office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(busy_office) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Bed]:
    """With a bound that a busy machine keeps, and that a test can wait for."""
    demo = transfer_button.world()
    quick = {"AVP_SESSION__BUSY_ANSWER_SECONDS": "3"}
    async with Bed(
        replace(demo, settings=demo.settings | quick), backend=backend_named(None)
    ) as bed:
        await bed.start_daemon()
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(office) as opened:
        yield opened


async def is_busy(scene: Scene, wanted: float) -> None:
    async def look() -> bool | None:
        return (await scene.metric("asterisk_avp_asterisk_busy")) == wanted or None

    assert await scene.ami.until(look, 10.0)


async def test_asterisk_stands_still_for_a_moment(scene: Scene) -> None:
    """What is under way is finished once it goes on, and then new transfers are accepted."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.call("caller2", "1003", "support")
    asterisk = scene.bed.asterisk
    assert asterisk is not None
    asterisk.signal(signal.SIGSTOP)
    try:
        await is_busy(scene, 1)
        answer = await scene.ask("1003", "supervised", "agent", "1004")
        assert (answer.status, answer.body["error"]) == (503, "asterisk_busy"), answer
        assert not (await scene.agent("1003"))["call"]["transfer"]
    finally:
        asterisk.signal(signal.SIGCONT)
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.talking("caller2", "1003")
    await is_busy(scene, 0)
    second = await scene.transfer("1003", "supervised", "1004")
    await scene.phone("1004").answer()
    await scene.consulting(second, "caller2", "1003", "1004")
    await scene.cancel(second)
    await scene.talking("caller2", "1003")


async def test_a_feature_code_changes_nothing(busy: Scene) -> None:
    await busy.call("caller1", "1001")
    await is_busy(busy, 1)
    await busy.press("1001", "*7")
    assert await busy.ami.until(lambda: refused(busy), 4.0)
    await busy.talking("caller1", "1001")
    await busy.plain("caller1", "1001")


@pytest.mark.thorough
async def test_a_transfer_button_is_declined(busy: Scene) -> None:
    """This phone hangs up then, and the caller returns to the head of the group."""
    await busy.call("caller1", "1001")
    await is_busy(busy, 1)
    await busy.phone("1001").transfer("1002")
    await transfer_button.back_to_the_group(busy)
    assert transfer_button.told(busy.phone("1001"), busy.since) == "refused"


async def refused(scene: Scene) -> bool | None:
    return "feature_code_while_busy" in scene.log_of_daemon() or None
