"""What the rows of the state table do, as functions from a session to its effects.

Every channel variable that the dialplan reads is written here and nowhere else; their meaning is
explained on top of ``dialplan/asterisk_avp.conf``.
"""

from __future__ import annotations

from asterisk_avp.core.messages import clean
from asterisk_avp.core.messages.effects import (
    AddToBridge,
    BridgePair,
    CreateBridge,
    Destination,
    DestroyBridge,
    DialLeg,
    Effect,
    HangUp,
    LeaveStasis,
    LimitCall,
    NotifyPhone,
    PauseRecording,
    Play,
    Redirect,
    ResumeRecording,
    SetVariables,
    StartMusic,
    StartRingback,
    StopMusic,
    StopPlaying,
    StopRingback,
)
from asterisk_avp.core.model.features import ConsultRecording, ShownNumber
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.world import Mode, Origin, TargetKind
from asterisk_avp.core.transfer import prompts
from asterisk_avp.core.transfer.session import Presence, Session

Effects = tuple[Effect, ...]

STASIS_CONTEXT = "avp-stasis"

CALLER = Destination(STASIS_CONTEXT, "caller")
TRANSFEROR = Destination(STASIS_CONTEXT, "transferor")
PARK = Destination(STASIS_CONTEXT, "park")
ACCEPT = Destination("avp-accept", "s")
RECALL = Destination("avp-recall", "group")
"""The head of the queue that the call came from (``AVP_RETURN_QUEUE``)."""

LIVE, DONE = "live", "done"

LIMIT = "TIMEOUT(absolute)"
"""When Asterisk ends the call by itself, in seconds from now; 0: never (func_timeout.c)."""

AFTER_BRIDGE = "CHANNEL(after_bridge_goto)"
"""Where a channel goes on in the dialplan after its bridge (func_channel.c)."""


def _mark_caller(session: Session, state: str) -> SetVariables:
    own = session.target is not None and session.target.kind is TargetKind.AGENT
    return SetVariables(
        session.caller.channel,
        {
            **session.variables,
            "AVP_STATE": state,
            "AVP_TRANSFER": session.id,
            "AVP_GROUP": session.group_after,
            "AVP_RETURN_GROUP": session.group,
            "AVP_RETURN_QUEUE": session.allow.group.queue,
            "AVP_TRANSFEROR": session.agent,
            "AVP_HOLD_SECONDS": str(session.max_hold_seconds),
            # Inherited by the channels that app_queue creates, where the dialplan decides
            # whether this member may be rung; empty where the agent may have the call again.
            "__AVP_EXCLUDE": "" if own else clean.location(session.transferor_location),
            # What the dialplan does where the caller leaves by it (avp-own-limit).
            **({LIMIT: "0"} if state == DONE else {}),
        },
    )


def _own_limit(session: Session) -> Effects:
    """We let go of the caller: what the call's own dialplan had set as its limit holds again.

    Most calls have none, and `_mark_caller` has taken ours away.
    """
    ends_at = session.variables.get("AVP_ENDS_AT", "")
    return (LimitCall(session.caller.channel, float(ends_at)),) if ends_at else ()


def _mark_transferor(session: Session, state: str) -> SetVariables:
    return SetVariables(
        session.transferor.channel, {"AVP_STATE": state, "AVP_TRANSFER": session.id}
    )


def start_supervised(session: Session) -> Effects:
    # The marks come first: whatever happens after the Redirect, the dialplan knows whose the
    # channels are. The bridges are made while the channels are on their way into Stasis.
    return (
        _mark_caller(session, LIVE),
        _mark_transferor(session, LIVE),
        Redirect(session.caller.channel, CALLER, session.transferor.channel, TRANSFEROR),
        CreateBridge(session.hold_bridge, "hold"),
        CreateBridge(session.consult_bridge, "consult"),
    )


def start_unsupervised(session: Session) -> Effects:
    # Agent 1 is moved along, to be hung up by the dialplan: Redirect of the caller alone leaves
    # app_queue without a hang-up for agent 1, and the next agent's talk in agent 1's books.
    # A phone that asked by its Transfer button has to be told, which takes Stasis.
    told = session.origin is Origin.BUTTON
    return (
        *_drop_second_line(session),
        _mark_caller(session, LIVE),
        _mark_transferor(session, LIVE),
        Redirect(
            session.caller.channel,
            session.target_destination,
            session.transferor.channel,
            TRANSFEROR if told else PARK,
        ),
    )


def _drop_second_line(session: Session) -> Effects:
    """Agent 1's own call to a target who has not answered: the caller rings there instead."""
    return (HangUp(session.second_line),) if session.second_line else ()


def hold_caller(session: Session) -> Effects:
    # In a bridge of ours, not merely on music: AMI Bridge moves a bridged channel but
    # masquerades any other, and app_queue loses track of a masqueraded caller.
    joined = AddToBridge(session.hold_bridge, session.caller.channel)
    if session.refused:
        return (joined,)  # agent 1 is about to be there
    return (joined, *on_hold(session))


def on_hold(session: Session) -> Effects:
    """The caller waits for a consultation."""
    pause = (PauseRecording(session.caller.channel),) if _pauses(session) else ()
    return (StartMusic(session.caller.channel), *pause)


def off_hold(session: Session) -> Effects:
    """The wait is over, before the caller talks with anybody.

    Bridging stops music too, but not always (see `StopMusic`), and then there is no way back.
    """
    return (StopMusic(session.caller.channel), *_recorded_again(session))


def _recorded_again(session: Session) -> Effects:
    """The caller is about to leave us: where they go, nobody could start the recording again."""
    return (ResumeRecording(session.caller.channel),) if _pauses(session) else ()


def _pauses(session: Session) -> bool:
    wanted = session.allow.group.features.consult_recording
    return wanted is ConsultRecording.PAUSE


def pauses_now(session: Session) -> bool:
    """Whether nothing is to be recorded of the caller at this moment."""
    held = session.caller.presence is Presence.PRESENT
    return held and session.state.spec.recording_pauses and not session.refused and _pauses(session)


def join_transferor(session: Session) -> Effects:
    bridge = session.hold_bridge if session.refused else session.consult_bridge
    return (_join_bridge(session, bridge),)


def prompt_id(session: Session) -> str:
    """The playback of what agent 1 is told."""
    return f"avp-{session.id}-prompt"


def ask(session: Session) -> Effects:
    """Where to? The keys are looked after by `core.phone.feature_code`."""
    return say(session, prompts.ASK)


def say(session: Session, media: tuple[str, ...]) -> Effects:
    """At once: what is still being said is cut short."""
    return (*stop_prompt(session), Play(session.transferor.channel, media, prompt_id(session)))


def stop_prompt(session: Session) -> Effects:
    """Whatever agent 1 may be hearing of ours ends; harmless where there is nothing.

    A channel that is being played to is not moved to another bridge before that is over
    (res_stasis, ``command_queue``), and the others do not hear agent 1 meanwhile.
    """
    if session.transferor.presence is not Presence.PRESENT:
        return ()
    return (StopPlaying(prompt_id(session)),)


def decline(session: Session) -> Effects:
    return (NotifyPhone(session.transferor.channel, done=False),)


def rejoin(session: Session) -> Effects:
    """Agent 1 and the caller talk again, in a bridge of ours."""
    return (*off_hold(session), _join_bridge(session, session.hold_bridge))


def tell_done(session: Session) -> Effects:
    """The phone's Transfer button has done what it should."""
    if session.origin is not Origin.BUTTON:
        return ()
    return (NotifyPhone(session.transferor.channel, done=True),)


def let_transferor_go(session: Session) -> Effects:
    """Out of Stasis, where the dialplan hangs agent 1 up."""
    return (LeaveStasis(session.transferor.channel),)


def _join_bridge(session: Session, bridge: str) -> AddToBridge:
    """Agent 1 into a bridge. Their keys are commands, which the others need not hear."""
    return AddToBridge(bridge, session.transferor.channel, absorb_dtmf=True)


def dial_target(session: Session) -> Effects:
    leg = _dial(session, session.leg.channel, session.local_far_end, session.allow, fourth=False)
    return (StartMusic(session.transferor.channel), leg)


def dial_fourth(session: Session) -> Effects:
    fourth = session.fourth
    if fourth is None:
        return ()
    return (_dial(session, fourth.party.channel, fourth.other, fourth.allow, fourth=True),)


def _dial(session: Session, leg: str, other: str, allow: Permission, *, fourth: bool) -> DialLeg:
    external = allow.number is not None
    return DialLeg(
        channel=leg,
        other_channel=other,
        allow=allow,
        originator=session.transferor.channel,
        caller_id=clean.caller_id(session.transferor.name, session.agent),
        variables={
            "AVP_LEG": "consult",
            "__AVP_NO_POP": "yes",
            "AVP_TRANSFER": session.id,
            "AVP_HOLD_SECONDS": str(session.max_hold_seconds),
            "AVP_GROUP": session.group,
            **(_shown_outside(session) if external else {}),
        },
        timeout_seconds=session.ring_outside_seconds if external else None,
        first=ACCEPT if allow.requires_acceptance else None,
        fourth=fourth,
    )


def _shown_outside(session: Session) -> dict[str, str]:
    """What an external party's display shows, and who passed the call on (SIP Diversion)."""
    features = session.allow.group.features
    account = clean.number(features.caller_id or "")
    shown = account
    if features.external_caller_id is ShownNumber.CALLER:
        # What a trunk says of its caller is foreign text, and is shown as a number or not at all.
        shown = clean.number(session.caller.number) or account
    return {"AVP_CALLER_ID": shown, "AVP_DIVERTED_BY": account}


def ringback(session: Session) -> Effects:
    return (StopMusic(session.transferor.channel), StartRingback(session.transferor.channel))


def quiet(session: Session) -> Effects:
    """Agent 1 hears neither music nor ringback from now on; harmless where neither plays."""
    if session.transferor.presence is not Presence.PRESENT:
        return ()
    return (
        *stop_prompt(session),
        StopRingback(session.transferor.channel),
        StopMusic(session.transferor.channel),
    )


def join_target(session: Session) -> Effects:
    return (AddToBridge(session.consult_bridge, session.leg.channel), *quiet(session))


def drop_leg(session: Session) -> Effects:
    if session.leg.presence is Presence.GONE:
        return ()
    return (HangUp(session.leg.channel),)


def drop_fourth(session: Session) -> Effects:
    if session.fourth is None:
        return ()
    return (HangUp(session.fourth.party.channel),)


def swap_to_caller(session: Session) -> Effects:
    """Agent 1 to the caller; the target hears music, or the fourth party."""
    return (
        *stop_prompt(session),
        *off_hold(session),
        _join_bridge(session, session.hold_bridge),
        *alone(session),
    )


def alone(session: Session) -> Effects:
    """Music for a target who waits while agent 1 is with the caller, and has no fourth party."""
    if session.fourth_is is Presence.PRESENT:
        return ()
    return (StartMusic(session.leg.channel),)


def swap_to_target(session: Session) -> Effects:
    return (
        *stop_prompt(session),
        StopMusic(session.leg.channel),
        _join_bridge(session, session.consult_bridge),
        *on_hold(session),
    )


def join_caller(session: Session) -> Effects:
    """The caller to those who consult."""
    return (
        *off_hold(session),
        AddToBridge(session.consult_bridge, session.caller.channel),
    )


def join_both(session: Session) -> Effects:
    """Agent 1 and the caller, who talk, to the target."""
    return (
        *stop_prompt(session),
        StopMusic(session.leg.channel),
        _join_bridge(session, session.consult_bridge),
        AddToBridge(session.consult_bridge, session.caller.channel),
    )


def join_fourth(session: Session) -> Effects:
    if session.fourth is None:
        return ()
    return (AddToBridge(session.consult_bridge, session.fourth.party.channel),)


def join_fourth_with_target(session: Session) -> Effects:
    return (StopMusic(session.leg.channel), *join_fourth(session))


def bridge_rest(session: Session) -> Effects:
    """Two are left of those who talked in our bridge: into a plain one with them."""
    if len(session.present) < 2:  # noqa: PLR2004 - a bridge is of two
        return let_go(session)
    first, second = session.present[0].channel, session.present[-1].channel
    return (
        *stop_prompt(session),
        *(_mark_done(session, channel) for channel in (first, second)),
        *(_own_limit(session) if session.caller.channel in (first, second) else ()),
        BridgePair(first, second),
    )


def _mark_done(session: Session, channel: str) -> SetVariables:
    if channel == session.caller.channel:
        return _mark_caller(session, DONE)
    return SetVariables(channel, {"AVP_STATE": DONE})


def let_go(session: Session) -> Effects:
    """One of the last two has gone: the other's call is over, as at the end of any call."""
    return tuple(
        LeaveStasis(party.channel) if party is session.caller else HangUp(party.channel)
        for party in session.present
    )


def drop_transferor(session: Session) -> Effects:
    # Parked by start_unsupervised, agent 1 is hung up by the dialplan and must not be by us: AMI
    # Hangup would end a channel whose PBX has not started yet, and only a PBX that ends raises
    # the hang-up request by which app_queue closes its books (see `HangUp`).
    presence = session.transferor.presence
    parked = session.mode is Mode.UNSUPERVISED and presence is not Presence.PRESENT
    if presence is Presence.GONE or parked:
        return ()
    return (HangUp(session.transferor.channel),)


def hang_up_transferor(session: Session) -> Effects:
    """Agent 1 is in a bridge with those who stay."""
    return (HangUp(session.transferor.channel),)


def end_swap(session: Session) -> Effects:
    """The target, who heard music while agent 1 was with the caller, is about to talk."""
    return (StopMusic(session.leg.channel),)


def complete(session: Session) -> Effects:
    # The caller comes second: AMI Bridge moves the first channel first, and a caller whose
    # counterpart could not be moved stays where they are.
    return (
        *off_hold(session),
        _mark_caller(session, DONE),
        SetVariables(session.leg.channel, {"AVP_STATE": DONE}),
        *_own_limit(session),
        BridgePair(session.leg.channel, session.caller.channel),
    )


def end_with_call(session: Session) -> Effects:
    """A target whom agent 1's phone had called ends where the caller does.

    Such a channel has never been in the dialplan, but AMI Bridge sends it on all the same, to the
    extension s of its phone's or trunk's context (features.c, ``action_bridge``).
    """
    if not session.attended:
        return ()
    there = f"{PARK.context},{PARK.extension},{PARK.priority}"
    return (SetVariables(session.leg.channel, {"AVP_STATE": DONE, AFTER_BRIDGE: there}),)


def return_to_transferor(session: Session) -> Effects:
    return (
        *quiet(session),
        *off_hold(session),
        _mark_caller(session, DONE),
        _mark_transferor(session, DONE),
        *_own_limit(session),
        BridgePair(session.transferor.channel, session.caller.channel),
    )


def queue_caller(session: Session) -> Effects:
    return (
        *_recorded_again(session),
        _mark_caller(session, LIVE),
        Redirect(session.caller.channel, session.target_destination),
    )


def recall(session: Session) -> Effects:
    """The caller goes to the head of the call's group, to wait there like any caller of it."""
    return (
        *_recorded_again(session),
        SetVariables(
            session.caller.channel,
            {
                "AVP_STATE": LIVE,
                "AVP_TRANSFER": session.id,
                "AVP_RETURN_GROUP": session.group,
                "AVP_RETURN_QUEUE": session.allow.group.queue,
                "AVP_TRANSFEROR": session.agent,
                "__AVP_EXCLUDE": clean.location(session.transferor_location),
            },
        ),
        Redirect(session.caller.channel, RECALL),
    )


def release(session: Session) -> Effects:
    """Out of Stasis, to the group's head.

    Not by the line after Stasis(): that goes by ``AVP_STATE``, which may still say that the call is
    done, where AMI was lost while caller and target were being bridged.
    """
    if session.caller.presence is not Presence.PRESENT:
        return ()
    return (*_recorded_again(session), LeaveStasis(session.caller.channel, RECALL))


def unmark(session: Session) -> Effects:
    """The call was not touched; it must not look as if it had been."""
    return (
        SetVariables(session.caller.channel, {"AVP_STATE": ""}),
        SetVariables(session.transferor.channel, {"AVP_STATE": ""}),
    )


def clear_away(session: Session) -> Effects:
    return (DestroyBridge(session.hold_bridge), DestroyBridge(session.consult_bridge))
