"""What an administrator does who follows INSTALL.txt: its steps, run literally, and nothing else.

The commands run with this test's folders instead of the system's.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from bed import Bed
from dotenv import dotenv_values

from asterisk_avp.install.instructions import RESTART
from tests.documentation import ROOT, blocks, page, section


def page_commands(file: str, *headings: str) -> list[str]:
    """The commands of these sections of a page, in order."""
    text = page(file)
    code = (block.text for x in headings for block in blocks(section(text, x), "sh"))
    return [line for lines in code for line in lines.splitlines()]


def code(step: str) -> list[str]:
    """The lines of a step that are commands."""
    return re.findall(r"^ {4}(\S.*)$", step, re.MULTILINE)


class Administrator(Bed):
    """An Asterisk on which somebody installs the product; the daemon's settings are the rendered
    ones."""

    #: Further settings that the administrator has in the environment when rendering.
    given: ClassVar[dict[str, str]] = {}
    check = first = ""
    """The last two steps of INSTALL.txt."""

    @property
    def etc(self) -> Path:
        return self.directory / "etc"

    def place(self, name: str) -> Path:
        # Not in the instance's own directory, which is Asterisk's: settings there are not trusted.
        found = self.backend.directory(f"{self.name}.places") / name
        found.mkdir(parents=True, exist_ok=True)
        return found

    async def start(self, phones: Iterable[str] | None = None) -> None:
        shutil.rmtree(self.place("").resolve())  # what AVP_KEEP has kept
        await super().start(phones)

    async def stop(self) -> None:
        await super().stop()
        if not os.environ.get("AVP_KEEP"):
            shutil.rmtree(self.place("").resolve())

    @property
    def folder(self) -> Path:
        return self.place("rendered")

    def daemon_env(self) -> dict[str, str]:
        found = dotenv_values(self.place("settings") / "environment", interpolate=False)
        return {name: value for name, value in found.items() if value}

    async def sh(self, *lines: str, status: int = 0) -> str:
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
            environment |= self.given
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", script),
            env=environment,
            cwd=ROOT if "bin/pip install" in text else self.directory,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == status, f"{text}\n{output.decode()}"
        return output.decode()

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

    async def render_all(self, command: str) -> str:
        """Render the files. Returns what it printed."""
        return await self.sh(command)

    async def follow(self) -> None:
        """INSTALL.txt's steps, up to the service."""
        text = (self.folder / "INSTALL.txt").read_text()
        steps = re.split(r"(?m)^\d+\. ", text)[1:]
        copy, add, reload, service, self.check, self.first = steps
        await self.sh(*code(copy))
        self.backend.give(self.etc)
        self.add(add)
        await self.switch(add)
        for line in code(reload):
            await self.reload(line)
        assert RESTART in line
        # Until the old Asterisk has gone; it accepts connections for a moment after the command.
        await self.ami.lost(within=10.0)
        await self.connect()
        await self.sh(*(line for line in code(service) if not line.startswith("systemctl")))
        self.secrets = replace(self.secrets, token=self.daemon_env()["AVP_API__TOKENS"])

    async def reload(self, line: str) -> None:
        """One command that makes Asterisk read the files."""
        (command,) = re.fullmatch(r"asterisk -rx '(.+)'", line).groups()  # type: ignore[union-attr]
        await self.asterisk_says(command)

    def add(self, text: str) -> None:
        """The lines for the administrator's own files, where INSTALL.txt says."""
        added = re.findall(
            rf"^  {re.escape(str(self.etc))}/(\S+), (at the end|in \[\w+\]):\n\n((?:    .+\n)+)",
            text,
            re.MULTILINE,
        )
        assert len(added) >= self.additions, text
        self.added: dict[str, list[str]] = {}
        """The lines of the administrator's files."""
        way_out = re.search(r"in (\S+) below the #include:\n\n((?:    .+\n)+)", text)
        if way_out is not None:
            added.append((way_out[1], "at the end", way_out[2]))
        for name, place, indented in added:
            file = self.etc / name
            lines = re.sub("^    ", "", indented, flags=re.MULTILINE)
            self.added.setdefault(name, []).extend(lines.splitlines())
            if place == "at the end":
                file.write_text(f"{file.read_text()}\n{lines}")
            else:
                section = place.removeprefix("in ")
                self.change(name, rf"(?m)^{re.escape(section)}.*$", rf"\g<0>\n{lines}")

    additions = 7
    """At least so many files of the administrator's need lines."""

    async def switch(self, text: str) -> None:
        """The switches that INSTALL.txt names, in a PBX's web pages."""
        assert "change these switches" not in text, text

    def change(self, name: str, pattern: str, new: str) -> None:
        text, count = re.subn(pattern, new, (self.etc / name).read_text(), count=1)
        assert count == 1, (name, pattern)
        (self.etc / name).write_text(text)
