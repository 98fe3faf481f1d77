"""Whether app_queue keeps after-call work in all queues of an agent (``shared_lastcall``).

app_queue offers a member no call until ``lastcall + wrapuptime`` of *that* membership. With
``shared_lastcall=yes`` the end of a call sets ``lastcall`` in all queues of the member, and
otherwise only where the call came from (app_queue.c, ``update_queue``): after a transferred call,
which the personal queue has delivered, all groups would ring at once.

``queue reload members`` switches it off in memory, whatever queues.conf says: ``reload_queues``
resets all global settings, but reads [general] again only with ``parameters`` or ``all``. Nothing
tells of it, neither an event nor an action, and a later ``queue reload all`` changes nothing until
the file has been changed. So what counts is what the memberships show after a call.

Not every membership can show it. One that is read again during a call, as any reload does with
those of queues.conf, is another one for app_queue (``reload_single_member``) and gets no
``lastcall``: after-call work is lost there, whatever the setting. One that is added after the call
has none and needs none, because a log-in ends wrap-up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from asterisk_avp.core.messages.facts import MemberSeen
from asterisk_avp.core.model.world import AgentState
from asterisk_avp.core.pbx.agent import Agent

TOLERANCE_SECONDS: Final = 1.0
"""The time of a call's end may be that of our receipt; app_queue's is in whole seconds."""


def memberships(agent: Agent) -> tuple[MemberSeen, ...]:
    """All memberships, with the personal one."""
    personal = (agent.personal,) if agent.personal is not None else ()
    return (*agent.memberships.values(), *personal)


def needs_check(agent: Agent, now: float) -> bool:
    """Whether the agent is in ACW that app_queue has to keep."""
    return agent.state is AgentState.ACW and now < agent.acw_until


def forgetful(agent: Agent, members: Iterable[MemberSeen]) -> tuple[MemberSeen, ...]:
    """The memberships that would ring the agent during ACW, by queue.

    ``members``: the memberships as Asterisk reports them after the end of the call.
    """
    ended = agent.last_call - TOLERANCE_SECONDS
    found = (m for m in members if m.last_call < ended and m.login_time < agent.last_call)
    return tuple(sorted(found, key=lambda member: member.queue))


def is_proof(agent: Agent, member: MemberSeen) -> bool:
    """Whether a forgetful membership shows that ``shared_lastcall`` is off.

    It must have been the same since before the call, or its end if no reload can replace it.
    """
    since = agent.last_call if member.dynamic else agent.call_since
    return 0 < member.login_time < since - TOLERANCE_SECONDS
