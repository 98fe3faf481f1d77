"""The coalesced stream of events: what agents' panels receive, at the cost of few.

Each event is looked at once, for all panels. What concerns an agent (their own state and call,
transfers, screen pops) goes to that agent's panels at once, in order. The states of the other
agents and of groups are collected, and follow in one message `BATCH_SECONDS` apart, encoded once
for the panels that show the same (`lists`). The message is written to the connection without a
task or a queue for each panel.

A panel that has not read the earlier messages gets no further ones: the changes of states
accumulate, and it receives the newest of each once it has caught up. Of its own events at most
`BACKLOG` wait; then, or if it reads nothing for `SEND_SECONDS`, it is closed and must reconnect.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Iterable
from typing import Any, Final

import structlog
from starlette.websockets import WebSocketDisconnect

from asterisk_avp.api.event_cache import SharedEvent, as_text
from asterisk_avp.api.frames import text_frames
from asterisk_avp.api.lists import Lists, Shown
from asterisk_avp.api.panel_connection import Event, Panel
from asterisk_avp.api.port import TransferService
from asterisk_avp.api.schemas import agent_for_all, iso_time
from asterisk_avp.api.throttle import UNAUTHORIZED
from asterisk_avp.api.visibility import agents_of_event, redacted
from asterisk_avp.core.model.errors import UnknownAgent

log = structlog.get_logger(__name__)

BATCH_SECONDS = 0.5
"""Between two messages about the lists to one panel."""
COUNT_SECONDS: Final = 10.0
"""The counts of a group are taken when one of its agents has changed, and of all this often."""
SLICES: Final = 5
"""Panels are served in this many parts, one after the other, so that none delays a call."""
PANELS_TOLD_AT_ONCE = 800
"""From so many panels on, the counts of groups that are not the agent's own are told in every
second message, with twice as many in every third. In a large centre one changes all the time."""
ALIVE_SECONDS = 10.0
SEND_SECONDS = 10.0
LINGER_SECONDS = 30.0
"""How long the lists are kept up to date for the next panel after the last one has gone."""
TRY_AGAIN: Final = 1013
_FAILED: Final = 1011


class Panels:
    """All connections with the coalesced stream."""

    def __init__(self, service: TransferService) -> None:
        self._service = service
        self._lists = Lists(self._load)
        self._slices: list[dict[Panel, None]] = [{} for _ in range(SLICES)]
        self._by_agent: dict[str, list[Panel]] = {}
        self._queue: asyncio.Queue[Event] | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._stale: set[str] = set()
        """Groups whose counts may have changed."""
        self._counted = 0.0
        """When those of all groups were taken, in monotonic seconds."""

    async def serve(self, panel: Panel) -> None:
        """Until the client has gone, or has been told to go."""
        self._add(panel)
        try:
            while (await panel.socket.receive())["type"] != "websocket.disconnect":
                pass
        except (RuntimeError, WebSocketDisconnect):
            pass
        finally:
            self._remove(panel)

    # --- connections -----------------------------------------------------------------------------

    def _add(self, panel: Panel) -> None:
        self._start()
        # What is still in the queue is in the snapshot, and would then be older than that.
        self._drain()
        min(self._slices, key=len)[panel] = None
        self._by_agent.setdefault(panel.agent, []).append(panel)
        self._begin(panel)

    def _remove(self, panel: Panel) -> None:
        for part in self._slices:
            part.pop(panel, None)
        others = self._by_agent.get(panel.agent, [])
        if panel in others:
            others.remove(panel)
            if not others:
                del self._by_agent[panel.agent]

    def _all(self) -> list[Panel]:
        return [panel for part in self._slices for panel in part]

    def _close(self, panel: Panel, code: int) -> None:
        """Close it; nothing is sent to it any more."""
        self._remove(panel)
        task = asyncio.create_task(_closed(panel, code), name="close panel")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _begin(self, panel: Panel) -> None:
        """Send the snapshot and the complete lists."""
        snapshot = panel.view.snapshot()
        self._send(panel, text_frames(snapshot))
        self._send_lists(panel)

    def _send_lists(self, panel: Panel) -> None:
        self._count_stale()
        panel.shown = self._shown(panel)
        frames = self._lists.complete(panel.shown)
        panel.seen = self._lists.version
        self._send(panel, frames)

    def _shown(self, panel: Panel) -> Shown:
        scope = panel.view.scope
        try:
            own = self._service.agent(panel.agent).groups
        except UnknownAgent:
            own = ()
        return Shown(frozenset(filter(scope.group, own)), scope.groups)

    def _send(self, panel: Panel, frames: bytes) -> None:
        if not panel.send(frames):
            panel.writer.write_frames(_OVERFLOW)
            self._close(panel, TRY_AGAIN)

    # --- events ----------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._queue = self._service.subscribe()
            self._lists = Lists(self._load)
            self._count_all()
            self._task = asyncio.create_task(self._run(self._queue), name="panels")

    async def _run(self, queue: asyncio.Queue[Event]) -> None:
        reader = asyncio.create_task(self._read(queue), name="panels' events")
        timer = asyncio.create_task(self._batches(), name="panels' lists")
        try:
            await asyncio.wait({reader, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reader.cancel()
            timer.cancel()
            self._service.unsubscribe(queue)
            self._queue = None
            for done in await asyncio.gather(reader, timer, return_exceptions=True):
                if isinstance(done, Exception):
                    log.error("panels_failed", exc_info=done)
            # Whoever is connected starts again, so that an outdated state never looks live.
            for panel in self._all():
                self._close(panel, _FAILED)

    async def _read(self, queue: asyncio.Queue[Event]) -> None:
        while True:
            self._handle(await queue.get())

    def _drain(self) -> None:
        while self._queue is not None and not self._queue.empty():
            self._handle(self._queue.get_nowait())

    def _handle(self, event: Event) -> None:
        shared = event if isinstance(event, SharedEvent) else SharedEvent(event)
        concerned: Iterable[str] | None = ()
        match event:
            case {"type": "agent", "agent": {"id": str(agent)}}:
                self._stale.update(self._lists.groups_of(agent), event["agent"]["groups"])
                self._lists.agent(redacted(event)["agent"])
                concerned = (agent,)
            case {"type": "group", "group": {} as group}:
                self._lists.group(group)
            case {"type": "transfer", "transfer": {} as transfer}:
                concerned = agents_of_event(transfer)
            case {"type": "readiness"}:
                concerned = None
            case {"type": "overflow"}:
                raise OverflowError("the events came faster than they were read")
            case {"agent": str(agent)}:
                concerned = (agent,)
        panels: Collection[Panel] = (
            self._all()
            if concerned is None
            else [panel for agent in concerned for panel in self._by_agent.get(agent, ())]
        )
        for panel in panels:
            self._tell(panel, shared)

    def _tell(self, panel: Panel, event: SharedEvent) -> None:
        if not panel.valid():
            self._close(panel, UNAUTHORIZED)
            return
        if panel.view.outdated(event):
            self._begin(panel)
        text = panel.view.text(event)
        if text is not None:
            self._send(panel, text_frames(text))
        if event.get("type") == "agent" and self._shown(panel) != panel.shown:
            self._send_lists(panel)  # the agent's groups are others now

    # --- lists -----------------------------------------------------------------------------------

    def _load(self, groups: Collection[str]) -> list[dict[str, Any]]:
        return [agent_for_all(view) for view in self._service.roster(groups)]

    def _count(self, groups: Collection[str] | None) -> None:
        for counts in self._service.group_counts(groups):
            self._lists.group(counts)

    def _count_all(self) -> None:
        """Also those of which an agent has gone who has not been seen since the start."""
        self._count(None)
        self._counted = time.monotonic()
        self._stale.clear()

    def _count_stale(self) -> None:
        """Each message has the counts of now: a panel takes off its own agent as last told."""
        if self._stale:
            self._count(self._stale)
            self._stale.clear()

    async def _batches(self) -> None:
        """Serve the panels, until there have been none for `LINGER_SECONDS`."""
        used = time.monotonic()
        rounds = 0
        while time.monotonic() < used + LINGER_SECONDS:
            rounds += 1
            own_only = bool(rounds % (1 + len(self._all()) // PANELS_TOLD_AT_ONCE))
            for part in self._slices:
                await asyncio.sleep(BATCH_SECONDS / SLICES)
                if part:
                    used = time.monotonic()
                    self._drain()  # the counts must not be newer than what is told of an agent
                    if used > self._counted + COUNT_SECONDS:
                        self._count_all()
                    self._count_stale()
                    self._serve(list(part), used, own_only=own_only)

    def _serve(self, panels: Collection[Panel], now: float, *, own_only: bool) -> None:
        lists = self._lists
        alive = b""
        for panel in panels:
            if not panel.valid():
                self._close(panel, UNAUTHORIZED)
                continue
            if panel.backlog is not None and not panel.caught_up():
                if now > panel.heard + SEND_SECONDS:
                    self._close(panel, TRY_AGAIN)
                continue
            if panel.view.outdated(None):
                self._begin(panel)
                continue
            frames = b""
            if panel.shown is not None and panel.seen != lists.version:
                frames = lists.batch(panel.shown, panel.seen, own_only=own_only)
            if not frames:
                if not own_only:
                    panel.seen = lists.version
                if now < panel.heard + ALIVE_SECONDS:
                    continue
                frames = alive = alive or text_frames(
                    as_text({"type": "alive", "now": iso_time(time.time())})
                )
            if panel.writer.write_frames(frames):
                if frames is not alive:
                    panel.seen = lists.version
                panel.heard = now
            elif now > panel.heard + ALIVE_SECONDS + SEND_SECONDS:
                self._close(panel, TRY_AGAIN)


_OVERFLOW: Final = text_frames('{"type": "overflow"}')


async def _closed(panel: Panel, code: int) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(SEND_SECONDS):
            await panel.socket.close(code)
        return
    panel.writer.abort()
