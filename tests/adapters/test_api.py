"""The API on a real uvicorn on a loopback port, with a real HTTP client."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
import requests
import schemathesis
from api_client import TO_BOB, Api, api_here
from hypothesis import given, settings
from schemathesis.checks import CHECKS as REGISTERED
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from scripted_transfer_service import (
    PINS,
    SINCE_TEXT,
    RunningApi,
    api_in_thread,
    bearer,
    transfer_view,
)

from asterisk_avp.core.model.errors import AmiError, AsteriskBusy
from asterisk_avp.core.model.world import Mode, Target, TargetKind, TransferRequest

CHECKS = REGISTERED.get_all()
OF_REFUSALS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest_asyncio.fixture(loop_scope="function")
async def api() -> AsyncIterator[Api]:
    async with api_here() as running:
        yield running


# --- what is shown ---------------------------------------------------------------------------


async def test_agents_list_has_exactly_the_described_fields(api: Api) -> None:
    status, agents = await api.ask("GET", "/v1/agents")
    assert status == 200
    assert agents[0] == {
        "id": "1001",
        "name": "Alice",
        "state": "talking",
        "since": SINCE_TEXT,
        "groups": ["sales"],
        "waiting_transfer": False,
        "acw_until": None,
        "node": None,
    }
    assert [agent["name"] for agent in agents] == ["Alice", "Bøb", "Carol"]


async def test_agent_detail_shows_the_call_and_its_transfer(api: Api) -> None:
    _, alice = await api.ask("GET", "/v1/agents/1001")
    assert alice["call"] == {
        "id": "chan-1",
        "caller": "Zoë <+12025550123>",
        "caller_formatted": "Zoë <+12025550123>",
        "caller_withheld": False,
        "group": "sales",
        "on_hold": False,
        "pop": {"case": "4711", "name": "Zoë"},
        "transfer": None,
        "consult": None,
        "transferred": None,
    }
    assert alice["calls"] == [alice["call"]]
    _, bob = await api.ask("GET", "/v1/agents/1002")
    assert bob["call"] is None
    assert bob["calls"] == []


async def test_targets(api: Api) -> None:
    status, targets = await api.ask("GET", "/v1/agents/1001/targets")
    assert status == 200
    bob = {"id": "1002", "name": "Bøb", "state": "available"}
    assert targets == {
        "permissions": ["internal_transfer", "unsupervised_transfer"],
        "my_agent_groups": [
            {
                "id": "sales",
                "name": "Sales",
                "available": 1,
                "logged_in": 1,
                "ready": 1,
                "agents": [bob | {"since": SINCE_TEXT, "waiting_transfer": False, "node": None}],
            }
        ],
        "agent_groups": [
            {
                "id": "support",
                "name": "Support",
                "available": 0,
                "logged_in": 2,
                "ready": 1,
                "agents": [],
            }
        ],
        "external_presets": [],
    }


# --- transfers -------------------------------------------------------------------------------


async def test_transfer_from_request_to_completion(api: Api) -> None:
    body = TO_BOB | {"notes": "déjà vu ☎", "call": "chan-1"}
    status, made = await api.ask("POST", "/v1/agents/1001/transfers", body)
    assert status == 201
    assert made == {
        "id": "t1",
        "agent": "1001",
        "group": "sales",
        "mode": "supervised",
        "target": {"kind": "agent", "id": "1002"},
        "state": "ringing",
        "ended_reason": None,
        "caller": "Zoë <+12025550123>",
        "caller_formatted": "Zoë <+12025550123>",
        "caller_withheld": False,
        "parties": [
            {
                "id": "1001",
                "role": "transferor",
                "name": "Alice",
                "name_formatted": "",
                "state": "talking",
                "hears": [],
            }
        ],
        "actions": [],
        "since": SINCE_TEXT,
        "started": "2026-01-31T09:05:06.250Z",
        "notes": "déjà vu ☎",
        "hold_until": None,
        "music_since": None,
        "asked": [],
        "caller_name": "",
        "caller_outcome": None,
    }
    assert api.board.requests == [
        TransferRequest(
            "1001", Mode.SUPERVISED, Target(TargetKind.AGENT, "1002"), "déjà vu ☎", call="chan-1"
        )
    ]
    assert await api.ask("GET", "/v1/transfers/t1") == (200, made)
    assert await api.ask("GET", "/v1/transfers") == (200, [made])
    status, done = await api.ask("POST", "/v1/transfers/t1/complete")
    assert (status, done["state"]) == (200, "completed")
    status, late = await api.ask("POST", "/v1/transfers/t1/cancel")
    assert (status, late["error"]) == (409, "wrong_state")


async def test_a_number_is_echoed_as_it_was_typed(api: Api) -> None:
    body = {"mode": "supervised", "target": {"kind": "number", "number": "(202) 555-0100"}}
    status, answer = await api.ask("POST", "/v1/agents/1001/transfers", body)
    assert (status, answer["reason"]) == (403, "unknown_target")  # this board has no numbers
    assert api.board.requests[0].target == Target(TargetKind.NUMBER, "(202) 555-0100")
    view = api.board.changed(transfer_view("t9", "1001", "+12025550100"))
    object.__setattr__(view, "target", Target(TargetKind.NUMBER, "+12025550100"))
    _, shown = await api.ask("GET", "/v1/transfers/t9")
    assert shown["target"] == {"kind": "number", "number": "+12025550100"}


async def test_cancel(api: Api) -> None:
    await api.ask("POST", "/v1/agents/1001/transfers", TO_BOB)
    status, answer = await api.ask("POST", "/v1/transfers/t1/cancel")
    assert (status, answer["state"]) == (200, "cancelled")


async def test_swap_and_conference(api: Api) -> None:
    await api.ask("POST", "/v1/agents/1001/transfers", TO_BOB)
    for action, state in (("swap", "swapped"), ("conference", "conference")):
        status, answer = await api.ask("POST", f"/v1/transfers/t1/{action}")
        assert (status, answer["state"]) == (200, state)


async def test_a_fourth_party_comes_and_goes(api: Api) -> None:
    await api.ask("POST", "/v1/agents/1001/transfers", TO_BOB)
    path = "/v1/transfers/t1/parties"
    status, answer = await api.ask("POST", path, {"number": "+12025550100"})
    assert status == 201
    fourth = {
        "id": "party-4",
        "role": "fourth",
        "name": "+12025550100",
        "name_formatted": "(202) 555-0100",
        "state": "ringing",
        "hears": [],
    }
    assert answer["parties"][-1] == fourth
    status, answer = await api.ask("DELETE", f"{path}/party-4")
    assert (status, [party["id"] for party in answer["parties"]]) == (200, ["1001"])
    status, answer = await api.ask("DELETE", f"{path}/party-4")
    assert (status, answer["error"]) == (404, "not_found")
    status, answer = await api.ask("POST", path, {"number": "+442079460000"})
    assert (status, answer["reason"]) == (403, "country_mismatch")
    status, answer = await api.ask("POST", path, {"num": "+12025550100"})
    assert (status, answer["error"]) == (422, "malformed")


async def test_refusal_has_reason_and_message(api: Api) -> None:
    status, answer = await api.ask("POST", "/v1/agents/1002/transfers", TO_BOB)
    assert status == 403
    assert answer == {
        "error": "refused",
        "reason": "no_active_call",
        "message": "You have no call to transfer.",
    }


async def test_unknown_target_is_a_refusal_but_unknown_path_is_not_found(api: Api) -> None:
    nobody = {"mode": "unsupervised", "target": {"kind": "agent", "id": "nobody"}}
    status, answer = await api.ask("POST", "/v1/agents/1001/transfers", nobody)
    assert (status, answer["reason"]) == (403, "unknown_target")
    for method, path in (
        ("GET", "/v1/agents/9"),
        ("GET", "/v1/agents/9/targets"),
        ("GET", "/v1/transfers/t9"),
        ("POST", "/v1/transfers/t9/complete"),
        ("POST", "/v1/transfers/t9/cancel"),
        ("POST", "/v1/transfers/t9/swap"),
        ("POST", "/v1/transfers/t9/conference"),
        ("DELETE", "/v1/transfers/t9/parties/party-4"),
        ("GET", "/v1/nothing"),
    ):
        status, answer = await api.ask(method, path)
        assert (status, answer["error"]) == (404, "not_found"), path
    status, answer = await api.ask("POST", "/v1/agents/9/transfers", TO_BOB)
    assert (status, answer["error"]) == (404, "not_found")


async def test_asterisk_unavailable(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.board.connected = False
    status, answer = await api.ask("POST", "/v1/agents/1001/transfers", TO_BOB)
    assert (status, answer["error"]) == (503, "asterisk_unavailable")

    async def fails(_request: TransferRequest) -> None:
        raise AmiError("Redirect", "Channel does not exist")

    monkeypatch.setattr(api.board, "request", fails)
    status, answer = await api.ask("POST", "/v1/agents/1001/transfers", TO_BOB)
    assert (status, answer["error"]) == (503, "asterisk_unavailable")


async def test_asterisk_busy(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(_request: TransferRequest) -> None:
        raise AsteriskBusy(2)

    monkeypatch.setattr(api.board, "request", refuses)
    url = f"{api.server.url}/v1/agents/1001/transfers"
    async with api.http.post(url, json=TO_BOB, headers=bearer()) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "2"
        content = await answer.json()
    assert content["error"] == "asterisk_busy"
    assert "Your call is unchanged" in content["message"]


MALFORMED: list[Any] = [
    None,
    [],
    {},
    {"mode": "supervised"},
    {"mode": "loud", "target": {"kind": "agent", "id": "1002"}},
    {"mode": "supervised", "target": {"kind": "planet", "id": "1002"}},
    {"mode": "supervised", "target": {"kind": "agent", "number": "1002"}},
    {"mode": "supervised", "target": {"kind": "number", "id": "1002"}},
    {"mode": "supervised", "target": {"kind": "agent", "id": 1002}},
    TO_BOB | {"extra": 1},
    TO_BOB | {"notes": 7},
    TO_BOB | {"notes": "x" * 2001},
    TO_BOB | {"notes": "\ud800"},
    TO_BOB | {"target": {"kind": "agent", "id": "1002", "number": "1"}},
]


async def test_malformed(api: Api) -> None:
    for body in MALFORMED:
        status, answer = await api.ask("POST", "/v1/agents/1001/transfers", body)
        assert (status, answer["error"]) == (422, "malformed"), body
        assert answer["details"]
    assert api.board.requests == []


async def test_malformed_json_and_wrong_method(api: Api) -> None:
    url = api.server.url + "/v1/agents/1001/transfers"
    headers = bearer() | {"Content-Type": "application/json"}
    for data in (b"{", b"\xff\xfe", b"[" * 5000):
        async with api.http.post(url, data=data, headers=headers) as answer:
            assert answer.status == 422
            assert (await answer.json())["error"] == "malformed"
    status, answer = await api.ask("DELETE", "/v1/agents")
    assert (status, answer["error"]) == (405, "method_not_allowed")


async def test_a_large_body_is_refused_announced_or_not(api: Api) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(80):
            yield b" " * 1024

    url = api.server.url + "/v1/agents/1001/transfers"
    for data in (b" " * 80 * 1024, chunks()):
        async with api.http.post(url, data=data, headers=bearer()) as answer:
            assert answer.status == 413
            assert (await answer.json())["error"] == "too_large"


# --- numbers ---------------------------------------------------------------------------------


async def test_a_number_that_may_be_called(api: Api) -> None:
    body = {"agent": "1001", "number": "(202) 555-0100"}
    assert await api.ask("POST", "/v1/numbers/check", body) == (
        200,
        {
            "allowed": True,
            "reason": "ok",
            "message": "This number can be called.",
            "e164": "+12025550100",
            "e164_formatted": "(202) 555-0100",
            "region": "US",
            "line_type": "fixed_line_or_mobile",
        },
    )


async def test_a_number_that_may_not_is_an_answer_and_no_error(api: Api) -> None:
    for number, reason, region in (
        ("+44 20 7946 0000", "country_mismatch", "GB"),
        ("800 234 5678", "toll_free_not_enabled", "US"),
        ("911", "emergency", None),
        ("sip:bob@example.org", "invalid_format", None),
        ("", "invalid_format", None),
    ):
        body = {"agent": "1001", "number": number}
        status, answer = await api.ask("POST", "/v1/numbers/check", body)
        assert (status, answer["allowed"], answer["reason"]) == (200, False, reason), number
        assert (answer["e164"], answer["region"]) == (None, region)
        assert answer["message"]


async def test_who_may_check_numbers_for_whom(api: Api) -> None:
    token = await api.login("1002")
    own, another, nobody = ({"agent": x, "number": "911"} for x in ("1002", "1001", "9"))
    assert (await api.ask("POST", "/v1/numbers/check", own, token=token))[0] == 200
    for body in (another, nobody):
        status, answer = await api.ask("POST", "/v1/numbers/check", body, token=token)
        assert (status, answer["error"]) == (403, "forbidden")
    status, answer = await api.ask("POST", "/v1/numbers/check", nobody)
    assert (status, answer["error"]) == (404, "not_found")
    for body in ({"agent": "1001"}, {"number": "1"}, own | {"number": 911}, own | {"more": 1}):
        assert (await api.ask("POST", "/v1/numbers/check", body))[0] == 422
    assert (await api.ask("POST", "/v1/numbers/check", own, token=None))[0] == 401


# --- health ----------------------------------------------------------------------------------


async def test_health_and_readiness_need_no_token(api: Api) -> None:
    assert await api.ask("GET", "/healthz", token=None) == (200, {"status": "ok"})
    status, answer = await api.ask("GET", "/readyz", token=None)
    assert (status, answer["ready"], answer["missing"]) == (200, True, [])
    api.board.connected = False
    status, answer = await api.ask("GET", "/readyz", token=None)
    assert (status, answer["missing"]) == (503, ["ari", "sync"])
    assert answer["detail"] == "ARI: refused"


# --- the description is true -----------------------------------------------------------------


@pytest.fixture(scope="module")
def running() -> Iterator[RunningApi]:
    with api_in_thread() as api:
        yield api


WHO = {
    "integration": CHECKS,
    "agent": CHECKS,
    # No input is valid for these, so only their refusals can be tested.
    "wrong token": OF_REFUSALS,
    "nobody": OF_REFUSALS,
}
_LONGER = int(os.environ.get("AVP_FUZZ_EXAMPLES") or 0) // 100
EXAMPLES = {
    who: max(_LONGER, usual)
    for who, usual in {"integration": 15, "agent": 8, "wrong token": 3, "nobody": 3}.items()
}
"""For each operation and each kind of client."""


@pytest.mark.parametrize("who", WHO)
def test_answers_are_as_described(running: RunningApi, who: str) -> None:
    schema = schemathesis.openapi.from_url(running.url + "/openapi.json")
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        tried += 1

        @given(case=operation.as_strategy())
        @settings(max_examples=EXAMPLES[who], deadline=None, derandomize=True, database=None)
        def conforms(case: Any, headers: dict[str, str]) -> None:
            case.call_and_validate(base_url=running.url, headers=headers, checks=WHO[who])

        conforms(headers=headers_of(running, who))
    assert tried >= 24


def headers_of(running: RunningApi, who: str) -> dict[str, str]:
    """An agent logs in again for each operation, because some of them end the log-in."""
    if who == "agent":
        body = {"agent": "1001", "pin": PINS["1001"]}
        answer = requests.post(running.url + "/v1/login", json=body, timeout=10)
        return bearer(answer.json()["token"])
    return {"integration": bearer(), "wrong token": bearer("wrong"), "nobody": {}}[who]
