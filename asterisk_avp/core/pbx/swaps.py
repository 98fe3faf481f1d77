"""Detect phones that replace another party in a call.

An INVITE with Replaces (RFC 3891) makes Asterisk put its sender into the bridge in place of the
party whose dialog it names (res_pjsip_refer.c, ``invite_replaces``). The configuration rejects such
an INVITE; one that succeeds all the same appears as a swap in a bridge. Asterisk itself swaps
channels too, but then the channel that leaves is half of a Local channel that it optimises away
(core_unreal.c).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from asterisk_avp.core.messages.facts import BridgeSwapped
from asterisk_avp.core.pbx.calls import Calls

_LOCAL: Final = "Local/"
_KEPT: Final = 50
"""Ended channels whose names are kept, because the swap is reported after the end."""


class Swaps:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._gone: OrderedDict[str, str] = OrderedDict()

    def gone(self, channel: str) -> None:
        """Note that a channel is about to be removed from `Calls`."""
        known = self._calls.channels.get(channel)
        if known is not None:
            self._gone[channel] = known.name
            if len(self._gone) > _KEPT:
                self._gone.popitem(last=False)

    def by_phone(self, swap: BridgeSwapped) -> str:
        """The channel name of the party that a phone has replaced; empty for any other swap."""
        known = self._calls.channels.get(swap.replaced)
        name = known.name if known is not None else self._gone.get(swap.replaced, "")
        if not name or name.startswith(_LOCAL) or swap.name.startswith(_LOCAL):
            return ""
        return name
