"""``agi://…/avp/check``: is there anybody? `asterisk-avp check` has Asterisk ask it.

The answer is one channel variable, AVP_CHECK_ANSWER, with the daemon's version. Nothing is decided
and nothing is put on record.
"""

from __future__ import annotations

from typing import Final

from asterisk_avp.agi.server import Exchange, Handler

PATH: Final = "avp/check"


def selftest(version: str) -> dict[str, Handler]:
    """The route, for `AgiServer`."""

    async def answer(exchange: Exchange) -> None:
        await exchange.set_variable("AVP_CHECK_ANSWER", version)

    return {PATH: answer}
