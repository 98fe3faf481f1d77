"""Log one line for each step of a transfer: its event, both states, and the row of the table.

The row is the ``name`` of a `Transition`: search for it in ``asterisk_avp/core/transfer/table.py``.
The transfer's event is ``trigger``, because ``event`` is the name of the log line. An event that
changes nothing is logged at debug, with or without a row.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from asterisk_avp.core.engine.sessions import Taken

log = structlog.get_logger(__name__)


def log_steps(steps: Iterable[Taken]) -> None:
    for step in steps:
        write = log.info if step.changed else log.debug
        write(
            "transition",
            transfer=step.transfer,
            call=step.call,
            **{"from": step.before.value},
            trigger=step.event.value,
            to=step.after.value,
            row=step.row or None,
            reason=step.reason or None,
        )
