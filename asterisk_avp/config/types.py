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

from asterisk_avp.core.engine.pause import MAX_REASON
from asterisk_avp.core.messages import clean
from asterisk_avp.core.model.pins import PinHash
from asterisk_avp.core.model.world import AGENT_ID, PERSONAL_QUEUE_PREFIX
from asterisk_avp.core.numbers.rules import COUNTRIES, LANDLINE_TYPES
from asterisk_avp.core.numbers.territories import TERRITORIES
from asterisk_avp.core.pbx.agent import ACW_REASON
from asterisk_avp.core.pbx.member_phones import PHONE
from asterisk_avp.core.pops.url import template_fault

_QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,78}")
_SECTION_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_INTERFACE = re.compile(r"[A-Za-z][A-Za-z0-9_]*/[A-Za-z0-9][A-Za-z0-9._@/+-]{0,99}")
_KEY_CODE = re.compile(r"[0-9*#]{1,6}")
_EXTENSION = re.compile(r"(?!_)[A-Za-z0-9*#+._-]{1,40}")
_PHONE_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_POP_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_AGI = re.compile(r"agi://[A-Za-z0-9.-]{1,200}:[0-9]{1,5}")
_HOST = re.compile(r"[A-Za-z0-9.:\[\]_%-]{1,253}")
_ORIGIN = re.compile(
    r"https://([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?){0,20})"
    r"(?::([1-9][0-9]{0,4}))?"
)
_ENDPOINT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
"""A host that browsers read as an IPv4 address (URL Standard, "ends in a number")."""
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_USER = re.compile(r"[^\s](?:.{0,198}[^\s])?")


_MAX_PORT = 65535
_PROXY_SECRET = re.compile("[!-~]{16,200}")
_NOT_FOR_USERS = frozenset(
    {
        "accept", "authorization", "connection", "content-length", "content-type", "cookie",
        "expect", "forwarded", "host", "keep-alive", "origin", "referer", "te", "trailer",
        "transfer-encoding", "upgrade", "user-agent", "via", "x-forwarded-for",
        "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip",
    }
)  # fmt: skip
"""Headers with a meaning of their own, most of which a browser sends by itself."""
_NOT_FOR_USERS_PREFIX = ("proxy-", "sec-", "x-avp-")


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


def _pause_reason(value: str) -> str:
    if clean.name(value) != value or len(value.encode()) > MAX_REASON:
        raise ValueError(f"must be a name of letters, digits and .-_' (at most {MAX_REASON} bytes)")
    return value


def _own_reason(value: str) -> str:
    if value == ACW_REASON:
        raise ValueError("is the daemon's own reason, for extended after-call work")
    return value


def unique(values: tuple[str, ...]) -> tuple[str, ...]:
    """Raises `ValueError` for a value that is there twice."""
    if len(set(values)) != len(values):
        raise ValueError("must not contain an entry twice")
    return values


def _each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _country(value: str) -> str:
    if value not in COUNTRIES:
        raise ValueError("must be a country code of two letters with a numbering plan, e.g. US")
    return value


def _landline_types(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if value not in LANDLINE_TYPES:
            raise ValueError(f"must be of {', '.join(LANDLINE_TYPES)}, not {value!r}")
    return values


def _territories(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if value not in TERRITORIES:
            raise ValueError(
                f"must be territories with numbers of their own, e.g. PR, not {value!r}"
            )
    return values


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


def _origin(value: str) -> str:
    found = _ORIGIN.fullmatch(value)
    if found is None or int(found[2] or 0) > _MAX_PORT or not _as_browsers_write(found[1]):
        raise ValueError(
            "must be an origin such as https://crm.example or https://crm.example:8443: https, "
            "no path, no *, no international letters (write xn--…)"
        )
    return value.removesuffix(":443")  # as browsers write it


def _as_browsers_write(host: str) -> bool:
    """Whether an address is written as four decimal numbers: ``127.1`` is not."""
    if _NUMERIC.fullmatch(host) is None:
        return True
    try:
        return str(ipaddress.IPv4Address(host)) == host
    except ValueError:
        return False


def _user_header(value: str) -> str:
    if value.lower() in _NOT_FOR_USERS or value.lower().startswith(_NOT_FOR_USERS_PREFIX):
        raise ValueError("must be a header that a proxy adds for the user's name alone")
    return value


def _proxy_secret(value: SecretStr) -> SecretStr:
    if _PROXY_SECRET.fullmatch(value.get_secret_value()) is None:
        raise ValueError("must be 16 to 200 printable ASCII characters without spaces")
    return value


def _sign_out_url(value: str) -> str:
    parts = urlsplit(value)
    path_here = value.startswith("/") and not value.startswith(("//", "/\\"))
    elsewhere = parts.scheme == "https" and parts.hostname and "@" not in parts.netloc
    if not (path_here or elsewhere) or not value.isascii() or re.search(r"[\s\\<>\"]", value):
        raise ValueError("must be a path such as /oauth2/sign_out, or an https:// address")
    return value


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
PhoneList = Annotated[
    tuple[Annotated[str, _matching(PHONE, "a phone such as PJSIP/1001")], ...],
    CommaList,
    Field(max_length=32),
    AfterValidator(_each_once),
]
Extension = Annotated[str, _matching(_EXTENSION, "an extension of the dialplan, not a pattern")]
KeyCode = Annotated[str, _matching(_KEY_CODE, "a code of 1 to 6 keys of 0-9, * and #")]
Endpoint = Annotated[str, _matching(_ENDPOINT, "the name of a PJSIP endpoint")]
AgiUrl = Annotated[str, _matching(_AGI, "an address such as agi://b.example:4583")]
Host = Annotated[str, _matching(_HOST, "a host name or an address")]
Network = Annotated[str, AfterValidator(_network)]
File = Annotated[str, AfterValidator(_printable)]
Country = Annotated[
    str,
    AfterValidator(_country),
    BeforeValidator(_upper),
]
Name = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_printable)]
PauseReason = Annotated[
    str, Field(min_length=1), AfterValidator(_pause_reason), AfterValidator(_own_reason)
]
AriUrl = Annotated[str, AfterValidator(_ari_url)]
PopUrl = Annotated[str, Field(max_length=1000), AfterValidator(_pop_url)]
PopKey = Annotated[
    str, _matching(_POP_KEY, "a key of a screen pop: letters, digits and _ (at most 40)")
]
ProxySecret = Annotated[SecretStr, AfterValidator(_proxy_secret)]
WebhookUrl = Annotated[SecretStr, AfterValidator(_webhook_url)]
"""A secret: for many receivers, the long address is the only credential."""
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Origin = Annotated[str, AfterValidator(_origin), BeforeValidator(_lower)]
OriginList = Annotated[
    tuple[Origin, ...], CommaList, Field(max_length=32), AfterValidator(_each_once)
]
UserHeader = Annotated[
    str,
    _matching(_HEADER, "the name of an HTTP header, such as X-Forwarded-Preferred-Username"),
    AfterValidator(_user_header),
]
SignOutUrl = Annotated[str, Field(max_length=500), AfterValidator(_sign_out_url)]
User = Annotated[
    str,
    _matching(_USER, "a user's name of at most 200 characters, without spaces around it"),
    AfterValidator(_printable),
]
"""A user of the proxy's: whatever an identity provider calls people, often an e-mail address."""
SectionIdList = Annotated[tuple[SectionId, ...], CommaList]

LandlineTypes = Annotated[
    tuple[Annotated[str, BeforeValidator(_lower)], ...],
    CommaList,
    Field(min_length=1),
    AfterValidator(_landline_types),
    AfterValidator(_each_once),
]
Territories = Annotated[
    tuple[Annotated[str, BeforeValidator(_upper)], ...],
    CommaList,
    AfterValidator(_territories),
    AfterValidator(_each_once),
]

PhoneNumber = Annotated[str, _matching(_PHONE_NUMBER, "a number in E.164, such as +12025550100")]
