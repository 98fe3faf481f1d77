"""Run a program that is not told of changes of this machine's network.

Chromium breaks off all requests when an address or a device comes or goes (ERR_NETWORK_CHANGED,
net/base/address_tracker_linux.cc). Tests on several nodes, and containers, add and remove such
beside it. Here the kernel gives the program no AF_NETLINK socket (seccomp, see its filter's man
page bpf(2)), and Chromium does without. Usage: without_netlink.py PROGRAM ARGUMENTS
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

SOCKET = {"x86_64": 41, "aarch64": 198}
"""Number of the system call by machine."""
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER, FIRST_ARGUMENT = 0, 16
"""Offsets in struct seccomp_data."""
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EAFNOSUPPORT


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def refuse_netlink(call: int) -> None:
    """From now on, for this process and what it starts. Raises `OSError`."""
    steps = (
        (LOAD, 0, 0, NUMBER),
        (EQUAL, 0, 3, call),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (EQUAL, 0, 1, socket.AF_NETLINK),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    )
    text = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = Program(len(steps), ctypes.addressof(text))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "prctl")


def main() -> None:
    call = SOCKET.get(platform.machine())
    if call is not None:
        refuse_netlink(call)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - the tests name it


if __name__ == "__main__":
    main()
