"""What app_queue does with callers: whom it rings for them, and whom it connects them to."""

from __future__ import annotations

from collections.abc import Set as AbstractSet


def add(index: dict[str, set[str]], key: str, value: str) -> None:
    index.setdefault(key, set()).add(value)


def discard(index: dict[str, set[str]], key: str, value: str) -> None:
    """Remove ``value`` from the set of ``key``; removes empty sets."""
    values = index.get(key)
    if values is not None:
        values.discard(value)
        if not values:
            del index[key]


class QueuedCalls:
    """Agents are known by id, callers by channel id."""

    def __init__(self) -> None:
        self._ringing_for: dict[str, set[str]] = {}
        """Agent to the callers for whom app_queue rings the agent."""
        self._rung_by: dict[str, set[str]] = {}
        """Caller to the agents who are rung."""
        self._connected: dict[str, str] = {}
        """Agent to the caller whom app_queue connected, until the two are in a bridge."""
        self._connected_to: dict[str, set[str]] = {}
        """Caller to the agents in ``_connected``."""

    def ringing_for(self, agent: str) -> AbstractSet[str]:
        """The callers for whom app_queue rings the agent."""
        return self._ringing_for.get(agent, set())

    def connected_to(self, agent: str) -> str | None:
        """The caller whom app_queue connected, until the two are in a bridge."""
        return self._connected.get(agent)

    def agents_of(self, call: str) -> set[str]:
        return self._rung_by.get(call, set()) | self._connected_to.get(call, set())

    def ring(self, agent: str, call: str) -> None:
        add(self._ringing_for, agent, call)
        add(self._rung_by, call, agent)

    def stop_ringing(self, call: str, agent: str | None = None) -> set[str]:
        """Stop ringing ``agent``, or else all agents, for the caller. Returns whom that changes."""
        ringing = self._rung_by.get(call, set())
        stopped = set(ringing) if agent is None else {agent} & ringing
        for rung in stopped:
            discard(self._ringing_for, rung, call)
            discard(self._rung_by, call, rung)
        return stopped

    def connect(self, agent: str, call: str) -> None:
        self.forget_connected(agent)
        self._connected[agent] = call
        add(self._connected_to, call, agent)

    def forget_connected(self, agent: str) -> None:
        call = self._connected.pop(agent, None)
        if call is not None:
            discard(self._connected_to, call, agent)

    def drop_connected(self, call: str) -> set[str]:
        """The caller is connected to no agent by app_queue. Returns whom that changes."""
        agents = set(self._connected_to.get(call, ()))
        for agent in agents:
            self.forget_connected(agent)
        return agents

    def resynced(self, waiting: AbstractSet[str]) -> set[str]:
        """Only these callers wait in a queue; bridges show who is connected.

        Returns the agents whose phones have stopped ringing.
        """
        self._connected.clear()
        self._connected_to.clear()
        gone = self._rung_by.keys() - waiting
        return {agent for call in gone for agent in self.stop_ringing(call)}
