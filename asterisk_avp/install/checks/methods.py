"""What else than a call can a phone or a trunk set off by SIP: MESSAGE and PUBLISH.

The other methods were looked at, and let nothing pass by a setting of their own: REFER is the
Transfer button's (`checks.pjsip`, and `checks.refer` for callers), an UPDATE or INFO belongs to a
call, SUBSCRIBE only reads, and a NOTIFY that nobody asked for sets voice mail lamps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from asterisk_avp.install.asterisk_conf import Conf, Section
from asterisk_avp.install.checks.agents import agents, endpoints
from asterisk_avp.install.checks.model import Facts, Finding, Severity

_MESSAGE: Final = "sip_message"
_PUBLISH: Final = "sip_publish"
_EMPTY: Final = "avp-nowhere"
_RUNS: Final = (
    "A SIP MESSAGE runs the dialplan like a call, without one (res_pjsip_messaging.c): a text to an"
    " emergency number dials it."
)
_DEVICE_STATE: Final = "event_asterisk-devicestate"


def messages(facts: Facts) -> Iterator[Finding]:
    """Does a text message from an agent's phone, or by a trunk, run the dialplan?"""
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
            yield Finding(_MESSAGE, Severity.ERROR, fault, _RUNS, "pjsip.conf", _mended(name))
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
            yield Finding(_MESSAGE, Severity.WARNING, fault, _RUNS, "pjsip.conf", _mended(name))
    if clean and phones:
        yield Finding(_MESSAGE, Severity.OK, "SIP MESSAGE of agents' phones and trunks is refused")


def _context(facts: Facts, endpoint: Section) -> str:
    """What is wrong with where its messages go, in a sentence."""
    context = endpoint.last("message_context")
    if not context:
        return f"[{endpoint.name}] has no message_context"
    if extensions(facts, context):
        return f"the message_context {context} of [{endpoint.name}] has extensions"
    return ""


def _mended(name: str) -> tuple[str, ...]:
    return (f"[{name}](+type=endpoint)", f"message_context = {_EMPTY}")


def extensions(facts: Facts, context: str) -> bool:
    """Whether there is anything in a context."""
    wanted = {"exten", "include", "switch", "lswitch", "eswitch"}
    conf = facts.dialplan()
    return any(line.name.lower() in wanted for s in conf.named(context) for line in s.lines)


def trunks(conf: Conf) -> list[str]:
    """Endpoints that are known by their address, and the one for whoever is not known."""
    found = {"anonymous": None}
    for section in conf.sections:
        identify = not section.template and section.last("type").lower() == "identify"
        header = section.last("match_header").partition(":")[0].strip().lower()
        # Whom INVITEs with Replaces are taken for is no trunk (`checks.replaces`).
        if identify and (section.all("match") or header not in {"", "replaces"}):
            found[section.last("endpoint")] = None
    return list(found)


def publications(facts: Facts) -> Iterator[Finding]:
    """Can a phone say which state a device is in (res_pjsip_publish_asterisk.c)?"""
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
            f"[{section.name}] takes device states from {who}",
            "A PUBLISH then says of any agent's device that it is free or in use, by which queues"
            " and transfers go.",
            str(lines[-1].place),
            (
                lines[-1].name + " = " + lines[-1].value,
                "endpoint = <the other Asterisk's endpoint>",
            ),
        )
