"""Is this version of Asterisk supported, and is the Transfer button safe with it?"""

from __future__ import annotations

from collections.abc import Iterator

from asterisk_avp.core.pbx.versions import Problem, nearest_tested, support, troubles
from asterisk_avp.install.checks.model import Facts, Finding, Severity

_ID = "version"


def version(facts: Facts) -> Iterator[Finding]:
    if facts.version is None and not facts.unreachable:
        return  # offline
    if facts.version is None:
        yield Finding(
            _ID,
            Severity.ERROR,
            f"the version of Asterisk is unknown: {facts.unreachable}",
            "The daemon needs the same connection, and some versions crash on a transfer.",
        )
        return
    unfit = support(facts.version)
    if unfit is not None:
        too_old = unfit.problem is Problem.TOO_OLD
        yield Finding(
            _ID,
            Severity.ERROR if too_old else Severity.WARNING,
            f"Asterisk {facts.version}: {unfit.problem.value.replace('_', ' ')}",
            f"{unfit.what} {unfit.remedy}",
        )
        if too_old:
            return
    found = troubles(facts.version)
    for trouble in found:
        issue = "" if trouble.issue is None else f" (Asterisk issue {trouble.issue})"
        yield Finding(
            _ID,
            Severity.WARNING,
            f"Asterisk {facts.version}: {trouble.problem.value.replace('_', ' ')}",
            f"{trouble.what} {trouble.remedy}{issue}",
        )
    if not found and unfit is None:
        on = nearest_tested(facts.version)
        yield Finding(_ID, Severity.OK, f"Asterisk {facts.version}; the tests ran on {on}")
