"""Derive settings from an administrator's files, for an installation without settings."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator
from typing import Final

from asterisk_avp.core.model.world import PERSONAL_QUEUE_PREFIX
from asterisk_avp.install.asterisk_conf import Conf, Section
from asterisk_avp.install.checks.agents import endpoints

ACCOUNT: Final = "main"
"""The account of proposed groups. One client needs only one account."""

_HTTP_PORT, _AMI_PORT = "8088", "5038"


def queues(conf: Conf) -> Iterator[Section]:
    """The sections of queues.conf that are queues, without personal ones."""
    for section in conf.sections:
        name = section.name.lower()
        personal = name.startswith(PERSONAL_QUEUE_PREFIX)
        if not (section.template or personal or name == "general"):
            yield section


def addresses(http: Conf, manager: Conf) -> dict[str, str]:
    """Settings with the addresses of ARI and AMI, where these are not the defaults."""
    found: dict[str, str] = {}
    web = http.first("general")
    if web is not None:
        host, port = _host(web), web.last("bindport", _HTTP_PORT)
        prefix = web.last("prefix").strip("/")
        place = (host, port, prefix)
        if place != ("127.0.0.1", _HTTP_PORT, "") and port.isdecimal():
            shown = f"[{host}]" if ":" in host else host
            found["AVP_ARI__URL"] = "/".join(
                filter(None, (f"http://{shown}:{port}", prefix, "ari"))
            )
    ami = manager.first("general")
    if ami is not None:
        host, port = _host(ami), ami.last("port", _AMI_PORT)
        if host != "127.0.0.1":
            found["AVP_AMI__HOST"] = host
        if port != _AMI_PORT and port.isdecimal():
            found["AVP_AMI__PORT"] = port
    return found


def _host(general: Section) -> str:
    """The host to connect to, from the same machine, for a server with this ``bindaddr``."""
    try:
        address = ipaddress.ip_address(general.last("bindaddr"))
    except ValueError:
        return "127.0.0.1"
    if not address.is_unspecified:
        return str(address)
    return "127.0.0.1" if address.version == 4 else "::1"  # noqa: PLR2004 - IP's version


def trunk(pjsip: Conf, phones: Collection[str]) -> str:
    """The endpoint of the trunk, if there is exactly one candidate; else an empty string.

    A candidate is not an agent's phone, and is identified by its address or by a registration or
    log-in of ours.
    """
    there = endpoints(pjsip)
    by_address = {
        section.last("endpoint")
        for section in pjsip.sections
        if not section.template and section.last("type").lower() in {"identify", "registration"}
    }
    by_login = {name for name, section in there.items() if section.last("outbound_auth")}
    found = ((by_address | by_login) & there.keys()) - set(phones)
    return next(iter(found)) if len(found) == 1 else ""
