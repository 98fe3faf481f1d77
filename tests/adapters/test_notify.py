"""The notifications to systemd, on real datagram sockets; and the unit that starts the daemon."""

from __future__ import annotations

import asyncio
import configparser
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_run import Avp
from servers.waiting import eventually
from test_reload import GOOD, Running, wait_until

from asterisk_avp.cli.run import ANOTHER_SERVES
from asterisk_avp.core.model.world import Readiness
from asterisk_avp.install.systemd_unit import render_unit
from asterisk_avp.observe.systemd_notify import LATEST_SECONDS, Notifier

READY = Readiness(ready=True, ari=True, ami=True, synced=True)
MISSING = Readiness(ready=False, ari=False, ami=True, synced=False, detail="No ARI.")


class Supervisor:
    """systemd's end of the socket."""

    def __init__(self, address: str) -> None:
        self.environ = {"NOTIFY_SOCKET": address}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self._socket.setblocking(False)
        self.heard: list[str] = []

    def all(self) -> list[str]:
        """Every message so far."""
        while True:
            try:
                self.heard.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return self.heard

    def has(self, message: str, times: int = 1) -> bool:
        return sum(text.startswith(message) for text in self.all()) >= times

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def supervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Supervisor]:
    name = f"@avp-test-{secrets.token_hex(8)}"
    made = Supervisor(name if request.param == "abstract" else str(tmp_path / "notify"))
    yield made
    made.close()


def test_ready_once_and_what_is_missing_at_any_time(supervisor: Supervisor) -> None:
    notifier = Notifier(supervisor.environ)
    for readiness in (MISSING, READY, MISSING, READY):
        notifier.readiness(readiness)
    notifier.stopping()
    assert supervisor.all() == [
        "STATUS=No ARI.",
        "STATUS=Ready for transfers.",
        "READY=1",
        "STATUS=No ARI.",
        "STATUS=Ready for transfers.",
        "STOPPING=1",
    ]


def test_a_reload(supervisor: Supervisor) -> None:
    notifier = Notifier(supervisor.environ)
    with notifier.reloading():
        pass  # before the start is complete
    notifier.readiness(READY)
    before = time.monotonic_ns() // 1000
    with pytest.raises(KeyError), notifier.reloading():
        raise KeyError
    early, _, _, reloading, ready = supervisor.all()
    assert early.startswith("RELOADING=1\n")
    assert ready == "READY=1"
    first, _, stamp = reloading.partition("\nMONOTONIC_USEC=")
    assert first == "RELOADING=1"
    assert before <= int(stamp) <= time.monotonic_ns() // 1000


async def test_the_event_loop_feeds_the_watchdog(supervisor: Supervisor) -> None:
    watchdog = {"WATCHDOG_USEC": "100000", "WATCHDOG_PID": str(os.getpid())}
    task = asyncio.create_task(Notifier(supervisor.environ | watchdog).run())
    began = time.monotonic()
    await eventually(lambda: supervisor.has("WATCHDOG=1", times=5))
    assert time.monotonic() - began >= 0.2  # four halves of 100 ms, not more often
    time.sleep(0.2)  # noqa: ASYNC251 - the loop is to stand still
    count = len(supervisor.all())
    await eventually(lambda: len(supervisor.all()) > count)
    # One, and the next if that was slow to be seen: the four that are missing are not made up for.
    assert len(supervisor.all()) <= count + 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    "watchdog",
    [
        {},
        {"WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "0"},
    ],
)
async def test_no_watchdog_waits_for_us(
    watchdog: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asterisk_avp.observe.systemd_notify.LATEST_SECONDS", 0.2)
    supervisor = Supervisor(str(tmp_path / "notify"))
    task = asyncio.create_task(Notifier(supervisor.environ | watchdog).run())
    # The start does not wait for Asterisk forever.
    await eventually(lambda: supervisor.has("READY=1"))
    assert supervisor.all() == ["READY=1"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    supervisor.close()


@pytest.mark.parametrize("name", ["", "vsock:2:1", "relative", "/nonexistent/notify", "@avp-none"])
async def test_nobody_listens(name: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000"})
    notifier.readiness(READY)
    with notifier.reloading():
        notifier.stopping()
    task = asyncio.create_task(notifier.run())
    done, _ = await asyncio.wait({task}, timeout=0.05)
    for ended in done:
        assert ended.exception() is None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_the_daemon_tells_it_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an Asterisk, for which the start does not wait forever."""
    supervisor = Supervisor(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", supervisor.environ["NOTIFY_SOCKET"])
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    began = time.monotonic()
    daemon = Running(tmp_path)
    try:
        daemon.wait_for("api_listening")
        wait_until(lambda: supervisor.has("READY=1"))
        assert supervisor.has("STATUS=Not connected to Asterisk: ARI and AMI.")
        assert time.monotonic() - began >= LATEST_SECONDS
        wait_until(lambda: supervisor.has("WATCHDOG=1", times=10))
        daemon.reload(GOOD)
        wait_until(lambda: supervisor.has("READY=1", times=2))
        assert supervisor.has("RELOADING=1")
        daemon.process.send_signal(signal.SIGTERM)
        wait_until(lambda: supervisor.has("STOPPING=1"))
        assert daemon.process.wait(20) == 0
        told = supervisor.all()
        assert told.index("STOPPING=1") < told.index(
            "STATUS=The daemon is stopping and accepts no new transfers."
        )
    finally:
        daemon.process.kill()
        daemon.process.wait()
        supervisor.close()


# --- the unit --------------------------------------------------------------------------------


def read(text: str) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False, comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
    parser.read_string(text)
    return parser["Service"]


@pytest.fixture
def avp(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Avp:
    return Avp(capsys, monkeypatch, tmp_path)


def test_the_unit(avp: Avp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVP_SESSION__DRAIN_SECONDS", "90.5")
    service = read(avp("render", "systemd").out)
    assert service["Type"] == "notify"
    assert service["ExecStart"].endswith("/asterisk-avp run")
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["EnvironmentFile"] == "/etc/asterisk-avp/environment"
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == service["DynamicUser"] == "yes"
    assert int(service["WatchdogSec"]) == 30
    assert int(service["RestartPreventExitStatus"]) == ANOTHER_SERVES
    assert int(service["TimeoutStopSec"]) > 90.5
    service = read(avp("render", "systemd", "--user", "avp").out)
    assert service["User"] == "avp"
    assert "DynamicUser" not in service
    assert avp("render", "systemd", "--user", "a b\nUser=root").code == 2


@pytest.mark.parametrize(
    ("program", "start", "home"),
    [
        ("/opt/avp/bin/asterisk-avp", "/opt/avp/bin/asterisk-avp run", "yes"),
        ("/home/x/bin/asterisk-avp", "/home/x/bin/asterisk-avp run", "read-only"),
        ("/opt/a b/100%/asterisk-avp", '"/opt/a b/100%%/asterisk-avp" run', "yes"),
    ],
)
def test_where_the_program_is(program: str, start: str, home: str) -> None:
    text = render_unit(Path(program), drain_seconds=10, user=None, command="x")
    assert (read(text)["ExecStart"], read(text)["ProtectHome"]) == (start, home)


def test_the_units_of_two_daemons(avp: Avp) -> None:
    texts = {role: avp("render", "systemd", "--standby", role).out for role in ("first", "second")}
    for text in texts.values():
        service = read(text)
        assert service["ExecStart"].endswith("/asterisk-avp run --standby")
        assert (service["DynamicUser"], service["User"]) == ("yes", "asterisk-avp")
        assert "RestartPreventExitStatus" not in service
    assert "\nAfter=asterisk-avp.service\n" in texts["second"]
    assert "asterisk-avp.service\n" not in texts["first"].partition("[Unit]")[2]
    assert "as asterisk-avp-standby.service" in texts["second"]
    assert (
        read(avp("render", "systemd", "--standby", "second", "--user", "avp").out)["User"] == "avp"
    )
    assert avp("render", "systemd", "--standby", "third").code == 2


@pytest.mark.parametrize(
    "more", [(), ("--user", "daemon"), ("--standby", "first"), ("--standby", "second")]
)
def test_systemd_has_nothing_to_say_about_it(avp: Avp, tmp_path: Path, more: tuple[str]) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd-analyze here")
    name = "asterisk-avp-standby" if "second" in more else "asterisk-avp"
    unit = tmp_path / f"{name}.service"
    assert avp("render", "systemd", *more, "--output", str(unit)).code == 0
    done = subprocess.run(
        [program, "verify", unit], capture_output=True, text=True, check=False, timeout=60
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if unit.name in line]
    assert (done.returncode, said) == (0, [])
