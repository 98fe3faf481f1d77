"""An agent who has got a call of another node's: the phone's keys, pops, calls that return.

The caller is on node a, the agent is Carol on node b. What is done is what one node does
(test_phone_attended.py, test_phone_button.py, test_pops.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Call
from bed.nodes import Nodes
from bed.world import Group

from tests.asterisk import guard
from tests.asterisk.listening import Message, listening
from tests.asterisk.nodes_scene import NodesScene, open_nodes
from tests.asterisk.sip_trace import sent_to_others
from tests.asterisk.withheld import NAME, SECRET, tells

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]
THOROUGH = pytest.mark.thorough

SETTINGS = {
    "AVP_LOG__FORMAT": "json",
    "AVP_SESSION__RING_SECONDS": "15",
    "AVP_GROUPS__SALES__MAX_HOLD_ACTION": "group",
    "AVP_GROUPS__BLEND__MAX_HOLD_ACTION": "return",
    "AVP_GROUPS__SALES__SHOW_WITHHELD": "true",
    "AVP_GROUPS__SALES__MAX_HOLD_SECONDS": "60",  # for daemons to be started again meanwhile
}
WITHHOLDS = f"""
[caller2](+)
callerid = {NAME} <{SECRET}>
callerid_privacy = prohib
"""
MAX_HOLD = 4
CASE = "4712"
"""The pop of a call to group blend."""
EVERYBODY = ("1001", "1002", "1003", "1004", "1005")
GROUPS = (
    Group("sales", ("1001", "1002", "1003"), number="800", strategy="linear"),
    Group("support", ("1004",), number="801", strategy="linear"),
    Group("blend", EVERYBODY, number="803", strategy="linear"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two() -> AsyncIterator[Nodes]:
    nodes = Nodes("ab", relays=False, settings=SETTINGS, groups=GROUPS, max_hold_seconds=MAX_HOLD)
    # Caller 2 withholds number and name, and node b logs all SIP.
    a, b = nodes.a, nodes.b
    a.world = replace(a.world, pjsip=f"{a.world.pjsip}\n{WITHHOLDS}")
    b.world = replace(b.world, pjsip=f"{b.world.pjsip}\n[global](+)\ndebug = yes\n")
    async with nodes:
        yield nodes


@pytest_asyncio.fixture(loop_scope="session")
async def scene(two: Nodes) -> AsyncIterator[NodesScene]:
    async with open_nodes(two) as opened:
        await opened.all_free()
        yield opened


async def carol_has(scene: NodesScene, group: str = "blend") -> None:
    """Caller 1's call, from Alice."""
    await scene.call("caller1", "1001", group)
    transfer = await scene.transfer("1001", "supervised", "1003")
    await scene.phone("1003").answer()
    await scene.at("a").reaches(transfer, "consulting")
    await scene.at("a").complete(transfer)
    await scene.talking("caller1", "1003")
    await scene.gone("1001")
    await scene.at("b").has_call("1003", on_hold=False, consult=None)


async def second_line(scene: NodesScene, number: str, *, answers: bool = True) -> tuple[Call, Call]:
    """Carol holds the caller and dials a colleague on her phone."""
    phone = scene.phone("1003")
    first = phone.call
    await phone.hold(first)
    second = await phone.dial(number)
    if answers:
        await scene.phone(number).answer()
        await phone.established(second)
        await scene.talking("1003", number)
    else:
        await scene.phone(number).ringing()
    return first, second


async def press(scene: NodesScene, calls: tuple[Call, Call]) -> None:
    await scene.at("b").bed.attended_transfer(scene.phone("1003"), *calls)


async def answered_in_the_group(scene: NodesScene, *agents: str) -> None:
    """Caller 1 is at the head of the group: one of these is rung, and answers."""
    rings = {x: asyncio.create_task(scene.phone(x).ringing(8.0)) for x in agents}
    await asyncio.wait(rings.values(), return_when=asyncio.FIRST_COMPLETED)
    name = next(x for x, ring in rings.items() if ring.done())
    for ring in rings.values():
        ring.cancel()
    await scene.phone(name).answer()
    await scene.talking("caller1", name)


def forwarded(scene: NodesScene, letter: str = "b") -> list[tuple[str, str, str, str]]:
    """What the node's audit has of requests to the anchor, the last one first."""
    found = guard.records(scene.at(letter).bed, "forwarded")
    return [(x["agent"], x["request"], x["decision"], x["reason"]) for x in reversed(found)]


# --- the attended button --------------------------------------------------------------------------


async def test_attended_with_a_colleague_who_talks(scene: NodesScene) -> None:
    """The two are joined at once, with one leg of the trunk and the screen pop."""
    await carol_has(scene)
    calls = await second_line(scene, "1004")
    async with listening(scene.nodes.b, "1004") as dave:
        await press(scene, calls)

        await scene.talking("caller1", "1004")
        await scene.gone("1003")
        await scene.only_legs(1)
        pop = await dave.wait(lambda x: (x["type"], x.get("state")) == ("pop", "delivered"))
        assert pop["pop"]["data"]["case"] == CASE
    assert forwarded(scene)[0] == ("1003", "transfer", "allow", "ok")
    (last,) = await scene.history("1003", 1)
    assert (last["mode"], last["target"]) == ("supervised", {"kind": "agent", "id": "1004"})
    # Dave hands it on, as any call.
    call = await scene.at("b").has_call("1004", on_hold=False, consult=None)
    assert call["caller"] == "caller1"
    await scene.sees("a", "1004", state="talking", waiting_transfer=False)
    transfer = await scene.transfer("1004", "unsupervised", "1002")
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await scene.at("b").ends(transfer, "completed", "completed")
    await scene.only_legs(0)


@THOROUGH
async def test_attended_and_the_caller_hangs_up_later(scene: NodesScene) -> None:
    await carol_has(scene)
    await press(scene, await second_line(scene, "1004"))
    await scene.talking("caller1", "1004")
    await scene.hang_up("caller1")
    await scene.gone("1004", "1003")
    await scene.only_legs(0)


@THOROUGH
async def test_attended_and_the_target_hangs_up_later(scene: NodesScene) -> None:
    await carol_has(scene)
    await press(scene, await second_line(scene, "1004"))
    await scene.talking("caller1", "1004")
    await scene.hang_up("1004")
    await scene.gone("caller1", "1003")
    await scene.only_legs(0)


@THOROUGH
async def test_attended_while_it_rings(scene: NodesScene) -> None:
    """It becomes unsupervised: the phone's own call is dropped, and the caller rings the target."""
    await carol_has(scene)
    calls = await second_line(scene, "1004", answers=False)
    await press(scene, calls)
    await scene.gone("1003")
    await scene.at("b").rung_again("1004")
    await scene.talking("caller1", "1004")
    await scene.only_legs(1)


@pytest.mark.parametrize("answers", [True, pytest.param(False, marks=THOROUGH)])
async def test_attended_is_refused(scene: NodesScene, answers: bool) -> None:
    """The target is on a break. This phone hangs up the caller's call then, as on one node; the
    call that the phone has dialled goes on."""
    await carol_has(scene, "sales")
    calls = await second_line(scene, "1004", answers=answers)
    await scene.at("b").pause("1004")
    await scene.sees("a", "1004", paused=True)
    await press(scene, calls)
    await scene.phone("1003").closed(calls[0])
    assert forwarded(scene)[0] == ("1003", "transfer", "deny", "target_not_ready")
    if not answers:
        await scene.phone("1004").answer()
    await scene.talking("1003", "1004")


# --- the blind button, and the code ---------------------------------------------------------------

KINDS = [
    pytest.param("1002", "1002", id="agent-of-the-anchor"),
    pytest.param("1005", "1005", id="agent-of-the-same-node"),
    pytest.param("801", "1004", id="group"),
]


@THOROUGH
@pytest.mark.parametrize(("typed", "answers"), KINDS)
async def test_the_blind_button(scene: NodesScene, typed: str, answers: str) -> None:
    await carol_has(scene)
    await scene.phone("1003").transfer(typed)
    await scene.gone("1003")
    await scene.phone(answers).answer()
    await scene.talking("caller1", answers)
    assert forwarded(scene)[0] == ("1003", "transfer", "allow", "ok")
    await scene.only_legs(0 if answers == "1002" else 1)


@THOROUGH
@pytest.mark.parametrize(
    ("typed", "reason"),
    [("+442079460000", "unsupervised_external"), ("7777", "unsupervised_external")],
)
async def test_the_blind_button_is_refused(scene: NodesScene, typed: str, reason: str) -> None:
    """Nothing is dialled, and the caller, whom this phone hangs up on, is with the group again."""
    await carol_has(scene)
    await scene.phone("1003").transfer(typed)
    await scene.gone("1003")
    assert forwarded(scene)[0] == ("1003", "transfer", "deny", reason)
    await answered_in_the_group(scene, "1001", "1002", "1005")
    assert not any(node.phones["pstn"].live for node in scene.nodes)


@THOROUGH
@pytest.mark.parametrize(("typed", "answers"), KINDS)
async def test_the_code(scene: NodesScene, typed: str, answers: str) -> None:
    await carol_has(scene)
    await scene.at("b").press("1003", "*7")
    await scene.on_music("caller1")
    await scene.at("b").press("1003", f"{typed}#")
    await scene.phone(answers).answer()
    if typed != "801":  # a group takes the call at once
        await scene.talking("1003", answers)
        await scene.at("b").press("1003", "*1")
    await scene.talking("caller1", answers)
    await scene.gone("1003")
    assert forwarded(scene)[0] == ("1003", "code", "allow", "ok")


@THOROUGH
async def test_the_code_with_a_number_that_is_refused(scene: NodesScene) -> None:
    """After the last try the agent has the caller again."""
    await carol_has(scene)
    await scene.at("b").press("1003", "*7")
    await scene.on_music("caller1")
    for _ in range(3):
        await scene.at("b").press("1003", "00442079460000#")
    await scene.talking("caller1", "1003", within=20.0)
    assert not any(node.phones["pstn"].live for node in scene.nodes)


# --- screen pops ----------------------------------------------------------------------------------


def pop(agent: str, state: str) -> object:
    def fits(message: Message) -> bool:
        found = (message["type"], message.get("agent"), message.get("state"))
        return found == ("pop", agent, state)

    return fits


@pytest.mark.parametrize("kind", ["agent", pytest.param("group", marks=THOROUGH)])
async def test_the_pop_comes_with_the_ring(scene: NodesScene, kind: str) -> None:
    """Of an unsupervised transfer, also for a page that is loaded meanwhile."""
    await scene.call("caller1", "1001", "blend")
    async with listening(scene.nodes.b, "1004") as dave:
        target = "1004" if kind == "agent" else "support"
        transfer = await scene.transfer("1001", "unsupervised", target, kind=kind)
        await scene.phone("1004").ringing()
        offered = await dave.wait(pop("1004", "offered"))  # type: ignore[arg-type]
        assert offered["pop"]["data"]["case"] == CASE
        assert [x["from"] for x in offered["pop"]["transfers"]] == ["1001"]
        async with listening(scene.nodes.b, "1004") as again:
            (shown,) = again.snapshot["pops"]
            assert shown["pop"] == offered["pop"]
        await scene.phone("1004").answer()
        delivered = await dave.wait(pop("1004", "delivered"))  # type: ignore[arg-type]
        assert delivered["pop"]["data"] == offered["pop"]["data"]
        assert delivered["pop"]["id"] == offered["pop"]["id"]
        await scene.at("a").ends(transfer, "completed", "completed")
    async with listening(scene.nodes.b, "1004") as again:
        assert again.snapshot["pops"] == []
    call = await scene.at("b").has_call("1004", consult=None)
    assert call["pop"]["data"]["case"] == CASE


@THOROUGH
async def test_the_pop_is_withdrawn(scene: NodesScene) -> None:
    await scene.call("caller1", "1001", "blend")
    async with listening(scene.nodes.b, "1004") as dave:
        await scene.transfer("1001", "unsupervised", "1004")
        await scene.phone("1004").ringing()
        await dave.wait(pop("1004", "offered"))  # type: ignore[arg-type]
        await scene.hang_up("caller1")
        await dave.wait(pop("1004", "withdrawn"))  # type: ignore[arg-type]
    async with listening(scene.nodes.b, "1004") as again:
        assert again.snapshot["pops"] == []


# --- a caller who withholds their number ----------------------------------------------------------


async def test_a_caller_who_withholds_their_number(scene: NodesScene) -> None:
    """The agents' node is told what the settings of the call's group let agents be told."""
    b = scene.nodes.b
    logs = {x: b.directory / "log" / x for x in ("full.log", "daemon.log")}
    marks = {x: file.stat().st_size for x, file in logs.items()}
    async with listening(b) as heard, listening(b, "1004") as dave:
        await scene.call("caller2", "1001", "blend")
        await scene.transfer("1001", "unsupervised", "1004")
        await scene.phone("1004").ringing()
        offered = await dave.wait(pop("1004", "offered"))  # type: ignore[arg-type]
        assert offered["pop"]["caller"]["withheld"]
        await scene.phone("1004").answer()
        await scene.talking("caller2", "1004")
        call = await scene.at("b").has_call("1004", consult=None, caller_withheld=True)
        assert call["caller"] == ""
        transfer = await scene.transfer("1004", "supervised", "1005")
        await scene.phone("1005").answer()
        await scene.at("b").reaches(transfer, "consulting")
        answers = [await scene.at("b").api("GET", f"/v1/transfers/{transfer}")]
        await scene.at("b").complete(transfer)
        await scene.talking("caller2", "1005")
        for agent in ("1004", "1005"):
            paths = [f"/v1/agents/{agent}{rest}" for rest in ("", "/transfers")]
            answers += [await scene.at("b").api("GET", path) for path in paths]
        answers.append(await scene.at("b").api("GET", "/v1/transfers"))
        text = {x: file.read_bytes()[marks[x] :].decode() for x, file in logs.items()}
        sent = sent_to_others(text["full.log"], 0)
        assert sent
        told = [*heard.messages[1:], *dave.messages[1:], *sent, *text["daemon.log"].splitlines()]
        assert [x for x in (*told, *(y.body for y in answers)) if tells(x)] == []


@THOROUGH
async def test_a_group_whose_agents_are_told_withheld_numbers(scene: NodesScene) -> None:
    async with listening(scene.nodes.b, "1003") as carol:
        await scene.call("caller2", "1001")
        await scene.transfer("1001", "unsupervised", "1003")
        await scene.phone("1003").ringing()
        offered = await carol.wait(pop("1003", "offered"))  # type: ignore[arg-type]
        assert tells(offered["pop"]["caller"]["number"])
        await scene.phone("1003").answer()
        call = await scene.at("b").has_call("1003", consult=None, caller_withheld=True)
        assert tells(call["caller"])


# --- max hold: back to the transferor on the other node -------------------------------------------


async def carol_sends(scene: NodesScene, target: str = "1004") -> str:
    """Carol's call of group blend goes to a colleague who does not answer. Returns the transfer."""
    await carol_has(scene)
    transfer = await scene.transfer("1003", "unsupervised", target)
    await scene.gone("1003")
    await scene.phone(target).ringing()
    return transfer


async def test_the_call_returns_to_the_transferor(scene: NodesScene) -> None:
    transfer = await carol_sends(scene)
    async with listening(scene.nodes.b, "1003") as carol:
        await scene.at("b").ends(transfer, "failed", "max_hold", within=MAX_HOLD + 4)
        await scene.phone("1003").answer(within=6.0)
        await scene.talking("caller1", "1003")
        delivered = await carol.wait(pop("1003", "delivered"))  # type: ignore[arg-type]
        assert delivered["pop"]["data"]["case"] == CASE
    await scene.only_legs(1)
    # The same call can be transferred again.
    await scene.at("b").has_call("1003", on_hold=False)
    again = await scene.transfer("1003", "unsupervised", "1002")
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await scene.at("b").ends(again, "completed", "completed")
