"""The WebSocket of events, and its server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from api_client import TO_BOB, Api, Clock, api_here
from scripted_transfer_service import (
    INTEGRATION,
    PINS,
    ScriptedTransferService,
    bearer,
    transfer_view,
)

from asterisk_avp.api import events_ws
from asterisk_avp.api.app import create_app
from asterisk_avp.api.auth import Authenticator
from asterisk_avp.api.server import serve
from asterisk_avp.core.model.errors import ConfigError


@pytest_asyncio.fixture(loop_scope="function")
async def api() -> AsyncIterator[Api]:
    async with api_here() as running:
        yield running


# --- events ----------------------------------------------------------------------------------


async def test_events_for_an_integration(api: Api) -> None:
    api.board.changed(transfer_view("old", "1001", "1003"))
    async with api.events() as socket:
        await socket.send_json({"token": INTEGRATION})
        snapshot = await socket.receive_json()
        assert snapshot["type"] == "snapshot"
        assert snapshot["agents"][0]["call"]["caller"] == "Zoë <+12025550123>"
        assert [transfer["id"] for transfer in snapshot["transfers"]] == ["old"]
        assert snapshot["readiness"]["ready"] is True
        api.board.agent_changed("1003", waiting_transfer=True)
        event = await socket.receive_json()
        assert event == {"type": "agent", "agent": (await api.ask("GET", "/v1/agents/1003"))[1]}
        _, made = await api.ask("POST", "/v1/agents/1001/transfers", TO_BOB)
        assert await socket.receive_json() == {"type": "transfer", "transfer": made}
    await api.board.unsubscribed.wait()
    assert api.board.queues == []


async def test_a_snapshot_has_the_pops_of_calls_that_ring(api: Api) -> None:
    """An agent's own; an integration's are all."""
    offered = [
        {"type": "pop", "agent": agent, "state": "offered", "pop": {"id": f"chan-{agent}"}}
        for agent in ("1001", "1002")
    ]
    api.board.offered = [*offered]
    expected = [{**pop, "call": pop["pop"]["id"]} for pop in offered]
    for token, shown in ((await api.login("1002"), expected[1:]), (INTEGRATION, expected)):
        async with api.events(headers=bearer(token)) as socket:
            assert (await socket.receive_json())["pops"] == shown


async def test_events_for_an_agent_leave_out_what_is_not_theirs(api: Api) -> None:
    api.board.changed(transfer_view("others", "1001", "1003"))
    async with api.events(headers=bearer(await api.login("1002"))) as socket:
        snapshot = await socket.receive_json()
        alice, bob, _ = snapshot["agents"]
        assert "call" not in alice
        assert "calls" not in alice
        assert bob["call"] is None
        assert snapshot["transfers"] == []
        api.board.agent_changed("1001", waiting_transfer=True)
        api.board.changed(transfer_view("hidden", "1001", "1003"))
        api.board.publish({"type": "pop", "agent": "1001", "pop": {"secret": 1}})
        api.board.publish({"type": "something new"})
        api.board.publish({"type": "pop", "agent": "1002", "pop": {}})
        api.board.changed(transfer_view("seen", "1001", "1002"))
        events = [await socket.receive_json() for _ in range(3)]
        assert [event["type"] for event in events] == ["agent", "pop", "transfer"]
        assert "call" not in events[0]["agent"]
        assert events[2]["transfer"]["id"] == "seen"


@pytest.mark.parametrize("first", ['{"token": "wrong"}', '{"token": 1}', "[]", "{", "7"])
async def test_events_need_a_token(api: Api, first: str) -> None:
    async with api.events() as socket:
        await socket.send_str(first)
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4401
    assert not api.board.subscribed.is_set()


async def test_events_close_on_a_binary_or_missing_first_message(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with api.events() as socket:
        await socket.send_bytes(b"\x00")
        await socket.receive()
        assert socket.close_code == 4401
    monkeypatch.setattr(events_ws, "FIRST_MESSAGE_SECONDS", 0.01)
    async with api.events() as socket:
        await socket.receive()
        assert socket.close_code == 4401


async def test_events_end_when_the_reader_does_not_keep_up(api: Api) -> None:
    async with api.events(headers=bearer()) as socket:
        await socket.receive_json()
        api.board.publish({"type": "overflow"})
        assert await socket.receive_json() == {"type": "overflow"}
        await socket.receive()
        assert socket.close_code == 1013


async def test_events_end_with_the_token() -> None:
    clock = Clock()
    board = ScriptedTransferService()
    auth = Authenticator(pins=PINS, token_lifetime_seconds=60, clock=clock)
    server = await serve(create_app(board, auth), "127.0.0.1", 0)
    token = await auth.login("1001", PINS["1001"], "here")
    try:
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(server.url + "/v1/events", headers=bearer(token)) as socket,
        ):
            await socket.receive_json()
            clock.now += 60
            board.agent_changed("1001", waiting_transfer=True)
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 4401
    finally:
        await server.stop()


# --- the server ------------------------------------------------------------------------------


async def test_stop_closes_websockets_and_the_port(api: Api) -> None:
    async with api.events(headers=bearer()) as socket:
        await socket.receive_json()
        await api.server.stop()
        message = await socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1012)
    await api.server.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", api.server.port)


async def test_a_port_in_use_is_an_error_of_the_configuration(api: Api) -> None:
    with pytest.raises(ConfigError, match="AVP_API__PORT"):
        await serve(create_app(api.board, Authenticator()), "127.0.0.1", api.server.port)
