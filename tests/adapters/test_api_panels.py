"""The coalesced stream of the panels, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from api_client import Api, api_here
from scripted_transfer_service import bearer, transfer_view

from asterisk_avp.api import panels
from asterisk_avp.core.model.tenants import Scope
from asterisk_avp.core.model.work import MembershipView
from asterisk_avp.core.model.world import AgentState, AgentView

PATH = "/v1/events?lists=coalesced"


@pytest_asyncio.fixture(loop_scope="function")
async def api() -> AsyncIterator[Api]:
    async with api_here() as running:
        yield running


class Panel:
    """A client of the stream, which applies its messages as docs/api.md says."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.agents: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.own: list[dict[str, Any]] = []
        """The messages that are no lists."""

    async def read(self) -> dict[str, Any]:
        message: dict[str, Any] = await self.socket.receive_json()
        if message["type"] != "lists":
            self.own.append(message)
            return message
        if message["complete"]:
            self.agents.clear()
            self.groups.clear()
        self.agents.update((agent["id"], agent) for agent in message["agents"])
        for agent in message["gone"]:
            self.agents.pop(agent, None)
        for group in message["groups"]:
            self.groups[group["id"]] = {**self.groups.get(group["id"], {}), **group}
        return message

    async def until(self, kind: str) -> dict[str, Any]:
        while (message := await self.read())["type"] != kind:
            pass
        return message

    async def shows(self, agent: str, state: str) -> None:
        while self.agents.get(agent, {}).get("state") != state:
            await self.read()


def connect(api: Api, token: str) -> Any:
    return api.http.ws_connect(api.server.url + PATH, headers=bearer(token))


async def opened(api: Api, socket: aiohttp.ClientWebSocketResponse) -> Panel:
    panel = Panel(socket)
    assert (await panel.read())["type"] == "snapshot"
    await panel.until("lists")
    return panel


def group(name: str, **more: Any) -> dict[str, Any]:
    counts = {"available": 1, "logged_in": 2, "ready": 2}
    return {"type": "group", "group": {"id": name, "name": name.title(), **counts, **more}}


async def test_a_panel_gets_its_agent_and_then_the_lists_of_its_groups(api: Api) -> None:
    async with connect(api, await api.login("1002")) as socket:
        panel = await opened(api, socket)
        snapshot = panel.own[0]
        assert [agent["id"] for agent in snapshot["agents"]] == ["1002"]
        assert snapshot["agents"][0]["calls"] == []
        assert snapshot["readiness"]["ready"] is True
        assert set(panel.agents) == {"1001", "1002"}
        assert not {"call", "calls", "pause_reason"} & panel.agents["1001"].keys()


async def test_lists_are_coalesced_and_own_events_come_at_once(api: Api) -> None:
    async with connect(api, await api.login("1002")) as socket:
        panel = await opened(api, socket)
        for state in (AgentState.ACW, AgentState.AVAILABLE, AgentState.OFFLINE):
            api.board.agent_changed("1001", state=state)
            api.board.agent_changed("1003", state=state)
        api.board.agent_changed("1002", state=AgentState.RINGING)
        api.board.publish({"type": "pop", "agent": "1002", "pop": {"id": "7"}})
        api.board.publish({"type": "pop", "agent": "1001", "pop": {"secret": 1}})
        api.board.changed(transfer_view("others", "1001", "1003"))
        api.board.changed(transfer_view("mine", "1001", "1002"))
        api.board.publish({"type": "something new"})
        first = [await panel.read() for _ in range(4)]
        assert [message["type"] for message in first] == ["agent", "pop", "transfer", "lists"]
        assert first[0]["agent"]["calls"] == []
        assert first[2]["transfer"]["id"] == "mine"
        assert [(a["id"], a["state"]) for a in first[3]["agents"]] == [
            ("1002", "ringing"), ("1001", "offline"),
        ]  # fmt: skip
        assert "calls" not in first[3]["agents"][0]


async def test_group_counts_for_all_and_waiting_callers_for_the_own(api: Api) -> None:
    async with connect(api, await api.login("1002")) as socket:
        panel = await opened(api, socket)
        assert panel.groups["sales"]["available"] == 1
        assert panel.groups["support"] == {
            "id": "support", "available": 0, "logged_in": 1, "ready": 1,
        }  # fmt: skip
        api.board.publish(group("sales", waiting=3))
        api.board.publish(group("support", waiting=4))
        api.board.agent_changed("1003", state=AgentState.AVAILABLE)
        while "waiting" not in panel.groups["sales"] or not panel.groups["support"]["available"]:
            await panel.read()
        assert panel.groups["sales"]["waiting"] == 3
        assert panel.groups["support"].keys() == {"id", "available", "logged_in", "ready"}
        async with connect(api, await api.login("1003")) as other:
            later = await opened(api, other)
            assert later.groups["support"]["waiting"] == 4
            assert "waiting" not in later.groups["sales"]
        api.board.agent_changed("1003", groups=())
        api.board.agent_changed("1001", groups=("support",))
        while panel.groups["support"]["logged_in"] != 1 or panel.groups["sales"]["logged_in"] != 1:
            await panel.read()


async def test_many_panels_are_told_of_other_groups_less_often(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left out comes with the next message of the own groups, or in its turn."""
    monkeypatch.setattr(panels, "BATCH_SECONDS", 0.02)
    monkeypatch.setattr(panels, "PANELS_TOLD_AT_ONCE", 1)
    async with (
        connect(api, await api.login("1002")) as socket,
        connect(api, await api.login("1001")) as another,
    ):
        panel, other = await opened(api, socket), await opened(api, another)
        for available in (1, 0, 1, 0):
            states = {1: AgentState.AVAILABLE, 0: AgentState.TALKING}
            api.board.agent_changed("1003", state=states[available])
            for told in (panel, other):
                while told.groups["support"]["available"] != available:
                    await told.read()
        # With a change of the own groups they come together.
        api.board.agent_changed("1003", state=AgentState.AVAILABLE)
        api.board.agent_changed("1001", state=AgentState.ACW)
        await panel.shows("1001", "acw")
        while panel.groups["support"]["available"] != 1:
            await panel.read()


async def test_a_panel_can_take_its_own_agent_off_the_counts(api: Api) -> None:
    """In each message with lists, the counts have this agent as last told, and others as told."""

    def is_now(agent: str, state: AgentState, *, logged_in: bool = True) -> None:
        free = logged_in and state is AgentState.AVAILABLE
        shown = MembershipView(
            "sales", member=True, dynamic=True, actions=(), logged_in=logged_in, ready=logged_in,
            available=free,
        )  # fmt: skip
        api.board.agent_changed(agent, state=state, memberships=(shown,))

    async with connect(api, await api.login("1002")) as socket:
        panel = await opened(api, socket)
        mine = panel.own[0]["agents"][0]
        states = (AgentState.AVAILABLE, AgentState.TALKING)
        for n in range(12):
            # Both change in one step, so that the sum often stays as it was.
            is_now("1001", states[n % 2], logged_in=n % 3 > 0)
            is_now("1002", states[(n + 1) % 2])
            if n % 4 == 3:  # without being logged in there
                of = api.board.views["1003"].memberships
                groups = ("support", "sales")[: n % 2 + 1]
                api.board.agent_changed("1003", groups=groups, memberships=of)
            told = False
            while not told:
                message = await panel.read()
                if message["type"] == "agent" and message["agent"]["id"] == "1002":
                    mine = message["agent"]
                told = message["type"] == "lists" and any(
                    a["id"] == "1002" and a["state"] == states[(n + 1) % 2].value
                    for a in message["agents"]
                )
            (me,) = mine["memberships"]
            counts = panel.groups["sales"]
            others = {name: counts[name] - me[name] for name in ("logged_in", "ready", "available")}
            there, free = n % 3 > 0, n % 3 > 0 and n % 2 == 0
            assert others == {
                "logged_in": there, "ready": there, "available": free,
            }, n  # fmt: skip


async def test_who_enters_or_leaves_the_groups_comes_and_goes(api: Api) -> None:
    async with connect(api, await api.login("1002")) as socket:
        panel = await opened(api, socket)
        api.board.agent_changed("1003", groups=("support", "sales"))
        await panel.shows("1003", "acw")
        api.board.agent_changed("1003", groups=("support",))
        while "1003" in panel.agents:
            await panel.read()
        # The panel's own agent enters another group: its lists are complete again.
        api.board.agent_changed("1002", groups=("sales", "support"))
        while not (message := await panel.read()).get("complete"):
            pass
        assert {agent["id"] for agent in message["agents"]} == {"1001", "1002", "1003"}


async def test_a_panel_that_connects_later_shows_what_has_changed_before(api: Api) -> None:
    async with connect(api, await api.login("1001")):
        for number in range(60):
            state = AgentState.ACW if number % 2 else AgentState.TALKING
            api.board.agent_changed("1002", state=state, since=float(number))
        async with connect(api, await api.login("1001")) as socket:
            panel = await opened(api, socket)
            await panel.shows("1002", "acw")
            assert panel.agents["1002"]["since"] == "1970-01-01T00:00:59.000Z"


async def test_other_clients_hear_every_change_whatever_they_ask(api: Api) -> None:
    async with (
        connect(api, "integration-token") as integration,
        api.events(headers=bearer(await api.login("1003"))) as agent,
    ):
        for socket in (integration, agent):
            snapshot = await socket.receive_json()
            assert len(snapshot["agents"]) == 3
        for state in ("acw", "offline"):
            api.board.agent_changed("1001", state=AgentState(state))
            for socket in (integration, agent):
                event = await socket.receive_json()
                assert (event["type"], event["agent"]["state"]) == ("agent", state)


async def test_it_ends_with_the_log_in(api: Api) -> None:
    token = await api.login("1002")
    async with connect(api, token) as socket:
        await opened(api, socket)
        api.auth.log_out(token)
        api.board.publish({"type": "pop", "agent": "1002", "pop": {"secret": 1}})
        message = await socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 4401)


async def test_an_idle_panel_hears_that_the_server_is_alive(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "ALIVE_SECONDS", 0.1)
    async with connect(api, await api.login("1002")) as socket:
        panel = await opened(api, socket)
        assert (await panel.until("alive"))["now"]


async def test_readiness_reaches_all_panels_at_once(api: Api) -> None:
    async with (
        connect(api, await api.login("1002")) as one,
        connect(api, await api.login("1003")) as other,
    ):
        for panel in (await opened(api, one), await opened(api, other)):
            api.board.publish({"type": "readiness", "readiness": {"ready": False}})
            assert (await panel.until("readiness"))["readiness"] == {"ready": False}


async def test_a_failure_closes_the_panels_and_the_next_ones_work(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect(api, await api.login("1002")) as socket:
        panel = await opened(api, socket)
        api.board.publish({"type": "overflow"})
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1011)
        del panel
    async with connect(api, await api.login("1002")) as socket:
        panel = await opened(api, socket)
        api.board.agent_changed("1001", state=AgentState.OFFLINE)
        await panel.shows("1001", "offline")


async def test_the_service_is_left_alone_some_time_after_the_last_panel(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "LINGER_SECONDS", 0.0)
    async with connect(api, await api.login("1002")) as socket:
        await opened(api, socket)
    await api.board.unsubscribed.wait()
    assert api.board.queues == []


async def test_who_does_not_read_is_told_the_newest_afterwards(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists accumulate while a client does not read, and none of them is out of date."""
    monkeypatch.setattr(panels, "BATCH_SECONDS", 0.05)
    crowd = [f"2{number:03d}" for number in range(400)]
    for agent in crowd:
        api.board.views[agent] = AgentView(
            agent, "x" * 2000, AgentState.AVAILABLE, 0.0, ("sales",), waiting_transfer=False
        )
    token = await api.login("1002")
    reader, writer = await asyncio.open_connection("127.0.0.1", api.server.port, limit=2**16)
    writer.write(
        f"GET {PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {token}\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    async with connect(api, await api.login("1001")) as socket:
        other = await opened(api, socket)
        for turn in range(30):
            for agent in crowd:
                api.board.agent_changed(agent, since=float(turn))
            # As soon as one who reads has received it, it has been offered to the other one.
            while other.agents[crowd[-1]]["since"] != f"1970-01-01T00:00:{turn:02d}.000Z":
                await other.read()
        api.board.agent_changed("1002", state=AgentState.RINGING)
        api.board.agent_changed("1001", state=AgentState.OFFLINE)
        received = await _messages(
            reader, until='"id": "1001", "name": "Alice", "state": "offline"'
        )
    writer.close()
    since: dict[str, str] = {}
    for message in received:
        for agent in message.get("agents", ()) if message["type"] == "lists" else ():
            assert agent["since"] >= since.get(agent["id"], ""), "an older state came later"
            since[agent["id"]] = agent["since"]
    assert {since[agent] for agent in crowd} == {"1970-01-01T00:00:29.000Z"}
    lists = sum(len(m["agents"]) for m in received if m["type"] == "lists")
    assert lists < 30 * len(crowd), "what was out of date was sent"


async def _messages(reader: asyncio.StreamReader, until: str) -> list[dict[str, Any]]:
    found = []
    while True:
        first, length = await reader.readexactly(2)
        if length >= 126:
            length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8))
        data = await reader.readexactly(length)
        if first == 0x81:  # and not a ping
            found.append(json.loads(data))
            if until in data.decode():
                return found


async def test_tenants_see_only_their_own() -> None:
    own = frozenset({"sales"})

    def scopes(agent: str) -> Scope:
        return Scope(own, frozenset(), lambda _agent: (), agent)

    async with api_here(scopes=scopes) as api:
        api.board.agent_changed("1001", groups=("sales", "support"))
        async with connect(api, await api.login("1002")) as socket:
            panel = await opened(api, socket)
            assert set(panel.agents) == {"1001", "1002"}
            assert panel.agents["1001"]["groups"] == ["sales"]
            api.board.agent_changed("1003", state=AgentState.OFFLINE)
            api.board.agent_changed("1001", state=AgentState.OFFLINE)
            await panel.shows("1001", "offline")
            assert set(panel.agents) == {"1001", "1002"}
            assert set(panel.groups) == {"sales"}
            # Another scope: everything is told anew.
            own = frozenset({"sales", "support"})
            assert (await panel.until("snapshot"))["agents"][0]["id"] == "1002"
            while not (message := await panel.read()).get("complete"):
                pass
            found = {agent["id"]: agent["groups"] for agent in message["agents"]}
            assert found["1001"] == ["sales", "support"]


async def test_a_few_agents_by_their_ids_within_the_scope() -> None:
    def scopes(agent: str) -> Scope:
        groups = {"1001": ("sales", "support"), "1003": ("support",)}
        return Scope(frozenset({"sales"}), frozenset(), lambda one: groups.get(one, ()), agent)

    async with api_here(scopes=scopes) as api:
        path = "/v1/agents?id=1003&id=1001&id=nobody&id=1001"
        _, everybody = await api.ask("GET", path)
        assert [agent["id"] for agent in everybody] == ["1003", "1001"]
        _, some = await api.ask("GET", path, token=await api.login("1002"))
        assert [(agent["id"], agent["groups"]) for agent in some] == [("1001", ["sales"])]
        assert "call" not in some[0]
