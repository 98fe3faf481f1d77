"""systemd considers the daemon started when it accepts transfers."""

from __future__ import annotations

import contextlib
import secrets
import socket
import time

import pytest
from bed import Bed, RootFs

from asterisk_avp.observe.systemd_notify import LATEST_SECONDS

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]


async def test_ready_with_asterisk(bed: Bed) -> None:
    if not isinstance(bed.backend, RootFs):
        pytest.skip("the daemon is in a container, where no systemd starts it")
    name = f"avp-test-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind("\0" + name)
        supervisor.setblocking(False)

        async def heard(last: str) -> list[str]:
            """All that was told up to this; /readyz may answer before systemd is told."""
            found: list[str] = []

            async def look() -> list[str] | None:
                with contextlib.suppress(BlockingIOError):
                    while True:
                        found.append(supervisor.recv(4096).decode())
                return found if last in found else None

            assert await bed.ami.until(look, 3.0), found
            return found

        await bed.stop_daemon()
        began = time.monotonic()
        await bed.start_daemon({"NOTIFY_SOCKET": "@" + name})
        late = time.monotonic() - began > LATEST_SECONDS
        told = await heard("STATUS=Ready for transfers.")
        if "READY=1" not in told:
            told += await heard("READY=1")
        assert told.count("READY=1") == 1
        assert "STATUS=Ready for transfers." in told
        if not late:  # on a machine so busy, the start was over before the daemon was ready
            assert told[-2:] == ["STATUS=Ready for transfers.", "READY=1"]
        await bed.stop_daemon()
        await heard("STOPPING=1")
    # It stopped in order: the bed did not signal it twice, which makes it exit at once.
    end = bed.directory.joinpath("log", "daemon.log").read_text().splitlines()[-1]
    assert " stopped " in end
    await bed.start_daemon()
