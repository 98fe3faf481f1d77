"""Reload the settings on SIGHUP, while calls and transfers continue.

Invalid settings change nothing, and the log names the problems. Valid settings apply to every later
request, and to whatever begins in a running transfer
(`core.engine.engine.TransferEngine.reconfigure`). The environment of a running process cannot
change, so reloadable settings belong in `.env` or in the file that AVP_CONFIG names. Addresses and
credentials are read at start only.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import structlog

from asterisk_avp.api.auth import Authenticator
from asterisk_avp.config.settings import Settings
from asterisk_avp.config.sources import variable
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.model.errors import ConfigError
from asterisk_avp.core.model.world import World
from asterisk_avp.observe import log as logging_setup
from asterisk_avp.observe.audit import Audit
from asterisk_avp.service.inbox import Inbox

log = structlog.get_logger(__name__)

_AT_START_ONLY: Final[Mapping[str, tuple[str, ...]]] = {
    # section: settings; empty: all settings of the section
    "ari": (),
    "ami": (),
    "agi": (),
    "api": ("host", "port", "max_connections", "trusted_proxies", "session_key"),
    "panel": ("frame_ancestors", "language", "user_header", "user_header_secret", "sign_out_url"),
    "pop": (),
    "standby": (),
    "webhook": (),
    "cluster": (),
    "session": ("orphan_seconds", "ring_seconds", "ring_outside_seconds"),
}


class Reloader:
    """Reload the settings. ``resync`` starts a resync."""

    def __init__(
        self,
        engine: TransferEngine,
        auth: Authenticator,
        audit: Audit,
        inbox: Inbox,
        resync: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._auth = auth
        self._audit = audit
        self._inbox = inbox
        self._resync = resync

    async def reload(self, old: Settings) -> Settings:
        """Reload; return the settings in force: the new ones, or ``old`` if they are invalid."""
        try:
            read = await asyncio.to_thread(Settings.load, whole=True)
        except ConfigError as error:
            problems = [line.strip() for line in str(error).splitlines()[1:]]
            log.error("reload_refused", problems=problems)  # noqa: TRY400 - no traceback needed
            return old
        waiting = sorted(_changed_at_start_only(old, read))
        new = _with_connections_of(old, read)
        world = new.world()
        await self._auth.reconfigure(**credentials(new))
        self._audit.numbers = new.log.numbers
        logging_setup.configure(new.log.level, new.log.format, numbers=new.log.numbers)
        members_differ = _members(world) != _members(self._engine.world)
        self._inbox.run(lambda perform: perform(self._engine.reconfigure(world, time.time())))
        if members_differ:
            self._resync()
        log.info("reloaded", groups=len(world.groups), agents=len(world.agents))
        if waiting:
            log.warning("restart_needed", settings=waiting)
        return new


def credentials(settings: Settings) -> dict[str, Any]:
    """Tokens, PINs and users as arguments of `Authenticator`."""
    return {
        "tokens": [token.get_secret_value() for token in settings.api.tokens],
        "pins": {
            agent_id: agent.pin.get_secret_value()
            for agent_id, agent in settings.agents.items()
            if agent.pin is not None
        },
        "metrics_token": settings.api.metrics_token.get_secret_value(),
        "pin_hashes": {
            agent_id: agent.pin_hash.get_secret_value()
            for agent_id, agent in settings.agents.items()
            if agent.pin_hash is not None
        },
        "users": {
            agent_id: agent.user
            for agent_id, agent in settings.agents.items()
            if agent.user is not None
        },
        "token_lifetime_seconds": settings.api.token_lifetime_seconds,
    }


def signing(settings: Settings) -> dict[str, Any]:
    """What keys are derived from, constant over restarts, as arguments of `Authenticator`."""
    known = [settings.ari.password.get_secret_value(), settings.ami.secret.get_secret_value()]
    return {
        "device_secret": json.dumps(known).encode(),
        "session_key": settings.api.session_key.get_secret_value(),
    }


def _changed_at_start_only(old: Settings, new: Settings) -> Iterator[str]:
    """The changed variables that need a restart."""
    for section, names in _AT_START_ONLY.items():
        before, after = getattr(old, section), getattr(new, section)
        for name in names or type(before).model_fields:
            if getattr(before, name) != getattr(after, name):
                yield variable((section, name))
    if old.nodes != new.nodes:
        yield variable(("nodes", "<ID>", "url"))


def _with_connections_of(old: Settings, new: Settings) -> Settings:
    kept: dict[str, object] = {"nodes": old.nodes}
    for section, names in _AT_START_ONLY.items():
        before, after = getattr(old, section), getattr(new, section)
        update = {name: getattr(before, name) for name in names}
        kept[section] = after.model_copy(update=update) if names else before
    return new.model_copy(update=kept)


def _members(world: World) -> object:
    """The settings that determine which queue members are which agents."""
    return (
        {group.queue for group in world.groups.values()},
        {(agent.id, agent.interface) for agent in world.agents.values()},
    )
