"""Phase x what is cut x when it comes back: what becomes of a transfer between two nodes.

`cell` is the table. `test_nodes_matrix_*.py` creates each of its cells on two real Asterisk,
several phases in one cut, and listens. ``tests/run nodes-matrix`` does all of them, writes down for
how long somebody heard nothing, and makes NODES_MATRIX.md.

A cell is read as in `matrix`: who talks, who hears what, and after ``=>`` the state of the
transfer. Without ``=>`` it is not looked at, because no daemon is there that knows it.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from _pytest.mark import ParameterSet

from tests.asterisk import matrix

PARTIES: Final = {
    "caller": "who called at node a, the anchor",
    "agent": "the transferor: on node a, or on node b for a second transfer",
    "target": "on node b, or on node a for a second transfer and for the conference of four",
    "fourth": "a fourth party on node b",
    "other": "a caller of node b with whom the target is busy at first",
}

WAVES: Final[Mapping[str, Mapping[str, str]]] = {
    "supervised": {
        "waiting": "The target talks with somebody else; the consult leg waits in their queue.",
        "ringing": "The target's phone rings.",
        "consulting": "Agent and target talk.",
        "swapped": "Agent and caller talk, the target waits.",
        "conference": "Caller, agent and target talk.",
    },
    "later": {
        "conference of four": "Caller, agent, a target of node a and a fourth party of node b.",
        "completed": "Caller and target talk, the agent is free.",
        "second ringing": "The remote agent has asked for an agent of node a, whose phone rings.",
        "second consulting": "The remote agent and that target talk.",
    },
    "unsupervised": {
        "agent waiting": "To an agent who talks with somebody else.",
        "agent ringing": "To an agent, whose phone rings.",
        "agent talking": "To an agent, who talks with the caller.",
        "group ringing": "To a group of node b, in which a phone rings.",
    },
    "group": {
        "group waiting": "To a group of node b, in which everybody talks with somebody else.",
        "group talking": "To a group of node b, of which somebody talks with the caller.",
    },
}
"""What is examined in the same cut, with phones that fit into one test bed."""

FAULTS: Final = {
    "trunk": "The trunk loses everything without a word.",
    "NATS of one": "Node b's line to NATS is silent.",
    "NATS": "The NATS server is killed.",
    "API": "Each node's line to the other's API is silent.",
    "node": "All three: node b is cut off from node a and from NATS.",
    "home Asterisk": "The Asterisk of node b is killed. Its own phones are not looked at.",
    "home daemon": "The daemon of node b is killed.",
    "anchor daemon": "The daemon of node a is killed.",
    "daemons and trunk": "Both daemons are killed and the trunk is cut.",
}
HEALS: Final = {
    "never": "It stays so until the result has been looked at.",
    "2 s": "After two seconds it is mended, or started again.",
}
HEAL_SECONDS: Final = 2.0

_BACK = "caller-agent => failed target_unreachable"
_HUNG = "caller-agent => failed target_hangup"
_WAITS = "caller: music; agent: music; target-other => waiting"
_RINGS = "caller: music; agent: ringback; target: rings => ringing"
_DONE = "caller-target => completed completed"
_RETURNED = "caller-agent => completed completed"
_UNANSWERED = "caller-agent => failed target_unreachable"
_FOUR = "caller-agent-target-fourth => conference"
_THREE = "caller-agent-target => conference"

HERE: Final = {
    "waiting": _WAITS,
    "ringing": _RINGS,
    "consulting": "caller: music; agent-target => consulting",
    "swapped": "caller-agent; target: music => swapped",
    "conference": _THREE,
    "conference of four": _FOUR,
    "completed": _DONE,
    "second ringing": _RINGS,
    "second consulting": "caller: music; agent-target => consulting",
    "agent waiting": "caller: music; target-other => waiting",
    "agent ringing": "caller: music; target: rings => ringing",
    "agent talking": _DONE,
    "group waiting": "caller: music; target-other => waiting",
    "group ringing": "caller: music; target: rings => ringing",
    "group talking": _DONE,
}
"""Each phase, and what stays of it where nothing is lost that the calls need."""

LOST: Final = {
    "waiting": "caller-agent; target-other => failed target_unreachable",
    "ringing": _BACK,
    "consulting": _HUNG,
    "swapped": _HUNG,
    "conference": _HUNG,
    "conference of four": _THREE,
    "completed": _RETURNED,
    "second ringing": "caller: music; target: rings => ringing",
    "second consulting": _DONE,
    "agent waiting": "caller-agent; target-other => failed target_unreachable",
    "agent ringing": _UNANSWERED,
    "agent talking": _RETURNED,
    "group waiting": "caller-agent; target-other => failed target_unreachable",
    "group ringing": _UNANSWERED,
    "group talking": _RETURNED,
}
"""What becomes of it where no call gets to node b any more."""

ALONE: Final = {
    **{phase: cell.partition(" =>")[0] for phase, cell in LOST.items()},
    # Nobody notices that the other node is gone: SIP waits for an answer until the maximum hold.
    "waiting": "caller: music; agent: music; target-other",
    "ringing": "caller: music; agent: ringback; target: rings",
    "agent waiting": "caller: music; target-other",
    "agent ringing": "caller: music; target: rings",
    "group waiting": "caller: music; target-other",
    "group ringing": "caller: music; target: rings",
}
"""The same without any daemon."""

_QUIET: Final = tuple(phase for phase in HERE if phase.split()[-1] in ("waiting", "ringing"))
"""Nobody of node b talks, so that only the daemons notice a cut, or do not while it is short."""


def cell(phase: str, fault: str, heal: str) -> str:
    """The result; several with `` | `` between them if it depends on the moment."""
    healed = heal == "2 s"
    if fault in ("trunk", "node") and healed:
        either = phase in _QUIET and not phase.startswith("second")
        return f"{HERE[phase]} | {LOST[phase]}" if either else HERE[phase]
    if fault in ("trunk", "node"):
        return LOST[phase]
    if fault == "home Asterisk":
        return LOST[phase].replace("; target-other", "")
    if fault == "daemons and trunk" and not healed:
        return ALONE[phase]
    if fault == "anchor daemon" and not healed:
        return HERE[phase].partition(" =>")[0]
    return HERE[phase]


def cells(wave: str) -> list[ParameterSet]:
    """(fault, heal) of one wave. CI has the cut trunk of the first wave; the rest is thorough."""
    return [
        pytest.param(
            fault,
            heal,
            marks=()
            if (wave, fault, heal) == ("supervised", "trunk", "never")
            else (pytest.mark.thorough,),
        )
        for fault in FAULTS
        for heal in HEALS
    ]


PAGE: Final = Path(__file__).with_name("NODES_MATRIX.md")
MEASURED: Final = Path(__file__).with_name("nodes_matrix.json")
"""Phase, fault and heal to the measured seconds: of silence for the caller, of silence for anybody,
and until the result was heard."""


def measured() -> dict[str, list[float]]:
    try:
        found: dict[str, list[float]] = json.loads(MEASURED.read_text())
    except FileNotFoundError:
        return {}
    return found


def note(fault: str, heal: str, seconds: Mapping[str, list[float]]) -> None:
    """Keep what was measured of the phases of a wave."""
    with PAGE.open() as lock:  # several processes measure
        fcntl.flock(lock, fcntl.LOCK_EX)
        every = measured()
        every |= {f"{phase} / {fault} / {heal}": figures for phase, figures in seconds.items()}
        MEASURED.write_text(json.dumps(dict(sorted(every.items())), indent=1) + "\n")


def page() -> str:
    """The table for readers: NODES_MATRIX.md."""
    lines = [
        "# What becomes of a transfer between nodes when something is lost",
        "",
        "Generated from the table in `nodes_matrix.py` by `python -m tests.asterisk.nodes_matrix`.",
        "Each line is a test on two real Asterisk with real phones, which listens to who hears",
        "whom. The seconds are those of the last run of `tests/run nodes-matrix`: how long the",
        "caller heard nothing at all, how long anybody with a call did, and when the result was",
        "heard, from the moment of the cut (empty: it was so before).",
        "",
        "| party | |",
        "| --- | --- |",
        *(f"| {who} | {what} |" for who, what in PARTIES.items()),
        "",
        "| what is away | |",
        "| --- | --- |",
        *(f"| {fault} | {what} |" for fault, what in FAULTS.items()),
        *(f"| … {heal} | {what} |" for heal, what in HEALS.items()),
    ]
    seconds = measured()
    for phases in WAVES.values():
        for phase, meaning in phases.items():
            lines += ["", f"## {phase}", "", meaning, ""]
            lines += [
                "| away | heals | what becomes of it | caller silent | anybody | heard after |"
            ]
            lines += ["| --- | --- | --- | --- | --- | --- |"]
            for fault in FAULTS:
                for heal in HEALS:
                    figures = seconds.get(f"{phase} / {fault} / {heal}")
                    shown = " | ".join(map(_seconds, figures)) if figures else " | | "
                    text = _told(cell(phase, fault, heal))
                    lines.append(f"| {fault} | {heal} | {text} | {shown} |")
    return "\n".join(lines) + "\n"


def _seconds(figure: float) -> str:
    return f"{figure:.1f} s" if figure >= 0 else ""


def _told(text: str) -> str:
    return "; or ".join(matrix.told(each).removesuffix(": ``") for each in text.split(" | "))


if __name__ == "__main__":
    PAGE.write_text(page())
