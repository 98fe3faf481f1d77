"""The daemon's own servers: FastAGI for the dialplan, HTTP for the API and the panel."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

import structlog
from fastapi import FastAPI

from asterisk_avp import __version__
from asterisk_avp.agi.gate import gate
from asterisk_avp.agi.selftest import selftest
from asterisk_avp.agi.server import AgiServer
from asterisk_avp.api.app import create_app
from asterisk_avp.api.auth import Authenticator
from asterisk_avp.api.clients import Scopes
from asterisk_avp.api.connections import Connections, Proxies
from asterisk_avp.api.panel_access import PanelAccess
from asterisk_avp.api.port import TransferService
from asterisk_avp.api.server import serve
from asterisk_avp.config.panel import PanelSettings
from asterisk_avp.config.sections import ApiSettings
from asterisk_avp.config.settings import Settings
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.policy.dialling import Dial, Dialled, check_dial
from asterisk_avp.observe.audit import Audit
from asterisk_avp.runtime import descriptors

log = structlog.get_logger(__name__)


async def start_servers(
    ending: AsyncExitStack,
    settings: Settings,
    engine: TransferEngine,
    audit: Audit,
    app: FastAPI,
    connections: Connections,
) -> None:
    """Start the servers until the stack closes. Raises `OSError` if an address is in use."""

    def check(dialled: Dialled) -> Dial:
        decided = check_dial(dialled.channel, dialled.typed, engine.agents, engine.world)
        return audit.dial(dialled, decided)

    agi = AgiServer(
        settings.agi.host,
        settings.agi.port,
        gate(check) | selftest(__version__),
        timeout_seconds=settings.agi.timeout_seconds,
        room=descriptors.for_agi,
    )
    await agi.start()
    ending.push_async_callback(agi.stop)
    server = await serve(app, settings.api.host, settings.api.port, connections)
    ending.push_async_callback(server.stop)
    log.info("api_listening", url=server.url)


def new_app(
    settings: Settings,
    service: TransferService,
    auth: Authenticator,
    metrics: Callable[[], bytes],
    scopes: Scopes,
) -> FastAPI:
    """The API and the panel, as the settings have them."""
    return create_app(
        service,
        auth,
        metrics=metrics,
        scopes=scopes,
        language=settings.panel.language,
        access=panel_access(settings.panel),
    )


def new_connections(api: ApiSettings) -> Connections:
    """The API's connections: as many as are set, and as the process may have open."""
    return Connections(
        lambda: min(api.max_connections, descriptors.for_api()), Proxies(api.trusted_proxies)
    )


def panel_access(panel: PanelSettings) -> PanelAccess:
    """Who may embed the panel, and who logs agents in to it."""
    return PanelAccess(
        panel.frame_ancestors, panel.user_header, panel.sign_out_url, panel.proxy_secret
    )
