"""What the daemons of several nodes tell each other, as JSON. The place where it is cleaned.

A message has a version, and fields that are not known are ignored, so that nodes can be upgraded
one by one. Another node is trusted with the calls that it anchors, not with text: ids are those of
`clean.ident`, texts have a limit and no unpaired surrogates, times are times. What a message names
as a target is typed text, like an agent's, and passes the receiver's policy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

from asterisk_avp.core.messages import fields
from asterisk_avp.core.messages.told_pops import CALL, NOTES, TEXT, shown_pop
from asterisk_avp.core.model.world import (
    AGENT_ID,
    CallerOutcome,
    Mode,
    PartyState,
    PartyView,
    Target,
    TargetKind,
    TransferState,
    TransferView,
)

HOLD_SECONDS: Final = 24 * 3600
_LATEST_REVISION: Final = 2**53 - 1
"""As what nodes tell over NATS: numbers beyond it are not exact in every JSON."""
_ACTION: Final = re.compile(
    r"(complete|cancel|swap|conference|add_party|drop_party:[A-Za-z0-9+._-]{1,80})"
)
_PARTY: Final = re.compile(r"[A-Za-z0-9+._-]{1,80}")
_REASON: Final = re.compile(r"[a-z0-9_]{1,40}")
_ROLES: Final = ("transferor", "caller", "target", "fourth")
_HEARD: Final = (*_ROLES, "music", "ringback", "prompt")


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """The anchor wants the one place in which a transferred call waits for an agent."""

    agent: str
    transfer: str
    anchor: str
    consult: bool
    hold_seconds: int

    def body(self) -> dict[str, Any]:
        return {"version": fields.VERSION, **asdict(self)}


@dataclass(frozen=True, slots=True)
class ForwardedRequest:
    """A request by an agent who is at home on one node, about a call that another one anchors."""

    agent: str
    mode: Mode
    target: Target | None
    """None: by the feature code; the agent is going to key it in."""
    call: str
    """The caller's channel at the anchor."""
    brought_by: str
    """The transfer by which the agent got the call."""
    notes: str = ""
    joins: bool = False
    """The agent's phone talks to the target already: the target's node joins the two (RFC 3891)."""

    def body(self) -> dict[str, Any]:
        target = self.target
        return {
            "version": fields.VERSION,
            "agent": self.agent,
            "mode": self.mode.value,
            "target": None if target is None else _target_body(target),
            "call": self.call,
            "brought_by": self.brought_by,
            "notes": self.notes,
            "joins": self.joins,
        }


@dataclass(frozen=True, slots=True)
class PopEvent:
    """A screen pop for an agent of the receiver's."""

    agent: str
    state: str
    """``offered``, ``delivered`` or ``withdrawn``."""
    pop: Mapping[str, Any]
    """As the API shows it; its id is the caller's channel at the anchor."""


@dataclass(frozen=True, slots=True)
class TransferEvent:
    """What has become of a transfer, or of a screen pop that belongs to it."""

    seq: int
    """Grows with each event of an anchor's; what is older than what is known is dropped."""
    transfer: TransferView | None = None
    pop: PopEvent | None = None
    call: str = ""
    """The caller's channel at the anchor; empty: not told."""

    def body(self) -> dict[str, Any]:
        return {
            "version": fields.VERSION,
            "seq": self.seq,
            "call": self.call,
            "transfer": None if self.transfer is None else transfer_body(self.transfer),
            "pop": None if self.pop is None else asdict(self.pop),
        }


# --- reading ---------------------------------------------------------------------------------


def slot_request(body: object) -> SlotRequest:
    read = fields.message(body)
    return SlotRequest(
        agent=fields.agent_id(read, "agent"),
        transfer=fields.ident(read, "transfer"),
        anchor=fields.ident(read, "anchor"),
        consult=read.get("consult") is True,
        hold_seconds=fields.count(read, "hold_seconds", HOLD_SECONDS),
    )


def forwarded_request(body: object) -> ForwardedRequest:
    read = fields.message(body)
    target = read.get("target")
    return ForwardedRequest(
        agent=fields.agent_id(read, "agent"),
        mode=fields.one_of(Mode, read, "mode"),
        target=None if target is None else _target(target),
        call=fields.matching(CALL, read, "call"),
        brought_by=fields.ident(read, "brought_by"),
        notes=fields.text(read, "notes", NOTES),
        joins=read.get("joins") is True,
    )


def wanted_party(body: object) -> Target:
    """The fourth party that an agent of another node asks for."""
    found = _target(fields.message(body).get("target"))
    if found.kind not in (TargetKind.AGENT, TargetKind.NUMBER):
        raise fields.Unusable("target")
    return found


def answered_body(agent: str) -> dict[str, Any]:
    """An agent of the sender's has answered a call to a group."""
    return {"version": fields.VERSION, "agent": agent}


def answered_by(body: object) -> str:
    return fields.agent_id(fields.message(body), "agent")


def home_body(agent: str, revision: int) -> dict[str, Any]:
    return {"version": fields.VERSION, "agent": agent, "revision": revision}


def home(body: object) -> tuple[str, int]:
    """The agent who is at home on the node that tells it, and the home's revision."""
    read = fields.message(body)
    return fields.agent_id(read, "agent"), fields.count(read, "revision", _LATEST_REVISION)


def ring_body(agent: str, *, rings: bool, consult: bool = False) -> dict[str, Any]:
    """The phone of an agent of the sender's rings for a call of the receiver's, or does not."""
    return {**answered_body(agent), "rings": rings, "consult": consult}


def ring(body: object) -> tuple[str, bool, bool]:
    """The agent, whether the phone rings, and whether it does for a consult leg."""
    read = fields.message(body)
    rings, consult = (read.get(name) is True for name in ("rings", "consult"))
    return fields.agent_id(read, "agent"), rings, consult


def party_body(wanted: Target) -> dict[str, Any]:
    return {"version": fields.VERSION, "target": _target_body(wanted)}


def transfer_event(body: object) -> TransferEvent:
    read = fields.message(body)
    transfer, pop = read.get("transfer"), read.get("pop")
    if (transfer is None) is (pop is None):
        raise fields.Unusable("transfer")
    return TransferEvent(
        seq=fields.count(read, "seq", 2**63),
        transfer=None if transfer is None else transfer_view(transfer),
        pop=None if pop is None else _pop_event(fields.mapping(pop, "pop")),
        call=fields.matching(CALL, read, "call") if read.get("call") else "",
    )


def transfer_events(body: object) -> list[TransferEvent]:
    """The answer to a question for all of them."""
    return [transfer_event(event) for event in _events(body)]


def pop_events(body: object) -> list[TransferEvent]:
    """The answer to a question for screen pops. One that cannot be used costs no other call its."""
    found = []
    for event in _events(body):
        with suppress(fields.Unusable):
            found.append(transfer_event(event))
    return found


def granted(body: object) -> str:
    """The token of a slot that was granted."""
    return fields.ident(fields.mapping(body, "answer"), "token")


def refusal(body: object) -> tuple[str, str]:
    """The reason code and the sentence of a refusal."""
    read = fields.mapping(body, "answer")
    return fields.matching(_REASON, read, "reason"), fields.text(read, "message", 500)


def _events(body: object) -> list[object]:
    events = fields.message(body).get("events")
    if not isinstance(events, list):
        raise fields.Unusable("events")
    return events


def transfer_view(value: object) -> TransferView:
    read = fields.mapping(value, "transfer")
    target, parties = read.get("target"), read.get("parties")
    if not isinstance(parties, list) or len(parties) > fields.MOST_VALUES:
        raise fields.Unusable("parties")
    final = TransferState(fields.one_of(TransferState, read, "state")).final
    ended_reason = read.get("ended_reason")
    outcome = read.get("caller_outcome")
    return TransferView(
        id=fields.ident(read, "id"),
        agent=fields.agent_id(read, "agent"),
        group=fields.ident(read, "group"),
        mode=fields.one_of(Mode, read, "mode"),
        target=None if target is None else _target(target),
        state=fields.one_of(TransferState, read, "state"),
        ended_reason=None
        if ended_reason is None or not final
        else fields.text(read, "ended_reason", TEXT),
        caller=fields.text(read, "caller", TEXT),
        parties=tuple(_party(party) for party in parties),
        since=fields.moment(read, "since"),
        started=fields.moment(read, "started"),
        notes=fields.text(read, "notes", NOTES),
        actions=fields.texts(read, "actions", _ACTION),
        hold_until=fields.optional_moment(read, "hold_until"),
        music_since=fields.optional_moment(read, "music_since"),
        caller_formatted=fields.text(read, "caller_formatted", TEXT),
        asked=fields.texts(read, "asked", AGENT_ID),
        caller_name=fields.text(read, "caller_name", TEXT),
        caller_outcome=None
        if outcome is None
        else fields.one_of(CallerOutcome, read, "caller_outcome"),
        caller_withheld=read.get("caller_withheld") is True,
    )


def transfer_body(view: TransferView) -> dict[str, Any]:
    target = view.target
    return {**asdict(view), "target": None if target is None else _target_body(target)}


def _party(value: object) -> PartyView:
    read = fields.mapping(value, "parties")
    role, hears = read.get("role"), read.get("hears")
    if role not in _ROLES or not isinstance(hears, list) or any(x not in _HEARD for x in hears):
        raise fields.Unusable("parties")
    return PartyView(
        fields.matching(_PARTY, read, "id") if read.get("id") else "",
        str(role),
        fields.text(read, "name", TEXT),
        fields.one_of(PartyState, read, "state"),
        tuple(hears[: len(_HEARD)]),
        fields.text(read, "name_formatted", TEXT),
    )


def _target_body(target: Target) -> dict[str, str]:
    return {"kind": target.kind.value, "value": target.value}


def _target(value: object) -> Target:
    read = fields.mapping(value, "target")
    return Target(fields.one_of(TargetKind, read, "kind"), fields.text(read, "value", 80))


def _pop_event(read: Mapping[str, Any]) -> PopEvent:
    state = read.get("state")
    if state not in ("offered", "delivered", "withdrawn"):
        raise fields.Unusable("state")
    return PopEvent(fields.agent_id(read, "agent"), str(state), shown_pop(read.get("pop")))
