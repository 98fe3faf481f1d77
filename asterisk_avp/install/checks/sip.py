"""Find the SIP transports in Asterisk's files, and an account for `asterisk-avp check` to use.

`asterisk_avp.install.sip_probe` sends the requests; `checks.replaces` interprets the answers.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from asterisk_avp.install.asterisk_conf import Conf, Section
from asterisk_avp.install.checks.agents import endpoints

PICKUP: Final = "*8"
"""Asterisk's own `pickupexten` (features_config.c, DEFAULT_PICKUPEXTEN)."""
_PORTS: Final = {"udp": 5060, "tcp": 5060, "tls": 5061}
_OTHERS: Final = frozenset({"ws", "wss", "flow"})
"""Transports that are not tested: WebSockets need a browser's handshake."""


@dataclass(frozen=True, slots=True)
class SipAddress:
    """A transport of pjsip.conf. ``local``: only this machine can reach it."""

    protocol: str
    host: str
    port: int
    local: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.protocol} {host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SipAccount:
    """A phone's account. ``md5``: MD5 of name, realm and password, if only that is known.

    Without a user name, the endpoint requires no password.
    """

    endpoint: str
    username: str = ""
    password: str = field(default="", repr=False)
    md5: str = field(default="", repr=False)


def transports(conf: Conf, host: str) -> list[SipAddress]:
    """The transports of ``conf`` (pjsip.conf). ``host``: for those bound to all addresses."""
    found: dict[str, SipAddress] = {}
    for section in conf.sections:
        if section.template or section.last("type").lower() != "transport":
            continue
        protocol = section.last("protocol", "udp").lower()
        if protocol not in _PORTS:
            continue
        bound, port = _bound(section.last("bind"))
        address = ipaddress.ip_address(bound) if bound else None
        everywhere = address is None or address.is_unspecified
        reached = host if everywhere else str(address)
        local = address is not None and address.is_loopback
        known = SipAddress(protocol, reached, port or _PORTS[protocol], local)
        found.setdefault(str(known), known)
    return list(found.values())


def untried_transports(conf: Conf) -> list[str]:
    """The names of transports that are not tested."""
    return [
        section.name
        for section in conf.sections
        if not section.template
        and section.last("type").lower() == "transport"
        and section.last("protocol", "udp").lower() in _OTHERS
    ]


def _bound(text: str) -> tuple[str, int]:
    """Address and port of ``bind``. The address is empty if invalid; the port is 0 if missing."""
    host, port = text.strip(), ""
    if host.startswith("["):
        host, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":")
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        host = ""
    return host, int(port) if port.isdecimal() else 0


def account(conf: Conf, names: Iterable[str]) -> SipAccount | None:
    """The account of the first of these endpoints whose password is in pjsip.conf."""
    known = endpoints(conf)
    for name in names:
        endpoint = known.get(name)
        if endpoint is None:
            continue
        wanted = auth_names(endpoint)
        if not wanted:
            return SipAccount(name)
        for auth in auths(conf, wanted):
            username, password = auth.last("username"), auth.last("password")
            if auth.last("auth_type", "userpass").lower() == "md5":
                password = ""
            md5 = "" if password else _md5(auth)
            if username and (password or md5):
                return SipAccount(name, username, password, md5)
    return None


def _md5(auth: Section) -> str:
    for value in auth.all("password_digest"):
        algorithm, _, digest = value.partition(":")
        if algorithm.strip().upper() == "MD5":
            return digest.strip()
    return auth.last("md5_cred").strip()


def auth_names(endpoint: Section) -> list[str]:
    return [name.strip() for name in endpoint.last("auth").split(",") if name.strip()]


def auths(conf: Conf, names: Iterable[str]) -> Iterator[Section]:
    """The auth sections of these names."""
    wanted = set(names)
    for section in conf.sections:
        named = section.name in wanted and not section.template
        if named and section.last("type").lower() == "auth":
            yield section


def pickup_extension(conf: Conf) -> str:
    """The extension that picks up a ringing call in any context (``conf``: features.conf)."""
    found = PICKUP
    for section in conf.named("general"):
        found = section.last("pickupexten", found)
    return found.strip()
