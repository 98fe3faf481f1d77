"""Only the agent's own phone answers a transferred call, whatever is behind a member Local/….

The members are as FreePBX writes them. Behind them are, as each test says, a phone alone, or with
it a voicemail box, a call forward to an outside number, a ring group, another queue.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import pytest
import pytest_asyncio
from bed import Bed, World, backend_named

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

AGENTS: Final = ("1001", "1002", "1003", "1004")
NEWLINE: Final = "\n"
DIALPLAN: Final = f"""
[ext-local]
{NEWLINE.join(f"exten => {n},hint,PJSIP/{n}&Custom:DND{n}" for n in AGENTS)}

[from-queue]
{NEWLINE.join(f"exten => {n},1,Goto(behind-${{GLOBAL(BEHIND_{n})}},{n},1)" for n in AGENTS)}

[behind-]
exten => _100X,1,Goto(behind-phone,${{EXTEN:0:4}},1)

[behind-phone]
{NEWLINE.join(f"exten => {n},1,Dial(PJSIP/{n},60,i)" for n in AGENTS)}

; Voicemail: the mailbox answers, a greeting is heard, and a message would be recorded.
[box]
exten => s,1,Answer()
 same => n,Playtones(1700+2100)
 same => n,Wait(60)
 same => n,Hangup()

[behind-voicemail]
{
    NEWLINE.join(
        f"exten => {n},1,Dial(PJSIP/{n},2,i){NEWLINE} same => n,Goto(box,s,1)" for n in AGENTS
    )
}

[behind-voicemail-at-once]
exten => _100X,1,Goto(box,s,1)

[behind-forward]
{
    NEWLINE.join(
        f"exten => {n},1,Dial(PJSIP/{n},2,i){NEWLINE} same => n,Dial(Local/s@outside/n,60,i)"
        for n in AGENTS
    )
}

[behind-forward-at-once]
exten => _100X,1,Dial(Local/s@outside/n,60,i)

[outside]
exten => s,1,Dial(PJSIP/pstn,60,i)

[behind-group]
{NEWLINE.join(f"exten => {n},1,Dial(PJSIP/{n}&PJSIP/caller4,60,i)" for n in AGENTS)}

; Another queue, which answers with its music, and has everybody else as member.
[behind-queue]
exten => _100X,1,Answer()
 same => n,Queue(others,i)

; The phone behind another Local channel, as a follow-me dials it.
[behind-nested]
{NEWLINE.join(f"exten => {n},1,Dial(Local/{n}@behind-phone/n,60,i)" for n in AGENTS)}
"""
OTHERS: Final = """
[others]
strategy = ringall
member => PJSIP/caller4,0,Other
"""


def office(**more: object) -> World:
    return replace(
        world(),
        local_members=True,
        member_context="from-queue",
        extensions=DIALPLAN,
        queues=OTHERS,
        **more,  # type: ignore[arg-type]
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hints() -> AsyncIterator[Bed]:
    made = office(member_state="hint:{}@ext-local")
    async with Bed(made, backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(hints: Bed) -> AsyncIterator[Scene]:
    async with open_scene(hints) as opened:
        yield opened
        await behind(opened)


async def behind(scene: Scene, **what: str) -> None:
    """What is behind these agents, as ``a1002="voicemail"``; a phone alone behind the others."""
    for agent in AGENTS:
        value = what.get(f"a{agent}", "")
        await scene.ami.action("Setvar", Variable=f"BEHIND_{agent}", Value=value)


async def only_music(scene: Scene, caller: str, since: float, agent: str) -> None:
    """The caller has heard nobody and nothing but the music before the agent."""
    assert scene.phone(caller).heard(since) - {"silence"} <= {"music", agent}


async def test_the_phone_is_found_behind_the_hint(scene: Scene) -> None:
    async def told() -> str | None:
        name = "AVP_PHONES_1002_from_queue_n"
        answer = await scene.ami.action("Getvar", Variable=name)
        return answer.get("Value") or None

    assert await scene.ami.until(told, 5.0) == "PJSIP/1002"


@pytest.mark.parametrize("what", ["phone", "nested", "voicemail", "forward", "group"])
async def test_the_phone_itself_is_connected(scene: Scene, what: str) -> None:
    await behind(scene, a1002=what)
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.ends(transfer, "completed", "completed")
    await scene.gone("1001", "caller4")
    await scene.hang_up("1002")
    await scene.gone("caller1")
    await scene.booked(Alice=1, Bob=1)


@pytest.mark.parametrize("what", ["voicemail-at-once", "forward-at-once", "queue", "group"])
async def test_supervised_to_somebody_else(scene: Scene, what: str) -> None:
    await behind(scene, a1002=what)
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    if what == "forward-at-once":
        await scene.phone("pstn").answer()
    if what == "group":
        await scene.phone("caller4").answer()
    await scene.ends(transfer, "failed", "rejected")
    await scene.talking("caller1", "1001")
    await scene.gone("1002", "caller4", "pstn")
    await scene.hang_up("caller1")
    await scene.gone("1001")
    await scene.booked(Alice=1)


@pytest.mark.parametrize("how", ["rejects", "does not answer"])
async def test_supervised_voicemail_after_the_phone(scene: Scene, how: str) -> None:
    await behind(scene, a1002="voicemail")
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    if how == "rejects":
        await scene.phone("1002").reject()
    else:
        await scene.phone("1002").ringing()
    await scene.ends(transfer, "failed", "rejected")
    await scene.talking("caller1", "1001")
    await scene.hang_up("caller1")
    await scene.gone("1001")
    await scene.booked(Alice=1)


@pytest.mark.parametrize("daemon", ["runs", "killed"])
async def test_unsupervised_is_offered_again(scene: Scene, daemon: str) -> None:
    await behind(scene, a1002="voicemail")
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    since = time.time()
    await scene.phone("1002").ringing()
    if daemon == "killed":
        await scene.bed.stop_daemon(kill=True)
    await scene.phone("1002").reject()
    await scene.phone("1002").answer()
    await only_music(scene, "caller1", since + 1, "1002")
    await scene.talking("caller1", "1002")
    if daemon == "killed":
        await scene.bed.start_daemon()
    else:
        await scene.ends(transfer, "completed", "completed")
    await scene.hang_up("1002")
    await scene.gone("caller1")
    await scene.booked(Alice=1, Bob=1)


async def test_unsupervised_to_a_voicemail_alone(scene: Scene) -> None:
    """Until the maximum hold time; the caller hears the announcement, and no greeting."""
    await behind(scene, a1002="voicemail-at-once")
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.on_music("caller1")
    await scene.ends(transfer, "failed", "max_hold", within=15)
    await scene.gone("caller1", within=15)
    await scene.booked(Alice=1)


@pytest.mark.parametrize("what", ["voicemail-at-once", "forward-at-once", "voicemail"])
async def test_group_tries_the_next(scene: Scene, what: str) -> None:
    await behind(scene, a1003=what)
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "support", kind="group")
    since = time.time()
    if what == "forward-at-once":
        await scene.phone("pstn").answer()
    await scene.phone("1004").answer(within=8)
    await scene.talking("caller1", "1004")
    await only_music(scene, "caller1", since + 1, "1004")
    await scene.ends(transfer, "completed", "completed")
    await scene.hang_up("caller1")
    await scene.gone("1004", "1003")
    await scene.booked(Alice=1, Dave=1)
