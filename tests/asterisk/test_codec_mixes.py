"""Who hears whom where caller, transferor and target use any mix of codecs, Local members too.

A mix is ``caller transferor target``. One is in the normal run, and `tests/run codecs` has the
others. Tones do not survive GSM well enough to be told apart: of what a GSM phone hears, and of
what others hear of it, the test asks only that it is no silence. GSM phones do not send a steady
tone (`bed.audio.write_warble`).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, PhoneError, backend_named

from tests.asterisk import conftest
from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene

CODECS = ("ulaw", "alaw", "g722", "opus", "gsm")
USUAL = {"g722 ulaw opus"}
MIXES = sorted(
    {" ".join(mix) for mix in itertools.product(CODECS, repeat=3) if len(set(mix)) > 1} - USUAL
)
LOCAL = sorted(f"ulaw {a} {b} local" for a, b in itertools.permutations(CODECS, 2))
CALLER, TRANSFEROR, TARGET = "caller1", "1001", "1002"

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="session",
    params=[*sorted(USUAL), *(pytest.param(x, marks=pytest.mark.codecs) for x in (*MIXES, *LOCAL))],
)
async def mixed(request: pytest.FixtureRequest) -> AsyncIterator[Bed]:
    caller, transferor, target, *local = request.param.split()
    world = replace(
        conftest.world(),
        codecs={CALLER: caller, TRANSFEROR: transferor, TARGET: target},
        local_members=bool(local),
        wrapuptime=0,
    )
    async with Bed(world, backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(mixed: Bed) -> AsyncIterator[Scene]:
    async with open_scene(mixed) as opened:
        yield opened


async def hear(scene: Scene, *names: str, within: float = 5.0) -> None:
    """These hear one another, and nothing else."""
    for name in names:
        await hears(scene, name, *(other for other in names if other != name), within=within)


async def hears(scene: Scene, name: str, *others: str, within: float = 5.0) -> None:
    rough = "gsm" in {scene.phone(x).codecs for x in (name, *others) if x != "music"}
    if not rough:
        await scene.phone(name).hearing(set(others), within)
        return
    since, ear = time.time(), scene.phone(name).ear

    async def look() -> bool | None:
        now = time.time() - ear.SETTLE
        heard = ear.frames(now - 0.4, now)
        steady = bool(heard) and all("silence" not in labels for labels in heard)
        return (now - 0.4 > since and steady) or None

    if await scene.ami.until(look, within) is None:
        raise PhoneError(f"{name} does not hear {others} but {scene.phone(name).timeline(since)}")


async def consult(scene: Scene, transferor: str, target: str) -> str:
    await scene.agent_is(target, "available")
    transfer = await scene.transfer(transferor, "supervised", target)
    await scene.phone(target).answer()
    await scene.reaches(transfer, "consulting")
    await hear(scene, transferor, target)
    await hears(scene, CALLER, "music")
    return transfer


async def test_all_kinds(scene: Scene) -> None:
    await scene.phone(CALLER).dial("800")
    await scene.phone(TRANSFEROR).answer()
    await hear(scene, CALLER, TRANSFEROR)
    transfer = await consult(scene, TRANSFEROR, TARGET)
    await scene.cancel(transfer)
    await hear(scene, CALLER, TRANSFEROR)
    await scene.gone(TARGET)
    transfer = await consult(scene, TRANSFEROR, TARGET)
    await scene.act(transfer, "swap")
    await scene.reaches(transfer, "swapped")
    await hear(scene, CALLER, TRANSFEROR)
    await hears(scene, TARGET, "music")
    await scene.act(transfer, "swap")
    await scene.reaches(transfer, "consulting")
    await hear(scene, TRANSFEROR, TARGET)
    await scene.act(transfer, "conference")
    await scene.reaches(transfer, "conference")
    await hear(scene, CALLER, TRANSFEROR, TARGET)
    await scene.complete(transfer)
    await scene.gone(TRANSFEROR)
    await hear(scene, CALLER, TARGET)
    # Back, straight from a consultation.
    transfer = await consult(scene, TARGET, TRANSFEROR)
    await scene.complete(transfer)
    await scene.gone(TARGET)
    await hear(scene, CALLER, TRANSFEROR)
    await scene.agent_is(TARGET, "available")
    await scene.phone(TARGET).auto_answer()
    try:
        await scene.transfer(TRANSFEROR, "unsupervised", TARGET)
        await scene.phone(TARGET).established()
    finally:
        await scene.phone(TARGET).auto_answer(on=False)
    await hear(scene, CALLER, TARGET)
    await scene.hang_up(CALLER)
    await scene.gone(TRANSFEROR, TARGET)
