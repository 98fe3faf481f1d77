"""State x fault: the result for a transfer and all its parties when something breaks.

`CELLS` is the table; `test_matrix_*.py` creates each of its cells on a real Asterisk and listens.
``python -m tests.asterisk.matrix`` generates MATRIX.md from it.

How to read a cell, e.g. ``caller-target => completed completed``:

* ``caller-target``: these talk to each other, and hear and meet nobody else. Once the transfer has
ended, they are in a plain bridge with nothing of ours in it.

* ``caller: music``: waits in Stasis and hears music; likewise ``agent: ringback``, ``agent: asked``
(for the target) and ``target: rings``. ``nothing``: the other party has died without notice.

* ``caller@target``, ``caller@group``: hears music in the target's queue, or in that of the group.

* Parties that are not named have no call any more.

* After ``=>``: the state of the transfer and, once it has ended, the reason. ``unknown``: the state
was only on the caller's channel, which is gone, and no party is left.

Then everything must continue from there: `NEXT` has the next action for each cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from _pytest.mark import ParameterSet

PARTIES: Final = {
    "caller": "who is transferred",
    "agent": "the transferor",
    "target": "the agent who is to have the call",
    "fourth": "an external party in the conference, or a colleague who is asked like the target",
    "other": "a caller with whom the target is busy at first",
    "somebody": "agent or target: the group's queue decides",
}

STATES: Final = {
    "starting, asked": "The request has not reached Asterisk: caller and agent talk as before.",
    "starting, moved": "Asterisk has taken both out of their call, and nobody has heard of it yet.",
    "collecting": "The agent has pressed the feature code and is asked where to.",
    "waiting": "The target talks with somebody else; the consult leg waits in their queue.",
    "ringing": "The target's phone rings.",
    "consulting": "Agent and target talk.",
    "colleague rings": "A colleague is called into the consultation, and their phone rings.",
    "consult of three": "Agent, target and that colleague talk.",
    "swapped": "Agent and caller talk, the target waits.",
    "conference": "Caller, agent and target talk.",
    "conference of four": "And an external party.",
    "completing, asked": "The request for the last bridge has not reached Asterisk.",
    "completing, bridged": "Caller and target are in it, and nobody has heard of it yet.",
    "sending, moved": "Unsupervised: the caller is in the target's queue, nobody has heard of it.",
    "queued": "Unsupervised, to a target who talks with somebody else.",
    "offered": "Unsupervised, and the target's phone rings.",
}

FAULTS: Final = {
    "daemon killed": "The daemon is killed (SIGKILL) and started again.",
    "ARI cut": "The connection to ARI is cut, and comes back.",
    "AMI cut": "The connection to AMI is cut, and comes back.",
    "caller hangs up": "",
    "agent hangs up": "",
    "target hangs up": "On whoever they talk with; or they refuse the call that rings.",
    "fourth hangs up": "",
    "caller hangs up, daemon dead": "The daemon is killed, they hang up, it is started again.",
    "agent hangs up, daemon dead": "",
    "target hangs up, daemon dead": "",
    "fourth hangs up, daemon dead": "",
    "caller hangs up, both cut": "AMI and ARI are cut, they hang up, both come back.",
    "agent hangs up, both cut": "",
    "target hangs up, both cut": "",
    "fourth hangs up, both cut": "",
    "target unplugged": "The target's phone goes without a word, and stays registered.",
    "phone dead": "The target's phone goes without a word, and Asterisk notices it (rtp_timeout).",
    "agent's phone dead": "",
    "taken by another program": "It moves the caller to the number of the group.",
    "Asterisk killed": "Asterisk is killed (SIGKILL) and started again: no call survives that.",
}
DEAD: Final = ("phone dead", "agent's phone dead")
"""They need a call centre where Asterisk notices it soon, and have tests of their own."""

TAKEN: Final = "taken by another program"
"""Its cells are tests of their own, because they are slow."""
_TAKEN = "caller@group; somebody: rings => failed taken"
_TAKEN_FROM_TWO = "caller@group; agent-target => failed taken"
_TAKEN_WHILE_BUSY = "caller@group; target-other; somebody: rings => failed taken"

_RINGS = "caller: music; agent: ringback; target: rings => ringing"
_OFFERED = "caller@target; target: rings => ringing"
_RECALLED = "caller@group; target: rings => failed transferor_hangup"
_DONE = "caller-target => completed completed"
JUST_DONE = "=> completed completed | abandoned caller_hangup"
_OVER = "=> abandoned caller_hangup"
_FORGOTTEN = "=> unknown"
_BACK = "caller-agent => failed target_hangup"
_CONSULT = "caller: music; agent-target => consulting"
_WAITS = "caller: music; agent: music; target-other => waiting"
_ASKED = "caller: music; agent: asked => starting"
_COLLEAGUE_RINGS = "caller: music; agent-target; fourth: rings => consulting"
_OF_THREE = "caller: music; agent-target-fourth => consulting"
_WITH_COLLEAGUE = "caller: music; agent-fourth => consulting"
_ON_THEIR_OWN = "caller-target-fourth => conference"
_SWAPPED = "caller-agent; target: music => swapped"
_THREE = "caller-agent-target => conference"
_FOUR = "caller-agent-target-fourth => conference"
_QUEUED = "caller@target; target-other => waiting"

CONSULTING: Final = _CONSULT

CELLS: Final[dict[str, dict[str, str]]] = {
    "starting, asked": {
        "daemon killed": "caller-agent => failed call_gone",
        # By the dialplan's fallback: there is no application to enter.
        "ARI cut": "caller@group; somebody: rings => failed call_gone",
        "AMI cut": "caller-agent => failed call_gone",
        "caller hangs up": _OVER,
        "agent hangs up": "=> failed transferor_hangup",
        "caller hangs up, daemon dead": _FORGOTTEN,
        "agent hangs up, daemon dead": _FORGOTTEN,
        "caller hangs up, both cut": _OVER,
        "agent hangs up, both cut": _OVER,
        "target unplugged": "caller: music; agent: ringback => ringing",
        "Asterisk killed": _OVER,
    },
    "starting, moved": {
        "daemon killed": _RINGS,
        "ARI cut": _RINGS,
        "AMI cut": _RINGS,
        "caller hangs up": _OVER,
        "agent hangs up": _OFFERED,
        "caller hangs up, daemon dead": _FORGOTTEN,
        "agent hangs up, daemon dead": _OFFERED,
        "caller hangs up, both cut": _OVER,
        "agent hangs up, both cut": _OFFERED,
        "target unplugged": "caller: music; agent: ringback => ringing",
        "Asterisk killed": _OVER,
    },
    "collecting": {
        "daemon killed": _ASKED,
        "ARI cut": _ASKED,
        "AMI cut": _ASKED,
        "caller hangs up": _OVER,
        "agent hangs up": _RECALLED,
        "caller hangs up, daemon dead": _FORGOTTEN,
        "agent hangs up, daemon dead": _RECALLED,
        "caller hangs up, both cut": _OVER,
        "agent hangs up, both cut": _RECALLED,
        "taken by another program": _TAKEN,
        "Asterisk killed": _OVER,
    },
    "waiting": {
        "daemon killed": _WAITS,
        "ARI cut": _WAITS,
        "AMI cut": _WAITS,
        "caller hangs up": "target-other => abandoned caller_hangup",
        "agent hangs up": _QUEUED,
        "target hangs up": _RINGS,
        "caller hangs up, daemon dead": "target-other => unknown",
        "agent hangs up, daemon dead": _QUEUED,
        "target hangs up, daemon dead": _RINGS,
        "caller hangs up, both cut": "target-other => abandoned caller_hangup",
        "agent hangs up, both cut": _QUEUED,
        "target hangs up, both cut": _RINGS,
        "target unplugged": "caller: music; agent: music; other: nothing => waiting",
        "taken by another program": _TAKEN_WHILE_BUSY,
        "Asterisk killed": _OVER,
    },
    "ringing": {
        "daemon killed": _RINGS,
        "ARI cut": _RINGS,
        "AMI cut": _RINGS,
        "caller hangs up": _OVER,
        "agent hangs up": _OFFERED,
        "target hangs up": "caller-agent => failed rejected",
        "caller hangs up, daemon dead": _FORGOTTEN,
        "agent hangs up, daemon dead": _OFFERED,
        "target hangs up, daemon dead": _RINGS,
        "caller hangs up, both cut": _OVER,
        "agent hangs up, both cut": _OFFERED,
        "target hangs up, both cut": _RINGS,
        "target unplugged": "caller: music; agent: ringback => ringing",
        "taken by another program": _TAKEN,
        "Asterisk killed": _OVER,
    },
    "consulting": {
        "daemon killed": _CONSULT,
        "ARI cut": _CONSULT,
        "AMI cut": _CONSULT,
        "caller hangs up": _OVER,
        "agent hangs up": _DONE,
        "target hangs up": _BACK,
        "caller hangs up, daemon dead": _FORGOTTEN,
        "agent hangs up, daemon dead": _DONE,
        "target hangs up, daemon dead": _BACK,
        "caller hangs up, both cut": _OVER,
        "agent hangs up, both cut": _DONE,
        "target hangs up, both cut": _BACK,
        "target unplugged": "caller: music; agent: nothing => consulting",
        "phone dead": _BACK,
        "agent's phone dead": _DONE,
        "taken by another program": _TAKEN,
        "Asterisk killed": _OVER,
    },
    "colleague rings": {
        "daemon killed": _COLLEAGUE_RINGS,
        "ARI cut": _COLLEAGUE_RINGS,
        "AMI cut": _COLLEAGUE_RINGS,
        "caller hangs up": _OVER,
        "agent hangs up": _DONE,
        "target hangs up": _BACK,
        "fourth hangs up": _CONSULT,
        "caller hangs up, daemon dead": _FORGOTTEN,
        "agent hangs up, daemon dead": _DONE,
        "target hangs up, daemon dead": _BACK,
        # Their queue rings them again, as it does a target.
        "fourth hangs up, daemon dead": _COLLEAGUE_RINGS,
        "caller hangs up, both cut": _OVER,
        "agent hangs up, both cut": _DONE,
        "target hangs up, both cut": _BACK,
        "fourth hangs up, both cut": _COLLEAGUE_RINGS,
        "target unplugged": "caller: music; agent: nothing; fourth: rings => consulting",
        "taken by another program": _TAKEN,
        "Asterisk killed": _OVER,
    },
    "consult of three": {
        "daemon killed": _OF_THREE,
        "ARI cut": _OF_THREE,
        "AMI cut": _OF_THREE,
        "caller hangs up": _OVER,
        "agent hangs up": _ON_THEIR_OWN,
        "target hangs up": _WITH_COLLEAGUE,
        "fourth hangs up": _CONSULT,
        "caller hangs up, daemon dead": _FORGOTTEN,
        "agent hangs up, daemon dead": _ON_THEIR_OWN,
        "target hangs up, daemon dead": _WITH_COLLEAGUE,
        "fourth hangs up, daemon dead": _CONSULT,
        "caller hangs up, both cut": _OVER,
        "agent hangs up, both cut": _ON_THEIR_OWN,
        "target hangs up, both cut": _WITH_COLLEAGUE,
        "fourth hangs up, both cut": _CONSULT,
        "target unplugged": _WITH_COLLEAGUE,
        "phone dead": _WITH_COLLEAGUE,
        "agent's phone dead": _ON_THEIR_OWN,
        "taken by another program": _TAKEN,
        "Asterisk killed": _OVER,
    },
    "swapped": {
        "daemon killed": _SWAPPED,
        "ARI cut": _SWAPPED,
        "AMI cut": _SWAPPED,
        "caller hangs up": _OVER,
        "agent hangs up": _DONE,
        "target hangs up": _BACK,
        "caller hangs up, daemon dead": _FORGOTTEN,
        "agent hangs up, daemon dead": _DONE,
        "target hangs up, daemon dead": _BACK,
        "caller hangs up, both cut": _OVER,
        "agent hangs up, both cut": _DONE,
        "target hangs up, both cut": _BACK,
        "target unplugged": "caller-agent => swapped",
        "phone dead": _BACK,
        "agent's phone dead": _DONE,
        "taken by another program": _TAKEN,
        "Asterisk killed": _OVER,
    },
    "conference": {
        "daemon killed": _THREE,
        "ARI cut": _THREE,
        "AMI cut": _THREE,
        "caller hangs up": "agent-target => abandoned caller_hangup",
        "agent hangs up": _DONE,
        "target hangs up": _BACK,
        "caller hangs up, daemon dead": _FORGOTTEN,
        "agent hangs up, daemon dead": _DONE,
        "target hangs up, daemon dead": _BACK,
        "caller hangs up, both cut": "agent-target => abandoned caller_hangup",
        "agent hangs up, both cut": _DONE,
        "target hangs up, both cut": _BACK,
        "target unplugged": "caller-agent => conference",
        "phone dead": _BACK,
        "agent's phone dead": _DONE,
        "taken by another program": _TAKEN_FROM_TWO,
        "Asterisk killed": _OVER,
    },
    "conference of four": {
        "daemon killed": _FOUR,
        "ARI cut": _FOUR,
        "AMI cut": _FOUR,
        "caller hangs up": "agent-target-fourth => conference",
        "agent hangs up": "caller-target-fourth => conference",
        "target hangs up": "caller-agent-fourth => conference",
        "fourth hangs up": _THREE,
        "caller hangs up, daemon dead": _FORGOTTEN,
        "agent hangs up, daemon dead": "caller-target-fourth => conference",
        "target hangs up, daemon dead": "caller-agent-fourth => conference",
        "fourth hangs up, daemon dead": _THREE,
        "caller hangs up, both cut": "agent-target-fourth => conference",
        "agent hangs up, both cut": "caller-target-fourth => conference",
        "target hangs up, both cut": "caller-agent-fourth => conference",
        "fourth hangs up, both cut": _THREE,
        "target unplugged": "caller-agent-fourth => conference",
        "phone dead": "caller-agent-fourth => conference",
        "agent's phone dead": "caller-target-fourth => conference",
        "taken by another program": _TAKEN_FROM_TWO,
        "Asterisk killed": _OVER,
    },
    "completing, asked": {
        "daemon killed": _DONE,
        "ARI cut": _DONE,
        "AMI cut": _DONE,
        "caller hangs up": _OVER,
        "agent hangs up": _DONE,
        "target hangs up": _BACK,
        "caller hangs up, daemon dead": _FORGOTTEN,
        "agent hangs up, daemon dead": _DONE,
        "target hangs up, daemon dead": _BACK,
        "caller hangs up, both cut": _OVER,
        "agent hangs up, both cut": _DONE,
        "target hangs up, both cut": _BACK,
        "target unplugged": "caller: nothing => completed completed",
        "Asterisk killed": _OVER,
    },
    "completing, bridged": {
        "daemon killed": _DONE,
        "ARI cut": _DONE,
        "AMI cut": _DONE,
        "caller hangs up": JUST_DONE,
        "agent hangs up": _DONE,
        "target hangs up": JUST_DONE,
        "caller hangs up, daemon dead": _FORGOTTEN,
        "agent hangs up, daemon dead": _DONE,
        "target hangs up, daemon dead": _FORGOTTEN,
        "caller hangs up, both cut": _OVER,
        "agent hangs up, both cut": _DONE,
        "target hangs up, both cut": _OVER,
        "target unplugged": "caller: nothing => completed completed",
        "Asterisk killed": _OVER,
    },
    "sending, moved": {
        "daemon killed": _OFFERED,
        "ARI cut": _OFFERED,
        "AMI cut": _OFFERED,
        "caller hangs up": _OVER,
        "target hangs up": _OFFERED,
        "caller hangs up, daemon dead": _FORGOTTEN,
        "target hangs up, daemon dead": _OFFERED,
        "caller hangs up, both cut": _OVER,
        "target hangs up, both cut": _OFFERED,
        "target unplugged": "caller@target => ringing",
        "Asterisk killed": _OVER,
    },
    "queued": {
        "daemon killed": _QUEUED,
        "ARI cut": _QUEUED,
        "AMI cut": _QUEUED,
        "caller hangs up": "target-other => abandoned caller_hangup",
        "target hangs up": _OFFERED,
        "caller hangs up, daemon dead": "target-other => unknown",
        "target hangs up, daemon dead": _OFFERED,
        "caller hangs up, both cut": "target-other => abandoned caller_hangup",
        "target hangs up, both cut": _OFFERED,
        "target unplugged": "caller@target; other: nothing => waiting",
        "taken by another program": _TAKEN_WHILE_BUSY,
        "Asterisk killed": _OVER,
    },
    "offered": {
        "daemon killed": _OFFERED,
        "ARI cut": _OFFERED,
        "AMI cut": _OFFERED,
        "caller hangs up": _OVER,
        "target hangs up": _OFFERED,
        "caller hangs up, daemon dead": _FORGOTTEN,
        "target hangs up, daemon dead": _OFFERED,
        "caller hangs up, both cut": _OVER,
        "target hangs up, both cut": _OFFERED,
        "target unplugged": "caller@target => ringing",
        "taken by another program": _TAKEN,
        "Asterisk killed": _OVER,
    },
}

_CANCELLED = "caller-agent => cancelled cancelled"

NEXT: Final = {
    _RINGS: ("target answers", _CONSULT),
    _OFFERED: ("target answers", _DONE),
    "caller@group; somebody: rings => failed call_gone": (
        "caller hangs up",
        "=> failed call_gone",
    ),
    _TAKEN: ("caller hangs up", "=> failed taken"),
    _TAKEN_WHILE_BUSY: ("caller hangs up", "target-other => failed taken"),
    _TAKEN_FROM_TWO: ("caller hangs up", "agent-target => failed taken"),
    "caller-agent => failed rejected": ("agent asks again", _RINGS),
    _RECALLED: ("target answers", "caller-target => failed transferor_hangup"),
    _WAITS: ("other hangs up", _RINGS),
    _QUEUED: ("other hangs up", _OFFERED),
    _ASKED: ("agent keys in the target", _RINGS),
    _CONSULT: ("agent completes", _DONE),
    _COLLEAGUE_RINGS: ("fourth answers", _OF_THREE),
    _OF_THREE: ("agent completes", _ON_THEIR_OWN),
    _WITH_COLLEAGUE: ("agent completes", "caller-fourth => completed completed"),
    # With a target whose phone is dead, but whose channel Asterisk still has.
    f"target unplugged: {_WITH_COLLEAGUE}": ("agent completes", "caller-fourth => conference"),
    "caller: music; agent: nothing; fourth: rings => consulting": ("agent cancels", _CANCELLED),
    _SWAPPED: ("agent swaps", _CONSULT),
    _THREE: ("agent completes", _DONE),
    _FOUR: ("agent completes", _ON_THEIR_OWN),
    _ON_THEIR_OWN: ("fourth hangs up", _DONE),
    "caller-agent-fourth => conference": (
        "agent completes",
        "caller-fourth => completed completed",
    ),
    "agent-target-fourth => conference": (
        "fourth hangs up",
        "agent-target => abandoned caller_hangup",
    ),
    "agent-target => abandoned caller_hangup": ("agent hangs up", _OVER),
    _BACK: ("agent asks again", _RINGS),
    _DONE: ("caller hangs up", "=> completed completed"),
    "caller-agent => failed call_gone": ("agent asks again", _RINGS),
    # With a target whose phone is dead, but whose channel Asterisk still has.
    "target unplugged: caller-agent-fourth => conference": (
        "agent completes",
        "caller-fourth => conference",
    ),
    "caller: music; agent: ringback => ringing": ("agent cancels", _CANCELLED),
    "caller: music; agent: music; other: nothing => waiting": (
        "agent cancels",
        "caller-agent; other: nothing => cancelled cancelled",
    ),
    "caller@target; other: nothing => waiting": (
        "caller hangs up",
        "other: nothing => abandoned caller_hangup",
    ),
    "caller@target => ringing": ("caller hangs up", _OVER),
    "caller: music; agent: nothing => consulting": ("agent cancels", _CANCELLED),
    "caller-agent => swapped": ("agent cancels", _CANCELLED),
    "caller-agent => conference": ("agent cancels", _CANCELLED),
    "caller: nothing => completed completed": ("caller hangs up", "=> completed completed"),
    f"phone dead: {_BACK}": ("caller hangs up", "=> failed target_hangup"),
    # All calls have ended, and the next one can be transferred.
    _OVER: ("caller calls again", _RINGS),
    "=> failed transferor_hangup": ("caller calls again", _RINGS),
    _FORGOTTEN: ("caller calls again", _RINGS),
}

PAGE: Final = Path(__file__).with_name("MATRIX.md")


THOROUGH: Final = (
    *("caller hangs up, both cut", "fourth hangs up, both cut", "fourth hangs up, daemon dead"),
    *("target hangs up, both cut", "target hangs up, daemon dead", "caller hangs up, daemon dead"),
    *("AMI cut", "fourth hangs up", "agent hangs up, both cut"),
)
"""CI has each outage and each party, but not all pairs of them."""


def cells(*states: str) -> list[ParameterSet]:
    """(fault, state) of these states, fault by fault."""
    return [
        pytest.param(fault, state, marks=pytest.mark.thorough if fault in THOROUGH else ())
        for fault in FAULTS
        if fault not in (*DEAD, TAKEN)
        for state in states
        if fault in CELLS[state]
    ]


@dataclass(frozen=True, slots=True)
class Cell:
    talks: tuple[tuple[str, ...], ...]
    hears: Mapping[str, str]
    queues: Mapping[str, str]
    ends: tuple[str, ...]
    """State and reason; more than one if it depends on the order of events."""

    @property
    def state(self) -> str:
        return self.ends[0].partition(" ")[0]

    @property
    def named(self) -> set[str]:
        """The parties with a call."""
        return {*self.hears, *self.queues, *(who for talk in self.talks for who in talk)}

    @property
    def over(self) -> bool:
        return " " in self.ends[0]


def read(text: str) -> Cell:
    """A cell, as the module's docstring explains it."""
    who_has_what, _, end = text.partition("=> ")
    talks, hears, queues = [], {}, {}
    for part in filter(None, map(str.strip, who_has_what.split(";"))):
        if ":" in part:
            who, _, sound = part.partition(": ")
            hears[who] = sound
        elif "@" in part:
            who, _, queue = part.partition("@")
            queues[who] = queue
        else:
            talks.append(tuple(part.split("-")))
    return Cell(tuple(talks), hears, queues, tuple(end.split(" | ")))


def following(fault: str, text: str) -> tuple[str, str] | None:
    """The next action in the situation of this cell, and its result."""
    return NEXT.get(f"{fault}: {text}") or NEXT.get(text)


def page() -> str:
    """The table for readers: MATRIX.md."""
    lines = [
        "# What becomes of a transfer when something breaks",
        "",
        "Generated from the table in `matrix.py` by `python -m tests.asterisk.matrix`. Each line",
        "is a test on a real Asterisk with real phones (`test_matrix_*.py`), which listens to who",
        "hears whom.",
        "",
        "| party | |",
        "| --- | --- |",
        *(f"| {who} | {what} |" for who, what in PARTIES.items()),
        "",
        *_FAULT_NOTES,
    ]
    for state, meaning in STATES.items():
        lines += ["", f"## {state}", "", meaning, "", "| fault | what becomes of it | and then |"]
        lines += ["| --- | --- | --- |"]
        lines += [
            f"| {fault} | {told(text)} | {_then(fault, text)} |" for fault, text in _row(state)
        ]
    return "\n".join(lines) + "\n"


def _row(state: str) -> list[tuple[str, str]]:
    return [(fault, CELLS[state][fault]) for fault in FAULTS if fault in CELLS[state]]


_FAULT_NOTES: Final = (
    "| fault | |",
    "| --- | --- |",
    *(f"| {fault} | {what} |" for fault, what in FAULTS.items() if what),
)

_HEARS: Final = {
    "music": "hears music",
    "ringback": "hears ringing",
    "rings": "is rung",
    "asked": "is asked where to",
    "nothing": "hears nothing",
}


def told(text: str) -> str:
    """A cell in words."""
    cell = read(text)
    parts = [f"{' and '.join(_list(talk))} talk" for talk in cell.talks]
    parts += [f"{who} {_HEARS[sound]}" for who, sound in cell.hears.items()]
    parts += [f"{who} waits in the {queue}'s queue" for who, queue in cell.queues.items()]
    if not cell.named:
        parts.append("nobody has a call any more")
    ends = " or ".join(
        "the transfer is not known any more" if end == "unknown" else f"`{end}`"
        for end in cell.ends
    )
    return f"{'; '.join(parts)}: {ends}"


def _list(talk: tuple[str, ...]) -> tuple[str, ...]:
    """Joined with commas, and the last one with "and"."""
    return (", ".join(talk[:-1]), talk[-1])


def _then(fault: str, text: str) -> str:
    doing, then = following(fault, text) or ("", "")
    return f"{doing} → {told(then)}" if doing else ""


if __name__ == "__main__":
    PAGE.write_text(page())
