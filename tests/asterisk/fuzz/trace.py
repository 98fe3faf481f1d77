"""What Asterisk ran, from its own log, compared with the dialplan and with what each sender may
run.

Each dialplan line that runs is logged as `Executing [exten@context:priority] App("channel", "data")
in new stack` (main/pbx.c, pbx_extension_helper), with its evaluated data. ARI's events would also
name the call, but Asterisk has none for a channel whose extension is not UTF-8
(main/stasis_channels.c, ast_channel_snapshot_to_json).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_EXECUTING: Final = re.compile(
    r"Executing \[(?P<exten>.*?)@(?P<context>[\w-]+):(?P<priority>\d+)\] "
    r'(?P<app>\w+)\("(?P<channel>[^"]*)", "(?P<data>.*)"\) in new stack',
    re.DOTALL,
)
_RECORD: Final = re.compile(r"(?m)^(?=\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")
_LINE: Final = re.compile(
    r"^ *(?:'(?P<exten>.*)' => +|\[\w+\] +|)(?P<priority>\d+)\. (?P<app>\w+)\((?P<data>.*)\) +\["
)
_CONTEXT: Final = re.compile(r"^\[ Context '(.*)' created by")
_INCLUDE: Final = re.compile(r"^  Include => +'(.*)' +\[")
_SUBSTITUTED: Final = r"[A-Za-z0-9_.+/@-]*"
"""The allowed value of a variable in a place where Asterisk parses the text again."""
_OURS: Final = r'[^$`|;\\"\r\n\0]*'
"""The allowed value of one of our own variables, which only the dialplan and the daemon write."""
_OUR_NAMES: Final = re.compile(r"AVP_(AGI|CHECK_AGI|SOUND|QUEUE_OPTIONS|PHONE|\w+_SOUND)\b")
#: Applications that treat their data as text, whatever it contains.
_TEXT_AFTER_NAME: Final = frozenset({"Set", "MSet"})


@dataclass(frozen=True)
class Ran:
    """One dialplan line that ran."""

    exten: str
    context: str
    priority: int
    app: str
    channel: str
    data: str

    @property
    def owner(self) -> str:
        """PJSIP/1001-00000001 -> PJSIP/1001; Message/ast_msg_queue and similar names unchanged."""
        return self.channel.rpartition("-")[0] or self.channel

    def __str__(self) -> str:
        place = f"[{self.exten}@{self.context}:{self.priority}]"
        return f"{self.channel} {place!r} {self.app}({self.data!r})"


@dataclass
class Log:
    """Asterisk's full log, from the last position on."""

    path: Path
    at: int = 0
    rest: str = ""
    marks: int = 0
    """How often the probe has logged in so far, which proves that everything before is written."""

    def skip(self) -> None:
        self.at, self.rest, self.marks = self.path.stat().st_size, "", 0

    def new(self) -> list[str]:
        """The records that are complete now, each with its further lines."""
        with self.path.open("rb") as file:
            file.seek(self.at)
            data = file.read()
        self.at += len(data)
        text = self.rest + data.decode("utf-8", "surrogateescape")
        records = [record for record in _RECORD.split(text) if record]
        self.rest = records.pop() if records and not text.endswith("\n") else ""
        self.marks += sum("Manager 'probe' logged on" in record for record in records)
        return records


def ran(records: list[str]) -> Iterator[Ran]:
    for record in records:
        if "] pbx.c: Executing [" not in record[:120]:
            continue
        found = _EXECUTING.search(record)
        if found is None:
            yield Ran("?", "?", 0, "?", "?", record.strip())
            continue
        rest = found.groupdict()
        rest["priority"] = int(rest["priority"])
        yield Ran(**rest)


@dataclass
class Dialplan:
    """The output of `dialplan show`: for each context its lines and included contexts."""

    lines: dict[str, dict[int, list[tuple[str, re.Pattern[str]]]]] = field(default_factory=dict)
    includes: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, shown: str) -> Dialplan:
        plan, context = cls(), ""
        for line in shown.splitlines():
            if found := _CONTEXT.match(line):
                context = found[1]
            elif found := _INCLUDE.match(line):
                plan.includes.setdefault(context, []).append(found[1])
            elif found := _LINE.match(line):
                there = plan.lines.setdefault(context, {}).setdefault(int(found["priority"]), [])
                there.append((found["app"], _pattern(found["app"], found["data"])))
        return plan

    def _contexts(self, context: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
        if context not in seen:
            yield context
            for included in self.includes.get(context, ()):
                yield from self._contexts(included, seen | {context})

    def fits(self, one: Ran) -> bool:
        """Whether the dialplan has such a line there, with data that it may have."""
        return any(
            app == one.app and pattern.fullmatch(one.data)
            for context in self._contexts(one.context)
            for app, pattern in self.lines.get(context, {}).get(one.priority, ())
        )


def _pattern(app: str, template: str) -> re.Pattern[str]:
    name, equals, _ = template.partition("=")
    if app in _TEXT_AFTER_NAME and equals and "$" not in name:
        return re.compile(re.escape(name) + "=.*", re.DOTALL)
    out, at = "", 0
    while at < len(template):
        if template[at : at + 2] in ("${", "$["):
            end = _end(template, at + 1)
            inner = template[at:end]
            out += _OURS if _OUR_NAMES.search(inner) else _SUBSTITUTED
            at = end
        else:
            out += re.escape(template[at])
            at += 1
    if app in _TEXT_AFTER_NAME and equals:
        out = out.partition("=")[0] + "=.*"
    return re.compile(out, re.DOTALL)


def _end(text: str, at: int) -> int:
    """The index after the bracket that closes the one at ``at``."""
    close = {"{": "}", "[": "]"}[text[at]]
    depth = 0
    for index in range(at, len(text)):
        if text[index] == text[at]:
            depth += 1
        elif text[index] == close:
            depth -= 1
            if depth == 0:
                return index + 1
    return len(text)


Allowed = Mapping[str, Mapping[str, frozenset[str]]]
"""The applications that are allowed, by owner of the channel and context (both patterns)."""


def allowed(rules: Allowed, one: Ran) -> bool:
    for owner, contexts in rules.items():
        if re.fullmatch(owner, one.owner):
            return any(
                re.fullmatch(context, one.context) and one.app in apps
                for context, apps in contexts.items()
            )
    return False
