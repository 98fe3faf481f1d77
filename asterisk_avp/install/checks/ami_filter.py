"""Does Asterisk send the daemon's AMI user the events that it reads, and only those?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from asterisk_avp.core.pbx.ami_rights import EVENTS
from asterisk_avp.core.pbx.versions import filters_by_name
from asterisk_avp.install.ami_filters import UNREAD, daemon_lines, filters, kept_away, passes
from asterisk_avp.install.asterisk_conf import Line, Section
from asterisk_avp.install.checks.live import EVENT_OF_CLASS
from asterisk_avp.install.checks.model import Facts, Finding, Severity

_ID: Final = "ami_filter"


def event_filters(facts: Facts) -> Iterator[Finding]:
    """Filters that are missing only cost time; one that keeps away what is read is an error."""
    user = facts.addresses.ami_user
    section = facts.file("manager.conf").first(user) if user else None
    test = facts.live.selftest if facts.live is not None else None
    heard = test.heard if test is not None and test.ran else None
    if section is None and heard is None:
        return
    lines = _lines(section)
    by_name = filters_by_name(facts.version) is not False
    given = filters(((line.name, line.value) for line in lines), by_name=by_name)
    where = str(lines[0].place) if lines else f"manager.conf [{user}]"
    lost = kept_away(given) or _not_heard(section, heard)
    if lost:
        yield Finding(
            _ID,
            Severity.ERROR,
            f"filters keep away from [{user}] what the daemon reads: {', '.join(lost)}",
            "Agents would have wrong states, and transfers would miss what happens to a call.",
            where,
            (*daemon_lines(), "; and no other eventfilter lines; then: manager reload"),
        )
        return
    if any(one.excludes and one.name in ("", *EVENTS) for one in given):
        yield Finding(
            _ID,
            Severity.WARNING,
            f"a filter may keep away from [{user}] some events that the daemon reads",
            "It detects forged events itself, and asks Asterisk again. It needs all of the others.",
            where,
            (*daemon_lines(), "; and no other eventfilter lines; then: manager reload"),
        )
    elif not (passes(UNREAD, "", given) if heard is None else UNREAD in heard):
        yield Finding(_ID, Severity.OK, f"[{user}] receives the events that are read and no others")
    elif by_name:
        loaded = heard is None or passes(UNREAD, "", given)
        yield Finding(
            _ID,
            Severity.OK,
            f"[{user}] also receives events that the daemon does not read",
            "Nothing is wrong. With filters, the daemon has less to do.",
            f"manager.conf [{user}]" if loaded else where,
            tuple(daemon_lines()) if loaded else ("; asterisk -rx 'manager reload'",),
        )


def _lines(section: Section | None) -> list[Line]:
    lines = section.lines if section is not None else ()
    return [line for line in lines if line.name.lower().startswith("eventfilter")]


def _not_heard(section: Section | None, heard: frozenset[str] | None) -> list[str]:
    """What the self-test has raised, and the loaded filters have kept away."""
    if section is None or heard is None:
        return []  # the class may be missing (`ami_rights`)
    classes = {word.strip().lower() for word in section.last("read").split(",")}
    may = {name for name in EVENT_OF_CLASS if classes & {name, "all"}}
    return [event for name, event in EVENT_OF_CLASS.items() if name in may and event not in heard]
