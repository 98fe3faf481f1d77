"""The tests' PBX of FreePBX's shape, before anything of ours is on it, does what one does."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed import backend_named, match

from tests.asterisk.freepbx.bed import PbxBed, pbx

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bare() -> AsyncIterator[PbxBed]:
    async with PbxBed(pbx(), backend=backend_named(None)) as started:
        yield started


@pytest.mark.thorough
async def test_asterisk_accepts_the_configuration(bare: PbxBed) -> None:
    log = (bare.directory / "log" / "messages.log").read_text()
    faults = [
        line
        for line in log.splitlines()
        if ("ERROR" in line or "pbx" in line) and not line.endswith("-custom'")
    ]
    assert not faults, "\n".join(faults)
    members = await bare.ami.members("600")
    assert members["Alice"]["Location"] == "Local/1001@from-queue/n"
    assert members["Alice"]["StateInterface"] == "hint:1001@ext-local"
    assert members["Alice"]["Status"] == "1"


@pytest.mark.thorough
async def test_a_call_to_a_queue_and_voicemail_after_it(bare: PbxBed) -> None:
    """Voicemail is held back while the queue rings, and no longer once an agent has answered."""
    caller, alice = bare.phones["caller1"], bare.phones["1001"]
    await caller.dial("15550600")
    await alice.reject()
    call = await bare.phones["1002"].answer(within=8)
    await caller.hears({"1002"})
    since = await bare.ami.mark()
    await bare.phones["1002"].dtmf("##", call)
    await bare.phones["1002"].dtmf("1001", call)
    await alice.reject(within=10)
    await bare.ami.wait(match("Newexten", Application="VoiceMail"), 5, since)
    assert not bare.ami.seen(
        lambda e: e.name == "Newexten" and e["Application"] == "VoiceMail" and e.at < since
    )
    await bare.idle()


@pytest.mark.thorough
async def test_star_codes(bare: PbxBed) -> None:
    async def status(name: str, queue: str = "601") -> str:
        member = (await bare.ami.members(queue)).get(name)
        return "out" if member is None else ("paused" if member["Paused"] == "1" else "in")

    assert await status("Dave") == "out"
    await bare.star("1004", "*45601")
    assert await status("Dave") == "in"
    await bare.star("1004", "*46601")
    assert await status("Dave") == "paused"
    await bare.star("1004", "*46601")
    assert await status("Dave") == "in"
    await bare.star("1004", "*45601")
    assert await status("Dave") == "out"
    assert bare.fastagi.ran[-1] == ("queue_devstate.agi", "getqueues", "1004")


@pytest.mark.thorough
async def test_device_and_user(bare: PbxBed) -> None:
    """Erin logs off her desk and on to another one."""
    await bare.star("2005", "*12")
    hint = await bare.ami.command("core show hint 1005")
    assert "PJSIP/2005" in hint  # her own desk: that is where she is when nobody else is
    await bare.star("2005", "*111001")
    assert "PJSIP/2005" in await bare.ami.command("core show hint 1001")
    assert "PJSIP/2005" not in await bare.ami.command("core show hint 1005")
    await bare.star("2005", "*12")
    assert "PJSIP/2005" in await bare.ami.command("core show hint 1005")


@pytest.mark.thorough
async def test_outbound_direct_and_forwarded_calls(bare: PbxBed) -> None:
    alice, carol, outside = bare.phones["1001"], bare.phones["1003"], bare.phones["pstn"]
    await alice.dial("2025550100")
    await outside.answer()
    await alice.hears({"pstn"})
    await alice.hangup()
    await outside.closed()
    await alice.dial("1003")
    await carol.answer()
    await carol.hears({"1001"})
    await alice.hangup()
    await carol.closed()
    await bare.star("1003", "*7212025550100")
    await alice.dial("1003")
    await outside.answer()
    await alice.hears({"pstn"})
    await alice.hangup()
    await bare.star("1003", "*73")
    await bare.ami.assert_clean()


@pytest.mark.thorough
async def test_apply_config_overwrites_what_is_not_the_administrators(bare: PbxBed) -> None:
    (bare.etc / "extensions_additional.conf").write_text("; mine\n")
    (bare.etc / "features.conf").write_text("; mine\n")
    (bare.etc / "globals_custom.conf").write_text("MINE = 1\n")
    await bare.apply_config(bare.pbx.with_queue("602", name="New", static=("1003",)))
    assert "1" in await bare.ami.command("dialplan show globals")
    assert "MINE=1" in await bare.ami.command("dialplan show globals")
    assert "[macro-dial-one]" in (bare.etc / "extensions_additional.conf").read_text()
    assert "#include features" in (bare.etc / "features.conf").read_text()
    assert "Carol" in await bare.ami.members("602")
