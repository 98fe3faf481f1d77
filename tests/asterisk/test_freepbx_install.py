"""The product is installed on a PBX of FreePBX's shape, and stays so whatever its GUI does."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from bed import backend_named

from asterisk_avp.install.files import OURS
from tests.asterisk.conftest import open_scene
from tests.asterisk.freepbx.bed import pbx
from tests.asterisk.freepbx.installed import Installed
from tests.asterisk.installing import code

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

SALES = "15550600"
ADVANCED = "Settings > Advanced Settings"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own() -> AsyncIterator[Installed]:
    async with Installed(pbx(), backend=backend_named(None)) as started:
        await started.install()
        await started.start_daemon()
        yield started


async def findings(own: Installed) -> dict[str, set[str]]:
    """What `check` finds wrong, as INSTALL.txt calls it, but as JSON: severities by id."""
    settings, check = code(own.check)
    output = await own.sh(settings, f"{check} --json || true")
    found = json.loads(output[output.index("{") :])
    wrong: dict[str, set[str]] = {}
    for each in found["findings"]:
        if each["severity"] in ("error", "warning"):
            wrong.setdefault(each["id"], set()).add(each["severity"])
    assert found["ok"] is not any("error" in severities for severities in wrong.values()), found
    return wrong


async def errors(own: Installed) -> set[str]:
    return {name for name, severities in (await findings(own)).items() if "error" in severities}


async def test_render_says_what_it_found(own: Installed) -> None:
    assert "is the configuration of FreePBX" in own.printed
    names = {name for name in own.added if "custom" not in name and "override" not in name}
    assert not names, "only files that Apply Config leaves alone"
    assert sorted(own.switched) == [
        "Admin > Feature Codes > In-Call Asterisk Attended Transfer (*2): Disabled",
        "Admin > Feature Codes > In-Call Asterisk Blind Transfer (##): Disabled",
        f"{ADVANCED} > Asterisk Builtin mini-HTTP server > Enable the mini-HTTP Server: Yes",
        f"{ADVANCED} > Asterisk REST Interface > Enable the Asterisk REST Interface: Yes",
        f"{ADVANCED} > Dialplan and Operational > Asterisk Dial Options: HhTtri",
    ]


async def test_check_is_green(own: Installed) -> None:
    settings, check = code(own.check)
    await own.sh(settings, check)  # exit status 0
    await own.apply_config()
    assert await errors(own) == set()


async def test_a_second_render_changes_nothing(own: Installed) -> None:
    before = {name: (own.etc / name).read_bytes() for name in OURS if (own.etc / name).exists()}
    output = await own.render_all(own.command)
    assert output.count(": unchanged") == len(before) + 2, output  # the settings and the unit
    assert "There is nothing to add" in output
    assert "change these switches" not in output


# --- what is missing is found ---------------------------------------------------------------------


Undo = Callable[[Installed], Awaitable[None]]


def without(file: str, pattern: str = r"(?s).+") -> Callable[[Installed], None]:
    """These lines are gone from a file of the administrator's."""

    def change(own: Installed) -> None:
        text = (own.etc / file).read_text()
        less = re.sub(pattern, "", text)
        assert less != text, (file, pattern)
        (own.etc / file).write_text(less)

    return change


def switched(**changes: Any) -> Callable[[Installed], None]:
    """Somebody has changed a switch in the web pages."""

    def change(own: Installed) -> None:
        own.pbx = own.pbx.changed(**changes)

    return change


TAKEN_AWAY: dict[str, tuple[Callable[[Installed], None], str]] = {
    "dialplan": (without("extensions_custom.conf"), "dialplan"),
    "override": (without("extensions_override_freepbx.conf"), "override"),
    "personal queues": (without("queues_custom.conf"), "personal_queue"),
    "phones": (without("pjsip_custom_post.conf", r"#include avp_pjsip.conf\n"), "transfer_button"),
    "trunks": (without("pjsip_custom_post.conf", r"allow_transfer = no\n"), "sip_refer"),
    "AMI user": (without("manager_custom.conf", r"#include avp_manager.conf\n"), "ami"),
    "ARI user": (without("ari_additional_custom.conf"), "ari"),
    "HTTP": (switched(http=False), "ari"),
    "ARI": (switched(ari=False), "ari"),
    "blind transfer": (switched(disabled_codes=frozenset({"atxfer"})), "dtmf_transfer"),
    "attended transfer": (switched(disabled_codes=frozenset({"blindxfer"})), "dtmf_transfer"),
    "option i": (switched(dial_options="HhTtr"), "forwarding"),
    "wrap-up": (switched(shared_lastcall=False), "queue_settings"),
}
"""What somebody may take away, and the error that `check` reports."""

LESS: dict[str, tuple[Callable[[Installed], None], str]] = {
    "feature code": (without("features_applicationmap_custom.conf"), "feature_code"),
    "persistent members": (switched(persistent_members=False), "queue_settings"),
}
"""And what is only a warning: transfers work, and no rule can be passed by."""

_ALWAYS = ("override", "phones")
"""Those that CI runs; `tests/run thorough` runs all."""


@asynccontextmanager
async def taken_away(own: Installed, change: Callable[[Installed], None]) -> AsyncIterator[None]:
    model = own.pbx
    files = {file: file.read_text() for file in own.etc.glob("*custom*")}
    files |= {file: file.read_text() for file in own.etc.glob("*override*")}
    change(own)
    try:
        await own.apply_config()
        yield
    finally:
        for file, text in files.items():
            file.write_text(text)
        await own.apply_config(model)


@pytest.mark.parametrize(
    "what",
    [x if x in _ALWAYS else pytest.param(x, marks=pytest.mark.thorough) for x in TAKEN_AWAY],
)
async def test_check_is_red(own: Installed, what: str) -> None:
    change, finding = TAKEN_AWAY[what]
    async with taken_away(own, change):
        assert finding in await errors(own)
    await ready(own)


@pytest.mark.thorough
@pytest.mark.parametrize("what", LESS)
async def test_check_warns(own: Installed, what: str) -> None:
    change, finding = LESS[what]
    before = await findings(own)
    async with taken_away(own, change):
        now = await findings(own)
    assert finding not in before, before
    assert now[finding] == {"warning"}
    await ready(own)


@pytest.mark.thorough
async def test_check_is_red_without_fastagis_address(own: Installed) -> None:
    """A global variable that a file no longer has stays until Asterisk starts again."""
    async with taken_away(own, without("globals_custom.conf")):
        await own.restart()
        assert "agi" in await errors(own)
    await own.restart()
    await ready(own)


# --- the GUI --------------------------------------------------------------------------------------


async def ready(own: Installed) -> None:
    async def look() -> bool | None:
        return own._ready() or None

    assert await own.ami.until(look, 10.0)


async def transfer(own: Installed, target: str = "1002", phone: str = "1002") -> None:
    """A call to 1001, and a supervised transfer."""
    async with open_scene(own) as scene:
        await scene.call("caller1", "1001", number=SALES)
        transfer = await scene.transfer("1001", "supervised", target)
        await scene.phone(phone).answer()
        await scene.consulting(transfer, "caller1", "1001", phone)
        await scene.complete(transfer)
        await scene.hear_one_another("caller1", phone)


@pytest.mark.thorough
async def test_an_agent_is_renamed(own: Installed) -> None:
    base = own.pbx
    try:
        await own.apply_config(base.with_user("1001", name="Alicia"))
        async with open_scene(own) as scene:
            await scene.call("caller1", "1001", number=SALES)
            assert (await scene.agent("1001"))["name"] == "Alicia"
            transfer = await scene.transfer("1001", "unsupervised", "1002")
            await scene.phone("1002").answer()
            await scene.ends(transfer, "completed", "completed")
            await scene.talking("caller1", "1002")
            await scene.hang_up("caller1")
            await scene.booked(Alicia=1, Bob=1)
    finally:
        await own.apply_config(base)


@pytest.mark.thorough
async def test_a_queue_is_added(own: Installed) -> None:
    """`render` says how it becomes a group; then it is one like the others."""
    base, settings = own.pbx, own.folder / "environment"
    before = settings.read_text()
    added = base.with_queue("603", name="New", static=("1003",), wrapuptime=1)
    try:
        await own.apply_config(added)
        output = await own.render_all(f"{own.command} --write")
        note = re.search(r"the queues 603\. If 603 .+ render again: (AVP_GROUPS__.+)", output)
        assert note is not None, output
        settings.write_text(before + note[1].replace(" ", "\n") + "\n")
        await own.render_all(f"{own.command} --write")
        await own.again()
        async with open_scene(own) as scene:
            await scene.call("caller1", "1001", number=SALES)
            transfer = await scene.transfer("1001", "unsupervised", "queue_603", kind="group")
            await scene.phone("1003").answer()
            await scene.ends(transfer, "completed", "completed")
            await scene.talking("caller1", "1003")
        assert await errors(own) == set()
    finally:
        await own.apply_config(base)
        settings.write_text(before)
        await own.render_all(f"{own.command} --write")
        await own.again()


@pytest.mark.thorough
async def test_an_agent_is_deleted(own: Installed) -> None:
    """The lines that pjsip.conf still has for them do not keep Asterisk from reading the rest."""
    base = own.pbx
    try:
        await own.apply_config(base.without_user("1002"))
        await own.restart()
        await ready(own)
        endpoints = await own.ami.command("pjsip show endpoints")
        assert "1001" in endpoints
        assert "Endpoint:  1002" not in endpoints
        async with open_scene(own) as scene:
            await scene.call("caller1", "1001", number=SALES)
            refused = await scene.refused("1001", "supervised", "agent", "1002")
            assert refused in ("target_offline", "unknown_target"), refused
        await own.render_all(f"{own.command} --write")
        await own.again()
        assert "[1002]" not in (own.etc / "avp_pjsip.conf").read_text()
        assert await errors(own) == set()
    finally:
        await own.apply_config(base)
        await own.restart()
        await own.render_all(f"{own.command} --write")
        await own.again()


@pytest.mark.thorough
async def test_what_to_undo(own: Installed) -> None:
    """`--remove` names every line that was added, and nothing else of theirs."""
    output = await own.sh(f"{own.command} --remove")
    for name, lines in own.added.items():
        for line in lines:
            if line.startswith(";"):
                continue
            assert re.search(rf"{re.escape(name)}:\d+: {re.escape(line)}", output), (name, line)
    assert "[probe]" not in output
