"""Handle messages in AMI's stream that Asterisk cannot have written.

The cause is a dialled number or caller's number with line ends in it (`ami.integrity`), or a fault.
The original message is lost, so a resync follows. Log entries and resyncs are rate-limited, so that
an attacker cannot keep the log or Asterisk busy.
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
    "a caller's number, a dialled extension or a member's name contains line ends, or a fault; "
    "the message was discarded"
)


class IntegrityWatch(Part):
    """Call ``count`` for each message, and post `NeedsResync`, rate-limited."""

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
"""Characters of the event's name in the log; an attacker may have chosen it."""
