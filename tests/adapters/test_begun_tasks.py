"""Work that is begun before it is known whether its result is wanted (`runtime.tasks.begin`)."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from asterisk_avp.runtime.tasks import begin

pytestmark = pytest.mark.asyncio


async def fails() -> str:
    raise ConnectionError("Asterisk is away")


async def test_a_failure_that_nobody_asks_for_is_not_logged() -> None:
    """As when a transfer is refused for another reason meanwhile."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    task = begin(fails())
    await asyncio.wait([task])
    task.cancel()
    del task
    gc.collect()
    assert told == []


async def test_whoever_waits_gets_it() -> None:
    with pytest.raises(ConnectionError):
        await begin(fails())


async def test_one_that_is_not_wanted_any_more_is_cancelled() -> None:
    task = begin(asyncio.sleep(60))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
