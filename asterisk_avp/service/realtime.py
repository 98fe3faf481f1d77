"""Find what a database changes about queue members.

Where queue members are in a database (realtime), app_queue reads them when a caller joins, or when
somebody asks about the queue, and tells nobody what has changed (app_queue.c,
``rt_handle_member_record``). So whoever logs an agent in by adding a row, pauses them by a column,
or changes a penalty, is noticed here: each group's queue is read every few seconds, which makes
app_queue look at the database, and what differs is queried like every other sign
(`service.members`). The agent's personal queue follows as usual.

On an Asterisk that has no driver of a database loaded, nothing is asked. Where a driver is loaded
but no queue member is in the database, there is one question each time, for one column of one row
(function ``REALTIME_FIELD``); Asterisk answers it without a database if none is configured for
queue members. AMI's lists do not tell a realtime member from one of queues.conf.

While a database does not answer, app_queue takes its members out (``update_realtime_members``), or
forgets the queue (``find_queue_by_name_rt``). So a queue that lost all its members must look so
twice in succession before it counts.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.ari.resources import AsteriskInfo
from asterisk_avp.config.sections import AmiSettings
from asterisk_avp.core.model.errors import AvpError
from asterisk_avp.service.inbox import NeedsResync, Post
from asterisk_avp.service.member_evidence import standing
from asterisk_avp.service.part import Part
from asterisk_avp.service.unreported import UnreportedChanges

log = structlog.get_logger(__name__)

DRIVER: Final = "res_config_"
"""What the names of modules begin with that connect realtime to databases."""

FUNCTIONS: Final = "func_realtime.so"
"""The module of the function that shows whether a table has rows."""

PAUSE_SECONDS: Final = 0.05
"""The least time between two queues: Asterisk looks through all its queues for each."""


class RealtimeMembers(Part):
    """Compare the members of all groups with Asterisk's every ``realtime_seconds``; 0: never."""

    def __init__(
        self,
        ami: AmiReader,
        unreported: UnreportedChanges,
        asterisk: AsteriskInfo,
        settings: AmiSettings,
        post: Post,
    ) -> None:
        self._post = post
        self._ami = ami
        self._unreported = unreported
        self._asterisk = asterisk
        self._seconds = settings.realtime_seconds
        self._task: asyncio.Task[None] | None = None
        self._modules: frozenset[str] | None = None
        """The modules that this Asterisk runs; None: to be asked."""
        self._used = False
        """Whether this Asterisk has had a queue member in its database."""
        self._emptied: set[str] = set()
        """The queues that had lost all their members when they were read last."""

    def connected(self) -> None:
        self._modules, self._used = None, False  # another Asterisk may run, with other modules

    async def resynced(self) -> None:
        if self._task is None and self._seconds:
            self._task = asyncio.create_task(self._watch(), name="realtime members")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            next_time = loop.time() + self._seconds
            try:
                if await self._is_used():
                    await self._compare_all()
            except AvpError as error:
                log.debug("realtime_unknown", error=str(error))
            await asyncio.sleep(max(next_time - loop.time(), PAUSE_SECONDS))

    async def _is_used(self) -> bool:
        """Whether queue members may be in a database. Raises `AvpError`."""
        if self._modules is None:
            self._modules = await self._asterisk.modules()
            if FUNCTIONS not in self._modules:
                self._used = any(name.startswith(DRIVER) for name in self._modules)
        if not any(name.startswith(DRIVER) for name in self._modules):
            return False
        if not self._used and await self._ami.has_realtime("queue_members", "interface"):
            self._used = True
            log.info("realtime_members", seconds=self._seconds)
        return self._used

    async def _compare_all(self) -> None:
        # Where the queues are in the database too, the list of a queue reads its members again
        # (app_queue.c, manager_queues_status).
        reads_itself = await self._ami.has_realtime("queues", "name")
        for queue in self._unreported.queues():
            try:
                if not reads_itself:
                    await self._ami.read_again(queue)
                await self._compare(queue)
            except AvpError as error:
                log.debug("queue_unknown", queue=queue, error=str(error))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _compare(self, queue: str) -> None:
        comparison = await self._unreported.compare(queue, standing)
        if comparison.emptied and queue not in self._emptied:
            self._emptied.add(queue)
            return
        if queue in self._emptied and not comparison.emptied:
            # The database has answered again; a personal queue may have lost its member as well.
            log.info("queue_has_members_again", queue=queue)
            self._post(NeedsResync())
        self._emptied.discard(queue)
        if comparison.changed:
            log.info("queue_changed_in_database", queue=queue, members=len(comparison.changed))
            self._unreported.query(queue, comparison.changed)
