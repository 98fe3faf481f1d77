"""The state diagram and the table of states, generated from `states` and `table`."""

from __future__ import annotations

from asterisk_avp.core.transfer.states import State
from asterisk_avp.core.transfer.table import ROWS


def mermaid() -> str:
    """The transitions as a Mermaid state diagram, without rows that stay in their state."""
    labels: dict[tuple[State, State], list[str]] = {}
    for row in ROWS:
        if row.next is row.state:
            continue
        names = labels.setdefault((row.state, row.next), [])
        if row.kind.value not in names:
            names.append(row.kind.value)
    lines = [
        "stateDiagram-v2",
        "    [*] --> starting: supervised",
        "    [*] --> queueing: unsupervised",
    ]
    lines += [
        f"    {before.value} --> {after.value}: {', '.join(names)}"
        for (before, after), names in labels.items()
    ]
    lines += [f"    {state.value} --> [*]" for state in State if state.final]
    return "\n".join(lines) + "\n"


def table() -> str:
    """The states, with the state that the API reports for each, as a Markdown table."""
    lines = ["| state | meaning | reported as | legal events |", "| --- | --- | --- | --- |"]
    for state in State:
        spec = state.spec
        kinds = dict.fromkeys(row.kind.value for row in ROWS if row.state is state)
        events = ", ".join(kinds) or "-"
        lines.append(f"| {state.value} | {spec.meaning} | {spec.reported.value} | {events} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The text of ``asterisk_avp/core/transfer/README.md``."""
    return (
        "# The states of a transfer\n\n"
        "Generated from `states.py` and `table.py` by "
        "`python -c 'from asterisk_avp.core.transfer import diagram; "
        "print(diagram.page(), end=str())'`.\n"
        "The top of `table.py` explains how a transfer passes through them.\n\n"
        f"```mermaid\n{mermaid()}```\n\n{table()}"
    )
