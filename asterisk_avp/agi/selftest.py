"""``agi://…/avp/check``: does Asterisk reach the daemon? `asterisk-avp check` makes it ask.

The answer is one channel variable, AVP_CHECK_ANSWER, with the daemon's version. Nothing is decided
or recorded.
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
