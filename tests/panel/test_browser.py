"""The browser of these tests itself."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

from tests.panel import without_netlink

NETLINK = """
import errno, socket
try:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
except OSError as error:
    print(errno.errorcode[error.errno])
socket.socket(socket.AF_INET).close()
socket.create_server(("127.0.0.1", 0)).close()
"""


def test_it_does_not_hear_of_changes_of_the_network() -> None:
    """Other tests cut lines by routes and devices, which breaks off Chromium's requests."""
    program = Path(without_netlink.__file__)
    done = subprocess.run(
        [sys.executable, str(program), sys.executable, "-c", NETLINK],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, errno.errorcode[errno.EAFNOSUPPORT])
