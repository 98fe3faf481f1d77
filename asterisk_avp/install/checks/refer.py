"""Can a caller, or whoever is behind a trunk, transfer an agent by a REFER within the call?

Asterisk obeys a REFER (RFC 3515) of any endpoint whose ``allow_transfer`` is on, which it is by
default (res_pjsip_refer.c, refer_incoming_refer_request). A blind one sends the other party, which
is the agent, to an extension of TRANSFER_CONTEXT or of the endpoint's context. One with Replaces in
Refer-To puts the agent into any other call whose dialog it names: the dialog is looked up by its
ids alone (refer_incoming_attended_request). An INVITE with Replaces is another matter
(`checks.replaces`); a REFER out of a call finds no session and moves nobody.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from asterisk_avp.install.asterisk_conf import Conf, Section
from asterisk_avp.install.checks.agents import agents, endpoints
from asterisk_avp.install.checks.forwarding import rings_agents
from asterisk_avp.install.checks.methods import trunks
from asterisk_avp.install.checks.model import Facts, Finding, Severity
from asterisk_avp.install.checks.pjsip import addition, transfer_guarded, version_too_old
from asterisk_avp.install.checks.reach import from_contexts
from asterisk_avp.install.checks.replaces import denies_all

_ID: Final = "sip_refer"
GUARD: Final = "allow_transfer = no"
_OURS: Final = frozenset({"avp-agents", "avp-phones", "avp-agent-queue", "avp-group-queue"})
"""Contexts of ours that lead to agents."""
_OBEYED: Final = (
    "Asterisk obeys a REFER in its call: the agent in it is sent to any extension of"
    " TRANSFER_CONTEXT or of the endpoint's context, or put into any other call (Replaces in"
    " Refer-To), past every rule."
)
_CONSEQUENCE: Final = (
    f" With {GUARD} a REFER is refused (603) and the call goes on. A PBX or provider that transfers"
    " by REFER over it can do so no longer: it has to keep both calls and join them itself."
)
_OTHERS: Final = (
    "As far as the files say their contexts lead to no queue and no agent. Once such a phone is in"
    " any call, its Transfer button obeys no rule, and can put whom it talks to into an agent's"
    f" call. {GUARD} switches the button off."
)


def refers(facts: Facts) -> Iterator[Finding]:
    """Is the Transfer button of whoever is no agent off?"""
    conf = facts.file("pjsip.conf")
    if not conf.found:
        return
    certain, others = unguarded(facts)
    for endpoint, reason in certain:
        what = f"[{endpoint.name}], {reason}, may transfer calls by REFER"
        mend = addition(endpoint, GUARD)
        yield Finding(_ID, Severity.ERROR, what, _OBEYED + _CONSEQUENCE, "pjsip.conf", mend)
    if others:
        names = ", ".join(f"[{endpoint.name}]" for endpoint in others)
        lines = tuple(line for endpoint in others for line in addition(endpoint, GUARD))
        what = f"phones that are no agents' may transfer calls by REFER: {names}"
        yield Finding(_ID, Severity.WARNING, what, _OTHERS, "pjsip.conf", lines)
    if not certain and not others:
        yield Finding(_ID, Severity.OK, "nobody but agents can transfer a call by REFER")


def unguarded(
    facts: Facts, more: Collection[str] = ()
) -> tuple[list[tuple[Section, str]], list[Section]]:
    """Endpoints that may transfer by REFER and are no agents': trunks and callers, then the others.

    ``more``: further agents' endpoints. The first come with what makes them one, in words.
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
    """Why callers or the outside world are behind an endpoint; nothing: it is not known to be."""
    if endpoint.name in trunks(conf):
        return "a trunk"
    if endpoint.last("outbound_auth"):
        return "where Asterisk logs in"
    if _way_out(facts, endpoint.name):
        return "by which numbers are dialled"
    begin = [endpoint.last("context", "default"), endpoint.last("overlap_context")]
    reached = {name.lower() for name in begin} | from_contexts(facts, begin)
    return "whose calls reach agents" if reached & set(ringing) else ""


def _way_out(facts: Facts, name: str) -> bool:
    """Whether the dialplan dials numbers by it: `PJSIP/${EXTEN}@name`, `PJSIP/name/sip:…`."""
    # Not trunk-2 or mytrunk, where it is called trunk.
    whole = rf"{re.escape(name)}(?![\w.-])"
    way = re.compile(rf"\bPJSIP/(?:[^,&|@]*@{whole}|{whole}/)", re.IGNORECASE)
    return any(
        way.search(line.value) for section in facts.dialplan().sections for line in section.lines
    )
