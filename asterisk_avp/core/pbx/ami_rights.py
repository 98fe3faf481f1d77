"""The minimum rights of the daemon's AMI user.

`render all` writes them into manager.conf, with filters that pass the events that are read; `check`
compares them with Asterisk's configuration, and tests/asterisk/test_rights.py removes each class
in turn and checks what fails. ARI has no such
classes: a user may only read, or do everything (ari.conf, ``read_only``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

READ: Final[Mapping[str, str]] = {
    "call": "music, recordings, and phones that take over a call",
    "agent": "what queues and their members do: without it agents have no states",
}
"""Classes of events, each with what it is needed for."""

EVENTS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("AgentComplete", "QueueCallerJoin", "QueueCallerLeave"), ""),
    **dict.fromkeys(("QueueMemberAdded", "QueueMemberPause", "QueueMemberRemoved"), ""),
    "QueueMemberStatus": "",
    **dict.fromkeys(("Hangup", "MixMonitorMute", "MusicOnHoldStart", "MusicOnHoldStop"), ""),
    "BridgeEnter": "SwapUniqueid",
}
"""The events of these classes that the daemon reads, each with the header without which it is of no
interest; empty: every such event is. The answers to actions are not filtered (manager.c,
``process_events``)."""

WRITE: Final[Mapping[str, str]] = {
    "call": "Redirect, Bridge, Hangup, Setvar and MixMonitorMute: the steps of every transfer",
    "agent": "QueueAdd, QueueRemove, QueuePause, QueuePenalty, QueueMemberRingInUse, QueueLog: "
    "log-in, pauses, after-call work, personal queues, queue_log",
    "reporting": "CoreShowChannels: which calls there are when the daemon connects; DBGet: phones "
    "that are FreePBX's devices of a user; CoreStatus: whether Asterisk has been reloaded",
}
"""Classes of actions, each with what it is needed for."""

ACTIONS: Final[Mapping[str, frozenset[str]]] = {
    "Redirect": frozenset({"call"}),
    "Bridge": frozenset({"call"}),
    "Setvar": frozenset({"call"}),
    "Getvar": frozenset({"call", "reporting"}),
    "Hangup": frozenset({"system", "call"}),
    "MixMonitorMute": frozenset({"system", "call"}),
    "Status": frozenset({"system", "call", "reporting"}),
    "CoreShowChannels": frozenset({"system", "reporting"}),
    "DBGet": frozenset({"system", "reporting"}),
    "CoreStatus": frozenset({"system", "reporting"}),
    "QueueAdd": frozenset({"agent"}),
    "QueueRemove": frozenset({"agent"}),
    "QueuePause": frozenset({"agent"}),
    "QueuePenalty": frozenset({"agent"}),
    "QueueMemberRingInUse": frozenset({"agent"}),
    "QueueLog": frozenset({"agent"}),
    "QueueWithdrawCaller": frozenset(),
    "QueueStatus": frozenset(),
    "QueueSummary": frozenset(),
}
"""The actions that the daemon sends, each with the classes any one of which permits it
(manager.c)."""

DANGEROUS: Final[Mapping[str, str]] = {
    "Command": "command",
    "Originate": "originate",
    "UpdateConfig": "config",
    "ModuleLoad": "system",
}
"""Actions that the daemon never sends, each with the class that would permit it."""
