"""From Debian's Asterisk and a call centre with its own names to transfers, following the pages.

The commands are those of docs/install.md step by step, and then those of INSTALL.txt, run literally
with this test's folders. Asterisk has the configuration of its package, and at the end of some
files the lines of an independent administrator (tests/asterisk/own). It keeps running, and restarts
where INSTALL.txt says so.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from bed import Bed, Phone, backend_named
from bed.audio import write_music
from bed.backend import RootFs
from bed.instance import STAGES
from bed.world import Agent, Group, World
from dotenv import dotenv_values

from asterisk_avp.install.files import OURS
from asterisk_avp.install.instructions import RESTART
from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene
from tests.documentation import ROOT, blocks, page, section

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

OWN = Path(__file__).with_name("own")
OUTSIDE = "+12025550100"
CENTRE = World(
    agents=(Agent("anna", "Anna Berg"), Agent("201", "Ben Oye"), Agent("chloe", "Chloe Day")),
    groups=(
        Group("front-desk", ("anna", "201"), number="442079460100", wrapuptime=3),
        Group("Billing_EU", ("chloe",), number="442079460200", wrapuptime=0),
    ),
    callers=("caller1", "caller2"),
    outside=("carrier",),
)


STEPS = ("## 1. Install the package", "## 2. Write the files for your Asterisk")
"""INSTALL.txt has the rest."""


def page_commands(*headings: str) -> list[str]:
    """The commands of these sections, in order."""
    text = page("docs/install.md")
    code = (block.text for x in headings for block in blocks(section(text, x), "sh"))
    return [line for lines in code for line in lines.splitlines()]


class OwnBed(Bed):
    """That call centre; the daemon's settings are those of the rendered file."""

    @property
    def etc(self) -> Path:
        return self.directory / "etc"

    def place(self, name: str) -> Path:
        # Not in the instance's own directory, which is Asterisk's: settings there are not trusted.
        found = self.backend.directory(f"{self.name}.places") / name
        found.mkdir(parents=True, exist_ok=True)
        return found

    def render(self) -> None:
        assert isinstance(self.backend, RootFs)
        for part in STAGES:
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        shutil.copytree(self.backend.root / "etc/asterisk", self.etc, dirs_exist_ok=True)
        there = self.backend.directories(self.name)
        places = {"etc": "ETC", "varlib": "LIB", "db": "LIB", "key": "LIB", "cache": "LIB"}
        places |= {"spool": "SPOOL", "run": "RUN", "log": "LOG"}
        for key, place in places.items():
            self._change(
                "asterisk.conf", rf"(?m)^ast{key}dir => .*", f"ast{key}dir => {there[place]}"
            )
        self._change("asterisk.conf", r"(?m)^\[directories\]\(!\)", "[directories]")
        self._change("manager.conf", "port = 5038", f"port = {self.ports.ami}")
        self._change("musiconhold.conf", r"(?m)^directory=moh", f"directory={there['MOH']}")
        values = {"BIND": self.places.bind, "SIP_PORT": str(self.places.sip)}
        values |= {"MEDIA": self.places.media, "HTTP_PORT": str(self.places.http)}
        values |= {"RTP_START": str(self.ports.rtp[0]), "RTP_END": str(self.ports.rtp[1])}
        for file in OWN.glob("*.conf"):
            text = file.read_text()
            for key, value in values.items():
                text = text.replace(f"@{key}@", value)
            with (self.etc / file.name).open("a") as theirs:
                theirs.write(text)
        # The tests' own view of events, where Debian has a folder for other services.
        (self.etc / "manager.d/probe.conf").write_text(
            f"[probe]\nsecret = {self.secrets.probe}\nread = all\nwrite = all\n"
        )
        write_music(self.directory / "moh" / "music.wav")
        # Not the folder itself, where the daemon runs, nor an administrator's files there.
        for part in self.directory.iterdir():
            if part.is_dir():
                self.backend.give(part)

    def configure_phone(self, name: str, answer: str = "manual") -> Phone:
        """At the trunk's other end, somebody has the called number."""
        phone = super().configure_phone(name, answer)
        if name == "carrier":
            accounts = phone.directory / "accounts"
            line = accounts.read_text()
            more = re.sub("sip:carrier@", f"sip:{OUTSIDE}@", line).replace("regint=600", "regint=0")
            accounts.write_text(line + more)
            self.backend.give(phone.directory)
        return phone

    def _change(self, name: str, pattern: str, new: str) -> None:
        text, count = re.subn(pattern, new, (self.etc / name).read_text(), count=1)
        assert count == 1, (name, pattern)
        (self.etc / name).write_text(text)

    def daemon_env(self) -> dict[str, str]:
        found = dotenv_values(self.place("settings") / "environment", interpolate=False)
        return {name: value for name, value in found.items() if value}

    # --- what an administrator does ------------------------------------------------------------

    async def sh(self, *lines: str) -> str:
        """Run these in one shell, with our folders instead of the system's."""
        etc, settings, units = self.etc, self.place("settings"), self.place("units")
        here = {
            "/etc/asterisk-avp": str(settings if "render all" not in lines[0] else self.folder),
            "/etc/asterisk": str(etc),
            "/etc/systemd/system": str(units),
            "/opt/asterisk-avp": str(self.place("opt")),
            "/usr/local/bin": str(self.place("bin")),
        }
        # Asterisk's group exists only in the root file system; `give` does it instead.
        text = "\n".join(lines).replace("-g asterisk ", "")
        # Not in the middle of a path that is already ours.
        places = "|".join(map(re.escape, here))
        text = re.sub(rf"(?<![\w/.-])({places})(?![\w-])", lambda m: here[m[0]], text)
        script = f"set -e\n{text}\n"
        environment = self._inherited()
        environment["PATH"] = f"{self.place('bin')}:{environment['PATH']}"
        environment["AVP_URL"] = self.url  # 8766 is another test's
        # pip sees that the packages of the lock are installed; it does not ask a registry.
        environment["PIP_NO_INDEX"] = "1"
        # The settings of a system with other ports.
        if "render all" in text:
            environment["AVP_AGI__PORT"] = str(self.ports.agi)
            environment["AVP_API__PORT"] = str(self.ports.api)
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", script),
            env=environment,
            cwd=ROOT if "bin/pip install" in text else self.directory,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == 0, f"{text}\n{output.decode()}"
        return output.decode()

    @property
    def folder(self) -> Path:
        return self.place("rendered")

    async def asterisk_says(self, command: str) -> str:
        """`asterisk -rx COMMAND`, to the running one."""
        conf = f"{self.backend.directories(self.name)['ETC']}/asterisk.conf"
        argv = [self.backend.asterisk, "-C", conf, "-rx", command]
        asked = self.backend.command(self.name, "asterisk", argv, outlive=False)
        done = await asyncio.to_thread(
            subprocess.run, asked, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    async def install(self) -> None:
        """The page's commands, and INSTALL.txt's up to the check."""
        for command in page_commands(*STEPS):
            await self.sh(command)
            if command.startswith("python3 -m venv"):
                (packages,) = self.place("opt").glob("lib/python3*/site-packages")
                (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
        self.program = self.place("bin") / "asterisk-avp"
        text = (self.folder / "INSTALL.txt").read_text()
        steps = re.split(r"(?m)^\d+\. ", text)[1:]
        copy, add, reload, service, self.check, self.first = steps
        await self.sh(*code(copy))
        self.backend.give(self.etc)
        self.add(add)
        for line in code(reload):
            (command,) = re.fullmatch(r"asterisk -rx '(.+)'", line).groups()  # type: ignore[union-attr]
            await self.asterisk_says(command)
        assert command == RESTART
        # Until the old Asterisk has gone; it accepts connections for a moment after the command.
        await self.ami.lost(within=10.0)
        await self.connect()
        await self.sh(*(line for line in code(service) if not line.startswith("systemctl")))
        self.secrets = replace(self.secrets, token=self.daemon_env()["AVP_API__TOKENS"])

    def add(self, text: str) -> None:
        """The lines for the administrator's own files, where INSTALL.txt says."""
        added = re.findall(
            rf"^  {re.escape(str(self.etc))}/(\S+), (at the end|in \[\w+\]):\n\n((?:    .+\n)+)",
            text,
            re.MULTILINE,
        )
        assert len(added) >= 7, text
        way_out = re.search(r"in extensions\.conf below the #include:\n\n((?:    .+\n)+)", text)
        assert way_out is not None
        added.append(("extensions.conf", "at the end", way_out[1]))
        for name, place, indented in added:
            file = self.etc / name
            lines = re.sub("^    ", "", indented, flags=re.MULTILINE)
            if place == "at the end":
                file.write_text(f"{file.read_text()}\n{lines}")
            else:
                section = place.removeprefix("in ")
                self._change(name, rf"(?m)^{re.escape(section)}.*$", rf"\g<0>\n{lines}")


def code(step: str) -> list[str]:
    return re.findall(r"^ {4}(\S.*)$", step, re.MULTILINE)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own() -> AsyncIterator[OwnBed]:
    backend = backend_named(None)
    if not isinstance(backend, RootFs):
        pytest.skip("the images are without Debian's /etc/asterisk (docker/Dockerfile says why)")
    async with OwnBed(CENTRE, backend=backend) as started:
        try:
            await started.install()
            await started.start_daemon()
            yield started
        finally:
            if not os.environ.get("AVP_KEEP"):
                shutil.rmtree(started.place("").resolve(), ignore_errors=True)


async def call(scene: Scene, caller: str, agent: str) -> None:
    await scene.call(caller, agent, number="442079460100")


async def test_check_finds_nothing(own: OwnBed) -> None:
    await own.sh(*code(own.check))


async def test_the_first_transfer(own: OwnBed) -> None:
    """The last step of INSTALL.txt, in the shell of the one before."""
    settings, _ = code(own.check)
    who, begin, complete = code(own.first)
    assert begin == "asterisk-avp transfer anna --supervised --to-agent 201"
    async with open_scene(own) as scene:
        agents = await own.sh(settings, who)
        assert re.search(r"^anna +Anna Berg +available .* front_desk ", agents, re.MULTILINE), (
            agents
        )
        await call(scene, "caller1", "anna")
        output = await own.sh(settings, begin)
        transfer = re.search(r"transfer (\w+):", output)
        assert transfer is not None, output
        await scene.phone("201").answer()
        await scene.consulting(transfer[1], "caller1", "anna", "201")
        await own.sh(settings, complete.replace("ID", transfer[1]))
        await scene.talking("caller1", "201")
        await scene.plain("caller1", "201")
        await scene.hang_up("201")
        await scene.booked(**{"Anna Berg": 1, "Ben Oye": 1})


async def test_to_a_group_whose_member_is_a_local_channel(own: OwnBed) -> None:
    async with open_scene(own) as scene:
        await call(scene, "caller2", "anna")
        await scene.transfer("anna", "unsupervised", "billing_eu", kind="group")
        await scene.phone("chloe").answer()
        await scene.hear_one_another("caller2", "chloe")

        async def popped() -> bool | None:
            call = (await scene.agent("chloe"))["call"]
            return (call and call["pop"].get("data") == {"line": "front desk"}) or None

        assert await scene.ami.until(popped, 3.0), await scene.agent("chloe")
        (group,) = (await scene.api("GET", "/v1/agents/chloe/targets")).body["my_agent_groups"]
        assert group["name"] == "Billing_EU"


async def test_the_transfer_code(own: OwnBed) -> None:
    """features.conf and the endpoints' variables are in effect, too."""
    async with open_scene(own) as scene:
        await call(scene, "caller2", "anna")
        asked = time.time()
        await scene.press("anna", "*7")
        await scene.on_music("caller2")
        await scene.phone("anna").has_heard("speech", asked)  # no key counts before the prompt
        await scene.press("anna", "*")
        await scene.talking("caller2", "anna")


async def test_a_number_outside(own: OwnBed) -> None:
    """The suggestions of the settings file, enabled, and the line to the trunk."""
    file = own.place("settings") / "environment"
    text = re.sub(r"(?m)^#(AVP_)", r"\1", file.read_text())
    hashed = await own.sh(r"printf '4711-anna\n4711-anna\n' | asterisk-avp pin-hash")
    pin = re.search(r"scrypt:\S+", hashed)
    assert pin is not None, hashed
    assert "AVP_AGENTS__anna__PIN_HASH=scrypt:..." in text
    file.write_text(text.replace("scrypt:...", pin[0]))
    await own.stop_daemon()
    await own.start_daemon()
    settings, _ = code(own.check)
    async with open_scene(own) as scene:
        await call(scene, "caller1", "anna")
        output = await own.sh(
            settings, "asterisk-avp transfer anna --supervised --to-number '(202) 555-0100'"
        )
        transfer = re.search(r"transfer (\w+):", output)
        assert transfer is not None, output
        await scene.phone("carrier").answer()
        await scene.consulting(transfer[1], "caller1", "anna", "carrier")
        await scene.complete(transfer[1])
        await scene.hear_one_another("caller1", "carrier")


async def test_the_panel_and_its_log_in(own: OwnBed) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(own.url + "/") as answer:
            assert answer.status == 200
            assert "<title>" in await answer.text()
        anna = {"agent": "anna", "pin": "4711-anna"}
        async with http.post(own.url + "/v1/login", json=anna) as answer:
            assert answer.status == 200, await answer.text()


async def test_the_unit_is_one(own: OwnBed) -> None:
    unit = own.place("units") / "asterisk-avp.service"
    assert f"ExecStart={own.place('opt')}/bin/asterisk-avp run\n" in unit.read_text()
    if shutil.which("systemd-analyze") is None:
        return
    done = await asyncio.to_thread(
        subprocess.run,
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert unit.name not in done.stderr, done.stderr


async def test_once_more_there_is_nothing_to_do(own: OwnBed) -> None:
    """The page's commands for an upgrade, with an installation that is up to date."""
    stop, *upgrade, render = page_commands("## Upgrade")
    assert stop == "systemctl stop asterisk-avp"
    for command in upgrade:
        await own.sh(command)
    output = await own.sh(render)
    assert output.count(": unchanged") == len(OURS) + 2
    assert "There is nothing to add" in output
    assert sys.executable not in output
