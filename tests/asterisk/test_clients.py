"""Two clients on one Asterisk: acme's sales and beta's support, and Erin, who works for both.

Whatever belongs to the other client is refused like something that does not exist, in every way, is
shown nowhere, and none of its phones rings.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import requests
from bed import Agent, Bed, Group, World, backend_named, match, party
from bed.deadlines import patiently

from tests.asterisk import guard, transfer_button
from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene
from tests.asterisk.transfer_button import back_to_the_group, known, pressed

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

SHARED = '[groups.support]\nshared_with = ["acme"]\n[presets.billing]\nshared_with = ["acme"]\n'
ACMES = {"1001", "1002", "1005"}
BETAS = {"1003", "1004", "1005"}


def two_clients() -> World:
    demo = World()
    return replace(
        demo,
        agents=(*demo.agents, Agent("1005", "Erin")),
        groups=(
            Group("sales", ("1001", "1002", "1005"), number="800", strategy="linear"),
            Group("support", ("1005", "1003", "1004"), number="801", strategy="linear"),
        ),
        settings={
            "AVP_SESSION__RING_SECONDS": "4",
            "AVP_GROUPS__SUPPORT__ACCOUNT": "beta",
            "AVP_ACCOUNTS__BETA__COUNTRY": "US",
        },
        wrapuptime=1,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Bed]:
    async with Bed(two_clients(), backend=backend_named(None)) as bed:
        await guard.start_daemon(bed)
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(office) as opened:
        yield opened


# --- with an agent's own token -------------------------------------------------------------------


class Station:
    """What an agent's own token allows and shows."""

    def __init__(self, scene: Scene, agent: str) -> None:
        self.agent = agent
        self.url = scene.bed.url
        answer = requests.post(
            f"{self.url}/v1/login", json={"agent": agent, "pin": f"pin-{agent}"}, timeout=10
        )
        self.headers = {"Authorization": f"Bearer {answer.json()['token']}"}

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        def send() -> tuple[int, Any]:
            answer = requests.request(
                method, self.url + path, json=body, headers=self.headers, timeout=10
            )
            return answer.status_code, answer.json()

        return await asyncio.to_thread(send)

    async def transfer(self, mode: str, kind: str, target: str) -> tuple[int, Any]:
        body = {"mode": mode, "target": {"kind": kind, "id": target}}
        return await self.ask("POST", f"/v1/agents/{self.agent}/transfers", body)

    async def targets(self) -> dict[str, Any]:
        status, body = await self.ask("GET", f"/v1/agents/{self.agent}/targets")
        assert status == 200, body
        return dict(body)

    async def agents(self) -> dict[str, list[str]]:
        """The agents in the list, with their groups."""
        _, body = await self.ask("GET", "/v1/agents")
        return {agent["id"]: agent["groups"] for agent in body}

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[list[dict[str, Any]]]:
        """The events of the WebSocket, from its snapshot on."""
        heard: list[dict[str, Any]] = []
        up = asyncio.Event()

        async def listen() -> None:
            async with (
                aiohttp.ClientSession(headers=self.headers) as session,
                session.ws_connect(f"{self.url}/v1/events") as socket,
            ):
                async for message in socket:
                    heard.append(json.loads(message.data))
                    up.set()

        task = asyncio.create_task(listen())
        try:
            await asyncio.wait_for(up.wait(), patiently(5))
            yield heard
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def colleagues(targets: dict[str, Any]) -> set[str]:
    groups = targets["my_agent_groups"]
    return {agent["id"] for group in groups for agent in group["agents"]}


async def nobody_rang(scene: Scene, since: float, *but: str) -> None:
    await scene.ami.bridged("caller1", "1001")
    rung = {party(event["Channel"]) for event in scene.ami.seen(match("Newchannel"), since)}
    assert rung <= {*but}, rung


# --- the API -------------------------------------------------------------------------------------


async def test_the_api_knows_no_other_client(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    station = Station(scene, "1001")
    assert await station.agents() == {x: ["sales"] for x in ACMES}
    targets = await station.targets()
    assert colleagues(targets) == ACMES - {"1001"}
    assert [group["id"] for group in targets["agent_groups"]] == ["sales"]
    assert targets["external_presets"] == []
    mark = await scene.ami.mark()
    for mode, kind, target, nobody in (
        ("supervised", "agent", "1003", "1008"),
        ("unsupervised", "agent", "1003", "1008"),
        ("unsupervised", "group", "support", "nosuch"),
        ("supervised", "preset", "billing", "nosuch"),
    ):
        status, body = await station.transfer(mode, kind, target)
        assert (status, body["reason"]) == (403, "unknown_target"), body
        unknown = await station.transfer(mode, kind, nobody)
        told = json.loads(json.dumps(unknown[1]).replace(nobody, target))
        assert (status, body) == (unknown[0], told)
        # An integration acts for the agent, and is refused in the same way.
        assert await scene.refused("1001", mode, kind, target) == "unknown_target"
    await nobody_rang(scene, mark)
    # A request about another client's agent is answered as for an unknown one.
    for path in ("/v1/agents/{}", "/v1/agents/{}/targets", "/v1/agents/{}/transfers"):
        found = await station.ask("GET", path.format("1003"))
        assert found == await station.ask("GET", path.format("1008"))
    # As always, an integration sees everything.
    assert {agent["id"] for agent in (await scene.api("GET", "/v1/agents")).body} == ACMES | BETAS


async def test_the_websocket_tells_of_no_other_client(scene: Scene) -> None:
    station, beta, erin = Station(scene, "1002"), Station(scene, "1004"), Station(scene, "1005")
    async with station.listening() as heard, beta.listening() as told, erin.listening() as both:
        await scene.pause("1005")
        await scene.call("caller1", "1003", "support")
        await scene.call("caller2", "1001")
        transfer = await scene.transfer("1003", "unsupervised", "1004", notes="of beta")
        await scene.phone("1004").answer()
        await scene.ends(transfer, "completed", "completed")
        await scene.pause("1005", paused=False)
        await scene.pause("1002")

        async def marked(by: list[dict[str, Any]], agent: str) -> None:
            """Wait until this client's last event has arrived."""

            async def look() -> bool | None:
                last = [e for e in by if e["type"] == "agent" and e["agent"]["id"] == agent]
                return (bool(last) and last[-1]["agent"]["paused"]) or None

            assert await scene.ami.until(look, 5.0), by

        await marked(heard, "1002")
        await marked(both, "1002")
        await scene.pause("1002", paused=False)
        await scene.pause("1004")
        await marked(told, "1004")
        await scene.pause("1004", paused=False)
    for events, theirs in ((heard, ACMES), (told, BETAS), (both, ACMES | BETAS)):
        assert events[0]["type"] == "snapshot"
        assert {agent["id"] for agent in events[0]["agents"]} == theirs
        changed = {e["agent"]["id"] for e in events if e["type"] == "agent"}
        assert changed <= theirs
        assert changed & {"1001", "1003"} == theirs & {"1001", "1003"}
    text = json.dumps(heard)
    for word in ("support", "1003", "1004", "Carol", "Dave", "beta", "billing", "4712"):
        assert word not in text, word
    assert [e["transfer"]["state"] for e in told if e["type"] == "transfer"][-1] == "completed"
    # Each client sees only its own groups of Erin.
    (seen,) = (agent for agent in heard[0]["agents"] if agent["id"] == "1005")
    assert seen["groups"] == ["sales"]
    (seen,) = (agent for agent in told[0]["agents"] if agent["id"] == "1005")
    assert seen["groups"] == ["support"]


# --- phones --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("foreign", "nobody"),
    [
        ("1003", "1008"),
        pytest.param("801", "899", marks=pytest.mark.thorough),
        pytest.param("91", "92", marks=pytest.mark.thorough),
    ],
)
async def test_keyed_in_behind_the_code(scene: Scene, foreign: str, nobody: str) -> None:
    """An agent's id, a group's number and a preset's code."""
    await scene.call("caller1", "1001")
    before = known(scene)
    mark = await scene.ami.mark()
    await scene.press("1001", "*7")
    await scene.prompted("1001", mark)
    found: list[tuple[str, str]] = []
    for count, digits in enumerate((foreign, nobody), 2):
        await scene.on_music("caller1")
        await scene.press("1001", digits + "#")

        async def decided(count: int = count) -> bool | None:
            return len(guard.records(scene.bed, "decision")) - before == count or None

        assert await scene.ami.until(decided, 4.0)
        record = guard.records(scene.bed, "decision")[-1]
        assert record["decision"] == "deny"
        found.append((record["kind"], record["reason"]))
    assert found[0] == found[1] == ("number", found[1][1])
    await nobody_rang_in_transfer(scene, mark)
    await scene.press("1001", "*")
    await scene.talking("caller1", "1001")


async def nobody_rang_in_transfer(scene: Scene, since: float) -> None:
    rung = {party(event["Channel"]) for event in scene.ami.seen(match("Newchannel"), since)}
    assert not rung & {"1002", "1003", "1004", "1005", "pstn"}, rung


@pytest.mark.parametrize(
    ("foreign", "nobody"),
    [pytest.param("1003", "1008", marks=pytest.mark.thorough), ("801", "899")],
)
async def test_the_transfer_button(scene: Scene, foreign: str, nobody: str) -> None:
    reasons = []
    for digits in (foreign, nobody):
        await scene.everybody_free()
        await scene.call("caller1", "1001")
        before, mark = known(scene), await scene.ami.mark()
        await scene.phone("1001").transfer(digits)
        record = await pressed(scene, before, "1001", "deny", "unsupervised_external")
        reasons.append((record["kind"], record["reason"]))
        await scene.gone("1001")
        assert transfer_button.told(scene.phone("1001"), mark) == "refused"
        await back_to_the_group(scene)
        rung = {party(event["Channel"]) for event in scene.ami.seen(match("Newchannel"), mark)}
        assert not rung & {"1003", "1004", "pstn"}, rung
        await scene.hang_up("caller1")
        await scene.gone("1002")
    assert reasons[0] == reasons[1]


# --- who works for both --------------------------------------------------------------------------


async def test_erin_acts_for_the_client_whose_call_it_is(scene: Scene) -> None:
    station = Station(scene, "1005")
    await scene.call("caller1", "1005", "support")
    targets = await station.targets()
    assert colleagues(targets) == BETAS - {"1005"}
    assert [group["id"] for group in targets["agent_groups"]] == ["support"]
    assert (await station.transfer("supervised", "agent", "1002"))[1]["reason"] == "unknown_target"
    assert (await station.transfer("unsupervised", "group", "sales"))[1][
        "reason"
    ] == "unknown_target"
    status, body = await station.transfer("supervised", "agent", "1003")
    assert status == 201, body
    await scene.phone("1003").answer()
    await scene.consulting(body["id"], "caller1", "1005", "1003")
    await scene.complete(body["id"])
    await scene.ends(body["id"], "completed", "completed")
    await scene.talking("caller1", "1003")
    await scene.hang_up("caller1")
    await scene.gone("1003", "1005")


# --- shared --------------------------------------------------------------------------------------


async def test_a_group_that_is_shared_takes_calls_of_the_other_client(scene: Scene) -> None:
    await scene.pause("1005")
    await scene.call("caller1", "1001")
    station = Station(scene, "1001")
    theirs = Station(scene, "1003")
    async with guard.settings(scene.bed, SHARED), theirs.listening() as told:
        targets = await station.targets()
        assert [group["id"] for group in targets["agent_groups"]] == ["sales", "support"]
        assert [preset["id"] for preset in targets["external_presets"]] == ["billing"]
        assert {"1003", "1004"} <= (await station.agents()).keys()
        # This does not make its agents visible.
        status, body = await station.transfer("supervised", "agent", "1003")
        assert (status, body["reason"]) == (403, "not_in_group")
        status, body = await station.transfer("unsupervised", "group", "support")
        assert status == 201, body
        await scene.phone("1003").answer()
        await scene.ends(body["id"], "completed", "completed")
        await scene.gone("1001")
        await scene.talking("caller1", "1003")
        assert await scene.variable("caller1", "AVP_GROUP") == "support"

        async def has_it() -> dict[str, Any] | None:
            _, shown = await theirs.ask("GET", "/v1/agents/1003")
            call = shown["call"]
            return call if call and call["group"] and call["pop"].get("transfers") else None

        call = await scene.ami.until(has_it, 4.0)
        assert call is not None
        assert call["group"] == "support"
        assert [moved["from"] for moved in call["pop"]["transfers"]] == [""]
        # The call is beta's now: nothing of acme can be reached in it.
        assert await scene.refused("1003", "unsupervised", "group", "sales") == "unknown_target"
        await scene.hang_up("caller1")
        await scene.gone("1003")
    text = json.dumps(told)
    for word in ("sales", "1001", "1002", "Alice", "Bob", "acme"):
        assert word not in text, word
    # No longer shared: as if it had never been.
    assert (await station.agents()).keys() == ACMES
    await scene.pause("1005", paused=False)
