"""The addresses of NATS servers and of other nodes' daemons, and what a node shows to them."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, SecretStr

_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_-]{1,63})*\.?"
)
_VISIBLE: Final = re.compile("[!-~]*")
_CREDENTIALS: Final = re.compile("[!-9;-~]{1,64}:[!-~]{1,200}")


def _split(value: str, meaning: str) -> SplitResult:
    """The parts of an address whose host and port can be used. Raises `ValueError`."""
    try:
        parts = urlsplit(value)
        usable = bool(_VISIBLE.fullmatch(value)) and parts.port != 0 and _is_host(parts.hostname)
    except ValueError:  # brackets without an address, or a port that is none
        usable = False
    if not usable:
        raise ValueError(f"must be {meaning}")
    return parts


def _is_host(host: str | None) -> bool:
    if host is None:
        return False
    if ":" in host:
        return ipaddress.ip_address(host).version > 0  # raises ValueError
    return _HOST_NAME.fullmatch(host) is not None


def _nats_url(value: str) -> str:
    meaning = "a nats:// or tls:// address, e.g. nats://127.0.0.1:4222"
    parts = _split(value, meaning)
    if "@" in parts.netloc:
        raise ValueError("must not contain credentials; use AVP_CLUSTER__CREDENTIALS")
    bare = not parts.query and not parts.fragment and parts.path in {"", "/"}
    if parts.scheme not in {"nats", "tls"} or not bare:
        raise ValueError(f"must be {meaning}")
    return value.rstrip("/")


def _node_url(value: str) -> str:
    meaning = "an http:// or https:// address, e.g. https://a.example:8443"
    parts = _split(value, meaning)
    if "@" in parts.netloc:
        raise ValueError("must not contain credentials; use AVP_NODES__<ID>__TOKEN")
    if parts.scheme not in {"http", "https"} or parts.query or parts.fragment:
        raise ValueError(f"must be {meaning}")
    return value.rstrip("/")


def _token(value: SecretStr) -> SecretStr:
    if _VISIBLE.fullmatch(value.get_secret_value()) is None:
        raise ValueError("must be printable ASCII characters without spaces")
    return value


def _credentials(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text and _CREDENTIALS.fullmatch(text) is None:
        raise ValueError("must be a user and a password: user:password")
    return value


NatsUrl = Annotated[str, AfterValidator(_nats_url)]
NodeUrl = Annotated[str, AfterValidator(_node_url)]
NodeToken = Annotated[SecretStr, AfterValidator(_token)]
NatsCredentials = Annotated[SecretStr, AfterValidator(_credentials)]
