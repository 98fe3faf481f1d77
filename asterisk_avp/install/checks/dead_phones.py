"""Does Asterisk notice that a phone has died, with no BYE and no RTP?

By default it never does: whoever talks to that phone hears silence until they hang up. RTP that
stops tells it within ``rtp_timeout`` seconds (res_pjsip_sdp_rtp.c, rtp_check_timeout). A phone that
holds the call sends none, nor does Asterisk see any of direct media: there the refresh of the SIP
session (RFC 4028, ``timers = always``) tells. A phone outside of a call answers OPTIONS while it is
there (``qualify_frequency``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from asterisk_avp.install.asterisk_conf import Conf, Section
from asterisk_avp.install.checks.agents import agents, endpoints
from asterisk_avp.install.checks.mend import addition, by_place
from asterisk_avp.install.checks.methods import trunks
from asterisk_avp.install.checks.model import Facts, Finding, Severity
from asterisk_avp.install.checks.replaces import denies_all

_ID: Final = "dead_phone"
RTP_SECONDS: Final = 20
MAX_SILENCE_SECONDS: Final = 30
HOLD_SECONDS: Final = 1800
QUALIFY_SECONDS: Final = 30

_ALWAYS: Final = frozenset({"always", "required"})
_SILENCE: Final = (
    "Whoever talks to a phone that dies hears silence until they hang up. With these lines Asterisk"
    " ends its call, and the dialplan sends a caller back to the head of their group. A phone that"
    " sends nothing while its user is silent (VAD) must have that switched off."
)
_HOLD: Final = (
    "RTP says nothing about a phone that holds a call, nor about one with direct media. The refresh"
    " of the SIP session does: a phone that does not answer it is gone."
)
_RUNG: Final = "Asterisk rings a phone that is no longer there until its registration ends."


def lines_for(endpoint: Section) -> list[str]:
    """What an agent's endpoint lacks, for Asterisk to notice the phone's death."""
    lines = []
    if not 0 < _number(endpoint.last("rtp_timeout")) <= MAX_SILENCE_SECONDS:
        lines.append(f"rtp_timeout = {RTP_SECONDS}")
    if not _number(endpoint.last("rtp_timeout_hold")):
        lines.append(f"rtp_timeout_hold = {HOLD_SECONDS}")
    if endpoint.last("timers").lower() not in _ALWAYS:
        lines += ["timers = always", "timers_min_se = 90", "timers_sess_expires = 120"]
    return lines


def dead_phones(facts: Facts) -> Iterator[Finding]:
    """One finding for each setting, with all the endpoints that lack it."""
    conf = facts.file("pjsip.conf")
    if not conf.found:
        return
    known = endpoints(conf)
    phones = [known[name] for name in agents(facts) if name in known]
    outside = [
        known[name]
        for name in trunks(conf)
        if name in known and known[name] not in phones and not denies_all(known[name])
    ]
    lacking = {endpoint.name: lines_for(endpoint) for endpoint in (*phones, *outside)}
    deaf = [name for name, lines in lacking.items() if any("rtp_timeout =" in x for x in lines)]
    held = [name for name, lines in lacking.items() if lines and name not in deaf]
    for names, what, why in (
        (deaf, "silence when a phone dies: no rtp_timeout of at most 30 s for", _SILENCE),
        (held, "no session timers or rtp_timeout_hold for", _HOLD),
    ):
        for where, those in by_place(known[name] for name in names).items():
            lines = [line for x in those for line in addition(x, *lacking[x.name])]
            shown = ", ".join(f"[{x.name}]" for x in those)
            yield Finding(_ID, Severity.WARNING, f"{what} {shown}", why, where, tuple(lines))
    unasked = [aor for endpoint in phones for aor in _unasked(conf, endpoint)]
    if unasked:
        shown = ", ".join(f"[{aor}]" for aor in unasked)
        yield Finding(
            _ID,
            Severity.WARNING,
            f"no qualify_frequency for the agents' phones: {shown}",
            _RUNG,
            "pjsip.conf",
            tuple(
                line
                for aor in unasked
                for line in (f"[{aor}](+type=aor)", f"qualify_frequency = {QUALIFY_SECONDS}")
            ),
        )
    if phones and not deaf and not held and not unasked:
        yield Finding(_ID, Severity.OK, "Asterisk notices a phone that dies")


def _unasked(conf: Conf, endpoint: Section) -> Iterator[str]:
    """The endpoint's AORs whose phones are not asked whether they are there."""
    names = {name.strip() for name in endpoint.last("aors").split(",")}
    for section in conf.sections:
        if section.template or section.last("type").lower() != "aor" or section.name not in names:
            continue
        if not _number(section.last("qualify_frequency")):
            yield section.name


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else 0
