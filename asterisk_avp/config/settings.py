"""The settings that an administrator writes, checked and frozen.

`Settings.load` reads the environment, `.env` and the TOML file (see `config.sources`). It returns
usable settings, or raises one `ConfigError` that names every variable at fault. Secrets are
`SecretStr` and never appear in a message.

Units are in the names. A policy setting is None if it is not set at that level; `asterisk_avp.core`
decides which level wins, except for the maximum hold, which `world` resolves here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self

from pydantic import Field, PrivateAttr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from asterisk_avp.config.call_centre import (
    AccountSettings,
    AgentSettings,
    EnterpriseSettings,
    GroupSettings,
    PolicySettings,
    PresetSettings,
)
from asterisk_avp.config.cluster import ClusterSettings, NodeSettings
from asterisk_avp.config.panel import PanelSettings
from asterisk_avp.config.secret_files import Path_
from asterisk_avp.config.sections import (
    AgiSettings,
    AmiSettings,
    ApiSettings,
    AriSettings,
    KeySettings,
    LogSettings,
    PopSettings,
    SessionSettings,
    WebhookSettings,
)
from asterisk_avp.config.sources import Inputs, read_inputs, variable
from asterisk_avp.config.standby import StandbySettings
from asterisk_avp.config.types import AgentId, SectionId
from asterisk_avp.core.model.features import DEFAULT, Features, Level, resolve
from asterisk_avp.core.model.nodes import NODE_ENDPOINT_PREFIX, Node
from asterisk_avp.core.model.work import WorkRules
from asterisk_avp.core.model.world import ConfiguredAgent, Group, Preset, World
from asterisk_avp.core.phone.keypad import KeyCodes

_inputs: ContextVar[Inputs | None] = ContextVar("_inputs", default=None)


class _TreeSource(PydanticBaseSettingsSource):
    """Provides the tree that was read from all sources."""

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
    panel: PanelSettings = PanelSettings()
    log: LogSettings = LogSettings()
    session: SessionSettings = SessionSettings()
    pop: PopSettings = PopSettings()
    webhook: WebhookSettings = WebhookSettings()
    keys: KeySettings = KeySettings()
    standby: StandbySettings = StandbySettings()
    cluster: ClusterSettings = ClusterSettings()
    nodes: Mapping[SectionId, NodeSettings] = Field(default_factory=dict)
    enterprise: EnterpriseSettings = EnterpriseSettings()
    accounts: Mapping[SectionId, AccountSettings] = Field(default_factory=dict)
    groups: Mapping[SectionId, GroupSettings] = Field(default_factory=dict)
    presets: Mapping[SectionId, PresetSettings] = Field(default_factory=dict)
    agents: Mapping[AgentId, AgentSettings] = Field(default_factory=dict)

    _names: Mapping[Path_, str] = PrivateAttr(default_factory=dict)
    """The origin of each value: the variable, or the place in a file."""
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
        # pydantic's own sources lose the case of ids and ignore unknown names.
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

        ``connect``: require Asterisk's credentials and at least one group, which the daemon needs
        and `render` does not. ``whole``: an untrusted `.env` is an error, as for the daemon,
        instead of an entry of `ignored`. Raises `ConfigError` with one line for each variable or
        file at fault.
        """
        # Imported here because the checks need these classes.
        from asterisk_avp.config.checks import checked  # noqa: PLC0415

        inputs = read_inputs(
            os.environ if environ is None else environ,
            Path.cwd() if directory is None else directory,
        )
        return checked(cls, inputs, connect=connect, whole=whole)

    @classmethod
    def of(cls, inputs: Inputs) -> Self:
        """Settings from ``inputs`` only. Raises pydantic's `ValidationError`."""
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
        """A sentence for each existing file that was ignored."""
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
                    phones=agent.phones,
                    node=agent.node,
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
            work=WorkRules(
                self.panel.pause_reasons,
                self.panel.other_pause_reasons,
                self.panel.acw_extension_seconds,
            ),
            node=self.cluster.node or "",
            nodes={
                identifier: Node(identifier, node.endpoint or NODE_ENDPOINT_PREFIX + identifier)
                for identifier, node in sorted(self.nodes.items())
                if self.cluster.node is not None
            },
        )

    def key_codes(self) -> KeyCodes:
        return KeyCodes(**self.keys.model_dump())

    def features(self, group_id: str) -> Features:
        """The effective settings of a group, with the origin of each."""
        return resolve(self.levels(group_id))

    def levels(self, group_id: str) -> tuple[Level, ...]:
        """The explicit settings of the group, its account and the enterprise, nearest first."""
        group = self.groups[group_id]
        found = [self._level(group, "groups", group_id)]
        if group.account is not None and group.account in self.accounts:
            account = self.accounts[group.account]
            found.append(self._level(account, "accounts", group.account))
        found.append(self._level(self.enterprise, "enterprise"))
        return tuple(found)

    def origin(self, path: Path_) -> str:
        """The origin of a value: a variable, a file, or ``default``."""
        return self._names.get(path, DEFAULT)

    def _level(self, policy: PolicySettings, *section: str) -> Level:
        names = [*PolicySettings.model_fields]
        if isinstance(policy, AccountSettings):
            names += ["contracted", "country", "caller_id", "external_caller_id"]
        values = {name: getattr(policy, name) for name in names}
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
