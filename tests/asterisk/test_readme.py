"""The README's commands, run as they stand there, with this call centre's addresses put in."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import sys
from pathlib import Path

import pytest
from bed import Bed

from asterisk_avp.install.checks.pjsip import NO_REPLACES
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

PROGRAMS = ("asterisk-avp", "curl", "docker/", "tests/", "python3", "/opt/", "export")

ELSEWHERE = {
    "docker/demo": "test_demo.py",
    "tests/run": "CI runs it",
    "python3 -m venv /opt/asterisk-avp": "test_install.py, by the README's own lines",
    (
        "/opt/asterisk-avp/bin/pip install --require-hashes --only-binary :all:"
        " -r docker/requirements.lock -r docker/build.lock"
    ): "test_install.py; the images are made by the same, from an index",
    "/opt/asterisk-avp/bin/pip install --no-index --no-deps --no-build-isolation .": (
        "test_install.py"
    ),
    "asterisk-avp render all --output /etc/asterisk-avp --config-dir /etc/asterisk": (
        "test_install.py, with transfers on what it wrote"
    ),
    "asterisk-avp check": "test_check_live.py, and below with the folder",
    "asterisk-avp render queues": "below with its options",
    "asterisk-avp render systemd": "below with its options",
    "asterisk-avp settings --check": "test_cli_settings.py",
    "asterisk-avp settings --reference": "test_settings_readme.py",
    "asterisk-avp number": "below with numbers",
    "/opt/asterisk-avp/bin/pip install --no-index --no-deps --no-build-isolation --upgrade .": (
        "as the one above"
    ),
    "asterisk-avp pin-hash": "test_api_panel.py; it asks for the PIN",
    "asterisk-avp run": "the fixture `bed` has it running",
}
HERE = {
    "asterisk-avp render dialplan --output /etc/asterisk/asterisk_avp.conf",
    (
        "asterisk-avp render queues --from-queues /etc/asterisk/queues.conf"
        " --output /etc/asterisk/avp_queues.conf"
    ),
    (
        "asterisk-avp render extensions --from-queues /etc/asterisk/queues.conf"
        " --output /etc/asterisk/avp_extensions.conf"
    ),
    "asterisk-avp render systemd --output /etc/systemd/system/asterisk-avp.service",
    "asterisk-avp transfer 1001 --supervised --to-agent 1002",
    "asterisk-avp watch",
    "asterisk-avp settings",
    "asterisk-avp check --config-dir /etc/asterisk",
    'asterisk-avp number "(202) 555-0100" --agent 1001',
    'asterisk-avp number "020 7946 0000" --country GB --json',
    "curl http://127.0.0.1:8766/readyz",
}


def commands() -> list[str]:
    """The lines of code that are commands; a backslash joins two."""
    joined = README.replace("\\\n", "")
    blocks = re.findall(r"^ {4}(\S.*)$", joined, re.MULTILINE)
    inline = re.findall(r"`((?:curl|asterisk-avp) [^`]+)`", joined)
    found = [re.sub(r"\s+", " ", line).strip() for line in (*blocks, *inline)]
    return [line for line in found if line.startswith(PROGRAMS)]


async def test_every_command_is_run_by_some_test() -> None:
    post = {line for line in commands() if "-d '{" in line}
    assert len(post) == 1
    unknown = set(commands()) - set(ELSEWHERE) - HERE - post
    assert {line for line in unknown if not line.startswith("asterisk-avp run")} == set()


async def run(bed: Bed, command: str, **more: str) -> tuple[int, str]:
    """A command of the README, with its addresses and paths replaced by the test's."""
    bin_directory = Path(sys.executable).parent
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AVP_")}
    environment |= bed.daemon_env() | {"AVP_URL": bed.url, "AVP_TOKEN": bed.secrets.token}
    environment["PATH"] = f"{bin_directory}:{environment['PATH']}"
    command = command.replace("http://127.0.0.1:8766", bed.url)
    for there, here in more.items():
        command = command.replace(there, here)
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", command),
        env=environment,
        cwd=bed.directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, output.decode()


async def test_rendering(bed: Bed, tmp_path: Path) -> None:
    queues = tmp_path / "queues.conf"
    queues.write_text("[sales]\nmember => PJSIP/1001\nmember => PJSIP/1007\n", encoding="utf-8")
    for command in sorted(HERE):
        if "render" in command:
            here = shlex.quote(str(tmp_path))
            places = {"/etc/asterisk": here, "/etc/systemd/system": here}
            code, output = await run(bed, command, **places)
            assert code == 0, output
    dialplan = (ROOT / "dialplan" / "asterisk_avp.conf").read_text(encoding="utf-8")
    assert (tmp_path / "asterisk_avp.conf").read_text(encoding="utf-8") == dialplan
    assert "Type=notify" in (tmp_path / "asterisk-avp.service").read_text(encoding="utf-8")
    assert "exten => 1007,1," in (tmp_path / "avp_extensions.conf").read_text(encoding="utf-8")
    assert "[avp-agent-1007]" in (tmp_path / "avp_queues.conf").read_text(encoding="utf-8")


async def test_ready(bed: Bed) -> None:
    code, output = await run(bed, "curl -s http://127.0.0.1:8766/readyz")
    assert code == 0
    assert json.loads(output)["ready"] is True


async def test_settings_and_numbers(bed: Bed) -> None:
    code, output = await run(bed, "asterisk-avp settings")
    assert code == 0, output
    assert "AVP_ENTERPRISE__EXTERNAL_TRANSFER" in output
    for command in sorted(line for line in HERE if " number " in line):
        code, output = await run(bed, command)
        assert code == 0, output


async def test_check(bed: Bed) -> None:
    """All is as it should be; of the version, and of passwords that everybody knows, it warns."""
    (command,) = (line for line in HERE if " check " in line)
    here = {"/etc/asterisk": f"{bed.directory}/etc"}
    code, output = await run(bed, command, **here)
    assert code == 0, output
    _, output = await run(bed, f"{command} --json", **here)
    found = [x for x in json.loads(output)["findings"] if x["severity"] != "ok"]
    assert {(x["severity"], x["id"]) for x in found} == {
        ("warning", "version"),
        ("warning", "password"),
        ("warning", "invite_replaces"),
    }, found
    # The release without it is not there yet.
    assert "2021" in next(x["why"] for x in found if x["id"] == "version")
    log = (bed.directory / "log" / "daemon.log").read_text(encoding="utf-8")
    assert "asterisk_version_trouble" in log


async def test_the_lines_of_the_bed_are_those_of_the_readme(bed: Bed) -> None:
    """What INVITEs with Replaces meet in tests is what an administrator is told to write."""
    lines = [line.strip() for line in README.splitlines()]
    begin = lines.index("[avp-no-replaces]")
    wanted = lines[begin : lines.index("match_header = Replaces: /./") + 1]
    assert "\n".join(wanted) == "\n".join(NO_REPLACES)
    assert "\n".join(wanted) in (bed.directory / "etc" / "pjsip.conf").read_text(encoding="utf-8")


async def test_first_transfer(bed: Bed, scene: Scene, tmp_path: Path) -> None:
    pid, seen = tmp_path / "pid", tmp_path / "seen"
    seen.touch()
    command = f"echo $$ >{pid}; exec asterisk-avp watch >{seen}"
    watching = asyncio.create_task(run(bed, command))

    async def shown(text: str) -> None:
        async def look() -> bool | None:
            return text in seen.read_text(encoding="utf-8") or None

        assert await scene.ami.until(look, 15.0), seen.read_text(encoding="utf-8")

    await shown("Alice")
    await scene.call("caller1", "1001")
    code, output = await run(bed, "asterisk-avp transfer 1001 --supervised --to-agent 1002")
    assert code == 0, output
    await scene.phone("1002").answer()
    await scene.phone("caller1").hears({"music"})
    transfer = (await scene.agent("1001"))["call"]["transfer"]["id"]
    code, output = await run(bed, f"asterisk-avp complete {transfer}")
    assert code == 0, output
    await scene.talking("caller1", "1002")
    await shown(transfer)
    os.kill(int(pid.read_text()), signal.SIGTERM)
    await watching


async def test_first_transfer_by_http(bed: Bed, scene: Scene) -> None:
    (command,) = (line for line in commands() if "-d '{" in line)
    await scene.call("caller1", "1001")
    code, output = await run(bed, command.replace("curl ", "curl -s ", 1))
    assert code == 0
    transfer = json.loads(output)["id"]
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
