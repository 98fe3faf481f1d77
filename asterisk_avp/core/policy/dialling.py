"""What an agent may dial from their phone: manual dial outside a transfer.

The same features and number rules as for a number typed into a supervised transfer, with the
settings of the agent's first group. What was typed is only read here; what may be dialled is the
number in the answer, in E.164.

Emergency numbers stand outside all of it. They are never allowed as outside numbers, and never
refused because a feature is off or the phone is not known: the answer names the emergency number
that was dialled, and the administrator's dialplan decides what becomes of the call.
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
from asterisk_avp.core.pbx.calls import resource_of
from asterisk_avp.core.policy import needs, policy

UNKNOWN_AGENT: Final = "unknown_agent"
"""The phone is not an agent's, or its agent is in no group (yet)."""

MAX_TYPED: Final = 128
"""Characters; longer than any number that could be read."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """The question: what was typed on which channel."""

    channel: str
    """Its name."""
    typed: str
    call: str = ""
    """The channel's id."""


@dataclass(frozen=True, slots=True)
class Dial:
    """The answer to a number dialled on a phone."""

    allowed: bool
    reason: str
    """``ok``, or one of `asterisk_avp.core.policy.policy.REASONS`."""
    number: str = ""
    """E.164 where allowed; the emergency number as it is listed where ``reason`` is ``emergency``
    and nothing but that number was dialled; else empty."""
    agent: str = ""
    setting: str = ""
    """The variable (or ``default``) that decided, where it was a setting."""
    caller_id: str = ""
    """What the display of the number that is called shows, in E.164; empty: as the phone is.

    Only where allowed. An emergency call keeps the number of the phone it comes from.
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
        setting = policy.setting_against(checked, features)
        return Dial(allowed=False, reason=checked.reason, agent=agent, setting=setting)
    return Dial(
        allowed=True,
        reason="ok",
        number=checked.e164,
        agent=agent,
        setting=decided_by,
        # There is no caller whose number could be shown instead.
        caller_id=features.caller_id or "",
    )


def agent_of(channel: str, agents: Agents, world: World) -> str:
    """Whose phone it is, also before the agent has ever logged in; empty where it is nobody's."""
    known = agents.of_channel(channel)
    if known is not None:
        return known.id
    if channel.startswith("Local/"):
        return ""  # named after what was dialled, not after who dials
    identifier = agent_id_of_interface(resource_of(channel)) or ""
    configured = world.agents.get(identifier)
    # An agent with an interface of their own has a phone that is not named as they are.
    return identifier if configured is not None and not configured.interface else ""


def _emergency(typed: str, agent: str, agents: Agents, world: World) -> str:
    """The emergency number that these digits are and nothing else, or empty."""
    read = digits_of(typed)
    if read is None or read.vanity:
        return ""
    for country in _countries(agent, agents, world):
        if plan_of(country).is_emergency(read.digits):
            return read.digits
    return ""


def _countries(agent: str, agents: Agents, world: World) -> Iterator[str]:
    """Where the agent is; for a phone that is nobody's, wherever this call centre is."""
    configured = world.agents.get(agent)
    if configured is not None and configured.country:
        yield configured.country
        return
    for group in agents.groups_of(agent) or world.groups:
        country = world.groups[group].features.country
        if country is not None:
            yield country
