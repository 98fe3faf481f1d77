"""Swap, conference of three, and a fourth party: who hears whom, also after each one leaves."""

from __future__ import annotations

import pytest

from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

FOURTH = "+12025550100"


async def swapped(scene: Scene) -> str:
    """caller1 and agent 1001 talk; agent 1002 waits."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.act(transfer, "swap")
    await scene.reaches(transfer, "swapped")
    await scene.hear_one_another("caller1", "1001")
    await scene.on_music("1002")
    return transfer


async def conference(scene: Scene) -> str:
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.act(transfer, "conference")
    await scene.reaches(transfer, "conference")
    await scene.hear_one_another("caller1", "1001", "1002")
    return transfer


async def with_fourth(scene: Scene, transfer: str) -> None:
    """The fourth party (`pstn`) is called and answers."""
    answer = await scene.api("POST", f"/v1/transfers/{transfer}/parties", {"number": FOURTH})
    assert answer.status == 201, answer
    assert answer.body["parties"][-1] == {
        "id": "party-4",
        "role": "fourth",
        "name": FOURTH,
        "name_formatted": "(202) 555-0100",
        "state": "ringing",
        "hears": [],
    }
    await scene.phone("pstn").answer()


async def is_as_told(scene: Scene, transfer: str, state: str) -> None:
    """The phones hear what the API says that their parties hear."""
    body = await scene.reaches(transfer, state)
    phones = {"transferor": "1001", "caller": "caller1", "target": "1002", "fourth": "pstn"}
    for party in body["parties"]:
        assert party["hears"], party
        heard = {phones.get(what, what) for what in party["hears"]}
        await scene.phone(phones[party["role"]]).hears(heard)


async def test_who_hears_whom_is_as_told(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await is_as_told(scene, transfer, "consulting")
    for action, state in (("swap", "swapped"), ("conference", "conference")):
        await scene.act(transfer, action)
        await is_as_told(scene, transfer, state)
    await with_fourth(scene, transfer)
    await scene.hear_one_another("caller1", "1001", "1002", "pstn")
    await is_as_told(scene, transfer, "conference")


async def four(scene: Scene) -> str:
    """A conference of four."""
    transfer = await conference(scene)
    await with_fourth(scene, transfer)
    await scene.hear_one_another("caller1", "1001", "1002", "pstn")
    return transfer


async def consult_of_three(scene: Scene) -> str:
    """The transferor, the target and a fourth party talk while the caller hears music."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await with_fourth(scene, transfer)
    await scene.hear_one_another("1001", "1002", "pstn")
    await scene.on_music("caller1")
    return transfer


async def states(scene: Scene, transfer: str) -> dict[str, str]:
    answer = await scene.api("GET", f"/v1/transfers/{transfer}")
    return {party["id"]: party["state"] for party in answer.body["parties"]}


# --- swap ------------------------------------------------------------------------------------


@pytest.mark.thorough
async def test_swap_there_and_back_and_complete(scene: Scene) -> None:
    transfer = await swapped(scene)
    assert await states(scene, transfer) == {
        "1001": "talking",
        "caller": "talking",
        "1002": "holding",
    }
    await scene.act(transfer, "swap")
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    await scene.gone("1001")
    await scene.hang_up("caller1")
    await scene.gone("1002")
    await scene.booked(Alice=1, Bob=1)


@pytest.mark.thorough
async def test_complete_from_the_caller(scene: Scene) -> None:
    transfer = await swapped(scene)
    await scene.complete(transfer)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")


@pytest.mark.thorough
async def test_cancel_from_the_caller(scene: Scene) -> None:
    transfer = await swapped(scene)
    await scene.cancel(transfer)
    await scene.ends(transfer, "cancelled", "cancelled")
    await scene.gone("1002")
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")
    await scene.hang_up("caller1")
    await scene.gone("1001")
    await scene.booked(Alice=1, Bob=1)


# --- conference of three ---------------------------------------------------------------------


@pytest.mark.smoke("conference")
async def test_agent_leaves_a_conference_by_completing(scene: Scene) -> None:
    transfer = await conference(scene)
    await scene.complete(transfer)
    await scene.ends(transfer, "completed", "completed")
    await scene.gone("1001")
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")


async def test_agent_leaves_a_conference_by_hanging_up(scene: Scene) -> None:
    transfer = await conference(scene)
    await scene.hang_up("1001")
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    await scene.hang_up("caller1")
    await scene.gone("1002")
    await scene.booked(Alice=1, Bob=1)


@pytest.mark.thorough
async def test_cancel_a_conference(scene: Scene) -> None:
    transfer = await conference(scene)
    await scene.cancel(transfer)
    await scene.ends(transfer, "cancelled", "cancelled")
    await scene.gone("1002")
    await scene.talking("caller1", "1001")
    await scene.plain("caller1", "1001")


@pytest.mark.thorough
async def test_conference_out_of_a_swap(scene: Scene) -> None:
    transfer = await swapped(scene)
    await scene.act(transfer, "conference")
    await scene.hear_one_another("caller1", "1001", "1002")
    assert (await scene.act(transfer, "swap", expected=409)).body["error"] == "wrong_state"


# --- a fourth party --------------------------------------------------------------------------


async def test_a_fourth_party_in_the_consult_is_in_the_call_after_completion(scene: Scene) -> None:
    transfer = await consult_of_three(scene)
    await scene.complete(transfer)
    await scene.gone("1001")
    await scene.hear_one_another("caller1", "1002", "pstn")
    await scene.hang_up("pstn")
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")


@pytest.mark.thorough
async def test_a_fourth_party_is_dropped(scene: Scene) -> None:
    transfer = await consult_of_three(scene)
    answer = await scene.api("DELETE", f"/v1/transfers/{transfer}/parties/party-4")
    assert answer.status == 200
    await scene.gone("pstn")
    await scene.parties(transfer, "1001", "caller", "1002")
    await scene.consulting(transfer, "caller1", "1001", "1002")
    assert (await scene.api("DELETE", f"/v1/transfers/{transfer}/parties/party-4")).status == 404
    await with_another(scene, transfer)


async def with_another(scene: Scene, transfer: str) -> None:
    """After one has left, another may be called, with an id of its own."""
    answer = await scene.api("POST", f"/v1/transfers/{transfer}/parties", {"number": FOURTH})
    assert answer.status == 201, answer
    assert answer.body["parties"][-1]["id"] == "party-5"
    answer = await scene.api("POST", f"/v1/transfers/{transfer}/parties", {"number": FOURTH})
    assert answer.status == 409
    await scene.phone("pstn").ringing()
    await scene.cancel(transfer)
    await scene.ends(transfer, "cancelled", "cancelled")
    await scene.gone("pstn", "1002")
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_target_is_dropped_and_the_fourth_party_takes_the_call(scene: Scene) -> None:
    transfer = await consult_of_three(scene)
    assert (await scene.api("DELETE", f"/v1/transfers/{transfer}/parties/1002")).status == 200
    await scene.gone("1002")
    await scene.parties(transfer, "1001", "caller", "party-4")
    await scene.hear_one_another("1001", "pstn")
    await scene.on_music("caller1")
    await scene.complete(transfer)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "pstn")
    await scene.plain("caller1", "pstn")


@pytest.mark.thorough
async def test_swap_with_a_fourth_party(scene: Scene) -> None:
    transfer = await consult_of_three(scene)
    await scene.act(transfer, "swap")
    await scene.hear_one_another("caller1", "1001")
    await scene.hear_one_another("1002", "pstn")
    await scene.hang_up("pstn")
    await scene.on_music("1002")
    await scene.act(transfer, "swap")
    await scene.consulting(transfer, "caller1", "1001", "1002")


@pytest.mark.thorough
async def test_target_leaves_a_fourth_party_on_music(scene: Scene) -> None:
    transfer = await consult_of_three(scene)
    await scene.act(transfer, "swap")
    await scene.hear_one_another("1002", "pstn")
    await scene.hang_up("1002")
    await scene.on_music("pstn")
    await scene.hear_one_another("caller1", "1001")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("first", "second", "ended"),
    [
        pytest.param(*("1001", "1002", ("completed", "completed")), marks=pytest.mark.thorough),
        ("1001", "pstn", ("completed", "completed")),
        ("caller1", "1002", ("abandoned", "caller_hangup")),
        pytest.param(
            *("caller1", "pstn", ("abandoned", "caller_hangup")), marks=pytest.mark.thorough
        ),
    ],
)
async def test_the_last_two_of_four_talk_on_in_a_plain_bridge(
    scene: Scene, first: str, second: str, ended: tuple[str, str]
) -> None:
    transfer = await four(scene)
    rest = [name for name in ("1001", "1002", "caller1", "pstn") if name != first]
    await scene.hang_up(first)
    await scene.hear_one_another(*rest)
    await scene.hang_up(second)
    rest.remove(second)
    await scene.ends(transfer, *ended)
    await scene.talking(*rest)
    await scene.plain(*rest)


@pytest.mark.thorough
async def test_those_left_are_strangers(scene: Scene) -> None:
    """Transferor and caller have left: no party of ours is in this call any more."""
    transfer = await four(scene)
    await scene.hang_up("1001")
    await scene.hear_one_another("caller1", "1002", "pstn")
    await scene.hang_up("caller1")
    await scene.ends(transfer, "completed", "completed")
    await scene.gone("1002", "pstn")


@pytest.mark.thorough
async def test_a_fourth_party_who_does_not_answer(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    answer = await scene.api("POST", f"/v1/transfers/{transfer}/parties", {"number": FOURTH})
    assert answer.status == 201
    await scene.phone("pstn").reject()
    await scene.parties(transfer, "1001", "caller", "1002")
    await scene.consulting(transfer, "caller1", "1001", "1002")


async def test_a_number_that_policy_refuses_is_not_called(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    for number, reason in (("+442079460000", "country_mismatch"), ("911", "emergency")):
        answer = await scene.api("POST", f"/v1/transfers/{transfer}/parties", {"number": number})
        assert (answer.status, answer.body["reason"]) == (403, reason)
    await scene.consulting(transfer, "caller1", "1001", "1002")
