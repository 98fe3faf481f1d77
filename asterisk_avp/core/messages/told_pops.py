"""Screen pops that another node tells of: cleaned, and limited as those of calls are. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final

from asterisk_avp.core.messages import fields

MAX_BYTES: Final = 64 * 1024
"""A screen pop as JSON; a longer one is not told."""
TEXT: Final = 200
NOTES: Final = 2000
CALL: Final = re.compile(r"[A-Za-z0-9_.-]{1,150}")
_MAX_DEPTH: Final = 12
_MAX_VALUES: Final = 2000
_MAX_SECONDS: Final = 365 * 24 * 3600


def shown_pop(value: object) -> dict[str, Any]:
    """A screen pop in the shape of `core.pops.content`. Raises `Unusable`."""
    read = fields.mapping(value, "pop")
    caller, data = (
        fields.mapping(read.get("caller"), "caller"),
        fields.mapping(read.get("data"), "data"),
    )
    past = read.get("transfers")
    if not isinstance(past, list) or len(past) > fields.MOST_VALUES:
        raise fields.Unusable("transfers")
    try:
        values = sum(1 for _ in _nodes(read, 1))
        size = len(json.dumps(read, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise fields.Unusable("pop") from None
    if values > _MAX_VALUES or size > MAX_BYTES:
        raise fields.Unusable("pop")
    group, url = read.get("group"), read.get("url")
    if url is not None and not _address(url):
        raise fields.Unusable("url")
    return {
        "id": fields.matching(CALL, read, "id"),
        "data": _clean(data),
        "caller": {
            **{
                key: fields.text(caller, key, TEXT)
                for key in ("number", "number_formatted", "name")
            },
            "withheld": caller.get("withheld") is True,
        },
        "group": None if group is None else fields.ident(read, "group"),
        "waited_seconds": fields.count(read, "waited_seconds", _MAX_SECONDS),
        "transfers": [
            {
                key: fields.text(fields.mapping(each, "transfers"), key, NOTES)
                for key in ("from", "from_name", "mode", "note", "at")
            }
            for each in past
        ],
        "note": fields.text(read, "note", NOTES),
        "url": url,
    }


def _address(value: object) -> bool:
    return (
        isinstance(value, str)
        and len(value) <= 2 * NOTES
        and re.match(r"https?://[^/?#\s]+", value) is not None
        and value.isascii()
        and value.isprintable()
        and re.search(r"[\s\"<>\\^`|]", value) is None
    )


def _nodes(value: object, depth: int) -> Iterator[object]:
    if depth > _MAX_DEPTH or (isinstance(value, float) and not math.isfinite(value)):
        raise fields.Unusable("pop")
    yield value
    if isinstance(value, dict):
        for inner in value.values():
            yield from _nodes(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _nodes(inner, depth + 1)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return fields.whole(value)
    if isinstance(value, dict):
        return {fields.whole(str(key)): _clean(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_clean(inner) for inner in value]
    return value
