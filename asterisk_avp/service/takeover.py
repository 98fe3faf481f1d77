"""The process of `asterisk-avp run --standby`: wait, serve, and wait again if displaced.

While it waits, everything is imported and built, so that serving is a matter of connecting. A
daemon of this kind that another one displaces waits again, in the same process.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import structlog

from asterisk_avp.api.app import forget_apps
from asterisk_avp.api.session_tokens import STANDBY_HEADER
from asterisk_avp.ari.rest import AriRest
from asterisk_avp.ari.single_instance import new_guard
from asterisk_avp.config.settings import Settings
from asterisk_avp.core.model.errors import ConfigError, OtherDaemon
from asterisk_avp.observe import log as logging_setup
from asterisk_avp.observe.systemd_notify import Notifier
from asterisk_avp.runtime import garbage
from asterisk_avp.service.clients import process_name
from asterisk_avp.service.daemon import Daemon
from asterisk_avp.service.frozen import end_frozen
from asterisk_avp.service.standby import Health, Reason, StandbyWatch

log = structlog.get_logger(__name__)

_AGAIN_SECONDS: Final = 0.5
_COLLECT_SECONDS: Final = 10.0
"""For so long after the take-over, nothing is collected as garbage: a tenth of the time, then."""
_BLOCKED_SECONDS: Final = 2.0
"""Pause while somebody else has our address."""
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared only
_OK: Final = 200


class ActiveApi:
    """The active daemon's API. ``proof`` returns what tells it that a standby asks."""

    def __init__(self, url: str, proof: Callable[[], str]) -> None:
        self._url = f"{url}/healthz"
        self._proof = proof
        self._session: aiohttp.ClientSession | None = None

    async def health(self, seconds: float) -> Health:
        """Whether it answers within that time."""
        if self._session is None:
            # A connection of its own for each question: one that is open already would not tell
            # whether the daemon still accepts others.
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        try:
            async with self._session.get(
                self._url,
                headers={STANDBY_HEADER: self._proof()},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as answer:
                return Health.ANSWERS if answer.status == _OK else Health.REFUSES
        except TimeoutError:
            return Health.SILENT
        except (aiohttp.ClientError, OSError):
            return Health.REFUSES

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def active_url(settings: Settings) -> str:
    """Where the active daemon's API is."""
    if settings.standby.active_url:
        return settings.standby.active_url
    host = _EVERYWHERE.get(settings.api.host, settings.api.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.api.port}"


class Takeover:
    """``load`` reads the settings again. It may block."""

    def __init__(
        self,
        settings: Settings,
        notifier: Notifier,
        load: Callable[[], Settings] = lambda: Settings.load(whole=True),
        *,
        kill: bool = True,
    ) -> None:
        self._settings = settings
        self._notifier = notifier
        self._load = load
        self._kill = kill
        self._reload = asyncio.Event()
        self.daemon: Daemon | None = None
        """The one that serves; None: this process waits."""
        self.waiting: Daemon | None = None
        """The one that is ready to serve; None: it does."""

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set."""
        while not stop.is_set():
            await self._turn(stop)
            # The daemon of this turn is garbage now, unless something still holds it.
            self.waiting = None
            garbage.unsettle()
            forget_apps()

    async def _turn(self, stop: asyncio.Event) -> None:
        self.waiting = waiting = Daemon(self._settings, self._notifier, warm=True)
        waiting.front.prove()
        reason = await self._wait(waiting, stop)
        if reason is not None:
            await self._serve(waiting, reason, stop)
        elif (directory := waiting.nodes.directory) is not None:
            await directory.stop()

    async def reload(self) -> None:
        """Read the settings again: at once if serving, else for when it will."""
        if self.daemon is not None:
            await self.daemon.reload()
            self._settings = self.daemon.settings
        else:
            self._reload.set()

    async def _wait(self, waiting: Daemon, stop: asyncio.Event) -> Reason | None:
        """Why this process takes over; None: it stops, or has read the settings again."""
        settings, standby = self._settings, self._settings.standby
        ari = settings.ari
        rest = AriRest(
            *(ari.url, ari.username, ari.password.get_secret_value()),
            timeout_seconds=2 * standby.frozen_seconds,
        )
        api = ActiveApi(active_url(settings), waiting.front.prove)
        watch = StandbyWatch(
            new_guard(rest, ari.app, process_name(), standby.frozen_seconds),
            api,
            poll_seconds=standby.poll_seconds,
            frozen_seconds=standby.frozen_seconds,
            reconnect_seconds=ari.reconnect_max_seconds,
        )
        if (directory := waiting.nodes.directory) is not None:
            directory.standing_by = lambda: watch.sees_asterisk
            directory.start()
        gc.collect()
        garbage.settle()
        log.info("standby_ready", active=urlsplit(active_url(settings)).netloc)
        self._notifier.standby()
        found = asyncio.create_task(watch.wait(), name="standby")
        others = [asyncio.create_task(each.wait()) for each in (stop, self._reload)]
        feeding = asyncio.create_task(self._notifier.run(), name="notifier")
        try:
            await asyncio.wait([found, *others], return_when=asyncio.FIRST_COMPLETED)
            if self._reload.is_set():
                self._reload.clear()
                await self._read_settings()
                return None
            return await found if found.done() and not stop.is_set() else None
        finally:
            for task in (found, *others, feeding):
                task.cancel()
            await asyncio.gather(rest.close(), api.close())

    async def _serve(self, daemon: Daemon, reason: Reason, stop: asyncio.Event) -> None:
        log.warning("taking_over", reason=reason.value)
        if (directory := daemon.nodes.directory) is not None:
            directory.standing_by = lambda: reason is not Reason.ALONE
        gc.disable()
        asyncio.get_running_loop().call_later(_COLLECT_SECONDS, gc.enable)
        if reason is Reason.FROZEN and self._kill and not self._settings.standby.active_url:
            ended = await asyncio.to_thread(end_frozen, self._settings.api.port)
            if ended is not None:
                log.warning("frozen_daemon_ended", process=ended)
        own_stop, pause = asyncio.Event(), _AGAIN_SECONDS
        forward = asyncio.create_task(_forward(stop, own_stop), name="stop")
        self.daemon, self.waiting = daemon, None
        try:
            await daemon.run(own_stop)
        except* OtherDaemon:
            log.warning("standby_again")
        except* ConfigError as refused:
            # Somebody else has our address: the active daemon, if it lives after all.
            pause = _BLOCKED_SECONDS
            log.error("cannot_take_over", reason=str(refused.exceptions[0]))  # noqa: TRY400
        finally:
            self.daemon = None
            self._settings = daemon.settings
            forward.cancel()
        if not stop.is_set():
            await asyncio.sleep(pause)

    async def _read_settings(self) -> None:
        try:
            self._settings = await asyncio.to_thread(self._load)
        except ConfigError as error:
            problems = [line.strip() for line in str(error).splitlines()[1:]]
            log.error("reload_refused", problems=problems)  # noqa: TRY400 - no traceback needed
            return
        logged = self._settings.log
        logging_setup.configure(logged.level, logged.format, numbers=logged.numbers)
        log.info("reloaded", agents=len(self._settings.agents))


async def _forward(stop: asyncio.Event, own: asyncio.Event) -> None:
    await stop.wait()
    own.set()
