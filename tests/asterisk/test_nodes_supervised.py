"""Supervised transfer to an agent of another node, and everything that may come between.

The caller and the transferor are on node a, the target is at home on node b: a makes the transfer,
b has the target's queue, after-call work and books.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed import match
from bed.nodes import Nodes

from tests.asterisk.listening import listening
from tests.asterisk.nodes_scene import NodesScene, open_nodes

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

THOROUGH = pytest.mark.thorough
CONFERENCE = {
    "AVP_SESSION__RING_SECONDS": "6",
    "AVP_CLUSTER__LOST_SECONDS": "3",  # this process, which passes the lines on, may stand still
    "AVP_ENTERPRISE__CONFERENCE": "true",
}

EVIL = r"""
[evil]
exten => s,1,Dial(PJSIP/agent-1005@avp-node-b,3,b(evil-headers^s^1))
 same => n,Hangup()
[evil-headers]
exten => s,1,Set(PJSIP_HEADER(add,X-AVP-Transfer)=x):System(touch /tmp/avp-evil)
 same => n,Set(PJSIP_HEADER(add,X-AVP-Call)=\${SHELL(touch /tmp/avp-evil)})
 same => n,Set(PJSIP_HEADER(add,X-AVP-Group)=sales{x})
 same => n,Set(PJSIP_HEADER(add,X-AVP-Leg)=consult"x)
 same => n,Set(PJSIP_HEADER(add,X-AVP-Hold)=5 + 5)
 same => n,Set(PJSIP_HEADER(add,X-AVP-Transferor)=10 01)
 same => n,Return()
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two() -> AsyncIterator[Nodes]:
    async with Nodes("ab", settings=CONFERENCE, rtp_timeout=4, extensions=EVIL) as nodes:
        yield nodes


@pytest_asyncio.fixture(loop_scope="session")
async def scene(two: Nodes) -> AsyncIterator[NodesScene]:
    async with open_nodes(two) as opened:
        await opened.all_free()
        yield opened


async def ring(scene: NodesScene) -> str:
    """Caller 1 talks to Alice, who asks for Erin, whose phone rings on the other node."""
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1005")
    await scene.phone("1005").ringing()
    await scene.at("a").reaches(transfer, "ringing")
    return transfer


async def test_complete(scene: NodesScene) -> None:
    transfer = await scene.consult("caller1", "1001", "1005")

    await scene.at("a").complete(transfer)

    await scene.talking("caller1", "1005")
    await scene.at("a").ends(transfer, "completed", "completed")
    await scene.gone("1001")
    await scene.only_legs(1)
    async with listening(scene.at("a").bed) as there, listening(scene.at("b").bed) as here:
        await scene.hang_up("1005")
        await scene.gone("caller1")
        await here.state("1005", "acw")
        await there.state("1005", "acw")
    await scene.at("a").booked(Alice=1)
    await scene.at("b").booked(Erin=1)
    assert scene.at("b").endings() == ["COMPLETEAGENT"]


@pytest.mark.parametrize(
    "phase",
    ["consulting", *(pytest.param(x, marks=THOROUGH) for x in ("ringing", "swapped"))],
)
async def test_cancel(scene: NodesScene, phase: str) -> None:
    if phase == "ringing":
        transfer = await ring(scene)
    else:
        transfer = await scene.consult("caller1", "1001", "1005")
    if phase == "swapped":
        await scene.at("a").act(transfer, "swap")
        await scene.talking("caller1", "1001")
        await scene.on_music("1005")

    await scene.at("a").cancel(transfer)

    await scene.at("a").ends(transfer, "cancelled", "cancelled")
    await scene.talking("caller1", "1001")
    await scene.gone("1005")
    await scene.only_legs(0)
    await scene.sees("a", "1005", waiting_transfer=False)


async def test_swap_and_conference(scene: NodesScene) -> None:
    transfer = await scene.consult("caller1", "1001", "1005")

    await scene.at("a").act(transfer, "swap")
    await scene.talking("caller1", "1001")
    await scene.on_music("1005")
    await scene.at("a").act(transfer, "swap")
    await scene.talking("1001", "1005")
    await scene.on_music("caller1")
    await scene.at("a").act(transfer, "conference")
    await scene.talking("caller1", "1001", "1005")

    await scene.hang_up("1001")

    await scene.talking("caller1", "1005")
    await scene.at("a").ends(transfer, "completed", "completed")
    await scene.only_legs(1)
    await scene.hang_up("caller1")
    await scene.gone("1005")
    await scene.at("b").booked(Erin=1)


async def test_reject(scene: NodesScene) -> None:
    transfer = await ring(scene)

    await scene.phone("1005").reject()

    await scene.at("a").ends(transfer, "failed", "rejected", within=2.0)
    await scene.talking("caller1", "1001")
    await scene.only_legs(0)
    await scene.at("b").ami.mark()
    assert len(scene.at("b").offers("1005")) == 1  # it ended before app_queue rang again
    assert scene.at("b").endings() == ["ABANDON"]  # as of a consult on one node


@pytest.mark.thorough
async def test_no_answer(scene: NodesScene) -> None:
    transfer = await ring(scene)

    await scene.at("a").ends(transfer, "failed", "no_answer", within=8.5)

    await scene.talking("caller1", "1001")
    await scene.gone("1005")
    await scene.only_legs(0)


@pytest.mark.thorough
async def test_the_target_hangs_up(scene: NodesScene) -> None:
    transfer = await scene.consult("caller1", "1001", "1005")

    await scene.hang_up("1005")

    await scene.at("a").ends(transfer, "failed", "target_hangup")
    await scene.talking("caller1", "1001")
    await scene.only_legs(0)


@pytest.mark.parametrize("phase", ["ringing", "consulting"])
@pytest.mark.thorough
async def test_the_caller_hangs_up(scene: NodesScene, phase: str) -> None:
    if phase == "ringing":
        transfer = await ring(scene)
    else:
        transfer = await scene.consult("caller1", "1001", "1005")

    await scene.hang_up("caller1")

    await scene.at("a").ends(transfer, "abandoned", "caller_hangup")
    await scene.gone("1001", "1005")
    await scene.only_legs(0)


@pytest.mark.thorough
async def test_the_transferor_hangs_up_in_the_consultation(scene: NodesScene) -> None:
    transfer = await scene.consult("caller1", "1001", "1005")

    await scene.hang_up("1001")

    await scene.talking("caller1", "1005")
    await scene.at("a").ends(transfer, "completed", "completed")
    await scene.only_legs(1)


@pytest.mark.parametrize("how", ["complete", pytest.param("hang-up", marks=THOROUGH)])
async def test_it_goes_on_without_the_transferor_while_it_rings(
    scene: NodesScene, how: str
) -> None:
    """The consult leg gives up the target's only place, and the caller takes it."""
    transfer = await ring(scene)

    if how == "complete":
        await scene.at("a").complete(transfer)
    else:
        await scene.hang_up("1001")

    await scene.gone("1001")
    await scene.on_music("caller1")
    await scene.at("b").rung_again("1005")
    await scene.talking("caller1", "1005")
    body = await scene.at("a").reaches(transfer, "completed")
    assert body["ended_reason"] == "completed"
    await scene.only_legs(1)
    await scene.hang_up("1005")
    await scene.gone("caller1")
    await scene.at("b").booked(Erin=1)


async def test_a_target_who_talks_is_waited_for(scene: NodesScene) -> None:
    await scene.phone("caller3").dial("801")
    await scene.phone("1003").answer()
    await scene.sees("a", "1003", state="talking")
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1003")
    await scene.at("a").reaches(transfer, "waiting")
    await scene.at("b").waits("avp-agent-1003", "avp-node-a")
    await scene.sees("a", "1003", waiting_transfer=True)

    await scene.phone("caller2").dial("800")
    await scene.phone("1002").answer()
    await scene.talking("caller2", "1002")
    await scene.at("a").has_call("1002")  # else the refusal would be that they have none
    assert await scene.at("a").refused("1002", "supervised", "agent", "1003") == "target_queue_full"

    await scene.hang_up("caller3")
    await scene.phone("1003").ringing(6.0)
    await scene.at("a").reaches(transfer, "ringing")
    await scene.phone("1003").answer()
    await scene.consulting(transfer, "caller1", "1001", "1003")


@pytest.mark.thorough
async def test_the_maximum_hold_time_is_the_homes(scene: NodesScene) -> None:
    await scene.phone("caller3").dial("801")
    await scene.phone("1003").answer()
    await scene.sees("a", "1003", state="talking")
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1003")

    await scene.at("a").ends(transfer, "failed", "max_hold", within=10.0)

    await scene.talking("caller1", "1001")
    await scene.talking("caller3", "1003")


async def test_a_fourth_party_of_another_node(scene: NodesScene) -> None:
    transfer = await scene.consult("caller1", "1001", "1005")

    answer = await scene.at("a").api("POST", f"/v1/transfers/{transfer}/parties", {"agent": "1003"})
    assert answer.status == 201, answer
    await scene.phone("1003").answer()

    await scene.talking("1001", "1005", "1003")
    await scene.only_legs(2)
    await scene.hang_up("1005")
    await scene.talking("1001", "1003")
    await scene.at("a").complete(transfer)
    await scene.talking("caller1", "1003")
    await scene.only_legs(1)


@pytest.mark.thorough
async def test_a_fourth_party_who_rejects(scene: NodesScene) -> None:
    transfer = await scene.consult("caller1", "1001", "1005")
    await scene.at("a").api("POST", f"/v1/transfers/{transfer}/parties", {"agent": "1003"})
    await scene.phone("1003").ringing()

    await scene.phone("1003").reject()

    await scene.at("a").parties(transfer, "1001", "caller", "1005")
    await scene.talking("1001", "1005")
    await scene.only_legs(1)


@pytest.mark.thorough
async def test_the_trunk_is_cut_in_the_consultation(scene: NodesScene) -> None:
    """The transferor has the caller back, and the target's phone is free again."""
    transfer = await scene.consult("caller1", "1001", "1005")

    scene.nodes.cut("a", "b")

    await scene.at("a").ends(transfer, "failed", "target_hangup", within=8.0)
    await scene.talking("caller1", "1001")
    await scene.gone("1005", within=8.0)
    scene.nodes.mend()
    await scene.nodes.trunks_up()


@pytest.mark.thorough  # on a slow machine or line, the trunk counts as cut before it is mended
@pytest.mark.parametrize("mode", ["supervised", "unsupervised"])
async def test_a_question_over_the_trunk_was_lost(scene: NodesScene, mode: str) -> None:
    """Asterisk starts no call without a contact; the next question, a second later, is answered."""
    await scene.call("caller1", "1001")
    scene.nodes.cut("a", "b")

    async def lost() -> bool | None:
        contacts = await scene.nodes.a.ami.command("pjsip show contacts")
        return any("avp-node-b" in x and "Unavail" in x for x in contacts.splitlines()) or None

    try:
        assert await scene.nodes.a.ami.until(lost, 5.0)
        await scene.transfer("1001", mode, "1005")
    finally:
        scene.nodes.mend()
    await scene.phone("1005").answer()
    await scene.talking("1005", "caller1" if mode == "unsupervised" else "1001")


async def test_the_trunk_is_cut_after_completing(scene: NodesScene) -> None:
    """The caller is not hung up, but waits at the head of the group: Bob answers."""
    transfer = await scene.consult("caller1", "1001", "1005")
    await scene.at("a").complete(transfer)
    await scene.talking("caller1", "1005")
    await scene.at("a").pause("1001")

    scene.nodes.cut("a", "b")

    await scene.phone("1002").answer(within=8.0)
    await scene.talking("caller1", "1002")
    await scene.gone("1005", within=8.0)
    scene.nodes.mend()
    await scene.nodes.trunks_up()


@pytest.mark.thorough
@pytest.mark.parametrize("deaf", ["a", "b"])
async def test_the_trunk_is_cut_in_one_direction(scene: NodesScene, deaf: str) -> None:
    """The node that still hears the other one is told by it that the call is over: because of the
    line, not because anybody has hung up."""
    transfer = await scene.consult("caller1", "1001", "1005")
    await scene.at("a").complete(transfer)
    await scene.talking("caller1", "1005")
    await scene.at("a").pause("1001")

    scene.nodes.cut_one_way(deaf, "b" if deaf == "a" else "a")

    await scene.phone("1002").answer(within=8.0)
    await scene.talking("caller1", "1002")
    await scene.gone("1005", within=8.0)
    scene.nodes.mend()
    await scene.nodes.trunks_up()


@pytest.mark.thorough
async def test_the_trunk_is_cut_while_no_daemon_runs(scene: NodesScene) -> None:
    transfer = await scene.consult("caller1", "1001", "1005")
    await scene.at("a").complete(transfer)
    await scene.talking("caller1", "1005")
    await scene.at("a").pause("1001")
    for node in scene.nodes:
        await node.stop_daemon()

    scene.nodes.cut("a", "b")

    await scene.phone("1002").answer(within=8.0)
    await scene.talking("caller1", "1002")
    scene.nodes.mend()
    await scene.nodes.trunks_up()
    await scene.nodes.start_daemons()


@pytest.mark.thorough
async def test_the_phone_of_the_target_dies_after_completing(scene: NodesScene) -> None:
    """As on one node: the caller goes to the head of the group, on the node where they are."""
    transfer = await scene.consult("caller1", "1001", "1005")
    await scene.at("a").complete(transfer)
    await scene.talking("caller1", "1005")
    await scene.at("a").pause("1001")

    await scene.at("b").die("1005")

    await scene.phone("1002").answer(within=9.0)
    await scene.talking("caller1", "1002")


async def test_nobody_is_reached_who_is_not_here(scene: NodesScene) -> None:
    """An id that nobody has, and one that is not clean, are refused without an answer."""
    for extension, causes in (("agent-1999", {"1"}), ("agent-1001", {"1", "19"}), ("1005", {"1"})):
        since = time.time()
        await scene.at("a").ami.action(
            "Originate",
            Channel=f"PJSIP/{extension}@avp-node-b",
            Application="Wait",
            Data="1",
            Async="true",
        )
        event = await scene.at("a").ami.wait(
            lambda e: e.name == "Hangup" and "avp-node-b" in e["Channel"], 6.0, since
        )
        assert event["Cause"] in causes, (extension, event["Cause"])


@pytest.mark.parametrize("phase", [pytest.param("waiting", marks=THOROUGH), "ringing"])
async def test_the_node_is_lost_before_the_target_answers(scene: NodesScene, phase: str) -> None:
    """The transferor has the caller back as soon as the daemon knows it, and may ask again."""
    if phase == "ringing":
        transfer = await ring(scene)
    else:
        await scene.phone("caller3").dial("801")
        await scene.phone("1003").answer()
        await scene.sees("a", "1003", state="talking")
        await scene.call("caller1", "1001")
        transfer = await scene.transfer("1001", "supervised", "1003")
        await scene.at("b").waits("avp-agent-1003", "avp-node-a")

    scene.nodes.cut_node("b")

    await scene.at("a").ends(transfer, "failed", "target_unreachable", within=6.0)
    await scene.talking("caller1", "1001")
    target = "1005" if phase == "ringing" else "1003"
    assert await scene.at("a").refused("1001", "supervised", "agent", target) == "target_offline"
    scene.nodes.mend()
    await scene.nodes.trunks_up()


async def test_headers_that_are_not_clean_are_nothing(scene: NodesScene) -> None:
    """Another node's text is not evaluated, and not told; the call is refused or waits as any."""
    since = time.time()
    await scene.at("a").ami.action(
        "Originate", Channel="Local/s@evil", Application="Wait", Data="1", Async="true"
    )

    event = await scene.at("b").ami.wait(match("UserEvent", UserEvent="AVPNodeIn"), 5.0, since)

    told = {name: event[name] for name in ("Transfer", "Call", "Group", "Leg", "Transferor")}
    assert told == dict.fromkeys(told, "")
    await scene.phone("1005").ringing()  # for the hold time of a call that says none
    await scene.phone("1005").reject()


async def test_the_hold_key_of_a_phone_of_another_node(scene: NodesScene) -> None:
    """Its own node would play music into the trunk, and so to all who talk."""
    transfer = await scene.consult("caller1", "1001", "1003")
    await scene.of("caller1").act(transfer, "conference")
    await scene.talking("caller1", "1001", "1003")

    await scene.phone("1003").hold()
    await scene.talking("caller1", "1001")
    await scene.phone("1001").hold()  # only the caller is left
    await scene.on_music("caller1")

    await scene.phone("1003").resume()
    await scene.talking("caller1", "1003")
    await scene.phone("1001").resume()
    await scene.talking("caller1", "1001", "1003")
    await scene.hang_up("1001")
    await scene.talking("caller1", "1003")
    await scene.phone("1003").hold()
    await scene.on_music("caller1")
    await scene.phone("1003").resume()
    await scene.talking("caller1", "1003")
