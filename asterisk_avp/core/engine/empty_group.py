"""A transferred caller who waits in a group that nobody could take the call in any more.

The last member may log out, go on a break or lose their phone after the call has moved. Whether
the group's queue then sends its callers away is the administrator's choice for all of them
(``leavewhenempty``); a transferred call follows its own rule (``EMPTY_GROUP_SECONDS``), as it does
for entering (`core.pbx.staffing`). app_queue ends the wait itself, so that it cannot do so once the
call is answered (app_queue.c, ``request_withdraw_caller_from_queue``). The dialplan then does what
it does when the maximum hold time is over.
"""

from __future__ import annotations

from typing import Final

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages.effects import Destination, Redirect, WithdrawCaller
from asterisk_avp.core.model.world import Group, PartyState, TargetKind
from asterisk_avp.core.pbx.headcount import serves
from asterisk_avp.core.pbx.staffing import staffing
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.core.transfer.spec import Place

WITHDRAWN: Final = Destination("avp-recall", "withdrawn")


def waits_in_a_group(session: Session) -> bool:
    """Whether the caller waits in a group's queue, also while it rings somebody."""
    target = session.target
    in_queue = session.state.spec.caller.place is Place.QUEUE
    return in_queue and target is not None and target.kind is TargetKind.GROUP


def seconds_left(engine: TransferEngine, session_id: str) -> int | None:
    """How long the caller may go on waiting, from when the group became empty.

    None: somebody could take the call, or the caller does not wait in a group.
    """
    session = _session(engine, session_id)
    group = _target(engine, session) if session is not None else None
    if session is None or group is None:
        return None
    if not staffing(engine.agents, group, session.agent).obstacle:
        return None
    if session.permission.trunks and _serves_unseen(engine, group, session.agent):
        return None
    own = engine.world.groups.get(session.group) or session.permission.group
    return own.features.empty_group_seconds


def withdrawal(engine: TransferEngine, session_id: str) -> WithdrawCaller | Redirect | None:
    """The effect that ends the wait; None: somebody could take the call, or a phone rings."""
    session = _session(engine, session_id)
    group = _target(engine, session) if session is not None else None
    if session is None or group is None or seconds_left(engine, session_id) is None:
        return None
    if session.state.spec.target.shown is PartyState.RINGING:
        return None  # whoever is rung may still answer
    caller = session.caller.channel
    # In a group that spans nodes, a channel of its own waits in each node's queue.
    spans = bool(session.permission.trunks)
    return Redirect(caller, WITHDRAWN) if spans else WithdrawCaller(group.queue, caller)


def _serves_unseen(engine: TransferEngine, group: Group, transferor: str) -> bool:
    """Whether a node of which only the heartbeats are missing may still offer somebody the call.

    Its agents are no targets meanwhile, but its queue serves them, as before. Where the trunk is
    lost, `core.engine.remote_calls` ends the wait.
    """
    for agent in engine.agents.in_group(group.id):
        told = agent.remote
        if told is None or told.reachable or told.cut or agent.id == transferor:
            continue
        if serves(told, group.id):
            return True
    return False


def _session(engine: TransferEngine, session_id: str) -> Session | None:
    record = engine.store.records.get(session_id)
    return record.session if record is not None else None


def _target(engine: TransferEngine, session: Session) -> Group | None:
    if session.target is None or not waits_in_a_group(session):
        return None
    return engine.world.groups.get(session.target.value)
