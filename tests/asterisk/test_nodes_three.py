"""Three nodes: transfers among them, groups that span them, and the one place of a busy agent.

Alice and Bob are on node a, Carol, Dave and Erin on b, Frank and Grace on c. `sales` has Alice,
Bob, Erin and Frank.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import requests
from bed import PhoneError
from bed.nodes import Nodes

from asterisk_avp.core.messages.between import SlotRequest
from tests.asterisk.nodes_scene import NodesScene, open_nodes
from tests.asterisk.nodes_slot_race import KEEPS_BUSY, PAIRS, QUEUE, TARGET, Race, plans
from tests.asterisk.test_reports import table

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

SETTINGS = {
    "AVP_SESSION__RING_SECONDS": "3",
    "AVP_ENTERPRISE__EMPTY_GROUP_SECONDS": "1",
    "AVP_CLUSTER__LOST_SECONDS": "4",  # this process, which passes the lines on, may stand still
    "AVP_GROUPS__BLEND__MAX_HOLD_ACTION": "group",
    "AVP_GROUPS__SALES__MAX_HOLD_ACTION": "return",
}
PRIVATE = """
[private]
member => PJSIP/1004
"""
"""A queue of no group."""
HOMES = {"1001": "a", "1002": "a", "1003": "b", "1004": "b", "1005": "b", "1006": "c", "1007": "c"}
SALES = ("1002", "1005", "1006")
"""Those of sales whom Alice may transfer to."""
BUSY = {"1002": "caller2", "1005": "caller4", "1006": "caller5"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def three() -> AsyncIterator[Nodes]:
    async with Nodes(
        "abc",
        settings=SETTINGS,
        max_hold_seconds=40,
        wrapuptime=1,
        members="dynamic",
        queues=PRIVATE,
    ) as nodes:
        yield nodes


@pytest_asyncio.fixture(loop_scope="session")
async def scene(three: Nodes) -> AsyncIterator[NodesScene]:
    async with open_nodes(three) as opened:
        for agent in HOMES:
            for node in "abc":
                await opened.sees(node, agent, state="available", waiting_transfer=False)
        yield opened


async def only_legs(scene: NodesScene, count: int) -> None:
    """Node a, where the caller is, has this many channels to other nodes; they have none."""

    async def look() -> bool | None:
        found = [await scene.legs("a", other) for other in "bc"]
        between = [await scene.legs("b", "c"), await scene.legs("c", "b")]
        return (sum(found) == count and not any(between)) or None

    assert await scene.at("a").ami.until(look, 4.0), await scene.at("a").ami.channels()


async def all_busy(scene: NodesScene, *agents: str) -> None:
    """These agents of sales talk to callers of their own nodes."""
    for agent in agents:
        await scene.phone(BUSY[agent]).dial("800")
        await scene.phone(agent).answer(within=8.0)
        await scene.talking(BUSY[agent], agent)


async def out(scene: NodesScene, agent: str) -> None:
    await scene.of(agent).log_out(agent)
    await scene.sees("a", agent, state="offline")


async def to_sales(scene: NodesScene) -> str:
    """Caller 1 talks to Alice, who transfers the call to the group, where all are busy or away."""
    transfer = await scene.transfer("1001", "unsupervised", "sales", kind="group")
    await scene.gone("1001")
    await scene.on_music("caller1")
    await scene.at("a").reaches(transfer, "waiting")
    return transfer


async def first_gets(scene: NodesScene, agent: str, transfer: str, within: float = 5.0) -> None:
    """This agent is rung, and nobody else, and gets the caller."""
    await scene.phone(agent).ringing(within)
    others = [x for x in ("1001", *SALES) if x != agent]
    assert not [x for x in others if any(c.state == "incoming" for c in scene.phone(x).live)]
    await scene.phone(agent).answer()
    await scene.talking("caller1", agent)
    await scene.at("a").ends(transfer, "completed", "completed")


# --- transfers among three nodes -----------------------------------------------------------------


async def test_a_chain_round_the_nodes_keeps_one_leg(scene: NodesScene) -> None:
    await scene.call("caller1", "1001", "blend")
    for agent, target, legs in (("1001", "1003", 1), ("1003", "1006", 1), ("1006", "1002", 0)):
        await scene.of(agent).has_call(agent, on_hold=False, consult=None)
        transfer = await scene.transfer(agent, "supervised", target)
        await scene.phone(target).answer()
        await scene.of(agent).reaches(transfer, "consulting")
        await scene.talking(agent, target)
        await scene.of(agent).complete(transfer)
        await scene.talking("caller1", target)
        await scene.gone(agent)
        await only_legs(scene, legs)


@pytest.mark.thorough
async def test_unsupervised_round_the_nodes(scene: NodesScene) -> None:
    await scene.call("caller1", "1001", "blend")
    for agent, target, legs in (("1001", "1007", 1), ("1007", "1004", 1), ("1004", "1001", 0)):
        await scene.of(agent).has_call(agent, on_hold=False, consult=None)
        transfer = await scene.transfer(agent, "unsupervised", target)
        await scene.phone(target).answer(within=8.0)
        await scene.talking("caller1", target)
        await scene.of(agent).ends(transfer, "completed", "completed")
        await only_legs(scene, legs)


# --- groups --------------------------------------------------------------------------------------


async def test_whoever_is_free_first_anywhere_gets_the_caller(scene: NodesScene) -> None:
    await scene.call("caller1", "1001")
    await all_busy(scene, *SALES)
    transfer = await to_sales(scene)

    await scene.hang_up(BUSY["1006"])

    await first_gets(scene, "1006", transfer)
    await only_legs(scene, 1)
    # The anchor knows who has the call: Frank hands it on.
    await scene.at("c").has_call("1006", caller="caller1", consult=None)
    onward = await scene.transfer("1006", "supervised", "1001")
    await scene.phone("1001").answer()
    await scene.at("c").reaches(onward, "consulting")
    await scene.at("c").complete(onward)
    await scene.talking("caller1", "1001")
    await only_legs(scene, 0)


async def test_who_logs_in_on_a_further_node_is_offered_the_call(scene: NodesScene) -> None:
    await out(scene, "1006")
    await scene.call("caller1", "1001")
    await all_busy(scene, "1002", "1005")
    transfer = await to_sales(scene)

    await scene.at("c").log_in("1006")

    await first_gets(scene, "1006", transfer, within=2.0)


@pytest.mark.thorough
async def test_who_comes_back_from_a_break_here_is_offered_the_call(scene: NodesScene) -> None:
    await out(scene, "1006")
    await scene.at("a").pause("1002")
    await scene.call("caller1", "1001")
    await all_busy(scene, "1005")
    transfer = await to_sales(scene)

    await scene.at("a").pause("1002", paused=False)

    await first_gets(scene, "1002", transfer, within=2.0)


async def test_the_transferor_is_not_offered_their_own_call(scene: NodesScene) -> None:
    """Nobody else of the group is logged in on their node, but somebody is on another."""
    await out(scene, "1002")
    await out(scene, "1006")
    await scene.call("caller1", "1001")
    await all_busy(scene, "1005")
    transfer = await to_sales(scene)
    await scene.at("a").agent_is("1001", "available", within=6.0)
    with pytest.raises(PhoneError):
        await scene.phone("1001").ringing(1.0)
    await scene.hang_up(BUSY["1005"])
    await first_gets(scene, "1005", transfer)


async def test_a_group_that_empties_everywhere(scene: NodesScene) -> None:
    await scene.call("caller1", "1001", "blend")
    await scene.phone("caller3").dial("801")  # the first of support's two
    await scene.phone("1003").answer()
    await scene.at("b").pause("1004")
    await scene.at("c").pause("1007")
    await scene.sees("a", "1007", paused=True)
    await scene.sees("a", "1003", state="talking")
    transfer = await scene.transfer("1001", "unsupervised", "support", kind="group")
    await scene.at("a").reaches(transfer, "waiting")

    await scene.at("b").pause("1003")

    await scene.at("a").ends(transfer, "failed", "target_not_ready")
    # At the head of the call's group: whoever of it is free.
    ringing = {x: asyncio.create_task(scene.phone(x).ringing(8.0)) for x in ("1001", "1002")}
    await asyncio.wait(ringing.values(), return_when=asyncio.FIRST_COMPLETED)
    (name, *_) = (x for x, ring in ringing.items() if ring.done())
    for ring in ringing.values():
        ring.cancel()
    await scene.phone(name).answer()
    await scene.talking("caller1", name)


@pytest.mark.thorough
async def test_the_button_to_a_third_node(scene: NodesScene) -> None:
    """Nobody can dial an agent of another node, so there is no call to connect: the caller is
    still there. The button alone sends them on.
    """
    await scene.call("caller1", "1001", "blend")
    await scene.transfer("1001", "unsupervised", "1003")
    await scene.phone("1003").answer()
    await scene.talking("caller1", "1003")
    phone = scene.phone("1003")
    first = phone.call
    await phone.hold(first)
    await phone.closed(await phone.dial("1006"))
    await phone.resume(first)
    await scene.talking("caller1", "1003")

    await phone.transfer("1006")

    await scene.phone("1006").answer(within=8.0)
    await scene.talking("caller1", "1006")
    await scene.gone("1003")
    await only_legs(scene, 1)


# --- back to a transferor of another node ---------------------------------------------------------


async def returning(scene: NodesScene) -> str:
    """Erin, of node b, has sent a call of sales to Frank on c, who takes a break before he answers:
    the call is on its way back to her. The transfer's id.
    """
    await erin_has(scene)
    transfer = await scene.transfer("1005", "unsupervised", "1006")
    await scene.gone("1005")
    await scene.phone("1006").ringing()
    return transfer


async def erin_has(scene: NodesScene) -> None:
    await scene.call("caller1", "1001")
    await scene.transfer("1001", "unsupervised", "1005")
    await scene.phone("1005").answer()
    await scene.talking("caller1", "1005")
    await scene.at("b").has_call("1005", on_hold=False, consult=None)
    await scene.sees("a", "1001", state="available", within=8.0)


async def frank_leaves(scene: NodesScene, transfer: str) -> None:
    await scene.at("c").pause("1006")
    await scene.at("a").ends(transfer, "failed", "target_not_ready")


async def back_in_the_group(scene: NodesScene, within: float, *, alone: bool = True) -> None:
    """Caller 1 is at the head of sales on node a: Alice is rung first, and answers.

    ``alone``: there is no other call between nodes.
    """
    await scene.phone("1001").answer(within=within)
    await scene.talking("caller1", "1001")
    if alone:
        await only_legs(scene, 0)


async def outcome(scene: NodesScene, transfer: str, wanted: str) -> None:
    async def look() -> bool | None:
        found = (await scene.at("a").api("GET", f"/v1/transfers/{transfer}")).body
        return found.get("caller_outcome") == wanted or None

    assert await scene.at("a").ami.until(look, 5.0), await scene.at("a").api(
        "GET", f"/v1/transfers/{transfer}"
    )


async def test_the_transferors_node_is_lost_while_the_call_returns(scene: NodesScene) -> None:
    """Long before the maximum hold time is over, the caller is at the head of the group."""
    transfer = await returning(scene)
    await frank_leaves(scene, transfer)
    await scene.phone("1005").ringing()
    await scene.on_music("caller1")

    scene.nodes.cut("a", "b")

    await back_in_the_group(scene, within=10.0)
    await outcome(scene, transfer, "group")
    await scene.gone("1005", within=8.0)
    scene.nodes.mend()
    await scene.nodes.trunks_up()


@pytest.mark.thorough
async def test_the_node_is_lost_of_a_transferor_who_is_busy(scene: NodesScene) -> None:
    transfer = await returning(scene)
    await scene.phone("caller3").dial("800")  # Erin is the only one of sales on b
    await scene.phone("1005").answer(within=8.0)
    await scene.talking("caller3", "1005")
    await frank_leaves(scene, transfer)
    await scene.at("b").waits("avp-agent-1005", "avp-node-a")
    await scene.on_music("caller1")

    scene.nodes.cut("a", "b")

    await back_in_the_group(scene, within=10.0)
    await scene.talking("caller3", "1005")
    await scene.at("b").waits("avp-agent-1005")
    scene.nodes.mend()
    await scene.nodes.trunks_up()


@pytest.mark.thorough
@pytest.mark.parametrize("lost", ["before", "at once"])
async def test_target_and_transferor_are_on_the_node_that_is_lost(
    scene: NodesScene, lost: str
) -> None:
    """`return` leads nowhere. ``before``: the node is lost when the target leaves already."""
    if lost == "before":
        transfer = await returning(scene)
        scene.nodes.cut("a", "b")
        await scene.sees("a", "1005", state="offline", within=10.0)
        await frank_leaves(scene, transfer)
    else:
        await erin_has(scene)
        transfer = await scene.transfer("1005", "unsupervised", "1003")
        await scene.phone("1003").ringing()
        scene.nodes.cut("a", "b")
    await back_in_the_group(scene, within=10.0)
    await outcome(scene, transfer, "group")
    scene.nodes.mend()
    await scene.nodes.trunks_up()


@pytest.mark.thorough
async def test_the_call_returns_to_a_transferor_who_is_busy(scene: NodesScene) -> None:
    """It is their next call."""
    transfer = await returning(scene)
    await scene.phone("caller3").dial("800")
    await scene.phone("1005").answer(within=8.0)
    await scene.talking("caller3", "1005")
    await frank_leaves(scene, transfer)
    await scene.at("b").waits("avp-agent-1005", "avp-node-a")
    await scene.on_music("caller1")

    await scene.hang_up("caller3")

    await scene.phone("1005").answer(within=8.0)
    await scene.talking("caller1", "1005")
    await outcome(scene, transfer, "returned")


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["break", "logged out", "a call waits"])
async def test_the_transferor_cannot_have_the_call_that_returns(
    scene: NodesScene, how: str
) -> None:
    """At once to the head of the group, as on one node."""
    transfer = await returning(scene)
    if how == "a call waits":
        await scene.phone("caller3").dial("800")
        await scene.phone("1005").answer(within=8.0)
        await scene.call("caller5", "1007", "blend")
        await scene.transfer("1007", "unsupervised", "1005")
        await scene.at("b").waits("avp-agent-1005", "avp-node-c")
    elif how == "break":
        await scene.at("b").pause("1005")
    else:
        await scene.at("b").log_out("1005")
        await scene.sees("a", "1005", state="offline")
    await frank_leaves(scene, transfer)
    await back_in_the_group(scene, within=6.0, alone=how != "a call waits")
    await outcome(scene, transfer, "group")


@pytest.mark.thorough
async def test_the_transferor_rejects_the_call_that_returns(scene: NodesScene) -> None:
    """Their phone rings again: nobody else has the call until the maximum hold time is over."""
    transfer = await returning(scene)
    await frank_leaves(scene, transfer)
    await scene.phone("1005").ringing()
    await scene.phone("1005").reject()
    await scene.phone("1005").answer(within=10.0)
    await scene.talking("caller1", "1005")
    await outcome(scene, transfer, "returned")


# --- the books -----------------------------------------------------------------------------------


async def free_again(scene: NodesScene) -> None:
    for agent in HOMES:
        for node in "abc":
            await scene.sees(node, agent, state="available", within=8.0)


async def test_the_books_of_a_group(scene: NodesScene) -> None:
    """Two calls to sales, transferred to sales: each counts twice, whatever rang on which node."""
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "sales", kind="group")
    await scene.phone("1006").answer()
    await scene.talking("caller1", "1006")
    await scene.at("a").ends(transfer, "completed", "completed")
    await scene.hang_up("caller1")
    await free_again(scene)
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "sales", kind="group")
    for agent in SALES:
        await scene.phone(agent).ringing()
    await scene.hang_up("caller1")
    await scene.at("a").ends(transfer, "abandoned", "caller_hangup")
    await free_again(scene)
    await scene.call("caller1", "1001")
    await scene.transfer("1001", "unsupervised", "1005")
    await scene.phone("1005").answer()
    await scene.talking("caller1", "1005")
    await scene.hang_up("caller1")
    await scene.at("b").booked(Erin=1)

    rows: list[tuple[object, ...]] = []
    for node in "abc":
        log = scene.at(node).bed.queue_log.rows(scene.at(node).books_mark)
        rows += [(x.time, x.call, x.queue, x.agent, x.event, *x.data) for x in log]
    found = table(rows, view=1).execute(
        "SELECT event, agent, transferred, COUNT(*) FROM queue_log_by_group "
        "WHERE queuename = 'sales' AND event IN "
        "('ENTERQUEUE', 'ABANDON', 'EXITWITHTIMEOUT', 'CONNECT', 'COMPLETECALLER')"
        " GROUP BY event, agent, transferred"
    )
    assert {row[:3]: row[3] for row in found} == {
        ("ENTERQUEUE", "NONE", 0): 5,
        ("ENTERQUEUE", "NONE", 1): 1,
        ("ABANDON", "NONE", 0): 1,
        ("CONNECT", "Alice", 0): 3,
        ("CONNECT", "Frank", 0): 1,
        ("CONNECT", "Erin", 1): 1,
        ("COMPLETECALLER", "Frank", 0): 1,
        ("COMPLETECALLER", "Erin", 1): 1,
    }, rows
    callers = {row[1] for row in rows if (row[3], row[4]) == ("Alice", "CONNECT")}
    talked = table(rows, view=1).execute(
        "SELECT callid FROM queue_log_by_group WHERE event = 'CONNECT'"
    )
    assert {row[0] for row in talked} == callers  # one id for a call, whoever had it


async def test_a_queue_of_no_group_is_closed_to_other_nodes(scene: NodesScene) -> None:
    """Also while the daemon of its node is away, which knows the groups."""
    await scene.nodes.b.stop_daemon(kill=True)
    ami = scene.at("a").ami
    for queue in ("private", "sales"):
        since = time.time()
        channel = f"PJSIP/group-{queue}@avp-node-b"
        told = {"Application": "Wait", "Data": "1", "Timeout": "2000", "Async": "true"}
        await ami.action("Originate", Channel=channel, **told)
        ended = await ami.wait(
            lambda e: e.name == "Hangup" and "avp-node-b" in e["Channel"], 6.0, since
        )
        assert (ended["Cause"] == "1") is (queue == "private"), (queue, ended)
    await scene.nodes.b.start_daemon()


# --- the states shown ----------------------------------------------------------------------------


async def test_each_ring_is_shown_and_each_end_of_one(scene: NodesScene) -> None:
    """As on one node: ringing, then waiting again, then ringing."""
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1005")
    for _ in range(2):
        await scene.at("a").reaches(transfer, "ringing")
        await scene.at("a").reaches(transfer, "waiting", within=6.0)
    await scene.phone("1005").ringing(6.0)
    await scene.at("a").reaches(transfer, "ringing")
    await scene.phone("1005").answer()
    await scene.at("a").ends(transfer, "completed", "completed")


# --- one place -----------------------------------------------------------------------------------


async def test_four_at_once_for_the_one_place(scene: NodesScene) -> None:
    race = Race(scene)
    await race.begin()
    for _, plan in zip(range(3), plans(seed=4), strict=False):
        await race.round(plan)
    assert race.result.refused == 9


@pytest.mark.thorough
async def test_a_reservation_whose_call_does_not_come(scene: NodesScene) -> None:
    """Its place is taken for as long as it may still come, on all nodes, and then it is free."""
    await scene.call("caller5", "1006")
    wanted = SlotRequest("1003", "t-unborn", "a", consult=False, hold_seconds=0)
    headers = {"Authorization": f"Bearer {scene.nodes.tokens['a']}"}
    url, body = f"{scene.nodes.b.url}/v1/cluster/slots", wanted.body()
    answer = await asyncio.to_thread(requests.post, url, json=body, headers=headers, timeout=5)
    assert answer.status_code == 201, answer.text
    for node in "abc":
        await scene.sees(node, "1003", waiting_transfer=True)
    refused = await scene.at("c").refused("1006", "supervised", "agent", "1003")
    assert refused == "target_queue_full"
    for node in "abc":
        await scene.sees(node, "1003", waiting_transfer=False, within=12.0)
    await scene.transfer("1006", "unsupervised", "1003")
    await scene.phone("1003").answer()
    await scene.talking("caller5", "1003")


@pytest.mark.thorough
async def test_the_homes_daemon_starts_again_while_one_waits(scene: NodesScene) -> None:
    """It knows from Asterisk that the place is taken: nobody else gets it, on any node."""
    await scene.call("caller3", "1003", "support")
    await scene.call("caller4", "1005")
    await scene.call("caller5", "1006")
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1003")
    await scene.at("b").waits("avp-agent-1003", "avp-node-a")
    await scene.nodes.b.stop_daemon(kill=True)

    # While it is away, and while it begins: refused, or the queue sends them back.
    starting = asyncio.create_task(scene.nodes.b.start_daemon())
    tries = 0
    while not starting.done() or not tries:
        tries += 1
        await scene.ask("1006", "supervised", "agent", "1003")
        await scene.talking("caller5", "1006")
        await scene.at("b").waits("avp-agent-1003", "avp-node-a")
    await starting

    for node in "ac":
        await scene.sees(node, "1003", waiting_transfer=True, within=10.0)
    for node, agent in (("b", "1005"), ("c", "1006")):

        async def full(node: str = node, agent: str = agent) -> bool | None:
            reason = await scene.at(node).refused(agent, "supervised", "agent", "1003")
            return reason == "target_queue_full" or None

        assert await scene.at(node).ami.until(full, 10.0)
    await scene.at("b").waits("avp-agent-1003", "avp-node-a")
    await scene.hang_up("caller3")
    await scene.phone("1003").answer(within=8.0)
    await scene.talking("caller1", "1003")
    await scene.at("a").ends(transfer, "completed", "completed")


async def none_is_lost(scene: NodesScene) -> None:
    """Each caller waits with music, or talks to somebody, and one at most waits for Carol."""
    await scene.nodes.trunks_up()
    assert len(await scene.at("b").ami.waiting(QUEUE)) <= 1
    for caller in PAIRS.values():
        assert scene.phone(caller).live, caller

        async def heard(caller: str = caller) -> bool | None:
            now = time.time()
            return bool(scene.phone(caller).heard(now - 0.6, now) - {"silence"}) or None

        assert await scene.at("a").ami.until(heard, 8.0), scene.phone(caller).timeline(0)


@pytest.mark.parametrize(
    "how",
    ["unheard", *(pytest.param(x, marks=pytest.mark.thorough) for x in ("killed", "frozen"))],
)
async def test_the_homes_daemon_is_away_when_the_calls_come(scene: NodesScene, how: str) -> None:
    """The queue has the last word: of all who were not refused, one waits at most."""
    race = Race(scene)
    await race.begin()
    # A first transfer leaves the agent in their queue, where no daemon need add them.
    first = await scene.transfer("1006", "supervised", TARGET)
    await scene.at("b").waits(QUEUE, "avp-node-c")
    await scene.at("c").cancel(first)
    await scene.talking("caller5", "1006")
    await scene.at("b").waits(QUEUE)
    for node in "abc":
        await scene.sees(node, TARGET, waiting_transfer=False)
    nodes = scene.nodes
    if how == "unheard":
        nodes.peers["a", "b"].silence()
        nodes.peers["c", "b"].silence()
    elif how == "frozen":
        nodes.b.freeze_daemon()

    away = {"1005"} if how != "unheard" else set()  # whose own daemon it is
    asking = [scene.ask(x, "unsupervised", "agent", TARGET) for x in PAIRS if x not in away]
    if how == "killed":
        asking.append(nodes.b.stop_daemon(kill=True))  # type: ignore[arg-type]
    await asyncio.gather(*asking)

    await none_is_lost(scene)
    nodes.mend()
    nodes.b.thaw_daemon()
    if how == "killed":
        await nodes.b.start_daemon()
    for agent in PAIRS:  # to whom the others return
        for call in [x for x in scene.phone(agent).live if x.state == "incoming"]:
            await scene.phone(agent).hangup(call)
    await none_is_lost(scene)
    await scene.hang_up(*PAIRS.values(), KEEPS_BUSY)
