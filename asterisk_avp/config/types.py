"""The types of single settings, and the values that they accept.

Most values end up in a dial string, a queue name, an AMI header or a URL, so characters with a
meaning there are rejected here.
"""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from asterisk_avp.core.model.pins import PinHash
from asterisk_avp.core.model.world import AGENT_ID, PERSONAL_QUEUE_PREFIX
from asterisk_avp.core.numbers.rules import COUNTRIES
from asterisk_avp.core.pops.url import template_fault

_QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,78}")
_SECTION_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_INTERFACE = re.compile(r"[A-Za-z][A-Za-z0-9_]*/[A-Za-z0-9][A-Za-z0-9._@/+-]{0,99}")
_KEY_CODE = re.compile(r"[0-9*#]{1,6}")
_EXTENSION = re.compile(r"(?!_)[A-Za-z0-9*#+._-]{1,40}")
_PHONE_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_POP_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_HOST = re.compile(r"[A-Za-z0-9.:\[\]_%-]{1,253}")


def _matching(pattern: re.Pattern[str], meaning: str) -> AfterValidator:
    def check(value: str) -> str:
        if pattern.fullmatch(value) is None:
            raise ValueError(f"must be {meaning}")
        return value

    return AfterValidator(check)


def _queue_name(value: str) -> str:
    if value.startswith(PERSONAL_QUEUE_PREFIX):
        raise ValueError(f"must not be a personal queue ({PERSONAL_QUEUE_PREFIX}…)")
    return value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must not contain control characters")
    return value


def _country(value: str) -> str:
    if value not in COUNTRIES:
        raise ValueError("must be a country code of two letters with a numbering plan, e.g. US")
    return value


def _pop_url(value: str) -> str:
    fault = template_fault(value)
    if fault:
        raise ValueError(fault)
    return value


def _webhook_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not text.isprintable():
        raise ValueError("must be an http:// or https:// address")
    if "@" in parts.netloc:
        raise ValueError(
            "must not contain credentials; requests are signed with AVP_WEBHOOK__SECRET"
        )
    return value


def _ari_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http:// or https:// address, e.g. http://127.0.0.1:8088")
    if "@" in parts.netloc:
        raise ValueError("must not contain credentials; use AVP_ARI__USERNAME and __PASSWORD")
    if parts.query or parts.fragment:
        raise ValueError("must end with the path")
    bare = value.rstrip("/")
    return bare if bare.endswith("/ari") else bare + "/ari"


def _split(value: Any) -> Any:
    """Parse ``a, b`` or the JSON ``["a", "b"]``. TOML has lists of its own."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("starts like a JSON list, but is not one") from None
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _pin_hash(value: SecretStr) -> SecretStr:
    PinHash.parse(value.get_secret_value())
    return value


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value)).removesuffix("/32").removesuffix("/128")
    except ValueError:
        raise ValueError("must be an address or a network such as 172.31.213.0/28") from None


CommaList = BeforeValidator(_split)
WrittenPinHash = AfterValidator(_pin_hash)

SectionId = Annotated[
    str,
    _matching(_SECTION_ID, "an id of a-z, 0-9, _ and - (at most 40, a letter or digit first)"),
    BeforeValidator(_lower),
]
AgentId = Annotated[
    str, _matching(AGENT_ID, "an agent id of letters, digits, '.', '_' and '-' (at most 40)")
]
QueueName = Annotated[
    str,
    _matching(_QUEUE, "a queue name of letters, digits, '.', '_' and '-'"),
    AfterValidator(_queue_name),
]
Interface = Annotated[str, _matching(_INTERFACE, "an interface such as PJSIP/1001")]
Extension = Annotated[str, _matching(_EXTENSION, "an extension of the dialplan, not a pattern")]
KeyCode = Annotated[str, _matching(_KEY_CODE, "a code of 1 to 6 keys of 0-9, * and #")]
Host = Annotated[str, _matching(_HOST, "a host name or an address")]
Network = Annotated[str, AfterValidator(_network)]
Country = Annotated[
    str,
    AfterValidator(_country),
    BeforeValidator(_upper),
]
Name = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_printable)]
AriUrl = Annotated[str, AfterValidator(_ari_url)]
PopUrl = Annotated[str, Field(max_length=1000), AfterValidator(_pop_url)]
PopKey = Annotated[
    str, _matching(_POP_KEY, "a key of a screen pop: letters, digits and _ (at most 40)")
]
WebhookUrl = Annotated[SecretStr, AfterValidator(_webhook_url)]
"""A secret: for many receivers, the long address is the only credential."""
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
SectionIdList = Annotated[tuple[SectionId, ...], CommaList]

PhoneNumber = Annotated[str, _matching(_PHONE_NUMBER, "a number in E.164, such as +12025550100")]
