"""The running docker/compose.yaml: health, isolation and recovery."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import time
from typing import Any

import pytest
from bed import Bed, Composed
from bed.containers import COMPOSE, compose_command, docker
from bed.images import IMAGE

from tests.asterisk.scene import Scene
from tests.documentation import COMPOSE as COMMAND
from tests.documentation import blocks, commands, page

pytestmark = [
    pytest.mark.asterisk,
    pytest.mark.containers,
    pytest.mark.asyncio(loop_scope="session"),
]

SERVICES = ("asterisk", "daemon")

#: Logs in to AMI and prints the answer.
LOG_IN = """
import socket, sys
host, secret = sys.argv[1:]
with socket.create_connection((host, 5038), 5) as ami:
    ami.sendall(f"Action: Login\\r\\nUsername: avp\\r\\nSecret: {secret}\\r\\n\\r\\n".encode())
    text = b""
    while b"Message:" not in text:
        text += ami.recv(4096)
print(text.decode())
"""


def container(bed: Bed, service: str) -> str:
    assert isinstance(bed.backend, Composed)
    return bed.backend.container(bed.name, service)


def inspected(bed: Bed, service: str) -> dict[str, Any]:
    done = docker("inspect", container(bed, service))
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


async def until(bed: Bed, look: Any, within: float) -> Any:
    async def ask() -> Any:
        return await asyncio.to_thread(look)

    return await bed.ami.until(ask, within)


@pytest.mark.parametrize("service", SERVICES)
async def test_healthy(bed: Bed, service: str) -> None:
    def look() -> bool | None:
        return inspected(bed, service)["State"]["Health"]["Status"] == "healthy" or None

    assert await until(bed, look, 30.0), inspected(bed, service)["State"]["Health"]


@pytest.mark.parametrize("service", SERVICES)
async def test_least_privilege(bed: Bed, service: str) -> None:
    name, found = container(bed, service), inspected(bed, service)
    host = found["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "5"}
    status = docker("exec", name, "cat", "/proc/1/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    assert "0" not in fields["Uid"].split(), fields["Uid"]
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    for place in ("/etc", "/usr/bin", "/opt", "/etc/asterisk"):
        tried = docker("exec", name, "sh", "-c", f"test -d {place} && : >{place}/written")
        assert tried.returncode != 0, f"{name} can write to {place}"


async def test_the_logs_and_data_of_asterisk_are_in_volumes(bed: Bed) -> None:
    mounts = {m["Destination"]: m for m in inspected(bed, "asterisk")["Mounts"]}
    assert mounts["/etc/asterisk"]["RW"] is False
    for place in ("/var/lib/asterisk", "/var/spool/asterisk"):
        assert mounts[place]["Type"] == "volume", place
        tried = docker("exec", container(bed, "asterisk"), "sh", "-c", f": >{place}/written")
        assert tried.returncode == 0, tried.stderr
    assert "/var/log/asterisk" in mounts


async def test_secrets_are_seen_nowhere(bed: Bed) -> None:
    secrets = (bed.secrets.ari, bed.secrets.ami, bed.secrets.token)
    shown = json.dumps(inspected(bed, "daemon"))
    logged = docker("logs", container(bed, "daemon"))
    assert "/run/secrets/ami" in shown
    assert logged.stdout + logged.stderr
    for secret in secrets:
        assert secret not in shown
        assert secret not in logged.stdout + logged.stderr


async def test_who_is_on_which_network(bed: Bed) -> None:
    """Phones cannot reach the daemon. ARI, AMI and FastAGI have a network of their own."""
    wanted = {"asterisk": {"control", "voice"}, "daemon": {"control", "front"}}
    for service, networks in wanted.items():
        found = inspected(bed, service)["NetworkSettings"]["Networks"]
        assert set(found) == {f"{bed.name}_{network}" for network in networks}
    (control,) = json.loads(docker("network", "inspect", f"{bed.name}_control").stdout)
    assert control["Internal"] is True
    assert len(control["Containers"]) == len(wanted)


async def test_phones_cannot_use_the_manager(bed: Bed) -> None:
    """AMI accepts the daemon's user only from the network that the two share."""
    run = ("run", "--rm", "--cap-drop", "ALL", "--entrypoint", "python3")
    for network, welcome in (("voice", False), ("control", True)):
        on = ("--network", f"{bed.name}_{network}", f"{IMAGE}:daemon", "-c")
        tried = docker(*run, *on, LOG_IN, "asterisk", bed.secrets.ami)
        assert "Message: Authentication" in tried.stdout, tried
        assert ("Authentication accepted" in tried.stdout) is welcome, tried


async def test_the_lines_for_asterisk_are_those_of_the_page(bed: Bed) -> None:
    etc = bed.directory / "etc"
    for file in ("http.conf", "manager.conf"):
        assert "bindaddr = 0.0.0.0" in (etc / file).read_text()
    subnet = bed.places.permit  # not the default, because tests run in parallel
    assert f"permit = {subnet}" in (etc / "manager.conf").read_text()
    assert "AVP_AGI = agi://daemon:4583" in (etc / "extensions.conf").read_text()


async def test_the_settings_and_the_command_of_the_page(bed: Bed) -> None:
    """The page's lines, with this call centre's folder, as Compose resolves them."""
    assert isinstance(bed.backend, Composed)
    text = page("docs/containers.md")
    file = bed.directory / "page.env"
    (settings,) = (x.text for x in blocks(text, "ini") if "AVP_SECRETS" in x.text)
    lines = settings.splitlines()
    assert len(lines) == 3
    written = "\n".join(lines).replace("/etc/asterisk-avp/asterisk", f"{bed.directory}/etc")
    file.write_text(written.replace("/etc/asterisk-avp", str(bed.directory)))
    command = f"{COMMAND} up --detach"
    assert command in commands(text)
    words = COMMAND.removeprefix("docker compose ").split()
    words = [str(file) if word.endswith("/compose.env") else word for word in words]
    words = [str(COMPOSE) if word == "docker/compose.yaml" else word for word in words]
    shown = await asyncio.to_thread(
        subprocess.run,
        [*compose_command(bed.backend.state), *words, "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert found["name"] == "asterisk-avp"
    assert set(found["services"]) == set(SERVICES)
    assert found["secrets"]["ami"]["file"] == f"{bed.directory}/secrets/ami"


async def test_the_daemon_alone_by_the_command_of_the_page(bed: Bed) -> None:
    """Run once with this call centre's settings and image: the settings are found and valid."""
    (command,) = (x for x in commands(page("docs/containers.md")) if x.startswith("docker run "))
    settings = bed.directory / "alone.env"
    settings.write_text("".join(f"{key}={value}\n" for key, value in bed.daemon_env().items()))
    settings.chmod(0o600)
    name = f"{bed.name}-alone"
    # An engine cannot exceed its own limit; AVP_NOFILE in the Compose file is for that case.
    most = min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    for there, here in {
        "--restart unless-stopped": "--label asterisk-avp",
        "nofile=65536:65536": f"nofile={most}:{most}",
        "--name asterisk-avp": f"--name {name}",
        "/etc/asterisk-avp/environment": str(settings),
        "asterisk-avp:daemon": f"{IMAGE}:daemon settings --check",
    }.items():
        assert there in command
        command = command.replace(there, here)
    try:
        started = await asyncio.to_thread(docker, *command.removeprefix("docker ").split())
        assert started.returncode == 0, started.stderr
        ended = await asyncio.to_thread(docker, "wait", name)
        assert ended.stdout.strip() == "0", await asyncio.to_thread(docker, "logs", name)
    finally:
        await asyncio.to_thread(docker, "rm", "--force", name)


async def test_only_the_api_is_published_and_only_to_this_machine(bed: Bed) -> None:
    published = inspected(bed, "daemon")["NetworkSettings"]["Ports"]
    (binding,) = published["8766/tcp"]
    assert binding == {"HostIp": "127.0.0.1", "HostPort": str(bed.ports.api)}
    assert [port for port, bindings in published.items() if bindings] == ["8766/tcp"]


async def test_the_daemon_dies_in_a_consult_and_is_started_again(bed: Bed, scene: Scene) -> None:
    """The engine restarts it by the restart policy, and the transfer continues."""
    transfer = await scene.consult("caller1", "1001", "1002")
    before = inspected(bed, "daemon")
    # Not through the engine, which would treat it as an administrator's stop.
    os.kill(before["State"]["Pid"], signal.SIGKILL)

    def look() -> bool | None:
        found = inspected(bed, "daemon")
        running = found["State"]["Running"] and found["State"]["Pid"] != before["State"]["Pid"]
        return (running and found["RestartCount"] > before["RestartCount"]) or None

    assert await until(bed, look, 20.0), inspected(bed, "daemon")["State"]
    await ready(scene)
    await scene.hear_one_another("1001", "1002")
    await scene.on_music("caller1")
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.complete(transfer)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")
    await scene.plain("caller1", "1002")
    await scene.hang_up("caller1")
    await scene.gone("1001", "1002")
    await scene.booked(Alice=1, Bob=1)


async def ready(scene: Scene) -> None:
    async def look() -> bool | None:
        try:
            return (await scene.api("GET", "/readyz")).status == 200 or None
        except OSError:
            return None

    assert await scene.ami.until(look, 20.0)


async def test_the_daemon_is_replaced_during_a_call(bed: Bed, scene: Scene) -> None:
    """As in an update of its image: a new container, without effect on calls."""
    assert isinstance(bed.backend, Composed)
    await scene.call("caller1", "1001")
    began = time.time()
    again = bed.backend.compose(
        bed.name, "up", "--detach", "--no-deps", "--force-recreate", "daemon"
    )
    process = await asyncio.create_subprocess_exec(
        *again, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, output.decode()
    await ready(scene)
    assert scene.phone("caller1").heard(began) - {"silence"} == {"1001"}
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")


async def test_members_outlive_asterisk(bed: Bed, scene: Scene) -> None:
    """Asterisk's own database is in a volume; the daemon and the phones come back by themselves."""
    await scene.log_in("1003", "sales")
    name = container(bed, "asterisk")
    await bed.ami.close()
    done = await asyncio.to_thread(docker, "restart", name)
    assert done.returncode == 0, done.stderr
    await bed.connect()
    assert "Carol" in await bed.ami.members("sales")
    await ready(scene)
    await scene.call("caller1", "1001")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").answer(within=10)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")
    await scene.log_out("1003", "sales")
