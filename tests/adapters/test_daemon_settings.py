"""Settings that the daemon passes to its parts."""

from __future__ import annotations

from pathlib import Path

from asterisk_avp.config.settings import Settings
from asterisk_avp.service.daemon import Daemon
from tests.config.test_settings import NEEDED


async def test_the_longest_pause_between_attempts_to_connect() -> None:
    environ = {"AVP_AMI__RECONNECT_MAX_SECONDS": "7", "AVP_ARI__RECONNECT_MAX_SECONDS": "8"}
    daemon = Daemon(Settings.load(NEEDED | environ, Path("/nonexistent")))
    assert 3.5 <= daemon._ami._backoff.pause_seconds(20) <= 7
    assert 4 <= daemon._ari._backoff.pause_seconds(20) <= 8
    assert max(daemon._ami._backoff.pause_seconds(20) for _ in range(100)) > 5
    assert max(daemon._ari._backoff.pause_seconds(20) for _ in range(100)) > 5
    await daemon._ari.close()
