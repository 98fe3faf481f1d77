"""Settings of screen pops and of the webhook that they are posted to."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from asterisk_avp.settings_types import CommaList, PopKey, Seconds, WebhookUrl


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PopSettings(Section):
    """Screen pops."""

    sip_headers: Annotated[tuple[PopKey, ...], CommaList, Field(max_length=16)] = ()
    """Keys that go to agents' phones as SIP headers ``X-AVP-<Key>``."""


class WebhookSettings(Section):
    """Where screen pops are posted to; nowhere, without ``url``."""

    url: WebhookUrl | None = None
    secret: SecretStr = SecretStr("")
    timeout_seconds: Seconds = 5.0
    attempts: Annotated[int, Field(ge=1, le=50)] = 8
    retry_max_seconds: Seconds = 30.0
    """The longest pause between two attempts; the first is half a second."""
    queue_size: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """How many events may wait; the oldest makes room."""
