"""Two processes of the tests never get the same port, whoever asks when."""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from bed import ports as blocks

from tests import ports
from tests.documentation import ROOT

ASK = "from tests.ports import free_port; print(*(free_port() for _ in range(100))); input()"


def test_processes_get_ports_of_their_own() -> None:
    asked = [
        subprocess.Popen(
            [sys.executable, "-c", ASK],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    found = []
    for process in asked:
        assert process.stdout is not None
        found += process.stdout.readline().split()
    for process in asked:
        process.communicate("\n")
    assert len(set(found)) == len(found) == 200


def test_a_port_that_somebody_listens_on_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = ports.free_port()
    monkeypatch.setattr(ports, "_next", itertools.count(taken - 10_000))
    with socket.create_server(("127.0.0.1", taken)):
        ports._reserved.pop().close()  # otherwise our own reservation were reason enough
        assert ports.free_port() != taken


def test_a_udp_port_that_somebody_listens_on_is_not_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = ports.free_udp_port("127.0.0.2")
    monkeypatch.setattr(ports, "_next", iter([taken - 10_000, taken - 10_000 + 1]))
    ports._reserved.pop().close()  # so that only the listener has it
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", taken))
        assert ports.free_udp_port("127.0.0.2") == taken + 1


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_block_with_a_port_in_use_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: socket.SocketKind
) -> None:
    """Also one that only several nodes use: a trunk's, or that of NATS."""
    monkeypatch.setattr(blocks, "REGISTRY", tmp_path)
    free = blocks.claim()
    blocks.release(free)
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", free.spare[-1]))
        if kind is socket.SOCK_STREAM:
            other.listen()
        assert blocks.claim() != free
