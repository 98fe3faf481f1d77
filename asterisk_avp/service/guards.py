"""Watch whether the Transfer buttons of all agents' phones stay guarded (`core.pbx.guard`).

Asterisk is asked about a phone when the phone is first seen, about all phones after each reload of
Asterisk and when the daemon has connected, and about all of them each hour, since a database
changes without a reload. The daemon's AMI user does not receive the event Reload, so the time of
the last reload is polled: one small action every few seconds (manager.c, action_corestatus;
loader.c, ast_module_reload sets it, for one module as well).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import structlog

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.model.errors import AvpError
from asterisk_avp.core.pbx.guard import HANDLING, UNGUARDED, Guards, endpoints_of, guarded
from asterisk_avp.service.links import Links
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

RELOAD_SECONDS: Final = 5.0
"""How often Asterisk is asked for its last reload, and the agents for phones that are new."""
ALL_SECONDS: Final = 3600.0
PAUSE_SECONDS: Final = 0.02
"""Between two phones: at most 50 a second, so that thousands take minutes."""
MOST_SHOWN: Final = 50
"""How many agents' ids a line of the log has."""

_HINT: Final = (
    "Asterisk obeys these phones' Transfer button, past every rule: run asterisk-avp check"
)


class _Reader(Protocol):
    async def function(self, function: str) -> str: ...

    async def last_reload(self) -> str: ...


class GuardWatch(Part):
    """Ask about the guards, and tell who is without one."""

    def __init__(
        self,
        engine: TransferEngine,
        ami: _Reader,
        links: Links,
        obeyed: Callable[[], bool],
        show: Callable[[int], None],
        changed: Callable[[], None],
    ) -> None:
        """``obeyed``: whether this version of Asterisk passes a REFER to us. When `unguarded` has
        changed, ``show`` gets the number of agents, and ``changed`` is called.
        """
        self._show = show
        self._engine = engine
        self._ami = ami
        self._links = links
        self._obeyed = obeyed
        self._changed = changed
        self._guards = Guards()
        self._asked: set[str] = set()
        self._reload = ""
        self._all_at = 0.0
        """When all phones are due (monotonic seconds)."""
        self._task: asyncio.Task[None] | None = None

    @property
    def unguarded(self) -> tuple[str, ...]:
        """The agents with a phone whose Transfer button is not guarded, sorted."""
        return self._guards.unguarded

    def warnings(self) -> tuple[str, ...]:
        """For `/readyz`, which everybody may read: the log has the agents' ids."""
        many = len(self.unguarded)
        whose = "1 agent's phone is" if many == 1 else f"the phones of {many} agents are"
        sentence = (
            f"The Transfer button of {whose} not guarded: Asterisk obeys it, past every rule. The"
            f" log ({UNGUARDED}) has the agents' ids; asterisk-avp check says how to mend it."
        )
        return (sentence,) if many else ()

    def connected(self) -> None:
        """Start afresh with each connection: Asterisk may have restarted."""
        if self._links.ami and self._task is None:
            self._asked.clear()
            self._reload = ""
            self._task = asyncio.create_task(self._run(), name="guards")
        elif not self._links.ami:
            self._cancel()

    async def stop(self) -> None:
        self._cancel()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        self._all_at = 0.0
        while True:
            try:
                await self._tick()
            except AvpError as error:
                # A lost connection is followed by another one.
                log.debug("guards_unknown", error=str(error))
            await asyncio.sleep(RELOAD_SECONDS)

    async def _tick(self) -> None:
        reload = await self._ami.last_reload()
        phones = self._phones()
        every = {endpoint for own in phones.values() for endpoint in own}
        if reload != self._reload or time.monotonic() >= self._all_at:
            # A reload takes a while, and its time has whole seconds: once more after the next one.
            again = self._reload not in (reload, "")
            self._all_at = time.monotonic() + (RELOAD_SECONDS if again else ALL_SECONDS)
            self._reload = reload
            await self._ask(every)
        else:
            await self._ask(every - self._asked)
        self._asked &= every
        change = self._guards.compare(self._phones())
        if change is None:
            return
        if change.new:
            log.warning(
                UNGUARDED,
                agents=change.new[:MOST_SHOWN],
                unguarded=len(change.unguarded),
                hint=_HINT,
            )
        if change.mended:
            log.info(
                "phones_guarded",
                agents=change.mended[:MOST_SHOWN],
                unguarded=len(change.unguarded),
            )
        self._show(len(change.unguarded))
        self._changed()

    def _phones(self) -> dict[str, frozenset[str]]:
        """The endpoints of each agent's phones."""
        agents = self._engine.agents
        return {
            agent.id: endpoints_of(agent, agents.phones.interfaces_of(agent.id))
            for agent in agents.by_id.values()
        }

    async def _ask(self, endpoints: Iterable[str]) -> None:
        for endpoint in sorted(endpoints):
            self._guards.note(endpoint, await self._guarded(endpoint))
            self._asked.add(endpoint)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _guarded(self, endpoint: str) -> bool | None:
        """None: Asterisk has no such endpoint. Raises `AvpError`."""
        allowed = await self._ami.function(f"PJSIP_ENDPOINT({endpoint},allow_transfer)")
        if not allowed:
            return None
        if guarded(allowed, ""):
            return True
        # Asterisk logs a warning where the variable is missing, so it is asked for second.
        handling = await self._ami.function(f"PJSIP_ENDPOINT({endpoint},{HANDLING})")
        return guarded(allowed, handling, obeyed=self._obeyed())
