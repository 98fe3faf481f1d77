"""Drop ended transfers after a time; the agents' history keeps them longer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.history import History
from asterisk_avp.core.phone.feature_code import FeatureCodeHandler
from asterisk_avp.observe.metrics import Metrics

_SECONDS: Final = 60.0


async def forget_ended(
    engine: TransferEngine,
    history: History,
    codes: FeatureCodeHandler,
    metrics: Metrics,
    kept_seconds: Callable[[], float],
) -> None:
    """Run until cancelled. ``kept_seconds`` returns how long to keep an ended transfer."""
    while True:
        kept = kept_seconds()
        await asyncio.sleep(min(_SECONDS, max(1.0, kept)))
        now = time.time()
        ended = engine.store.forget_ended(now - kept)
        history.keep((views.transfer_view(engine, one) for one in ended), now)
        codes.forget_ended()
        metrics.forget(one.session.id for one in ended)
