"""On a PBX of FreePBX's shape, nobody but the target answers a transferred call.

The PBX's own calls go to voicemail, by call forward and by follow-me as before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from _pytest.mark.structures import ParameterSet
from bed import match

from tests.asterisk.conftest import open_scene
from tests.asterisk.freepbx.installed import Installed
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

SALES = "15550600"
OUTSIDE = "12025550100"


@pytest_asyncio.fixture(loop_scope="session")
async def scene(freepbx: Installed) -> AsyncIterator[Scene]:
    async with open_scene(freepbx) as opened:
        yield opened
        assert not voicemail(opened), "a caller was in voicemail"


def voicemail(scene: Scene) -> list[str]:
    """The channels that were in voicemail since the test began."""
    ran = scene.ami.seen(match("Newexten", Application="VoiceMail"), scene.since)
    return [event["Channel"] for event in ran]


def thorough(value: str) -> ParameterSet:
    """A variant that CI leaves out."""
    return pytest.param(value, marks=pytest.mark.thorough)


async def call(scene: Scene, caller: str = "caller1", agent: str = "1001") -> None:
    await scene.call(caller, agent, number=SALES)


async def elsewhere(scene: Scene, *phones: str) -> None:
    """None of these phones has been rung."""
    for name in phones:
        calls = [c for c in scene.phone(name).calls if c.incoming and c.began >= scene.since]
        assert not calls, (name, calls)


@pytest.mark.thorough
async def test_voicemail_answers_the_pbxs_own_calls(freepbx: Installed) -> None:
    """Otherwise, the tests below would not say anything."""
    async with open_scene(freepbx) as scene:
        await scene.phone("1003").dial("1001")
        await scene.phone("1001").reject()

        async def answered() -> bool | None:
            return bool(voicemail(scene)) or None

        assert await scene.ami.until(answered, 5.0)


# --- the target rejects, does not answer, is busy -----------------------------------------------


@pytest.mark.parametrize("how", ["reject", thorough("no answer")])
async def test_supervised(scene: Scene, how: str) -> None:
    """The transferor is back with the caller. 1002's ring time in the PBX is shorter than ours."""
    await call(scene)
    transfer = await scene.transfer("1001", "supervised", "1002")
    while how == "reject" and await scene.state(transfer) in ("starting", "waiting", "ringing"):
        phone = scene.phone("1002")
        if any(c.incoming and c.state == "incoming" for c in phone.calls):
            await phone.reject()
    await scene.reaches(transfer, "failed", within=20)
    await scene.talking("caller1", "1001")
    await scene.gone("1002")


@pytest.mark.parametrize("how", [thorough("reject"), "no answer"])
async def test_unsupervised(scene: Scene, how: str) -> None:
    """It is offered to the target again, until the target takes it."""
    await call(scene)
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.gone("1001")
    phone = scene.phone("1002")
    first = await phone.ringing()
    if how == "reject":
        await phone.reject()
    else:
        await phone.closed(first, within=10)
    await scene.on_music("caller1")
    await phone.answer(within=10)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_a_busy_target_is_waited_for(scene: Scene) -> None:
    """Busy in a call of the PBX's own, with call waiting switched on."""
    await scene.phone("1003").dial("1002")
    await scene.phone("1002").answer()
    await scene.hear_one_another("1003", "1002")
    await call(scene)
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.on_music("caller1")
    await scene.reaches(transfer, "waiting")
    await scene.hang_up("1003")
    await scene.phone("1002").answer(within=10)
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_a_group_of_whom_one_rejects(scene: Scene) -> None:
    """The next member is tried; the voicemail of the first is not."""
    await call(scene)
    transfer = await scene.transfer("1001", "unsupervised", "queue_601", kind="group")
    await scene.phone("1003").reject()
    await scene.phone("2005").answer(within=10)
    await scene.ends(transfer, "completed", "completed")
    await scene.hear_one_another("caller1", "2005")


@pytest.mark.thorough
async def test_a_call_by_no_queue(scene: Scene) -> None:
    """Nothing in such a call has held voicemail back before."""
    await scene.phone("caller1").dial("15551001")
    await scene.phone("1001").answer()
    await scene.hear_one_another("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.gone("1001")
    await scene.phone("1002").reject()
    await scene.on_music("caller1")
    await scene.phone("1002").answer(within=10)
    await scene.ends(transfer, "completed", "completed")
    await scene.hear_one_another("caller1", "1002")


@pytest.mark.thorough
async def test_back_at_the_group(scene: Scene, freepbx: Installed) -> None:
    """Nobody takes the call in time: it ends at the group, and in nobody's voicemail."""
    await call(scene)
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.gone("1001")
    await scene.reaches(transfer, "failed", within=30)
    await scene.gone("caller1", within=20)


# --- forwarded, followed, in a ring group ---------------------------------------------------------


@asynccontextmanager
async def row(scene: Scene, family: str, key: str, value: str) -> AsyncIterator[None]:
    """A row of AstDB, as a star code or the user's own page writes it."""
    await scene.ami.action("DBPut", Family=family, Key=key, Val=value)
    try:
        yield
    finally:
        await scene.ami.action("DBDel", Family=family, Key=key)


@pytest.mark.parametrize("kind", [thorough("CF"), "CFU", thorough("CFB")])
async def test_a_target_with_call_forward(scene: Scene, kind: str) -> None:
    """Unconditional, unavailable, busy: whoever it leads to does not get the caller."""
    await call(scene)
    async with row(scene, kind, "1002", OUTSIDE):
        transfer = await scene.transfer("1001", "supervised", "1002")
        phone = scene.phone("1002")
        if kind == "CFB":
            await phone.reject()
        outside = scene.phone("pstn")

        async def over() -> bool | None:
            if outside.live and outside.live[0].state == "incoming":
                await outside.pick_up()
            return await scene.state(transfer) == "failed" or None

        assert await scene.ami.until(over, 25.0), await scene.state(transfer)
        await scene.talking("caller1", "1001", within=8)
        assert "pstn" not in scene.phone("caller1").heard(scene.since)
        await scene.gone("pstn")


@pytest.mark.thorough
async def test_a_target_who_is_followed(scene: Scene) -> None:
    """Frank's follow-me goes on to his mobile phone, which answers."""
    await scene.call("caller1", "1003", number="15550601")
    transfer = await scene.transfer("1003", "unsupervised", "queue_602", kind="group")
    outside = scene.phone("pstn")
    await scene.phone("1006").ringing()

    async def answers() -> bool | None:
        if outside.live and outside.live[0].state == "incoming":
            await outside.pick_up()
        return await scene.state(transfer) == "failed" or None

    await scene.ami.until(answers, 12.0)
    assert "pstn" not in scene.phone("caller1").heard(scene.since)


# --- the daemon, and Apply Config -----------------------------------------------------------------


@pytest.mark.thorough
async def test_the_daemon_is_killed_in_a_consultation(scene: Scene, freepbx: Installed) -> None:
    await call(scene)
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await freepbx.stop_daemon(kill=True)
    await freepbx.start_daemon()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")


@pytest.mark.thorough
async def test_the_daemon_is_down_and_the_target_rejects(scene: Scene, freepbx: Installed) -> None:
    """The caller waits for the target: the dialplan alone keeps voicemail from answering."""
    await call(scene)
    await scene.transfer("1001", "unsupervised", "1002")
    await scene.gone("1001")
    await scene.phone("1002").ringing()
    await freepbx.stop_daemon(kill=True)
    try:
        await scene.phone("1002").reject()
        await scene.on_music("caller1")
        await scene.phone("1002").answer(within=10)
        await scene.talking("caller1", "1002")
    finally:
        await freepbx.start_daemon()


@pytest.mark.thorough
async def test_apply_config_in_a_consultation(scene: Scene, freepbx: Installed) -> None:
    """Every file is written anew, and Asterisk reads all: the calls, and the rules, stay."""
    await call(scene)
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await freepbx.apply_config()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.hang_up("caller1")
    await scene.agent_is("1001", "available", within=8)
    await scene.call("caller2", "1001", number=SALES)
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").reject()
    await scene.on_music("caller2")
    await scene.phone("1002").answer(within=10)
    await scene.talking("caller2", "1002")
