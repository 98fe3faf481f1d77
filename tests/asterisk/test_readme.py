"""The commands of README.md and docs/, run literally, with this call centre's addresses."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from bed import Bed
from bed.deadlines import patiently

from asterisk_avp.install.checks.pjsip import NO_REPLACES
from tests.asterisk.faults import known_faults
from tests.asterisk.scene import Scene
from tests.documentation import COMMANDS, HERE, ROOT, blocks, page, pages, section
from tests.documentation import commands as commands_of

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]


def told(begin: str) -> str:
    """The one command with this beginning that is run here."""
    (found,) = (x for x, file in COMMANDS.items() if file == HERE and x.startswith(begin))
    return found


async def run(
    bed: Bed, command: str, *, within: float | None = 30.0, **more: str
) -> tuple[int, str]:
    """A command of the pages, with its addresses and paths replaced by the test's.

    ``within``: None for one that runs until it is ended.
    """
    bin_directory = Path(sys.executable).parent
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AVP_")}
    environment |= bed.daemon_env() | {"AVP_URL": bed.url, "AVP_TOKEN": bed.secrets.token}
    environment["PATH"] = f"{bin_directory}:{environment['PATH']}"
    places = {"http://127.0.0.1:8766": bed.url} | more
    there = "|".join(map(re.escape, sorted(places, key=len, reverse=True)))
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", re.sub(there, lambda match: places[match[0]], command)),
        env=environment,
        cwd=bed.directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    limit = None if within is None else patiently(within)
    output, _ = await asyncio.wait_for(process.communicate(), limit)
    return process.returncode or 0, output.decode()


async def test_rendering(bed: Bed, tmp_path: Path) -> None:
    queues = tmp_path / "queues.conf"
    queues.write_text("[sales]\nmember => PJSIP/1001\nmember => PJSIP/1007\n", encoding="utf-8")
    here = shlex.quote(str(tmp_path))
    for file in ("dialplan", "queues --from", "extensions", "systemd"):
        command = told(f"asterisk-avp render {file}")
        places = {"/etc/asterisk": here, "/etc/systemd/system": here}
        code, output = await run(bed, command, **places)
        assert code == 0, output
    dialplan = (ROOT / "dialplan" / "asterisk_avp.conf").read_text(encoding="utf-8")
    assert (tmp_path / "asterisk_avp.conf").read_text(encoding="utf-8") == dialplan
    assert "Type=notify" in (tmp_path / "asterisk-avp.service").read_text(encoding="utf-8")
    assert "exten => 1007,1," in (tmp_path / "avp_extensions.conf").read_text(encoding="utf-8")
    assert "[avp-agent-1007]" in (tmp_path / "avp_queues.conf").read_text(encoding="utf-8")


async def test_ready(bed: Bed) -> None:
    code, output = await run(bed, told("curl http").replace("curl", "curl -s"))
    assert code == 0
    assert json.loads(output)["ready"] is True


async def test_settings_and_numbers(bed: Bed) -> None:
    for command, shown in {
        "asterisk-avp settings": "AVP_ENTERPRISE__EXTERNAL_TRANSFER",
        "asterisk-avp settings --check": "",
        "asterisk-avp settings --reference": "AVP_AMI__PORT (default: 5038)",
        told('asterisk-avp number "(202)'): "+12025550100",
        told('asterisk-avp number "020'): '"allowed": true',
    }.items():
        assert COMMANDS[command] == HERE
        code, output = await run(bed, command)
        assert code == 0, output
        assert shown in output


async def test_check(bed: Bed) -> None:
    """Everything is correct, except for what a test bed has to warn of (test_check_live, DEMO)."""
    command = told("asterisk-avp check --config-dir")
    here = {"/etc/asterisk": f"{bed.directory}/etc"}
    code, output = await run(bed, command, **here)
    assert code == 0, output
    _, output = await run(bed, f"{command} --json", **here)
    found = [x for x in json.loads(output)["findings"] if x["severity"] != "ok"]
    faults = await known_faults(bed)
    assert {(x["severity"], x["id"]) for x in found} == {
        *((("warning", "version"),) if faults else ()),
        ("warning", "password"),
        ("warning", "invite_replaces"),
        ("warning", "dead_phone"),
    }, found
    said = [x["why"] for x in found if x["id"] == "version"]
    assert [why.startswith(fault.what) for why, fault in zip(said, faults, strict=True)] == [
        True for _ in faults
    ]
    log = (bed.directory / "log" / "daemon.log").read_text(encoding="utf-8")
    assert log.count("asterisk_version_warning") == len(faults) * log.count("asterisk_version ")


async def test_the_lines_of_the_bed_are_those_of_the_page(bed: Bed) -> None:
    """The tests' lines against INVITEs with Replaces are those that an administrator is told."""
    (block,) = blocks(section(page("docs/security.md"), "## INVITE with Replaces"), "ini")
    wanted = block.text[block.text.index("[avp-no-replaces]") :]
    wanted = wanted[: wanted.index("\n\n[avp-no-control-characters]")]
    assert wanted == "\n".join(NO_REPLACES)
    assert wanted in (bed.directory / "etc" / "pjsip.conf").read_text(encoding="utf-8")


async def test_what_an_administrator_is_told_to_ask_asterisk(bed: Bed) -> None:
    """Asterisk knows its own commands; `module reload` names an existing module."""
    texts = [*pages().values(), page("SECURITY.md")]
    about = "core|dialplan|manager|pjsip|queue"
    verbs = "reload|restart|set|show"
    cli = re.compile(rf"`((?:{about}) (?:{verbs})(?: [a-z]+)?|module reload [\w.]+)")
    found = {command for text in texts for command in cli.findall(text)}
    assert {"queue show", "manager reload", "module reload res_ari.so"} <= found
    for command in sorted(found):
        words = command.split()
        if words[:2] == ["module", "reload"]:
            assert words[2] in await bed.ami.command(f"module show like {words[2]}"), command
        else:
            usage = await bed.ami.command(f"core show help {command}")
            assert "No such command" not in usage, usage
            assert {*words} <= {*re.findall(r"\w+", usage)}, usage


@pytest.mark.skipif(os.geteuid() != 0, reason="files are given to other users")
async def test_preparing_for_containers(bed: Bed, tmp_path: Path) -> None:
    steps = list(commands_of(section(page("docs/containers.md"), "## Prepare")))
    here = {"/etc/asterisk-avp": str(tmp_path / "ours"), "/etc/asterisk": f"{bed.directory}/etc"}
    for command in steps:
        code, output = await run(bed, command, **here)
        assert code == 0, output
    assert len(steps) == 4
    secrets = (tmp_path / "ours" / "secrets").stat()
    assert (secrets.st_uid, secrets.st_mode & 0o777) == (10001, 0o700)
    assert (tmp_path / "ours" / "asterisk" / "pjsip.conf").stat().st_uid == 10002


async def test_first_transfer(bed: Bed, scene: Scene, tmp_path: Path) -> None:
    pid, seen = tmp_path / "pid", tmp_path / "seen"
    seen.touch()
    command = f"echo $$ >{pid}; exec {told('asterisk-avp watch')} >{seen}"
    watching = asyncio.create_task(run(bed, command, within=None))

    async def shown(text: str) -> None:
        async def look() -> bool | None:
            return text in seen.read_text(encoding="utf-8") or None

        assert await scene.ami.until(look, 15.0), seen.read_text(encoding="utf-8")

    await shown("Alice")
    try:
        await scene.call("caller1", "1001")
        command = told("asterisk-avp transfer 1001 --supervised --to-agent 1002")
        code, output = await run(bed, command)
        assert code == 0, output
        transfer = (await scene.agent("1001"))["call"]["transfer"]["id"]
        await scene.phone("1002").answer()
        await scene.consulting(transfer, "caller1", "1001", "1002")
        code, output = await run(bed, f"asterisk-avp complete {transfer}")
        assert code == 0, output
        await scene.talking("caller1", "1002")
        await shown(transfer)
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(pid.read_text()), signal.SIGTERM)
        await watching
    journal = told("journalctl").replace("9f3c2d4e5a6b", transfer)
    log = {"journalctl -u asterisk-avp": f"cat {shlex.quote(str(bed.directory))}/log/daemon.log"}
    code, output = await run(bed, journal, **log)
    assert code == 0
    assert all(f"transfer={transfer}" in line for line in output.splitlines())


async def test_from_a_log_line_to_a_row_of_the_table(bed: Bed, scene: Scene) -> None:
    """The page's lines are those of such a transfer, and each row is found by its name."""
    walk = section(page("docs/how-it-works.md"), "## From a log line to a row of the table")
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").reject()
    await scene.ends(transfer, "failed", "rejected")
    (shown,) = blocks(walk, "text")
    log = (bed.directory / "log" / "daemon.log").read_text(encoding="utf-8").splitlines()
    lines = [x for x in log if " transition " in x and f"transfer={transfer}" in x]
    # Asterisk decides which of the two enters Stasis first, and when the leg's channel ends.
    fields, example = (
        [
            found
            for line in source
            for found in [dict(re.findall(r"(from|to|trigger|row|reason)=(\S+)", line))]
            if found["from"] != "starting" and found["trigger"] != "leg_gone"
        ]
        for source in (lines, shown.text.splitlines())
    )
    assert fields == example
    assert len(fields) == 3
    (search,) = (x for x in commands_of(walk) if x.startswith("grep "))
    searched = search.split()[2]
    assert searched in {x["row"] for x in fields}
    for row in {x["row"] for x in fields}:
        places = {searched: row, "asterisk_avp/core": shlex.quote(str(ROOT / "asterisk_avp/core"))}
        code, output = await run(bed, search, **places)
        assert code == 0, row
        assert output.count("Transition(") == len(output.splitlines()) == 1


async def test_first_transfer_by_http(bed: Bed, scene: Scene) -> None:
    await scene.call("caller1", "1001")
    code, output = await run(bed, told('curl -H "Authorization').replace("curl ", "curl -s ", 1))
    assert code == 0
    transfer = json.loads(output)["id"]
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
