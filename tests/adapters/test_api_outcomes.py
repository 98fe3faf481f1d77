"""Requests with a key are done once, and say afterwards what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from api_client import TO_BOB, Api, api_here

from asterisk_avp.core.model.errors import AsteriskBusy
from asterisk_avp.core.model.world import TransferRequest, TransferView

KEY, OTHER = "key-0000000000000001", "key-0000000000000002"
TRANSFERS = "/v1/agents/1001/transfers"


@pytest_asyncio.fixture(loop_scope="function")
async def api() -> AsyncIterator[Api]:
    async with api_here() as running:
        yield running


async def post(api: Api, key: str, body: Any = TO_BOB, token: str | None = None) -> Any:
    more = {"token": token} if token else {}
    return await api.ask("POST", TRANSFERS, body, headers={"Idempotency-Key": key}, **more)


async def settle(api: Api, key: str, token: str | None = None, age: float = 0) -> Any:
    more = {"token": token} if token else {}
    status, answer = await api.ask("DELETE", f"/v1/requests/{key}?age={age}", **more)
    assert status == 200
    return answer


async def test_the_same_request_is_done_once(api: Api) -> None:
    first = await post(api, KEY)
    assert first[0] == 201
    assert await post(api, KEY) == first
    assert len(api.board.requests) == 1
    assert (await post(api, OTHER))[1]["id"] != first[1]["id"]
    assert await settle(api, KEY) == {"received": True, "status": 201, "answer": first[1]}


async def test_a_refusal_is_an_outcome_too(api: Api) -> None:
    nobody = {"mode": "supervised", "target": {"kind": "agent", "id": "9"}}
    status, answer = await post(api, KEY, nobody)
    assert await settle(api, KEY) == {"received": True, "status": status, "answer": answer}
    assert await post(api, KEY, nobody) == (status, answer)
    assert len(api.board.requests) == 1


async def test_what_was_too_much_for_asterisk_may_be_sent_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(_request: TransferRequest) -> TransferView:
        raise AsteriskBusy(2)

    with monkeypatch.context() as busy:
        busy.setattr(api.board, "request", refuses)
        status, answer = await post(api, KEY)
        assert (status, answer["error"]) == (503, "asterisk_busy")
        assert await settle(api, KEY) == {"received": True, "status": 503, "answer": answer}
    first = await post(api, KEY)
    assert first[0] == 201
    assert await post(api, KEY) == first
    assert len(api.board.requests) == 1


async def test_what_has_not_arrived_will_not_be_done(api: Api) -> None:
    assert await settle(api, KEY) == {"received": False, "status": None, "answer": None}
    status, answer = await post(api, KEY)
    assert (status, answer["error"]) == (409, "given_up")
    assert api.board.requests == []
    assert (await settle(api, KEY))["received"] is False


async def test_who_asks_meanwhile_waits_for_the_answer(api: Api) -> None:
    going, go_on = asyncio.Event(), asyncio.Event()
    request = api.board.request

    async def slowly(wanted: TransferRequest) -> TransferView:
        going.set()
        await go_on.wait()
        return await request(wanted)

    api.board.request = slowly  # type: ignore[method-assign]
    first = asyncio.create_task(post(api, KEY))
    await going.wait()
    outcome, again = asyncio.create_task(settle(api, KEY)), asyncio.create_task(post(api, KEY))
    # Other requests are answered, these wait.
    assert (await api.ask("GET", "/v1/agents"))[0] == 200
    assert not outcome.done()
    assert not again.done()
    go_on.set()
    status, answer = await first
    assert (status, await again) == (201, (status, answer))
    assert (await outcome)["answer"] == answer
    assert len(api.board.requests) == 1


async def test_a_client_that_has_gone_learns_it_later(api: Api) -> None:
    going, go_on = asyncio.Event(), asyncio.Event()
    request = api.board.request

    async def slowly(wanted: TransferRequest) -> TransferView:
        going.set()
        await go_on.wait()
        return await request(wanted)

    api.board.request = slowly  # type: ignore[method-assign]
    lost = asyncio.create_task(post(api, KEY))
    await going.wait()
    lost.cancel()
    await asyncio.gather(lost, return_exceptions=True)
    outcome = asyncio.create_task(settle(api, KEY))
    go_on.set()
    assert (await outcome)["status"] == 201


async def test_keys_belong_to_one_request_and_one_holder(api: Api) -> None:
    mine = await api.login("1001")
    assert (await post(api, KEY, token=mine))[0] == 201
    other = TO_BOB | {"notes": "another"}
    assert (await post(api, KEY, other, token=mine))[0] == 422
    assert (await settle(api, KEY))["received"] is False, "an integration's are others"
    again = await api.login("1001")
    assert (await settle(api, KEY, token=again))["status"] == 201


@pytest.mark.parametrize("key", ["short", "x" * 65, "with spaces in the key", "key/00000000000000"])
async def test_other_keys_are_malformed(api: Api, key: str) -> None:
    assert (await post(api, key))[0] == 422
    assert api.board.requests == []


async def test_nothing_is_known_from_before_the_start(api: Api) -> None:
    assert (await settle(api, KEY, age=500))["received"] is None


async def test_only_so_many_are_kept(api: Api) -> None:
    keys = [f"key-{number:016d}" for number in range(60)]
    for key in keys:
        await settle(api, key)
    assert (await post(api, keys[-1]))[0] == 409
    assert (await post(api, keys[0]))[0] == 201
