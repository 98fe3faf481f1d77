"""The `eventfilter` lines of an AMI user: those for the daemon, and what others let through.

Asterisk writes every event of a user's classes to its connection, some forty for a call, of which
the daemon reads a few. A filter with options finds these by a hash of their name (main/manager.c,
``filter_cmp_fn``), which costs Asterisk no more than to write the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from asterisk_avp.core.pbx.ami_rights import EVENTS

_FILTER: Final = "eventfilter"
UNREAD: Final = "Newchannel"
"""An event of the classes that the daemon reads, but which it does not read itself."""

_CLASSES: Final = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "space": r"\s",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}
"""Character classes of POSIX, as ranges of Python's regular expressions."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One line. ``name``, ``header``: empty: of any event, or in the whole event."""

    excludes: bool
    name: str = ""
    header: str = ""
    method: str = "regex"
    pattern: str = ""

    def matches(self, event: str, text: str) -> bool:
        """Whether it matches this event, whose text is ``text`` (``filter_cmp_fn``)."""
        if self.name not in ("", event):
            return False
        if not self.header:
            return self._matches(text)
        begin = f"{self.header.removesuffix(':')}:"
        values = (
            line[len(begin) :].strip() for line in text.splitlines() if line.startswith(begin)
        )
        return any(self._matches(value) for value in values if value)

    def _matches(self, text: str) -> bool:
        match self.method:
            case "none":
                return True
            case "exact":
                return text == self.pattern
            case "starts_with":
                return text.startswith(self.pattern)
            case "ends_with":
                return text.endswith(self.pattern)
            case "contains":
                return self.pattern in text
        try:
            return re.search(_python(self.pattern), text, re.DOTALL) is not None
        except re.error:
            return False


def daemon_lines() -> list[str]:
    """The lines for the daemon's user."""
    return [
        f"{_FILTER}(action(include),name({name}){f',header({header})' if header else ''}) ="
        for name, header in EVENTS.items()
    ]


def filters(lines: Iterable[tuple[str, str]], *, by_name: bool) -> list[Filter]:
    """The filters that Asterisk makes of a user's lines, which are pairs of name and value.

    ``by_name``: whether its version knows filters with options.
    """
    found: list[Filter] = []
    for name, value in lines:
        plain = name.lower() == _FILTER
        if plain or (by_name and name.startswith(_FILTER)):
            found += _filter("" if plain else name, value)
    return found


def passes(event: str, header: str, given: Iterable[Filter]) -> bool:
    """Whether Asterisk sends an event (``should_send_event``). ``header``: one that it has."""
    value = f"{header}: 1798765432.1\r\n" if header else ""
    text = f"Event: {event}\r\nPrivilege: call,all\r\n{value}\r\n"
    every = list(given)
    includes = [one for one in every if not one.excludes]
    if includes and not any(one.matches(event, text) for one in includes):
        return False
    return not any(one.matches(event, text) for one in every if one.excludes)


def kept_away(given: Iterable[Filter]) -> list[str]:
    """The events that the daemon reads, and that these filters keep away."""
    every = list(given)
    return [name for name, header in EVENTS.items() if not passes(name, header, every)]


def _filter(criteria: str, value: str) -> Iterator[Filter]:
    """None where Asterisk rejects the line (``manager_add_filter``)."""
    excludes, pattern = value.startswith("!"), value.removeprefix("!")
    if not criteria:
        if pattern:
            yield Filter(excludes, pattern=pattern)
        return
    options = {"method": "none"}
    for word in re.split(r"[ ,)]+", criteria.partition("(")[2]):
        option, _, its = word.partition("(")
        if option:
            options[option] = its.strip()
    method = options["method"]
    if options.keys() - {"action", "name", "header", "method"} or not criteria.endswith(")"):
        return
    if bool(pattern) is (method == "none"):
        return  # a pattern that nothing is compared with, or a comparison with nothing
    if "action" in options:
        excludes = options["action"] == "exclude"
    yield Filter(excludes, options.get("name", ""), options.get("header", ""), method, pattern)


def _python(pattern: str) -> str:
    return re.sub(r"\[:(\w+):\]", lambda found: _CLASSES.get(found[1], ""), pattern)
