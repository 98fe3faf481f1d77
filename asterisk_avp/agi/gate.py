"""``agi://…/avp/dial``: may this phone dial this number?

The dialplan asks with the extension that was dialled, or with the argument of `AGI()` where it has
taken a prefix off. The answer is three channel variables:

    AVP_GATE         allow or deny; empty: no answer, which is a refusal too
    AVP_GATE_NUMBER  what may be dialled, in E.164; for an emergency number that number
    AVP_GATE_REASON  ok, or why not

`AVP_GATE` is set last: a connection that breaks off in between has allowed nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from asterisk_avp.agi.server import BadRequest, Exchange, Handler
from asterisk_avp.core.gate import Dial

log = structlog.get_logger(__name__)

PATH: Final = "avp/dial"
MAX_TYPED: Final = 128
"""Characters; longer than any number that could be read."""

Check = Callable[[str, str], Dial]
"""Channel name and what was typed → decision."""


def gate(check: Check) -> dict[str, Handler]:
    """The routes of the gate, for `AgiServer`."""

    async def dial(exchange: Exchange) -> None:
        began = time.perf_counter()
        header = exchange.header
        channel = header.get("agi_channel", "")
        typed = header.get("agi_arg_1") or header.get("agi_extension", "")
        if not channel or not typed:
            raise BadRequest("no channel or nothing dialled")
        decided = (
            check(channel, typed)
            if len(typed) <= MAX_TYPED
            else Dial(allowed=False, reason="invalid_format")
        )
        await exchange.set_variable("AVP_GATE_NUMBER", decided.number)
        await exchange.set_variable("AVP_GATE_REASON", decided.reason)
        await exchange.set_variable("AVP_GATE", "allow" if decided.allowed else "deny")
        log.info(
            "dial_allowed" if decided.allowed else "dial_denied",
            agent=decided.agent,
            channel=channel,
            reason=decided.reason,
            setting=decided.setting,
            took_ms=round((time.perf_counter() - began) * 1000, 1),
        )

    return {PATH: dial}
