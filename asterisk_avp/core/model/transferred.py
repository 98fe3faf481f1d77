"""The view of a call that a colleague transfers, for the agent who is its caller."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TransferredView:
    """The colleague who transfers a call of which the agent is the caller."""

    agent: str
    name: str
    hears: tuple[str, ...]
    """What the agent hears, as `hears` of a party in the API."""
