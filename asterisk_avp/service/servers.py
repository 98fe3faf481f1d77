"""The daemon's own servers: FastAGI for the dialplan, HTTP for the API and the panel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import structlog

from asterisk_avp import __version__
from asterisk_avp.agi.gate import gate
from asterisk_avp.agi.selftest import selftest
from asterisk_avp.agi.server import AgiServer
from asterisk_avp.api.app import create_app
from asterisk_avp.api.auth import Authenticator
from asterisk_avp.api.connections import Connections, Proxies
from asterisk_avp.api.panel_access import PanelAccess
from asterisk_avp.api.port import TransferService
from asterisk_avp.api.server import serve
from asterisk_avp.api.session_tokens import STANDBY
from asterisk_avp.ari.resources import AsteriskInfo
from asterisk_avp.config.panel import PanelSettings
from asterisk_avp.config.settings import Settings
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.policy.dialling import Dial, Dialled, check_dial
from asterisk_avp.observe.audit import Audit
from asterisk_avp.observe.metrics import Metrics
from asterisk_avp.runtime import descriptors
from asterisk_avp.service.ended_logins import EndedLoginsInAsterisk
from asterisk_avp.service.reload import credentials, signing

log = structlog.get_logger(__name__)


async def start_servers(
    ending: AsyncExitStack,
    settings: Settings,
    engine: TransferEngine,
    audit: Audit,
    front: Front,
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
    server = await serve(front.app, settings.api.host, settings.api.port, front.connections)
    ending.push_async_callback(server.stop)
    log.info("api_listening", url=server.url)


class Front:
    """The API, who may use it, and how many may connect.

    ``standby`` is called when a standby daemon asks whether we live.
    """

    def __init__(
        self,
        settings: Settings,
        service: TransferService,
        metrics: Metrics,
        engine: TransferEngine,
        asterisk: AsteriskInfo,
        standby: Callable[[], None],
    ) -> None:
        self.auth = Authenticator(**credentials(settings), **signing(settings))
        self.ended_logins = EndedLoginsInAsterisk(self.auth.ended, asterisk)
        api = settings.api
        self.connections = Connections(
            lambda: min(api.max_connections, descriptors.for_api()), Proxies(api.trusted_proxies)
        )
        self.app = create_app(
            service,
            self.auth,
            metrics=metrics.text,
            scopes=engine.scope_of,
            language=settings.panel.language,
            access=panel_access(settings.panel),
            standby=standby,
        )

    async def prepare(self) -> None:
        """Derive the keys, in another thread, before a request needs them."""
        await asyncio.to_thread(self.prove)

    def prove(self) -> str:
        """What tells the active daemon that its standby asks. Takes 50 ms the first time."""
        return self.auth.sessions.proof(STANDBY)


def panel_access(panel: PanelSettings) -> PanelAccess:
    """Who may embed the panel, and who logs agents in to it."""
    return PanelAccess(
        panel.frame_ancestors, panel.user_header, panel.sign_out_url, panel.proxy_secret
    )
