"""The actions of the state table: functions from a session to effects."""

from __future__ import annotations

from asterisk_avp.core.messages import clean
from asterisk_avp.core.messages.effects import (
    AddToBridge,
    BridgePair,
    DestroyBridge,
    Effect,
    HangUp,
    LeaveStasis,
    NotifyPhone,
    PauseRecording,
    Play,
    Redirect,
    SetVariables,
    StartMusic,
    StartRingback,
    StopMusic,
    StopPlaying,
    StopRingback,
)
from asterisk_avp.core.model.world import Mode, Origin
from asterisk_avp.core.transfer import prompts
from asterisk_avp.core.transfer.dialplan import (
    AFTER_BRIDGE,
    DONE,
    LIVE,
    PARK,
    RECALL,
    mark_caller,
    mark_done,
    mark_swapped,
    mark_transferor,
    own_limit,
)
from asterisk_avp.core.transfer.legs import dial_leg
from asterisk_avp.core.transfer.recording import pauses, resume_recording
from asterisk_avp.core.transfer.session import Presence, Session

Effects = tuple[Effect, ...]


def hold_caller(session: Session) -> Effects:
    # In a bridge, not just on music: AMI Bridge moves a bridged channel but masquerades any other,
    # and app_queue loses track of a masqueraded caller.
    joined = AddToBridge(session.hold_bridge, session.caller.channel)
    if session.refused:
        return (joined,)  # the transferor is about to join
    return (joined, *on_hold(session))


def on_hold(session: Session) -> Effects:
    """Put the caller on hold for a consultation."""
    pause = (PauseRecording(session.caller.channel),) if pauses(session) else ()
    return (StartMusic(session.caller.channel, session.music_class), *pause)


def off_hold(session: Session) -> Effects:
    """End the hold before the caller talks to anybody.

    Bridging stops music too, but not always (see `StopMusic`), and cannot be repeated.
    """
    return (StopMusic(session.caller.channel), *resume_recording(session))


def join_transferor(session: Session) -> Effects:
    bridge = session.hold_bridge if session.refused else session.consult_bridge
    return (_join_bridge(session, bridge),)


def prompt_id(session: Session) -> str:
    """The id of the playback of the transferor's prompt."""
    return f"avp-{session.id}-prompt"


def ask(session: Session) -> Effects:
    """Prompt for the target; `core.phone.feature_code` handles the keys."""
    return say(session, prompts.ASK)


def say(session: Session, media: tuple[str, ...]) -> Effects:
    """Play a prompt to the transferor at once, interrupting an earlier one."""
    return (*stop_prompt(session), Play(session.transferor.channel, media, prompt_id(session)))


def stop_prompt(session: Session) -> Effects:
    """Stop the transferor's prompt, if any.

    Until a playback ends, its channel does not move to another bridge (res_stasis,
    ``command_queue``), and the others do not hear it.
    """
    if session.transferor.presence is not Presence.PRESENT:
        return ()
    return (StopPlaying(prompt_id(session)),)


def decline(session: Session) -> Effects:
    return (NotifyPhone(session.transferor.channel, done=False),)


def rejoin(session: Session) -> Effects:
    """Reconnect transferor and caller in a bridge of ours."""
    return (*off_hold(session), _join_bridge(session, session.hold_bridge))


def tell_done(session: Session) -> Effects:
    """Notify the phone that its REFER has succeeded."""
    if session.origin is not Origin.BUTTON:
        return ()
    return (NotifyPhone(session.transferor.channel, done=True),)


def let_transferor_go(session: Session) -> Effects:
    """Release the transferor from Stasis; the dialplan hangs them up."""
    return (LeaveStasis(session.transferor.channel),)


def _join_bridge(session: Session, bridge: str) -> AddToBridge:
    """Add the transferor to a bridge. Their keys are commands, which the others do not hear."""
    return AddToBridge(bridge, session.transferor.channel, absorb_dtmf=True)


def dial_target(session: Session) -> Effects:
    leg = dial_leg(
        session, session.leg.channel, session.local_far_end, session.permission, fourth=False
    )
    return (StartMusic(session.transferor.channel), leg)


def ringback(session: Session) -> Effects:
    return (StopMusic(session.transferor.channel), StartRingback(session.transferor.channel))


def quiet(session: Session) -> Effects:
    """Stop prompt, ringback and music of the transferor, if any."""
    if session.transferor.presence is not Presence.PRESENT:
        return ()
    return (
        *stop_prompt(session),
        StopRingback(session.transferor.channel),
        StopMusic(session.transferor.channel),
    )


def join_target(session: Session) -> Effects:
    return (*quiet(session), AddToBridge(session.consult_bridge, session.leg.channel))


def drop_leg(session: Session) -> Effects:
    if session.leg.presence is Presence.GONE:
        return ()
    return (HangUp(session.leg.channel),)


def drop_fourth(session: Session) -> Effects:
    if session.fourth is None:
        return ()
    return (HangUp(session.fourth.party.channel),)


def swap_to_caller(session: Session) -> Effects:
    """Move the transferor to the caller; the target hears music, or the fourth party."""
    return (
        *stop_prompt(session),
        *off_hold(session),
        mark_swapped(session, swapped=True),
        _join_bridge(session, session.hold_bridge),
        *alone(session),
    )


def alone(session: Session) -> Effects:
    """Play music to a target who is alone while the transferor talks to the caller."""
    if session.fourth_is is Presence.PRESENT:
        return ()
    return (StartMusic(session.leg.channel),)


def swap_to_target(session: Session) -> Effects:
    return (
        *stop_prompt(session),
        StopMusic(session.leg.channel),
        mark_swapped(session, swapped=False),
        _join_bridge(session, session.consult_bridge),
        *on_hold(session),
    )


def join_caller(session: Session) -> Effects:
    """Move the caller to the parties of the consultation."""
    return (
        *off_hold(session),
        AddToBridge(session.consult_bridge, session.caller.channel),
    )


def join_both(session: Session) -> Effects:
    """Move transferor and caller, who talk, to the target."""
    return (
        *stop_prompt(session),
        StopMusic(session.leg.channel),
        mark_swapped(session, swapped=False),
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
    """Bridge the last two of a conference outside Stasis."""
    if len(session.present) < 2:  # noqa: PLR2004 - a bridge is of two
        return let_go(session)
    first, second = session.present[0].channel, session.present[-1].channel
    return (
        *stop_prompt(session),
        *(mark_done(session, channel) for channel in (first, second)),
        *(own_limit(session) if session.caller.channel in (first, second) else ()),
        BridgePair(first, second),
    )


def let_go(session: Session) -> Effects:
    """Release the last party, as at the end of any call."""
    return tuple(
        LeaveStasis(party.channel) if party is session.caller else HangUp(party.channel)
        for party in session.present
    )


def drop_transferor(session: Session) -> Effects:
    # After `start.unsupervised` the dialplan hangs up the transferor, and we must not: AMI Hangup
    # would end a channel whose PBX has not started yet, and only the end of a PBX raises the
    # hang-up request on which app_queue writes the end of the call (see `HangUp`).
    presence = session.transferor.presence
    parked = session.mode is Mode.UNSUPERVISED and presence is not Presence.PRESENT
    if presence is Presence.GONE or parked:
        return ()
    return (HangUp(session.transferor.channel),)


def hang_up_transferor(session: Session) -> Effects:
    return (HangUp(session.transferor.channel),)


def end_swap(session: Session) -> Effects:
    """Stop the music of a target who waited during a swap."""
    return (StopMusic(session.leg.channel),)


def complete(session: Session) -> Effects:
    # The caller is the second channel: AMI Bridge moves the first channel first, and if that
    # fails, the caller stays where they are.
    return (
        *off_hold(session),
        mark_caller(session, DONE),
        SetVariables(session.leg.channel, {"AVP_STATE": DONE}),
        *own_limit(session),
        BridgePair(session.leg.channel, session.caller.channel),
    )


def end_with_call(session: Session) -> Effects:
    """Make a target whom the transferor's phone called end with the call.

    Such a channel has never executed the dialplan, but after AMI Bridge it continues at extension s
    of its phone's or trunk's context (features.c, ``action_bridge``).
    """
    if not session.attended:
        return ()
    there = f"{PARK.context},{PARK.extension},{PARK.priority}"
    return (SetVariables(session.leg.channel, {"AVP_STATE": DONE, AFTER_BRIDGE: there}),)


def return_to_transferor(session: Session) -> Effects:
    return (
        *quiet(session),
        *off_hold(session),
        mark_caller(session, DONE),
        mark_transferor(session, DONE),
        *own_limit(session),
        BridgePair(session.transferor.channel, session.caller.channel),
    )


def queue_caller(session: Session) -> Effects:
    return (
        *resume_recording(session),
        mark_caller(session, LIVE),
        Redirect(session.caller.channel, session.target_destination),
    )


def recall(session: Session) -> Effects:
    """Redirect the caller to the head of the call's group, to wait there like any caller."""
    return (
        *resume_recording(session),
        SetVariables(
            session.caller.channel,
            {
                "AVP_STATE": LIVE,
                "AVP_TRANSFER": session.id,
                "AVP_RETURN_GROUP": session.group,
                "AVP_RETURN_QUEUE": session.permission.group.queue,
                "AVP_TRANSFEROR": session.agent,
                "__AVP_EXCLUDE": clean.location(session.transferor_location),
            },
        ),
        Redirect(session.caller.channel, RECALL),
    )


def release(session: Session) -> Effects:
    """Release the caller from Stasis to the head of the call's group.

    Not to the priority after Stasis(): that depends on ``AVP_STATE``, which may still be ``done``
    if AMI was lost while caller and target were being bridged.
    """
    if session.caller.presence is not Presence.PRESENT:
        return ()
    return (*resume_recording(session), LeaveStasis(session.caller.channel, RECALL))


def unmark(session: Session) -> Effects:
    """Clear the variables, because the call was not changed."""
    return (
        SetVariables(session.caller.channel, {"AVP_STATE": ""}),
        SetVariables(session.transferor.channel, {"AVP_STATE": ""}),
    )


def clear_away(session: Session) -> Effects:
    return (DestroyBridge(session.hold_bridge), DestroyBridge(session.consult_bridge))
