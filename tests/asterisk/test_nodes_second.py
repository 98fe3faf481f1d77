"""Second transfers, by agents who have a call of another node's: the anchor makes them.

The caller is on node a. However long the chain, at most one leg of the trunk is left at its end.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed.nodes import Nodes

from tests.asterisk.listening import Message, listening
from tests.asterisk.nodes_scene import NodesScene, open_nodes
from tests.asterisk.scene import Answer

SETTINGS = {
    "AVP_ENTERPRISE__CONFERENCE": "true",
    "AVP_SESSION__RING_SECONDS": "6",
    "AVP_GROUPS__SALES__UNSUPERVISED_TRANSFER": "false",
}

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two() -> AsyncIterator[Nodes]:
    async with Nodes("ab", relays=False, settings=SETTINGS) as nodes:
        yield nodes


@pytest_asyncio.fixture(loop_scope="session")
async def scene(two: Nodes) -> AsyncIterator[NodesScene]:
    async with open_nodes(two) as opened:
        await opened.all_free()
        yield opened


async def hand_on(scene: NodesScene, agent: str, target: str, caller: str = "caller1") -> str:
    """The agent's own node is asked, on which the agent then completes it."""
    await scene.of(agent).has_call(agent, on_hold=False, consult=None)
    transfer = await scene.transfer(agent, "supervised", target)
    await scene.phone(target).answer()
    await scene.of(agent).reaches(transfer, "consulting")
    await scene.talking(agent, target)
    await scene.on_music(caller)
    await scene.of(agent).complete(transfer)
    await scene.talking(caller, target)
    await scene.gone(agent)
    return transfer


@pytest.mark.thorough
async def test_a_chain_of_four_keeps_at_most_one_leg(scene: NodesScene) -> None:
    await scene.call("caller1", "1001", "blend")
    for agent, target, legs in (
        ("1001", "1003", 1),
        ("1003", "1004", 1),
        ("1004", "1002", 0),
        ("1002", "1005", 1),
    ):
        transfer = await hand_on(scene, agent, target)
        await scene.only_legs(legs)
        await scene.of(agent).reaches(transfer, "completed")
    # The anchor has made them all.
    answer = await scene.at("a").api("GET", "/v1/transfers")
    assert len([x for x in answer.body if x["state"] == "completed"]) >= 4
    await scene.hang_up("1005")
    await scene.gone("caller1")


# --- screens ------------------------------------------------------------------------------------


def pop_of(agent: str, state: str = "delivered") -> object:
    def fits(message: Message) -> bool:
        return (message["type"], message.get("agent"), message.get("state")) == (
            "pop",
            agent,
            state,
        )

    return fits


async def test_the_screens_of_a_supervised_transfer(scene: NodesScene) -> None:
    """The target sees who asks, not the caller; the pop comes with the call."""
    async with listening(scene.nodes.b, "1005") as erin:
        transfer = await scene.consult("caller1", "1001", "1005")
        call = await scene.at("b").has_call("1005", pop={})
        assert call["consult"] == {"agent": "1001", "name": "Alice"}
        told = await erin.wait(
            lambda x: x["type"] == "transfer" and x["transfer"]["state"] == "consulting"
        )
        assert (told["transfer"]["id"], told["transfer"]["caller"]) == (transfer, "")
        assert not [x for x in erin.messages if x["type"] == "pop"]

        await scene.at("a").complete(transfer)

        found = await erin.wait(pop_of("1005"))
        assert found["pop"]["data"]["case"] == "4711"
        assert [x["from"] for x in found["pop"]["transfers"]] == ["1001"]
        call = await scene.at("b").has_call("1005", consult=None)
        assert call["pop"]["data"]["case"] == "4711"
        assert call["caller"] == "caller1"
        assert found["pop"]["id"] == call["id"]
        # Erin hands the call on, with its pop, back to node a.
        async with listening(scene.nodes.a, "1002") as bob:
            await hand_on(scene, "1005", "1002")
            found = await bob.wait(pop_of("1002"))
            assert [x["from"] for x in found["pop"]["transfers"]] == ["1001", "1005"]
        history = await scene.history("1005", 2)
        assert [x["agent"] for x in history] == ["1005", "1001"]


async def test_the_screen_of_the_transferor(scene: NodesScene) -> None:
    """What can be done is shown and done at the agent's own node."""
    await hand_on_first(scene)
    transfer = await scene.transfer("1003", "supervised", "1002")
    call = await scene.at("b").has_call("1003", on_hold=True)
    assert call["transfer"]["id"] == transfer
    assert "cancel" in call["transfer"]["actions"]
    await scene.phone("1002").answer()
    await scene.at("b").reaches(transfer, "consulting")
    await scene.talking("1003", "1002")
    await scene.at("b").act(transfer, "swap")
    await scene.talking("1003", "caller1")
    await scene.on_music("1002")
    await scene.at("b").act(transfer, "conference")
    await scene.talking("caller1", "1003", "1002")
    await scene.at("b").cancel(transfer)
    await scene.at("b").ends(transfer, "cancelled", "cancelled")
    await scene.talking("caller1", "1003")
    await scene.gone("1002")
    await scene.only_legs(1)
    await scene.at("b").has_call("1003", transfer=None, on_hold=False)


@pytest.mark.thorough
async def test_the_caller_leaves_a_conference(scene: NodesScene) -> None:
    """Those who talk on are told with whom, and not that they still have the caller."""
    await hand_on_first(scene)
    transfer = await scene.transfer("1003", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.at("b").reaches(transfer, "consulting")
    await scene.at("b").act(transfer, "conference")
    await scene.talking("caller1", "1003", "1002")
    await scene.hang_up("caller1")
    await scene.talking("1003", "1002")
    await scene.at("b").ends(transfer, "abandoned", "caller_hangup")
    await scene.at("b").has_call("1003", caller="1002", pop={}, transfer=None, consult=None)
    await scene.hang_up("1002")
    await scene.gone("1003")
    await scene.only_legs(0)


async def hand_on_first(scene: NodesScene, group: str = "blend") -> None:
    """Carol on node b has caller 1's call, from Alice."""
    await scene.call("caller1", "1001", group)
    await hand_on(scene, "1001", "1003")


# --- the other ways -------------------------------------------------------------------------------


@pytest.mark.thorough
async def test_the_transferor_hangs_up(scene: NodesScene) -> None:
    await hand_on_first(scene)
    transfer = await scene.transfer("1003", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.at("b").reaches(transfer, "consulting")

    await scene.hang_up("1003")

    await scene.talking("caller1", "1002")
    await scene.at("b").ends(transfer, "completed", "completed")
    await scene.only_legs(0)


async def test_unsupervised(scene: NodesScene) -> None:
    """To the node where the caller is, and on the agent's own node: it hangs the agent up."""
    await hand_on_first(scene)
    transfer = await scene.transfer("1003", "unsupervised", "1004")
    await scene.gone("1003")
    await scene.on_music("caller1")
    await scene.phone("1004").answer()
    await scene.talking("caller1", "1004")
    await scene.at("b").ends(transfer, "completed", "completed")
    await scene.only_legs(1)
    transfer = await scene.transfer("1004", "unsupervised", "1002")
    await scene.gone("1004")
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await scene.at("b").ends(transfer, "completed", "completed")
    await scene.only_legs(0)


async def test_the_feature_code(scene: NodesScene) -> None:
    """The anchor asks and listens; the keys are those of one node."""
    await hand_on_first(scene)
    asked = time.time()
    await scene.at("b").press("1003", "*7")
    await scene.on_music("caller1")
    await scene.phone("1003").has_heard("speech", asked)
    call = await scene.at("b").has_call("1003", on_hold=True)
    transfer = call["transfer"]["id"]
    await scene.at("b").press("1003", "1002#")
    await scene.phone("1002").answer()
    await scene.at("b").reaches(transfer, "consulting")
    await scene.talking("1003", "1002")
    await scene.at("b").press("1003", "*1")
    await scene.talking("caller1", "1002")
    await scene.gone("1003")
    await scene.only_legs(0)


async def test_the_phones_button(scene: NodesScene) -> None:
    await hand_on_first(scene)
    await scene.phone("1003").transfer("1002")
    await scene.gone("1003")
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await scene.only_legs(0)


async def test_the_button_is_refused(scene: NodesScene) -> None:
    """baresip hangs up on a refusal: the caller goes to the head of the group where they called."""
    await hand_on_first(scene)
    await scene.at("a").pause("1002")
    await scene.sees("b", "1002", state="not_ready")
    await scene.phone("1003").transfer("1002")
    await scene.gone("1003")
    await scene.phone("1001").answer(8.0)
    await scene.talking("caller1", "1001")
    await scene.only_legs(0)
    await scene.at("a").pause("1002", paused=False)


@pytest.mark.thorough
async def test_the_button_in_a_consultation(scene: NodesScene) -> None:
    """As if the transferor had hung up: the target has the caller, and nothing is left over."""
    await hand_on_first(scene)
    transfer = await scene.transfer("1003", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.at("b").reaches(transfer, "consulting")
    await scene.phone("1003").transfer("1001")
    await scene.gone("1003")
    await scene.talking("caller1", "1002")
    await scene.at("b").ends(transfer, "completed", "completed")
    await scene.only_legs(0)


async def call_outside(scene: NodesScene, agent: str, number: str) -> Answer:
    body = {"mode": "supervised", "target": {"kind": "number", "number": number}}
    return await scene.of(agent).api("POST", f"/v1/agents/{agent}/transfers", body)


@pytest.mark.thorough
async def test_the_policy_of_the_calls_group_decides(scene: NodesScene) -> None:
    """Sales allows no unsupervised transfer; Erin's other group does, and external numbers."""
    await scene.call("caller1", "1001")
    await hand_on(scene, "1001", "1005")
    answer = await scene.ask("1005", "unsupervised", "agent", "1002")
    assert answer.body["reason"] == "unsupervised_disabled"
    await scene.talking("caller1", "1005")
    await scene.hang_up("1005")
    await scene.gone("caller1")
    await scene.at("b").agent_is("1005", "available", within=8.0)
    await scene.sees("a", "1005", state="available")
    await scene.sees("a", "1001", state="available", within=8.0)
    await scene.call("caller1", "1001", "blend")
    await hand_on(scene, "1001", "1005")
    answer = await call_outside(scene, "1005", "+442079460000")
    assert answer.body["reason"] == "country_mismatch"
    transfer = await scene.transfer("1005", "unsupervised", "1002")
    await scene.phone("1002").answer()
    await scene.at("b").ends(transfer, "completed", "completed")


@pytest.mark.thorough
async def test_an_external_number_leaves_by_the_anchors_trunk(scene: NodesScene) -> None:
    await hand_on_first(scene)
    answer = await call_outside(scene, "1003", "+12025550100")
    assert answer.status == 201, answer
    transfer = answer.body["id"]
    await scene.nodes.a.phones["pstn"].answer()
    await scene.at("b").reaches(transfer, "consulting")
    assert not scene.nodes.b.phones["pstn"].live
    await scene.at("b").complete(transfer)
    await scene.gone("1003")
    await scene.only_legs(0)


async def test_the_anchors_daemon_is_away(scene: NodesScene) -> None:
    """A clear refusal, and the call goes on; then, with a new daemon, it can be transferred."""
    await hand_on_first(scene)
    await scene.nodes.a.stop_daemon(kill=True)
    answer = await scene.ask("1003", "supervised", "agent", "1004")
    assert (answer.status, answer.body["error"]) == (503, "node_unavailable")
    await scene.talking("caller1", "1003")
    await scene.nodes.a.start_daemon()
    await scene.sees("a", "1003", state="talking", within=10.0)
    await scene.sees("a", "1004", state="available", within=10.0)
    await hand_on(scene, "1003", "1004")
    await scene.only_legs(1)


@pytest.mark.thorough
async def test_the_homes_daemon_is_started_again(scene: NodesScene) -> None:
    await hand_on_first(scene)
    await scene.nodes.b.stop_daemon(kill=True)
    await scene.nodes.b.start_daemon()
    await scene.sees("b", "1002", state="available", within=10.0)
    await hand_on(scene, "1003", "1002")
    await scene.only_legs(0)
