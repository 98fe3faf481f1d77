"""Tells a node that one of its agents is at home here now, while it may not hear that over NATS.

Without it a node that is cut from NATS would offer calls to an agent who has logged in elsewhere.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from asterisk_avp.cluster.peers import Peers, check
from asterisk_avp.core.messages import between
from asterisk_avp.core.messages.remote import HomeTaken
from asterisk_avp.core.model.errors import AvpError
from asterisk_avp.runtime.backoff import Backoff
from asterisk_avp.runtime.tasks import TaskSet
from asterisk_avp.service.inbox import Message
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

PATH: Final = "/v1/cluster/homes"
_TRIES: Final = 5
_AGAIN: Final = Backoff(0.3, 3.0)


class HomeTeller(Part):
    hears = (HomeTaken,)

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._tasks = TaskSet("tell home")

    def handle(self, message: Message) -> None:
        if isinstance(message, HomeTaken):
            self._tasks.start(self._tell(message))

    async def stop(self) -> None:
        await self._tasks.stop(0)

    async def _tell(self, home: HomeTaken) -> None:
        body = between.home_body(home.agent, home.revision)
        for tries in range(_TRIES):
            try:
                check(home.node, await self._peers.ask(home.node, "POST", PATH, body, what="home"))
            except AvpError as error:
                log.debug("home_not_told", node=home.node, error=type(error).__name__)
                await asyncio.sleep(_AGAIN.pause_seconds(tries))
            else:
                return
