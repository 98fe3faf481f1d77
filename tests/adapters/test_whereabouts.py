"""An answer about where a caller is may be older than what the daemon has heard meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.transfer.states import State
from asterisk_avp.service.inbox import Message
from asterisk_avp.service.links import Links
from asterisk_avp.service.whereabouts import Whereabouts
from tests.core.world import NOW, call, engine, request

CALLER = "u-caller1"
OURS = ev.ChannelLocated(CALLER, "avp-stasis", "caller", "Stasis", in_our_app=True)
BEFORE = ev.ChannelLocated(CALLER, "callers", "800", "Queue", in_our_app=False)
"""Where the caller was before the transfer, and is again if somebody takes them."""


class Connected:
    connected = True
    stuck = False


def begun() -> tuple[TransferEngine, str]:
    """A consultation is requested; nobody has entered the application yet."""
    made = engine()
    call(made)
    asked, _ = made.request(request(), CallVariables(), NOW)
    return made, asked.id


def enters(made: TransferEngine) -> None:
    """Caller and transferor are in the application."""
    for channel in (CALLER, "u-1001"):
        made.fact(ev.BridgeLeft(channel, "b-1001"), NOW)
        made.fact(ev.StasisEntered(channel), NOW)


async def told(
    made: TransferEngine, locate: Callable[[str], Awaitable[ev.ChannelLocated]]
) -> list[Message]:
    """What is posted after a hint."""
    posted: list[Message] = []
    link = Connected()
    watch = Whereabouts(made, Links(link, link), locate, posted.append)
    watch.handle(ev.StasisLeft(CALLER))
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
    return posted


@pytest.mark.parametrize("answers", [1, 2])
async def test_an_answer_from_before_the_transfer_took_the_caller_counts_not(answers: int) -> None:
    """They enter while Asterisk's answers are on their way."""
    made, transfer = begun()
    asked = 0

    async def locate(_: str) -> ev.ChannelLocated:
        nonlocal asked
        asked += 1
        if asked == 1:
            await asyncio.sleep(0)
            enters(made)
        return BEFORE if asked <= answers else OURS

    assert await told(made, locate) == []
    assert made.store.records[transfer].session.state is State.WAITING
    assert asked > 1


async def test_who_is_taken_is_so_in_two_answers() -> None:
    made, _ = begun()
    enters(made)
    asked = []

    async def locate(channel: str) -> ev.ChannelLocated:
        asked.append(channel)
        return BEFORE

    assert (await told(made, locate))[0] == BEFORE
    assert len(asked) >= 2


async def test_where_two_answers_differ_nothing_has_happened() -> None:
    """The events of bridges may be older than the answer, and an answer older than events."""
    made, _ = begun()
    enters(made)
    asked = 0

    async def locate(_: str) -> ev.ChannelLocated:
        nonlocal asked
        asked += 1
        return BEFORE if asked == 1 else OURS

    assert await told(made, locate) == []


@pytest.mark.parametrize("taken", [True, False])
async def test_a_transferor_who_has_left(taken: bool) -> None:
    """Asterisk is asked about the caller, and the answer, if any, comes before the end of asking.

    The caller may be on the way out of our application when Asterisk is asked first.
    """
    made, _ = begun()
    enters(made)
    for channel in (CALLER, "u-1001")[not taken :]:
        made.fact(ev.StasisLeft(channel), NOW)
    asked, posted = 0, list[Message]()

    async def locate(_: str) -> ev.ChannelLocated:
        nonlocal asked
        asked += 1
        return BEFORE if taken and asked > 1 else OURS

    link = Connected()
    watch = Whereabouts(made, Links(link, link), locate, posted.append)
    watch.handle(ev.StasisLeft("u-1001"))
    while not posted or posted[-1] != ev.CallerAsked(CALLER):
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
    assert (BEFORE in posted) is taken
