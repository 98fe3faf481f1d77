"""The sections of the settings for the daemon itself, and for keys on phones.

The docstring of a setting is its row in docs/configuration.md (`config.reference`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from asterisk_avp.config.types import (
    AriUrl,
    CommaList,
    Host,
    KeyCode,
    Network,
    PopKey,
    Port,
    Seconds,
    WebhookUrl,
)


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AriSettings(Section):
    """Asterisk's REST interface. ``url`` always ends in ``/ari``, however it was written."""

    url: AriUrl = "http://127.0.0.1:8088/ari"
    """Address of Asterisk's REST interface."""
    username: str = ""
    """The daemon's ARI user."""
    password: SecretStr = SecretStr("")
    """The ARI user's password."""
    app: Literal["asterisk_avp"] = "asterisk_avp"
    request_timeout_seconds: Seconds = 5.0
    """How long one request to ARI may take."""
    reconnect_max_seconds: Seconds = 5.0
    """The longest pause between attempts to connect to ARI."""
    probe_seconds: Seconds = 5.0
    """How often the daemon probes whether Asterisk still delivers events."""


class AmiSettings(Section):
    """Asterisk's manager interface."""

    host: Host = "127.0.0.1"
    """Address of Asterisk's manager interface."""
    port: Port = 5038
    """Port of Asterisk's manager interface."""
    username: str = ""
    """The daemon's AMI user."""
    secret: SecretStr = SecretStr("")
    """The AMI user's secret."""
    action_timeout_seconds: Seconds = 5.0
    """How long one AMI action may take."""
    reconnect_max_seconds: Seconds = 5.0
    """The longest pause between attempts to connect to AMI."""
    realtime_seconds: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 5.0
    """How often the daemon looks for what has changed about queue members in Asterisk's database
    ([Realtime](realtime.md)). 0: never."""


class AgiSettings(Section):
    """Our FastAGI server, which Asterisk queries about numbers dialled on phones."""

    host: Host = "127.0.0.1"
    """Address where the daemon answers Asterisk's FastAGI requests about dialled numbers."""
    port: Port = 4583
    """Port for FastAGI."""
    timeout_seconds: Seconds = 2.0
    """The longest time the daemon takes to answer. The dialplan waits 5 seconds."""


class ApiSettings(Section):
    """Our HTTP API. ``tokens``: for integrations, which may act for every agent."""

    host: Host = "127.0.0.1"
    """Address where the API and the panel listen."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8766
    """Port of the API and the panel."""
    tokens: Annotated[tuple[SecretStr, ...], CommaList] = ()
    """Tokens for integrations, separated by commas. Each may act for every agent."""
    metrics_token: SecretStr = SecretStr("")
    """Token for `/metrics`. Without it, only this machine may read the metrics."""
    token_lifetime_seconds: Seconds = 12 * 3600.0
    """How long an agent's log-in lasts."""
    session_key: SecretStr = SecretStr("")
    """The key that signs agents' log-ins, at least 32 characters. Every daemon that may serve the
    same panels needs the same. Without it, one is derived from the passwords for Asterisk."""
    max_connections: Annotated[int, Field(ge=8, le=65_535)] = 4096
    """How many connections the API accepts. The limit of file descriptors, minus those reserved
    for AMI, ARI and FastAGI, can lower this number."""
    trusted_proxies: Annotated[tuple[Network, ...], CommaList] = ("127.0.0.1", "::1")
    """Addresses or networks of reverse proxies, separated by commas, whose `X-Forwarded-For` and
    `X-Forwarded-Proto` the daemon trusts. Any other address may have at most half of the
    connections."""


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe level that is logged: `debug`, `info`, `warning` or `error`."""
    format: Literal["text", "json"] = "text"
    """Format of the log: `text` or `json`."""
    numbers: bool = False
    """Whether to log telephone numbers in full. Otherwise only their last three digits appear."""
    queue_log: bool = True
    """Whether to write a line to Asterisk's `queue_log` for each transfer that has ended."""


class SessionSettings(Section):
    """Timings of transfers."""

    ring_seconds: Annotated[int, Field(ge=1, le=600)] = 15
    """How long a personal queue rings its agent before it tries again."""
    ring_outside_seconds: Annotated[int, Field(ge=1, le=600)] = 45
    """How long an external number is rung."""
    drain_seconds: Seconds = 10.0
    """How long a stopping daemon waits for running transfers before agents get their callers
    back."""
    orphan_seconds: Annotated[int, Field(ge=10, le=3600)] = 60
    """How long a caller in a transfer waits for a daemon that is down, before the dialplan moves
    them to the head of their group's queue."""
    keep_ended_seconds: Seconds = 600.0
    """How long an ended transfer remains visible in the API."""
    busy_begin_seconds: Seconds = 1.0
    """How long a transfer may take from the request until the target's phone rings. If transfers
    take longer, fewer may begin at a time, and further ones are refused for the moment."""
    busy_answer_seconds: Seconds = 1.0
    """How long Asterisk may take to answer. If it repeatedly takes longer, new transfers are
    refused until it answers in half that time."""


class PopSettings(Section):
    """Screen pops."""

    sip_headers: Annotated[tuple[PopKey, ...], CommaList, Field(max_length=16)] = ()
    """Keys of the pop's data that agents' phones receive as SIP headers, separated by commas, at
    most 16."""
    keys: Annotated[tuple[PopKey, ...], CommaList, Field(max_length=50)] = ()
    """Keys of the pop's data that come first, in this order, separated by commas, at most 50; upper
    or lower case. The panel shows the first eight at once."""


class WebhookSettings(Section):
    """The receiver of screen pops. Without ``url``, none are posted."""

    url: WebhookUrl | None = None
    """The address that screen pops are posted to."""
    secret: SecretStr = SecretStr("")
    """The key that signs the posts."""
    timeout_seconds: Seconds = 5.0
    """How long one attempt to post may take."""
    attempts: Annotated[int, Field(ge=1, le=50)] = 8
    """How many times the daemon tries to post an event."""
    retry_max_seconds: Seconds = 30.0
    """The longest pause between two attempts. The first pause is half a second."""
    queue_size: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """How many events may wait. If there are more, the oldest is dropped."""


class KeySettings(Section):
    """The keys that agents press on their phones. ``transfer`` goes into features.conf."""

    transfer: KeyCode = "*7"
    """Keys to start a transfer. features.conf must have the same code."""
    complete: KeyCode = "*1"
    """Keys to complete it."""
    cancel: KeyCode = "*2"
    """Keys to cancel it."""
    swap: KeyCode = "*3"
    """Keys to swap between caller and target."""
    conference: KeyCode = "*4"
    """Keys to start a conference."""
    add_party: KeyCode = "*5"
    """Keys to call a fourth party."""
