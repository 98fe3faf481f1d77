"""Keeps our picture of Asterisk true: reads it on each connection, and where that is needed.

While both connections stand, events keep the picture. It is read anew when they come back, and
when something that was to be done for a transfer may not have been done (ARI did not answer in
time, say): then nobody would ever tell us, and a caller might sit in silence. Everything that a
transfer missed is told to it, and its arrangement is made once more (`core.engine.resync`).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import structlog

from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.ari.music import Music
from asterisk_avp.ari.perform import AriPerformer
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.resync import orphaned_channels, take_over
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AmiTampered, AvpError
from asterisk_avp.core.pops.board import PopBoard
from asterisk_avp.core.transfer import persistence
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.service.call_groups import GroupReader
from asterisk_avp.service.executor import Workers
from asterisk_avp.service.inbox import Handle, Inbox, Message, NeedsResync, Outdated
from asterisk_avp.service.links import Links
from asterisk_avp.service.members import MemberVerifier
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

RETRY_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 5.0
_SOON_SECONDS: Final = 0.3
"""Before the picture is read because a transfer needs it: more are likely to follow the first."""
_LATELY_SECONDS: Final = 30.0
"""For so long what was in a transfer is not taken for left behind by a daemon before us."""
_SOON_MAX_SECONDS: Final = 8.0
"""Before it is read again and again for a transfer that goes on to need it."""


class Synchroniser(Part):
    """``changed`` is told when `synced` changes.

    It waits until ``before``, parts that were built before it, have done what the old picture led
    to, and then what the new one does; and has each of them look for what it missed.
    """

    hears = (NeedsResync, Outdated)

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
        self._changed = changed
        self.synced = False
        self.trouble = ""
        """Why the state cannot be read; empty where it can."""
        self._taken_over = False
        """Whether the transfers of a daemon before us have been looked for."""
        self._restart_steps = False
        """Whether what was being done has been broken off: each transfer repeats its step."""
        self._task: asyncio.Task[None] | None = None
        self._wanted: set[str] = set()
        """The transfers that need it."""
        self._repeats: Counter[str | None] = Counter()
        """How many times in a row a transfer has needed it."""
        self._timer: asyncio.TimerHandle | None = None

    def handle(self, message: Message) -> None:
        match message:
            case NeedsResync(session):
                self._needed(session)
            case Outdated():
                # They are read from their channels.
                self._engine.store.forget_running()
                self._taken_over = False

    def connected(self) -> None:
        """What we knew may be out of date."""
        if self._workers.held and self._links.ari:
            # The application is ours; or again, where no other daemon has had it meanwhile.
            self._restart_steps = True
            self._workers.go_on()
        self.read_all()

    def read_all(self) -> None:
        """Read everything, as soon as both connections stand."""
        self.synced = False
        self._cancel()
        if self._links.both:
            self._task = asyncio.create_task(self._read(None), name="resync")
        self._changed()

    def _needed(self, session_id: str | None) -> None:
        if session_id is not None:
            self._wanted.add(session_id)
        loop = asyncio.get_running_loop()
        pause = min(_SOON_SECONDS * 2.0 ** self._repeats[session_id], _SOON_MAX_SECONDS)
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
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _repair(self) -> None:
        self._timer = None
        if not self._links.both:
            return  # all is read on the next connection
        if self._task is not None and not self._task.done():
            self._timer = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._repair)
            return
        wanted, self._wanted = frozenset(self._wanted), set()
        # Those that have come through begin anew.
        kept = (*wanted, None)
        self._repeats = Counter({x: self._repeats[x] + 1 for x in kept})
        self._task = asyncio.create_task(self._read(wanted), name="repair")

    async def _read(self, only: frozenset[str] | None) -> None:
        """Until it has been read. ``only``: the transfers that need it; None: all."""
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
        # A leg that is about to be dialled is not missing.
        await self._wait_idle()
        self._inbox.hold_picture()
        try:
            queues = await self._queues()
            found = await self._remembered()
            # The last to be read, since what enters Stasis meanwhile is told at once.
            channels, in_stasis = await self._ari.picture(await self._ami.linked())
        finally:
            held = self._inbox.held_picture()
        picture = (*channels, *queues, *held)
        self._inbox.run(lambda handle: self._install(picture, found, in_stasis, only, handle))
        # What the new picture led to comes first: ending sessions clear away after themselves, and
        # the personal queues follow the agents before new transfers are taken.
        await self._wait_idle()
        for part in self._before:
            await part.resynced()
        # What ARI lists may be old when it comes, by seconds on a busy Asterisk: a call that was
        # completed meanwhile is still in our bridge there, and was not left behind by anybody.
        engine = self._engine
        ours = engine.store.recent_channels(time.time() - _LATELY_SECONDS)
        if not await self._ari.reap(
            lambda channel: channel in ours or engine.store.role_of(channel) is not None
        ):
            self._needed(None)
        log.info(
            "synchronised" if only is None else "resynced",
            channels=len(engine.calls.channels),
            transfers=len(only) if only is not None else engine.store.running(),
        )
        if not self.synced:
            self.synced = True
            self._changed()

    def _install(
        self,
        picture: Iterable[Message],
        found: Iterable[tuple[Session, str]],
        in_stasis: AbstractSet[str],
        only: frozenset[str] | None,
        handle: Handle,
    ) -> None:
        """The new picture in the place of the old one, and what follows from it: one step."""
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
        handle(
            take_over(
                engine,
                found,
                in_stasis,
                time.time(),
                self._workers.is_busy,
                only=only,
                restart_steps=restart_steps,
            )
        )
        for channel in orphaned_channels(engine, in_stasis):
            handle(ev.StasisEntered(channel))
        self._taken_over = True

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
        for part in self._before:
            await part.wait_idle(IDLE_SECONDS)

    async def _remembered(self) -> list[tuple[Session, str]]:
        """The transfers that a daemon before us has left on their callers' channels."""
        if self._taken_over:
            return []
        found = []
        for channel in await self._ami.variable_of_all(persistence.COMMIT_MARKER):
            # Callers can write into a list of AMI, not into an answer.
            marker = (await self._ami.variables(channel, (persistence.COMMIT_MARKER,))).get(
                persistence.COMMIT_MARKER, ""
            )
            names = persistence.chunk_names(marker)
            chunks = await self._ami.variables(channel, names) if names else {}
            session = persistence.read(
                {persistence.COMMIT_MARKER: marker, **chunks}, self._engine.world
            )
            if session is None:
                log.warning("transfer_restore_failed", call=channel)
            else:
                log.info(
                    "transfer_restored",
                    transfer=session.id,
                    call=session.caller.channel,
                    state=session.state.value,
                )
                found.append((session, marker))
        return found
