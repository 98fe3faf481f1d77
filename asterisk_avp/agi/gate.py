"""``agi://…/avp/dial``: may this phone dial this number?

The dialplan sends the dialled extension, or the argument of `AGI()` if it has removed a prefix.
The answer is four channel variables:

    AVP_GATE            allow or deny; empty: no answer, which is a refusal too
    AVP_GATE_NUMBER     the number to dial, in E.164; an emergency number as dialled
    AVP_GATE_CALLER_ID  the caller id to show, in E.164; empty: the phone's own
    AVP_GATE_REASON     ok, or the reason for the refusal

`AVP_GATE` is set last: a connection that breaks before allows nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from asterisk_avp.agi.server import BadRequest, Exchange, Handler
from asterisk_avp.core.policy.dialling import Dial, Dialled

PATH: Final = "avp/dial"

Check = Callable[[Dialled], Dial]


def gate(check: Check) -> dict[str, Handler]:
    """The routes of the gate, for `AgiServer`."""

    async def dial(exchange: Exchange) -> None:
        header = exchange.header
        dialled = Dialled(
            channel=header.get("agi_channel", ""),
            typed=header.get("agi_arg_1") or header.get("agi_extension", ""),
            call=header.get("agi_uniqueid", ""),
        )
        if not dialled.channel or not dialled.typed:
            raise BadRequest("the channel or the dialled number is missing")
        decided = check(dialled)
        await exchange.set_variable("AVP_GATE_NUMBER", decided.number)
        await exchange.set_variable("AVP_GATE_CALLER_ID", decided.caller_id)
        await exchange.set_variable("AVP_GATE_REASON", decided.reason)
        await exchange.set_variable("AVP_GATE", "allow" if decided.allowed else "deny")

    return {PATH: dial}
