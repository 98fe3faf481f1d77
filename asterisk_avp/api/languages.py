"""The catalogues: every word of the page and of the API's messages, a JSON file for each language.

A catalogue is flat: ``{"area.name": "text with {placeholders}"}``. English has every key; what
another language lacks is English. The English sentence of a reason code is the core's own
(``refused.<reason>``), because logs, audit and command line show it too.

`Languages` notes the language of each request, in which `say` and `translated` answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache, lru_cache
from importlib import resources
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from asterisk_avp.core.engine import work
from asterisk_avp.core.numbers import MESSAGES
from asterisk_avp.core.policy.policy import REASONS

ENGLISH: Final = "en"
BROWSER: Final = "browser"
"""The setting for: the language that the request asks for."""

_RANGE = re.compile(
    r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]*)?\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?))?\s*"
)
_LONGEST_HEADER: Final = 200
"""Characters of the header that count; a browser sends far fewer."""
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


_language: ContextVar[str] = ContextVar("_language", default=ENGLISH)


def of_the_core() -> dict[str, str]:
    """The English sentences that the core has, by the keys under which they are translated."""
    return {"numbers.ok": MESSAGES["ok"]} | {
        f"refused.{reason}": text for reason, text in (REASONS | work.REASONS).items()
    }


@cache
def catalogues() -> Mapping[str, Mapping[str, str]]:
    """The catalogues by language, each complete."""
    folder = resources.files(__package__) / "static" / "languages"
    read: dict[str, dict[str, str]] = {
        item.name.removesuffix(".json"): json.loads(item.read_text(encoding="utf-8"))
        for item in folder.iterdir()
        if item.name.endswith(".json")
    }
    english = of_the_core() | read[ENGLISH]
    return {language: english | read[language] for language in sorted(read)}


def say(key: str, **values: object) -> str:
    """A text of the catalogue in the request's language."""
    text = catalogues()[_language.get()][key]
    return _PLACEHOLDER.sub(lambda found: str(values[found[1]]), text)


def translated(key: str, english: str) -> str:
    """A message in the request's language. ``english`` may say more than the catalogue's text."""
    language = _language.get()
    return english if language == ENGLISH else catalogues()[language].get(key, english)


class Languages:
    """A middleware: the language of each request, for everything that answers it."""

    def __init__(self, app: ASGIApp, setting: str) -> None:
        self._app = app
        self._setting = setting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            accept = dict(scope["headers"]).get(b"accept-language", b"").decode("latin-1")
            _language.set(negotiated(accept[:_LONGEST_HEADER], self._setting))
        await self._app(scope, receive, send)


@lru_cache(maxsize=256)
def negotiated(accept: str | None, setting: str = BROWSER) -> str:
    """The language of an answer: the setting's, or the best one that the header asks for.

    ``accept`` is the request's Accept-Language (RFC 9110, 12.5.4). A region is ignored, since no
    language here has two catalogues.
    """
    known = catalogues()
    if setting in known:
        return setting
    best, quality = ENGLISH, 0.0
    for part in (accept or "").split(","):
        found = _RANGE.fullmatch(part)
        if found is None:
            continue
        language, weight = found[1].lower(), float(found[2] or 1)
        if language in known and weight > quality:
            best, quality = language, weight
    return best
