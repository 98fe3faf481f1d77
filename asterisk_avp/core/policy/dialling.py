"""The check of numbers that agents dial on their phones, outside a transfer.

The features and number rules are those of a number typed into a supervised transfer, with the
settings of the agent's first group. The dialplan dials the E.164 number of the result, never the
text that was typed.

Emergency numbers are exempt. They are never allowed as external numbers, and never refused because
a feature is off or the phone is unknown: the result names the emergency number that was dialled,
and the administrator's dialplan routes the call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from asterisk_avp.core.model.errors import Refused
from asterisk_avp.core.model.world import World, agent_id_of_interface
from asterisk_avp.core.numbers.parse import digits_of
from asterisk_avp.core.numbers.plans import plan_of
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.pbx.channel import resource_of
from asterisk_avp.core.policy import needs, policy

UNKNOWN_AGENT: Final = "unknown_agent"
"""The phone is not an agent's, or its agent is not (yet) in a group."""

MAX_TYPED: Final = 128
"""Characters; longer than any number that can be parsed."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """A number to check: what was typed on which channel."""

    channel: str
    """The channel's name."""
    typed: str
    call: str = ""
    """The channel's id."""


@dataclass(frozen=True, slots=True)
class Dial:
    """The decision about a number dialled on a phone."""

    allowed: bool
    reason: str
    """``ok``, or one of `asterisk_avp.core.policy.policy.REASONS`."""
    number: str = ""
    """E.164 where allowed; the emergency number as listed where ``reason`` is ``emergency`` and
    exactly that number was dialled; otherwise empty."""
    agent: str = ""
    setting: str = ""
    """The variable (or ``default``) that decided, where a setting did."""
    caller_id: str = ""
    """The caller ID to present, in E.164; empty: the phone's own.

    Set only where allowed. An emergency call keeps the number of its phone.
    """


def check_dial(channel: str, typed: str, agents: Agents, world: World) -> Dial:
    """Decide about ``typed``, dialled on the channel of that name."""
    agent = agent_of(channel, agents, world)
    if len(typed) > MAX_TYPED:
        return Dial(allowed=False, reason="invalid_format", agent=agent)
    emergency = _emergency(typed, agent, agents, world)
    if emergency:
        return Dial(allowed=False, reason="emergency", number=emergency, agent=agent)
    group = next(iter(agents.groups_of(agent)), None) if agent else None
    if group is None:
        return Dial(allowed=False, reason=UNKNOWN_AGENT, agent=agent)
    features = world.groups[group].features
    try:
        decided_by = policy.check_features(needs.DIAL, features)
    except Refused as off:
        return Dial(allowed=False, reason=off.reason, agent=agent, setting=off.setting)
    checked = policy.check_number(typed, agent, features, world)
    if not checked.allowed or checked.e164 is None:
        setting = policy.deciding_setting(checked, features)
        return Dial(allowed=False, reason=checked.reason, agent=agent, setting=setting)
    return Dial(
        allowed=True,
        reason="ok",
        number=checked.e164,
        agent=agent,
        setting=decided_by,
        # EXTERNAL_CALLER_ID=caller does not apply: there is no caller.
        caller_id=features.caller_id or "",
    )


def agent_of(channel: str, agents: Agents, world: World) -> str:
    """The agent whose phone a channel is, even before their first login; empty: no agent's."""
    known = agents.of_channel(channel)
    if known is not None:
        return known.id
    if channel.startswith("Local/"):
        return ""  # named after the dialled extension, not after the phone
    identifier = agent_id_of_interface(resource_of(channel)) or ""
    configured = world.agents.get(identifier)
    # The phone of an agent with a configured interface is not named after the agent.
    return identifier if configured is not None and not configured.interface else ""


def _emergency(typed: str, agent: str, agents: Agents, world: World) -> str:
    """The emergency number that ``typed`` is exactly; empty: none."""
    read = digits_of(typed)
    if read is None or read.vanity or read.slashes:
        return ""
    for country in _countries(agent, agents, world):
        if plan_of(country).is_emergency(read.digits):
            return read.digits
    return ""


def _countries(agent: str, agents: Agents, world: World) -> Iterator[str]:
    """The agent's country; for a phone of no agent, the countries of all groups."""
    configured = world.agents.get(agent)
    if configured is not None and configured.country:
        yield configured.country
        return
    for group in agents.groups_of(agent) or world.groups:
        country = world.groups[group].features.country
        if country is not None:
            yield country
