"""Who may send which request to the API: tokens, log-ins, agents and integrations."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from api_client import TO_BOB, Api, Clock, api_here
from scripted_transfer_service import (
    INTEGRATION,
    PINS,
    transfer_view,
)

from asterisk_avp.api.auth import Authenticator, Limits, LoginFailed, LoginLimited, Principal
from asterisk_avp.api.schemas import transfer_out
from asterisk_avp.api.visibility import visible_to
from asterisk_avp.core.model.world import Mode, PartyView, TransferState


@pytest_asyncio.fixture(loop_scope="function")
async def api() -> AsyncIterator[Api]:
    async with api_here() as running:
        yield running


# --- who may ---------------------------------------------------------------------------------


async def test_no_valid_token(api: Api) -> None:
    headers_given = [None, "", "Bearer", "Bearer x", "Basic eDp5", f"x{INTEGRATION}"]
    requests = [
        ("GET", "/v1/agents"),
        ("GET", "/v1/transfers/t1"),
        ("POST", "/v1/agents/1001/transfers"),
        ("GET", "/v1/nothing"),
    ]
    for header, (method, path) in itertools.product(headers_given, requests):
        headers = {"Authorization": header} if header is not None else {}
        url = api.server.url + path
        async with api.http.request(method, url, headers=headers, data=b"{") as answer:
            assert answer.status == 401, path
            assert (await answer.json())["error"] == "unauthorized"
            assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_an_agents_token_acts_for_that_agent_only(api: Api) -> None:
    token = await api.login("1002")
    for method, path, body in (
        ("GET", "/v1/agents/1001", None),
        ("GET", "/v1/agents/1001/targets", None),
        ("GET", "/v1/agents/9", None),
        ("POST", "/v1/agents/1001/transfers", TO_BOB),
    ):
        status, answer = await api.ask(method, path, body, token=token)
        assert (status, answer["error"]) == (403, "forbidden"), path
    assert (await api.ask("GET", "/v1/agents/1002", token=token))[0] == 200
    assert len((await api.ask("GET", "/v1/agents", token=token))[1]) == 3


@pytest.mark.parametrize(
    ("mode", "state", "told"),
    [
        (Mode.SUPERVISED, TransferState.CONSULTING, False),
        (Mode.SUPERVISED, TransferState.RINGING, False),
        (Mode.SUPERVISED, TransferState.CONFERENCE, False),
        (Mode.SUPERVISED, TransferState.CANCELLED, False),
        (Mode.SUPERVISED, TransferState.COMPLETED, True),
        (Mode.UNSUPERVISED, TransferState.WAITING, False),
        (Mode.UNSUPERVISED, TransferState.RINGING, True),
        (Mode.UNSUPERVISED, TransferState.FAILED, False),
    ],
)
async def test_who_calls_is_for_the_target_to_know_with_the_call(
    api: Api, mode: Mode, state: TransferState, told: bool
) -> None:
    """Like the note, it is part of the screen pop, in REST and in events."""
    made = transfer_view("to-me", "1001", "1002")
    number, formatted = "+12025550123", "(202) 555-0123"
    parties = (PartyView("caller", "caller", number, "holding", name_formatted=formatted),)
    view = replace(
        made,
        caller_formatted=formatted,
        mode=mode,
        state=state,
        notes="wants blue",
        parties=parties,
        actions=("cancel",),
    )
    api.board.changed(view)
    event = {"type": "transfer", "transfer": transfer_out(view).model_dump(mode="json")}
    for agent, knows in (("1001", True), ("1002", told)):
        _, seen = await api.ask("GET", "/v1/transfers/to-me", token=await api.login(agent))
        _, listed = await api.ask("GET", "/v1/transfers", token=await api.login(agent))
        heard = visible_to(Principal(agent), event)
        assert heard is not None
        for shown in (seen, listed[0], heard["transfer"]):
            assert (shown["caller"], shown["notes"]) == (
                ("+12025550123", "wants blue") if knows else ("", "")
            )
            assert shown["parties"][0]["name"] == (number if knows else "")
            assert ("0123" in json.dumps(shown)) is knows, "in no field at all"
            assert shown["caller_formatted"] == (formatted if knows else "")
            # Nobody but the transferor may do anything about it.
            assert knows or shown["actions"] == []
            assert shown["actions"] == ["cancel"] or agent != "1001"


async def test_an_agent_sees_only_transfers_that_concern_them(api: Api) -> None:
    api.board.changed(transfer_view("mine", "1002", "1003"))
    api.board.changed(transfer_view("to-me", "1001", "1002"))
    api.board.changed(transfer_view("others", "1001", "1003"))
    token = await api.login("1002")
    _, seen = await api.ask("GET", "/v1/transfers", token=token)
    assert [transfer["id"] for transfer in seen] == ["mine", "to-me"]
    assert (await api.ask("GET", "/v1/transfers/to-me", token=token))[0] == 200
    assert (await api.ask("GET", "/v1/transfers/others", token=token))[0] == 403
    # The target of a call does not control it.
    for action in ("complete", "cancel", "swap", "conference"):
        status, answer = await api.ask("POST", f"/v1/transfers/to-me/{action}", token=token)
        assert (status, answer["error"]) == (403, "forbidden")
    assert (await api.ask("POST", "/v1/transfers/mine/cancel", token=token))[0] == 200


async def test_login_refuses_wrong_pin_and_unknown_agent_alike(api: Api) -> None:
    wrong = await api.ask("POST", "/v1/login", {"agent": "1001", "pin": "no"}, token=None)
    unknown = await api.ask("POST", "/v1/login", {"agent": "9", "pin": "no"}, token=None)
    assert wrong == unknown
    assert wrong[0] == 401


async def test_login_is_limited_and_never_echoes_the_pin(api: Api) -> None:
    attempt = {"agent": "1001", "pin": "wrong"}
    answers = [await api.ask("POST", "/v1/login", attempt, token=None) for _ in range(6)]
    assert [status for status, _ in answers] == [401] * 5 + [429]
    right = {"agent": "1001", "pin": PINS["1001"]}
    assert (await api.ask("POST", "/v1/login", right, token=None))[0] == 429
    status, answer = await api.ask(
        "POST", "/v1/login", {"agent": "1001", "pin": "s3cret" * 99}, token=None
    )
    assert status == 422
    assert "s3cret" not in json.dumps(answer)


async def test_tokens_expire_and_limits_pass() -> None:
    clock = Clock()
    auth = Authenticator(
        pins={"a": "1"},
        token_lifetime_seconds=10,
        limits=Limits(window_seconds=60, per_agent=2),
        clock=clock,
    )
    token = await auth.login("a", "1", "addr")
    caller = auth.identify(token)
    assert caller is not None
    assert caller.agent == "a"
    clock.now += 10
    assert auth.identify(token) is None
    for agent in ("a", "nobody"):
        for _ in range(2):
            with pytest.raises(LoginFailed):
                await auth.login(agent, "2", "addr")
        with pytest.raises(LoginLimited) as limited:
            await auth.login(agent, "1", "addr")
        assert limited.value.retry_after_seconds == 60
    clock.now += 60
    assert await auth.login("a", "1", "addr")


async def test_attempts_at_the_same_moment_count() -> None:
    auth = Authenticator(pins={"a": "1"}, limits=Limits(per_agent=3))
    results = await asyncio.gather(
        *(auth.login("a", "x", "addr") for _ in range(8)), return_exceptions=True
    )
    kinds = [type(result) for result in results]
    assert kinds.count(LoginFailed) == 3
    assert kinds.count(LoginLimited) == 5


async def test_old_sessions_of_an_agent_make_room() -> None:
    auth = Authenticator(pins={"a": "1"})
    tokens = [await auth.login("a", "1", "addr") for _ in range(12)]
    assert [auth.identify(token) is not None for token in tokens] == [False] * 2 + [True] * 10
