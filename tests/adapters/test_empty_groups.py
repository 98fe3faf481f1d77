"""The daemon withdraws a transferred caller from a group that nobody could take the call in."""

from __future__ import annotations

import asyncio

import pytest

from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.service.empty_groups import EmptyGroupWatch
from asterisk_avp.service.inbox import Message
from tests.core.empty_group import WITHDRAW, leave, waiting
from tests.core.world import NOW, member


@pytest.mark.parametrize("resynced", [False, True])
async def test_the_watch_withdraws_whom_nobody_can_take(*, resynced: bool) -> None:
    made, transfer = waiting(0)
    posted: asyncio.Queue[Message] = asyncio.Queue()
    watch = EmptyGroupWatch(made, posted.put_nowait)
    if resynced:
        leave(made, "target_offline")
        await watch.resynced()
    else:
        watch.perform(Outcome(transfers=[transfer]))
        watch.perform(leave(made, "target_offline"))
    assert await posted.get() == Outcome([(transfer, WITHDRAW)])
    await watch.stop()


async def test_the_watch_forgets_a_group_that_is_served_again() -> None:
    made, transfer = waiting(0)
    posted: list[Message] = []
    watch = EmptyGroupWatch(made, posted.append)
    watch.perform(Outcome(transfers=[transfer]))
    watch.perform(leave(made, "target_offline"))
    watch.perform(made.fact(member("1003", "q-support"), NOW))
    ran = asyncio.Event()
    asyncio.get_running_loop().call_later(0, ran.set)  # after a timer that was set before
    await ran.wait()
    assert posted == []
    await watch.stop()
