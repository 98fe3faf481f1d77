"""Slots that other nodes have reserved: the one place in which a transferred call waits. Pure.

Another node's daemon asks before it decides about a transfer, so that the refusal is an answer to
the agent's request. The reservation bridges the time until the call arrives here, where app_queue
has the last word (``maxlen=1``). It lapses if the call does not come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SECONDS: Final = 10.0
"""How long a slot is kept for a call that has not arrived."""
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
            if (slot.token, slot.anchor) == (token, anchor):
                del self._slots[agent]
                return agent
        return ""

    def arrived(self, agent: str, transfer: str, anchor: str) -> None:
        """The call has come for which the slot is; from now on the engine knows that it waits."""
        if self.held(agent, transfer, anchor) is not None:
            del self._slots[agent]

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
