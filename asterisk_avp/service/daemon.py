"""The composition root: the only module that knows all the others.

Facts come in from AMI and ARI, requests from the API; each goes through the hub one at a time
and comes out as effects. Effects of one session are performed in order by a worker of that
session, so a slow step of one transfer holds up no other.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from asterisk_avp import __version__
from asterisk_avp.agi.gate import gate
from asterisk_avp.agi.selftest import selftest
from asterisk_avp.agi.server import AgiServer
from asterisk_avp.ami import translate as from_ami
from asterisk_avp.ami.client import AmiClient
from asterisk_avp.ami.perform import AmiPerformer
from asterisk_avp.ami.recording import Recordings
from asterisk_avp.api.app import create_app
from asterisk_avp.api.auth import Authenticator
from asterisk_avp.api.broadcast import EventBroadcaster
from asterisk_avp.api.connections import Connections, Proxies
from asterisk_avp.api.schemas import agent_event, iso_time, readiness_event, transfer_event
from asterisk_avp.api.server import serve
from asterisk_avp.ari import translate as from_ari
from asterisk_avp.ari.client import AriClient
from asterisk_avp.ari.music import Music
from asterisk_avp.ari.perform import AriPerformer
from asterisk_avp.config.settings import Settings
from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.history import History
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import SetTimer
from asterisk_avp.core.model.errors import AmiTampered, OtherDaemon
from asterisk_avp.core.model.world import Readiness
from asterisk_avp.core.pbx import ami_rights
from asterisk_avp.core.pbx.swaps import Swaps
from asterisk_avp.core.phone.feature_code import FeatureCodeHandler
from asterisk_avp.core.policy.dialling import Dial, Dialled, check_dial
from asterisk_avp.core.pops.board import PopBoard
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import SECRET_BYTES
from asterisk_avp.observe.audit import Audit
from asterisk_avp.observe.metrics import Metrics
from asterisk_avp.observe.queue_log import QueueLogWriter
from asterisk_avp.observe.systemd_notify import Notifier
from asterisk_avp.observe.transitions import log_steps
from asterisk_avp.pops.publish import PopPublisher, set_headers
from asterisk_avp.pops.reader import ScreenPops
from asterisk_avp.service.acw_timer import AcwTimer
from asterisk_avp.service.call_groups import GroupReader
from asterisk_avp.service.channel_ends import EndWatch
from asterisk_avp.service.drain import drain
from asterisk_avp.service.executor import Workers
from asterisk_avp.service.facade import TransferService
from asterisk_avp.service.gauges import show_connections, show_inside
from asterisk_avp.service.integrity import IntegrityWatch
from asterisk_avp.service.members import MemberVerifier
from asterisk_avp.service.orphan_timeout import OrphanTimeoutRenewal
from asterisk_avp.service.phones import Phones
from asterisk_avp.service.readiness import ReadinessWatch, VersionWatch
from asterisk_avp.service.recordings import RecordingWatch
from asterisk_avp.service.reload import Reloader, credentials, device_secret
from asterisk_avp.service.resync import RETRY_SECONDS, Synchroniser
from asterisk_avp.sockets import descriptors

log = structlog.get_logger(__name__)

_HOUSEKEEPING_SECONDS = 60.0
_QUEUE_LOG_SECONDS = 2.0


class Daemon:
    """All of it, put together."""

    def __init__(self, settings: Settings, notifier: Notifier | None = None) -> None:
        self._settings = settings
        self._notifier = notifier or Notifier({})
        self._engine = TransferEngine(
            settings.world(),
            new_id=lambda: secrets.token_hex(6),
            ring_seconds=settings.session.ring_seconds,
            ring_outside_seconds=settings.session.ring_outside_seconds,
            orphan_seconds=settings.session.orphan_seconds,
            new_secret=lambda: secrets.token_hex(SECRET_BYTES),
        )
        self._ami = AmiClient(
            settings.ami.host,
            settings.ami.port,
            settings.ami.username,
            settings.ami.secret.get_secret_value(),
            action_timeout_seconds=settings.ami.action_timeout_seconds,
            backoff_max_seconds=settings.ami.reconnect_max_seconds,
            needs=ami_rights.ACTIONS,
            wanted=from_ami.EVENTS,
            on_defect=self._defect,
        )
        self._ari = AriClient(
            settings.ari.url,
            settings.ari.username,
            settings.ari.password.get_secret_value(),
            settings.ari.app,
            who=f"process {os.getpid()} on {socket.gethostname()}",
            outdated=self._outdated,
            probe_seconds=settings.ari.probe_seconds,
            request_timeout_seconds=settings.ari.request_timeout_seconds,
            backoff_max_seconds=settings.ari.reconnect_max_seconds,
            event_types=from_ari.EVENT_TYPES,
        )
        self._from_ari = from_ari.Translator()
        self._swaps = Swaps(self._engine.calls)
        self._desk = FeatureCodeHandler(self._engine, settings.key_codes())
        recordings = Recordings()
        self._ami_performer = AmiPerformer(self._ami, self._engine.calls.name_of, recordings)
        self._music = Music()
        self._ari_performer = AriPerformer(self._ari, settings.ari.app, self._music.stopped)
        self._metrics = Metrics(self._engine, self.readiness, stuck=lambda: self._ari.stuck)
        self._workers = Workers(
            self._ami_performer,
            self._ari_performer,
            self._report,
            self._metrics.performed,
            self._doubt,
            self._about,
        )
        self._recordings = RecordingWatch(
            self._engine, recordings, self._ami_performer, self._workers.perform
        )
        self._workers.hold()  # until we know that no other daemon serves
        show_inside(self._metrics.gauge, self._engine, self._workers)
        self._groups = GroupReader(self._engine, self._ami_performer.variables, self._feed)
        self._version = VersionWatch(self._ari.asterisk, self._changed)
        self._changes = EventBroadcaster()
        self._pop_feed = PopPublisher(self._changes.send, settings.webhook)
        self._pops = ScreenPops(
            PopBoard(self._engine, iso_time),
            self._ami_performer.all_variables,
            self._ami_performer.write,
            self._feed,
            lambda agents: self._carry_out(Outcome(agents=agents)),
            self._pop_feed.tell,
        )
        self._history = History()
        self._dead_man = OrphanTimeoutRenewal(
            self._engine, self._workers.perform, settings.session.orphan_seconds, self._in_control
        )
        self._acw = AcwTimer(self._engine.agents, self._feed)
        self._queue_book = QueueLogWriter(
            self._engine,
            self._ami.action,
            enabled=settings.log.queue_log,
            numbers=settings.log.numbers,
        )
        self._audit = Audit(numbers=settings.log.numbers, count=self._metrics.decision)
        self.switchboard = TransferService(
            self._engine,
            self._ami_performer,
            self._audit,
            self._history,
            self._changes,
            pop=self._pop,
            asterisk=self,
            carry_out=self._carry_out,
            feed=self._feed,
            action_timeout_seconds=settings.ami.action_timeout_seconds,
        )
        self._phones = Phones(
            self._engine,
            self._desk,
            self._audit,
            self._carry_out,
            self.switchboard.read_call,
            self._ami_performer.variables,
            ready=lambda: self.readiness().ready,
        )
        self._auth = Authenticator(**credentials(settings), device_secret=device_secret(settings))
        api = settings.api
        self._connections = Connections(
            lambda: min(api.max_connections, descriptors.for_api()), Proxies(api.trusted_proxies)
        )
        show_connections(self._metrics.gauge, self._connections)
        self._reloader = Reloader(
            self._engine,
            self._auth,
            self._audit,
            self._carry_out,
            resync=self._resync,
        )
        self._reloads = asyncio.Lock()
        self._sync = Synchroniser(
            self._engine,
            self._ami_performer,
            self._ari_performer,
            self._pops.board,
            self._music,
            feed=self._feed,
            members=self._queue_members,
            carry_out=self._carry_out,
            look_at_groups=lambda: self._groups.look_at(self._engine.agents.by_id),
            is_busy=self._workers.is_busy,
            settle=(
                self._workers.settle,
                self._groups.settle,
                self._pops.settle,
                self._settle_members,
            ),
            also=self._synchronised,
            connected=lambda: self._ami.connected and self._ari.connected,
            changed=self._changed,
        )
        self._members = MemberVerifier(
            self._engine,
            self._queue_members,
            lambda fact: self._sync.take(fact, self._feed),
            lambda: self._doubt(None),
        )
        self._ami_performer.membership = self._members
        self._ends = EndWatch(
            self._engine.calls,
            self._ari_performer.exists,
            lambda fact: self._sync.take(fact, self._feed),
        )
        self._ami_performer.end_told = self._ends.told
        self._integrity = IntegrityWatch(self._metrics.impossible_message, self._resync_soon)
        self._readiness = ReadinessWatch(
            self._ami, self._ari, self._sync, self._version, self._publish_readiness
        )

    # --- running -----------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set; then no new transfers, and those running get time to end."""
        agi = AgiServer(
            self._settings.agi.host,
            self._settings.agi.port,
            gate(self._check_dial) | selftest(__version__),
            timeout_seconds=self._settings.agi.timeout_seconds,
            room=descriptors.for_agi,
        )
        await agi.start()
        server = await serve(
            create_app(
                self.switchboard,
                self._auth,
                metrics=self._metrics.text,
                scopes=self._engine.scope_of,
            ),
            self._settings.api.host,
            self._settings.api.port,
            self._connections,
        )
        log.info("api_listening", url=server.url)
        counted, told = self._metrics.connection, self._on_connection
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(self._ami.run(self._on_ami, counted("ami", told)), name="ami"),
                group.create_task(self._run_ari(counted("ari", told), stop), name="ari"),
                group.create_task(self._housekeeping(), name="housekeeping"),
                group.create_task(self._notifier.run(), name="notifier"),
                group.create_task(self._dead_man.run(), name="dead man's switch"),
                group.create_task(self._readiness.run(), name="readiness"),
            ]
            await stop.wait()
            await self._drain()
            await self._queue_book.settle(_QUEUE_LOG_SECONDS)
            await server.stop()
            await agi.stop()
            for task in running:
                task.cancel()
        self._workers.stop()
        self._groups.stop()
        self._members.stop()
        self._ends.stop()
        self._pops.stop()
        await self._pop_feed.stop()
        self._phones.stop()
        self._version.stop()
        self._sync.stop()
        await self._ari.close()
        log.info("stopped")
        if self._readiness.displaced:
            raise OtherDaemon(self._readiness.displaced)

    async def _run_ari(self, on_connected: Callable[[bool], None], stop: asyncio.Event) -> None:
        try:
            await self._ari.run(self._on_ari, on_connected)
        except OtherDaemon as other:
            log.error("other_daemon_active", hint=str(other))  # noqa: TRY400 - it says it all
            self._workers.hold()
            self._readiness.displaced = str(other)
            self._readiness.changed()
            stop.set()

    def _check_dial(self, dialled: Dialled) -> Dial:
        engine = self._engine
        decided = check_dial(dialled.channel, dialled.typed, engine.agents, engine.world)
        return self._audit.dial(dialled, decided)

    async def reload(self) -> None:
        """Read the settings again, without touching calls or running transfers."""
        async with self._reloads:
            with self._notifier.reloading():
                self._settings = await self._reloader.reload(self._settings)
            self._desk.codes = self._settings.key_codes()
            self._queue_book.enabled = self._settings.log.queue_log
            self._queue_book.numbers = self._settings.log.numbers

    async def _drain(self) -> None:
        self._notifier.stopping()
        self._readiness.stopping = True
        self._readiness.changed()
        if self._readiness.displaced:
            return  # the transfers are the other daemon's
        await drain(self._engine.store, self._carry_out, self._settings.session.drain_seconds)

    async def _housekeeping(self) -> None:
        while True:
            kept_seconds = self._settings.session.keep_ended_seconds
            await asyncio.sleep(min(_HOUSEKEEPING_SECONDS, max(1.0, kept_seconds)))
            now = time.time()
            ended = self._engine.store.forget_ended(now - kept_seconds)
            self._history.keep(map(views.transfer_view, ended), now)
            self._desk.forget_ended()

    # --- what comes in -------------------------------------------------------------------------

    def _on_ami(self, event: Mapping[str, str]) -> None:
        fact = from_ami.translate(event, time.time())
        self._metrics.ami_event(handled=fact is not None)
        if isinstance(fact, ev.BridgeSwapped):
            self._swapped(fact)
        elif isinstance(fact, ev.ChannelEnding):
            self._ends.hint(fact.id)
        elif fact is not None:
            self._sync.take(fact, self._hint)

    def _on_ari(self, event: Mapping[str, Any]) -> None:
        if event.get("type") == "ApplicationReplaced" and event.get("application") == self._ari.app:
            # Whoever has it now acts on the calls. Two must not.
            self._workers.hold()
        for fact in self._from_ari.translate(event):
            if isinstance(fact, ev.StasisEntered | ev.StasisLeft | ev.PhoneFact):
                self._feed(fact)
            else:
                self._sync.take(fact, self._feed)

    def _hint(self, fact: ev.Fact) -> None:
        """What AMI says, and a caller may have written."""
        if not self._members.hint(fact):
            self._feed(fact)

    def _swapped(self, swap: ev.BridgeSwapped) -> None:
        replaced = self._swaps.by_phone(swap)
        if replaced:
            self._metrics.swapped()
            log.error(
                "phone_took_over_a_call",
                channel=swap.name,
                replaced=replaced,
                hint="an INVITE with Replaces, unless you let phones or trunks make attended "
                "transfers of their own; see docs/security.md of the project",
            )

    def _feed(self, fact: ev.Fact) -> None:
        if isinstance(fact, ev.ChannelSeen):
            # The most frequent, and all that follows from it is the picture.
            self._engine.fact(fact, 0.0)
            self._members.channel_seen(fact.id)
            return
        if isinstance(fact, ev.PhoneFact):
            self._phones.take(fact)
            return
        if isinstance(fact, ev.MusicChanged):
            self._music.told(fact)
            return
        self._recordings.take(fact)
        if isinstance(fact, ev.ChannelGone):
            self._swaps.gone(fact.id)
            self._music.told(ev.MusicChanged(fact.id, playing=False))
        self._pops.board.observe(fact, time.time())
        self._carry_out(self._engine.fact(fact, time.time()))
        if isinstance(fact, ev.ChannelGone):
            self._ends.gone(fact.id)

    def _on_connection(self, _connected: bool) -> None:  # noqa: FBT001 - the clients' signature
        # Which of the two it was, and its state, is asked of the clients.
        self._version.connection(connected=self._ari.connected)
        self._from_ari.forget()
        if self._workers.held and self._ari.connected:
            # The application is ours; or again, where no other daemon has had it meanwhile.
            self._sync.restart_steps()
            self._workers.go_on()
        self._sync.connection()

    def _outdated(self) -> None:
        self._engine.store.forget_running()
        self._sync.forget()

    def _doubt(self, session_id: str | None) -> None:
        self._sync.doubt(session_id)

    def _resync(self) -> None:
        self._sync.connection()

    def _resync_soon(self) -> None:
        self._doubt(None)

    async def _queue_members(self, queue: str, interface: str = "") -> list[ev.Fact]:
        try:
            return await self._ami_performer.members(queue, interface)
        except AmiTampered as error:
            log.warning("queue_read_by_functions", queue=queue, error=str(error))
        return await self._ami_performer.by_functions(
            queue, lambda interface: self._members.known(queue, interface)
        )

    async def _settle_members(self, seconds: float) -> None:
        await self._members.settle(seconds)

    def _defect(self, event: str, problem: str) -> None:
        self._integrity.defect(event, problem)

    def _changed(self) -> None:
        self._readiness.changed()

    async def _synchronised(self) -> None:
        await set_headers(self._ami_performer.set_global, self._settings.pop.sip_headers)
        await self._recordings.look()
        self._dead_man.put_off()

    # --- what goes out -------------------------------------------------------------------------

    def _carry_out(self, outcome: Outcome) -> None:
        log_steps(outcome.steps)
        for session_id, effect in outcome.effects:
            self._workers.perform(session_id, effect)
        if outcome.agents:
            self._acw.schedule()
            self._groups.look_at(outcome.agents)
        for session_id in dict.fromkeys(outcome.transfers):
            session = self._engine.store.records[session_id].session
            self._audit.transfer(session)
            self._queue_book.transfer(session)
            self._metrics.transfer(session)
        self._publish(outcome)
        self._pops.look_at(outcome.agents, outcome.transfers)

    def _about(self, session_id: str) -> Mapping[str, str]:
        """What each line of the log about a transfer has."""
        record = self._engine.store.records.get(session_id)
        call = {"call": record.session.caller.channel} if record is not None else {}
        return {"transfer": session_id, **call}

    def _report(self, session_id: str, event: SessionEvent) -> None:
        self.switchboard.moved(session_id)
        if event.kind is EventType.TIMED_OUT and not self._sync.synced:
            # Nobody can say what has become of it, nor do anything about it: the resync does.
            self._workers.perform(session_id, SetTimer(RETRY_SECONDS))
            return
        if event.kind is EventType.TIMED_OUT and self._phones.timed_out(session_id):
            return
        self._carry_out(self._engine.report(session_id, event, time.time()))

    # --- events for the API's WebSockets -------------------------------------------------------

    def _publish(self, outcome: Outcome) -> None:
        if not self._changes:
            return
        for agent_id in outcome.agents:
            agent = self._engine.agents.by_id.get(agent_id)
            if agent is not None:
                self._changes.send(agent_event(views.agent_view(self._engine, agent, self._pop)))
        for session_id in dict.fromkeys(outcome.transfers):
            self._changes.send(
                transfer_event(views.transfer_view(self._engine.store.records[session_id]))
            )

    def _publish_readiness(self, readiness: Readiness) -> None:
        self._notifier.readiness(readiness)
        self._changes.send(readiness_event(readiness))

    def _pop(self, agent: str, call: str) -> Mapping[str, Any]:
        return self._pops.board.shown(agent, call, time.time())

    # --- how things stand with Asterisk ----------------------------------------------------------

    def readiness(self) -> Readiness:
        return self._readiness.now()

    def listens(self) -> bool:
        return self._ami.connected

    def _in_control(self) -> bool:
        return self._ami.connected and self._ari.connected and not self._ari.stuck

    def reachable(self) -> bool:
        return self._ari.connected and self._ami.connected and not self._workers.held
