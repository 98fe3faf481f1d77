"""The sections of the settings that describe the call centre: policy, groups, presets, agents.

A policy setting is None if it is not set at that level; `core.model.features` decides which level
wins. The docstring of a setting is its row in docs/configuration.md.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from asterisk_avp.config.sections import Section
from asterisk_avp.config.types import (
    Country,
    Extension,
    Interface,
    LandlineTypes,
    Name,
    PhoneList,
    PhoneNumber,
    PopUrl,
    QueueName,
    SectionId,
    SectionIdList,
    Territories,
    User,
    WrittenPinHash,
)
from asterisk_avp.core.model.features import (
    ConsultRecording,
    ExternalAccept,
    MaxHoldAction,
    ShownNumber,
)


class PolicySettings(Section):
    """The settings of the enterprise, of accounts and of groups."""

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
    landline_types: LandlineTypes | None = None
    """The types of numbers that count as land lines, of `fixed_line`, `fixed_line_or_mobile`, `uan`
    (UK 03, Swiss 058, Dutch 088, South African 0861), `voip` (French 09), `mobile`, `pager` and
    `voicemail`. Clients in the US may call all of them."""
    domestic_territories: Territories | None = None
    """The territories that count as part of their country, as country codes:
    `PR, VI, GU, MP, AS` for those of the US."""
    max_hold_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = None
    """How long a transferred call may wait for its target."""
    max_hold_action: MaxHoldAction | None = None
    """What happens to a call after that time: `hangup` (after an announcement), `return` (to the
    transferor, or else to the group) or `group`."""
    empty_group_seconds: Annotated[int, Field(ge=0, le=86_400)] | None = None
    """How long a transferred call waits in an agent group where nobody could take it any more,
    before it takes that action. 0: not at all. The maximum hold time still applies."""
    show_withheld: bool | None = None
    """Whether agents, screen pops and integrations are told the number and the name of a caller who
    withholds them. External targets never are."""
    external_accept: ExternalAccept | None = None
    """What an external target must do after answering: `none`, or `press1` (press 1 when asked)."""
    consult_recording: ConsultRecording | None = None
    """What a recording of the caller's channel (MixMonitor) contains during a consultation:
    `continue`, the music, or `pause`, silence. With `restart`, the transfer is in another file."""


class EnterpriseSettings(PolicySettings):
    pass


class AccountSettings(PolicySettings):
    name: Name | None = None
    """The account's name, for readers of the settings."""
    contracted: bool | None = None
    """Whether the account's contract includes session transfer. Otherwise everything is off."""
    country: Country | None = None
    """The client's country (`US`). Required if external transfer is on."""
    caller_id: PhoneNumber | None = None
    """The account's number. External targets see it, and so does everybody whom agents call from
    their phones."""
    external_caller_id: ShownNumber | None = None
    """Which number an external target of a transfer sees: `account` or `caller`. A caller's number
    that is not `+` and at most 15 digits is replaced by the account's number. So is one that the
    caller withholds; the trunk is asked to show none."""
    complete_dialling: bool = False
    """Whether all phones send a number only when it is complete. Then ids and codes may begin with
    an emergency number of the country, as 1001 does where 100 is one."""


class GroupSettings(PolicySettings):
    """An agent group. ``queue``: its queue in app_queue; None: the queue with the group's id."""

    account: SectionId | None = None
    """The account that the group belongs to."""
    queue: QueueName | None = None
    """The group's queue in `app_queue`."""
    name: Name | None = None
    """The group's name, as agents see it."""
    acw_seconds: Annotated[int, Field(ge=0, le=86_400)] = 0
    """After-call work, in seconds: the queue's `wrapuptime`."""
    extension: Extension | None = None
    """The number that agents dial on their phones to transfer a call to the group."""
    shared_with: SectionIdList = ()
    """Other accounts whose agents may see the group and transfer calls to it."""
    pop_url: PopUrl | None = None
    """The address that a screen pop opens, e.g. `https://crm.example/{customer_id}`. In braces: a
    key of the pop's data, or `id`, `caller_number`, `caller_name`, `group`."""


class PresetSettings(Section):
    """A number that agents may select, associated with a group."""

    number: Annotated[str, Field(min_length=1, max_length=64)]
    """The preset's external number. Agents of groups other than the preset's own may select it."""
    group: SectionId
    """The group that the preset belongs to."""
    name: Name | None = None
    """The preset's name, as agents see it."""
    code: Extension | None = None
    """The code that agents dial on their phones to transfer a call to the preset."""
    shared_with: SectionIdList = ()
    """Other accounts whose agents may select the preset."""


class AgentSettings(Section):
    """An agent's settings. Agents without an entry come from the queues."""

    name: Name | None = None
    """The agent's name, as others see it."""
    pin: SecretStr | None = None
    """The PIN for the panel and the API. Without it the agent cannot log in."""
    pin_hash: Annotated[SecretStr, WrittenPinHash] | None = None
    """The PIN's hash, as `asterisk-avp pin-hash` prints it, instead of the PIN."""
    user: User | None = None
    """The agent's name in `AVP_PANEL__USER_HEADER`, if it is not the id. Written exactly as the
    header has it."""
    interface: Interface | None = None
    """The queue member's interface, if it does not contain the id."""
    phones: PhoneList = ()
    """Phones of the agent that Asterisk cannot tell, separated by commas: `PJSIP/1001`. Those of
    the member's hint, and FreePBX's devices of the user, are found."""
    country: Country | None = None
    """The agent's country."""
    groups: SectionIdList = ()
    """The groups that the agent belongs to, even while logged out."""
    node: SectionId | None = None
    """The node where the agent's phone is registered, if there are several. Without it, the node
    where the agent is logged in."""
