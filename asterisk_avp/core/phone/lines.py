"""The agent and the call of a phone's channel, and the target that digits name. Pure."""

from __future__ import annotations

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.model.world import Group, Target, TargetKind, agent_id_of_interface
from asterisk_avp.core.numbers.emergency import found_in
from asterisk_avp.core.pbx.agent import Agent
from asterisk_avp.core.pbx.channel import Call, resource_of
from asterisk_avp.core.phone.dial_codes import resolve
from asterisk_avp.core.transfer.session import Session


class PhoneLines:
    def __init__(self, engine: TransferEngine) -> None:
        self._engine = engine

    def agent_of(self, channel: str) -> Agent | None:
        """The agent whose phone a channel is; None: no agent's."""
        seen = self._engine.calls.channels.get(channel)
        if seen is None:
            return None
        elsewhere = self._engine.elsewhere.trunks.agent_of(channel)
        if elsewhere:  # the trunk's channel stands for an agent of another node
            return self._engine.agents.by_id.get(elsewhere)
        known = self._engine.agents.of_channel(seen.name)
        # The phone behind a member Local/1001@agents has a channel name of its own.
        return known or self._engine.agents.by_id.get(
            agent_id_of_interface(resource_of(seen.name)) or ""
        )

    def call_of(self, channel: str) -> Call | None:
        """The call of the phone behind this channel; None: no call."""
        agent = self.agent_of(channel)
        for call in self._engine.calls_of(agent) if agent is not None else ():
            if channel == call.agent_channel or self._is_behind(channel, call.agent_channel):
                return call
        return None

    def _is_behind(self, phone: str, half: str) -> bool:
        """Whether ``phone`` is in a bridge with the other half of this Local channel."""
        calls = self._engine.calls
        name = calls.channels[half].name
        if not name.endswith(";1"):
            return False
        return any(other.name == name[:-1] + "2" for other in calls.in_same_bridge(phone))

    def name_of(self, channel: str) -> str:
        return self._engine.calls.name_of(channel)

    def session_of_transferor(self, channel: str) -> Session | None:
        found = self._engine.store.role_of(channel)
        return found[0] if found is not None and found[1] == "transferor" else None

    def resolve(self, text: str, agent: str, group: Group | None) -> Target:
        """The target that ``text`` names for this agent with a call of ``group``."""
        configured = self._engine.world.agents.get(agent)
        of_agent = configured.country if configured is not None else None
        countries = {of_agent, group.features.country if group is not None else None} - {None}
        emergency = found_in(text, filter(None, countries))
        if emergency is not None:
            # The settings reject such ids, but a queue may have a member with such an interface.
            return Target(TargetKind.NUMBER, text)
        scope = self._engine.agents.tenants.of_call(agent, group)
        return resolve(text, self._engine.agents, self._engine.world, scope)
