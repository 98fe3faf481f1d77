"""What is done about messages in AMI's stream that Asterisk cannot have written.

Somebody has dialled, or called from, a number with line ends in it (`ami.integrity`), or there is
a fault. What the message was part of is lost, so the picture is read anew; neither the log
nor Asterisk may be kept busy by whoever does it all the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from asterisk_avp.service.inbox import Defect, Message, NeedsResync, Post
from asterisk_avp.service.part import Part

log = structlog.get_logger(__name__)

LOG_SECONDS: Final = 10.0
RESYNC_SECONDS: Final = 30.0
_HINT: Final = (
    "a caller's number, a dialled extension or a member's name with line ends in it, or a fault; "
    "nothing of it is believed"
)


class IntegrityWatch(Part):
    """``count`` is told of each; some are reason enough to read the picture anew."""

    hears = (Defect,)

    def __init__(
        self,
        count: Callable[[], None],
        post: Post,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count = count
        self._post = post
        self._clock = clock
        self._logged_at = self._resynced_at = float("-inf")
        self._unlogged = 0

    def handle(self, message: Message) -> None:
        if isinstance(message, Defect):
            self._left_out(message.event, message.problem)

    def _left_out(self, event: str, problem: str) -> None:
        self._count()
        now = self._clock()
        if now - self._logged_at >= LOG_SECONDS:
            log.error(
                "ami_message_impossible",
                ami_event=event[:_MAX_NAME],
                problem=problem,
                more=self._unlogged,
                hint=_HINT,
            )
            self._logged_at, self._unlogged = now, 0
        else:
            self._unlogged += 1
        if now - self._resynced_at >= RESYNC_SECONDS:
            self._resynced_at = now
            self._post(NeedsResync())


_MAX_NAME: Final = 40
"""An event's name may be anything here."""
