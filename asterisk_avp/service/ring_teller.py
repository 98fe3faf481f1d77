"""At home: tells the anchor of a call whose phone rings for it, and who has answered it.

The anchor has the screen pop. Of a call to a group it cannot know otherwise who the agent is. That
a phone rings it learns from SIP, too, but a provisional response that is lost is not sent again
(RFC 3261, 13.3.1.1).
"""

from __future__ import annotations

from dataclasses import replace

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import between
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.remote import NodeCall
from asterisk_avp.core.pbx.channel import resource_of_interface
from asterisk_avp.service.inbox import Message
from asterisk_avp.service.node_teller import Teller
from asterisk_avp.service.part import Part


class RingTeller(Part):
    hears = (ev.AgentRung, ev.AgentUnanswered, ev.AgentRingEnded, ev.AgentConnected)

    def __init__(self, engine: TransferEngine, teller: Teller) -> None:
        self._engine = engine
        self._trunks = engine.elsewhere.trunks
        self._teller = teller

    def handle(self, message: Message) -> None:
        match message:
            case (
                ev.AgentRung(channel=channel, interface=interface)
                | ev.AgentUnanswered(channel=channel, interface=interface)
                | ev.AgentRingEnded(channel=channel, interface=interface)
                | ev.AgentConnected(channel=channel, interface=interface)
            ):
                call = self._trunks.calls.get(channel)
                agent = self._engine.agents.of_channel(resource_of_interface(interface))
                if call is None or agent is None:
                    return
                if isinstance(message, ev.AgentConnected):
                    self._answered(call, agent.id)
                else:
                    self._rings(call, agent.id, rings=isinstance(message, ev.AgentRung))

    def _rings(self, call: NodeCall, agent: str, *, rings: bool) -> None:
        about = ("ring", call.channel, agent)
        body = between.ring_body(agent, rings=rings, consult=call.leg == "consult")
        self._teller.tell(call.anchor, about, f"{call.transfer}/rings", body)

    def _answered(self, call: NodeCall, agent: str) -> None:
        if call.agent:
            return
        self._trunks.call(replace(call, agent=agent))
        about = ("answered", call.channel)
        path = f"{call.transfer}/answered"
        self._teller.tell(call.anchor, about, path, between.answered_body(agent))
