"""Can a caller, or somebody behind a trunk, transfer an agent with a REFER within the call?

Asterisk obeys a REFER (RFC 3515) from any endpoint with ``allow_transfer``, which is on by default
(res_pjsip_refer.c, refer_incoming_refer_request). A blind one sends the other party, the agent, to
an extension in TRANSFER_CONTEXT or the endpoint's context. One with Replaces in Refer-To puts the
agent into any other call whose dialog it names: Asterisk finds the dialog by its ids alone
(refer_incoming_attended_request). `checks.replaces` covers an INVITE with Replaces. A REFER outside
a call finds no session and moves nobody.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from asterisk_avp.install.asterisk_conf import Conf, Section
from asterisk_avp.install.checks.agents import agents, endpoints
from asterisk_avp.install.checks.forwarding import rings_agents
from asterisk_avp.install.checks.mend import addition, by_place, place_of
from asterisk_avp.install.checks.methods import trunks
from asterisk_avp.install.checks.model import Facts, Finding, Severity
from asterisk_avp.install.checks.pjsip import transfer_guarded, version_too_old
from asterisk_avp.install.checks.reach import from_contexts
from asterisk_avp.install.checks.replaces import denies_all

_ID: Final = "sip_refer"
GUARD: Final = "allow_transfer = no"
_OURS: Final = frozenset({"avp-agents", "avp-phones", "avp-agent-queue", "avp-group-queue"})
"""Our contexts that lead to agents."""
_OBEYED: Final = (
    "Asterisk obeys a REFER in its call, past every rule: it sends the agent to any extension of"
    " TRANSFER_CONTEXT or the endpoint's context, or into any other call (Replaces in Refer-To)."
)
_CONSEQUENCE: Final = (
    f" With {GUARD}, Asterisk refuses a REFER (603) and the call continues. A PBX or provider"
    " behind it can then no longer transfer by REFER; it must keep both calls and bridge them."
)
_OTHERS: Final = (
    "According to the files, their contexts reach no queue and no agent. But in any call, such a"
    " phone's Transfer button obeys no rule and can put the other party into an agent's call."
    f" {GUARD} disables the button."
)


def refers(facts: Facts) -> Iterator[Finding]:
    """Is the Transfer button disabled on endpoints that are not agents' phones?"""
    conf = facts.file("pjsip.conf")
    if not conf.found:
        return
    certain, others = unguarded(facts)
    for endpoint, reason in certain:
        what = f"[{endpoint.name}], {reason}, may transfer calls by REFER"
        mend = addition(endpoint, GUARD)
        where = place_of(endpoint)
        yield Finding(_ID, Severity.ERROR, what, _OBEYED + _CONSEQUENCE, where, mend)
    for where, those in by_place(others).items():
        names = ", ".join(f"[{endpoint.name}]" for endpoint in those)
        lines = tuple(line for endpoint in those for line in addition(endpoint, GUARD))
        what = f"phones of non-agents may transfer calls by REFER: {names}"
        yield Finding(_ID, Severity.WARNING, what, _OTHERS, where, lines)
    if not certain and not others:
        yield Finding(_ID, Severity.OK, "only agents can transfer a call by REFER")


def unguarded(
    facts: Facts, more: Collection[str] = ()
) -> tuple[list[tuple[Section, str]], list[Section]]:
    """Endpoints of non-agents that may transfer by REFER: trunks and callers, then the others.

    ``more``: names of further agents' endpoints. Trunks and callers come with the reason in words.
    """
    conf = facts.file("pjsip.conf")
    phones = {*agents(facts), *more}
    too_old = version_too_old(facts)
    certain: list[tuple[Section, str]] = []
    others: list[Section] = []
    ringing = rings_agents(facts) | _OURS
    for endpoint in endpoints(conf).values():
        if endpoint.name in phones or denies_all(endpoint):
            continue
        if transfer_guarded(endpoint, too_old=too_old):
            continue
        reason = _reason(facts, conf, endpoint, ringing)
        if reason:
            certain.append((endpoint, reason))
        else:
            others.append(endpoint)
    return certain, others


def _reason(facts: Facts, conf: Conf, endpoint: Section, ringing: Collection[str]) -> str:
    """Why an endpoint is a trunk or a caller, in words; an empty string if it may not be one."""
    if endpoint.name in trunks(conf):
        return "a trunk"
    if endpoint.last("outbound_auth"):
        return "to which Asterisk logs in"
    if _dials_out(facts, endpoint.name):
        return "through which numbers are dialled"
    begin = [endpoint.last("context", "default"), endpoint.last("overlap_context")]
    reached = {name.lower() for name in begin} | from_contexts(facts, begin)
    return "whose calls reach agents" if reached & set(ringing) else ""


def _dials_out(facts: Facts, name: str) -> bool:
    """Whether the dialplan dials numbers through it: `PJSIP/${EXTEN}@name`, `PJSIP/name/sip:…`."""
    # `trunk` must not match trunk-2 or mytrunk.
    whole = rf"{re.escape(name)}(?![\w.-])"
    dial = re.compile(rf"\bPJSIP/(?:[^,&|@]*@{whole}|{whole}/)", re.IGNORECASE)
    return any(
        dial.search(line.value) for section in facts.dialplan().sections for line in section.lines
    )
