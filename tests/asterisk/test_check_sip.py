"""`asterisk-avp check` and ways past the rules over SIP and the dialplan, on a real Asterisk.

Each hole is opened separately, in the files and in Asterisk, and closed with the suggested lines.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from bed import Bed, backend_named

from asterisk_avp.install import checks
from asterisk_avp.install.asterisk_conf import read
from asterisk_avp.install.checks.model import FILES, Facts, Finding, Live, Severity
from asterisk_avp.install.checks.running import running
from asterisk_avp.install.checks.sip import SipAccount, SipAddress
from asterisk_avp.install.sip_probe import Client, try_replaces
from tests.asterisk.conftest import world

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

IDS = ("invite_replaces", "forwarding", "sip_message", "sip_publish", "foreign_values")
RELOADS = (
    "dialplan reload",
    "module reload res_pjsip.so",
    "module reload res_pjsip_endpoint_identifier_ip.so",
)


class Office(Bed):
    """An Asterisk without phones, and without the daemon, which is not needed here.

    ``noload``: modules that are not loaded.
    """

    noload: tuple[str, ...] = ()

    def render(self) -> None:
        super().render()
        etc = self.directory / "etc"
        with (etc / "modules.conf").open("a") as file:
            file.writelines(f"noload = {name}\n" for name in self.noload)
        # A second transport; the daemon's port is free.
        with (etc / "pjsip.conf").open("a") as file:
            lines = ("type = transport", "protocol = tcp", f"bind = 127.0.0.1:{self.ports.agi}")
            file.write("\n".join(("[tcp]", *lines, "")))

    async def start(self, phones: Iterable[str] | None = ()) -> None:
        await super().start(phones)

    async def reload(self) -> None:
        for command in RELOADS:
            await self.ami.command(command)

    async def findings(self) -> list[Finding]:
        """The findings about SIP and the dialplan that are not ok."""
        etc = self.directory / "etc"
        files = {name: read(etc, name) for name in FILES}
        agents = [agent.id for agent in self.world.agents]
        sip = try_replaces(files["pjsip.conf"], files["features.conf"], agents, "127.0.0.1")
        dialplan = running(await self.ami.list("ShowDialPlan"))
        found = checks.run(Facts(files, live=Live(sip=sip, dialplan=dialplan)))
        return [x for x in found if x.id in IDS and x.severity != "ok"]

    @asynccontextmanager
    async def changed(self, name: str, pattern: str, new: str) -> AsyncIterator[None]:
        """With another text in a file, and loaded in Asterisk."""
        file = self.directory / "etc" / name
        before = file.read_text()
        text, count = re.subn(pattern, new, before)
        assert count, pattern
        try:
            file.write_text(text)
            await self.reload()
            yield
        finally:
            file.write_text(before)
            await self.reload()

    async def mend(self, found: Iterable[Finding]) -> None:
        """Apply the suggested lines: at the end of a file, or instead of a line."""
        for x in found:
            name, _, line = x.where.partition(":")
            file = self.directory / "etc" / name
            lines = file.read_text().splitlines()
            if line:
                lines[int(line) - 1 : int(line)] = x.mend
            else:
                lines += ["", *x.mend]
            file.write_text("\n".join(lines) + "\n")
        await self.reload()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Office]:
    async with Office(world(), backend=backend_named(None)) as started:
        yield started


def told(found: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(x.severity.value, x.id) for x in found]


LARGE = [("warning", "invite_replaces")] * 2
"""The findings on a correct Asterisk: a header of more than 4 kB, over UDP and TCP, against which
Asterisk has no setting. Only this machine can reach the transports."""


async def test_all_is_well(office: Office) -> None:
    found = await office.findings()
    assert told(found) == LARGE, found
    assert all("of more than 4 kB by [1001] is obeyed (481)" in x.what for x in found)
    assert {x.what.split(":")[0] for x in found} == {"udp 127.0.0.1", "tcp 127.0.0.1"}
    assert "udp length > 4096" in "\n".join(found[0].mend)
    assert "noload = res_pjsip_refer.so" in found[1].mend


async def test_nothing_is_left_of_it(office: Office) -> None:
    await office.ami.mark()
    began = len(office.ami.events)
    await office.findings()
    await office.ami.assert_clean()
    await office.ami.mark()  # all events of it have come
    # The obeyed one has a channel, which runs nothing.
    seen = {event.name for event in office.ami.events[began:]}
    assert not seen & {"Newexten", "Pickup", "DialBegin", "BridgeEnter"}, seen


async def test_the_pickup_extension_without_an_account(office: Office) -> None:
    """The former state: the context had no extension, but *8 was answered 200."""
    async with office.changed("pjsip.conf", r"deny = .*\n", ""):
        found = await office.findings()
        assert told(found).count(("error", "invite_replaces")) == 5, found
        obeyed = [x.what for x in found if "is obeyed (481)" in x.what and "4 kB" not in x.what]
        for who in ("somebody without an account", "[1001]"):
            assert [who in x for x in obeyed].count(True) == 2, obeyed
        await office.mend([x for x in found if "neither denies" in x.what])
        assert told(await office.findings()) == LARGE


async def test_another_pickup_extension(office: Office) -> None:
    async with (
        office.changed("pjsip.conf", r"deny = .*\n", ""),
        office.changed("features.conf", r"\[general\]", "[general]\npickupexten = *55"),
    ):
        await office.ami.command("module reload features")
        found = await office.findings()
        obeyed = [x.what for x in found if "is obeyed (481)" in x.what]
        assert len(obeyed) == 6
        assert all("INVITE to *55" in x for x in obeyed)
    await office.ami.command("module reload features")
    assert told(await office.findings()) == LARGE


async def test_without_the_section_that_catches_it(office: Office) -> None:
    """A stranger is challenged for a password; an agent's phone has one."""
    async with office.changed("pjsip.conf", "match_header = Replaces:", "match_header = X-Other:"):
        found = await office.findings()
        obeyed = [x.what for x in found if "is obeyed (481)" in x.what and "4 kB" not in x.what]
        assert [("[1001]" in x) for x in obeyed] == [True, True]
        assert ("error", "invite_replaces") in told(found)
        assert any("no identify section" in x.what for x in found)


async def test_strangers_that_are_taken_for_an_endpoint(office: Office) -> None:
    """An unknown sender is `anonymous`, if that endpoint exists: the large header passes."""
    anonymous = "\n[anonymous]\ntype = endpoint\ncontext = avp-nowhere\n"
    async with office.changed("pjsip.conf", r"\Z", anonymous):
        found = await office.findings()
        assert told(found) == LARGE * 2
        assert sum("by somebody without an account" in x.what for x in found) == 2


async def test_a_trunk_that_is_known_by_a_header(office: Office) -> None:
    """Whoever sends that header along with Replaces is identified as either, by a hash of the
    names."""
    both = "Replaces: a@b;to-tag=1;from-tag=2\r\nRequire: replaces\r\nX-Trunk: 1\r\n"
    address = SipAddress("udp", "127.0.0.1", office.ports.sip)
    for name, answer in (("trunk", 401), ("aa", 481)):
        more = f"\n[{name}]\ntype = endpoint\ncontext = callers\nmessage_context = avp-nowhere\n"
        more += f"[{name}]\ntype = identify\nendpoint = {name}\nmatch_header = X-Trunk: 1\n"
        async with office.changed("pjsip.conf", r"\Z", more):
            found = [x for x in await office.findings() if x.severity is Severity.ERROR]
            assert [("X-Trunk" in x.what, x.id) for x in found] == [(True, "invite_replaces")]
            with Client(address) as client:
                assert client.request("INVITE", "*8", SipAccount("avp-check"), both) == answer


async def test_an_agent_who_cannot_log_in(office: Office) -> None:
    async with office.changed("pjsip.conf", "password = pw-1001", "password = another-one"):
        assert told(await office.findings()) == LARGE
        etc = office.directory / "etc"
        (etc / "pjsip.conf").write_text(
            (etc / "pjsip.conf").read_text().replace("another-one", "a-third-one")
        )
        found = await office.findings()
        assert told(found) == [("warning", "invite_replaces")] * 2
        assert all("[1001] cannot log in" in x.what for x in found)


async def test_a_queue_call_that_a_phone_sends_on(office: Office) -> None:
    lines = r"Queue\((\w+),i[^,)]*"
    async with office.changed("extensions.conf", lines, r"Queue(\1"):
        found = [x for x in await office.findings() if x.id == "forwarding"]
        assert {x.severity.value for x in found} == {"error"}
        assert all(x.where.startswith("extensions.conf:") for x in found)
        await office.mend(found)
        assert told(await office.findings()) == LARGE


async def test_a_dialplan_that_is_in_no_file(office: Office) -> None:
    await office.ami.command("dialplan add extension 55,1,Queue,sales into callers")
    try:
        found = [x for x in await office.findings() if x.id == "forwarding"]
        assert [(x.severity.value, x.where) for x in found] == [("error", "dialplan show callers")]
    finally:
        await office.ami.command("dialplan remove extension 55@callers")
    assert told(await office.findings()) == LARGE


async def test_a_text_message_that_runs_the_dialplan(office: Office) -> None:
    async with office.changed("pjsip.conf", r"(?m)^message_context = .*\n", ""):
        found = [x for x in await office.findings() if x.id == "sip_message"]
        assert told(found) == [("error", "sip_message")] * len(office.world.agents)
        await office.mend(found)
        assert told(await office.findings()) == LARGE


async def test_what_is_dialled_in_the_administrators_context(office: Office) -> None:
    more = "\n[callers](+)\nexten => _9X.,1,Goto(callers,${EXTEN:1},1)\n"
    async with office.changed("extensions.conf", r"\Z", more):
        found = [x for x in await office.findings() if x.id == "foreign_values"]
        assert [x.severity.value for x in found] == ["warning"]


async def test_without_the_module_it_is_refused() -> None:
    """The remedy where a firewall cannot see the header: then no phone rings either (420)."""
    office = Office(world(), backend=backend_named(None))
    office.noload = ("res_pjsip_refer.so",)
    async with office:
        assert told(await office.findings()) == []
        await office.ami.assert_clean()
        await office.ami.mark()  # all events of it have come
        assert not [e for e in office.ami.events if e.name == "Newchannel"]
