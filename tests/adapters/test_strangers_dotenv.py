"""A command in another user's folder: their `.env` must not control where our secrets go."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cli_run import Avp

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")

STRANGER = 65534
SECRETS = {
    "AVP_ARI__USERNAME": "avp",
    "AVP_ARI__PASSWORD": "the-ari-password",
    "AVP_AMI__USERNAME": "avp",
    "AVP_AMI__SECRET": "the-ami-secret",
    "AVP_GROUPS__SALES__QUEUE": "sales",
}


class Trap:
    """The attacker's servers instead of Asterisk's, and the folder whose `.env` names them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.servers = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)
        ]
        ami, ari = (server.getsockname()[1] for server in self.servers)
        folder.mkdir()
        file = folder / ".env"
        file.write_text(
            f"AVP_AMI__HOST=127.0.0.1\nAVP_AMI__PORT={ami}\nAVP_ARI__URL=http://127.0.0.1:{ari}\n"
        )
        for place in (folder, file):
            os.chown(place, STRANGER, STRANGER)
        folder.chmod(0o755)
        file.chmod(0o666)

    def came(self) -> bool:
        """Whether anybody has connected; the connection would be waiting to be accepted."""
        for server in self.servers:
            server.setblocking(False)
            try:
                server.accept()[0].close()
            except BlockingIOError:
                continue
            return True
        return False


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    with ExitStack() as stack:
        yield Trap(tmp_path / "theirs", stack)


def ours(*arguments: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "asterisk_avp", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **SECRETS, **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_check_sends_no_secret_to_them(trap: Trap, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    # Nobody listens at these: the secrets should go there.
    at = {"AVP_AMI__PORT": "9", "AVP_ARI__URL": "http://127.0.0.1:9"}
    for more in ({}, at):
        done = ours("check", "--config-dir", str(tmp_path / "etc"), folder=trap.folder, **more)
        assert not trap.came(), done.stdout
        assert done.returncode in {0, 1}
        assert done.stderr.startswith(
            f"asterisk-avp: {trap.folder}/.env is not trusted, because its directory {trap.folder}"
            " belongs to nobody (uid 65534) and has mode 0755: chown it to root,"
        )


def test_the_daemon_does_not_start_there(trap: Trap) -> None:
    done = ours("run", folder=trap.folder)
    assert not trap.came()
    assert done.returncode == 1
    assert f"{trap.folder}/.env is not trusted" in done.stderr


@pytest.fixture
def avp(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trap: Trap
) -> Avp:
    made = Avp(capsys, monkeypatch, trap.folder)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AVP_CONFIG", str(tmp_path / "avp.toml"))
    (tmp_path / "avp.toml").write_text("")
    (tmp_path / "etc").mkdir()
    return made


@pytest.mark.parametrize(
    "command", ["settings", "render queues --agent 1001", "render systemd", "render all"]
)
def test_every_command_says_so_and_goes_on_without_it(
    avp: Avp, trap: Trap, tmp_path: Path, command: str
) -> None:
    more = ["--output", f"{tmp_path}/out", "--config-dir", f"{tmp_path}/etc"]
    result = avp(*command.split(), *(more if command == "render all" else []))
    assert result.code == 0
    port = str(trap.servers[0].getsockname()[1])
    written = (
        (tmp_path / "out" / "environment").read_text() if command == "render all" else result.out
    )
    assert written
    assert port not in written
    assert result.err.count("is not trusted") == 1
    assert result.err.startswith(f"asterisk-avp: {trap.folder}/.env is not trusted, because its ")


def test_what_the_daemon_would_say_is_an_error_of_settings_check(avp: Avp, trap: Trap) -> None:
    result = avp("settings", "--check")
    assert result.code == 1
    assert f"{trap.folder}/.env is not trusted" in result.err


def test_an_environment_that_a_stranger_has_put_into_the_folder(
    avp: Avp, trap: Trap, tmp_path: Path
) -> None:
    """Its passwords would become those of Asterisk's users."""
    (trap.folder / "environment").write_text("AVP_AMI__SECRET=known-to-a-stranger\n")
    result = avp(
        "render", "all", "--output", str(trap.folder), "--config-dir", f"{tmp_path}/etc"
    )  # fmt: skip
    assert result.code == 1
    assert f"{trap.folder}/environment is not trusted, because its directory" in result.err
    assert not (trap.folder / "avp_manager.conf").exists()
