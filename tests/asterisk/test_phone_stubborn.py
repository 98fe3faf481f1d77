"""The Transfer button of phones unlike baresip: they keep their call when refused, do not answer
NOTIFY, or write their REFER in other ways."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, StubbornPhone, backend_named

from tests.asterisk import guard, transfer_button
from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene
from tests.asterisk.transfer_button import fails, known, pressed, stubborn

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

# The recommendation for an Asterisk older than its fixes: no Transfer button.
PJSIP = """
[1003](+type=endpoint)
allow_transfer = no
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Bed]:
    async with Bed(
        replace(transfer_button.world(), pjsip=PJSIP), backend=backend_named(None)
    ) as bed:
        await guard.start_daemon(bed)
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(office) as opened:
        yield opened


async def called(scene: Scene, phone: StubbornPhone, group: str = "800") -> None:
    await scene.phone("caller1").dial(group)
    await phone.answered()
    await scene.talking("caller1", phone.name)


def uri(scene: Scene, user: str) -> str:
    return f"<sip:{user}@127.0.0.1:{scene.bed.ports.sip}>"


async def test_refused_and_then_allowed(scene: Scene) -> None:
    """The call stays with the transferor, and can be transferred again."""
    async with stubborn(scene) as phone:
        await called(scene, phone)
        before = known(scene)
        assert await phone.refer(uri(scene, "2025550100")) == "202 Accepted"
        await pressed(scene, before, "1001", "deny", "unsupervised_external")
        await phone.told("603 Decline")
        await scene.hear_one_another("caller1", "1001")
        await fails(scene, "unsupervised_external")
        await scene.talking("caller1", "1001")
        await scene.plain("caller1", "1001")
        assert (await scene.agent("1001"))["call"]["transfer"] is None

        before = known(scene)
        await phone.refer(uri(scene, "1002"))
        await pressed(scene, before, "1001", "allow", "ok")
        await phone.told("200 OK")
        await phone.over()
        await scene.phone("1002").answer()
        await scene.talking("caller1", "1002")
        await scene.hang_up("caller1")
        await scene.booked(Alice=1, Bob=1)


async def test_pressed_again_before_it_has_settled(scene: Scene) -> None:
    """Every further REFER is refused; when the transferor hangs up, the caller is not dropped."""
    async with stubborn(scene) as phone:
        await called(scene, phone)
        await phone.refer(uri(scene, "999999"))
        await phone.told("603 Decline")
        phone.talk.notified.clear()
        await phone.refer(uri(scene, "1002"))
        await phone.told("603 Decline")
        await phone.hang_up()  # at once: after a few seconds this would end the call
        await transfer_button.back_to_the_group(scene)


@pytest.mark.thorough
async def test_refused_for_a_group(scene: Scene) -> None:
    """The call continues as one of its own group."""
    async with (
        stubborn(scene) as phone,
        guard.settings(scene.bed, "[groups.sales]\nunsupervised_transfer = false\n"),
    ):
        await called(scene, phone)
        await phone.refer(uri(scene, "801"))
        await phone.told("603 Decline")
        await fails(scene, "unsupervised_disabled")
        await scene.plain("caller1", "1001")
        assert await scene.variable("caller1", "AVP_GROUP") == "sales"
        assert (await scene.agent("1001"))["call"]["group"] == "sales"


async def test_no_such_second_call(scene: Scene) -> None:
    async with stubborn(scene) as phone:
        await called(scene, phone)
        proxy = scene.bed.ports.sip
        replaces = "nosuchcall%3Bto-tag%3Daa%3Bfrom-tag%3Dbb"
        await phone.refer(f"<sip:1002@127.0.0.1:{proxy}?Replaces={replaces}>")
        await phone.told("603 Decline")
        await fails(scene, "unknown_target")
        await scene.talking("caller1", "1001")
        await scene.plain("caller1", "1001")


@pytest.mark.parametrize(
    "more",
    [
        "",  # nor is there a Referred-By
        "Referred-By: <sip:1002@elsewhere.invalid>;cid=x\r\n",
        pytest.param("Refer-Sub: true\r\nSupported: norefersub\r\n", marks=pytest.mark.thorough),
    ],
    ids=["deaf", "referred-by", "refer-sub"],
)
@pytest.mark.thorough
async def test_other_ways_to_write_it(scene: Scene, more: str) -> None:
    """The claimed sender does not matter, nor whether NOTIFY is answered."""
    async with stubborn(scene) as phone:
        phone.deaf = not more
        await called(scene, phone)
        await phone.refer(uri(scene, "1002"), more)
        await phone.over()
        await scene.phone("1002").answer()
        await scene.talking("caller1", "1002")
        assert phone.calls[-1].notified[-1:] == ["200 OK"] or phone.deaf


async def test_deaf_and_refused(scene: Scene) -> None:
    async with stubborn(scene) as phone:
        phone.deaf = True
        await called(scene, phone)
        await phone.refer(uri(scene, "91"))
        await fails(scene, "unsupervised_external")
        await scene.talking("caller1", "1001")
        await scene.plain("caller1", "1001")


@pytest.mark.parametrize(
    "more",
    ["", pytest.param("Refer-Sub: false\r\n", marks=pytest.mark.thorough)],
    ids=["plain", "refer-sub"],
)
async def test_switched_off_in_asterisk(scene: Scene, more: str) -> None:
    """allow_transfer=no: Asterisk itself refuses, and the call continues."""
    async with stubborn(scene, "1003") as phone:
        await called(scene, phone, "801")
        before = known(scene)
        assert (await phone.refer(uri(scene, "1004"), more)).startswith("603")
        await scene.talking("caller1", "1003")
        await scene.plain("caller1", "1003")
        assert known(scene) == before
