"""Parts that wrap other packages: the engine, transfer records, screen pops, the API."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from asterisk_avp.ami.perform import AmiPerformer
from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.api.broadcast import EventBroadcaster, agent_event, transfer_event
from asterisk_avp.api.schemas import iso_time
from asterisk_avp.ari.music import Music
from asterisk_avp.config.settings import Settings
from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages import remote
from asterisk_avp.core.messages.effects import SetTimer
from asterisk_avp.core.pbx.queue_music import QueueMusic
from asterisk_avp.core.pbx.swaps import Swaps
from asterisk_avp.core.pops.board import PopBoard
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.observe.audit import Audit
from asterisk_avp.observe.metrics import Metrics
from asterisk_avp.observe.queue_log import QueueLogWriter
from asterisk_avp.observe.transitions import log_steps
from asterisk_avp.pops.publish import PopPublisher, set_headers
from asterisk_avp.pops.reader import ScreenPops
from asterisk_avp.service.alone import Alone
from asterisk_avp.service.facade import Pop
from asterisk_avp.service.inbox import Hint, Message, Post, Report, TimeUp
from asterisk_avp.service.part import Part
from asterisk_avp.service.phones import Phones
from asterisk_avp.service.resync import RETRY_SECONDS, Synchroniser

log = structlog.get_logger(__name__)

_ENGINE: Final = (
    ev.ChannelGone,
    ev.HangUpAsked,
    ev.ChannelLocated,
    ev.CallerAsked,
    ev.KeyPressed,
    ev.BridgeEntered,
    ev.BridgeLeft,
    ev.HoldChanged,
    ev.CallGroup,
    ev.CallerPresentation,
    ev.StasisEntered,
    ev.StasisLeft,
    ev.MemberSeen,
    ev.MemberRemoved,
    ev.QueueJoined,
    ev.QueueLeft,
    ev.QueueWaiting,
    ev.AgentRung,
    ev.AgentUnanswered,
    ev.AgentRingEnded,
    ev.AgentConnected,
    ev.AgentCompleted,
    ev.DialProgress,
    ev.QueueEnded,
    ev.NotAccepted,
    ev.ClockTick,
    remote.RemoteLeg,
    remote.RemoteEnded,
    remote.RemoteRing,
    remote.NodeCall,
    remote.TrunkLost,
    remote.TrunkBack,
    remote.NodeRestarted,
)


class EngineStep(Part):
    """Run one step of the engine for each fact and each outcome of an effect."""

    hears = (ev.ChannelSeen, *_ENGINE, Report)

    def __init__(self, engine: TransferEngine) -> None:
        self._engine = engine

    def handle(self, message: Message) -> Outcome | None:
        if isinstance(message, ev.ChannelSeen):
            # The most frequent fact; it only updates the state.
            self._engine.fact(message, 0.0)
            return None
        if isinstance(message, Report):
            return self._engine.report(message.session, message.event, time.time())
        if isinstance(message, ev.Fact):
            return self._engine.fact(message, time.time())
        return None


class Timeouts(Part):
    """Handle the expiry of a session's timer."""

    hears = (TimeUp,)

    def __init__(self, engine: TransferEngine, sync: Synchroniser, phones: Phones) -> None:
        self._engine = engine
        self._sync = sync
        self._phones = phones

    def handle(self, message: Message) -> Outcome | None:
        if not isinstance(message, TimeUp):
            return None
        session = message.session
        if not self._sync.synced:
            # The state is unknown; the resync handles it.
            return Outcome([(session, SetTimer(RETRY_SECONDS))])
        return self._phones.timed_out(session) or self._engine.report(
            session, SessionEvent(EventType.TIMED_OUT), time.time()
        )


class SwapWatch(Part):
    """Log and count phones that have replaced another party in a call."""

    hears = (ev.BridgeSwapped, ev.ChannelGone)

    def __init__(self, swaps: Swaps, metrics: Metrics) -> None:
        self._swaps = swaps
        self._metrics = metrics

    def handle(self, message: Message) -> None:
        if isinstance(message, ev.ChannelGone):
            self._swaps.gone(message.id)
        elif isinstance(message, ev.BridgeSwapped):
            replaced = self._swaps.by_phone(message)
            if replaced:
                self._metrics.swapped()
                log.error(
                    "phone_took_over_a_call",
                    channel=message.name,
                    replaced=replaced,
                    hint="an INVITE with Replaces, unless you let phones or trunks make attended "
                    "transfers of their own; see docs/security.md of the project",
                )


class MusicWatch(Part):
    """Track on which channels music plays, and which music callers hear in queues."""

    hears = (ev.MusicChanged, ev.ChannelGone, ev.QueueJoined, Hint)

    def __init__(self, music: Music) -> None:
        self._music = music
        self._queue_music = QueueMusic()

    def handle(self, message: Message) -> Outcome | None:
        match message:
            case ev.MusicChanged(channel, playing, music_class):
                self._music.update(message)
                written = self._queue_music.started(channel, music_class) if playing else None
                return Outcome([(None, written)]) if written is not None else None
            case ev.ChannelGone(channel):
                self._music.update(ev.MusicChanged(channel, playing=False))
                self._queue_music.left(channel)
            case ev.QueueJoined(queue, channel) | Hint(ev.QueueJoined(queue, channel)):
                # A forged event does no more than let a caller hear another of the classes.
                self._queue_music.joined(queue, channel)
            case Hint(ev.QueueLeft(_, channel)):
                self._queue_music.left(channel)
        return None


class TransferRecords(Part):
    """Write the records of each transfer: log, Asterisk's queue_log, metrics."""

    def __init__(
        self, engine: TransferEngine, audit: Audit, queue_log: QueueLogWriter, metrics: Metrics
    ) -> None:
        self._engine = engine
        self._audit = audit
        self._queue_log = queue_log
        self._metrics = metrics

    def perform(self, outcome: Outcome) -> None:
        log_steps(outcome.steps)
        for session_id in dict.fromkeys(outcome.transfers):
            session = self._engine.store.records[session_id].session
            self._audit.transfer(session)
            self._queue_log.transfer(session)
            self._metrics.transfer(session)
        for session_id in dict.fromkeys((*outcome.transfers, *outcome.ended)):
            record = self._engine.store.records[session_id]
            self._metrics.caller_after(record.session, record.caller_outcome)


class Publisher(Part):
    """Send changes to the API's WebSockets."""

    def __init__(self, engine: TransferEngine, changes: EventBroadcaster, pop: Pop) -> None:
        self._engine = engine
        self._changes = changes
        self._pop = pop

    def perform(self, outcome: Outcome) -> None:
        if not self._changes:
            return
        for agent_id in outcome.agents:
            agent = self._engine.agents.by_id.get(agent_id)
            if agent is not None:
                self._changes.send(agent_event(views.agent_view(self._engine, agent, self._pop)))
        for session_id in dict.fromkeys((*outcome.transfers, *outcome.ended)):
            record = self._engine.store.records[session_id]
            self._changes.send(transfer_event(views.transfer_view(self._engine, record)))


class Pops(Part):
    """Screen pops: observe facts before the engine's step, notify agents after it."""

    hears = (
        ev.AgentRung,
        ev.AgentUnanswered,
        ev.AgentRingEnded,
        ev.AgentConnected,
        ev.QueueJoined,
        ev.QueueLeft,
        ev.QueueEnded,
        ev.DialProgress,
        ev.ChannelGone,
        remote.RemoteEnded,
        remote.RemoteRing,
    )
    performs_always = True  # the board may have something to tell of what it has observed

    def __init__(
        self,
        settings: Settings,
        engine: TransferEngine,
        reader: AmiReader,
        ami: AmiPerformer,
        post: Post,
        send: Callable[[Mapping[str, Any]], None],
        others: Alone,
    ) -> None:
        """``send``: to panels and integrations."""
        self._publisher = PopPublisher(send, settings.webhook)
        board = PopBoard(engine, iso_time, settings.pop.keys)
        self._pops = ScreenPops(
            board,
            reader,
            ami.write,
            post,
            lambda agents: post(Outcome(agents=agents)),
            others.publisher(self._publisher.publish, board),
        )
        self.board, self.shown = board, self._pops.shown
        self._set_global = ami.set_global
        self._sip_headers = settings.pop.sip_headers

    def handle(self, message: Message) -> None:
        if isinstance(message, ev.Fact):
            self._pops.board.observe(message, time.time())

    def perform(self, outcome: Outcome) -> None:
        self._pops.refresh(outcome.agents, outcome.transfers)

    async def resynced(self) -> None:
        await set_headers(self._set_global, self._sip_headers)

    async def wait_idle(self, seconds: float) -> None:
        await self._pops.wait_idle(seconds)

    async def stop(self) -> None:
        self._pops.stop()
        await self._publisher.stop()
