"""The PBX with the product on it, installed as INSTALL.txt says."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from tests.asterisk.freepbx.bed import PbxBed
from tests.asterisk.freepbx.model import Pbx
from tests.asterisk.installing import Administrator, code, page_commands

_SWITCHES = {
    "Honor Wrapup Time Across Queues: Yes": {"shared_lastcall": True},
    "Persistent Members: Yes": {"persistent_members": True},
    "Enable the mini-HTTP Server: Yes": {"http": True},
    "Enable the Asterisk REST Interface: Yes": {"ari": True},
}
_CODES = {
    "In-Call Asterisk Blind Transfer": "blindxfer",
    "In-Call Asterisk Attended Transfer": "atxfer",
}


class Installed(Administrator, PbxBed):
    """`async with Installed(pbx()) as bed: await bed.install()`."""

    #: Ring times that fit the PBX's, and everything that agents may do.
    given: ClassVar[dict[str, str]] = {
        "AVP_SESSION__RING_SECONDS": "6",
        "AVP_ENTERPRISE__MAX_HOLD_SECONDS": "12",
        "AVP_ENTERPRISE__EXTERNAL_TRANSFER": "true",
        "AVP_ENTERPRISE__MANUAL_DIAL": "true",
        "AVP_ACCOUNTS__MAIN__COUNTRY": "US",
        "AVP_LOG__FORMAT": "json",
    }
    additions = 7

    async def install(self, *options: str) -> None:
        """``options``: further ones for `render all`."""
        program = self.place("bin") / "asterisk-avp"
        program.unlink(missing_ok=True)
        program.symlink_to(Path(sys.executable).with_name("asterisk-avp"))
        commands = page_commands("docs/install.md", "## 2. Write the files for your Asterisk")
        (self.command,) = commands
        self.command = " ".join((self.command, *options))
        self.printed = await self.render_all(self.command)
        await self.follow()
        await self.qualify()

    async def again(self) -> None:
        """What INSTALL.txt says once more, after another `render all`; without another restart."""
        text = (self.folder / "INSTALL.txt").read_text()
        copy, add, reload, service, *_ = re.split(r"(?m)^\d+\. ", text)[1:]
        await self.sh(*code(copy))
        self.backend.give(self.etc)
        assert "There is nothing to add" in add, add
        await self.switch(add)
        await self.reload(code(reload)[0])
        await self.sh(*(line for line in code(service) if not line.startswith("systemctl")))
        await self.stop_daemon()
        await self.start_daemon()

    async def restart(self) -> None:
        """Asterisk ends and starts again; the phones are still registered."""
        await self.asterisk_says("core restart now")
        await self.ami.lost(within=10.0)
        await self.connect()
        await self.qualify()

    async def reload(self, line: str) -> None:
        if line == "fwconsole reload":
            await self.apply_config()
        else:
            await super().reload(line)

    async def switch(self, text: str) -> None:
        """In the web pages; nothing takes effect before the next *Apply Config*."""
        _, _, block = text.partition("change these switches")
        self.switched = code(block)
        for switch in self.switched:
            self.pbx = _switched(self.pbx, switch)


def _switched(pbx: Pbx, switch: str) -> Pbx:
    for title, change in _SWITCHES.items():
        if switch.endswith(title):
            return replace(pbx, **change)  # type: ignore[arg-type]
    if options := re.search(r"Asterisk Dial Options: (\w+)$", switch):
        return replace(pbx, dial_options=options[1])
    feature = re.search(r"Feature Codes > (.+) \(.+\): Disabled$", switch)
    assert feature is not None, switch
    return replace(pbx, disabled_codes=pbx.disabled_codes | {_CODES[feature[1]]})
