"""What the client of NATS does with servers that are not what they should be."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Self

import pytest

from asterisk_avp.cluster.nats_client import NatsClient, NotEncrypted, options
from asterisk_avp.config.cluster import ClusterSettings
from asterisk_avp.config.settings import Settings
from asterisk_avp.install.nats_probe import ask_nats
from tests.adapters.servers.waiting import eventually
from tests.certificates import Authority


class Stripper:
    """It pretends to be a NATS server that has no TLS, and keeps what it is sent."""

    def __init__(self) -> None:
        self.sent = b""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"server_id": "x", "version": "2.9.10", "max_payload": 1000, "auth_required": True}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        while data := await reader.read(1000):
            self.sent += data
        writer.close()


async def test_no_password_is_sent_to_a_server_that_has_no_tls() -> None:
    async with Stripper() as server:
        settings = ClusterSettings.model_validate(
            {
                "node": "a",
                "servers": f"tls://127.0.0.1:{server.port}",
                "credentials": "a:very-secret",
            }
        )
        client = NatsClient()
        with pytest.raises(NotEncrypted):
            await client.connect(**options(settings), allow_reconnect=False)
        await client.close()
    assert server.sent == b""


class Refuser:
    """A server with TLS that ends a connection when it is asked something, without an alert.

    ``context``: of its certificate. OpenSSL's handshake in TLS 1.3 is over for the client before
    the server has looked at the client's certificate (RFC 8446, section 4.4).
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.asked = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"server_id": "x", "version": "2.9.10", "max_payload": 1000, "tls_required": True}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        await writer.start_tls(self._context)
        while b"PING" not in await reader.readline():
            pass
        self.asked += 1
        writer.close()


@pytest.fixture
def refusing(tmp_path: Path) -> tuple[ssl.SSLContext, dict[str, str]]:
    """A server's context, and the settings of a node that trusts it."""
    signed = Authority(tmp_path / "authority").sign(["127.0.0.1"])
    files = signed.write(tmp_path / "client")
    names = {f"AVP_CLUSTER__TLS_{what}": path for what, path in files.items()}
    return signed.server(tmp_path / "server"), {"AVP_CLUSTER__NODE": "a", **names}


async def test_a_server_that_ends_the_connection_is_not_taken_for_connected(
    refusing: tuple[ssl.SSLContext, dict[str, str]],
) -> None:
    """Neither the first time nor when the connection is made again; nothing is left running."""
    certificate, env = refusing
    async with Refuser(certificate) as server:
        env["AVP_CLUSTER__SERVERS"] = f"tls://127.0.0.1:{server.port}"
        settings = ClusterSettings.model_validate(
            {key.removeprefix("AVP_CLUSTER__").lower(): value for key, value in env.items()}
        )
        client = NatsClient()
        with pytest.raises(ConnectionResetError):
            await client.connect(**options(settings), allow_reconnect=False)
        await client.close()

        again = NatsClient()
        trying = asyncio.create_task(
            again.connect(**options(settings), max_reconnect_attempts=-1, reconnect_time_wait=0.01)
        )
        await eventually(lambda: server.asked > 5, 10)
        trying.cancel()
        await asyncio.wait([trying])
        await again.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [task for task in others if "nats" in str(task.get_coro())]


async def test_whoever_ends_an_attempt_has_it_ended(
    refusing: tuple[ssl.SSLContext, dict[str, str]],
) -> None:
    """At whatever moment: asyncio forgets a cancellation that meets the answer waited for."""
    certificate, env = refusing
    async with Refuser(certificate) as server:
        env["AVP_CLUSTER__SERVERS"] = f"tls://127.0.0.1:{server.port}"
        settings = ClusterSettings.model_validate(
            {key.removeprefix("AVP_CLUSTER__").lower(): value for key, value in env.items()}
        )
        for turns in range(60):
            client = NatsClient()
            asked = server.asked
            trying = asyncio.create_task(
                client.connect(
                    **options(settings), max_reconnect_attempts=-1, reconnect_time_wait=0.01
                )
            )
            await eventually(lambda asked=asked: server.asked > asked)  # type: ignore[misc]
            for _ in range(turns % 12):
                await asyncio.sleep(0)
            trying.cancel()
            await eventually(trying.done, 10)
            assert trying.cancelled()
            await client.close()


async def test_check_says_that_a_server_may_refuse_the_certificate(
    refusing: tuple[ssl.SSLContext, dict[str, str]],
) -> None:
    certificate, env = refusing
    async with Refuser(certificate) as server:
        address = f"tls://127.0.0.1:{server.port}"
        node = {"SIP": "192.0.2.11:5071;transport=tls", "URL": "https://a", "TOKEN": "a" * 32}
        env |= {f"AVP_NODES__A__{what}": value for what, value in node.items()}
        env["AVP_CLUSTER__SERVERS"] = address
        settings = Settings.load(env, Path("/nonexistent"), connect=False)
        facts = await ask_nats(settings)
    assert "may refuse our certificate" in facts.away[address]
