"""Phones that answer in the instant in which they are called, like headsets that answer alone.

app_queue publishes no end of the dialling if somebody else has read the answer, as autoservice does
while a subroutine of the caller's runs (app_queue.c, ``wait_for_answer``). The caller's channel
then keeps the phone's until the caller hangs up (stasis_channels.c, ``set_dial_masquerade``): the
phone stays in use, and its agent gets no call, although somebody else has had the caller since.
"""

from __future__ import annotations

import pytest

from tests.asterisk.scene import Scene
from tests.asterisk.transfer_button import stubborn

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]


async def test_they_are_free_once_they_have_passed_the_call_on(scene: Scene) -> None:
    await scene.call("caller1", "1003", "support")
    # From now on Asterisk runs a subroutine of ours when the caller has another partner.
    consult = await scene.transfer("1003", "supervised", "1004")
    await scene.phone("1004").ringing()
    await scene.cancel(consult)
    await scene.ends(consult, "cancelled", "cancelled")
    await scene.talking("caller1", "1003")
    async with stubborn(scene) as phone:
        group = await scene.transfer("1003", "unsupervised", "sales", "group")
        await phone.answered()
        await scene.ends(group, "completed", "completed")
        await scene.talking("caller1", "1001")
        assert await scene.variable("caller1", "CONNECTED_LINE_SEND_SUB") == "", "the race is open"
        on = await scene.transfer("1001", "supervised", "1002")
        await scene.phone("1002").answer()
        await scene.consulting(on, "caller1", "1001", "1002")
        await scene.complete(on)
        await phone.over()
        await scene.agent_is("1001", "available")
        await scene.talking("caller1", "1002")
