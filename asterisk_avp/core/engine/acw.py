"""Change what the engine knows of an agent's work (`core.engine.work` decides what may change)."""

from __future__ import annotations

from asterisk_avp.core.engine import work
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.facts import MemberSeen
from asterisk_avp.core.model.world import AgentState


def extend(engine: TransferEngine, agent_id: str, seconds: int, now: float) -> Outcome:
    """Extend an agent's after-call work. Raises `UnknownAgent`, `WrongState` or `Refused`.

    Asterisk must make the changes in their order: the personal queue keeps the end for the next
    daemon, so it is first.
    """
    end, pauses = work.extended_acw(engine.agents, agent_id, seconds, now)
    agent, outcome = engine.agents.by_id[agent_id], Outcome()
    agent.extended_until = end
    engine.member_changed(agent, now, outcome)
    outcome.effects.extend((None, effect) for effect in pauses)
    return outcome


def kept(engine: TransferEngine, agent_id: str, now: float) -> Outcome:
    """Keep an agent's after-call work, which app_queue would not (`core.pbx.shared_lastcall`).

    By the pauses of an extension that ends when app_queue's wrap-up should have ended.
    """
    agent, outcome = engine.agents.by_id.get(agent_id), Outcome()
    if agent is None or agent.state is not AgentState.ACW or now >= agent.acw_until:
        return outcome
    if agent.extended_until >= agent.acw_until:
        return outcome
    pauses = work.acw_pauses(agent)
    agent.extended_until = agent.acw_until
    engine.member_changed(agent, now, outcome)
    outcome.effects.extend((None, effect) for effect in pauses)
    return outcome


def not_extended(engine: TransferEngine, agent_id: str, until: float, now: float) -> Outcome:
    """Asterisk has not made an extension's changes: it ends at ``until`` as before (0: none)."""
    agent, outcome = engine.agents.by_id[agent_id], Outcome()
    agent.extended_until = until
    engine.member_changed(agent, now, outcome)
    return outcome


def end_asked(engine: TransferEngine, agent_id: str) -> None:
    """Asterisk is about to make the end of an agent's ACW: by several changes, each confirmed.

    Until `end_answered`, the confirmation of one does not take back another.
    """
    engine.agents.by_id[agent_id].acw_ending = True


def end_answered(engine: TransferEngine, agent_id: str, now: float) -> Outcome:
    """It has made them, or refused one: what has not been made stays as it was."""
    agent, outcome = engine.agents.by_id.get(agent_id), Outcome()
    if agent is not None:
        agent.acw_ending = False
        engine.member_changed(agent, now, outcome)
    return outcome


def ended(
    engine: TransferEngine, agent_id: str, now: float, *, extension_only: bool = False
) -> Outcome:
    """The agent has ended their after-call work, or a pause has taken its extension's place."""
    agent, outcome = engine.agents.by_id[agent_id], Outcome()
    agent.extended_until = 0.0
    if not extension_only:
        agent.acw_until, agent.acw_ended_call = 0.0, agent.last_call
    engine.member_changed(agent, now, outcome)
    return outcome


def logged_out(engine: TransferEngine, agent_id: str, member: MemberSeen) -> None:
    """The agent logs out of a queue by the daemon, and so may log in again as this member."""
    engine.agents.by_id[agent_id].left[member.queue] = member
