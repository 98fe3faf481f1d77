"""Make Asterisk translate anew what the phone behind a Local channel hears.

Nothing of AMI's or ARI's reaches a translator. What is done: the dialplan function REDIRECTING is
written on the near half. The control frame of it passes Local channels and bridges in order with
the audio, and the phone's channel executes what its ``REDIRECTING_SEND_SUB`` says
(bridge_channel.c, ``bridge_channel_handle_control``) instead of telling the phone. Only the tag is
written, which no phone is told anyway.

A phone that our own leg has called inherits the variable. One that the administrator's dialplan has
called (a member like ``Local/1001@agents/n``) gets it here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from asterisk_avp.ami.client import AmiClient
from asterisk_avp.core.messages.effects import RenewTranslation
from asterisk_avp.core.model.errors import AmiError
from asterisk_avp.core.transfer.session import is_leg
from asterisk_avp.core.transfer.translation import TOLD

log = structlog.get_logger(__name__)

_TAG: Final = "REDIRECTING(from-tag)"


class Translation:
    """``name_of``: a channel's name for its id; ``phone_beyond``: `core.pbx.beyond`."""

    def __init__(
        self,
        client: AmiClient,
        name_of: Callable[[str], str],
        phone_beyond: Callable[[str], str],
    ) -> None:
        self._client = client
        self._name_of = name_of
        self._phone_beyond = phone_beyond

    async def perform(self, effect: RenewTranslation) -> None:
        """Raises `AsteriskUnavailable` where it may not have been done."""
        name = self._name_of(effect.channel)
        leg = is_leg(effect.channel)
        if not (leg or name.startswith("Local/")):
            return
        phone = "" if leg else self._phone_beyond(effect.channel)
        told = TOLD if phone else {}
        sent = [(self._name_of(phone), *each) for each in told.items()]
        done: list[object] = await asyncio.gather(
            *(self._send(*each) for each in (*sent, (name, _TAG, "avp"))), return_exceptions=True
        )
        for problem in done:
            if isinstance(problem, AmiError):
                # The channel has ended, as its own event reports.
                log.debug("ami_action_skipped", action=type(effect).__name__, error=str(problem))
            elif isinstance(problem, BaseException):
                raise problem

    def _send(self, channel: str, variable: str, value: str) -> Awaitable[object]:
        headers = {"Channel": channel, "Variable": variable, "Value": value}
        return self._client.send("Setvar", headers)
