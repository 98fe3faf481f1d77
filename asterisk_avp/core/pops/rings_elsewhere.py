"""Whose phones on other nodes ring for callers of this one, for their screen pops. Pure.

That the phone of a transfer's target rings is told by our Dial(), also while the other daemon is
away. Which phone of a group rings, and that a ring is over, is told by the other daemon only.
"""

from __future__ import annotations

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.remote import RemoteEnded, RemoteRing
from asterisk_avp.core.pops.queued_calls import QueuedCalls
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.core.transfer.spec import Place


def observe(engine: TransferEngine, queued: QueuedCalls, fact: ev.Fact) -> set[str]:
    """Note a fact; return the agents whom it changes."""
    match fact:
        case RemoteRing(consult=True):
            return set()  # the target of a consultation has no pop
        case RemoteRing(call, agent, rings):
            return _ring(queued, agent, call) if rings else queued.stop_ringing(call, agent)
        case ev.DialProgress(channel=call, status="RINGING"):
            return _ring(queued, _target(engine, call), call)
        case ev.DialProgress(channel=call, status="ANSWER"):
            agent = _target(engine, call)
            if agent:
                queued.connect(agent, call)
            return {agent} - {""} | (queued.stop_ringing(call) if agent else set())
        case RemoteEnded(call):
            return queued.stop_ringing(call)
        case _:
            return set()


def waiting(engine: TransferEngine) -> set[str]:
    """The callers who wait in other nodes' queues."""
    return {
        session.caller.channel for session in engine.store.sessions() if _waits_elsewhere(session)
    }


def _ring(queued: QueuedCalls, agent: str, call: str) -> set[str]:
    if agent:
        queued.ring(agent, call)
    return {agent} - {""}


def _target(engine: TransferEngine, call: str) -> str:
    """The agent of another node to whom the caller is being transferred; empty: none."""
    found = engine.store.role_of(call)
    if found is None or found[1] != "caller" or not found[0].permission.node:
        return ""
    return found[0].permission.agent or "" if _waits_elsewhere(found[0]) else ""


def _waits_elsewhere(session: Session) -> bool:
    return session.permission.by_trunk and session.state.spec.caller.place is Place.QUEUE
