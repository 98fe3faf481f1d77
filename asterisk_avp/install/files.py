"""The contents of the files that `asterisk-avp render all` writes. Nothing is written here.

Our Asterisk configuration is in files of our own, each included by one line, so that the
administrator's files stay as they are. The contents depend on the administrator's files only:
rendering again, with ours included, gives the same result.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from asterisk_avp.core.pbx.ami_rights import READ, WRITE
from asterisk_avp.install.ami_filters import daemon_lines
from asterisk_avp.install.asterisk_conf import Conf, Section
from asterisk_avp.install.checks.dead_phones import lines_for
from asterisk_avp.install.checks.nodes_model import NODES

OURS: Final = frozenset(
    {
        "asterisk_avp.conf",
        "avp_extensions.conf",
        "avp_queues.conf",
        "avp_features.conf",
        "avp_manager.conf",
        "avp_ari.conf",
        "avp_pjsip.conf",
        "avp_pbx.conf",
        NODES,
    }
)
"""The files that Asterisk's configuration includes; avp_pbx.conf beside a PBX with web pages,
avp_nodes.conf where there are several nodes."""
NATS: Final = "nats-server.conf"
ENVIRONMENT: Final = "environment"
UNIT: Final = "asterisk-avp.service"
NOTES: Final = "INSTALL.txt"
SECRET_FILES: Final = frozenset({ENVIRONMENT, NODES, NATS, "avp_manager.conf", "avp_ari.conf"})
"""The files with secrets: mode 600, and never shown."""

CONF_FILES: Final = (
    *("extensions.conf", "queues.conf", "features.conf", "pjsip.conf"),
    *("manager.conf", "ari.conf", "http.conf"),
)
"""The administrator's files that are read."""

DEFAULT_AGI = ("127.0.0.1", 4583)


class CannotRender(Exception):
    """The files cannot be rendered; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Connections:
    """What the AMI and ARI users and the dialplan need to know about the daemon.

    Secrets are plain text. ``agi``: host and port of the daemon's FastAGI. ``source``: the address
    that the daemon connects from.
    """

    ami_user: str
    ami_secret: str = field(repr=False)
    ari_user: str
    ari_password: str = field(repr=False)
    agi: tuple[str, int] = DEFAULT_AGI
    source: str = "127.0.0.1"


def without_ours(conf: Conf) -> Conf:
    """The file without the lines that come from files of ours."""
    sections = []
    for section in conf.sections:
        if Path(section.place.file).name in OURS:
            continue
        lines = [line for line in section.lines if Path(line.place.file).name not in OURS]
        sections.append(Section(section.name, section.place, section.template, lines))
    return replace(conf, sections=tuple(sections))


def manager_conf(given: Connections, command: str) -> str:
    source = ipaddress.ip_address(given.source)
    permits = ["127.0.0.1/255.255.255.255", "::1/128"] if source.is_loopback else [given.source]
    return "\n".join(
        [
            *_head(command, "The daemon's AMI user, for manager.conf."),
            "; The daemon needs each of these classes; core/pbx/ami_rights.py says why. Add no",
            "; others: with `command`, `config`, `originate` or `system`, whoever steals the",
            "; secret controls the whole machine.",
            f"[{given.ami_user}]",
            f"secret = {_escaped(given.ami_secret)}",
            "deny = 0.0.0.0/0.0.0.0",
            "deny = ::/0",
            *(f"permit = {permit}" for permit in permits),
            f"read = {','.join(READ)}",
            f"write = {','.join(WRITE)}",
            "writetimeout = 5000",
            "; Asterisk sends the events that the daemon reads, and no others. (Before 20.11, 21.6",
            "; and 22.1 it ignores these lines, and the daemon ignores the other events.)",
            *daemon_lines(),
            "",
        ]
    )


def ari_conf(given: Connections, command: str) -> str:
    return "\n".join(
        [
            *_head(command, "The daemon's ARI user, for ari.conf."),
            f"[{given.ari_user}]",
            "type = user",
            "read_only = no",
            f"password = {_escaped(given.ari_password)}",
            "",
        ]
    )


def features_conf(conf: Conf, code: str, command: str) -> str:
    """``conf``: the administrator's features.conf, without our lines."""
    there = any(conf.named("applicationmap"))
    return "\n".join(
        [
            *_head(command, "The feature code that starts a transfer on an agent's phone."),
            "; DYNAMIC_FEATURES in avp_pjsip.conf enables it for agents.",
            "[applicationmap](+)" if there else "[applicationmap]",
            f"avp_transfer => {code},self,UserEvent,AVPFeature",
            "",
        ]
    )


def pjsip_conf(
    endpoints: Mapping[str, Section],
    order: Iterable[str],
    refused: Iterable[str],
    *,
    current: bool,
    command: str,
    features: str = "",
) -> str:
    """The PJSIP settings of the agents' phones.

    ``endpoints``: the agents' endpoints by name. ``order``: the lines with the order of endpoint
    identifiers. ``refused``: the sections that refuse forbidden requests. ``current``: whether this
    Asterisk can pass a REFER to ARI and has the options that are as new. ``features``: the dynamic
    features that all phones have (global variable DYNAMIC_FEATURES), between ``#``.
    """
    lines = [
        *_head(command, "An INVITE with Replaces cannot take over somebody else's call."),
        *order,
        "",
        *refused,
        "",
        "; Each agent's phone: its Transfer button obeys the rules, the feature code works, a SIP",
        "; MESSAGE runs no dialplan, and in avp-agents it dials the extensions of avp-phones.",
        "; Asterisk ends the call of a phone that has died (rtp_timeout, session timers).",
        "; The section of type avp-gone has no effect. Without it, Asterisk would reject the whole",
        "; of pjsip.conf once somebody has deleted the endpoint (config.c, process_text_line).",
    ]
    for name, endpoint in endpoints.items():
        lines += [*added_to(name), *agent_lines(endpoint, features, current=current), ""]
    return "\n".join(lines)


def agent_lines(endpoint: Section, features: str, *, current: bool) -> list[str]:
    """What the endpoint of an agent's phone needs."""
    handling = "set_var = PJSIP_TRANSFER_HANDLING()=ari-only" if current else "allow_transfer = no"
    lines = [handling, f"set_var = DYNAMIC_FEATURES={dynamic_features(endpoint, features)}"]
    lines.append("message_context = avp-nowhere")
    lines += lines_for(endpoint)
    if endpoint.last("context") == "avp-agents":
        lines.append("allow_overlap = no")
        lines += ["overlap_context = avp-phones"] if current else []
    return lines


def added_to(endpoint: str) -> tuple[str, ...]:
    """The lines that begin an addition to an endpoint, which may be deleted one day."""
    # A filter of (+…) is a pair of regular expressions (config.c, does_category_match).
    return (f"[{endpoint}]", "type = avp-gone", f"[{endpoint}](+type=^endpoint$|^avp-gone$)")


_DYNAMIC: Final = re.compile(r"_{0,2}DYNAMIC_FEATURES=(.*)")


def dynamic_features(endpoint: Section, everywhere: str) -> str:
    """Our feature, after those that this endpoint has.

    ``everywhere``: the global variable's value, which a channel's own variable replaces
    (features_config.c, ast_get_chan_applicationmap).
    """
    found = [m[1] for value in endpoint.all("set_var") if (m := _DYNAMIC.match(value))]
    names = (found[-1] if found else everywhere).split("#")
    return "#".join(dict.fromkeys([*filter(None, map(str.strip, names)), "avp_transfer"]))


def global_features(extensions: Conf) -> str:
    """The value of DYNAMIC_FEATURES in [globals] of extensions.conf."""
    values = [v for x in extensions.named("globals") for v in x.all("dynamic_features")]
    return values[-1] if values else ""


def environment(
    written: str | None,
    variables: Mapping[str, str],
    generated: Mapping[str, str],
    agent: str = "1001",
) -> str:
    """The environment file. ``written``: the existing text, whose lines and order are kept.

    ``variables``: those in effect. ``generated``: values for variables that were not set anywhere.
    ``agent``: the id that the example uses.
    """
    wanted = {**variables, **generated}
    lines = [] if written is None else written.rstrip("\n").split("\n")
    if written is None:
        example = agent if re.fullmatch(r"\w+", agent, re.ASCII) else "1001"
        lines = [line.format(agent=example) for line in _ENVIRONMENT_HEAD]
    for at, line in enumerate(lines):
        name = line.partition("=")[0].strip()
        if name in wanted and "=" in line and not line.lstrip().startswith("#"):
            value = wanted.pop(name)
            if _unquoted(line.partition("=")[2]) != value:
                lines[at] = f"{name}={quoted(value)}"
    lines += [f"{name}={quoted(value)}" for name, value in wanted.items()]
    return "\n".join(lines) + "\n"


_ENVIRONMENT_HEAD = (
    "# The settings of asterisk_avp, secrets included: readable by root only.",
    "# systemd passes them to the daemon (asterisk-avp.service). To list all settings with meaning",
    "# and default: asterisk-avp settings --reference",
    "#",
    "# Agents log in to the panel with their id, spelled as in Asterisk, and a PIN. To create the",
    "# value: asterisk-avp pin-hash. (Ids with other characters: in the TOML file of AVP_CONFIG.)",
    "#AVP_AGENTS__{agent}__PIN_HASH=scrypt:...",
    "# Transfers to external numbers that agents enter, for a client in this country:",
    "#AVP_ENTERPRISE__EXTERNAL_TRANSFER=true",
    "#AVP_ENTERPRISE__MANUAL_DIAL=true",
    "#AVP_ACCOUNTS__MAIN__COUNTRY=US",
    "",
)


def quoted(value: str) -> str:
    """Quote ``value`` so that systemd and python-dotenv read it alike."""
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./-]*", value):
        return value
    if "'" not in value and "\\" not in value:
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1]
    if len(text) > 1 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text


def _head(command: str, what: str) -> list[str]:
    return [f"; {what}", ";", f"; Written by: {command}", ""]


def _escaped(secret: str) -> str:
    """Escape a value for a configuration file, in which `;` begins a comment."""
    if not secret.isprintable():
        raise CannotRender("a secret has control characters, which Asterisk's files cannot hold")
    return secret.replace(";", "\\;")
