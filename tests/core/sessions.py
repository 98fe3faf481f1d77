"""Sessions for the core tests: one in each state, with the parties in their places."""

from __future__ import annotations

from dataclasses import replace

from asterisk_avp.core.model.features import ConsultRecording, ExternalAccept, Features
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.world import Group, Mode, Target, TargetKind
from asterisk_avp.core.transfer.session import Fourth, Party, Presence, Session
from asterisk_avp.core.transfer.states import State

SALES = Group("sales", "sales", "Sales")
UNRECORDED = replace(SALES, features=Features(consult_recording=ConsultRecording.PAUSE))
RESTARTED = replace(SALES, features=Features(consult_recording=ConsultRecording.RESTART))
CAREFUL = replace(SALES, features=Features(external_accept=ExternalAccept.PRESS1))

BOB = Target(TargetKind.AGENT, "1002")

IN, OUT, GONE = Presence.PRESENT, Presence.EXPECTED, Presence.GONE

WHERE = {
    # transferor, caller, leg
    State.STARTING: (OUT, OUT, OUT),
    State.COLLECTING: (IN, IN, OUT),
    State.DECLINED: (IN, IN, OUT),
    State.WAITING: (IN, IN, OUT),
    State.RINGING: (IN, IN, OUT),
    State.CONSULTING: (IN, IN, IN),
    State.SWAPPED: (IN, IN, IN),
    State.CONFERENCE: (IN, IN, IN),
    State.CONFERENCE_WITHOUT_TRANSFEROR: (GONE, IN, IN),
    State.DISSOLVING: (GONE, IN, IN),
    State.COMPLETING: (IN, IN, IN),
    State.RETURNING: (IN, IN, OUT),
    State.RELEASING_LEG: (IN, IN, OUT),
    State.QUEUEING: (OUT, OUT, OUT),
    State.QUEUED: (OUT, OUT, OUT),
    State.OFFERED: (OUT, OUT, OUT),
    State.RECALLING: (OUT, IN, GONE),
    State.COMPLETED: (OUT, IN, IN),
    State.CANCELLED: (IN, IN, GONE),
    State.FAILED: (IN, IN, GONE),
    State.ABANDONED: (IN, GONE, GONE),
}


def where_of(state: State) -> tuple[Presence, ...]:
    """For states without a line above: the parties in Stasis according to the spec."""
    spec = state.spec
    places = (spec.transferor.place, spec.caller.place, spec.target.place)
    return tuple(IN if place.ours else OUT for place in places)


def fourth_party(presence: Presence) -> Fourth:
    leg = "avp-t1-1-leg"
    party = Party(leg, number="+12015550123", presence=presence)
    return Fourth("party-4", party, leg + "-queue", Permission(SALES, number="+12015550123"))


def session(
    state: State = State.STARTING,
    *,
    transferor: Presence | None = None,
    caller: Presence | None = None,
    leg: Presence | None = None,
    target: Target | None = BOB,
    may_detach: bool = True,
    fourth: Presence | None = None,
    **changes: object,
) -> Session:
    """A supervised session to agent 1002 in ``state``. The parties' places can be overridden."""
    where = WHERE.get(state) or where_of(state)
    made = Session(
        id="t1",
        agent="1001",
        group="sales",
        mode=Mode.SUPERVISED,
        target=target,
        transferor=Party("chan-agent", name="Alice", presence=transferor or where[0]),
        caller=Party("chan-caller", "5550100", presence=caller or where[1]),
        leg=Party("avp-t1-leg", presence=leg or where[2]),
        local_far_end="avp-t1-leg-queue",
        permission=Permission(SALES, queue="avp-agent-1002", agent="1002", may_detach=may_detach),
        transferor_location="1001",
        max_hold_seconds=8,
        ring_outside_seconds=45,
        variables={"AVP_HOLD_ACTION": "hangup"},
        state=state,
        fourth=fourth_party(fourth) if fourth is not None else None,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the tests know the fields
