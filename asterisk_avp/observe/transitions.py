"""A line of the log for each step of a transfer: what led from which state to which, by which row.

The row is the ``name`` of a `Transition`: search for it in ``asterisk_avp/core/transfer/table.py``.
The transfer's event is ``trigger``, since ``event`` is the name of a line itself. An event that
changes nothing is logged at debug, whether there is a row for it or not.
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
