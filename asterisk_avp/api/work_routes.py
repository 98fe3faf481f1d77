"""Agents' own work: pauses, after-call work, and their groups."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Path

from asterisk_avp.api import schemas
from asterisk_avp.api.auth import Principal
from asterisk_avp.api.port import TransferService
from asterisk_avp.api.routes import TOKEN, AgentPath, CurrentPrincipal, only_for, responses
from asterisk_avp.api.shown import ScopedResponses
from asterisk_avp.api.work_schemas import (
    AcwIn,
    OwnGroupOut,
    PauseIn,
    ReadyIn,
    group_out,
    own_part,
)
from asterisk_avp.core.engine import work

GroupPath = Annotated[str, Path(max_length=80)]
_CHANGES = responses(401, 403, 404, 409, 408, 413, 422, 503)


def add_work_routes(app: FastAPI, service: TransferService, scoped: ScopedResponses) -> None:
    @app.post(
        "/v1/agents/{agent_id}/pause",
        response_model=schemas.AgentDetailOut,
        responses=_CHANGES,
        dependencies=[TOKEN],
    )
    async def pause(
        agent_id: AgentPath, principal: CurrentPrincipal, body: PauseIn | None = None
    ) -> schemas.AgentDetailOut:
        """Offer this agent no calls after the present one, or change the reason of a pause.

        The new state follows as an event.
        """
        only_for(principal, agent_id)
        reason = body.reason if body is not None else ""
        _check_reason(principal, reason, service)
        return scoped.agent(principal, await service.pause(agent_id, reason))

    @app.post(
        "/v1/agents/{agent_id}/ready",
        response_model=schemas.AgentDetailOut,
        responses=_CHANGES,
        dependencies=[TOKEN],
    )
    async def ready(
        agent_id: AgentPath, principal: CurrentPrincipal, body: ReadyIn | None = None
    ) -> schemas.AgentDetailOut:
        """Offer this agent calls again: end a pause, and after-call work.

        After-call work can be ended where all memberships of the agent are dynamic; otherwise this
        is refused (`static_member`) unless there is a pause or an extension to end. The new state
        follows as an event.
        """
        only_for(principal, agent_id)
        keep_acw = body is not None and body.keep_acw
        return scoped.agent(principal, await service.ready(agent_id, keep_acw=keep_acw))

    @app.post(
        "/v1/agents/{agent_id}/acw",
        response_model=schemas.AgentDetailOut,
        responses=_CHANGES,
        dependencies=[TOKEN],
    )
    async def extend_acw(
        agent_id: AgentPath, principal: CurrentPrincipal, body: AcwIn | None = None
    ) -> schemas.AgentDetailOut:
        """Extend this agent's after-call work."""
        only_for(principal, agent_id)
        seconds = (body or AcwIn()).extend_seconds
        return scoped.agent(principal, await service.extend_acw(agent_id, seconds))

    @app.post(
        "/v1/agents/{agent_id}/groups/{group_id}/login",
        response_model=schemas.AgentDetailOut,
        responses=responses(401, 403, 404, 422, 503),
        dependencies=[TOKEN],
    )
    async def log_in(
        agent_id: AgentPath, group_id: GroupPath, principal: CurrentPrincipal
    ) -> schemas.AgentDetailOut:
        """Log this agent in to one of their groups. The new state follows as an event."""
        only_for(principal, agent_id)
        return scoped.agent(principal, await service.log_in(agent_id, group_id))

    @app.post(
        "/v1/agents/{agent_id}/groups/{group_id}/logout",
        response_model=schemas.AgentDetailOut,
        responses=responses(401, 403, 404, 422, 503),
        dependencies=[TOKEN],
    )
    async def log_out(
        agent_id: AgentPath, group_id: GroupPath, principal: CurrentPrincipal
    ) -> schemas.AgentDetailOut:
        """Log this agent out of a group. A call that they have goes on."""
        only_for(principal, agent_id)
        return scoped.agent(principal, await service.log_out(agent_id, group_id))

    @app.get(
        "/v1/groups",
        response_model=list[OwnGroupOut],
        responses=responses(401),
        dependencies=[TOKEN],
    )
    async def groups(principal: CurrentPrincipal) -> list[OwnGroupOut]:
        """The agent's own groups, or all for an integration: who works in them, and who waits."""
        return [OwnGroupOut.model_validate(group) for group in groups_of(service, principal)]


def groups_of(service: TransferService, principal: Principal) -> list[dict[str, object]]:
    """The groups that a principal is told of, as JSON."""
    agent = principal.agent
    return [
        group_out(view)
        | own_part(service.membership(agent, view.id) if agent is not None else None)
        for view in service.groups(agent)
    ]


def _check_reason(principal: Principal, reason: str, service: TransferService) -> None:
    rules = service.work_rules()
    if principal.agent is None or rules.other_pause_reasons:
        return
    if reason not in rules.pause_reasons:
        raise work.refused("pause_reason_not_allowed")
