"""Ask the NATS servers of several nodes for `asterisk-avp check`, as this node's own user.

It hears two seconds of heartbeats and changes nothing. To learn whether its user may do more than a
node needs, it sends one message that nobody reads.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from asterisk_avp.config.settings import Settings
from asterisk_avp.install.checks.nodes_model import NatsFacts, NodeTold

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

_CONNECT_SECONDS: Final = 2
_LISTEN_SECONDS: Final = 1.6
"""Three heartbeats."""
_ANSWER_SECONDS: Final = 2.0
_UNREAD: Final = "avp.v1.check"
BUCKET_STREAM: Final = "KV_homes"

NOT_INSTALLED: Final = "the Python package nats-py is not installed"


async def ask_nats(settings: Settings, clock: Callable[[], float] = time.time) -> NatsFacts:
    """What the servers and the other nodes tell. ``clock``: this machine's, in Unix seconds."""
    try:
        import nats  # noqa: PLC0415 - needed only where there are several nodes
        from nats import errors  # noqa: PLC0415
    except ImportError:
        return NatsFacts(error=NOT_INSTALLED)
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    away: dict[str, str] = {}
    found: NatsFacts | None = None
    for server in settings.cluster.servers:
        refused: list[str] = []

        async def on_error(error: Exception, refused: list[str] = refused) -> None:
            refused.append(str(error))

        try:
            client = await nats.connect(**_options(settings, server), error_cb=on_error)
        except (OSError, errors.Error, TimeoutError) as error:
            away[server] = (refused or [str(error) or type(error).__name__])[-1]
            continue
        try:
            if found is None:
                found = await _look(client, settings, refused, clock)
        except (OSError, errors.Error, TimeoutError) as error:
            away[server] = str(error) or type(error).__name__
        finally:
            await client.close()
    if found is None:
        return NatsFacts(error="no NATS server can be used", away=away)
    return NatsFacts(
        away=away,
        told=found.told,
        denied=found.denied,
        excess=found.excess,
        store=found.store,
        copies=found.copies,
        current=found.current,
    )


def _options(settings: Settings, server: str) -> dict[str, Any]:
    cluster = settings.cluster
    user, _, password = cluster.credentials.get_secret_value().partition(":")
    options: dict[str, Any] = {
        "servers": [server],
        "name": f"asterisk-avp check {cluster.node}",
        "connect_timeout": _CONNECT_SECONDS,
        "allow_reconnect": False,
        "max_reconnect_attempts": 0,
        "inbox_prefix": f"_INBOX.{cluster.node}",
    }
    if user:
        options |= {"user": user, "password": password}
    if server.startswith("tls:"):
        context = ssl.create_default_context(cafile=cluster.tls_ca or None)
        if cluster.tls_cert:
            context.load_cert_chain(cluster.tls_cert, cluster.tls_key)
        options["tls"] = context
    return options


async def _look(
    client: Client, settings: Settings, refused: list[str], clock: Callable[[], float]
) -> NatsFacts:
    from asterisk_avp.cluster import wire  # noqa: PLC0415 - needed only for several nodes

    told: dict[str, NodeTold] = {}

    async def heard(message: Msg) -> None:
        node = message.subject.rpartition(".")[2]
        try:
            beat = wire.heartbeat(node, message.data)
        except wire.Bad:
            return
        if node in settings.nodes:
            ahead = beat.now - clock()
            told[node] = NodeTold(beat.version, beat.config_hash, ahead, beat.ready, beat.trunks)

    await client.subscribe(wire.subject("node", "*"), cb=heard)
    await client.subscribe(wire.subject("state", "*"))
    await client.flush(timeout=2)
    store, copies, current = await _store(client)
    await asyncio.sleep(_LISTEN_SECONDS)
    denied = tuple(refused)
    refused.clear()
    await client.publish(f"{_UNREAD}.{settings.cluster.node}", b"")
    await client.flush(timeout=2)
    return NatsFacts(
        told=told, denied=denied, excess=not refused, store=store, copies=copies, current=current
    )


async def _store(client: Client) -> tuple[str, int, int]:
    """Why homes cannot be stored, or an empty string; how many copies there are, and current."""
    from nats import errors, js  # noqa: PLC0415

    try:
        info = await client.jetstream(timeout=_ANSWER_SECONDS).stream_info(BUCKET_STREAM)
    except js.errors.NotFoundError:
        return "", 0, 0  # no daemon has made it yet
    except (errors.Error, js.errors.Error, TimeoutError) as error:
        return str(error) or type(error).__name__, 0, 0
    if info.cluster is None or not info.cluster.leader:
        alone = info.cluster is None
        return "" if alone else "it has no leader", int(alone), int(alone)
    others = info.cluster.replicas or []
    current = sum(bool(peer.current) and not peer.offline for peer in others)
    return "", 1 + len(others), 1 + current
