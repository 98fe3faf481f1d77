"""The URL that a screen pop opens: a group's template, filled with the pop's values.

    https://crm.example/customers/{customer_id}?line={group}

Values are escaped so that each remains one path segment or one query value. Only the template
determines scheme, host and port.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_FIELD = re.compile(r"\{([A-Za-z0-9_]+)\}")
_START = re.compile(r"https?://[^/?#{}]+(?:[/?#]|$)", re.IGNORECASE)
_UNRESERVED = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)  # RFC 3986
_MAX_VALUE: Final = 512
_MAX_URL: Final = 2048
_DOTS = frozenset({".", ".."})


def template_fault(template: str) -> str:
    """Why a template is invalid; empty: it is valid."""
    if (
        not template.isascii()
        or not template.isprintable()
        or re.search(r"[\s\"<>\\^`|]", template)
    ):
        return "must be an address of ASCII characters without spaces or quotes"
    if re.search(r"[{}]", _FIELD.sub("", template)):
        return "must have its keys in braces, e.g. {customer_id}"
    if _START.match(template) is None:
        # The host must end before the first key, so that no caller can choose it.
        return "must be an http:// or https:// address, e.g. https://crm.example/{customer_id}"
    if "@" in template.split("/")[2]:
        return "must not contain credentials"
    return ""


def fill(
    template: str | None, data: Mapping[str, Any], own: Mapping[str, str | None]
) -> str | None:
    """The URL; None: no template, or a value that it needs is missing or unusable."""
    if not template:
        return None
    found: dict[str, str] = {}
    for key in _FIELD.findall(template):
        value = _text(data[key]) if key in data else own.get(key)
        if not value or len(value) > _MAX_VALUE:
            return None
        found[key] = _quoted(value)
    url = _FIELD.sub(lambda match: found[match[1]], template)
    path = re.split(r"[?#]", url, maxsplit=1)[0]
    # Browsers resolve dot segments, escaped or not, so a value could leave its path segment.
    if len(url) > _MAX_URL or any(
        re.sub("%2e", ".", part, flags=re.IGNORECASE) in _DOTS for part in path.split("/")[3:]
    ):
        return None
    return url


def _text(value: object) -> str | None:
    """A scalar as text; None for an object, a list or null."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    return None


def _quoted(text: str) -> str:
    return "".join(
        chr(byte) if byte in _UNRESERVED else f"%{byte:02X}"
        for byte in text.encode("utf-8", "replace")
    )
