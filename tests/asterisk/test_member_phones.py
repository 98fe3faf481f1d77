"""Agents whose phones only hints, or FreePBX's devices in AstDB, tell."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import pytest
import pytest_asyncio
from bed import Bed, World, backend_named

from tests.asterisk import guard, transfer_button
from tests.asterisk.conftest import open_scene, world
from tests.asterisk.scene import FOURTH, Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

AGENTS: Final = ("1001", "1002", "1003", "1004", "1005")


def dialplan(phones: dict[str, str]) -> str:
    """The contexts of hints and of members; ``phones``: agents whose phone is another account."""
    lines = ["[ext-local]"]
    lines += [f"exten => {n},hint,PJSIP/{n}&Custom:DND{n}" for n in AGENTS if n not in phones]
    lines += ["[from-queue]"]
    lines += [f"exten => {n},1,Dial(PJSIP/{phones.get(n, n)},60,i)" for n in AGENTS]
    return "\n".join(lines)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hints() -> AsyncIterator[Bed]:
    made = replace(
        transfer_button.world(),
        local_members=True,
        member_context="from-queue",
        member_state="hint:{}@ext-local",
        extensions=dialplan({}),
    )
    async with Bed(made, backend=backend_named(None)) as started:
        await guard.start_daemon(started)
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(hints: Bed) -> AsyncIterator[Scene]:
    async with open_scene(hints) as opened:
        yield opened


async def test_direct_call(scene: Scene) -> None:
    await scene.phone("caller1").dial("1001")
    await scene.phone("1001").answer()
    await scene.hear_one_another("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("caller1", "1002")
    await scene.gone("1001")
    await scene.hang_up("caller1")
    await scene.gone("1002")


@pytest.mark.thorough
async def test_outbound_call(scene: Scene) -> None:
    await scene.phone("1001").dial(FOURTH)
    await scene.phone("pstn").answer()
    await scene.hear_one_another("1001", "pstn")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "pstn", "1001", "1002")
    await scene.complete(transfer)
    await scene.talking("pstn", "1002")
    await scene.gone("1001")
    await scene.hang_up("pstn")
    await scene.gone("1002")


@pytest.mark.thorough
async def test_code_on_the_phone(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    await scene.press("1001", "*7")

    async def begun() -> str | None:
        for transfer in (await scene.api("GET", "/v1/transfers")).body:
            if transfer["state"] == "starting" and transfer["agent"] == "1001":
                return str(transfer["id"])
        return None

    transfer = await scene.ami.until(begun, 5.0)
    assert transfer is not None
    await scene.on_music("caller1")
    await scene.press("1001", "1002#")
    await scene.phone("1002").answer(within=8)
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.press("1001", "*1")
    await scene.talking("caller1", "1002")
    await scene.hang_up("caller1")
    await scene.gone("1001", "1002")


async def test_transfer_button(scene: Scene) -> None:
    await scene.call("caller1", "1001")
    transfer = await transfer_button.press(scene, "1001", "1002")
    await scene.phone("1002").answer()
    await scene.ends(transfer, "completed", "completed")
    await scene.gone("1001")
    await scene.talking("caller1", "1002")
    await scene.hang_up("caller1")
    await scene.gone("1002")


async def test_a_user_logs_in_on_another_device() -> None:
    """FreePBX's device-and-user mode: 1002 is a user, and sits at what is now their device."""
    made = replace(
        world(),
        local_members=True,
        member_context="from-queue",
        member_state="",
        extensions=dialplan({"1002": "caller4"}),
    )
    async with Bed(made, backend=backend_named(None)) as bed:
        await at(bed, "1002", "caller3")
        await bed.start_daemon()
        async with open_scene(bed) as scene:
            await bed.ami.until(lambda: told(bed, "PJSIP/caller3"), 5.0)
            await at(bed, "1002", "caller4")
            assert await bed.ami.until(lambda: told(bed, "PJSIP/caller4"), 15.0)
            await scene.call("caller1", "1001")
            transfer = await scene.transfer("1001", "supervised", "1002")
            await scene.phone("caller4").answer()
            await scene.reaches(transfer, "consulting")
            await scene.hear_one_another("1001", "caller4")
            await scene.complete(transfer)
            await scene.hear_one_another("caller1", "caller4")
            await scene.talks_with("1002", "caller1")
            # It is theirs: they send the call on from there.
            again = await scene.transfer("1002", "supervised", "1001")
            await scene.phone("1001").answer(within=8)
            await scene.reaches(again, "consulting")
            await scene.on_music("caller1")
            await scene.complete(again)
            await scene.hear_one_another("caller1", "1001")
            await scene.gone("caller4")
            await scene.hang_up("caller1")
            await scene.gone("1001")


async def at(bed: Bed, user: str, device: str) -> None:
    for family, key, value in (
        ("AMPUSER", f"{user}/device", device),
        ("DEVICE", f"{device}/dial", f"PJSIP/{device}"),
        ("DEVICE", f"{device}/user", user),
    ):
        await bed.ami.action("DBPut", Family=family, Key=key, Val=value)


async def told(bed: Bed, phone: str) -> bool | None:
    variable = "AVP_PHONES_1002_from_queue_n"
    answer = await bed.ami.action("Getvar", Variable=variable)
    return answer.get("Value") == phone or None


class TwoInterfaces(World):
    """1002 is in support as well, by another interface."""

    def render_queues(self) -> str:
        member = "member => Local/1002@from-queue/n,0,Bob,PJSIP/1002"
        text = super().render_queues()
        return text.replace("[support]", f"[support]\n{member}", 1)


async def test_one_person_by_two_interfaces() -> None:
    """A transferred call comes before a caller of either group who has waited longer."""
    fields = {name: getattr(world(), name) for name in World.__dataclass_fields__}
    made = TwoInterfaces(**fields | {"extensions": dialplan({})})
    async with Bed(made, backend=backend_named(None)) as bed:
        await bed.start_daemon()
        async with open_scene(bed) as scene:
            other = "Local/1002@from-queue/n"

            async def both() -> bool | None:
                rows = await bed.ami.list("QueueStatus", Queue="avp-agent-1002")
                found = [row for row in rows if row.name == "QueueMember"]
                paused = {member["Location"]: member["Paused"] for member in found}
                return paused == {"PJSIP/1002": "0", other: "1"} or None

            await scene.call("caller1", "1001")
            await scene.call("caller2", "1002")
            await scene.pause("1003")
            await scene.pause("1004")
            transfer = await scene.transfer("1001", "unsupervised", "1002")
            await scene.reaches(transfer, "waiting")
            assert await bed.ami.until(both, 5.0), await bed.ami.members("avp-agent-1002")
            await scene.phone("caller3").dial("801")
            await scene.waits("support", "caller3")
            await scene.hang_up("caller2")
            await scene.phone("1002").answer(within=8)
            await scene.talking("caller1", "1002")
            await scene.on_music("caller3")
            await scene.hang_up("caller1", "caller3")
            await scene.gone("1002")
            await scene.pause("1003", paused=False)
            await scene.pause("1004", paused=False)
