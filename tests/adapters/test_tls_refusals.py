"""What is said where another node or a NATS server refuses this node's certificate.

It may say so by an alert, or end the connection; and it may have done so before this side reads.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import pytest

from asterisk_avp.cluster.nats_client import NatsClient
from asterisk_avp.config.settings import Settings
from asterisk_avp.install.nats_probe import ask_nats
from asterisk_avp.install.peer_probe import ask_certificates, ask_peers
from tests.certificates import Authority

_INFO: Final = json.dumps(
    {"server_id": "x", "version": "2.9.10", "max_payload": 1000, "tls_required": True}
).encode()
_RESET: Final = struct.pack("ii", 1, 0)
HOW: Final = ("alert", "end", "reset", "end in the handshake", "reset in the handshake")


class Refuser:
    """A server in a thread of its own, which refuses the certificate of each client, ``how``.

    ``greeting``: what it sends first. ``ended`` is set when a connection has been ended.
    """

    def __init__(self, context: ssl.SSLContext, how: str, greeting: bytes = b"") -> None:
        self._how, self._greeting, self._context = how, greeting, context
        if how == "alert":
            context.verify_mode = ssl.CERT_REQUIRED  # and it knows no authority
        self.ended = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()

    def _serve(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                client = self._listening.accept()[0]
                with suppress(OSError):
                    self._refuse(client)
                self.ended.set()

    def _refuse(self, client: socket.socket) -> None:
        if "reset" in self._how:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        with client:
            client.sendall(self._greeting)
            if "handshake" in self._how:
                client.recv(1)
            else:
                self._context.wrap_socket(client, server_side=True).close()


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Of node a, without the addresses of node b."""
    files = Authority(tmp_path / "authority").sign(["127.0.0.1"]).write(tmp_path / "client")
    nodes = {f"AVP_NODES__{n}__TOKEN": n * 32 for n in "AB"} | {
        "AVP_NODES__A__SIP": "192.0.2.11:5071;transport=tls",
        "AVP_NODES__A__URL": "https://192.0.2.11:8088",
        "AVP_NODES__B__SIP": "192.0.2.12:5071;transport=tls",
    }
    return {
        "AVP_CLUSTER__NODE": "a",
        **{f"AVP_CLUSTER__TLS_{what}": path for what, path in files.items()},
        **nodes,
    }


def server(tmp_path: Path, how: str, greeting: bytes = b"") -> Refuser:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "client/cert.pem", tmp_path / "client/key.pem")
    return Refuser(context, how, greeting)


def settings(env: dict[str, str], **more: str) -> Settings:
    return Settings.load({**env, **more}, Path("/nonexistent"), connect=False)


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("how", HOW)
async def test_a_nats_server(
    env: dict[str, str], tmp_path: Path, how: str, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``busy``: this side does not read before the other has ended the connection."""
    with server(tmp_path, how, b"INFO " + _INFO + b"\r\n") as refuser:
        if busy:
            written = NatsClient._connect_command

            def late(self: NatsClient) -> bytes:
                assert refuser.ended.wait(10)
                return written(self)

            monkeypatch.setattr(NatsClient, "_connect_command", late)
        address = f"tls://127.0.0.1:{refuser.port}"
        facts = await ask_nats(
            settings(env, AVP_CLUSTER__SERVERS=address, AVP_NODES__B__URL="https://192.0.2.12:8088")
        )
    assert "our certificate" in facts.away[address]


@pytest.mark.parametrize("how", HOW)
async def test_another_node(env: dict[str, str], tmp_path: Path, how: str) -> None:
    with server(tmp_path, how) as refuser:
        place = f"127.0.0.1:{refuser.port}"
        asked = settings(
            env,
            AVP_CLUSTER__SERVERS="nats://127.0.0.1:4222",
            AVP_NODES__A__SIP="192.0.2.11:5071",
            AVP_NODES__B__SIP="192.0.2.12:5071",
            AVP_NODES__B__URL=f"https://{place}",
        )
        answer = (await ask_peers(asked))["b"]
        shown = (await ask_certificates(asked)).get(place)
    assert "our certificate" in answer.problem
    assert shown is not None
    assert "our certificate" in shown.problem
