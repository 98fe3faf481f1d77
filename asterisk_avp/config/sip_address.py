"""The address of a node's trunks: `192.0.2.11:5070;transport=tls`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator

SIP_PORT: Final = 5060
_MAX_PORT: Final = 65535
_WRITTEN: Final = re.compile(
    r"(?P<host>[0-9.]{7,15}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:;transport=(?P<transport>udp|tcp|tls))?"
)


@dataclass(frozen=True, slots=True)
class SipAddress:
    """``host``: an address, not a name, because Asterisk identifies the other node by it."""

    host: str
    port: int
    transport: str

    @classmethod
    def parse(cls, value: str) -> SipAddress:
        """Raises `ValueError`."""
        found = _WRITTEN.fullmatch(value)
        if found is not None:
            host, port = found["host"].strip("[]"), int(found["port"] or SIP_PORT)
            if 0 < port <= _MAX_PORT and _is_address(host):
                return cls(host, port, found["transport"] or "udp")
        raise ValueError(
            "must be an IP address and a port such as 192.0.2.11:5070, with ;transport=tls for TLS"
        )

    @property
    def written(self) -> str:
        """Address and port, as a SIP address has them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def network(self) -> str:
        return str(ipaddress.ip_network(self.host))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _checked(value: str) -> str:
    SipAddress.parse(value)
    return value


NodeSip = Annotated[str, AfterValidator(_checked)]
