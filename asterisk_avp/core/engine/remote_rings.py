"""The end of a ring without an answer, where the transfer's target rings on another node.

That a phone there rings is told by SIP; that it has stopped is not, because the target's queue
rings again. The directory tells it: whoever rang does so no more, and has no call. The next ring
is told by SIP again.
"""

from __future__ import annotations

from typing import Final

from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.model.world import AgentState, PartyState, TargetKind
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.core.transfer.spec import Place

_ANSWERED: Final = AgentState.TALKING
"""Who has answered: the answer itself comes by SIP, perhaps a moment later."""


def stopped(before: AgentState, now: AgentState) -> bool:
    """Whether an agent's phone rang, and has stopped without an answer."""
    return before is AgentState.RINGING and now not in (AgentState.RINGING, _ANSWERED)


def ring_ended(
    agents: Agents, store: SessionStore, agent_id: str, now: float, outcome: Outcome
) -> None:
    """The agent's phone has stopped ringing: what rang there waits again."""
    for session in store.sessions():
        if _rings(session) and _concerns(agents, session, agent_id):
            store.apply(session.id, SessionEvent(EventType.UNANSWERED), now, outcome)


def _rings(session: Session) -> bool:
    """Whether the caller waits in other nodes' queues, and somebody is rung for them."""
    spec = session.state.spec
    waits = spec.caller.place is Place.QUEUE and session.permission.by_trunk
    return waits and spec.target.shown is PartyState.RINGING


def _concerns(agents: Agents, session: Session, agent_id: str) -> bool:
    """Whether nobody rings for this transfer any more, since this agent does not."""
    target = session.target
    if target is None or target.kind is not TargetKind.GROUP:
        return session.permission.agent == agent_id
    members = agents.in_group(target.value)
    others = any(x.state is AgentState.RINGING for x in members if x.id != agent_id)
    return not others and any(x.id == agent_id for x in members)
