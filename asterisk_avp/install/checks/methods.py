"""What can a phone or a trunk trigger with SIP MESSAGE and PUBLISH?

The other methods need no check here: REFER is the Transfer button (`checks.pjsip`, and
`checks.refer` for callers), UPDATE and INFO belong to a call, SUBSCRIBE only reads, and an
unsolicited NOTIFY sets voice-mail lamps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from asterisk_avp.install.asterisk_conf import Conf, Section
from asterisk_avp.install.checks.agents import agents, endpoints
from asterisk_avp.install.checks.mend import addition, place_of
from asterisk_avp.install.checks.model import Facts, Finding, Severity

_MESSAGE: Final = "sip_message"
_PUBLISH: Final = "sip_publish"
_EMPTY: Final = "avp-nowhere"
_RUNS: Final = (
    "A SIP MESSAGE runs the dialplan as a call does (res_pjsip_messaging.c): a text message to an"
    " emergency number dials it."
)
_DEVICE_STATE: Final = "event_asterisk-devicestate"


def messages(facts: Facts) -> Iterator[Finding]:
    """Does a text message from an agent's phone or a trunk run the dialplan?"""
    conf = facts.file("pjsip.conf")
    if not conf.found:
        return
    known = endpoints(conf)
    phones = [name for name in agents(facts) if name in known]
    clean = True
    for name in phones:
        fault = _context(facts, known[name])
        if fault:
            clean = False
            yield _finding(Severity.ERROR, fault, known[name])
    for name in trunks(conf):
        if name in phones or name not in known:
            continue
        if not known[name].last("message_context") and not extensions(
            facts, known[name].last("context", "default")
        ):
            continue
        fault = _context(facts, known[name])
        if fault:
            clean = False
            yield _finding(Severity.WARNING, fault, known[name])
    if clean and phones:
        yield Finding(_MESSAGE, Severity.OK, "SIP MESSAGE from phones and trunks is refused")


def _context(facts: Facts, endpoint: Section) -> str:
    """What is wrong with the context of its messages, in one sentence; or an empty string."""
    context = endpoint.last("message_context")
    if not context:
        return f"[{endpoint.name}] has no message_context"
    if extensions(facts, context):
        return f"the message_context {context} of [{endpoint.name}] has extensions"
    return ""


def _finding(severity: Severity, fault: str, endpoint: Section) -> Finding:
    mend = addition(endpoint, f"message_context = {_EMPTY}")
    return Finding(_MESSAGE, severity, fault, _RUNS, place_of(endpoint), mend)


def extensions(facts: Facts, context: str) -> bool:
    """Whether a context contains anything."""
    wanted = {"exten", "include", "switch", "lswitch", "eswitch"}
    conf = facts.dialplan()
    return any(line.name.lower() in wanted for s in conf.named(context) for line in s.lines)


def trunks(conf: Conf) -> list[str]:
    """Endpoints that are identified by address, and the endpoint `anonymous`."""
    found = {"anonymous": None}
    for section in conf.sections:
        identify = not section.template and section.last("type").lower() == "identify"
        header = section.last("match_header").partition(":")[0].strip().lower()
        # The endpoint that catches INVITEs with Replaces is not a trunk (`checks.replaces`).
        if identify and (section.all("match") or header not in {"", "replaces"}):
            found[section.last("endpoint")] = None
    return list(found)


def publications(facts: Facts) -> Iterator[Finding]:
    """Can a phone publish the state of a device (res_pjsip_publish_asterisk.c)?"""
    conf = facts.file("pjsip.conf")
    phones = set(agents(facts))
    for section in conf.sections:
        if section.template or section.last("type").lower() != "inbound-publication":
            continue
        lines = [line for line in section.lines if line.name.lower() == _DEVICE_STATE]
        sender = section.last("endpoint")
        if not lines or (sender and sender not in phones):
            continue
        who = f"the agent's phone [{sender}]" if sender else "every phone that can log in"
        yield Finding(
            _PUBLISH,
            Severity.ERROR,
            f"[{section.name}] accepts device states from {who}",
            "A PUBLISH can then set any agent's device to free or in use, which queues and"
            " transfers rely on.",
            str(lines[-1].place),
            (
                lines[-1].name + " = " + lines[-1].value,
                "endpoint = <the other Asterisk's endpoint>",
            ),
        )
