"""Ports for servers of tests that are told their port: nobody else gets them meanwhile."""

from __future__ import annotations

import errno
import itertools
import os
import socket

_FIRST, _LAST = 10_000, 19_999
"""Beds begin at 20000."""

_reserved: list[socket.socket] = []
_next = itertools.count(os.getpid() * 37)


def free_port() -> int:
    """A port on loopback that this process alone uses, until it ends.

    Below the range of ports that Asterisk, browsers and clients get for connections of their own
    (ip_local_port_range): one of those may take a port between a test's choice and the server's
    start. Other processes of the tests see a name in Linux's abstract namespace of sockets.
    Raises `RuntimeError` if all are taken.
    """
    return _free("127.0.0.1", socket.SOCK_STREAM)


def free_udp_port(host: str = "127.0.0.1") -> int:
    """The same for UDP, on any address of loopback."""
    return _free(host, socket.SOCK_DGRAM)


def _free(host: str, kind: socket.SocketKind) -> int:
    for _ in range(_LAST - _FIRST + 1):
        port = _FIRST + next(_next) % (_LAST - _FIRST + 1)
        if _reserve(host, port, kind):
            return port
    raise RuntimeError("no port is free")


def _reserve(host: str, port: int, kind: socket.SocketKind) -> bool:
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0asterisk-avp-tests-port-{port}")
        if kind is socket.SOCK_STREAM:
            socket.create_server((host, port)).close()
        else:
            with socket.socket(socket.AF_INET, kind) as asked:
                asked.bind((host, port))
    except OSError as error:
        name.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    _reserved.append(name)
    return True
