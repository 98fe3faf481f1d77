"""``agi://…/avp/dial``: may this phone dial this number?

The dialplan asks with the extension that was dialled, or with the argument of `AGI()` where it has
taken a prefix off. The answer is four channel variables:

    AVP_GATE            allow or deny; empty: no answer, which is a refusal too
    AVP_GATE_NUMBER     what may be dialled, in E.164; for an emergency number that number
    AVP_GATE_CALLER_ID  the number to show there, in E.164; empty: as the phone is
    AVP_GATE_REASON     ok, or why not

`AVP_GATE` is set last: a connection that breaks off in between has allowed nothing.
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
            raise BadRequest("no channel or nothing dialled")
        decided = check(dialled)
        await exchange.set_variable("AVP_GATE_NUMBER", decided.number)
        await exchange.set_variable("AVP_GATE_CALLER_ID", decided.caller_id)
        await exchange.set_variable("AVP_GATE_REASON", decided.reason)
        await exchange.set_variable("AVP_GATE", "allow" if decided.allowed else "deny")

    return {PATH: dial}
