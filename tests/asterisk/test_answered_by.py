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
from _pytest.mark import ParameterSet
from bed import Bed, World, backend_named

from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

AGENTS: Final = ("1001", "1002", "1003", "1004")
NEWLINE: Final = "\n"
DIALPLAN: Final = f"""
; A colleague picks up a phone that rings.
[avp-internal](+)
exten => 82,1,PickupChan(PJSIP/1002)

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


def thorough(value: str) -> ParameterSet:
    """A case that `tests/run thorough` runs, and CI does not."""
    return pytest.param(value, marks=pytest.mark.thorough)


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
    assert scene.phone(caller).understood(since) <= {"music", agent}


async def test_the_phone_is_found_behind_the_hint(scene: Scene) -> None:
    async def told() -> str | None:
        name = "AVP_PHONES_1002_from_queue_n"
        answer = await scene.ami.action("Getvar", Variable=name)
        return answer.get("Value") or None

    assert await scene.ami.until(told, 5.0) == "PJSIP/1002"


@pytest.mark.parametrize(
    "what", ["phone", thorough("nested"), "voicemail", thorough("forward"), thorough("group")]
)
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


@pytest.mark.parametrize(
    "what", ["voicemail-at-once", thorough("forward-at-once"), thorough("queue"), thorough("group")]
)
async def test_supervised_to_somebody_else(scene: Scene, what: str) -> None:
    await behind(scene, a1002=what)
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    if what == "forward-at-once":
        await scene.phone("pstn").pick_up()
    if what == "group":
        await scene.phone("caller4").pick_up()
    await scene.ends(transfer, "failed", "rejected")
    await scene.talking("caller1", "1001")
    await scene.gone("1002", "caller4", "pstn")
    await scene.hang_up("caller1")
    await scene.gone("1001")
    await scene.booked(Alice=1)


@pytest.mark.parametrize("how", ["rejects", thorough("does not answer")])
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


@pytest.mark.parametrize("daemon", [thorough("runs"), "killed"])
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


async def test_picked_up(scene: Scene) -> None:
    """A colleague who picks up the ringing phone gets the call, as where the member is a phone."""
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").ringing()
    await scene.phone("1003").dial("82")
    await scene.hear_one_another("caller1", "1003")
    await scene.gone("1001", "1002")
    await scene.reaches(transfer, "completed")
    await scene.hang_up("caller1")
    await scene.gone("1003")


@pytest.mark.thorough
async def test_unsupervised_to_a_voicemail_alone(scene: Scene) -> None:
    """Until the maximum hold time; the caller hears the announcement, and no greeting."""
    await behind(scene, a1002="voicemail-at-once")
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.on_music("caller1")
    await scene.ends(transfer, "failed", "max_hold", within=15)
    await scene.gone("caller1", within=15)
    await scene.booked(Alice=1)


@pytest.mark.parametrize(
    "what", ["voicemail-at-once", thorough("forward-at-once"), thorough("voicemail")]
)
async def test_group_tries_the_next(scene: Scene, what: str) -> None:
    await behind(scene, a1003=what)
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "support", kind="group")
    since = time.time()
    if what == "forward-at-once":
        await scene.phone("pstn").pick_up()
    await scene.phone("1004").answer(within=8)
    await scene.talking("caller1", "1004")
    await only_music(scene, "caller1", since + 1, "1004")
    await scene.ends(transfer, "completed", "completed")
    await scene.hang_up("caller1")
    await scene.gone("1004", "1003")
    await scene.booked(Alice=1, Dave=1)


# --- members without a state interface, whose phones only the settings tell ---------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def told_office() -> AsyncIterator[Bed]:
    phones = {f"AVP_AGENTS__{agent}__PHONES": f"PJSIP/{agent}" for agent in AGENTS}
    settings = {**phones, "AVP_ENTERPRISE__MAX_HOLD_ACTION": "return"}
    made = office(member_state="", settings=settings).with_group("support", strategy="ringall")
    async with Bed(made, backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def told(told_office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(told_office) as opened:
        yield opened
        await behind(opened)


@pytest.mark.thorough
async def test_others_of_the_group_ring_on(told: Scene) -> None:
    await behind(told, a1003="voicemail-at-once")
    await told.call("caller1", "1001")
    transfer = await told.transfer("1001", "unsupervised", "support", kind="group")
    await told.phone("1004").ringing()

    async def declined() -> bool | None:
        rows = told.bed.queue_log.rows(told.books_mark)
        return any(row.event == "RINGNOANSWER" for row in rows) or None

    assert await told.ami.until(declined, 5.0)
    await told.phone("1004").answer()
    await told.talking("caller1", "1004")
    assert told.offers("1004") == ["caller1"], "rung once"
    await told.ends(transfer, "completed", "completed")
    await told.hang_up("caller1")
    await told.gone("1004")
    await told.booked(Alice=1, Dave=1)


@pytest.mark.thorough
async def test_returned_to_a_transferor_with_voicemail(told: Scene) -> None:
    """Nobody but a box answers for the target, and then for the transferor, until they do."""
    await told.call("caller1", "1001")
    await behind(told, a1001="voicemail-at-once", a1002="voicemail-at-once")
    transfer = await told.transfer("1001", "unsupervised", "1002")
    since = time.time()
    await told.ends(transfer, "failed", "max_hold", within=15)

    async def returned() -> bool | None:
        return "caller1" in told.offers("1001", since) or None

    assert await told.ami.until(returned, 10.0)
    await told.on_music("caller1")
    await behind(told)
    await told.phone("1001").answer(within=8)
    await told.talking("caller1", "1001")
    await only_music(told, "caller1", since + 1, "1001")
    await told.hang_up("caller1")
    await told.gone("1001", "1002")
    await told.booked(Alice=2)
