"""What a running Asterisk tells of itself, where no file that is read here has it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from bed import Bed, backend_named

from asterisk_avp.install.asterisk_conf import read
from asterisk_avp.install.running.access import ask_somebody
from asterisk_avp.install.running.ask import AmiAccess, Wanted, ask_as
from asterisk_avp.install.running.state import PbxMember, RunningPbx
from tests.asterisk.conftest import world
from tests.asterisk.test_check_live import Office, about, kinds

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

GUARD = "PJSIP_TRANSFER_HANDLING()"
WIZARD = """
[w1]
type = wizard
accepts_registrations = yes
endpoint/context = avp-agents
endpoint/message_context = avp-nowhere
inbound_auth/username = w1
inbound_auth/password = something-long
"""
AEL = """
context from-ael {
    hint(PJSIP/w1&Custom:DND1007) 1007 => NoOp();
}
"""


class Strange(Office):
    """Agent 1007's phone is in pjsip_wizard.conf, and known only by a hint that is AEL."""

    def render(self) -> None:
        super().render()
        etc = self.directory / "etc"
        for module in ("pbx_ael", "res_ael_share", "res_pjsip_config_wizard"):
            self.change("modules.conf", rf"noload = {module}.so", "")
        (etc / "pjsip_wizard.conf").write_text(WIZARD)
        (etc / "extensions.ael").write_text(AEL)
        self.change(
            "queues.conf",
            r"(\[sales\])",
            r"\1\nmember => Local/1007@from-ael/n,0,Grace,hint:1007@from-ael",
        )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def strange() -> AsyncIterator[Strange]:
    async with Strange(world(), backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


def access(bed: Bed, user: str) -> AmiAccess:
    own = bed.daemon_env()
    manager = read(bed.directory / "etc", "manager.conf").first(user)
    assert manager is not None
    host, port = own["AVP_AMI__HOST"], int(own["AVP_AMI__PORT"])
    return AmiAccess(host, port, user, manager.last("secret"))


async def asked(bed: Bed, user: str, *endpoints: str) -> RunningPbx:
    return await ask_as(access(bed, user), Wanted(endpoints))


async def test_the_daemons_rights_are_enough(strange: Strange) -> None:
    found = await asked(strange, "avp", "1001", "caller1", "nobody")
    assert found.untold == ()
    assert found.version.startswith("2")
    assert found.hints == {"1007@from-ael": "PJSIP/w1&Custom:DND1007"}
    assert found.queues is not None
    assert (
        PbxMember("Local/1007@from-ael/n", "hint:1007@from-ael", "Grace")
        in found.queues["sales"].members
    )
    assert found.features is not None
    assert (found.features["blindxfer"], found.features["atxfer"]) == ("#", "")
    assert found.endpoints is not None
    assert {"1001", "caller1", "w1"} <= set(found.endpoints)
    assert "nobody" not in found.endpoints
    assert found.endpoints["1001"].variables[GUARD] == "ari-only"
    assert found.endpoints["w1"].variables[GUARD] is None
    assert found.endpoints["caller1"].options["allow_transfer"] == "false"


@pytest.mark.thorough
async def test_both_roads_lead_to_the_same_endpoint(strange: Strange) -> None:
    """An administrator's user may list the endpoints; ours asks for each option."""
    ours = await asked(strange, "avp", "1001", "caller1", "w1", "pstn")
    theirs = await asked(strange, "probe")
    assert (ours.endpoints, theirs.endpoints, theirs.all_endpoints) != (None, None, False)
    for name, known in (ours.endpoints or {}).items():
        other = (theirs.endpoints or {})[name]
        assert known.options == {x: other.options.get(x, "") for x in known.options}, name
        assert {x: y for x, y in known.variables.items() if y is not None} == {
            x: y for x, y in other.variables.items() if x in known.variables
        }


@pytest.mark.thorough
async def test_a_user_of_manager_conf_where_ours_is_not_there_yet(strange: Strange) -> None:
    manager = read(strange.directory / "etc", "manager.conf")
    place = (access(strange, "avp").host, access(strange, "avp").port)
    wrong = AmiAccess(*place, "avp", "not-the-secret")
    found = await ask_somebody(wrong, manager, place, Wanted())
    assert found.pbx is not None
    assert found.said[0].endswith("refuses [avp].")
    assert found.said[1] == "Asked Asterisk as [probe] of manager.conf."


async def test_an_unguarded_phone_of_no_file_is_found_by_its_hint(strange: Strange) -> None:
    code, found = await strange.command()
    fault = about(found, "transfer_button")
    assert code == 1
    assert (fault["severity"], fault["where"]) == ("error", "pjsip_wizard.conf")
    assert fault["mend"] == ["[w1](+)", f"endpoint/set_var = {GUARD}=ari-only"]
    await mended(strange, fault)


async def mended(strange: Strange, fault: dict[str, Any]) -> None:
    """The lines that `check` asks for, where it asks for them, and a reload."""
    file = strange.directory / "etc" / "pjsip_wizard.conf"
    file.write_text(file.read_text() + "\n".join(["", *fault["mend"], ""]))
    await strange.ami.command("module reload res_pjsip_config_wizard.so")
    await strange.ami.command("module reload res_pjsip.so")
    _, found = await strange.command()
    assert ("error", "transfer_button") not in kinds(found), found


async def test_a_guard_that_asterisk_has_not_read(strange: Strange) -> None:
    """The file has it, which was all that `check` looked at; Asterisk has not."""
    strange.change("pjsip.conf", r"set_var = PJSIP_TRANSFER_HANDLING\(\)=ari-only", "accountcode=x")
    await strange.ami.command("module reload res_pjsip.so")
    strange.change("pjsip.conf", r"accountcode=x", f"set_var = {GUARD}=ari-only")
    _, found = await strange.command()
    faults = [x for x in found if x["id"] == "transfer_button"]
    assert faults
    assert all("Asterisk has not read this" in x["what"] for x in faults)
    await strange.ami.command("module reload res_pjsip.so")
    _, found = await strange.command()
    assert ("error", "transfer_button") not in kinds(found), found
