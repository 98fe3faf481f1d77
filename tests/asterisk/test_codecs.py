"""Who hears whom where phones use different codecs.

caller1 uses A-law and the agents µ-law, so that Asterisk translates both directions; agent 1003 and
the outside phone use A-law too. Debian's Asterisk takes the packets of a translated party's next
partner for late ones of the previous partner if their numbers are smaller, and the dialplan's
avp-translation prevents it. Phones begin at random numbers (`bed.rtp_start`), so that the kinds of
transfer are repeated. `test_codec_mixes` has other codecs.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, backend_named
from bed.audio import Ear
from bed.deadlines import patiently

from tests.asterisk import conftest
from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import FOURTH, Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

#: How many, if every second time fails, for one run in 64 to miss it.
TIMES = 6


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mixed() -> AsyncIterator[Bed]:
    world = conftest.world().with_group("sales", agents=("1001", "1002", "1003"))
    world = replace(world, wrapuptime=0, codecs={"caller1": "alaw", "1003": "alaw", "pstn": "alaw"})
    async with Bed(world, backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(mixed: Bed) -> AsyncIterator[Scene]:
    async with open_scene(mixed) as opened:
        yield opened


async def translated(scene: Scene) -> None:
    """The call has two codecs; otherwise the test would prove nothing."""
    formats = []
    for name in ("caller1", "1001"):
        channel = (await scene.ami.channel_of(name))["Channel"]
        formats.append(await scene.ami.variable(channel, "CHANNEL(audionativeformat)"))
    assert formats == ["(alaw)", "(ulaw)"]


async def consult(scene: Scene, agent: str, target: str, caller: str = "caller1") -> str:
    """A supervised transfer of the caller's call and the target's answer. Returns the transfer."""
    await scene.agent_is(target, "available")
    transfer = await scene.transfer(agent, "supervised", target)
    await scene.phone(target).answer()
    await scene.consulting(transfer, caller, agent, target)
    return transfer


async def test_complete(scene: Scene) -> None:
    """Back and forth in one call."""
    await scene.call("caller1", "1001")
    await translated(scene)
    agent, target = "1001", "1002"
    for _ in range(TIMES):
        transfer = await consult(scene, agent, target)
        await scene.complete(transfer)
        await scene.talking("caller1", target)
        await scene.gone(agent)
        agent, target = target, agent
    await scene.hang_up("caller1")
    await scene.gone("1001", "1002")


async def test_cancel(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    for _ in range(2):
        transfer = await consult(scene, "1001", "1002")
        await scene.cancel(transfer)
        await scene.talking("caller1", "1001")
        await scene.gone("1002")
    await scene.hang_up("caller1")
    await scene.gone("1001")


@pytest.mark.thorough
async def test_swap_twice_and_complete(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await consult(scene, "1001", "1002")
    await scene.act(transfer, "swap")
    await scene.reaches(transfer, "swapped")
    await scene.hear_one_another("caller1", "1001")
    await scene.on_music("1002")
    await scene.act(transfer, "swap")
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.hang_up("caller1")
    await scene.gone("1001", "1002")


@pytest.mark.thorough
async def test_unsupervised_to_a_phone_that_answers_at_once(scene: Scene) -> None:
    """No music in between makes the caller's translator anew."""
    await scene.call("caller1", "1001")
    agent, target = "1001", "1002"
    for name in (agent, target):
        await scene.phone(name).auto_answer()
    try:
        for _ in range(TIMES):
            await scene.agent_is(target, "available")
            await scene.transfer(agent, "unsupervised", target)
            await scene.phone(target).established()
            await scene.gone(agent)
            await scene.talking("caller1", target)
            agent, target = target, agent
    finally:
        for name in (agent, target):
            await scene.phone(name).auto_answer(on=False)
    await scene.hang_up("caller1")
    await scene.gone("1001", "1002")


async def test_conference(scene: Scene) -> None:
    """… and what is left of it when the transferor leaves."""
    await scene.call("caller1", "1001")
    transfer = await consult(scene, "1001", "1002")
    await scene.act(transfer, "conference")
    await scene.reaches(transfer, "conference")
    await scene.hear_one_another("caller1", "1001", "1002")
    await scene.hang_up("1001")
    await scene.hear_one_another("caller1", "1002")
    await scene.hang_up("caller1")
    await scene.gone("1002")


async def test_the_pause_of_a_translated_target_is_short(scene: Scene) -> None:
    """At each change the target hears nothing while its translator is made anew."""
    transfer = await scene.consult("caller2", "1001", "1003")
    since = time.time()
    await scene.act(transfer, "swap")
    await scene.reaches(transfer, "swapped")
    await scene.on_music("1003")
    await scene.act(transfer, "swap")
    await scene.consulting(transfer, "caller2", "1001", "1003")
    await scene.complete(transfer)
    await scene.talking("caller2", "1003")
    silent = scene.phone("1003").ear.silences(since, time.time() - Ear.SETTLE)
    longest = max((end - start for start, end in silent), default=0.0)
    assert longest <= patiently(0.2), silent
    await scene.hang_up("caller2")
    await scene.gone("1001", "1003")


@pytest.mark.thorough
async def test_complete_to_another_codec_than_all_others(scene: Scene) -> None:
    """The target heard the transferor through the same translator as the caller afterwards."""
    await scene.call("caller2", "1001")
    agent, target = "1001", "1003"
    for _ in range(TIMES):
        transfer = await consult(scene, agent, target, "caller2")
        await scene.complete(transfer)
        await scene.talking("caller2", target)
        await scene.gone(agent)
        agent, target = target, agent
    await scene.hang_up("caller2")
    await scene.gone("1001")


@pytest.mark.thorough
async def test_swap_and_conference_with_another_codec_than_all_others(scene: Scene) -> None:
    """Music and a mix have no packet numbers: the patch takes all of it for late."""
    transfer = await scene.consult("caller2", "1001", "1003")
    await scene.act(transfer, "swap")
    await scene.reaches(transfer, "swapped")
    await scene.hear_one_another("caller2", "1001")
    await scene.on_music("1003")
    await scene.act(transfer, "swap")
    await scene.consulting(transfer, "caller2", "1001", "1003")
    await scene.act(transfer, "conference")
    await scene.reaches(transfer, "conference")
    await scene.hear_one_another("caller2", "1001", "1003")
    await scene.hang_up("caller2")
    await scene.hear_one_another("1001", "1003")
    await scene.hang_up("1001")
    await scene.gone("1003")


@pytest.mark.thorough
async def test_a_transferor_with_another_codec_than_all_others(scene: Scene) -> None:
    await scene.direct_call("caller2", "1003")
    for _ in range(2):
        transfer = await consult(scene, "1003", "1001", "caller2")
        await scene.act(transfer, "swap")
        await scene.reaches(transfer, "swapped")
        await scene.hear_one_another("caller2", "1003")
        await scene.on_music("1001")
        await scene.act(transfer, "conference")
        await scene.reaches(transfer, "conference")
        await scene.hear_one_another("caller2", "1003", "1001")
        await scene.cancel(transfer)
        await scene.talking("caller2", "1003")
        await scene.gone("1001")
    await scene.hang_up("caller2")
    await scene.gone("1003")


@pytest.mark.thorough
async def test_an_outside_target_and_fourth_party_with_another_codec(scene: Scene) -> None:
    """The outside phone uses A-law, all others µ-law."""
    transfer = await scene.consult("caller2", "1001", "1002")
    added = await scene.api("POST", f"/v1/transfers/{transfer}/parties", {"number": FOURTH})
    assert added.status == 201, added
    await scene.phone("pstn").answer()
    await scene.hear_one_another("1001", "1002", "pstn")
    await scene.act(transfer, "swap")
    await scene.reaches(transfer, "swapped")
    await scene.hear_one_another("1002", "pstn")
    await scene.act(transfer, "conference")
    await scene.reaches(transfer, "conference")
    await scene.hear_one_another("caller2", "1001", "1002", "pstn")
    await scene.hang_up("1002")
    await scene.hear_one_another("caller2", "1001", "pstn")
    await scene.complete(transfer)
    await scene.talking("caller2", "pstn")
    await scene.hang_up("caller2")
    await scene.gone("1001", "pstn")
