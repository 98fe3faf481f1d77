"""Ask the NATS servers of several nodes for `asterisk-avp check`, as this node's own user.

It hears two seconds of heartbeats and changes nothing. To learn whether its user may do more than a
node needs, it sends one message that nobody reads.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from asterisk_avp.config.settings import Settings
from asterisk_avp.core.model.errors import ConfigError
from asterisk_avp.install.checks.nodes_model import NatsFacts, NodeTold

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

_AGAIN_SECONDS: Final = 0.2
_SERVER_SECONDS: Final = 8.0
"""How long one server may take, whatever it does."""
_LISTEN_SECONDS: Final = 1.6
"""Three heartbeats."""
_ANSWER_SECONDS: Final = 2.0
_UNREAD: Final = "avp.v1.check"
BUCKET_STREAM: Final = "KV_homes"

NOT_INSTALLED: Final = "the Python package nats-py is not installed"


async def ask_nats(settings: Settings, clock: Callable[[], float] = time.time) -> NatsFacts:
    """What the servers and the other nodes tell. ``clock``: this machine's, in Unix seconds."""
    try:
        from nats import errors  # noqa: PLC0415 - needed only where there are several nodes

        from asterisk_avp.cluster.nats_client import NatsClient  # noqa: PLC0415
    except ImportError:
        return NatsFacts(error=NOT_INSTALLED)
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    # Of nats-py's connections with TLS it says that they end as TLS connections do.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    away: dict[str, str] = {}
    found: NatsFacts | None = None
    for server in settings.cluster.servers:
        refused: list[str] = []

        async def on_error(error: Exception, refused: list[str] = refused) -> None:
            refused.append(_said(error))

        client = NatsClient()
        try:
            async with asyncio.timeout(_SERVER_SECONDS):
                await client.connect(**_options(settings, server), error_cb=on_error)
        except (OSError, errors.Error, TimeoutError, ConfigError) as error:
            away[server] = (refused or [_said(error)])[-1]
            await client.close()
            continue
        try:
            if found is None:
                found = await _look(client, settings, refused, clock)
        except (OSError, errors.Error, TimeoutError) as error:
            away[server] = _said(error)
        finally:
            await client.close()
    if found is None:
        return NatsFacts(error="no NATS server can be used", away=away)
    return replace(found, away=away)


def _said(error: Exception) -> str:
    """Its own text where it is the server's or ours, which have no secrets."""
    from nats import errors  # noqa: PLC0415

    from asterisk_avp.cluster.tls import problem  # noqa: PLC0415

    own = str(error) if isinstance(error, (errors.Error, ConfigError)) else ""
    return own or problem(error)


def _options(settings: Settings, server: str) -> dict[str, Any]:
    """Raises `ConfigError`."""
    from asterisk_avp.cluster.nats_client import options  # noqa: PLC0415

    cluster = settings.cluster.model_copy(update={"servers": (server,)})
    return {
        **options(cluster),
        "name": f"asterisk-avp check {cluster.node}",
        "allow_reconnect": False,
        # With 0, nats-py tries a server that is away without end.
        "max_reconnect_attempts": 1,
        "reconnect_time_wait": _AGAIN_SECONDS,
    }


async def _look(
    client: Client, settings: Settings, refused: list[str], clock: Callable[[], float]
) -> NatsFacts:
    from asterisk_avp.cluster import wire  # noqa: PLC0415 - needed only for several nodes

    told: dict[str, NodeTold] = {}
    epochs: dict[str, list[int]] = {}

    async def heard(message: Msg) -> None:
        node = message.subject.rpartition(".")[2]
        try:
            beat = wire.heartbeat(node, message.data)
        except wire.Bad:
            return
        if node in settings.nodes and not beat.standby:
            ahead = beat.now - clock()
            told[node] = NodeTold(beat.version, beat.config_hash, ahead, beat.ready, beat.trunks)
            spoke = epochs.setdefault(node, [])
            if beat.epoch not in spoke[-1:]:
                spoke.append(beat.epoch)

    await client.subscribe(wire.subject("node", "*"), cb=heard)
    await client.subscribe(wire.subject("state", "*"))
    await client.flush(timeout=2)
    store, copies, current = await _store(client)
    await asyncio.sleep(_LISTEN_SECONDS)
    others = sorted(told.keys() - {settings.cluster.node})
    at_home = {agent: node for node in others for agent in await _logged_in(client, node)}
    denied = tuple(refused)
    refused.clear()
    await client.publish(f"{_UNREAD}.{settings.cluster.node}", b"")
    for _ in range(2):  # nats-py's PING may overtake what was published before it
        await client.flush(timeout=2)
    return NatsFacts(
        told=told,
        twins=tuple(sorted(x for x, spoke in epochs.items() if len(spoke) > len(set(spoke)))),
        denied=denied,
        excess=not refused,
        store=store,
        copies=copies,
        current=current,
        at_home=at_home,
    )


async def _logged_in(client: Client, node: str) -> list[str]:
    """The agents who are logged in at another node, as far as it answers."""
    from nats import errors  # noqa: PLC0415

    from asterisk_avp.cluster import wire  # noqa: PLC0415

    found: list[str] = []
    after = ""
    while True:
        try:
            answer = await client.request(
                wire.subject("snapshot", node), wire.write_request(after), timeout=_ANSWER_SECONDS
            )
            page = wire.page(node, answer.data)
        except (errors.Error, TimeoutError, wire.Bad):
            return found
        found += [told.id for told in page.agents if told.agent.logged_in]
        if page.next <= after:
            return found
        after = page.next


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
