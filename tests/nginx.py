"""A real nginx with the configuration of docs/install.md, for the tests of what stands behind it.

It runs as the current user, in a folder of its own, on a port of loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import re
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

from tests.debian import NotProvided, libraries, unpacked
from tests.documentation import blocks, page, section

PACKAGE: Final = "nginx"
_MAIN: Final = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log notice;
events {{ worker_connections 256; }}
{user}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include conf.d/*.conf;
}}
"""
"""What a distribution's nginx.conf has, as far as it matters here."""


def provide() -> tuple[Path, dict[str, str]]:
    """The program, and the environment in which it finds its libraries. Raises `NotProvided`."""
    found = os.environ.get("AVP_NGINX") or shutil.which(
        "nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin"
    )
    if found:
        return Path(found), {}
    folder = unpacked(PACKAGE, "nginx")
    program = folder / "usr/sbin/nginx"
    if not program.exists():
        raise NotProvided(f"Debian's package {PACKAGE} has no usr/sbin/nginx; set AVP_NGINX")
    return program, libraries(folder)


def documented(heading: str) -> dict[str, list[str]]:
    """The files below /etc/nginx that a section of docs/install.md shows: each text by their names.

    The sentence before a block names its file. A later text of a file replaces an earlier one.
    """
    text = section(page("docs/install.md"), heading)
    shown = re.findall(
        r"`/etc/nginx/([\w./-]+)`(?:(?!```).)*?```nginx\n(.*?)^```$", text, re.DOTALL | re.MULTILINE
    )
    assert len(shown) == len(blocks(text, "nginx")), "each block's file is named before it"
    found: dict[str, list[str]] = {}
    for name, block in shown:
        found.setdefault(name, []).append(block)
    return found


def put_in(text: str, values: Mapping[str, str]) -> str:
    """The text with each documented value replaced, all at once.

    One after the other, a port that begins like another documented one would be replaced again.
    """
    documented_values = "|".join(map(re.escape, values))
    return re.sub(documented_values, lambda found: values[found.group()], text)


@contextlib.asynccontextmanager
async def running(
    files: Mapping[str, str], folder: Path, values: Mapping[str, str], key: Path, cert: Path
) -> AsyncIterator[str]:
    """nginx with these files below its configuration's folder; its address.

    ``values``: what an administrator puts in place of addresses and secrets of the documentation.
    """
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    port = listening.getsockname()[1]
    given = {**values, "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;"}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        written = put_in(text, given)
        written = re.sub(r"(ssl_certificate_key) [^;]+;", rf"\1 {key};", written)
        path.write_text(re.sub(r"(ssl_certificate) [^;]+;", rf"\1 {cert};", written))
    program, environment = provide()
    me = pwd.getpwuid(os.geteuid())
    # As root, it would otherwise become another user, who may not enter the folder.
    user = f"user {me.pw_name};" if os.geteuid() == 0 else ""
    main = folder / "nginx.conf"
    main.write_text(_MAIN.format(user=user))
    command = [str(program), "-p", str(folder), "-c", str(main), "-e", str(folder / "error.log")]
    tested = await asyncio.create_subprocess_exec(
        *command, "-q", "-t", env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, said = await tested.communicate()
    if tested.returncode or said:
        raise AssertionError(f"nginx objects to the documented files: {said.decode()}")
    # nginx takes over a socket that already listens (as at an upgrade of its program): so the port
    # is ours from the beginning, and the first client waits until nginx accepts it.
    descriptor = listening.fileno()
    server = await asyncio.create_subprocess_exec(
        *command, env={**environment, "NGINX": f"{descriptor};"}, pass_fds=[descriptor]
    )
    listening.close()
    try:
        yield f"https://127.0.0.1:{port}"
    finally:
        await _stop(server)


async def _stop(server: asyncio.subprocess.Process) -> None:
    """End it, and wait.

    A signal that arrives while nginx starts its workers is noted, and obeyed at the next one
    (ngx_process_cycle.c: the loop looks at its flags after ``sigsuspend``).
    """
    while server.returncode is None:
        server.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await server.wait()
