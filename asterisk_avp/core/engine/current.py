"""Running transfers under the settings, and with the target's state, of now."""

from __future__ import annotations

from dataclasses import replace

from asterisk_avp.core.model.features import Features
from asterisk_avp.core.model.world import Group, Mode, TransferRequest, World
from asterisk_avp.core.pbx.agents import Agents
from asterisk_avp.core.policy import policy
from asterisk_avp.core.transfer.session import Session


class CurrentSettings:
    def __init__(self, world: World, agents: Agents) -> None:
        self._world = world
        self._agents = agents
        self._reconfigured = False

    def reconfigure(self, world: World) -> None:
        self._world = world
        self._reconfigured = True

    def group(self, session: Session) -> Group:
        """The group of a running transfer as now configured; it decides what may begin.

        ``session.allow`` keeps the group as it was when the transfer was requested, because
        whatever began under those settings (a paused recording, for example) must end under them.
        """
        group = self._world.groups.get(session.group)
        # A group that is no longer configured allows nothing.
        return group or replace(session.permission.group, features=Features(session_transfer=False))

    def session(self, session: Session) -> Session:
        """The session, with ``may_detach`` as the current settings have it.

        They can differ from those at the time of the decision: after a reload, and where an
        earlier daemon took the decision. A target who has gone off-line or on a break meanwhile
        would not be offered the caller. Whether the target is still a colleague is checked only
        after a reload: after a start, some agents may not be known yet.
        """
        if not _could_detach(session):
            return session
        permission = session.permission
        may = self._may_detach(session) and not self.obstacle(session)
        if may is permission.may_detach:
            return session
        return replace(session, permission=replace(permission, may_detach=may))

    def _may_detach(self, session: Session) -> bool:
        target = session.target
        if target is None or not _could_detach(session):
            return False
        group = self.group(session)
        request = TransferRequest(session.agent, Mode.UNSUPERVISED, target)
        if not policy.permitted(group.features, request.mode, target.kind):
            return False
        return not self._reconfigured or policy.may_be_target(request, group, self._agents)

    def obstacle(self, session: Session) -> str:
        """The reason code where only the target's state is against continuing without transferor.

        Whoever is on a break or off-line would be offered no call. A consult leg that rings them
        already is another matter: they can answer it.
        """
        target = self._agents.by_id.get(session.permission.agent or "")
        if target is None or not self._may_detach(session):
            return ""
        return policy.obstacle(target)


def _could_detach(session: Session) -> bool:
    """Whether it consults an agent, and could become an unsupervised transfer to them."""
    supervised = session.mode is Mode.SUPERVISED and session.target is not None
    return supervised and session.permission.agent is not None
