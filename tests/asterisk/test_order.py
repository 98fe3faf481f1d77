"""Who is next, and what travels with a call: after-call work, order, AVP_… of the dialplan.

Sales has an ACW of 10 s. Of its members, Bob also serves vip, a queue with weight 50.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed import Agent, Bed, Group, World, match

from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

ACW = 10
# app_queue counts ACW in whole seconds of the clock.
ACW_AT_LEAST = ACW - 1

# Digits that a caller dials before the group's number: a choice of the inbound dialplan.
INBOUND = """
[callers](+)
exten => _4X.,1,Set(AVP_GROUP=vip)
 same => n,Goto(${EXTEN:1},1)
exten => _5X.,1,Set(__QUEUE_MIN_PENALTY=5)
 same => n,Goto(${EXTEN:1},1)
exten => _6X.,1,Set(AVP_MAX_HOLD=60)
 same => n,Goto(${EXTEN:1},1)
exten => _7X.,1,Set(AVP_AFTER=survey,s,1)
 same => n,Goto(${EXTEN:1},1)
exten => _9X.,1,Set(QUEUE_PRIO=9)
 same => n,Goto(${EXTEN:1},1)

[survey]
exten => s,1,UserEvent(Survey,Caller: ${CALLERID(num)})
 same => n,Playback(vm-goodbye)
 same => n,Hangup()
"""


def world() -> World:
    names = ("Alice", "Bob", "Carol", "Dave", "Erin")
    # With fewer members than this, a queue ignores penalties: theirs are all 0.
    lenient = {"penaltymemberslimit": "10"}
    return World(
        agents=tuple(Agent(str(1001 + i), name) for i, name in enumerate(names)),
        groups=(
            Group("sales", ("1001", "1002", "1003"), "800", strategy="linear", wrapuptime=ACW),
            Group("support", ("1004", "1005"), "801", strategy="linear", options=lenient),
            Group("vip", ("1002",), "802", weight=50),
        ),
        callers=tuple(f"caller{i}" for i in range(1, 6)),
        extensions=INBOUND,
        settings={
            "AVP_SESSION__RING_SECONDS": "4",
            # Distinguishes calls of vip from those of the group that shares the queue.
            "AVP_GROUPS__VIP__CONFERENCE": "false",
            "AVP_GROUPS__VIP__TOLL_SERVICE": "false",
        },
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    async with Bed(world()) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    async with open_scene(centre) as opened:
        yield opened


async def handed_on(scene: Scene, mode: str, caller: str, agent: str, target: str) -> str:
    """The agent transfers their call to the target, who answers. Returns the transfer."""
    transfer = await scene.transfer(agent, mode, target)
    await scene.phone(target).answer()
    if mode == "supervised":
        await scene.consulting(transfer, caller, agent, target)
        await scene.complete(transfer)
    await scene.talking(caller, target)
    await scene.ends(transfer, "completed", "completed")
    await scene.gone(agent)
    return transfer


async def completed_at(scene: Scene, name: str) -> float:
    """When app_queue closed the agent's first call since the test began, by Asterisk's clock."""
    event = await scene.ami.wait(match("AgentComplete", MemberName=name), 3, scene.since)
    return float(event["Timestamp"])  # it may arrive later than the phone's ringing does


# --- after-call work -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", [pytest.param("supervised", marks=pytest.mark.thorough), "unsupervised"]
)
@pytest.mark.thorough
async def test_acw_after_a_transferred_call(scene: Scene, mode: str) -> None:
    """The group rings neither the transferor nor the target before its end."""
    await scene.call("caller1", "1001")
    await handed_on(scene, mode, "caller1", "1001", "1002")
    await scene.hang_up("caller1")
    await scene.gone("1002")
    alice, bob = await completed_at(scene, "Alice"), await completed_at(scene, "Bob")
    await scene.agent_is("1001", "acw")
    await scene.agent_is("1002", "acw")
    # Another member is free, and gets the next call although both precede her in the queue.
    await scene.call("caller2", "1003")
    await scene.phone("caller3").dial("800")
    await scene.waits("sales", "caller3")
    await scene.phone("caller4").dial("800")
    first = await scene.phone("1001").answer(within=ACW + 4)
    assert first.began - alice >= ACW_AT_LEAST
    second = await scene.phone("1002").answer(within=ACW + 4)
    assert second.began - bob >= ACW_AT_LEAST
    # Who gets whom depends on when app_queue checks again: both may be free by then.
    await scene.ami.mark()
    (*before, alices), (*asked, bobs) = scene.offers("1001"), scene.offers("1002")
    assert {alices, bobs} == {"caller3", "caller4"}
    await scene.talking(alices, "1001")
    await scene.talking(bobs, "1002")
    assert before == ["caller1"]
    assert asked == ["consult" if mode == "supervised" else "caller1"]
    assert scene.offers("1003") == ["caller2"]
    await scene.booked(Alice=1, Bob=1)


@pytest.mark.slow
async def test_transferred_call_is_next(scene: Scene) -> None:
    """Before three who waited longer with a higher priority, one of them in a heavier queue.

    It waits longer than the setting allows: the call's AVP_MAX_HOLD applies.
    """
    await scene.pause("1003")
    await scene.call("caller1", "1001", number="6800")
    await scene.call("caller5", "1002")
    await scene.phone("caller4").dial("9802")
    await scene.waits("vip", "caller4")
    await scene.phone("caller2").dial("9800")
    await scene.waits("sales", "caller2")
    await scene.phone("caller3").dial("9800")
    await scene.waits("sales", "caller2", "caller3")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.gone("1001", within=1)
    await scene.waits("avp-agent-1002", "caller1")
    await scene.hang_up("caller5")
    free = await completed_at(scene, "Bob")
    rung = await scene.phone("1002").ringing(within=ACW + 4)
    assert rung.began - free >= ACW_AT_LEAST
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await scene.ami.mark()
    assert scene.offers("1002") == ["caller5", "caller1"]
    await scene.ends(transfer, "completed", "completed")

    # Alice, who became free slightly earlier, serves the group in the group's order.
    async def offered() -> list[str] | None:
        offers = scene.offers("1001")
        return offers if len(offers) > 1 else None

    offers = await scene.ami.until(offered, 3.0)  # app_queue tries once a second
    assert offers is not None
    assert offers[:2] == ["caller1", "caller2"]


# --- what the inbound dialplan said ----------------------------------------------------------


async def shown_as(scene: Scene, agent: str, group: str) -> None:
    """The agent's call is shown as the group's, and offers what the group may do."""

    async def look() -> bool | None:
        call = (await scene.agent(agent))["call"]
        return (call is not None and call["group"] == group) or None

    assert await scene.ami.until(look, 2.0), await scene.agent(agent)
    targets = (await scene.api("GET", f"/v1/agents/{agent}/targets")).body
    assert ("conference" in targets["permissions"]) == (group != "vip")
    premium = {"agent": agent, "number": "900-234-5678"}
    checked = (await scene.api("POST", "/v1/numbers/check", premium)).body
    assert (checked["reason"] == "toll_not_enabled") == (group == "vip"), checked


@pytest.mark.thorough
async def test_the_picture_agrees_with_the_decision(scene: Scene) -> None:
    await scene.call("caller1", "1004", number="4801")
    await shown_as(scene, "1004", "vip")
    target = {"mode": "supervised", "target": {"kind": "number", "number": "900-234-5678"}}
    answer = await scene.api("POST", "/v1/agents/1004/transfers", target)
    assert (answer.status, answer.body["reason"]) == (403, "toll_not_enabled")


@pytest.mark.thorough
async def test_a_group_that_takes_the_call_over(scene: Scene) -> None:
    await scene.call("caller1", "1004", number="4801")
    await shown_as(scene, "1004", "vip")
    await scene.transfer("1004", "unsupervised", "sales", "group")
    await scene.phone("1001").answer()
    await scene.talking("caller1", "1001")
    await shown_as(scene, "1001", "sales")


@pytest.mark.thorough
async def test_the_group_after_a_restart(scene: Scene, centre: Bed) -> None:
    """Correct from the moment at which the daemon reports that it is ready."""
    await scene.call("caller1", "1004", number="4801")
    await scene.call("caller2", "1005", number="801")
    await centre.stop_daemon()
    await centre.start_daemon()
    for agent, group in (("1004", "vip"), ("1005", "support")):
        assert (await scene.agent(agent))["call"]["group"] == group
        await shown_as(scene, agent, group)


@pytest.mark.thorough
async def test_group_travels(scene: Scene) -> None:
    """AVP_GROUP of the inbound dialplan decides, also after a transfer."""
    await scene.call("caller1", "1004", number="4801")
    first = await handed_on(scene, "unsupervised", "caller1", "1004", "1005")
    await shown_as(scene, "1005", "vip")
    second = await scene.transfer("1005", "supervised", "1004")
    await scene.phone("1004").answer(within=6)
    await scene.consulting(second, "caller1", "1005", "1004")
    for transfer in (first, second):
        body = (await scene.api("GET", f"/v1/transfers/{transfer}")).body
        assert body["group"] == "vip"
    await shown_as(scene, "1005", "vip")
    await scene.complete(second)
    await scene.talking("caller1", "1004")
    await shown_as(scene, "1004", "vip")
    assert await scene.variable("caller1", "AVP_GROUP") == "vip"


@pytest.mark.parametrize(
    "mode", ["supervised", pytest.param("unsupervised", marks=pytest.mark.thorough)]
)
async def test_caller_goes_on_after_the_call(scene: Scene, mode: str) -> None:
    await scene.call("caller1", "1004", number="7801")
    await handed_on(scene, mode, "caller1", "1004", "1005")
    await scene.hang_up("1005")
    await _surveyed(scene)
    await scene.booked(Dave=1, Erin=1)


@pytest.mark.thorough
async def test_caller_goes_on_after_a_cancelled_transfer(scene: Scene) -> None:
    await scene.call("caller1", "1004", number="7801")
    transfer = await scene.transfer("1004", "supervised", "1005")
    await scene.phone("1005").answer()
    await scene.consulting(transfer, "caller1", "1004", "1005")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1004")
    await scene.hang_up("1004")
    await _surveyed(scene)


@pytest.mark.thorough
async def test_caller_goes_on_after_a_group_took_the_call(scene: Scene) -> None:
    await scene.call("caller1", "1004", number="7801")
    await scene.transfer("1004", "unsupervised", "vip", "group")
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await scene.hang_up("1002")
    await _surveyed(scene)


async def _surveyed(scene: Scene) -> None:
    survey = match("UserEvent", UserEvent="Survey", Caller="caller1")
    event = await scene.ami.wait(survey, 3, scene.since)
    await scene.phone("caller1").has_heard("speech", event.at, least=0.2)
    await scene.gone("caller1", within=6)
    assert len(scene.ami.seen(survey, scene.since)) == 1


@pytest.mark.thorough
async def test_no_survey_when_the_caller_hangs_up(scene: Scene) -> None:
    await scene.call("caller1", "1004", number="7801")
    await handed_on(scene, "supervised", "caller1", "1004", "1005")
    await scene.hang_up("caller1")
    await scene.gone("1005")
    await scene.booked(Dave=1, Erin=1)
    await scene.ami.mark()
    assert scene.ami.seen(match("UserEvent", UserEvent="Survey"), scene.since) == []


@pytest.mark.parametrize(
    "mode", [pytest.param("supervised", marks=pytest.mark.thorough), "unsupervised"]
)
async def test_penalties_do_not_shut_the_personal_queue(scene: Scene, mode: str) -> None:
    """Limits that are meant for the group's queue, on every channel of the call."""
    await scene.call("caller1", "1004", number="5801")
    await handed_on(scene, mode, "caller1", "1004", "1005")
    await scene.hang_up("1005")
    await scene.gone("caller1")
    await scene.booked(Dave=1, Erin=1)
