"""The loaded dialplan, which may differ from extensions.conf: AEL, a file that was edited and not
reloaded, or lines that were added at the console.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from asterisk_avp.install.asterisk_conf import Conf, Line, Place, Section

RUNNING: Final = "dialplan show "
"""The prefix of the place of a line that is not in a file."""


def running(events: Iterable[Mapping[str, str]]) -> Conf:
    """Parse the answer to AMI's ShowDialPlan (pbx.c, manager_show_dialplan_helper)."""
    sections: dict[str, Section] = {}
    for event in events:
        context = event.get("Context", "")
        if event.get("Event") != "ListDialplan" or not context:
            continue
        place = Place(f"{RUNNING}{context}", 0)
        section = sections.setdefault(context, Section(context, place))
        if "IncludeContext" in event:
            section.lines.append(Line("include", event["IncludeContext"], place))
        elif "Application" in event and event.get("Priority", "").isdecimal():
            call = f"{event['Application']}({event.get('AppData', '')})"
            value = f"{event.get('Extension', '')},{event['Priority']},{call}"
            section.lines.append(Line("exten", value, place))
    return Conf("the running dialplan", tuple(sections.values()))


def with_running(written: Conf, loaded: Conf) -> Conf:
    """``written`` with the lines of ``loaded`` that it does not have in the same context."""
    known: dict[str, set[str]] = {}
    for section in written.sections:
        existing = known.setdefault(section.name, set())
        existing |= {_plain(line) for line in section.lines}
    more = []
    for section in loaded.sections:
        lines = [x for x in section.lines if _plain(x) not in known.get(section.name, ())]
        if lines:
            more.append(Section(section.name, section.place, lines=lines))
    return replace(written, sections=(*written.sections, *more))


def _plain(line: Line) -> str:
    """What a line runs, without extension, priority and characters that Asterisk drops."""
    if line.name.lower() == "include":
        return f"include {line.value.strip()}"
    before = 1 if line.name.lower().startswith("same") else 2
    text = re.sub(r'[\s"\\]', "", "".join(line.value.split(",", before)[before:]))
    return text if "(" in text else f"{text}()"
