"""From Debian's Asterisk and a call centre with its own names to transfers, following the pages.

The commands are those of docs/install.md step by step, and then those of INSTALL.txt. Asterisk has
the configuration of its package, and at the end of some files the lines of an independent
administrator (tests/asterisk/own). It keeps running, and restarts where INSTALL.txt says so.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from bed import Phone, backend_named
from bed.audio import write_music
from bed.backend import RootFs
from bed.instance import STAGES
from bed.world import Agent, Group, World

from asterisk_avp.install.files import OURS
from tests.asterisk.conftest import open_scene
from tests.asterisk.installing import Administrator, code, page_commands
from tests.asterisk.scene import Scene

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


class OwnBed(Administrator):
    """That call centre; the daemon's settings are those of the rendered file."""

    def render(self) -> None:
        assert isinstance(self.backend, RootFs)
        for part in STAGES:
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        shutil.copytree(self.backend.root / "etc/asterisk", self.etc, dirs_exist_ok=True)
        there = self.backend.directories(self.name)
        places = {"etc": "ETC", "varlib": "LIB", "db": "LIB", "key": "LIB", "cache": "LIB"}
        places |= {"spool": "SPOOL", "run": "RUN", "log": "LOG"}
        for key, place in places.items():
            self.change(
                "asterisk.conf", rf"(?m)^ast{key}dir => .*", f"ast{key}dir => {there[place]}"
            )
        self.change("asterisk.conf", r"(?m)^\[directories\]\(!\)", "[directories]")
        self.change("manager.conf", "port = 5038", f"port = {self.ports.ami}")
        self.change("musiconhold.conf", r"(?m)^directory=moh", f"directory={there['MOH']}")
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

    # --- what an administrator does ------------------------------------------------------------

    async def install(self) -> None:
        """The page's commands, and INSTALL.txt's up to the check."""
        for command in page_commands("docs/install.md", *STEPS):
            await self.sh(command)
            if command.startswith("python3 -m venv"):
                (packages,) = self.place("opt").glob("lib/python3*/site-packages")
                (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
        self.program = self.place("bin") / "asterisk-avp"
        assert "in extensions.conf below the #include" in (self.folder / "INSTALL.txt").read_text()
        await self.follow()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own() -> AsyncIterator[OwnBed]:
    backend = backend_named(None)
    if not isinstance(backend, RootFs):
        pytest.skip("the images are without Debian's /etc/asterisk (docker/Dockerfile says why)")
    async with OwnBed(CENTRE, backend=backend) as started:
        await started.install()
        await started.start_daemon()
        yield started


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
    stop, *upgrade, render = page_commands("docs/install.md", "## Upgrade")
    assert stop == "systemctl stop asterisk-avp"
    for command in upgrade:
        await own.sh(command)
    output = await own.sh(render)
    assert output.count(": unchanged") == len(OURS - {"avp_pbx.conf", "avp_nodes.conf"}) + 2
    assert "There is nothing to add" in output
    assert sys.executable not in output
