"""Slots that other nodes have reserved: the one place in which a transferred call waits. Pure.

Another node's daemon asks before it decides about a transfer, so that the refusal is an answer to
the agent's request. The reservation bridges the time until the call arrives here, where app_queue
has the last word (``maxlen=1``). It lapses if the call does not come.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

SECONDS: Final = 10.0
"""How long a slot is kept for a call that has not arrived."""
ARRIVING_SECONDS: Final = 1.0
"""How long after its arrival, until app_queue reports the call."""
MOST: Final = 5_000


@dataclass(frozen=True, slots=True)
class Slot:
    token: str
    agent: str
    transfer: str
    anchor: str
    """The id of the node that reserved it."""
    until: float
    """Unix seconds."""
    channel: str = ""
    """The trunk's channel of the call; empty: it has not arrived."""


class Reservations:
    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}
        """By agent, of whom each has one slot."""

    def taken(self, agent: str) -> bool:
        return agent in self._slots

    def held(self, agent: str, transfer: str, anchor: str) -> Slot | None:
        """What this transfer of this node has reserved already; None: nothing."""
        slot = self._slots.get(agent)
        mine = slot is not None and (slot.transfer, slot.anchor) == (transfer, anchor)
        return slot if mine else None

    def add(self, slot: Slot) -> None:
        if len(self._slots) < MOST:
            self._slots[slot.agent] = slot

    def give_back(self, token: str, anchor: str) -> str:
        """Free a slot whose call has not arrived. Return its agent; empty: there is none."""
        for agent, slot in self._slots.items():
            if (slot.token, slot.anchor) == (token, anchor) and not slot.channel:
                del self._slots[agent]
                return agent
        return ""

    def arrived(self, agent: str, transfer: str, anchor: str, channel: str, now: float) -> None:
        """The call has come for which the slot is: app_queue is about to report it."""
        slot = self.held(agent, transfer, anchor)
        if slot is not None and not slot.channel:
            until = now + ARRIVING_SECONDS
            self._slots[agent] = replace(slot, channel=channel, until=until)

    def used(self, channel: str) -> str:
        """app_queue has reported the call, or it is gone. Return its agent; empty: nobody's."""
        for agent, slot in self._slots.items():
            if slot.channel == channel:
                del self._slots[agent]
                return agent
        return ""

    def lapse(self, now: float) -> set[str]:
        """Free the slots whose time is up, and return their agents."""
        over = {agent for agent, slot in self._slots.items() if slot.until <= now}
        for agent in over:
            del self._slots[agent]
        return over

    @property
    def next_lapse(self) -> float | None:
        """Unix seconds; None: no slot is reserved."""
        return min((slot.until for slot in self._slots.values()), default=None)
