"""Can an agent's phone bypass the rules with SIP itself?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from asterisk_avp.core.pbx.versions import troubles
from asterisk_avp.install.asterisk_conf import Conf, Section, is_true
from asterisk_avp.install.checks.agents import agents, endpoints, ids, queue_members
from asterisk_avp.install.checks.dialplan import letters_of
from asterisk_avp.install.checks.mend import addition, place_of
from asterisk_avp.install.checks.model import Facts, Finding, Severity

_HANDLING = "PJSIP_TRANSFER_HANDLING()"
_DEFAULT_ORDER = "ip,username,anonymous"

NO_REPLACES = (
    "[avp-no-replaces]",
    "type = endpoint",
    "context = avp-nowhere",
    "message_context = avp-nowhere",
    "deny = 0.0.0.0/0.0.0.0",
    "deny = ::/0",
    "allow_transfer = no",
    "disallow = all",
    "allow = ulaw",
    "",
    "[avp-no-replaces]",
    "type = identify",
    "endpoint = avp-no-replaces",
    "match_header = Replaces: /./",
)
"""Refuses an INVITE with Replaces, together with the order of endpoint identifiers.

``deny``: no address may be this endpoint, so Asterisk challenges for a password that nobody knows
(pjsip_distributor.c, apply_acls and artificial_endpoint) before it examines the dialled extension.
The context alone does not stop the pick-up extension (res_pjsip_session.c, get_destination).
"""

NO_CONTROL_CHARACTERS = (
    "[avp-no-control-characters]",
    "type = identify",
    "endpoint = avp-no-replaces",
    "match_request_uri = /^sips?:_|%[01][0-9A-Fa-f]|%7[Ff]/",
)
"""Refuses requests that dial a dialplan pattern or control characters, which AMI sends raw.

Needs an Asterisk with the identifier ``request_uri`` (18.26, 20.10, 21.5, 22.0 and later).
"""


def agents_endpoints(facts: Facts) -> Iterator[Finding]:
    """Does the Transfer button obey the rules, and does the dialplan see a 302?"""
    yield from ids(facts)
    names = agents(facts)
    known = endpoints(facts.file("pjsip.conf"))
    too_old = version_too_old(facts)
    clean = 0
    for name in names:
        endpoint = known.get(name)
        if endpoint is None:
            if not _elsewhere(facts, name):
                yield _unknown(facts, name)
            continue
        found = [*_transfer_button(facts, endpoint, too_old=too_old), *_ways_round(endpoint)]
        clean += not found
        yield from found
    if not names:
        yield Finding(
            "agents",
            Severity.WARNING,
            "no agent's phone is known",
            "Agents come from AVP_AGENTS, from static members of the groups' queues, and from"
            " endpoints with the context avp-agents.",
            "pjsip.conf",
        )
    elif clean:
        what = f"the Transfer button of {clean} agents' phones obeys the rules"
        yield Finding("transfer_button", Severity.OK, what)


def version_too_old(facts: Facts) -> bool:
    """Whether this Asterisk cannot pass a REFER to ARI. An unknown version can."""
    return facts.version is not None and any(t.serious for t in troubles(facts.version))


def transfer_guarded(endpoint: Section, *, too_old: bool) -> bool:
    """Whether Asterisk itself ignores every REFER from this endpoint."""
    if not is_true(endpoint.last("allow_transfer", "yes")):
        return True
    return _variables(endpoint).get(_HANDLING, "") == "ari-only" and not too_old


def _elsewhere(facts: Facts, name: str) -> bool:
    """Whether the phone may be registered at another node: no queue here has its agent."""
    several = facts.world is not None and facts.world.node
    return bool(several) and all(name not in found for found in queue_members(facts).values())


def _unknown(facts: Facts, name: str) -> Finding:
    """No endpoint of this name was found, in the files or in Asterisk."""
    if facts.live is None or facts.live.pbx is None or facts.live.pbx.endpoints is None:
        return Finding(
            "agents",
            Severity.WARNING,
            f"pjsip.conf has no endpoint [{name}], which is an agent's phone",
            "It was not checked. If it is in a database or in pjsip_wizard.conf, run check where it"
            " can ask Asterisk.",
            "pjsip.conf",
        )
    return Finding(
        "agents",
        Severity.WARNING,
        f"Asterisk has no endpoint [{name}], which should be an agent's phone",
        "Nothing tells which phone this agent has, so it was not checked, and the daemon knows"
        " neither the agent's own calls nor the phone's Transfer button. Nor can it have a phone"
        " where the member is a ring group.",
        "the settings",
        (f"AVP_AGENTS__{name.upper()}__PHONES=PJSIP/<the endpoint of the agent's phone>",),
    )


def _transfer_button(facts: Facts, endpoint: Section, *, too_old: bool) -> Iterator[Finding]:
    if transfer_guarded(endpoint, too_old=too_old):
        return
    line = "allow_transfer = no" if too_old else f"set_var = {_HANDLING}=ari-only"
    which = "and this version of Asterisk cannot pass it to us" if too_old else "and not guarded"
    mend, where = addition(endpoint, line), place_of(endpoint)
    written = endpoints(facts.written).get(endpoint.name)
    if written is not None and transfer_guarded(written, too_old=too_old):
        which = "although pjsip.conf guards it: Asterisk has not read this, or does not obey it"
        mend, where = ("# asterisk -rx 'module reload res_pjsip.so'",), ""
    yield Finding(
        "transfer_button",
        Severity.ERROR,
        f"the Transfer button of [{endpoint.name}] is on, {which}",
        "Asterisk transfers the call wherever the phone asks, past every rule.",
        where,
        mend,
    )


def _ways_round(endpoint: Section) -> Iterator[Finding]:
    if endpoint.last("redirect_method").lower() == "uri_pjsip":
        yield Finding(
            "redirect_method",
            Severity.ERROR,
            f"redirect_method of [{endpoint.name}] is uri_pjsip",
            "A phone that answers with 302 forwards the call to any address. PJSIP follows it by"
            " itself, without the dialplan.",
            place_of(endpoint),
            addition(endpoint, "redirect_method = user"),
        )
    variables = _variables(endpoint)
    features = variables.get("BRIDGE_FEATURES", "") + variables.get("__BRIDGE_FEATURES", "")
    if letters_of(features, {}).found & {"t", "T"}:
        yield Finding(
            "dtmf_transfer",
            Severity.ERROR,
            f"[{endpoint.name}] has BRIDGE_FEATURES with t or T",
            "A party can then transfer the call with the phone's keys, past every rule.",
            place_of(endpoint),
            addition(endpoint, "set_var = BRIDGE_FEATURES="),
        )


def _variables(endpoint: Section) -> dict[str, str]:
    """The last of several lines for one variable wins (pjsip_configuration.c, set_var_handler)."""
    pairs = [value.partition("=") for value in endpoint.all("set_var")]
    return {name: value for name, _, value in pairs}


def _globals(conf: Conf) -> list[Section]:
    return [s for s in conf.sections if not s.template and s.last("type").lower() == "global"]


def order_of(conf: Conf) -> str:
    for section in _globals(conf):
        return section.last("endpoint_identifier_order", _DEFAULT_ORDER)
    return _DEFAULT_ORDER


def order_lines(conf: Conf, first: Sequence[str] = ("header",)) -> tuple[str, ...]:
    """The lines that put these identifiers first in the existing order."""
    words = [word.strip() for word in order_of(conf).split(",")]
    order = [*first, *(word for word in words if word not in first)]
    line = f"endpoint_identifier_order = {','.join(order)}"
    for section in _globals(conf):
        return (f"[{section.name}](+type=global)", line)
    return ("[global]", "type = global", line)
