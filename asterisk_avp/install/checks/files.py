"""Are the settings valid, and could all files be read?"""

from __future__ import annotations

from collections.abc import Iterator

from asterisk_avp.install.checks.model import FILES, USERS_FILES, Facts, Finding, Severity

_NEEDED = frozenset(FILES) - {"features.conf"}


def valid_settings(facts: Facts) -> Iterator[Finding]:
    if facts.world is None:
        yield Finding(
            "settings", Severity.ERROR, facts.settings, "The daemon does not start with these."
        )
    for sentence in facts.ignored:
        yield Finding(
            "settings",
            Severity.WARNING,
            sentence,
            "Another user could have written it, and it decides where our passwords are sent.",
            "the settings",
        )
    for name in facts.open_files:
        yield Finding(
            "settings",
            Severity.WARNING,
            f"every user of this machine can read {name}, which has secrets",
            "Whoever reads them can control calls as the daemon does.",
            "the settings",
            (f"# chmod o-r {name}",),
        )
    if facts.world is not None and not facts.ignored and not facts.open_files:
        yield Finding("settings", Severity.OK, "the settings are valid")


def readable_files(facts: Facts) -> Iterator[Finding]:
    complete = True
    for name in FILES:
        conf = facts.file(name)
        if not conf.found and name in _NEEDED:
            complete = False
            yield Finding(
                "files",
                Severity.WARNING,
                f"{name} does not exist",
                "Configuration from other sources (a database, a module's own file) was not"
                " checked.",
                name,
            )
        for fault in conf.faults:
            complete = False
            severity = Severity.WARNING if fault.harmless else Severity.ERROR
            why = "Its content was not checked."
            yield Finding("files", severity, fault.what, why, fault.where)
    for name in USERS_FILES:
        for fault in facts.file(name).faults:
            complete = False
            why = "Its passwords, and its exposure to other machines, were not checked."
            yield Finding("files", Severity.WARNING, fault.what, why, fault.where)
    if complete:
        yield Finding("files", Severity.OK, "all files could be read")
