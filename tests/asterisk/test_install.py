"""From an Asterisk that knows nothing of us to a transfer, by what `render all` writes.

The files go where INSTALL.txt says, the lines into the files it names, and Asterisk is reloaded by
the commands it gives, while it runs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from bed import Bed, backend_named
from dotenv import dotenv_values

from asterisk_avp.installation import OURS, RELOADS
from tests.asterisk.conftest import open_scene, world
from tests.asterisk.test_phone_code import press

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

OF_OURS = {
    "extensions.conf": (
        r"#include dialplan/asterisk_avp.conf|AVP_AGI = .*"
        r"|(?s:\[avp-external\]\(\+\).*?Hangup\(\))"
    ),
    "features.conf": r"avp_transfer => .*",
    "manager.conf": r"(?s:\[avp\].*?writetimeout = 5000)",
    "ari.conf": r"(?s:\[avp\].*)",
    "pjsip.conf": (
        r"set_var = .*|endpoint_identifier_order = .*|(?s:\[avp-no-replaces\].*?)(?=\[outside\])"
    ),
    "queues.conf": r"shared_lastcall = .*|persistentmembers = .*|#include avp_queues.conf",
}
"""What the test bed's files have for us."""


class PlainBed(Bed):
    """A call centre as it is before us; the daemon's settings are those of `environment`."""

    def render(self) -> None:
        super().render()
        etc = self.directory / "etc"
        for name, pattern in OF_OURS.items():
            text, count = re.subn(pattern, "", (etc / name).read_text())
            assert count, name
            (etc / name).write_text(text.replace("context = avp-agents", "context = agents"))
        (etc / "avp_queues.conf").unlink()

    @property
    def folder(self) -> Path:
        return self.directory / "rendered"

    def daemon_env(self) -> dict[str, str]:
        found = dotenv_values(self.folder / "environment", interpolate=False)
        return {name: value for name, value in found.items() if value}

    async def avp(self, *arguments: str, env: dict[str, str]) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *(str(self.program), *arguments),
            env={**self._inherited(), **env},
            cwd=self.directory,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 30)
        return process.returncode or 0, output.decode()

    async def install(self) -> None:
        """What an administrator does, by the text."""
        etc = self.directory / "etc"
        ports = {
            "AVP_ARI__URL": f"http://127.0.0.1:{self.ports.http}",
            "AVP_AMI__PORT": str(self.ports.ami),
            "AVP_AGI__PORT": str(self.ports.agi),
            "AVP_API__PORT": str(self.ports.api),
        }
        where = ("--output", str(self.folder), "--config-dir", str(etc))
        code, output = await self.avp("render", "all", *where, env=ports)
        assert code == 0, output
        for name in OURS:
            (etc / name).write_text((self.folder / name).read_text())
        self.backend.give(etc)
        text = (self.folder / "INSTALL.txt").read_text()
        added = re.findall(
            rf"^  {re.escape(str(etc))}/(\S+), (at the end|in \[\w+\]):\n\n((?:    .+\n)+)",
            text,
            re.MULTILINE,
        )
        assert len(added) >= 8, text
        for name, place, indented in added:
            file = etc / name
            lines = re.sub("^    ", "", indented, flags=re.MULTILINE)
            if place == "at the end":
                file.write_text(f"{file.read_text()}\n{lines}")
            else:
                section = place.removeprefix("in ")
                assert section in file.read_text(), (name, section)
                changed = file.read_text().replace(section, f"{section}\n{lines}", 1)
                file.write_text(changed)
        for command in RELOADS:
            assert f"asterisk -rx '{command}'" in text
            await self.ami.action("Command", Command=command)
        self.secrets = replace(self.secrets, token=self.daemon_env()["AVP_API__TOKENS"])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def plain() -> AsyncIterator[PlainBed]:
    async with PlainBed(world(), backend=backend_named(None)) as started:
        await started.install()
        await started.start_daemon()
        yield started


async def test_a_transfer(plain: PlainBed) -> None:
    async with open_scene(plain) as scene:
        await scene.call("caller1", "1001")
        transfer = await scene.transfer("1001", "supervised", "1002")
        await scene.phone("1002").answer()
        await scene.consulting(transfer, "caller1", "1001", "1002")
        await scene.complete(transfer)
        await scene.talking("caller1", "1002")


async def test_the_transfer_code(plain: PlainBed) -> None:
    """features.conf and the endpoints' variables are in force, too."""
    async with open_scene(plain) as scene:
        await scene.call("caller2", "1001")
        await press(scene, "*7")
        await scene.on_music("caller2")
        await press(scene, "*")
        await scene.talking("caller2", "1001")


async def test_check_finds_nothing(plain: PlainBed) -> None:
    etc = str(plain.directory / "etc")
    code, output = await plain.avp("check", "--config-dir", etc, env=plain.daemon_env())
    assert code == 0, output


async def test_once_more_there_is_nothing_to_do(plain: PlainBed) -> None:
    where = ("--output", str(plain.folder), "--config-dir", str(plain.directory / "etc"))
    code, output = await plain.avp("render", "all", *where, env={})
    assert code == 0, output
    assert output.count(": unchanged") == 8
    assert "nothing to add" in output
