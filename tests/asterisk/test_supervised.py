"""Supervised transfer to an agent, with a real Asterisk, real phones and their ears."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.smoke("supervised complete")
@pytest.mark.containers
async def test_complete(scene: Scene) -> None:
    """A complete transfer: music, ringback, private consultation, then caller and target."""
    await scene.call("caller1", "1001")
    asked = time.time()
    transfer = await scene.transfer("1001", "supervised", "1002")
    music = await scene.phone("caller1").hears({"music"}, within=4.0)
    await scene.phone("1001").hears({"ringback"})
    await scene.reaches(transfer, "ringing")
    assert scene.phone("1002").heard(asked) <= {"silence"}
    before = time.time()
    await scene.phone("1002").answer()
    answered = time.time()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    began = time.time()
    # Some time of consultation, to be distinguished in the recordings.
    await scene.phone("1001").hears({"1002"}, steady=1.0)
    consult = scene.phone("caller1").understood(music, began)
    assert consult == {"music"}, "the caller hears music and nothing of the consult"

    async with scene.passing("1001", "acw"):
        await scene.complete(transfer)
        await scene.talking("caller1", "1002")
        await scene.plain("caller1", "1002")
        await scene.gone("1001")
        await scene.ends(transfer, "completed", "completed")
    await scene.agent_is("1002", "talking")
    await scene.agent_is("1001", "available", within=4)
    ended = time.time()
    await scene.hang_up("1002")
    await scene.gone("caller1")
    over = time.time()
    books = await scene.booked(Alice=1, Bob=1)
    assert books["Alice"][0].event == "COMPLETEAGENT"
    assert books["Bob"][0].event == "COMPLETEAGENT"
    talk = books["Bob"][0].talk
    assert ended - answered - 2 <= talk <= over - before + 2, "Bob's talk runs from his answer"
    assert len(scene.entered()) == 2, "nobody entered a queue again"


@pytest.mark.smoke("supervised cancel")
@pytest.mark.containers
async def test_cancel_and_transfer_again(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    async with scene.passing("1002", "acw"):
        await scene.cancel(transfer)
        await scene.talking("caller1", "1001")
        await scene.plain("caller1", "1001")
        await scene.gone("1002")
        await scene.ends(transfer, "cancelled", "cancelled")
    await scene.agent_is("1002", "available", within=4)
    second = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(second, "caller1", "1001", "1002")
    await scene.complete(second)
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    await scene.hang_up("caller1")
    await scene.gone("1001", "1002")
    books = await scene.booked(Alice=1, Bob=2)
    assert books["Bob"][-1].event == "COMPLETECALLER"


async def test_cancel_at_once(scene: Scene) -> None:
    """Cancelled while the parties are still being moved into Stasis."""
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.cancel(transfer)
    await scene.ends(transfer, "cancelled", "cancelled")
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")
    await scene.gone("1002")


@pytest.mark.thorough
async def test_cancel_while_ringing(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")
    await scene.gone("1002")
    await scene.ends(transfer, "cancelled", "cancelled")
    await scene.hang_up("1001")
    await scene.gone("caller1")
    await scene.booked(Alice=1)


async def busy_target(scene: Scene) -> str:
    """1002 talks to caller2 and 1001 to caller1, whom 1001 transfers to 1002."""
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.reaches(transfer, "waiting")
    await scene.on_music("caller1")
    return transfer


@pytest.mark.containers
async def test_busy_target_is_rung_next(scene: Scene) -> None:
    transfer = await busy_target(scene)
    assert (await scene.agent("1002"))["waiting_transfer"] is True
    await scene.talking("caller2", "1002")
    async with scene.passing("1002", "acw"):
        await scene.hang_up("caller2")
        await scene.gone("1002")
    await scene.reaches(transfer, "ringing", within=5)
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.slot_is_free("1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    await scene.hang_up("1002")
    await scene.gone("caller1")
    await scene.booked(Alice=1, Bob=2)


@pytest.mark.thorough
async def test_cancel_while_waiting(scene: Scene) -> None:
    transfer = await busy_target(scene)
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await scene.talking("caller2", "1002")
    await scene.ends(transfer, "cancelled", "cancelled")
    await scene.slot_is_free("1002")


@pytest.mark.thorough
async def test_target_in_acw_is_rung_after_it(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    hung_up = time.time()
    async with scene.passing("1002", "acw"):
        await scene.hang_up("caller2")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.reaches(transfer, "waiting")
    rung = await scene.phone("1002").ringing(within=5)
    assert rung.began - hung_up >= 1, "an ACW of 2 s, in Asterisk's whole seconds"
    await scene.agent_is("1002", "ringing")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")


async def test_no_answer_returns(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await scene.ends(transfer, "failed", "no_answer", within=8)
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")
    await scene.gone("1002")


async def test_rejection_returns(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").reject()
    await scene.ends(transfer, "failed", "rejected")
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")


@pytest.mark.thorough
async def test_do_not_disturb_returns(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    await scene.phone("1002").do_not_disturb()
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.ends(transfer, "failed", "rejected")
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_target_pauses_meanwhile(scene: Scene) -> None:
    transfer = await busy_target(scene)
    await scene.pause("1002")
    await scene.ends(transfer, "failed", "target_not_ready")
    await scene.talking("caller1", "1001")
    await scene.talking("caller2", "1002")


async def test_max_hold_returns(scene: Scene) -> None:
    transfer = await busy_target(scene)
    await scene.ends(transfer, "failed", "max_hold", within=12)
    await scene.talking("caller1", "1001")
    await scene.talking("caller2", "1002")


@pytest.mark.containers
async def test_complete_while_ringing_goes_on_unsupervised(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").ringing()
    await scene.complete(transfer)
    await scene.gone("1001")
    await scene.on_music("caller1")
    await scene.rung_again("1002")
    await scene.talking("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")
    await scene.hang_up("1002")
    await scene.gone("caller1")
    await scene.booked(Alice=1, Bob=1)


@pytest.mark.thorough
async def test_complete_while_waiting_goes_on_unsupervised(scene: Scene) -> None:
    transfer = await busy_target(scene)
    await scene.complete(transfer)
    await scene.gone("1001")
    await scene.reaches(transfer, "waiting")
    await scene.hang_up("caller2")
    await scene.phone("1002").answer(within=6)
    await scene.talking("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")


async def test_complete_twice_and_after_the_end(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    path = f"/v1/transfers/{transfer}/complete"
    answers = await asyncio.gather(scene.api("POST", path), scene.api("POST", path))
    assert sorted(answer.status for answer in answers) == [200, 409]
    await scene.talking("caller1", "1002")
    assert (await scene.api("POST", path)).status == 409
    assert (await scene.api("POST", f"/v1/transfers/{transfer}/cancel")).status == 409
    assert (await scene.api("POST", "/v1/transfers/nope/cancel")).status == 404
    await scene.talking("caller1", "1002")


async def test_the_call_of_an_agent_is_shown_through_a_transfer(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    shown = await scene.agent("1001")
    assert shown["call"]["transfer"]["id"] == transfer
    assert shown["call"]["caller"] == "caller1"
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await scene.has_call("1001", transfer=None)
