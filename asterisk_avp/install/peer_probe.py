"""Ask the other nodes for `asterisk-avp check`: their daemons' API, and the certificates they show.

It asks as this node's daemon does, with its token and its certificate, and changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from asterisk_avp.cluster import tls
from asterisk_avp.config.settings import Settings
from asterisk_avp.config.sip_address import SipAddress
from asterisk_avp.core.model.errors import ConfigError
from asterisk_avp.install.checks.nodes_model import Certificate, PeerAnswer

_PATH: Final = "/v1/cluster/transfers"
_SECONDS: Final = 3.0
_ALERT_SECONDS: Final = 0.3
"""In TLS 1.3 a server refuses the client's certificate after the handshake."""
_DAY: Final = 86_400

Place = tuple[str, str, int]
"""A node, and an address and port of it where it shows a certificate."""


async def ask_peers(settings: Settings) -> Mapping[str, PeerAnswer]:
    """What the API of each other node answers to this node's token."""
    own = settings.cluster.node or ""
    cluster = settings.cluster
    others = {name: node.url for name, node in settings.nodes.items() if name != own}
    try:
        context = tls.context(cluster.tls_ca, cluster.tls_cert, cluster.tls_key)
    except ConfigError as error:
        return {name: PeerAnswer(problem=str(error)) for name in others}
    headers = {"Authorization": f"Bearer {settings.nodes[own].token.get_secret_value()}"}
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=_SECONDS),
        headers=headers,
    ) as session:

        async def ask(url: str) -> PeerAnswer:
            try:
                async with session.get(url + _PATH, allow_redirects=False) as answer:
                    return PeerAnswer(answer.status)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                return PeerAnswer(problem=tls.problem(error))

        answers = await asyncio.gather(*map(ask, others.values()))
    return dict(zip(others, answers, strict=True))


async def ask_certificates(
    settings: Settings, clock: Callable[[], float] = time.time
) -> Mapping[str, Certificate]:
    """The certificates of all nodes' trunks and APIs, by address. Who does not answer is left out.

    ``clock``: this machine's, in Unix seconds.
    """
    cluster, places = settings.cluster, list(_places(settings))
    if not places:
        return {}
    try:
        context = tls.context(cluster.tls_ca, cluster.tls_cert, cluster.tls_key)
    except ConfigError as error:
        return {"": Certificate(cluster.node or "", str(error))}
    found = await asyncio.gather(
        *(asyncio.to_thread(_certificate, context, place, clock) for place in places)
    )
    named = [f"{host}:{port}" for _, host, port in places]
    return {name: shown for name, shown in zip(named, found, strict=True) if shown is not None}


def _places(settings: Settings) -> Iterator[Place]:
    for name, node in sorted(settings.nodes.items()):
        if node.sip is not None:
            sip = SipAddress.parse(node.sip)
            if sip.transport == "tls":
                yield name, sip.host, sip.port
        url = urlsplit(node.url)
        if url.scheme == "https" and name != settings.cluster.node:
            yield name, url.hostname or "", url.port or 443


def _certificate(
    context: ssl.SSLContext, place: Place, clock: Callable[[], float]
) -> Certificate | None:
    node, host, port = place
    try:
        with (
            socket.create_connection((host, port), _SECONDS) as line,
            context.wrap_socket(line, server_hostname=host) as tls_line,
        ):
            shown = tls_line.getpeercert() or {}
            tls_line.settimeout(_ALERT_SECONDS)
            with contextlib.suppress(TimeoutError):  # it waits for a request
                if not tls_line.recv(1):
                    raise ConnectionResetError
    except OSError as error:
        if isinstance(error, ssl.SSLError) or tls.has_ended(error):
            return Certificate(node, tls.problem(error))
        return None  # whether it answers is another check's question
    days = (ssl.cert_time_to_seconds(str(shown["notAfter"])) - clock()) / _DAY
    return Certificate(node, days=days)
