"""Resync: read the state of Asterisk on each connection, and whenever it may be out of date.

While both connections are up, events keep the state up to date. It is read again when they return,
and when an effect of a transfer may not have been performed (ARI did not answer in time, for
example), which no event would report while a caller might hear silence. Each transfer then gets the
events that it missed, and its arrangement is restored (`core.engine.resync`).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any, Final, NamedTuple

import structlog

from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.ari.music import Music
from asterisk_avp.ari.perform import AriPerformer
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.resync import Stored, orphaned_channels, take_over
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import Effect
from asterisk_avp.core.model.errors import AmiTampered, AvpError
from asterisk_avp.core.pops.board import PopBoard
from asterisk_avp.service.call_groups import GroupReader
from asterisk_avp.service.executor import Workers
from asterisk_avp.service.hold_reader import HoldReader
from asterisk_avp.service.inbox import Handle, Inbox, Message, NeedsResync, Outdated
from asterisk_avp.service.links import Links
from asterisk_avp.service.members import MemberVerifier
from asterisk_avp.service.part import Part
from asterisk_avp.service.stored_transfers import presentations, stored_transfers

log = structlog.get_logger(__name__)

RETRY_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 5.0
_RESYNC_DELAY_SECONDS: Final = 0.3
"""Delay of a resync for a transfer, because other transfers are likely to need it too."""
_RECENT_SECONDS: Final = 30.0
"""Channels that were in a transfer this recently do not count as orphaned."""
_RESYNC_DELAY_MAX_SECONDS: Final = 8.0
"""The longest delay between repeated resyncs for the same transfer."""


class _Seen(NamedTuple):
    """What ARI lists, by id."""

    in_stasis: AbstractSet[str]
    bridges: AbstractSet[str]


class Synchroniser(Part):
    """Run resyncs. ``changed`` is called when `synced` changes.

    Before and after it installs the new state, it waits until the parts in ``before`` are idle, and
    then calls `Part.resynced` of each.
    """

    hears = (NeedsResync, Outdated, ev.HoldChanged)

    def __init__(
        self,
        inbox: Inbox,
        engine: TransferEngine,
        ami: AmiReader,
        ari: AriPerformer,
        board: PopBoard,
        music: Music,
        members: MemberVerifier,
        groups: GroupReader,
        workers: Workers,
        links: Links,
        before: Sequence[Part],
        changed: Callable[[], None],
    ) -> None:
        self._inbox = inbox
        self._engine = engine
        self._ami = ami
        self._ari = ari
        self._board = board
        self._music = music
        self._members = members
        self._groups = groups
        self._workers = workers
        self._links = links
        self._before = before
        self._holds = HoldReader(inbox, engine, ari)
        self._changed = changed
        self.synced = False
        self.trouble = ""
        """Why the state cannot be read; empty: it can."""
        self._restored = False
        """Whether the transfers of an earlier daemon have been restored."""
        self._restart_steps = False
        """Whether effects were cancelled, so that each transfer must repeat its step."""
        self._task: asyncio.Task[None] | None = None
        self._restoring: asyncio.Task[None] | None = None
        self._wanted: set[str] = set()
        """The transfers that need a resync."""
        self._repeats: Counter[str | None] = Counter()
        """Consecutive resyncs that a transfer has needed."""
        self._timer: asyncio.TimerHandle | None = None

    def handle(self, message: Message) -> None:
        match message:
            case NeedsResync(session):
                self._needed(session)
            case Outdated():
                # The next resync restores them from their channels.
                self._engine.store.forget_running()
                self._restored = False
            case ev.HoldChanged():
                self._holds.changed(message)

    def connected(self) -> None:
        """The state may be out of date: read everything."""
        if self._workers.held and self._links.ari:
            # We own the application, and no other daemon has owned it meanwhile.
            self._restart_steps = True
            self._workers.resume()
        self.read_all()

    def read_all(self) -> None:
        """Run a full resync as soon as both connections are up."""
        self.synced = False
        self._cancel()
        if self._links.both:
            self._task = asyncio.create_task(self._read(None), name="resync")
        self._changed()

    def _needed(self, session_id: str | None) -> None:
        if session_id is not None:
            self._wanted.add(session_id)
        loop = asyncio.get_running_loop()
        pause = min(
            _RESYNC_DELAY_SECONDS * 2.0 ** self._repeats[session_id], _RESYNC_DELAY_MAX_SECONDS
        )
        if self._timer is None or self._timer.when() > loop.time() + pause:
            self._stop_timer()
            self._timer = loop.call_later(pause, self._repair)

    async def stop(self) -> None:
        self._cancel()
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cancel(self) -> None:
        for task in (self._task, self._restoring):
            if task is not None:
                task.cancel()
        self._task = self._restoring = None

    def _start(self, restoring: Coroutine[Any, Any, None]) -> None:
        if self._restoring is not None:
            self._restoring.cancel()
        self._restoring = asyncio.create_task(restoring, name="restore")

    def _repair(self) -> None:
        self._timer = None
        if not self._links.both:
            return  # the next connection causes a full resync
        if self._task is not None and not self._task.done():
            self._timer = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._repair)
            return
        wanted, self._wanted = frozenset(self._wanted), set()
        # Transfers that no longer need it start from zero.
        kept = (*wanted, None)
        self._repeats = Counter({x: self._repeats[x] + 1 for x in kept})
        self._task = asyncio.create_task(self._read(wanted), name="repair")

    async def _read(self, only: frozenset[str] | None) -> None:
        """Retry until a resync succeeds. ``only``: the transfers that need it; None: all."""
        while True:
            try:
                await self._once(only)
            except AvpError as error:
                log.warning("resync_failed", error=str(error))
                self.trouble = str(error)
            except Exception as error:
                log.exception("resync_failed")
                self.trouble = repr(error)
            else:
                self.trouble = ""
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _once(self, only: frozenset[str] | None) -> None:
        # Wait, so that a leg that is about to be dialled does not count as missing.
        await self._wait_idle()
        begun = time.monotonic()
        self._inbox.defer_state_facts()
        try:
            # AMI executes the actions of its connection one after the other: send all at once.
            queues, (found, linked) = await asyncio.gather(self._queues(), self._stored_transfers())
            # Read last, because Stasis events during the resync are handled at once.
            channels, in_stasis, bridges = await self._ari.read_state(linked)
        finally:
            held = self._inbox.deferred_state_facts()
        read = time.monotonic()
        on_hold = self._holds.known([channel.id for channel in channels])
        picture = (*channels, *on_hold, *queues, *held)
        seen = _Seen(in_stasis, bridges)
        self._inbox.run(lambda handle: self._install(picture, found, seen, only, handle))
        installed = time.monotonic()
        if only is None:
            await self._holds.read_ambiguous()
        await self._prepared()
        ready = time.monotonic()
        if not self.synced:
            self.synced = True
            self._changed()
        log.info(
            "synchronised" if only is None else "resynced",
            channels=len(self._engine.calls.channels),
            transfers=len(only) if only is not None else self._engine.store.running(),
            read_seconds=round(read - begun, 2),
            install_seconds=round(installed - read, 2),
            ready_seconds=round(ready - begun, 2),
        )
        await self._resync_parts(first=False)
        if only is None:
            self._start(self._restore(begun, [stored.session.caller.channel for stored in found]))
        await self._release_orphans()

    async def _prepared(self) -> None:
        """Wait for what new transfers need.

        The members of personal queues follow the agents, and those phones are known that are no
        members themselves.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE_SECONDS):
                await self._workers.caught_up()
        await self._resync_parts(first=True)

    async def _restore(self, begun: float, callers: Iterable[str]) -> None:
        """What new transfers do not depend on, and what failing effects need not wait for."""
        with suppress(AvpError):  # the connection is lost: the next resync repeats it
            await presentations(self._ami, callers, self._inbox.post)
        await self._holds.read_all()
        await self._workers.wait_deferred()
        await self._holds.read_moved()
        log.info("restored", seconds=round(time.monotonic() - begun, 2))

    async def _release_orphans(self) -> None:
        # Ended sessions remove their bridges.
        await self._wait_idle()
        # ARI's list can be seconds old on a busy Asterisk: it may show a call that has completed
        # meanwhile in our bridge, which must not count as orphaned.
        engine = self._engine
        ours = engine.store.recent_channels(time.time() - _RECENT_SECONDS)
        if not await self._ari.reap(
            lambda channel: channel in ours or engine.store.role_of(channel) is not None,
            kept=engine.store.has_bridge,
        ):
            self._needed(None)

    async def _resync_parts(self, *, first: bool) -> None:
        for part in self._before:
            if part.needed_for_ready is first:
                await part.resynced()

    def _install(
        self,
        picture: Iterable[Message],
        found: Iterable[Stored],
        seen: _Seen,
        only: frozenset[str] | None,
        handle: Handle,
    ) -> None:
        """Replace the old state with the new one and apply the consequences, in one step."""
        engine, board = self._engine, self._board
        engine.sync_started()
        board.sync_started()
        self._music.forget()
        for message in picture:
            handle(message)
        synced = engine.sync_finished(time.time())
        board.sync_finished(time.time())
        handle(synced)
        board.started()
        self._groups.refresh(engine.agents.by_id)
        restart_steps, self._restart_steps = self._restart_steps, False
        if only is None:
            self._wanted.clear()
            engine.store.holds_unread = True
        later: dict[str, list[Effect]] = {}
        handle(
            take_over(
                engine,
                found,
                seen.in_stasis,
                time.time(),
                self._workers.is_busy,
                only=only,
                restart_steps=restart_steps,
                bridges=seen.bridges,
                later=later,
            )
        )
        self._workers.defer(later)
        for channel in orphaned_channels(engine, seen.in_stasis):
            handle(ev.StasisEntered(channel))
        self._restored = True

    async def _queues(self) -> list[ev.Fact]:
        try:
            return await self._ami.queues(time.time)
        except AmiTampered as error:
            log.warning("queues_read_individually", error=str(error))
        facts: list[ev.Fact] = []
        for queue in self._engine.agents.queues():
            facts += await self._members.read(queue)
        return facts

    async def _wait_idle(self) -> None:
        await asyncio.gather(*(part.wait_idle(IDLE_SECONDS) for part in self._before))

    async def _stored_transfers(self) -> tuple[list[Stored], dict[str, str]]:
        """The transfers that an earlier daemon has stored, and the Linkedid of each channel."""
        if self._restored:
            return [], await self._ami.linked()
        return await stored_transfers(self._ami, lambda: self._engine.world)
