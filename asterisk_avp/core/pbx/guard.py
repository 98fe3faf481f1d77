"""Is the Transfer button of every agent's phone guarded?

Asterisk obeys a phone's REFER past every rule, unless the endpoint has ``allow_transfer = no``, or
passes it to us (``PJSIP_TRANSFER_HANDLING() = ari-only``). Whoever configures the PBX can take
either away at any time, with a web interface that writes its files again, or in a database.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from asterisk_avp.core.pbx.agent import Agent

HANDLING: Final = "PJSIP_TRANSFER_HANDLING()"
OURS: Final = "ari-only"

UNGUARDED: Final = "phones_unguarded"
"""The log's event, which the warning of `/readyz` names."""

_NAME: Final = re.compile(r"[A-Za-z0-9_.+-]{1,80}")
"""Names that may be asked about (`messages.clean`)."""
_OFF: Final = frozenset({"false", "no"})


def endpoint_of(interface: str) -> str:
    """``1001`` of ``PJSIP/1001``; empty: not a phone at an endpoint of PJSIP."""
    technology, _, rest = interface.partition("/")
    name = rest.partition("/")[0].rpartition("@")[2]
    return name if technology.upper() == "PJSIP" and _NAME.fullmatch(name) else ""


def endpoints_of(agent: Agent, further: Iterable[str] = ()) -> frozenset[str]:
    """The endpoints of the agent's phones: those of memberships, and ``further`` ones, which are
    behind a hint or a device (`core.pbx.member_phones`).
    """
    members = [*agent.memberships.values(), *([agent.personal] if agent.personal else [])]
    interfaces = {x for member in members for x in (member.state_interface, member.interface)}
    interfaces |= set(further)
    return frozenset(filter(None, map(endpoint_of, interfaces)))


def guarded(allow_transfer: str, handling: str, *, obeyed: bool = True) -> bool:
    """Whether Asterisk ignores the button, with these options of the endpoint as Asterisk tells
    them. ``obeyed``: whether this version passes a REFER to us at all.
    """
    return allow_transfer.lower() in _OFF or (obeyed and handling == OURS)


@dataclass(frozen=True, slots=True)
class GuardChange:
    """Agents with an unguarded phone, sorted: since the last change, no longer, and in all."""

    new: tuple[str, ...]
    mended: tuple[str, ...]
    unguarded: tuple[str, ...]


@dataclass(slots=True)
class Guards:
    """What was last found for each endpoint, and which agents it leaves unguarded."""

    found: dict[str, bool] = field(default_factory=dict)
    """Endpoint to whether it is guarded. Endpoints that Asterisk does not have are missing."""
    unguarded: tuple[str, ...] = ()
    """The agents with a phone that is not, sorted."""

    def note(self, endpoint: str, is_guarded: bool | None) -> None:  # noqa: FBT001 - it is the value
        """``is_guarded``: None where Asterisk has no such endpoint."""
        if is_guarded is None:
            self.found.pop(endpoint, None)
        else:
            self.found[endpoint] = is_guarded

    def compare(self, phones: Mapping[str, Iterable[str]]) -> GuardChange | None:
        """Compare with the agents' endpoints; None: the same agents as before."""
        now = tuple(
            sorted(
                agent
                for agent, endpoints in phones.items()
                if any(self.found.get(endpoint) is False for endpoint in endpoints)
            )
        )
        before, self.unguarded = self.unguarded, now
        if before == now:
            return None
        new = tuple(x for x in now if x not in set(before))
        return GuardChange(new, tuple(x for x in before if x not in set(now)), now)
