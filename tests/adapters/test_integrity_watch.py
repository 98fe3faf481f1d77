"""Messages that Asterisk cannot have written: counted, logged, and followed by a resync."""

from __future__ import annotations

from structlog.testing import capture_logs

from asterisk_avp.service.inbox import Defect, Message, NeedsResync
from asterisk_avp.service.integrity import LOG_SECONDS, RESYNC_SECONDS, IntegrityWatch


def test_however_many_there_are_the_log_and_asterisk_are_left_in_peace() -> None:
    counted, resyncs, now = [0], [0], [1000.0]

    def count() -> None:
        counted[0] += 1

    def post(message: Message) -> None:
        resyncs[0] += message == NeedsResync()

    watch = IntegrityWatch(count, post, lambda: now[0])
    with capture_logs() as lines:
        for _ in range(1000):
            watch.handle(Defect("E" * 5000, "it has no class"))
        assert (counted[0], resyncs[0], len(lines)) == (1000, 1, 1)
        assert lines[0]["log_level"] == "error"
        assert len(lines[0]["ami_event"]) <= 40
        now[0] += LOG_SECONDS
        watch.handle(Defect("", "it has no beginning"))
        assert lines[-1]["more"] == 999
        assert resyncs[0] == 1
        now[0] += RESYNC_SECONDS
        watch.handle(Defect("", "it has no beginning"))
        assert (resyncs[0], len(lines)) == (2, 3)
