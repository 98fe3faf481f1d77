"""Responses restricted to what the principal may see."""

from __future__ import annotations

from asterisk_avp.api import schemas
from asterisk_avp.api.auth import Principal
from asterisk_avp.api.clients import Scopes, agent_for, scope_of, transfer_for
from asterisk_avp.api.visibility import as_seen_by
from asterisk_avp.core.model.tenants import Scope
from asterisk_avp.core.model.world import AgentView, TransferView


class ScopedResponses:
    def __init__(self, scopes: Scopes) -> None:
        self._scopes = scopes

    def scope(self, principal: Principal) -> Scope:
        """The principal's scope."""
        return scope_of(principal, self._scopes)

    def transfer(self, principal: Principal, view: TransferView) -> schemas.TransferOut:
        """A transfer that involves the principal."""
        out = schemas.transfer_out(as_seen_by(principal, view))
        scope = self.scope(principal)
        if scope.unrestricted:
            return out
        return schemas.TransferOut.model_validate(transfer_for(out.model_dump(mode="json"), scope))

    def agent(self, principal: Principal, view: AgentView) -> schemas.AgentDetailOut:
        """The agent that the principal is, or may act for."""
        out = schemas.agent_detail_out(view)
        scope = self.scope(principal)
        if scope.unrestricted:
            return out
        return schemas.AgentDetailOut.model_validate(agent_for(out.model_dump(mode="json"), scope))
