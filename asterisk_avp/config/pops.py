"""Settings of screen pops and of the webhook that they are posted to."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from asterisk_avp.config.types import CommaList, PopKey, Seconds, WebhookUrl


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PopSettings(Section):
    """Screen pops."""

    sip_headers: Annotated[tuple[PopKey, ...], CommaList, Field(max_length=16)] = ()
    """Keys of the pop's data that agents' phones get as SIP headers, separated by commas, at most
    16."""


class WebhookSettings(Section):
    """Where screen pops are posted to; nowhere, without ``url``."""

    url: WebhookUrl | None = None
    """Address that screen pops are posted to."""
    secret: SecretStr = SecretStr("")
    """The key that the posts are signed with."""
    timeout_seconds: Seconds = 5.0
    """How long one attempt to post may take."""
    attempts: Annotated[int, Field(ge=1, le=50)] = 8
    """How many times an event is attempted."""
    retry_max_seconds: Seconds = 30.0
    """The longest pause between two attempts. The first is half a second."""
    queue_size: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """How many events may wait. If there are more, the oldest is dropped."""
