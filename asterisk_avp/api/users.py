"""Which agent a user of the proxy's is, with single sign-on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from asterisk_avp.core.model.world import AGENT_ID


class Users:
    """``named``: agent id to user, for the agents whose user is not their id.

    Names are compared exactly. To some identity providers, Alice and alice are two people.
    """

    def __init__(self, named: Mapping[str, str]) -> None:
        self._named = frozenset(named)
        self._agents = {user: agent for agent, user in named.items()}

    def agent(self, user: str, exists: Callable[[str], bool]) -> str | None:
        """The agent who is this user; None: nobody. ``exists``: whether an agent has that id."""
        agent = self._agents.get(user)
        if agent is None and user not in self._named and AGENT_ID.fullmatch(user):
            agent = user
        return agent if agent is not None and exists(agent) else None
