"""`/v1/agents`: agents, what they may transfer to, and their transfers."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query
from starlette.responses import Response

from asterisk_avp.api import schemas, target_schemas
from asterisk_avp.api.event_cache import Rosters
from asterisk_avp.api.http import model_response
from asterisk_avp.api.port import TransferService
from asterisk_avp.api.routes import TOKEN, AgentPath, CurrentPrincipal, only_for, responses
from asterisk_avp.api.shown import ScopedResponses
from asterisk_avp.core.model.errors import UnknownAgent
from asterisk_avp.core.model.tenants import Scope


def add_agent_routes(app: FastAPI, service: TransferService, scoped: ScopedResponses) -> None:
    def _listed(agent: str, scope: Scope) -> list[schemas.AgentOut]:
        try:
            out = schemas.agent_out(service.agent(agent))
        except UnknownAgent:
            return []
        return [out.model_copy(update={"groups": [g for g in out.groups if scope.group(g)]})]

    rosters = Rosters(lambda view: schemas.agent_out(view).model_dump(mode="json"))

    @app.get(
        "/v1/agents",
        response_model=list[schemas.AgentOut],
        responses=responses(401),
        dependencies=[TOKEN],
    )
    async def agents(
        principal: CurrentPrincipal,
        wanted: Annotated[list[str] | None, Query(alias="id", max_length=50)] = None,
    ) -> Response:
        """All agents of the same client and their states; those with the ids in ``id`` only."""
        scope = scoped.scope(principal)
        if wanted is not None:
            known = [agent for agent in dict.fromkeys(wanted) if scope.agent(agent)]
            return model_response([found for agent in known for found in _listed(agent, scope)])
        texts = [text for _, text in rosters.texts(service.roster(), scope)]
        return Response(f"[{','.join(texts)}]", media_type="application/json")

    @app.get(
        "/v1/agents/{agent_id}",
        response_model=schemas.AgentDetailOut,
        responses=responses(401, 403, 404, 422),
        dependencies=[TOKEN],
    )
    async def agent(agent_id: AgentPath, principal: CurrentPrincipal) -> schemas.AgentDetailOut:
        """One agent with their call."""
        only_for(principal, agent_id)
        return scoped.agent(principal, service.agent(agent_id))

    @app.get(
        "/v1/agents/{agent_id}/targets",
        response_model=target_schemas.TargetsOut,
        responses=responses(401, 403, 404, 422),
        dependencies=[TOKEN],
    )
    async def targets(agent_id: AgentPath, principal: CurrentPrincipal) -> Response:
        """Where this agent could transfer to now."""
        only_for(principal, agent_id)
        return model_response(target_schemas.targets_out(service.targets(agent_id)))

    @app.post(
        "/v1/agents/{agent_id}/transfers",
        status_code=201,
        response_model=schemas.TransferOut,
        responses=responses(401, 403, 404, 408, 413, 422, 503),
        dependencies=[TOKEN],
    )
    async def transfer(
        agent_id: AgentPath,
        body: schemas.TransferIn,
        principal: CurrentPrincipal,
    ) -> Response:
        """Transfer the agent's call."""
        only_for(principal, agent_id)
        view = await service.request(body.request(agent_id))
        where = {"Location": f"/v1/transfers/{view.id}"}
        return model_response(scoped.transfer(principal, view), 201, where)

    @app.get(
        "/v1/agents/{agent_id}/transfers",
        response_model=list[schemas.TransferOut],
        responses=responses(401, 403, 404, 422),
        dependencies=[TOKEN],
    )
    async def history(
        agent_id: AgentPath, principal: CurrentPrincipal
    ) -> list[schemas.TransferOut]:
        """Ended transfers of the last 24 hours that concerned this agent, the last one first.

        At most 100, and none from before the daemon was started.
        """
        only_for(principal, agent_id)
        return [scoped.transfer(principal, view) for view in service.history(agent_id)]
