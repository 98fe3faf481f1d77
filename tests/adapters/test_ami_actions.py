"""Several AMI actions of one moment, which one task waits for."""

from __future__ import annotations

import asyncio

import pytest
from servers.ami_server import AmiServer, error, success
from servers.waiting import eventually

from asterisk_avp.ami.client import AmiClient
from asterisk_avp.core.model.errors import (
    AmiError,
    AmiHeaderError,
    AsteriskSilent,
    AsteriskUnavailable,
)
from tests.adapters.test_ami_client import make_client, running, server

__all__ = ["server"]


def variable(name: str) -> dict[str, str]:
    return {"Channel": "PJSIP/1001-0000002a", "Variable": name}


def values(answers: list[object]) -> list[object]:
    return [x["Value"] if isinstance(x, dict) else type(x) for x in answers]


async def test_each_answer_stands_in_the_place_of_its_action(server: AmiServer) -> None:
    server.answers["Getvar"] = lambda action: (
        error(action, "No such channel")
        if action["Variable"] == "GONE"
        else success(action, Value=f"of {action['Variable']}")
    )
    client = make_client(server)
    async with running(client):
        asked = [variable(name) for name in ("A", "GONE", "B", "no name", "C")]
        answers = await client.actions("Getvar", [*asked, {"Channel": "x\r\nAction: Logoff"}])
        assert values(answers) == ["of A", AmiError, "of B", AmiError, "of C", AmiHeaderError]
        # What is not clean is not sent.
        assert [x["Variable"] for x in server.received("Getvar")] == ["A", "GONE", "B", "C"]
        assert client._link._protocol.responses == {}


async def test_without_a_connection_none_has_an_answer(server: AmiServer) -> None:
    client = make_client(server)
    answers = await client.actions("Getvar", [variable("A"), variable("no name"), variable("B")])
    assert values(answers) == [AsteriskUnavailable, AmiError, AsteriskUnavailable]


async def test_a_connection_that_drops_in_between(server: AmiServer) -> None:
    server.answers["Getvar"] = lambda action: (
        success(action, Value="x") if action["Variable"] == "A" else None
    )
    client = make_client(server)
    async with running(client):
        asked = asyncio.create_task(client.actions("Getvar", [variable("A"), variable("B")]))
        await eventually(lambda: len(server.received("Getvar")) == 2)
        server.last.drop()
        assert values(await asked) == ["x", AsteriskUnavailable]


async def test_each_has_a_deadline_and_leaves_nothing_behind(server: AmiServer) -> None:
    server.answers["Getvar"] = lambda _: None
    client = make_client(server, action_timeout_seconds=0.05)
    async with running(client):
        answers = await client.actions("Getvar", [variable("A"), variable("B")])
        assert values(answers) == [AsteriskSilent, AsteriskSilent]
        assert client.silent
        assert client._link._protocol.responses == {}


async def test_who_is_cancelled_leaves_nothing_behind(server: AmiServer) -> None:
    server.answers["Getvar"] = lambda _: None
    client = make_client(server)
    async with running(client):
        asked = asyncio.create_task(client.actions("Getvar", [variable("A"), variable("B")]))
        await eventually(lambda: len(server.received("Getvar")) == 2)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert client._link._protocol.responses == {}


async def test_they_are_sent_before_the_next_action(server: AmiServer) -> None:
    client = make_client(server)
    async with running(client):
        first = client.actions("Setvar", [{"Variable": "AVP_X", "Value": "1"}])
        await asyncio.gather(first, client.action("Bridge", {"Channel1": "a", "Channel2": "b"}))
        assert server.last.names()[-2:] == ["Setvar", "Bridge"]


async def test_items_of_a_list_one_by_one(server: AmiServer) -> None:
    def answer(action: dict[str, str]) -> bytes:
        of = f"ActionID: {action['ActionID']}\r\n\r\n"
        items = "".join(f"Event: QueueParams\r\nQueue: q{n}\r\n{of}" for n in range(3))
        end = f"Event: QueueStatusComplete\r\nEventList: Complete\r\nListItems: 3\r\n{of}"
        return success(action, EventList="start") + (items + end).encode()

    server.answers["QueueStatus"] = answer
    client: AmiClient = make_client(server)
    taken: list[str] = []
    async with running(client):
        left = await client.list_action(
            "QueueStatus", whole=True, take=lambda item: taken.append(item["Queue"])
        )
    assert (taken, left) == (["q0", "q1", "q2"], [])
