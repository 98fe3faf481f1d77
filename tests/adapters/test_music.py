"""The channels on which music plays, from Asterisk's events, and waiting for its end."""

from __future__ import annotations

import asyncio

from servers.waiting import eventually

from asterisk_avp.ari.music import Music
from asterisk_avp.core.messages.facts import MusicChanged

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
