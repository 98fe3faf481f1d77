"""`asterisk-avp check` on a correct Asterisk, and on one with every fault.

Faults that can be combined are, so that few starts of Asterisk are needed.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Any

import pytest
import pytest_asyncio
from bed import Bed, World, backend_named
from bed.procs import spawn

from asterisk_avp.cli.check import collect
from asterisk_avp.core.transfer.prompts import ALL as PROMPTS
from asterisk_avp.install import checks
from asterisk_avp.install.checks.model import Finding
from asterisk_avp.install.checks.parts import DIALPLAN_SOUNDS, MODULES
from tests.asterisk.conftest import world
from tests.asterisk.faults import known_faults

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

DEMO = {
    ("warning", "password"),
    ("warning", "invite_replaces"),
    ("warning", "dead_phone"),
}
"""Findings on a correct call centre, besides what is known of this version: the demo world's
well-known passwords, INVITEs with Replaces in a header of more than 4 kB, which only a firewall
stops (here only this machine could send them), and phones that are not asked whether they are
there, since not all phones of the tests answer OPTIONS."""


class Office(Bed):
    """A call centre without phones. `broken`: with every possible fault at its start."""

    broken = False

    def render(self) -> None:
        super().render()
        if not self.broken:
            return
        self.change("modules.conf", r"\Z", "\nnoload = app_read.so\nnoload = func_json.so\n")
        self.change("queues.conf", "shared_lastcall = yes", "shared_lastcall = no")
        self.change("queues.conf", r"(?s)(\[sales\].*?)weight = 0", r"\1weight = 2000000")
        self.change("queues.conf", r"(?s)(\[support\].*?)wrapuptime = 2", r"\1wrapuptime = 9")
        self.change("avp_queues.conf", r"(?s)\[avp-agent-1004\].*", "")
        self.change("avp_queues.conf", r"(\[avp-agent-1002\].*)", r"\1\nmaxlen = 3\nretry = 7")
        self.change("dialplan/asterisk_avp.conf", r"\[avp-accept\]", "[avp-accept-not]")
        self.change("extensions.conf", r"(?s)\[avp-external\]\(\+\).*?Hangup\(\)", "")
        self.change("extensions.conf", r"AVP_AGI = .*", "AVP_AGI = agi://127.0.0.1:1")
        self.change("extensions.conf", r"\[globals\]", "[globals]\nAVP_MAX_HOLD_SOUND = my/own")
        self.change("manager.conf", r"(\[avp\][^\[]*?read = ).*", r"\1agent")
        self.change("manager.conf", r"(\[avp\][^\[]*?write = ).*", r"\1call,agent,command")
        # A sounds directory without sounds.
        data = self.directory / "data"
        (data / "sounds" / "en").mkdir(parents=True)
        for part in ("documentation", "rest-api"):
            (data / part).symlink_to(f"{self.backend.data}/{part}")
        inside = f"{self.backend.inside(self.name)}/data"
        self.change("asterisk.conf", r"astdatadir => .*", f"astdatadir => {inside}")

    def change(self, name: str, pattern: str, new: str) -> None:
        file = self.directory / "etc" / name
        text, count = re.subn(pattern, new, file.read_text(), count=1)
        assert count, (name, pattern)
        file.write_text(text)

    async def start(self, phones: Any = ()) -> None:
        await super().start(phones)

    def variables(self, **env: str) -> dict[str, str]:
        return {**self._inherited(), **self.daemon_env(), **env}

    async def command(self, *arguments: str, **env: str) -> tuple[int, list[dict[str, Any]]]:
        """The command as a process. Returns its exit status and the findings that are not ok."""
        etc = str(self.directory / "etc")
        process = await asyncio.create_subprocess_exec(
            *(str(self.program), "check", "--config-dir", etc, "--json", *arguments),
            env=self.variables(**env),
            cwd=self.directory,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await asyncio.wait_for(process.communicate(), 60)
        assert errors == b"", errors
        answer = json.loads(output)
        assert process.returncode == (1 if answer["errors"] else 0)
        # No secret is ever shown.
        for secret in (self.secrets.ami, self.secrets.ari, self.secrets.probe, self.secrets.token):
            assert secret.encode() not in output
        return process.returncode or 0, [x for x in answer["findings"] if x["severity"] != "ok"]

    async def check(self, **env: str) -> list[dict[str, Any]]:
        """The same without the two seconds that a process takes to start."""
        found = await self.findings(**env)
        return json.loads(json.dumps([asdict(x) for x in found if x.severity != "ok"]))

    async def findings(self, clock: Callable[[], float] = time.time, **env: str) -> list[Finding]:
        with pytest.MonkeyPatch.context() as patched:
            for name in [*os.environ]:
                patched.delenv(name)
            for name, value in self.variables(**env).items():
                patched.setenv(name, value)
            patched.chdir(self.directory)
            return checks.run(await collect(self.directory / "etc", clock=clock))


def kinds(found: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(x["severity"], x["id"]) for x in found}


async def demo(office: Office) -> set[tuple[str, str]]:
    """`DEMO` on this version of Asterisk."""
    return DEMO | ({("warning", "version")} if await known_faults(office) else set())


def about(found: list[dict[str, Any]], kind: str, *words: str) -> dict[str, Any]:
    """The one finding of this kind with these words."""
    those = [x for x in found if x["id"] == kind and all(word in x["what"] for word in words)]
    assert len(those) == 1, (kind, words, found)
    return those[0]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def right() -> AsyncIterator[Office]:
    async with Office(world(), backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def wrong() -> AsyncIterator[Office]:
    office = Office(world(), backend=backend_named(None))
    office.broken = True
    async with office as started:
        # It never becomes ready: its user may not list the channels.
        environment = {**started._inherited(), **started.daemon_env()}
        started.daemon = spawn(
            started.backend.daemon(started.name, started.program, environment, outlive=False),
            log=started.directory / "log" / "daemon.log",
            env=environment,
            cwd=started.directory,
        )

        async def listens() -> bool | None:
            log = (started.directory / "log" / "daemon.log").read_text()
            return "api_listening" in log or None

        assert await started.ami.until(listens, 20.0)
        yield started


async def test_all_is_well(right: Office) -> None:
    code, found = await right.command()
    assert (code, kinds(found)) == (0, await demo(right)), found


async def test_the_demo_asks_whether_phones_are_there() -> None:
    async with Office(World.demo(), backend=backend_named(None)) as demo:
        found = [x for x in await demo.findings() if x.id == "dead_phone"]
    assert [(x.severity, x.what) for x in found] == [("ok", "Asterisk notices a phone that dies")]


async def test_nobody_is_rung_and_nothing_is_left(right: Office) -> None:
    await right.ami.mark()
    mark = len(right.ami.events)
    books = (right.directory / "log" / "queue_log").read_text()
    await right.check()
    await right.ami.assert_clean()
    await right.ami.mark()  # all events of it have come
    channels = {e["Channel"] for e in right.ami.events[mark:] if e.name == "Newchannel"}
    # 1001's is that of an INVITE with Replaces, in which nothing runs (test_check_sip.py).
    assert {name.rpartition("-")[0] for name in channels} == {"Local/s@avp-check", "PJSIP/1001"}
    ran = {e["Channel"] for e in right.ami.events[mark:] if e.name == "Newexten"}
    assert {name.rpartition("-")[0] for name in ran} == {"Local/s@avp-check"}
    assert (right.directory / "log" / "queue_log").read_text() == books
    log = (right.directory / "log" / "daemon.log").read_text()
    assert "decision" not in log


async def test_its_modules_are_there(right: Office) -> None:
    """An unknown name would be missing everywhere; Asterisk's own list has all of them."""
    shown = (await right.ami.action("Command", Command="module show"))["Output"]
    running = {line.split()[0] for line in shown.splitlines() if " Running " in line}
    assert {f"{name}.so" for name in MODULES} <= running


async def test_clocks_that_differ(right: Office) -> None:
    """By an hour, so that it does not matter how long Asterisk takes to answer."""

    async def clock(ahead: float) -> Finding:
        found = await right.findings(clock=lambda: time.time() + ahead)
        return next(x for x in found if x.id == "clock")

    async def told(ahead: float) -> tuple[str, int]:
        """Which side Asterisk's clock is on, and by how many seconds."""
        what = (await clock(ahead)).what
        match = re.search(r"clock is (\d+) s (behind|ahead of) ours", what)
        assert match, what
        return match[2], int(match[1])

    hour = 3600
    assert (await clock(0)).severity == "ok"
    for ahead, expected in ((hour, "behind"), (-hour, "ahead of")):
        side, seconds = await told(ahead)
        assert side == expected
        assert abs(seconds - hour) < 120


async def test_users_that_are_refused(right: Office) -> None:
    """By their passwords, their addresses, their write access; and a daemon that is down."""
    found = await right.check(AVP_AMI__SECRET="not-this-one", AVP_ARI__PASSWORD="nor-this")
    assert "rejects user 'avp'" in about(found, "ami")["what"]
    assert "ari.conf" in about(found, "ari", "ARI GET")["where"]
    found = await right.check(AVP_AMI__PORT="1", AVP_ARI__URL="http://127.0.0.1:1/ari")
    assert {("error", "ami"), ("error", "ari"), ("error", "version")} <= kinds(found)

    right.change("ari.conf", "read_only = no", "read_only = yes")
    await right.ami.action("Command", Command="module reload res_ari.so")
    await right.stop_daemon()
    found = await right.check()
    assert kinds(found) - await demo(right) == {("error", "ari"), ("error", "daemon")}
    refused = about(found, "ari", "may not create a channel")
    assert refused["where"] == "ari.conf:7"
    assert refused["mend"] == ["read_only = no"]
    # And fixed as the finding says.
    right.change("ari.conf", "read_only = yes", refused["mend"][0])
    await right.ami.action("Command", Command="module reload res_ari.so")
    await right.start_daemon()
    assert kinds(await right.check()) == await demo(right)


async def test_a_dialplan_that_stops_half_way(right: Office) -> None:
    await right.ami.action("ModuleLoad", Module="app_userevent.so", LoadType="unload")
    found = await right.check()
    assert kinds(found) - await demo(right) == {("error", "modules"), ("error", "dialplan")}, found
    assert "app_userevent" in about(found, "modules")["what"]
    assert "avp-check" in about(found, "dialplan")["what"]
    await right.ami.action("ModuleLoad", Module="app_userevent.so", LoadType="load")
    # An older dialplan is reported, with everything that it lacks.
    right.change("dialplan/asterisk_avp.conf", r"(?s)\[avp-check\].*?\n\n", "")
    await right.ami.action("Command", Command="dialplan reload")
    found = await right.check()
    assert kinds(found) - await demo(right) == {("error", "dialplan"), ("warning", "dialplan")}
    assert "no context avp-check" in about(found, "dialplan", "no context")["what"]
    right.render_dialplan()
    right.backend.give(right.directory / "etc")
    await right.ami.action("Command", Command="dialplan reload")
    assert kinds(await right.check()) == await demo(right)


async def test_what_is_open_and_what_is_guessed(right: Office) -> None:
    """Files only; Asterisk is not affected."""
    right.change("manager.conf", "bindaddr = 127.0.0.1", "bindaddr = 0.0.0.0")
    right.change("manager.conf", r"\Z", "\n[boss]\nsecret = boss\nread = all\nwrite = all\n")
    right.change("http.conf", "bindaddr = 127.0.0.1", "bindaddr = 0.0.0.0")
    right.change("ari.conf", r"\Z", "\n[portal]\ntype = user\npassword = asterisk\n")
    right.change("pjsip.conf", "password = pw-1003", "password = 1003")
    code, found = await right.command(
        "--offline", AVP_API__TOKENS="A-LONG-RANDOM-TOKEN", AVP_AGI__HOST="0.0.0.0"
    )
    assert code == 1
    said = [x["what"] for x in found]
    assert "AMI listens on 0.0.0.0 and [boss] may connect from anywhere" in said
    assert "ARI listens on 0.0.0.0 without TLS" in said
    assert "the daemon's FastAGI listens on 0.0.0.0" in said
    assert "the secret of [boss] is the name" in said
    assert "the password of [portal] is a well-known one" in said
    assert "the password of [1003] is the name" in said
    assert "AVP_API__TOKENS is a well-known one" in said
    for x in found:
        assert x["why"], x
        assert x["mend"], x


async def test_an_asterisk_that_is_broken(wrong: Office) -> None:
    code, found = await wrong.command()
    assert code == 1
    rights = about(found, "ami_rights", "may not send")
    assert "CoreShowChannels" in rights["what"]
    assert rights["mend"] == ["write = call,agent,reporting"]
    assert re.fullmatch(r"manager\.conf:\d+", rights["where"])
    assert "command" in about(found, "ami_rights", "more rights")["what"]
    assert "events of call" in about(found, "ami_rights", "does not receive")["what"]
    assert {"app_read", "func_json"} <= set(re.findall(r"\w+", about(found, "modules")["what"]))
    assert "avp-accept" in about(found, "dialplan", "no context")["what"]
    assert "dials no trunk" in about(found, "dialplan", "avp-external")["what"]
    assert "not the dialplan of this version" in about(found, "dialplan", "version")["what"]
    sounds = about(found, "sounds", "has no sound")["what"]
    assert all(name in sounds for name in (*DIALPLAN_SOUNDS, *PROMPTS, "digits/7"))
    assert "my/own" in about(found, "sounds", "list")["what"]
    agi = about(found, "agi")
    assert "agi://127.0.0.1:1 " in agi["what"]
    assert agi["mend"][-1] == f"AVP_AGI = agi://127.0.0.1:{wrong.ports.agi}"
    assert about(found, "queue_settings")["mend"] == ["shared_lastcall = yes"]
    assert about(found, "group_queue")["mend"] == ["AVP_GROUPS__SUPPORT__ACW_SECONDS=9"]
    assert about(found, "personal_queue", "1004 has no queue")["mend"][0] == (
        "[avp-agent-1004](avp-personal)"
    )
    assert "maxlen is 3" in about(found, "personal_queue", "avp-agent-1002", "maxlen")["what"]
    assert "retry is 7" in about(found, "personal_queue", "avp-agent-1002", "retry")["what"]
    assert "2000000" in about(found, "personal_queue", "avp-agent-1001", "weight")["what"]
    assert "not ready" in about(found, "daemon")["what"]
    for x in found:
        assert x["why"], x
        assert x["mend"] or x["id"] == "version", x


async def test_without_the_files(wrong: Office) -> None:
    """On another machine, Asterisk's own answers reveal the worst faults."""
    etc = wrong.directory / "etc"
    moved = wrong.directory / "elsewhere"
    etc.rename(moved)
    etc.mkdir()
    try:
        found = await wrong.check()
    finally:
        etc.rmdir()
        moved.rename(etc)
    assert {
        *(("error", "ami_rights"), ("error", "modules"), ("error", "dialplan"), ("error", "agi")),
        *(("error", "personal_queue"), ("error", "sounds"), ("error", "daemon")),
    } <= kinds(found)
    # Missing event rights show only in events that the self-test did not receive.
    assert "events of call" in about(found, "ami_rights", "does not receive")["what"]
