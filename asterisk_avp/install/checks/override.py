"""Beside FreePBX or Issabel: do transferred calls ring the agent's own phone?

The members of the PBX's queues are behind its context from-queue, whose first line ours replaces
(`pbx_dialplan`). An upgrade of the PBX may write that context with another pattern, so that the
override no longer has any effect, and nothing says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from asterisk_avp.install.asterisk_conf import members
from asterisk_avp.install.checks.model import Facts, Finding, Severity
from asterisk_avp.install.layout import OVERRIDES
from asterisk_avp.install.pbx_dialplan import CONTEXT, MEMBERS, override

_ID: Final = "override"
_WHY: Final = (
    "Voicemail, call forward or follow-me may get a transferred call, and a call that came by no"
    " queue is hung up."
)


def overridden(facts: Facts) -> Iterator[Finding]:
    """Is the first line of from-queue ours?"""
    if not _used(facts):
        return
    conf = facts.file("extensions.conf")
    file = " or ".join(OVERRIDES.values())
    lines, trouble = override(conf)
    if trouble:
        yield Finding(_ID, Severity.WARNING, trouble, _WHY, file)
    elif lines:
        what = f"the first line of [{MEMBERS}] is not that of asterisk_avp"
        yield Finding(_ID, Severity.ERROR, what, _WHY, file, lines)
    elif not any(conf.named(CONTEXT)):
        what = f"[{MEMBERS}] calls {CONTEXT}, which does not exist"
        mend = ("; asterisk-avp render all, then", "#include avp_pbx.conf")
        yield Finding(_ID, Severity.ERROR, what, _WHY, "extensions_custom.conf", mend)
    else:
        yield Finding(_ID, Severity.OK, f"[{MEMBERS}] gives transferred calls to agents' phones")


def _used(facts: Facts) -> bool:
    """Whether a queue has such members, and the dialplan the context."""
    queued = members(facts.file("queues.conf")).values()
    inside = any(f"@{MEMBERS}" in m.interface for static in queued for m in static)
    return inside and any(facts.file("extensions.conf").named(MEMBERS))
