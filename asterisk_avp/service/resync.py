"""Keeps our picture of Asterisk true: reads it on each connection, and where it is in doubt.

While both connections stand, events keep the picture. It is read anew when they come back, and
when something that was to be done for a transfer may not have been done (ARI did not answer in
time, say): then nobody would ever tell us, and a caller might sit in silence. Everything that a
transfer missed is told to it, and its arrangement is made once more (`core.engine.resync`).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from asterisk_avp.ami.perform import AmiPerformer
from asterisk_avp.ari.music import Music
from asterisk_avp.ari.perform import AriPerformer
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.resync import orphaned_channels, take_over
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AmiTampered, AvpError
from asterisk_avp.core.pops.board import PopBoard
from asterisk_avp.core.transfer import persistence
from asterisk_avp.core.transfer.session import Session

log = structlog.get_logger(__name__)

RETRY_SECONDS: Final = 1.0
SETTLE_SECONDS: Final = 5.0
_DOUBT_SECONDS: Final = 0.3
"""Before the picture is read because of a doubt: more are likely to follow the first."""
_LATELY_SECONDS: Final = 30.0
"""For so long what was in a transfer is not taken for left behind by a daemon before us."""
_DOUBT_MAX_SECONDS: Final = 8.0
"""Before it is read again and again for a transfer that stays in doubt."""

Settle = Callable[[float], Awaitable[None]]


class Synchroniser:
    """`connected` says whether both connections stand; `changed` is told when `synced` changes.

    `members` reads one queue, where the list of all has been tampered with.

    `is_busy` says whether something is being done for a transfer, whose outcome will be told.
    `settle` waits for what the new picture led to, so many seconds at most; `also` is done with
    each reading, once both are known to work.
    """

    def __init__(
        self,
        engine: TransferEngine,
        ami: AmiPerformer,
        ari: AriPerformer,
        board: PopBoard,
        music: Music,
        *,
        feed: Callable[[ev.Fact], None],
        members: Callable[[str], Awaitable[list[ev.Fact]]],
        carry_out: Callable[[Outcome], None],
        look_at_groups: Callable[[], None],
        is_busy: Callable[[str], bool],
        settle: Sequence[Settle],
        also: Callable[[], Awaitable[None]],
        connected: Callable[[], bool],
        changed: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._ami = ami
        self._ari = ari
        self._board = board
        self._music = music
        self._feed = feed
        self._members = members
        self._carry_out = carry_out
        self._look_at_groups = look_at_groups
        self._is_busy = is_busy
        self._settle = settle
        self._also = also
        self._connected = connected
        self._changed = changed
        self.synced = False
        self.trouble = ""
        """Why the state cannot be read; empty where it can."""
        self._taken_over = False
        """Whether the transfers of a daemon before us have been looked for."""
        self._anew = False
        self._buffer: list[tuple[ev.Fact, Callable[[ev.Fact], None]]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._doubtful: set[str] = set()
        self._doubts: Counter[str | None] = Counter()
        """How many times in a row a transfer has been in doubt."""
        self._timer: asyncio.TimerHandle | None = None

    def take(self, fact: ev.Fact, tell: Callable[[ev.Fact], None]) -> None:
        """``tell`` a fact about the picture; while that is being read, afterwards."""
        if self._buffer is not None:
            self._buffer.append((fact, tell))
        else:
            tell(fact)

    def connection(self) -> None:
        """One of the connections has come or gone: what we knew may be out of date."""
        self.synced = False
        self._cancel()
        if self._connected():
            self._task = asyncio.create_task(self._read(None), name="resync")
        self._changed()

    def restart_steps(self) -> None:
        """What was being done has been broken off: every transfer begins its step once more."""
        self._anew = True

    def forget(self) -> None:
        """Another daemon has gone on with the transfers: they are read from their channels."""
        self._taken_over = False

    def doubt(self, session_id: str | None) -> None:
        """Something of this transfer (None: of none in particular) may not have been done."""
        if session_id is not None:
            self._doubtful.add(session_id)
        loop = asyncio.get_running_loop()
        pause = min(_DOUBT_SECONDS * 2.0 ** self._doubts[session_id], _DOUBT_MAX_SECONDS)
        if self._timer is None or self._timer.when() > loop.time() + pause:
            self._stop_timer()
            self._timer = loop.call_later(pause, self._repair)

    def stop(self) -> None:
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
        if not self._connected():
            return  # all is read on the next connection
        if self._task is not None and not self._task.done():
            self._timer = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._repair)
            return
        doubtful, self._doubtful = frozenset(self._doubtful), set()
        # Those that have come through are calm again.
        kept = (*doubtful, None)
        self._doubts = Counter({x: self._doubts[x] + 1 for x in kept})
        self._task = asyncio.create_task(self._read(doubtful), name="repair")

    async def _read(self, only: frozenset[str] | None) -> None:
        """Until it has been read. ``only``: the transfers that are in doubt; None: all."""
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
        await self._settled()
        self._buffer = []
        try:
            queues = await self._queues()
            found = await self._remembered()
            # The last to be read, since what enters Stasis meanwhile is told at once.
            channels, in_stasis = await self._ari.picture(await self._ami.linked())
        finally:
            buffered, self._buffer = self._buffer or [], None
        engine, board = self._engine, self._board
        engine.sync_started()
        board.sync_started()
        self._music.forget()
        for fact in (*channels, *queues):
            self._feed(fact)
        for fact, tell in buffered:
            tell(fact)
        synced = engine.sync_finished(time.time())
        board.sync_finished(time.time())
        self._carry_out(synced)
        board.started()
        self._look_at_groups()
        restart_steps, self._anew = self._anew, False
        if only is None:
            self._doubtful.clear()
        self._carry_out(
            take_over(
                engine,
                found,
                in_stasis,
                time.time(),
                self._is_busy,
                only=only,
                restart_steps=restart_steps,
            )
        )
        for channel in orphaned_channels(engine, in_stasis):
            self._feed(ev.StasisEntered(channel))
        self._taken_over = True
        # What the new picture led to comes first: ending sessions clear away after themselves, and
        # the personal queues follow the agents before new transfers are taken.
        await self._settled()
        await self._also()
        # What ARI lists may be old when it comes, by seconds on a busy Asterisk: a call that was
        # completed meanwhile is still in our bridge there, and was not left behind by anybody.
        ours = engine.store.recent_channels(time.time() - _LATELY_SECONDS)
        if not await self._ari.reap(
            lambda channel: channel in ours or engine.store.role_of(channel) is not None
        ):
            self.doubt(None)
        log.info(
            "synchronised" if only is None else "resynced",
            channels=len(engine.calls.channels),
            transfers=len(only) if only is not None else engine.store.running(),
        )
        if not self.synced:
            self.synced = True
            self._changed()

    async def _queues(self) -> list[ev.Fact]:
        try:
            return await self._ami.queues(time.time)
        except AmiTampered as error:
            log.warning("queues_read_individually", error=str(error))
        facts: list[ev.Fact] = []
        for queue in self._engine.agents.queues():
            facts += await self._members(queue)
        return facts

    async def _settled(self) -> None:
        for settle in self._settle:
            await settle(SETTLE_SECONDS)

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
