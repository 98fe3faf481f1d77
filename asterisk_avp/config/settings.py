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
    """Its user for the daemon."""
    password: SecretStr = SecretStr("")
    """That user's password."""
    app: Literal["asterisk_avp"] = "asterisk_avp"
    request_timeout_seconds: Seconds = 5.0
    """How long one request may take."""
    reconnect_max_seconds: Seconds = 5.0
    """Longest pause between attempts to connect."""
    probe_seconds: Seconds = 5.0
    """How often Asterisk has to show that it still delivers events."""


class AmiSettings(_Section):
    """Asterisk's manager interface."""

    host: Host = "127.0.0.1"
    """Address of Asterisk's manager interface."""
    port: Port = 5038
    """Its port."""
    username: str = ""
    """Its user for the daemon."""
    secret: SecretStr = SecretStr("")
    """That user's secret."""
    action_timeout_seconds: Seconds = 5.0
    """How long one action may take."""
    reconnect_max_seconds: Seconds = 5.0
    """Longest pause between attempts to connect."""


class AgiSettings(_Section):
    """Where our FastAGI server listens, which Asterisk asks about numbers dialled on phones."""

    host: Host = "127.0.0.1"
    """Where Asterisk asks about numbers dialled on agents' phones (FastAGI)."""
    port: Port = 4573
    """The port there."""
    timeout_seconds: Seconds = 2.0
    """How long one such question may take; the dialplan waits 5 seconds."""


class ApiSettings(_Section):
    """Our own HTTP API. ``tokens`` are those of integrations, who may act for every agent."""

    host: Host = "127.0.0.1"
    """Where our own API listens."""
    port: Annotated[int, Field(ge=0, le=65535)] = DEFAULT_API_PORT
    """The port there."""
    tokens: Annotated[tuple[SecretStr, ...], CommaList] = ()
    """Tokens of integrations, separated by commas."""
    metrics_token: SecretStr = SecretStr("")
    """Token for `/metrics`; without one only this machine may read it."""
    token_lifetime_seconds: Seconds = 12 * 3600.0
    """How long an agent's log-in lasts."""
    max_connections: Annotated[int, Field(ge=8, le=65_535)] = 4096
    """How many connections the API takes, or as many as the limit of file descriptors leaves
    besides AMI, ARI and FastAGI, if those are fewer."""
    trusted_proxies: Annotated[tuple[Network, ...], CommaList] = ("127.0.0.1", "::1")
    """Addresses or networks of reverse proxies, separated by commas, whose `X-Forwarded-For` and
    `X-Forwarded-Proto` are believed. Any other address has half of the connections at most."""


class LogSettings(_Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """`debug`, `info`, `warning` or `error`."""
    format: Literal["text", "json"] = "text"
    """`text` or `json`."""
    numbers: bool = False
    """Whether telephone numbers are logged in full; else only their last three digits."""
    queue_log: bool = True
    """Whether each transfer that has ended is a line in Asterisk's `queue_log`."""


class SessionSettings(_Section):
    """Timings of transfers."""

    ring_seconds: Annotated[int, Field(ge=1, le=600)] = 15
    """How long a personal queue rings its agent before it tries again."""
    ring_outside_seconds: Annotated[int, Field(ge=1, le=600)] = 45
    """How long an external number may ring."""
    drain_seconds: Seconds = 10.0
    """How long a stopping daemon waits for running transfers, before agents get their callers back.
    """
    orphan_seconds: Annotated[int, Field(ge=10, le=3600)] = 60
    """How long a caller in a transfer waits for a daemon that is away before the dialplan takes
    them to the head of their group."""
    keep_ended_seconds: Seconds = 600.0
    """How long an ended transfer can still be seen."""


# --- policy, at three levels -----------------------------------------------------------------


class PolicySettings(_Section):
    """What can be set for the enterprise, an account and a group alike."""

    session_transfer: bool | None = None
    """Transfers at all."""
    internal_transfer: bool | None = None
    """To agents and groups."""
    external_transfer: bool | None = None
    """To numbers outside, in a consultation."""
    manual_dial: bool | None = None
    """Numbers outside that the agent types; needs external transfer."""
    presets: bool | None = None
    """Numbers outside that the agent picks; needs external transfer."""
    unsupervised_transfer: bool | None = None
    """Without a consultation."""
    conference: bool | None = None
    """All together, and a fourth party."""
    toll_free_service: bool | None = None
    """Toll-free numbers."""
    toll_service: bool | None = None
    """Premium-rate, shared-cost and personal numbers."""
    strict_landline: bool | None = None
    """Refuse what may be a mobile."""
    max_hold_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = None
    """How long a transferred call may wait."""
    max_hold_action: MaxHoldAction | None = None
    """What happens then: `hangup` (after an announcement), `return` (to the agent who transferred
    it, else the group) or `group`."""
    external_accept: ExternalAccept | None = None
    """What an external target has to do besides answering: `none`, or `press1` to be asked for the
    key 1 first."""
    consult_recording: ConsultRecording | None = None
    """What a recording of the caller's channel (MixMonitor) does during a consultation: `continue`,
    with the music, or `pause`, with silence."""


class EnterpriseSettings(PolicySettings):
    pass


class AccountSettings(PolicySettings):
    name: Name | None = None
    """A name for people who read the settings."""
    contracted: bool | None = None
    """Whether the account has session transfer; without it everything is off."""
    country: Country | None = None
    """The client's country (`US`); needed where external transfer is on."""
    caller_id: PhoneNumber | None = None
    """The account's own number, also shown for what agents dial on their phones."""
    external_caller_id: ShownNumber | None = None
    """What an external target of a transfer sees: `account` or `caller`, whose number has to be one
    (`+` and at most 15 digits); else the account's."""
    complete_dialling: bool = False
    """Whether all phones send a number only when all of it has been dialled. Then ids and codes may
    begin with an emergency number of the country, as 1001 does where 100 is one."""


class GroupSettings(PolicySettings):
    """An agent group. ``queue`` is its queue in app_queue; None: the queue named as the group."""

    account: SectionId | None = None
    """Whose group it is."""
    queue: QueueName | None = None
    """The group's queue in `app_queue`."""
    name: Name | None = None
    """What agents see."""
    acw_seconds: Annotated[int, Field(ge=0, le=86_400)] = 0
    """After-call work: the queue's `wrapuptime`."""
    extension: Extension | None = None
    """What agents key in for the group on their phones."""
    shared_with: SectionIdList = ()
    """Other accounts whose agents may see the group and transfer calls to it."""
    pop_url: PopUrl | None = None
    """Address that a screen pop opens, e.g. `https://crm.example/{customer_id}`; in braces a key of
    the pop's data, or `id`, `caller_number`, `caller_name`, `group`."""


class KeySettings(_Section):
    """What agents press on their phones. ``transfer`` is for features.conf, see `render`."""

    transfer: KeyCode = "*7"
    """What agents press on their phones to begin a transfer; also in features.conf."""
    complete: KeyCode = "*1"
    """To complete it."""
    cancel: KeyCode = "*2"
    """To cancel it."""
    swap: KeyCode = "*3"
    """To speak with the other one."""
    conference: KeyCode = "*4"
    """To bring all together."""
    add_party: KeyCode = "*5"
    """To call a fourth party."""


class PresetSettings(_Section):
    """A number that agents may pick, associated with the group whose work it is.

    ``code`` is what they key in for it on their phones.
    """

    number: Annotated[str, Field(min_length=1, max_length=64)]
    """A number that agents of other groups than this preset's may pick."""
    group: SectionId
    """The group whose work it is."""
    name: Name | None = None
    """What agents see of it."""
    code: Extension | None = None
    """What agents key in for it on their phones."""
    shared_with: SectionIdList = ()
    """Other accounts than its group's whose agents may pick it."""


class AgentSettings(_Section):
    """What is known of an agent beforehand. Without a PIN the agent cannot log in here."""

    name: Name | None = None
    """What others see."""
    pin: SecretStr | None = None
    """For log-in at the panel and the API; without it the agent cannot."""
    pin_hash: Annotated[SecretStr, WrittenPinHash] | None = None
    """In place of the PIN: what `asterisk-avp pin-hash` printed for it."""
    interface: Interface | None = None
    """The member's interface, where the id is not part of it."""
    country: Country | None = None
    """The agent's country."""
    groups: SectionIdList = ()
    """Groups the agent belongs to also while logged out."""


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
