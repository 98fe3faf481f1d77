"""Publish screen pops to WebSockets and the webhook, and the SIP headers to the dialplan."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from asterisk_avp.config.sections import WebhookSettings
from asterisk_avp.core.model.errors import AvpError
from asterisk_avp.pops.webhook import Webhooks

log = structlog.get_logger(__name__)

HEADERS: Final = "AVP_POP_HEADERS"
"""The global variable with the keys that become SIP headers, and the headers' names."""

_STOP_SECONDS: Final = 3.0


class PopPublisher:
    """Sends each event to the WebSockets and, if it has an address, to the webhook."""

    def __init__(
        self, send: Callable[[Mapping[str, Any]], None], settings: WebhookSettings
    ) -> None:
        self._send = send
        self.webhooks: Webhooks | None = None
        if settings.url is not None:
            self.webhooks = Webhooks(
                settings.url.get_secret_value(),
                settings.secret.get_secret_value(),
                timeout_seconds=settings.timeout_seconds,
                attempts=settings.attempts,
                wait_max_seconds=settings.retry_max_seconds,
                queue_size=settings.queue_size,
            )

    def publish(self, event: Mapping[str, Any]) -> None:
        self._send(event)
        if self.webhooks is not None:
            self.webhooks.send(event, event["pop"]["id"])

    async def stop(self) -> None:
        if self.webhooks is not None:
            await self.webhooks.stop(_STOP_SECONDS)


def header_of(key: str) -> str:
    """The SIP header of a key: ``customer_id`` -> ``X-AVP-Customer-Id``."""
    return "X-AVP-" + "-".join(part.capitalize() for part in key.split("_") if part)


async def set_headers(
    set_global: Callable[[str, str], Awaitable[None]], keys: Sequence[str]
) -> None:
    """Set the headers in the dialplan, which uses them even while the daemon is down."""
    value = ",".join(f"{key}:{header_of(key)}" for key in keys)
    try:
        await set_global(HEADERS, value)
    except AvpError as error:
        log.warning("pop_headers_set_failed", error=str(error))
