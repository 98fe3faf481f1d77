"""Two nodes over a line with delay and loss, for two minutes in which nothing happens to them.

Nothing may be taken for lost: an agent who cannot be a target for a second is a refused transfer,
and a trunk that counts as cut takes callers back.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter

import pytest
from bed.nodes import Nodes

from tests.asterisk.nodes_scene import open_nodes
from tests.asterisk.nodes_standby import listening
from tests.network.line import VARIABLE

pytestmark = [
    pytest.mark.asterisk,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(VARIABLE not in os.environ, reason="needs a line: tests/run nodes-network"),
]

BEATS = int(os.environ.get("AVP_TEST_BEATS", "240"))
"""Of each node: two a second."""
FALSE_ALARMS = (
    *("node_lost", "trunk_lost", "directory_disconnected", "directory_error", "peer_away"),
    "home_moved",
)


async def test_nothing_is_taken_for_lost() -> None:
    async with (
        Nodes("ab", settings={"AVP_SESSION__RING_SECONDS": "30"}) as nodes,
        open_nodes(nodes) as scene,
        listening(nodes) as beats,
    ):
        for agent in ("1003", "1004", "1005"):
            await scene.sees("a", agent, within=15.0, state="available")
        # A call over the line all the time: its audio must not look like a cut.
        transfer = await scene.consult("caller1", "1001", "1005")
        await scene.at("a").complete(transfer)
        await scene.talking("caller1", "1005")
        before = {letter: len(scene.at(letter).log_of_daemon()) for letter in "ab"}

        async def heard() -> bool | None:
            each = Counter(beat["node"] for _, beat in beats.heard)
            return all(each[letter] >= BEATS for letter in "ab") or None

        assert await scene.at("a").ami.until(heard, BEATS)
        logs = {letter: scene.at(letter).log_of_daemon(before[letter]) for letter in "ab"}
        said = {
            (letter, what): log.count(f" {what} ")
            for letter, log in logs.items()
            for what in FALSE_ALARMS
            if f" {what} " in log
        }
        print(f"figure: {os.environ[VARIABLE]}, {BEATS} heartbeats: {said or 'no false alarm'}")
        assert not said, "\n".join(
            line
            for log in logs.values()
            for line in log.splitlines()
            if any(f" {what} " in line for what in FALSE_ALARMS)
        )
        await scene.talking("caller1", "1005")
        await asyncio.gather(*(scene.phone(name).hangup() for name in ("caller1", "1005")))
