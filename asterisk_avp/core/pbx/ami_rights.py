"""What the daemon's two users in Asterisk have to be allowed, and nothing more.

`render all` writes it into manager.conf, `check` compares it with what Asterisk allows, and
tests/asterisk/test_rights.py takes each class away in turn and sees what breaks. For ARI there is
nothing to choose: a user may read only, or everything (ari.conf, ``read_only``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

READ: Final[Mapping[str, str]] = {
    "call": "music, recordings, and phones that take over a call",
    "agent": "what queues and their members do: without it agents have no states",
}
"""The classes of events, and what they tell."""

WRITE: Final[Mapping[str, str]] = {
    "call": "Redirect, Bridge, Hangup, Setvar and MixMonitorMute: the steps of every transfer",
    "agent": "QueueAdd, QueueRemove, QueuePause, QueueLog: personal queues, pauses, queue_log",
    "reporting": "CoreShowChannels: which calls there are when the daemon connects",
}
"""The classes of actions, and what they are for."""

ACTIONS: Final[Mapping[str, frozenset[str]]] = {
    "Redirect": frozenset({"call"}),
    "Bridge": frozenset({"call"}),
    "Setvar": frozenset({"call"}),
    "Getvar": frozenset({"call", "reporting"}),
    "Hangup": frozenset({"system", "call"}),
    "MixMonitorMute": frozenset({"system", "call"}),
    "Status": frozenset({"system", "call", "reporting"}),
    "CoreShowChannels": frozenset({"system", "reporting"}),
    "QueueAdd": frozenset({"agent"}),
    "QueueRemove": frozenset({"agent"}),
    "QueuePause": frozenset({"agent"}),
    "QueueLog": frozenset({"agent"}),
    "QueueStatus": frozenset(),
}
"""The actions that the daemon sends, with the classes of which one is enough (manager.c)."""

DANGEROUS: Final[Mapping[str, str]] = {
    "Command": "command",
    "Originate": "originate",
    "UpdateConfig": "config",
    "ModuleLoad": "system",
}
"""Actions that the daemon never sends, each standing for a class that it should not have."""
