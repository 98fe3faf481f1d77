"""Read the fields of JSON that came from another node. Each raises `Unusable`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar

from asterisk_avp.core.messages import clean
from asterisk_avp.core.model.world import AGENT_ID

VERSION: Final = 1
MOST_VALUES: Final = 50
"""Of a list."""
_LATEST: Final = 10**11
"""A time later than this is none."""

Kind = TypeVar("Kind", bound=StrEnum)


class Unusable(ValueError):
    """A message that another node cannot have meant. The text names the field, never its value."""


def message(body: object) -> Mapping[str, Any]:
    """Later versions only add fields that may be ignored, or another number."""
    read = mapping(body, "message")
    version = read.get("version")
    if isinstance(version, bool) or version != VERSION:
        raise Unusable("version")
    return read


def mapping(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Unusable(name)
    return value


def whole(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def text(read: Mapping[str, Any], name: str, limit: int) -> str:
    value = read.get(name, "")
    if not isinstance(value, str) or len(value) > limit:
        raise Unusable(name)
    return whole(value)


def matching(pattern: re.Pattern[str], read: Mapping[str, Any], name: str) -> str:
    value = read.get(name)
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise Unusable(name)
    return value


def texts(read: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    """Those that are known: another version may know more."""
    values = read.get(name, [])
    if not isinstance(values, list | tuple) or len(values) > MOST_VALUES:
        raise Unusable(name)
    return tuple(value for value in values if isinstance(value, str) and pattern.fullmatch(value))


def agent_id(read: Mapping[str, Any], name: str) -> str:
    return matching(AGENT_ID, read, name)


def ident(read: Mapping[str, Any], name: str) -> str:
    value = read.get(name)
    if not isinstance(value, str) or not clean.ident(value):
        raise Unusable(name)
    return value


def one_of(kind: type[Kind], read: Mapping[str, Any], name: str) -> Kind:
    try:
        return kind(str(read.get(name)))
    except ValueError:
        raise Unusable(name) from None


def count(read: Mapping[str, Any], name: str, most: int) -> int:
    value = read.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise Unusable(name)
    return value


def moment(read: Mapping[str, Any], name: str) -> float:
    value = read.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unusable(name)
    if not 0 <= value <= _LATEST:
        raise Unusable(name)
    return float(value)


def optional_moment(read: Mapping[str, Any], name: str) -> float | None:
    return None if read.get(name) is None else moment(read, name)
