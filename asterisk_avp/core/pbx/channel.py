"""Channels of Asterisk, and calls of two."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from asterisk_avp.core.messages.facts import ChannelSeen
from asterisk_avp.core.model.caller import Caller, Presentation
from asterisk_avp.core.model.world import agent_of_personal_queue

OUR_CONTEXTS: Final = "avp-"
"""How the names of our contexts begin."""

# The suffix that channel drivers append to the dialled resource: "-" and eight hex digits, then
# ";1" or ";2" for the halves of a Local channel (core_unreal.c).
_SUFFIX = re.compile(r"-[0-9a-f]{8}(;[12])?$")


@dataclass(slots=True)
class Channel:
    id: str
    name: str
    caller_number: str = ""
    caller_name: str = ""
    presentation: Presentation = Presentation.UNKNOWN
    connected_number: str = ""
    queue: str | None = None
    """The queue of a group whose Queue() the channel last executed."""
    bridge: str | None = None
    on_hold: bool = False
    group: str = ""
    """``AVP_GROUP`` as last read; empty: not read yet, or not set."""
    group_read_in: str | None = None
    """The bridge in which its group was last requested; None: not in its current bridge."""
    linked: str = ""
    rung: bool = False
    """As the last resync found it (`ChannelSeen`)."""
    context: str = ""
    """The last context that is not ours; empty: not known."""

    @property
    def group_is_read(self) -> bool:
        """Whether its group was requested in the bridge that it is in."""
        return self.bridge is not None and self.bridge == self.group_read_in

    def learn(self, seen: ChannelSeen) -> None:
        """Take over what Asterisk reports. What it leaves out stays."""
        self.caller_number = seen.caller_number or self.caller_number
        self.caller_name = seen.caller_name or self.caller_name
        self.connected_number = seen.connected_number or self.connected_number
        if seen.queue and agent_of_personal_queue(seen.queue) is None:
            self.queue = seen.queue
        if not seen.context.startswith(OUR_CONTEXTS):
            self.context = seen.context or self.context
        self.linked = seen.linked or self.linked
        self.rung = seen.rung

    @property
    def caller(self) -> Caller:
        return self.caller_or("")

    def caller_or(self, number: str) -> Caller:
        """Its caller; ``number`` stands for a number that Asterisk does not have."""
        return Caller(self.caller_number or number, self.caller_name, self.presentation)


@dataclass(frozen=True, slots=True)
class Call:
    """Two channels in one bridge, seen from the agent's."""

    agent_channel: str
    caller_channel: str
    caller: Caller
    queue: str | None
    on_hold: bool
    group: str = ""
    """``AVP_GROUP`` of the caller's channel; empty: not read yet, or not set."""
    context: str = ""
    """The administrator's context that the caller was last in; empty: not known."""
    settling: bool = False
    """Asterisk's events have yet to show it (`core.pbx.expected`), and not because they are late:
    until Asterisk has moved the channels, they cannot be moved again."""


@lru_cache(maxsize=4096)
def resource_of(name: str) -> str:
    """``PJSIP/1001-0000002a`` → ``PJSIP/1001``; ``Local/1001@agents-00000003;1`` likewise."""
    return _SUFFIX.sub("", name)


@lru_cache(maxsize=16_384)
def resource_of_interface(interface: str) -> str:
    """The prefix that a member's interface gives to the names of its channels."""
    return re.sub(r"(?<=.)/[a-zA-Z]+$", "", interface) if "@" in interface else interface


@dataclass(frozen=True, slots=True)
class Half:
    """The half of a Local channel that a channel was bridged with, and the other half."""

    near: str
    far: str


def other_half_of(name: str) -> str:
    """The name of a Local channel's other half; empty: the channel is not Local."""
    if not name.startswith("Local/") or name[-2:] not in (";1", ";2"):
        return ""
    return f"{name[:-1]}{3 - int(name[-1])}"
