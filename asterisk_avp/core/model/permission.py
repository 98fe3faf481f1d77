"""The policy's permission, without which no leg can be dialled."""

from __future__ import annotations

from dataclasses import dataclass

from asterisk_avp.core.model.features import ExternalAccept
from asterisk_avp.core.model.world import Group


@dataclass(frozen=True, slots=True)
class Permission:
    """A permitted transfer. Only `core.policy.policy` creates one.

    Exactly one of ``queue`` and ``number`` is set, or neither while the transferor is still keying
    in the target; then nothing can be dialled.
    """

    group: Group
    """The call's group, whose settings applied."""
    queue: str | None = None
    """The queue that the call or the consult leg enters: an agent's personal queue or a group's."""
    agent: str | None = None
    """The agent whose personal queue ``queue`` is."""
    number: str | None = None
    """The external number in E.164, never the text that was typed."""
    may_detach: bool = False
    """It may continue without the transferor, as an unsupervised transfer to the same target."""
    setting: str = ""
    """The origin of the setting that decided."""
    node: str = ""
    """The node that the agent is at home on; empty: this one."""
    trunk: str = ""
    """The PJSIP endpoint of the trunk to that node; set exactly where ``node`` is."""
    trunks: tuple[str, ...] = ()
    """For a group: the trunks to the other nodes where somebody of the group may log in."""
    others: bool = True
    """For a group with ``trunks``: whether somebody other than the transferor is logged in."""

    @property
    def requires_acceptance(self) -> bool:
        """Whether an external party must accept the call with a key after answering it."""
        press1 = self.group.features.external_accept is ExternalAccept.PRESS1
        return self.number is not None and press1

    @property
    def by_trunk(self) -> bool:
        """Whether the dialplan reaches the target by Dial(), and other nodes' queues with it."""
        return bool(self.node or self.trunks)

    @property
    def endpoint(self) -> str:
        """The endpoint that ARI originates for a consultation. Raises `ValueError` if none."""
        if self.number is not None:
            return f"Local/{self.number}@avp-external-leg"
        if self.agent is None:
            raise ValueError("this permission has no target to dial")
        if self.node:
            return f"Local/{self.agent}@avp-remote-leg"
        return f"Local/{self.agent}@avp-agent-queue"
