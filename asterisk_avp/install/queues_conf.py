"""Read the members out of an administrator's queues.conf.

Only what `render queues` needs: which interfaces are static members of which queue, templates
included. Files named by ``#include`` are not followed; their names are returned, so that the
administrator can be told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_BLOCK_COMMENT = re.compile(r";--(?!-).*?--;", re.DOTALL)
_SECTION = re.compile(r"\[(?P<name>[^\]]+)\]\s*(?:\((?P<bases>[^)]*)\))?")
_MEMBER = re.compile(r"member\s*=>?\s*(?P<value>.+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class QueueMembers:
    """``interfaces`` by queue, in the order of the file; ``includes``: files not looked into."""

    interfaces: Mapping[str, tuple[str, ...]]
    includes: tuple[str, ...]


def read_members(text: str) -> QueueMembers:
    """The members in ``text``. Lines that mean nothing here are passed over."""
    members: dict[str, list[str]] = {}
    includes: list[str] = []
    section = ""
    for raw in _BLOCK_COMMENT.sub("", text).splitlines():
        line = re.split(r"(?<!\\);", raw, maxsplit=1)[0].strip()
        if line.startswith("#"):
            word, _, file = line.partition(" ")
            if word in {"#include", "#tryinclude"}:
                includes.append(file.strip(' "'))
        elif header := _SECTION.match(line):
            section = header["name"].strip()
            own = members.setdefault(section, [])
            for base in (header["bases"] or "").split(","):
                own += [x for x in members.get(base.strip(), []) if x not in own]
        elif (member := _MEMBER.match(line)) and section:
            interface = member["value"].split(",")[0].strip().strip('"')
            if interface and interface not in members[section]:
                members[section].append(interface)
    return QueueMembers({queue: tuple(found) for queue, found in members.items()}, tuple(includes))
