"""The composition root: the only module that imports all others.

Facts from AMI and ARI, outcomes and timers from the workers, and requests from the API and the
phones pass through one inbox, one at a time, into the engine, and result in effects. Each session
has a worker that performs its effects in order, so that a slow step of one transfer does not delay
others.

The parts get messages in this order (`service.part`; a test compares), and stop in reverse order.

    part                  messages                              other calls
    IntegrityWatch        Defect
    TransferService       Report TimeUp
    Phones                KeyPressed ReferReceived FeatureUsed  stop
    Timeouts              TimeUp
    RecordingWatch        RecordingMuted ChannelGone            resynced
    SwapWatch             BridgeSwapped ChannelGone
    MusicWatch            MusicChanged ChannelGone QueueJoined Hint
    PersonalQueueMembers  -                                     perform stop
    Workers               Replaced                              perform wait_idle stop
    AdmissionControl      -                                     perform connected stop
    AcwTimer              -                                     perform stop
    GroupReader           -                                     perform wait_idle stop
    TransferRecords       -                                     perform
    Publisher             -                                     perform
    GroupWatch   Hint QueueJoined QueueLeft QueueWaiting RemoteGroupSeen  perform resynced stop
    EmptyGroupWatch       -                                     perform resynced stop
    Pops                  11 facts                              perform resynced wait_idle stop
    UnreportedChanges     6 facts                               stop
    RealtimeMembers       -                                     connected resynced stop
    EngineStep            35 facts
    MemberPhones          MemberSeen MemberRemoved              connected resynced stop
    Whereabouts           Hint StasisLeft ChannelGone BridgeEntered HangUpAsked  connected stop
    MemberVerifier        Hint ChannelSeen ChannelGone          wait_idle stop
    EndWatch              ChannelEnding ChannelGone             stop
    VersionWatch          -                                     connected stop
    Synchroniser          NeedsResync Outdated HoldChanged      connected stop
    OrphanTimeoutRenewal  -                                     resynced
    SharedLastcallWatch   -                                     perform wait_idle stop
    GuardWatch            -                                     connected stop
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import structlog

from asterisk_avp.ami.membership import MembershipChanges
from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.ami.recording import Recordings
from asterisk_avp.api.broadcast import EventBroadcaster, group_event, readiness_event
from asterisk_avp.ari.music import Music
from asterisk_avp.ari.perform import AriPerformer
from asterisk_avp.config.settings import Settings
from asterisk_avp.core.engine.history import History
from asterisk_avp.core.model.errors import OtherDaemon
from asterisk_avp.core.model.world import Readiness
from asterisk_avp.core.pbx.swaps import Swaps
from asterisk_avp.core.phone.feature_code import FeatureCodeHandler
from asterisk_avp.observe.audit import Audit
from asterisk_avp.observe.metrics import Metrics
from asterisk_avp.observe.queue_log import QueueLogWriter
from asterisk_avp.observe.systemd_notify import Notifier
from asterisk_avp.service.acw_timer import AcwTimer
from asterisk_avp.service.admission import new_admission
from asterisk_avp.service.alone import other_daemons
from asterisk_avp.service.call_groups import GroupReader
from asterisk_avp.service.channel_ends import EndWatch
from asterisk_avp.service.clients import ami_client, ari_client, new_ami_performer, new_engine
from asterisk_avp.service.drain import drain
from asterisk_avp.service.empty_groups import EmptyGroupWatch
from asterisk_avp.service.executor import Workers, log_fields
from asterisk_avp.service.facade import TransferService
from asterisk_avp.service.gauges import show_inside
from asterisk_avp.service.group_watch import GroupWatch
from asterisk_avp.service.guards import GuardWatch
from asterisk_avp.service.housekeeping import forget_ended
from asterisk_avp.service.inbox import Defect, Inbox, Outdated
from asterisk_avp.service.intake import Intake
from asterisk_avp.service.integrity import IntegrityWatch
from asterisk_avp.service.links import Links
from asterisk_avp.service.listeners import (
    EngineStep,
    MusicWatch,
    Pops,
    Publisher,
    SwapWatch,
    Timeouts,
    TransferRecords,
)
from asterisk_avp.service.member_phones import MemberPhones
from asterisk_avp.service.members import MemberVerifier
from asterisk_avp.service.nodes import several_nodes
from asterisk_avp.service.orphan_timeout import OrphanTimeoutRenewal
from asterisk_avp.service.part import Dispatcher, Part, end_with
from asterisk_avp.service.personal_queues import PersonalQueueMembers
from asterisk_avp.service.phones import Phones
from asterisk_avp.service.readiness import ReadinessWatch, VersionWatch
from asterisk_avp.service.realtime import RealtimeMembers
from asterisk_avp.service.recordings import RecordingWatch
from asterisk_avp.service.reload import Reloader
from asterisk_avp.service.resync import Synchroniser
from asterisk_avp.service.servers import Front, start_servers
from asterisk_avp.service.shared_lastcall import SharedLastcallWatch
from asterisk_avp.service.standing import Standing
from asterisk_avp.service.unreported import UnreportedChanges
from asterisk_avp.service.whereabouts import Whereabouts
from asterisk_avp.service.work import AgentWork

log = structlog.get_logger(__name__)

_QUEUE_LOG_SECONDS = 2.0


class Daemon:
    """The daemon, composed of its parts."""

    def __init__(
        self, settings: Settings, notifier: Notifier | None = None, *, warm: bool = False
    ) -> None:
        """``warm``: with `--standby`, so that another daemon may take this one's place."""
        self.settings = settings
        self._notifier = notifier or Notifier({})
        self._inbox = inbox = Inbox()
        post = inbox.post
        self._engine = engine = new_engine(settings)
        self._ami = ami = ami_client(settings.ami, lambda *defect: post(Defect(*defect)))
        self._ari = ari = ari_client(settings, lambda: post(Outdated()), warm=warm)
        others, self._metrics = other_daemons(settings, engine, post, ami.action), Metrics(engine)
        metrics, links = self._metrics, Links(ami, ari)
        news = asyncio.Event()  # readiness may have changed

        # Queries and actions to Asterisk.
        reader, music, recordings = AmiReader(ami, engine.calls.name_of), Music(), Recordings()
        ari_performer = AriPerformer(ari, settings.ari.app, music.stopped)
        members = MemberVerifier(engine, reader, post)
        ends = EndWatch(engine.calls, ari_performer.exists, inbox)
        changes_of_members = MembershipChanges(ami, members)
        ami_performer = new_ami_performer(ami, engine, recordings, changes_of_members, ends)
        self._workers = workers = Workers(
            ami_performer, ari_performer, post, metrics.performed, log_fields(engine)
        )
        workers.hold()  # until we know that no other daemon is active
        agi, frozen = settings.standby.agi_url, settings.standby.frozen_seconds
        self._standing = standing = Standing(
            ari, ami, workers, warm=warm, agi_url=agi, frozen_seconds=frozen
        )
        admission = new_admission(settings.session, engine, links, ami, ari)
        groups = GroupReader(engine, reader.variables, post)

        # Events, screen pops, queue_log and audit.
        self._changes = changes = EventBroadcaster()
        pops = Pops(settings, engine, reader, ami_performer, post, changes.send, others)
        board, pop = pops.board, pops.shown
        self._queue_log = QueueLogWriter(
            engine, ami.action, enabled=settings.log.queue_log, numbers=settings.log.numbers
        )
        self._audit = audit = Audit(numbers=settings.log.numbers, count=metrics.decision)

        # Keep the state of Asterisk up to date.
        group_watch = GroupWatch(engine, reader, post, lambda view: changes.send(group_event(view)))
        unreported = UnreportedChanges(engine, members, group_watch.ask)
        recording_watch = RecordingWatch(engine, recordings, reader, post)
        self._orphans = OrphanTimeoutRenewal(
            engine, links, post, settings.session.orphan_seconds, ami_performer.set_global
        )
        self._sync = sync = Synchroniser(
            inbox,
            engine,
            reader,
            ari_performer,
            board,
            music,
            members,
            groups,
            workers,
            links,
            before=(
                *(workers, groups, pops, members, recording_watch, group_watch, *others.parts),
                realtime := RealtimeMembers(reader, unreported, ari.asterisk, settings.ami, post),
                empty_groups := EmptyGroupWatch(engine, post),
                member_phones := MemberPhones(engine, reader, post, ami_performer.set_global),
                self._orphans,
            ),
            changed=news.set,
        )
        version, show = VersionWatch(ari.asterisk, links, news.set), metrics.unguarded_phones
        guards = GuardWatch(engine, reader, links, lambda: version.obeyed, show, news.set)
        self.nodes = nodes = several_nodes(
            *(settings, engine, post, links, sync, news.set, metrics.gauge, ari)
        )
        self._readiness = readiness = ReadinessWatch(
            *(ami, ari, sync, version, news, self._publish_readiness),
            *(admission.warnings, guards.warnings, nodes.warnings, standing.warnings),
            standby=lambda: standing.has_standby,
        )

        self._history, self._codes = History(), FeatureCodeHandler(engine, settings.key_codes())
        self.transfer_service = (others.service_type or TransferService)(
            *(inbox, engine, reader, audit, self._history, changes),
            AgentWork(inbox, engine, changes_of_members, members, workers, readiness.check_ami),
            pop=pop,
            offered=board.offered,
            readiness=readiness,
            links=links,
            workers=workers,
            admission=admission,
            action_timeout_seconds=settings.ami.action_timeout_seconds,
        )
        phones = Phones(
            *(engine, self._codes, audit, inbox, self.transfer_service.read_call, reader.variables),
            ready=lambda: readiness.now().ready,
            admission=admission,
        )
        self.front = front = Front(
            *(settings, self.transfer_service, metrics, engine, ari.asterisk),
            standby=standing.asked_by_standby,
        )
        others.connect(front.app, self.transfer_service, phones, reader.variables, metrics)
        self._reloader = Reloader(engine, front.auth, audit, inbox, resync=sync.read_all)
        self._reloads = asyncio.Lock()
        show_inside(metrics.gauge, engine, workers, front.connections, admission, standing)
        metrics.show_readiness(readiness.now, lambda: ari.stuck)

        self._parts: tuple[Part, ...] = (
            IntegrityWatch(metrics.impossible_message, post),
            *others.parts,
            self.transfer_service,
            phones,
            Timeouts(engine, sync, phones),
            recording_watch,
            SwapWatch(Swaps(engine.calls), metrics),
            MusicWatch(music),
            PersonalQueueMembers(engine, workers),
            workers,
            admission,
            AcwTimer(engine.agents, post),
            groups,
            TransferRecords(engine, audit, self._queue_log, metrics),
            Publisher(engine, changes, pop),
            group_watch,
            empty_groups,
            pops,
            unreported,
            realtime,
            EngineStep(engine),
            member_phones,
            Whereabouts(engine, links, ari_performer.locate, post),
            members,
            ends,
            version,
            sync,
            self._orphans,
            SharedLastcallWatch(inbox, engine, reader, metrics.shared_lastcall_off),
            guards,
            *nodes.parts,
        )
        dispatcher = Dispatcher(self._parts)
        self._intake = Intake(
            *(inbox, metrics, settings.ari.app, dispatcher.connected, engine.world.nodes)
        )
        inbox.consume(dispatcher.handle)

    # --- running -----------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set; then drain running transfers, accept no new ones, and stop
        every part that was started, even if another one raises.
        """
        async with AsyncExitStack() as ending:
            ending.push_async_callback(self._ari.close)
            end_with(ending, self._parts)
            servers = await ending.enter_async_context(AsyncExitStack())
            await start_servers(servers, self.settings, self._engine, self._audit, self.front)
            intake, connection = self._intake, self._metrics.connection
            on_ami = connection("ami", intake.connection)
            ended = self.front.ended_logins
            on_ari = connection("ari", self._standing.watched(ended, intake.connection))
            housekeeping = forget_ended(
                *(self._engine, self._history, self._codes, self._metrics),
                lambda: self.settings.session.keep_ended_seconds,
            )
            async with asyncio.TaskGroup() as group:
                running = [
                    group.create_task(self._ami.run(intake.ami, on_ami), name="ami"),
                    group.create_task(self._run_ari(on_ari, stop), name="ari"),
                    group.create_task(housekeeping, name="housekeeping"),
                    group.create_task(self._notifier.run(), name="notifier"),
                    group.create_task(self._orphans.run(), name="orphan timeout"),
                    group.create_task(self._readiness.run(), name="readiness"),
                    group.create_task(self._standing.run(), name="standing"),
                    group.create_task(self.front.prepare(), name="keys"),
                ]
                await stop.wait()
                await self._drain(servers)
                await self._queue_log.wait_idle(_QUEUE_LOG_SECONDS)
                await servers.aclose()
                for task in running:
                    task.cancel()
        log.info("stopped")
        if self._readiness.displaced:
            raise OtherDaemon(self._readiness.displaced)

    async def _run_ari(self, on_connected: Callable[[bool], None], stop: asyncio.Event) -> None:
        try:
            await self._ari.run(self._intake.ari, on_connected)
        except OtherDaemon as other:
            log.error("other_daemon_active", hint=str(other))  # noqa: TRY400 - no traceback needed
            self._workers.hold()
            self._readiness.displaced = str(other)
            self._readiness.changed()
            stop.set()

    async def reload(self) -> None:
        """Read the settings again, without affecting calls or running transfers."""
        async with self._reloads:
            with self._notifier.reloading():
                self.settings = await self._reloader.reload(self.settings)
            self.nodes.reloaded(self.settings)
            self._codes.codes = self.settings.key_codes()
            self._queue_log.enabled = self.settings.log.queue_log
            self._queue_log.numbers = self.settings.log.numbers

    async def _drain(self, servers: AsyncExitStack) -> None:
        if self._readiness.displaced:
            return  # the other daemon continues the transfers
        self._notifier.stopping()
        self._readiness.stopping = True
        self._readiness.changed()
        if successor := await self._standing.successor():
            await servers.aclose()
            await self._standing.leave(successor)
            return
        await drain(self._engine.store, self._inbox, self.settings.session.drain_seconds)

    def _publish_readiness(self, readiness: Readiness) -> None:
        self._notifier.readiness(readiness)
        self._changes.send(readiness_event(readiness))

    def readiness(self) -> Readiness:
        return self._readiness.now()
