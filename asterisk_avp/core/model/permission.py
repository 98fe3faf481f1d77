"""The policy's permission, and the only thing a leg can be dialled from."""

from __future__ import annotations

from dataclasses import dataclass

from asterisk_avp.core.model.features import ExternalAccept
from asterisk_avp.core.model.world import Group


@dataclass(frozen=True, slots=True)
class Permission:
    """A transfer that may happen. Made by `policy.decide` and nowhere else.

    Exactly one of ``queue`` and ``number`` is set; neither while the agent is still keying in
    where to, and then there is nothing to be dialled.
    """

    group: Group
    """The call's group, whose settings decided."""
    queue: str | None = None
    """The queue that the call, or the consult leg, enters: a personal one or a group's."""
    agent: str | None = None
    """The agent whose personal queue that is."""
    number: str | None = None
    """The external number, in E.164; canonical, never the text that was typed."""
    may_detach: bool = False
    """It may go on without agent 1, as an unsupervised transfer to the same target."""
    setting: str = ""
    """Where the setting that decided came from."""

    @property
    def to_accept(self) -> bool:
        """Whether an external party must accept the call with a key after answering it."""
        wanted = self.group.features.external_accept is ExternalAccept.PRESS1
        return self.number is not None and wanted

    @property
    def endpoint(self) -> str:
        """What ARI dials for a consult."""
        if self.number is not None:
            return f"Local/{self.number}@avp-external-leg"
        if self.agent is None:
            raise ValueError("nothing that could be dialled has been allowed")
        return f"Local/{self.agent}@avp-agent-queue"
