"""Hostile channel variables and callers on a real Asterisk: the call is transferred all the same.

What the inbound dialplan sets may come from what a caller typed or a web service answered. It is
set here as the dialplan can (URIDECODE gives any byte), and what an AMI action can set by Setvar.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from bed import Bed, World, backend_named, match

from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

HTML = "<script>alert(1)</script>"
# %1b[2J clears a terminal; the line feed would begin a record of a log or a header of AMI.
INBOUND = r"""
[callers](+)
exten => 700,1,Answer()
 same => n,Set(CALLERID(name)=${URIDECODE(%22><img onerror=alert(1)>%e2%80%ae%24[1/0] %5c)})
 same => n,Set(CALLERID(num)=${URIDECODE(%2b1202%24[1/0]5550100)})
 same => n,Set(AVP_POP={"html":"<b>","html":"last","half":"\ud800","esc":"\u001b[2J\n"})
 same => n,Set(AVP_POP_HTML=<script>alert(1)</script>)
 same => n,Set(AVP_POP_LINES=${URIDECODE(a%0d%0aValue%3a forged%0aEvent%3a Hangup)})
 same => n,Set(ANSWER=${URIDECODE(J%c3%bcrgen%0d%0a%0d%0aEvent: QueueMemberAdded%0d%0a)})
 same => n,Set(AVP_POP_CLEAN=${FILTER(\x20-\x7e\x80-\xff,${ANSWER})})
 same => n,Set(ANSWER=)
 same => n,Set(AVP_POP_ESCAPE=${URIDECODE(%1b[2J%07)})
 same => n,Set(AVP_POP_BYTES=${URIDECODE(%ff%fe)})
 same => n,Set(AVP_GROUP=${URIDECODE(sales%22%0d%0aValue%3a support)})
 same => n,Set(AVP_SESSION_0=3:{"v":1,"id":"forged","state":"waiting","max_hold_seconds":1e400)
 same => n,Set(AVP_SESSION_1=${URIDECODE(%ff%00[[[[)})
 same => n,Set(AVP_HISTORY_1_1=|[[[[{"from":1}|)
 same => n,Set(AVP_WAITED=99999999999999999999)
 same => n,Queue(sales,i)
 same => n,Hangup()
exten => _71X,1,Answer()
 same => n,Set(AVP_MAX_HOLD=${HOSTILE_${EXTEN}})
 same => n,Queue(sales,i)
 same => n,Hangup()
"""
HOLDS = {
    "710": "1e3",
    "711": "-1",
    "712": '"1',
    "713": "8,agi://127.0.0.1/",
    "714": "9" * 400,
    "715": "１２",  # noqa: RUF001 - full width, on purpose
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    world = World(settings={"AVP_SESSION__RING_SECONDS": "4"}, max_hold_seconds=20)
    world = replace(world.with_group("sales", strategy="linear"), extensions=INBOUND)
    world = replace(world, variables={f"HOSTILE_{number}": text for number, text in HOLDS.items()})
    async with Bed(world, backend=backend_named(None)) as bed:
        await bed.start_daemon()
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    async with open_scene(centre) as opened:
        yield opened


async def pop_with(scene: Scene, agent: str, key: str) -> dict[str, Any]:
    """The agent's pop once it shows a value with this name."""

    async def look() -> dict[str, Any] | None:
        call = (await scene.agent(agent))["call"] or {}
        pop = call.get("pop", {})
        return pop if key in pop.get("data", {}) else None

    found = await scene.ami.until(look, 5)
    assert found is not None, await scene.agent(agent)
    return found


def assert_shown_sanely(pop: dict[str, Any]) -> None:
    """As text: docs/screen-pops.md warns readers who show it as markup or on a terminal."""
    data = pop["data"]
    assert data["html"] == HTML, "the variable of its own wins, and is not interpreted"
    assert data["half"] == "\ufffd"
    assert data["esc"] == "\x1b[2J\n"
    assert data["escape"].startswith("\x1b")
    assert "bytes" not in data
    assert data["clean"] == "JürgenEvent: QueueMemberAdded", (
        "as docs/screen-pops.md says to take in answers"
    )
    assert "\n" not in data["lines"]
    assert "\r" not in data["lines"]
    assert pop["transfers"] == [] or pop["transfers"][0]["from"] == "1001"
    assert pop["waited_seconds"] < 60
    assert "<img onerror=alert(1)>" in pop["caller"]["name"]
    assert "$[1/0]" in pop["caller"]["number"], "as it was, and not evaluated"
    json.dumps(pop).encode()


def assert_log_has_whole_lines(log: str) -> None:
    assert all(character.isprintable() or character == "\n" for character in log)
    for line in log.splitlines():
        assert line[:2].isdigit() or line.startswith("  ") or not line, line
        assert not line.startswith("Event")
    assert "Traceback" not in log


@pytest.mark.parametrize(
    "mode", [pytest.param("supervised", marks=pytest.mark.thorough), "unsupervised"]
)
async def test_a_call_with_hostile_variables_is_transferred(scene: Scene, mode: str) -> None:
    begun = len(scene.log_of_daemon())
    scene.expected |= {"[error"}  # a variable with an AMI header is one in the log
    await scene.call("caller1", "1001", number="700")
    await scene.agent_is("1001", "talking")
    assert (await scene.has_call("1001"))["group"] == "sales"
    assert_shown_sanely(await pop_with(scene, "1001", "html"))
    transfer = await scene.transfer("1001", mode, "1002")
    assert transfer != "forged"
    await scene.phone("1002").answer()
    if mode == "supervised":
        await scene.consulting(transfer, "caller1", "1001", "1002")
        await scene.complete(transfer)
    await scene.reaches(transfer, "completed")
    await scene.talking("caller1", "1002")
    assert_shown_sanely(await pop_with(scene, "1002", "html"))
    listed = (await scene.api("GET", "/v1/agents")).body
    assert {found["id"] for found in listed} >= {"1001", "1002"}
    assert_log_has_whole_lines(scene.log_of_daemon(begun))
    await scene.hang_up("caller1")
    await scene.gone("1002")


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(one, marks=() if one in {"710", "713"} else pytest.mark.thorough)
        for one in HOLDS
    ],
)
async def test_a_hold_time_that_is_none_leaves_it_to_the_setting(scene: Scene, number: str) -> None:
    """Unchanged, Queue() would treat it as 0 seconds: the caller would be hung up immediately."""
    begun = len(scene.log_of_daemon())
    await scene.call("caller1", "1001", number=number)
    await scene.call("caller2", "1002", number="800")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.on_music("caller1")
    entered = await scene.ami.wait(match("QueueCallerJoin", Queue="avp-agent-1002"), 3, scene.since)
    assert (await scene.reaches(transfer, "waiting"))["hold_until"]
    assert "max_hold_ignored" in scene.log_of_daemon(begun)
    await scene.hang_up("1002")
    await scene.gone("caller2")
    await scene.phone("1002").answer(within=7)  # after its wrap-up, within the setting's 20 s
    await scene.talking("caller1", "1002")
    assert entered.at <= scene.ami.events[-1].at
    await scene.ends(transfer, "completed", "completed")
    await scene.hang_up("caller1")
    await scene.gone("1002")


async def test_variables_set_by_an_ami_action_in_the_middle_of_a_consult(scene: Scene) -> None:
    """Variables that another program sets on the caller's channel do not affect the transfer."""
    transfer = await scene.consult("caller1", "1001", "1002")
    channel = (await scene.ami.channel_of("caller1"))["Channel"]
    for name, value in {
        "AVP_SESSION_0": "35:{",
        "AVP_SESSION_1": "[" * 480,
        "AVP_MAX_HOLD": "-5",
        "AVP_GROUP": "no such group",
        "AVP_POP": "[" * 900,
        "AVP_HOLD_SECONDS": "nonsense",
    }.items():
        await scene.ami.action("Setvar", Channel=channel, Variable=name, Value=value)
    await scene.complete(transfer)
    await scene.reaches(transfer, "completed")
    await scene.talking("caller1", "1002")
    await scene.hang_up("caller1")
    await scene.gone("1002")
