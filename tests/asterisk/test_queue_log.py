"""Transfers in queue_log and in our own log: who, what, whose call; and nothing else changes."""

from __future__ import annotations

import re

import pytest
from bed import Row

from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

OF_APP_QUEUE = {"ENTERQUEUE", "CONNECT", "COMPLETEAGENT", "COMPLETECALLER", "ABANDON"}
OUTSIDE = "+12025550100"


async def line_of(scene: Scene, transfer: str) -> Row:
    """The one line about a transfer."""

    async def look() -> list[Row] | None:
        rows = scene.bed.queue_log.rows(scene.books_mark)
        return [row for row in rows if transfer in row.data] or None

    found = await scene.ami.until(look, 5.0)
    assert found is not None, scene.bed.queue_log.rows(scene.books_mark)
    (only,) = found
    return only


def of_app_queue(scene: Scene) -> list[Row]:
    """What reports count: not our line, nor who becomes a member of a personal queue."""
    rows = scene.bed.queue_log.rows(scene.books_mark)
    return [
        row
        for row in rows
        if row.event != "AVPTRANSFER"
        and not (row.event in ("ADDMEMBER", "REMOVEMEMBER") and row.queue.startswith("avp-agent-"))
    ]


async def test_a_completed_transfer(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    caller = (await scene.ami.channel_of("caller1"))["Uniqueid"]
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    mark = scene.bed.queue_log.mark()
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    row = await line_of(scene, transfer)
    assert (row.call, row.queue, row.agent, row.event) == (caller, "sales", "Alice", "AVPTRANSFER")
    assert row.data == ("supervised", "agent:1002", "completed", "completed", transfer)
    await scene.phone("1002").hangup()
    await scene.booked(Alice=1, Bob=1)
    # Reports count what app_queue itself has written, and all of it is there.
    assert {row.event for row in of_app_queue(scene)} <= OF_APP_QUEUE
    assert len([x for x in scene.bed.queue_log.rows(mark) if x.event == "AVPTRANSFER"]) == 1


async def test_others_that_ended_otherwise(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    cancelled = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await scene.cancel(cancelled)
    assert (await line_of(scene, cancelled)).data[2] == "cancelled"
    await scene.talking("caller1", "1001")
    # A number appears as in our log: with its last three digits.
    body = {"mode": "supervised", "target": {"kind": "number", "number": OUTSIDE}}
    answer = await scene.api("POST", "/v1/agents/1001/transfers", body)
    assert answer.status == 201, answer
    await scene.phone("caller1").hangup()
    row = await line_of(scene, answer.body["id"])
    assert row.data[:3] == ("supervised", "number:***100", "abandoned")
    assert "2025550100" not in str(scene.bed.queue_log.rows(scene.books_mark))


async def test_each_line_of_our_log_says_whose_call_it_is(scene: Scene) -> None:
    begin = len(scene.log_of_daemon())
    await scene.call("caller1", "1001")
    caller = (await scene.ami.channel_of("caller1"))["Uniqueid"]
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await line_of(scene, transfer)
    *whole, _ = scene.log_of_daemon(begin).split("\n")  # the last one is still being written
    lines = [x for x in whole if transfer in x]
    assert len(lines) >= 3, lines
    for line in lines:
        assert re.search(rf"\bcall={re.escape(caller)}\b", line), line
