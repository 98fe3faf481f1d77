"""Ask Asterisk for the phones of members that are not phones themselves.

A member ``Local/1001@from-queue/n`` with the state ``hint:1001@ext-local`` has phones that only
hints and AstDB name (`core.pbx.member_phones`). They are asked for as soon as a member is seen,
and again every `POLL_SECONDS`: nothing reports that a user has logged in on another device, or that
a hint was changed. The dialplan is told them in global variables, so that it recognises the
agent's own phone while no daemon runs (avp-own-phone).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog

from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AvpError
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.member_phones import PhoneSearch, is_phone
from asterisk_avp.service.agent_interfaces import AgentInterfaces
from asterisk_avp.service.inbox import Message, Post
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

VARIABLE: Final = "AVP_PHONES_"
"""Followed by a member's interface, without its technology and with ``_`` for what is no letter or
digit: the phones behind it, with spaces between them."""

POLL_SECONDS: Final = 10.0
READY_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 0.1
"""Between two agents of a poll: at most 10 agents a second, so that thousands take minutes."""


class MemberPhones(Part):
    """Keep `Agents.phones` and the dialplan's variables up to date."""

    hears = (ev.MemberSeen, ev.MemberRemoved)
    needed_for_ready = True

    def __init__(
        self,
        engine: TransferEngine,
        ami: AmiReader,
        post: Post,
        set_global: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._ami = ami
        self._post = post
        self._set_global = set_global
        self._members: dict[str, frozenset[tuple[str, str]]] = {}
        """Agent to the members that were last asked about."""
        self._wanted: dict[str, None] = {}
        """Agents to ask about at once."""
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._interfaces = AgentInterfaces(engine, ami, set_global)

    def handle(self, message: Message) -> None:
        if not isinstance(message, ev.MemberSeen | ev.MemberRemoved):
            return
        agent = self._engine.agents.of_member(message.queue, message.interface)
        if agent is None:
            return
        self._interfaces.changed(agent.id)
        if isinstance(message, ev.MemberRemoved) or is_phone(message.interface):
            return
        pair = (message.interface, message.state_interface)
        if pair not in self._members.get(agent.id, ()):
            self._want(agent.id)

    def _want(self, agent_id: str) -> None:
        self._wanted[agent_id] = None
        self._idle.clear()
        self._news.set()

    def connected(self) -> None:
        self._interfaces.connected()

    async def resynced(self) -> None:
        """Ask about everybody: Asterisk may have restarted, without our variables.

        The daemon is ready only when it knows whose phones have calls, or after `READY_SECONDS`.
        """
        self._interfaces.resynced()
        self._idle.set()
        for agent in self._engine.agents.by_id.values():
            if _members_of(agent):
                self._want(agent.id)
        if not self._tasks:
            self._tasks = (
                asyncio.create_task(self._ask_new(), name="phones of members"),
                asyncio.create_task(self._poll(), name="phones of members again"),
            )
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), READY_SECONDS)

    async def stop(self) -> None:
        self._interfaces.stop()
        for task in self._tasks:
            task.cancel()

    async def _ask_new(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._wanted:
                agent_id = next(iter(self._wanted))
                del self._wanted[agent_id]
                await self._ask(agent_id)
            self._idle.set()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            for agent_id in tuple(self._members):
                await asyncio.sleep(PAUSE_SECONDS)
                await self._ask(agent_id)

    async def _ask(self, agent_id: str) -> None:
        """Ask about one agent. A failure is repaired by the next poll, or the next resync."""
        agent = self._engine.agents.by_id.get(agent_id)
        members = _members_of(agent) if agent is not None else frozenset()
        if not members:
            self._members.pop(agent_id, None)
            self._note(agent_id, ())
            return
        self._members[agent_id] = members
        found: dict[str, tuple[str, ...]] = {}
        try:
            for interface, state_interface in sorted(members):
                phones = await self._search(PhoneSearch(interface, state_interface))
                found[interface] = (*found.get(interface, ()), *phones)
            self._note(agent_id, tuple(dict.fromkeys(x for all_ in found.values() for x in all_)))
            for interface, phones in found.items():
                await self._tell(agent_id, interface, phones)
        except AvpError as error:
            log.debug("phones_unknown", agent=agent_id, error=str(error))

    async def _search(self, search: PhoneSearch) -> tuple[str, ...]:
        while questions := search.questions():
            search.learn({question: await self._answer(question) for question in questions})
        return search.phones()

    async def _answer(self, question: str) -> str:
        if not question.startswith("DB("):
            return await self._ami.function(question)
        family, _, key = question[3:-1].partition("/")
        return await self._ami.entry(family, key)

    def _note(self, agent_id: str, phones: tuple[str, ...]) -> None:
        if self._engine.agents.phones.found(agent_id, phones):
            log.info("phones_found", agent=agent_id, phones=phones)
            self._post(Outcome(agents={agent_id}))

    async def _tell(self, agent_id: str, interface: str, phones: tuple[str, ...]) -> None:
        configured = self._engine.world.agents.get(agent_id)
        further = configured.phones if configured is not None else ()
        member = re.sub(r"[^A-Za-z0-9_]", "_", interface.partition("/")[2])
        value = " ".join(dict.fromkeys((*phones, *further)))
        await self._set_global(f"{VARIABLE}{member}", value)


def _members_of(agent: Agent) -> frozenset[tuple[str, str]]:
    """The agent's members that are not phones themselves: interface and state interface."""
    return frozenset(
        (member.interface, member.state_interface)
        for member in agent.memberships.values()
        if not is_phone(member.interface)
    )
