"""Refusals, with the real situation behind each reason, and concurrent requests.

After every refusal the caller and the transferor hear each other as before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from bed import Agent, Bed, Group, World

from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Answer, Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]


def world() -> World:
    names = ("Alice", "Bob", "Carol", "Dave")
    return World(
        agents=tuple(Agent(str(1001 + i), name) for i, name in enumerate(names)),
        groups=(
            Group("sales", ("1001", "1002", "1003"), number="800", strategy="linear"),
            Group("support", ("1004",), number="801"),
        ),
        settings={"AVP_SESSION__RING_SECONDS": "20"},
        # No wait may end by itself while a busy machine looks at something else.
        max_hold_seconds=60,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    async with Bed(world()) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    async with open_scene(centre) as opened:
        yield opened


# --- reasons ---------------------------------------------------------------------------------


async def as_it_is(scene: Scene) -> None:
    pass


async def on_a_break(scene: Scene) -> None:
    await scene.pause("1002")
    await scene.agent_is("1002", "not_ready")


async def one_waits_already(scene: Scene) -> None:
    """1003 transfers caller3 to 1002, who talks to caller2."""
    await scene.call("caller2", "1002")
    await scene.call("caller3", "1003")
    waiting = await scene.transfer("1003", "unsupervised", "1002")
    await scene.reaches(waiting, "waiting")


Prepare = Callable[[Scene], Awaitable[None]]


@pytest.mark.parametrize(
    ("reason", "mode", "target", "prepare"),
    [
        ("unknown_target", "supervised", {"kind": "agent", "id": "4711"}, as_it_is),
        pytest.param(
            *("unknown_target", "unsupervised", {"kind": "agent", "id": "4711"}, as_it_is),
            marks=pytest.mark.thorough,
        ),
        ("unknown_target", "unsupervised", {"kind": "group", "id": "nobody"}, as_it_is),
        pytest.param(
            *("not_in_group", "supervised", {"kind": "agent", "id": "1004"}, as_it_is),
            marks=pytest.mark.thorough,
        ),
        ("not_in_group", "unsupervised", {"kind": "agent", "id": "1004"}, as_it_is),
        ("self_transfer", "supervised", {"kind": "agent", "id": "1001"}, as_it_is),
        pytest.param(
            *("self_transfer", "unsupervised", {"kind": "agent", "id": "1001"}, as_it_is),
            marks=pytest.mark.thorough,
        ),
        ("supervised_group", "supervised", {"kind": "group", "id": "support"}, as_it_is),
        (
            "unsupervised_external",
            "unsupervised",
            {"kind": "number", "number": "+12125550123"},
            as_it_is,
        ),
        ("unsupervised_external", "unsupervised", {"kind": "preset", "id": "billing"}, as_it_is),
        ("target_not_ready", "supervised", {"kind": "agent", "id": "1002"}, on_a_break),
        pytest.param(
            *("target_not_ready", "unsupervised", {"kind": "agent", "id": "1002"}, on_a_break),
            marks=pytest.mark.thorough,
        ),
        ("target_queue_full", "supervised", {"kind": "agent", "id": "1002"}, one_waits_already),
        pytest.param(
            *(
                "target_queue_full",
                "unsupervised",
                {"kind": "agent", "id": "1002"},
                one_waits_already,
            ),
            marks=pytest.mark.thorough,
        ),
    ],
    ids=lambda value: (
        value if isinstance(value, str) else value["kind"] if isinstance(value, dict) else ""
    ),
)
async def test_reason(
    scene: Scene, reason: str, mode: str, target: dict[str, str], prepare: Prepare
) -> None:
    await scene.call("caller1", "1001")
    await prepare(scene)
    await refused(scene, reason, {"mode": mode, "target": target})


async def refused(scene: Scene, reason: str, body: dict[str, object]) -> None:
    """1001's request is refused; their call with caller1 is unchanged, and no phone rings."""
    await scene.ami.mark()
    rung = scene.offers("1002")
    answer = await scene.api("POST", "/v1/agents/1001/transfers", body)
    assert answer.status == 403, answer
    assert (answer.body["error"], answer.body["reason"]) == ("refused", reason)
    assert answer.body["message"]
    await scene.talking("caller1", "1001")
    shown = await scene.agent("1001")
    assert (shown["state"], shown["call"]["transfer"]) == ("talking", None)
    assert await scene.variable("caller1", "AVP_STATE") == ""
    await scene.ami.mark()
    assert scene.offers("1002") == rung


@pytest.mark.thorough
async def test_target_without_a_phone(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    async with scene.without_phone("1002"):
        for mode in ("supervised", "unsupervised"):
            body = {"mode": mode, "target": {"kind": "agent", "id": "1002"}}
            await refused(scene, "target_offline", body)


async def test_no_active_call(scene: Scene) -> None:
    """No call at all, one that only rings so far, and one that has ended."""
    assert await scene.refused("1001", "supervised", "agent", "1002") == "no_active_call"
    await scene.phone("caller1").dial("800")
    await scene.phone("1001").ringing()
    assert await scene.refused("1001", "unsupervised", "agent", "1002") == "no_active_call"
    await scene.phone("1001").answer()
    await scene.talking("caller1", "1001")
    await scene.hang_up("caller1")
    await scene.gone("1001")
    await scene.talks_with("1001", None)  # the daemon learns of the end a moment after the phones
    assert await scene.refused("1001", "unsupervised", "agent", "1002") == "no_active_call"


@pytest.mark.thorough
async def test_already_transferring(scene: Scene) -> None:
    """In every state of a consultation; the running one is not affected."""
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")

    async def once_more() -> None:
        for mode in ("supervised", "unsupervised"):
            assert await scene.refused("1001", mode, "agent", "1003") == "already_transferring"

    await once_more()
    await scene.phone("1002").ringing()
    await once_more()
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await once_more()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    # The target has a call as well, but none to transfer.
    assert await scene.refused("1002", "supervised", "agent", "1003") == "already_transferring"
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await scene.ami.mark()
    assert scene.offers("1003") == []


# --- races -----------------------------------------------------------------------------------


def reasons(*answers: Answer) -> list[str]:
    """Reason codes of the answers, "" for an accepted one."""
    assert all(answer.status in (201, 403) for answer in answers), answers
    return sorted(answer.body.get("reason", "") for answer in answers)


def taken(*answers: Answer) -> str:
    """The one transfer that was started."""
    (transfer,) = [str(answer.body["id"]) for answer in answers if answer.status == 201]
    return transfer


@pytest.mark.parametrize(
    "modes",
    [
        ("supervised", "unsupervised"),
        pytest.param(("unsupervised", "unsupervised"), marks=pytest.mark.thorough),
    ],
    ids="-".join,
)
async def test_two_requests_for_one_call(scene: Scene, modes: tuple[str, str]) -> None:
    """One of them is executed. An unsupervised one may have moved the call before the other."""
    await scene.call("caller1", "1001")
    answers = await asyncio.gather(
        *(
            scene.ask("1001", mode, "agent", target)
            for mode, target in zip(modes, ("1002", "1003"), strict=True)
        )
    )
    accepted, reason = reasons(*answers)
    assert accepted == ""
    transfer = taken(*answers)
    winner = next(answer.body for answer in answers if answer.status == 201)
    gone = {"no_active_call"} if winner["mode"] == "unsupervised" else set()
    assert reason in {"already_transferring"} | gone
    target, other = winner["target"]["id"], {"1002": "1003", "1003": "1002"}
    await scene.phone(target).answer()
    if winner["mode"] == "supervised":
        await scene.consulting(transfer, "caller1", "1001", target)
        await scene.complete(transfer)
    await scene.talking("caller1", target)
    await scene.plain("caller1", target)
    await scene.gone("1001")
    await scene.ends(transfer, "completed", "completed")
    await scene.ami.mark()
    assert scene.offers(other[target]) == []


@pytest.mark.parametrize(
    "modes",
    [
        pytest.param(("supervised", "supervised"), marks=pytest.mark.thorough),
        ("supervised", "unsupervised"),
    ],
    ids="-".join,
)
async def test_two_requests_for_one_target(scene: Scene, modes: tuple[str, str]) -> None:
    calls = {"1001": "caller1", "1002": "caller2"}
    for agent, caller in calls.items():
        await scene.call(caller, agent)
    answers = await asyncio.gather(
        *(scene.ask(agent, mode, "agent", "1003") for mode, agent in zip(modes, calls, strict=True))
    )
    assert reasons(*answers) == ["", "target_queue_full"]
    transfer = taken(*answers)
    winner = next(answer.body for answer in answers if answer.status == 201)
    (loser,) = set(calls) - {winner["agent"]}
    await scene.talking(calls[loser], loser)
    await scene.phone("1003").answer()
    if winner["mode"] == "supervised":
        await scene.consulting(transfer, calls[winner["agent"]], winner["agent"], "1003")
        await scene.complete(transfer)
    await scene.talking(calls[winner["agent"]], "1003")
    await scene.talking(calls[loser], loser)


async def test_complete_and_cancel_at_once(scene: Scene) -> None:
    """One of them is executed, and the caller has exactly one agent."""
    transfer = await scene.consult("caller1", "1001", "1002")
    path = f"/v1/transfers/{transfer}"
    answers = await asyncio.gather(
        scene.api("POST", f"{path}/complete"), scene.api("POST", f"{path}/cancel")
    )
    assert sorted(answer.status for answer in answers) == [200, 409]
    completed = answers[0].status == 200
    stays, goes = ("1002", "1001") if completed else ("1001", "1002")
    await scene.talking("caller1", stays)
    await scene.plain("caller1", stays)
    await scene.gone(goes)


@pytest.mark.thorough
async def test_two_agents_exchange_their_calls(scene: Scene) -> None:
    """Each is the target of the other at the same moment; each gets the other's caller."""
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    former = {agent: scene.phone(agent).call for agent in ("1001", "1002")}
    answers = await asyncio.gather(
        scene.ask("1001", "unsupervised", "agent", "1002"),
        scene.ask("1002", "unsupervised", "agent", "1001"),
    )
    assert reasons(*answers) == ["", ""]
    for agent, call in former.items():
        await scene.phone(agent).closed(call, within=1)
    await scene.on_music("caller1", "caller2")
    for agent in ("1001", "1002"):
        await scene.phone(agent).answer(within=6)
    await scene.talking("caller1", "1002")
    await scene.talking("caller2", "1001")
    await scene.hang_up("1001", "1002")
    await scene.gone("caller1", "caller2")
    await scene.booked(Alice=2, Bob=2)


async def test_transfer_while_another_runs(scene: Scene) -> None:
    """A second transfer of the group waits for the target of the first, and comes after it."""
    first = await scene.consult("caller1", "1001", "1002")
    await scene.call("caller2", "1003")
    second = await scene.transfer("1003", "unsupervised", "1002")
    await scene.gone("1003", within=1)
    await scene.on_music("caller2")
    await scene.consulting(first, "caller1", "1001", "1002")
    await scene.complete(first)
    await scene.talking("caller1", "1002")
    await scene.on_music("caller2")
    await scene.hang_up("1002")
    await scene.gone("caller1")
    await scene.phone("1002").answer(within=6)
    await scene.talking("caller2", "1002")
    await scene.ends(second, "completed", "completed")
    await scene.hang_up("caller2")
    await scene.gone("1002")
    await scene.booked(Alice=1, Bob=2, Carol=1)


# --- one after the other ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "back"),
    [
        ("supervised", "unsupervised"),
        pytest.param("unsupervised", "supervised", marks=pytest.mark.thorough),
    ],
)
@pytest.mark.thorough
async def test_there_and_back(scene: Scene, there: str, back: str) -> None:
    """1001 to 1002 to 1001 again; both were recorded for what they did, once each time."""
    await scene.call("caller1", "1001")
    for agent, target, mode in (("1001", "1002", there), ("1002", "1001", back)):
        transfer = await scene.transfer(agent, mode, target)
        await scene.phone(target).answer(within=6)
        if mode == "supervised":
            await scene.consulting(transfer, "caller1", agent, target)
            await scene.complete(transfer)
        await scene.talking("caller1", target)
        await scene.plain("caller1", target)
        await scene.gone(agent)
        await scene.ends(transfer, "completed", "completed")
    await scene.hang_up("caller1")
    await scene.gone("1001")
    books = await scene.booked(Alice=2, Bob=1)
    assert books["Alice"][-1].event == "COMPLETECALLER"
    assert len(scene.entered()) == 3


@pytest.mark.thorough
async def test_cancelled_then_to_another(scene: Scene) -> None:
    first = await scene.consult("caller1", "1001", "1002")
    await scene.cancel(first)
    await scene.talking("caller1", "1001")
    second = await scene.transfer("1001", "supervised", "1003")
    await scene.phone("1003").answer()
    await scene.consulting(second, "caller1", "1001", "1003")
    await scene.complete(second)
    await scene.talking("caller1", "1003")
    await scene.plain("caller1", "1003")
    await scene.hang_up("1003")
    await scene.gone("caller1", "1001", "1002")
    await scene.booked(Alice=1, Bob=1, Carol=1)
