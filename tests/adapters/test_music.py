"""Music on channels, from Asterisk's events: waiting for its end, and which a queue has played."""

from __future__ import annotations

import asyncio

from servers.waiting import eventually

from asterisk_avp.ari.music import Music
from asterisk_avp.core.messages.effects import SetVariables
from asterisk_avp.core.messages.facts import ChannelGone, MusicChanged, QueueJoined, QueueLeft
from asterisk_avp.service.inbox import Hint, Message
from asterisk_avp.service.listeners import MusicWatch

ON, OFF = MusicChanged("c", playing=True), MusicChanged("c", playing=False)
SOON, LONG = 0.02, 5.0


async def test_no_music_is_known_of() -> None:
    music = Music()
    assert await music.stopped("c", LONG)
    music.update(OFF)
    assert await music.stopped("c", LONG)


async def test_music_that_goes_on() -> None:
    music = Music()
    music.update(ON)
    assert not await music.stopped("c", SOON)
    assert await music.stopped("another", LONG)
    music.update(OFF)
    assert await music.stopped("c", LONG)


async def test_its_end_is_waited_for_by_whoever_asks() -> None:
    music = Music()
    music.update(ON)
    waiting = [asyncio.ensure_future(music.stopped("c", LONG)) for _ in range(2)]
    await eventually(lambda: "c" in music._waiting)
    music.update(OFF)
    assert await asyncio.gather(*waiting) == [True, True]
    assert music._waiting == {}


async def test_a_wait_that_was_in_vain_leaves_the_next_one_alone() -> None:
    music = Music()
    music.update(ON)
    assert not await music.stopped("c", SOON)
    waiting = asyncio.ensure_future(music.stopped("c", LONG))
    await asyncio.sleep(0)
    music.update(OFF)
    assert await waiting
    music.update(ON)
    assert not await music.stopped("c", SOON)


async def test_after_the_connection_was_away_nothing_is_known() -> None:
    music = Music()
    music.update(ON)
    waiting = asyncio.ensure_future(music.stopped("c", LONG))
    await asyncio.sleep(0)
    music.forget()
    assert await asyncio.wait_for(waiting, 10), "nobody waits for what will not be told"
    assert await music.stopped("c", LONG)


def _effects(watch: MusicWatch, message: Message) -> list[SetVariables]:
    outcome = watch.handle(message)
    effects = outcome.effects if outcome is not None else []
    return [
        effect for session, effect in effects if isinstance(effect, SetVariables) and not session
    ]


def test_the_music_of_a_queue_is_written_to_the_channel() -> None:
    """AMI reports who waits, and a resync reports who waits already."""
    watch = MusicWatch(Music())
    jazz = MusicChanged("c", playing=True, music_class="jazz")
    written = [SetVariables("c", {"AVP_MUSIC": "jazz"})]
    assert _effects(watch, jazz) == []
    for waits in (Hint(QueueJoined("sales", "c")), QueueJoined("sales", "c")):
        assert _effects(watch, waits) == []
        assert _effects(watch, jazz) == written
        assert _effects(watch, OFF) == []
        assert _effects(watch, jazz) == []
    for end in (Hint(QueueLeft("sales", "c")), ChannelGone("c")):
        watch.handle(QueueJoined("sales", "c"))
        watch.handle(end)
        assert _effects(watch, jazz) == []
