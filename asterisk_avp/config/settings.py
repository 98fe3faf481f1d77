"""The settings: what an administrator writes, checked and frozen.

`Settings.load` reads the environment, `.env` and the TOML file (see `settings_sources`), and
either returns settings that can be used or raises one `ConfigError` that names every variable
at fault. Secrets are `SecretStr` throughout and appear in no message.

Units are in the names. A policy setting is None where it was not set at that level; which level
wins is for `asterisk_avp.core`, except for the maximum hold, which `world` resolves here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from asterisk_avp.config.pops import PopSettings, WebhookSettings
from asterisk_avp.config.secret_files import Path_
from asterisk_avp.config.sources import Inputs, read_inputs, variable
from asterisk_avp.config.types import (
    AgentId,
    AriUrl,
    CommaList,
    Country,
    Extension,
    Host,
    Interface,
    KeyCode,
    Name,
    Network,
    PhoneNumber,
    PopUrl,
    Port,
    QueueName,
    Seconds,
    SectionId,
    SectionIdList,
    WrittenPinHash,
)
from asterisk_avp.core.model.features import (
    DEFAULT,
    ConsultRecording,
    ExternalAccept,
    Features,
    Level,
    MaxHoldAction,
    ShownNumber,
    resolve,
)
from asterisk_avp.core.model.world import ConfiguredAgent, Group, Preset, World
from asterisk_avp.core.phone.keypad import KeyCodes

DEFAULT_API_PORT = 8766


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# --- connections -----------------------------------------------------------------------------


class AriSettings(_Section):
    """Asterisk's REST interface. ``url`` ends in ``/ari``, whether or not it was written so."""

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


class AmiSettings(_Section):
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


class AgiSettings(_Section):
    """Where our FastAGI server listens, which Asterisk asks about numbers dialled on phones."""

    host: Host = "127.0.0.1"
    """Address where the daemon answers Asterisk's FastAGI requests about dialled numbers."""
    port: Port = 4573
    """Port for FastAGI."""
    timeout_seconds: Seconds = 2.0
    """How long the daemon takes to answer at most. The dialplan waits 5 seconds."""


class ApiSettings(_Section):
    """Our own HTTP API. ``tokens`` are those of integrations, who may act for every agent."""

    host: Host = "127.0.0.1"
    """Address where the API and the panel listen."""
    port: Annotated[int, Field(ge=0, le=65535)] = DEFAULT_API_PORT
    """Port of the API and the panel."""
    tokens: Annotated[tuple[SecretStr, ...], CommaList] = ()
    """Tokens for integrations, separated by commas. Each may act for every agent."""
    metrics_token: SecretStr = SecretStr("")
    """Token for `/metrics`. Without it, only this machine may read the metrics."""
    token_lifetime_seconds: Seconds = 12 * 3600.0
    """How long an agent's log-in lasts."""
    max_connections: Annotated[int, Field(ge=8, le=65_535)] = 4096
    """How many connections the API accepts. Fewer if the limit of file descriptors, minus those
    reserved for AMI, ARI and FastAGI, is lower."""
    trusted_proxies: Annotated[tuple[Network, ...], CommaList] = ("127.0.0.1", "::1")
    """Addresses or networks of reverse proxies, separated by commas, whose `X-Forwarded-For` and
    `X-Forwarded-Proto` the daemon trusts. Any other address may have at most half of the
    connections."""


class LogSettings(_Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe level that is logged: `debug`, `info`, `warning` or `error`."""
    format: Literal["text", "json"] = "text"
    """Format of the log: `text` or `json`."""
    numbers: bool = False
    """Whether to log telephone numbers in full. Otherwise only their last three digits appear."""
    queue_log: bool = True
    """Whether to write a line to Asterisk's `queue_log` for each transfer that has ended."""


class SessionSettings(_Section):
    """Timings of transfers."""

    ring_seconds: Annotated[int, Field(ge=1, le=600)] = 15
    """How long a personal queue rings its agent before it tries again."""
    ring_outside_seconds: Annotated[int, Field(ge=1, le=600)] = 45
    """How long an external number is rung."""
    drain_seconds: Seconds = 10.0
    """How long a stopping daemon waits for running transfers before agents get their callers
    back."""
    orphan_seconds: Annotated[int, Field(ge=10, le=3600)] = 60
    """How long a caller in a transfer waits for a daemon that is down, before the dialplan takes
    them to the head of their group's queue."""
    keep_ended_seconds: Seconds = 600.0
    """How long an ended transfer remains visible in the API."""


# --- policy, at three levels -----------------------------------------------------------------


class PolicySettings(_Section):
    """What can be set for the enterprise, an account and a group alike."""

    session_transfer: bool | None = None
    """Session transfer. Without it, no transfer is possible."""
    internal_transfer: bool | None = None
    """Transfers to agents and groups."""
    external_transfer: bool | None = None
    """Transfers to external numbers, after a consultation."""
    manual_dial: bool | None = None
    """Transfers to external numbers that the agent types. Needs external transfer."""
    presets: bool | None = None
    """Transfers to presets. Needs external transfer."""
    unsupervised_transfer: bool | None = None
    """Transfers without a consultation."""
    conference: bool | None = None
    """Conferences of all parties, and calling a fourth party."""
    toll_free_service: bool | None = None
    """Whether agents may call toll-free numbers."""
    toll_service: bool | None = None
    """Whether agents may call premium-rate, shared-cost and personal numbers."""
    strict_landline: bool | None = None
    """Whether to refuse numbers that may be mobile numbers."""
    max_hold_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = None
    """How long a transferred call may wait for its target."""
    max_hold_action: MaxHoldAction | None = None
    """What happens to a call that has waited that long: `hangup` (after an announcement), `return`
    (to the transferor, or else to the group) or `group`."""
    external_accept: ExternalAccept | None = None
    """What an external target must do besides answering: `none`, or `press1` (press 1 when
    asked)."""
    consult_recording: ConsultRecording | None = None
    """What a recording of the caller's channel (MixMonitor) contains during a consultation:
    `continue`, the music, or `pause`, silence."""


class EnterpriseSettings(PolicySettings):
    pass


class AccountSettings(PolicySettings):
    name: Name | None = None
    """A name of the account, for people who read the settings."""
    contracted: bool | None = None
    """Whether the account's contract includes session transfer. Otherwise everything is off."""
    country: Country | None = None
    """The client's country (`US`). Required where external transfer is on."""
    caller_id: PhoneNumber | None = None
    """The account's number, which external targets see, and whoever agents call on their phones."""
    external_caller_id: ShownNumber | None = None
    """Which number an external target of a transfer sees: `account` or `caller`. A caller's number
    that is not `+` and at most 15 digits is replaced by the account's."""
    complete_dialling: bool = False
    """Whether all phones send a number only when it has been dialled completely. Then ids and codes
    may begin with an emergency number of the country, as 1001 does where 100 is one."""


class GroupSettings(PolicySettings):
    """An agent group. ``queue`` is its queue in app_queue; None: the queue named as the group."""

    account: SectionId | None = None
    """The account that the group belongs to."""
    queue: QueueName | None = None
    """The group's queue in `app_queue`."""
    name: Name | None = None
    """The group's name, as agents see it."""
    acw_seconds: Annotated[int, Field(ge=0, le=86_400)] = 0
    """After-call work, in seconds: the queue's `wrapuptime`."""
    extension: Extension | None = None
    """The number by which agents reach the group on their phones, in a transfer."""
    shared_with: SectionIdList = ()
    """Other accounts whose agents may see the group and transfer calls to it."""
    pop_url: PopUrl | None = None
    """Address that a screen pop opens, e.g. `https://crm.example/{customer_id}`. In braces: a key
    of the pop's data, or `id`, `caller_number`, `caller_name`, `group`."""


class KeySettings(_Section):
    """What agents press on their phones. ``transfer`` is for features.conf, see `render`."""

    transfer: KeyCode = "*7"
    """Keys to begin a transfer. The same code is in features.conf."""
    complete: KeyCode = "*1"
    """Keys to complete it."""
    cancel: KeyCode = "*2"
    """Keys to cancel it."""
    swap: KeyCode = "*3"
    """Keys to swap between caller and target."""
    conference: KeyCode = "*4"
    """Keys to begin a conference."""
    add_party: KeyCode = "*5"
    """Keys to call a fourth party."""


class PresetSettings(_Section):
    """A number that agents may pick, associated with the group whose work it is.

    ``code`` is what they key in for it on their phones.
    """

    number: Annotated[str, Field(min_length=1, max_length=64)]
    """The preset's external number. Agents of groups other than the preset's own may select it."""
    group: SectionId
    """The group that the preset belongs to."""
    name: Name | None = None
    """The preset's name, as agents see it."""
    code: Extension | None = None
    """The code by which agents reach the preset on their phones, in a transfer."""
    shared_with: SectionIdList = ()
    """Other accounts whose agents may select the preset."""


class AgentSettings(_Section):
    """What is known of an agent beforehand. Without a PIN the agent cannot log in here."""

    name: Name | None = None
    """The agent's name, as others see it."""
    pin: SecretStr | None = None
    """The PIN for the panel and the API. Without it the agent cannot log in."""
    pin_hash: Annotated[SecretStr, WrittenPinHash] | None = None
    """The PIN's hash, which `asterisk-avp pin-hash` prints, in place of the PIN."""
    interface: Interface | None = None
    """The queue member's interface, if the id is not part of it."""
    country: Country | None = None
    """The agent's country."""
    groups: SectionIdList = ()
    """Groups that the agent belongs to, also while logged out."""


# --- all of it -------------------------------------------------------------------------------

_inputs: ContextVar[Inputs | None] = ContextVar("_inputs", default=None)


class _TreeSource(PydanticBaseSettingsSource):
    """Hands over the tree that was read from all sources."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        del field
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        inputs = _inputs.get() or read_inputs(os.environ, Path.cwd())
        return inputs.tree


class Settings(BaseSettings):
    """Everything an administrator can set. Use `load`; the constructor checks less."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    ari: AriSettings = AriSettings()
    ami: AmiSettings = AmiSettings()
    agi: AgiSettings = AgiSettings()
    api: ApiSettings = ApiSettings()
    log: LogSettings = LogSettings()
    session: SessionSettings = SessionSettings()
    pop: PopSettings = PopSettings()
    webhook: WebhookSettings = WebhookSettings()
    keys: KeySettings = KeySettings()
    enterprise: EnterpriseSettings = EnterpriseSettings()
    accounts: Mapping[SectionId, AccountSettings] = Field(default_factory=dict)
    groups: Mapping[SectionId, GroupSettings] = Field(default_factory=dict)
    presets: Mapping[SectionId, PresetSettings] = Field(default_factory=dict)
    agents: Mapping[AgentId, AgentSettings] = Field(default_factory=dict)

    _names: Mapping[Path_, str] = PrivateAttr(default_factory=dict)
    """The variable, or the place in a file, that each value came from."""
    _ignored: tuple[str, ...] = PrivateAttr(default=())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The stock sources lose the case of ids and overlook unknown names.
        del env_settings, dotenv_settings, file_secret_settings
        return init_settings, _TreeSource(settings_cls)

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str] | None = None,
        directory: Path | None = None,
        *,
        connect: bool = True,
        whole: bool = False,
    ) -> Self:
        """Read, check and freeze the settings of this process.

        ``connect``: whether Asterisk's credentials and at least one group are needed, as they
        are for the daemon; `render` does without. ``whole``: a `.env` that does not count is an
        error, as it is for the daemon, instead of one of the sentences in `ignored`. Raises
        `ConfigError` with one line for each variable or file at fault.
        """
        # Imported here, since the checks need these classes.
        from asterisk_avp.config.checks import checked  # noqa: PLC0415

        inputs = read_inputs(
            os.environ if environ is None else environ,
            Path.cwd() if directory is None else directory,
        )
        return checked(cls, inputs, connect=connect, whole=whole)

    @classmethod
    def of(cls, inputs: Inputs) -> Self:
        """Settings of ``inputs`` and nothing else. Raises pydantic's `ValidationError`."""
        token = _inputs.set(inputs)
        try:
            settings = cls()
        finally:
            _inputs.reset(token)
        settings._names = inputs.origins
        settings._ignored = inputs.ignored
        return settings

    @property
    def ignored(self) -> tuple[str, ...]:
        """The files that were there and do not count, in a sentence each."""
        return self._ignored

    def world(self) -> World:
        """The configuration as the core sees it, without connections and secrets."""
        return World(
            groups={identifier: self._group(identifier) for identifier in sorted(self.groups)},
            agents={
                identifier: ConfiguredAgent(
                    id=identifier,
                    name=agent.name,
                    interface=agent.interface,
                    country=agent.country,
                    groups=agent.groups,
                )
                for identifier, agent in sorted(self.agents.items())
            },
            presets={
                identifier: Preset(
                    identifier,
                    preset.name or identifier,
                    preset.number,
                    preset.group,
                    preset.code,
                    preset.shared_with,
                )
                for identifier, preset in sorted(self.presets.items())
            },
        )

    def key_codes(self) -> KeyCodes:
        return KeyCodes(**self.keys.model_dump())

    def features(self, group_id: str) -> Features:
        """The effective settings of a group, and the variable that each came from."""
        return resolve(self.levels(group_id))

    def levels(self, group_id: str) -> tuple[Level, ...]:
        """What the group, its account and the enterprise say explicitly, nearest first."""
        group = self.groups[group_id]
        found = [self._level(group, "groups", group_id)]
        if group.account is not None and group.account in self.accounts:
            account = self.accounts[group.account]
            found.append(self._level(account, "accounts", group.account))
        found.append(self._level(self.enterprise, "enterprise"))
        return tuple(found)

    def origin(self, path: Path_) -> str:
        """The variable or the file that a value came from, or ``default``."""
        return self._names.get(path, DEFAULT)

    def _level(self, said: PolicySettings, *section: str) -> Level:
        names = [*PolicySettings.model_fields]
        if isinstance(said, AccountSettings):
            names += ["contracted", "country", "caller_id", "external_caller_id"]
        values = {name: getattr(said, name) for name in names}
        explicit = {name: value for name, value in values.items() if value is not None}
        return Level(explicit, {name: self._name((*section, name)) for name in explicit})

    def _name(self, path: Path_) -> str:
        return self._names.get(path, variable(path))

    def _group(self, identifier: str) -> Group:
        group = self.groups[identifier]
        features = self.features(identifier)
        return Group(
            id=identifier,
            queue=group.queue or identifier,
            name=group.name or group.queue or identifier,
            account=group.account,
            acw_seconds=group.acw_seconds,
            max_hold_seconds=features.max_hold_seconds,
            max_hold_action=features.max_hold_action,
            extension=group.extension,
            pop_url=group.pop_url,
            features=features,
            shared_with=group.shared_with,
        )
