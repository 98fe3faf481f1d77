"""Every state with every event: the result, written down a second time and by hand.

`LEGAL` lists every pair that has an effect, with the next state and the effects in short. All other
pairs must return the same session and no effects.
"""

from __future__ import annotations

import itertools

import pytest

from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.world import Mode, Origin
from asterisk_avp.core.transfer import machine
from asterisk_avp.core.transfer.events import EventType as K
from asterisk_avp.core.transfer.events import SessionEvent
from asterisk_avp.core.transfer.session import Intent, Session
from asterisk_avp.core.transfer.states import State as S
from asterisk_avp.core.transfer.table import ROWS
from tests.core.sessions import CAREFUL, GONE, IN, OUT, SALES, fourth_party, session

NAMES = {
    "chan-agent": "agent",
    "chan-caller": "caller",
    "avp-t1-leg": "leg",
    "avp-t1-hold": "hold",
    "avp-t1-consult": "consult",
    "avp-t1-1-leg": "fourth",
}


def short(effect: fx.Effect) -> str:
    """``HangUp("avp-t1-leg")`` as ``hangup leg``: the essentials, readable in a table."""
    match effect:
        case fx.HangUp(channel):
            return f"hangup {NAMES[channel]}"
        case fx.SetVariables(channel, variables):
            if variables.keys() == {"AVP_SWAPPED"}:
                return (
                    f"{'swapped' if variables['AVP_SWAPPED'] else 'not swapped'} {NAMES[channel]}"
                )
            if "AVP_STATE" not in variables:
                return f"no limit {NAMES[channel]}"
            return f"mark {NAMES[channel]} {variables['AVP_STATE'] or 'none'}"
        case fx.Redirect(channel, destination, extra, extra_destination):
            text = f"redirect {NAMES[channel]} {destination.context}/{destination.extension}"
            if extra is not None and extra_destination is not None:
                text += f" + {NAMES[extra]} {extra_destination.extension}"
            return text
        case fx.BridgePair(first, second):
            return f"bridge {NAMES[first]} {NAMES[second]}"
        case fx.AddToBridge(bridge, channel):
            return f"add {NAMES[channel]} to {NAMES[bridge]}"
        case fx.CreateBridge(bridge, _):
            return f"create {NAMES[bridge]}"
        case fx.DestroyBridge(bridge):
            return f"destroy {NAMES[bridge]}"
        case fx.StartMusic(channel):
            return f"music {NAMES[channel]}"
        case fx.StopMusic(channel):
            return f"no music {NAMES[channel]}"
        case fx.StartRingback(channel):
            return f"ringback {NAMES[channel]}"
        case fx.StopRingback(channel):
            return f"no ringback {NAMES[channel]}"
        case fx.LeaveStasis(channel):
            return f"release {NAMES[channel]}"
        case fx.DialLeg(channel, _, permission):
            return f"dial {NAMES[channel]} {permission.endpoint}"
        case fx.Play(channel, media):
            assert NAMES[channel] == "agent"
            return "say " + " ".join(name.removeprefix("sound:") for name in media)
        case fx.StopPlaying():
            return "hush"
        case fx.NotifyPhone(channel, done):
            return f"tell {NAMES[channel]} {'done' if done else 'declined'}"
        case fx.SetTimer(seconds):
            return f"timer {seconds:g}"
        case fx.ClearTimer():
            return "no timer"
        case _:
            raise AssertionError(effect)


def without_renewals(effects: tuple[fx.Effect, ...]) -> list[fx.Effect]:
    """`test_translation` has those."""
    told = {"CONNECTED_LINE_SEND_SUB"}
    return [
        effect
        for effect in effects
        if not isinstance(effect, fx.RenewTranslation)
        and not (isinstance(effect, fx.SetVariables) and effect.variables.keys() == told)
    ]


LET_BE = ["mark caller none", "no limit caller"]
DROP_ALL = ["hangup leg", "hangup fourth", "hangup agent"]
CLEAR = ["destroy hold", "destroy consult"]
HOLD = ["add caller to hold", "music caller"]
SEAT = ["add agent to consult"]
DIAL = ["music agent", "dial leg Local/1002@avp-agent-queue"]
QUIET = ["hush", "no ringback agent", "no music agent"]
RETURN = [*QUIET, "no music caller", "mark caller done", "mark agent done", "bridge agent caller"]
COMPLETE = ["no music caller", "mark caller done", "mark leg done", "bridge leg caller"]
COMPLETE_BOTH = ["mark leg done", "mark caller done", "bridge leg caller"]
JOIN_CALLER = ["no music caller", "add caller to consult"]
TO_CALLER = ["hush", "no music caller", "swapped agent", "add agent to hold", "music leg"]
QUEUE = ["mark caller live", "redirect caller avp-agent-queue/1002"]
RECALL = ["mark caller live", "redirect caller avp-recall/group"]
ASK = ["hush", "say vm-enter-num-to-call vm-then-pound"]
FIRST_KEY = ["timer 15"]
DECLINED = ["timer 3"]
REJOIN = ["no music caller", "add agent to hold", "tell agent declined"]
BUTTON: dict[str, object] = {"origin": Origin.BUTTON}
NO_TIMER = ["no timer"]
QUICK = ["timer 5"]
HOLDING = ["timer 38"]

# fmt: off
# (state, event, difference from the usual session): next state, effects
Case = tuple[S, K, dict[str, object]]
LEGAL: dict[int, tuple[Case, S, list[str]]] = dict(
    enumerate(
        [
            # --- starting
            ((S.STARTING, K.CALLER_ENTERED, {}), S.STARTING, HOLD),
            ((S.STARTING, K.CALLER_ENTERED, {"transferor": IN}), S.WAITING, [*HOLD, *DIAL, *HOLDING]),
            ((S.STARTING, K.CALLER_ENTERED, {"transferor": IN, "intent": Intent.CANCEL}), S.RETURNING, [*HOLD, *RETURN, *QUICK]),
            ((S.STARTING, K.CALLER_ENTERED, {"transferor": IN, "intent": Intent.COMPLETE}), S.QUEUEING, [*HOLD, *QUEUE, *QUICK]),
            ((S.STARTING, K.CALLER_ENTERED, {"transferor": GONE}), S.QUEUEING, [*HOLD, *QUEUE, *QUICK]),
            ((S.STARTING, K.CALLER_ENTERED, {"transferor": GONE, "may_detach": False}), S.RECALLING, [*HOLD, *RECALL, *QUICK]),
            ((S.STARTING, K.TRANSFEROR_ENTERED, {}), S.STARTING, SEAT),
            ((S.STARTING, K.TRANSFEROR_ENTERED, {"caller": IN}), S.WAITING, [*SEAT, *DIAL, *HOLDING]),
            ((S.STARTING, K.TRANSFEROR_ENTERED, {"caller": IN, "intent": Intent.CANCEL}), S.RETURNING, [*SEAT, *RETURN, *QUICK]),
            ((S.STARTING, K.TRANSFEROR_ENTERED, {"caller": IN, "intent": Intent.COMPLETE}), S.QUEUEING, [*QUEUE, *QUICK]),
            ((S.STARTING, K.TRANSFEROR_GONE, {}), S.STARTING, []),
            ((S.STARTING, K.TRANSFEROR_GONE, {"caller": IN}), S.QUEUEING, [*QUEUE, *QUICK]),
            ((S.STARTING, K.TRANSFEROR_GONE, {"caller": IN, "may_detach": False}), S.RECALLING, [*RECALL, *QUICK]),
            ((S.STARTING, K.CALLER_GONE, {}), S.ABANDONED, ["hangup agent", *CLEAR, *NO_TIMER]),
            ((S.STARTING, K.CALLER_GONE, {"transferor": GONE}), S.ABANDONED, [*CLEAR, *NO_TIMER]),
            ((S.STARTING, K.COMPLETE, {}), S.STARTING, []),
            ((S.STARTING, K.CANCEL, {}), S.STARTING, []),
            ((S.STARTING, K.REDIRECTED, {}), S.STARTING, []),
            ((S.STARTING, K.REDIRECT_FAILED, {}), S.FAILED, ["mark caller none", "mark agent none", *CLEAR, *NO_TIMER]),
            ((S.STARTING, K.TIMED_OUT, {}), S.RECALLING, ["hangup agent", *RECALL, *QUICK]),
            # --- by the agent's phone: collecting the target
            ((S.STARTING, K.CALLER_ENTERED, {"transferor": IN, "target": None}), S.COLLECTING, [*HOLD, *ASK, *FIRST_KEY]),
            ((S.STARTING, K.TRANSFEROR_ENTERED, {"caller": IN, "target": None}), S.COLLECTING, [*SEAT, *ASK, *FIRST_KEY]),
            ((S.COLLECTING, K.CHOSEN, {}), S.WAITING, ["hush", *DIAL, *HOLDING]),
            ((S.COLLECTING, K.CHOSEN, {"mode": Mode.UNSUPERVISED}), S.QUEUEING, [*QUEUE, *QUICK]),
            ((S.COLLECTING, K.WRONG_CHOICE, {}), S.COLLECTING, []),
            ((S.COLLECTING, K.WRONG_CHOICE, {"tries": 2}), S.RETURNING, [*RETURN, *QUICK]),
            ((S.COLLECTING, K.CANCEL, {}), S.RETURNING, [*RETURN, *QUICK]),
            ((S.COLLECTING, K.TIMED_OUT, {}), S.RETURNING, [*RETURN, *QUICK]),
            ((S.COLLECTING, K.TRANSFEROR_GONE, {}), S.RECALLING, [*RECALL, *QUICK]),
            ((S.COLLECTING, K.CALLER_GONE, {}), S.ABANDONED, ["hangup agent", *CLEAR, *NO_TIMER]),
            # --- by the phone's Transfer button: refused
            ((S.STARTING, K.CALLER_ENTERED, {"transferor": IN, "refused": True}), S.DECLINED, ["add caller to hold", "tell agent declined", *DECLINED]),
            ((S.STARTING, K.TRANSFEROR_ENTERED, {"caller": IN, "refused": True}), S.DECLINED, ["add agent to hold", "tell agent declined", *DECLINED]),
            ((S.DECLINED, K.TRANSFEROR_GONE, {}), S.RECALLING, [*RECALL, *QUICK]),
            ((S.DECLINED, K.TIMED_OUT, {}), S.RETURNING, [*RETURN, *QUICK]),
            ((S.DECLINED, K.CALLER_GONE, {}), S.ABANDONED, ["hangup agent", *CLEAR, *NO_TIMER]),
            ((S.DECLINED, K.LEG_GONE, {}), S.DECLINED, []),
            # --- by the phone's Transfer button: to somebody it has called already
            ((S.STARTING, K.CALLER_ENTERED, {"transferor": IN, "leg": IN, "attended": True}), S.COMPLETING, [*HOLD, *COMPLETE, *QUICK]),
            ((S.STARTING, K.TRANSFEROR_ENTERED, {"caller": IN, "leg": IN, "attended": True}), S.COMPLETING, [*SEAT, *COMPLETE, *QUICK]),
            ((S.STARTING, K.TRANSFEROR_GONE, {"caller": IN, "leg": IN, "attended": True}), S.COMPLETING, [*COMPLETE, *QUICK]),
            ((S.STARTING, K.CALLER_ENTERED, {"transferor": IN, "leg": GONE, "attended": True}), S.DECLINED, [*HOLD, *REJOIN, *DECLINED]),
            ((S.STARTING, K.TRANSFEROR_ENTERED, {"caller": IN, "leg": GONE, "attended": True}), S.DECLINED, [*REJOIN, *DECLINED]),
            ((S.STARTING, K.LEG_GONE, {"leg": IN, "attended": True}), S.STARTING, []),
            ((S.COMPLETING, K.BRIDGED, BUTTON), S.COMPLETED, ["tell agent done", "hangup agent", *CLEAR, *NO_TIMER]),
            ((S.COMPLETING, K.BRIDGED, {**BUTTON, "attended": True}), S.COMPLETED, ["mark leg done", "tell agent done", "hangup agent", *CLEAR, *NO_TIMER]),
            ((S.COMPLETING, K.BRIDGED, {**BUTTON, "attended": True, "transferor": GONE}), S.COMPLETED, ["mark leg done", *CLEAR, *NO_TIMER]),
            ((S.COMPLETING, K.BRIDGE_FAILED, BUTTON), S.DECLINED, [*REJOIN, *DECLINED]),
            ((S.COMPLETING, K.TIMED_OUT, BUTTON), S.DECLINED, [*REJOIN, *DECLINED]),
            # --- by the phone's Transfer button: unsupervised
            *(
                ((state, K.TRANSFEROR_ENTERED, BUTTON), state, ["tell agent done", "release agent"])
                for state in (S.QUEUEING, S.QUEUED, S.OFFERED)
            ),
            # --- waiting and ringing: the same, except that only a waiting leg starts to ring
            ((S.WAITING, K.LEG_RINGING, {}), S.RINGING, ["no music agent", "ringback agent"]),
            ((S.RINGING, K.LEG_RINGING, {}), S.RINGING, []),
            *(
                case
                for state in (S.WAITING, S.RINGING)
                for case in [
                    ((state, K.LEG_ANSWERED, {}), S.CONSULTING, [*QUIET, "add leg to consult", *NO_TIMER]),
                    ((state, K.LEG_UNANSWERED, {}), S.RETURNING, [*RETURN, "hangup leg", *QUICK]),
                    ((state, K.LEG_LEFT_QUEUE, {}), S.RETURNING, [*RETURN, "hangup leg", *QUICK]),
                    ((state, K.LEG_FAILED, {}), S.RETURNING, [*RETURN, *QUICK]),
                    ((state, K.LEG_GONE, {}), S.RETURNING, [*RETURN, *QUICK]),
                    ((state, K.TRANSFEROR_GONE, {}), S.RELEASING_LEG, ["hangup leg", *QUICK]),
                    ((state, K.TRANSFEROR_GONE, {"may_detach": False}), S.RECALLING, ["hangup leg", *RECALL, *QUICK]),
                    ((state, K.CALLER_GONE, {}), S.ABANDONED, ["hangup leg", "hangup agent", *CLEAR, *NO_TIMER]),
                    ((state, K.COMPLETE, {}), S.RELEASING_LEG, ["hangup leg", *QUICK]),
                    ((state, K.CANCEL, {}), S.RETURNING, [*RETURN, "hangup leg", *QUICK]),
                    ((state, K.TIMED_OUT, {}), S.RETURNING, [*RETURN, "hangup leg", *QUICK]),
                ]
            ),
            # --- consulting
            ((S.CONSULTING, K.COMPLETE, {}), S.COMPLETING, [*COMPLETE, *QUICK]),
            ((S.CONSULTING, K.TRANSFEROR_GONE, {}), S.COMPLETING, [*COMPLETE, *QUICK]),
            ((S.CONSULTING, K.CANCEL, {}), S.RETURNING, [*RETURN, "hangup leg", *QUICK]),
            ((S.CONSULTING, K.LEG_GONE, {}), S.RETURNING, [*RETURN, *QUICK]),
            ((S.CONSULTING, K.CALLER_GONE, {}), S.ABANDONED, ["hangup leg", "hangup agent", *CLEAR, *NO_TIMER]),
            ((S.CONSULTING, K.SWAP, {}), S.SWAPPED, TO_CALLER),
            ((S.CONSULTING, K.CONFERENCE, {}), S.CONFERENCE, JOIN_CALLER),
            ((S.CONSULTING, K.COMPLETE, {"fourth": IN}), S.CONFERENCE_WITHOUT_TRANSFEROR, [*JOIN_CALLER, "hangup agent"]),
            ((S.CONSULTING, K.TRANSFEROR_GONE, {"fourth": IN}), S.CONFERENCE_WITHOUT_TRANSFEROR, JOIN_CALLER),
            ((S.CONSULTING, K.LEG_GONE, {"fourth": IN}), S.CONSULTING, []),
            # --- swapped
            ((S.SWAPPED, K.SWAP, {}), S.CONSULTING, ["hush", "no music leg", "not swapped agent", "add agent to consult", "music caller"]),
            ((S.SWAPPED, K.CONFERENCE, {}), S.CONFERENCE, ["hush", "no music leg", "not swapped agent", "add agent to consult", "add caller to consult"]),
            ((S.SWAPPED, K.COMPLETE, {"fourth": IN}), S.CONFERENCE_WITHOUT_TRANSFEROR, [*JOIN_CALLER, "hangup agent"]),
            ((S.SWAPPED, K.TRANSFEROR_GONE, {"fourth": IN}), S.CONFERENCE_WITHOUT_TRANSFEROR, JOIN_CALLER),
            ((S.SWAPPED, K.LEG_GONE, {"fourth": IN}), S.SWAPPED, ["music fourth"]),
            ((S.SWAPPED, K.FOURTH_ANSWERED, {"fourth": OUT}), S.SWAPPED, ["no music leg", "add fourth to consult"]),
            ((S.SWAPPED, K.FOURTH_FAILED, {"fourth": OUT}), S.SWAPPED, []),
            ((S.SWAPPED, K.FOURTH_GONE, {"fourth": IN}), S.SWAPPED, ["music leg"]),
            # --- conference
            ((S.CONFERENCE, K.COMPLETE, {"fourth": IN}), S.CONFERENCE_WITHOUT_TRANSFEROR, ["hangup agent"]),
            ((S.CONFERENCE, K.TRANSFEROR_GONE, {"fourth": IN}), S.CONFERENCE_WITHOUT_TRANSFEROR, []),
            ((S.CONFERENCE, K.LEG_GONE, {"fourth": IN}), S.CONFERENCE, []),
            ((S.CONFERENCE, K.CALLER_GONE, {}), S.DISSOLVING, ["hush", "mark agent done", "mark leg done", "bridge agent leg", *QUICK]),
            ((S.CONFERENCE, K.CALLER_GONE, {"fourth": OUT}), S.DISSOLVING, ["hangup fourth", "hush", "mark agent done", "mark leg done", "bridge agent leg", *QUICK]),
            ((S.CONFERENCE, K.CALLER_GONE, {"fourth": IN}), S.CONFERENCE_WITHOUT_TRANSFEROR, []),
            # --- what is the same wherever the transferor has a target who talks
            *(
                case
                for state in (S.CONSULTING, S.SWAPPED, S.CONFERENCE)
                for quiet in [["no music leg"] if state is S.SWAPPED else []]
                for case in [
                    ((state, K.COMPLETE, {"fourth": OUT}), S.COMPLETING, ["hangup fourth", *quiet, *COMPLETE, *QUICK]),
                    ((state, K.TRANSFEROR_GONE, {"fourth": OUT}), S.COMPLETING, ["hangup fourth", *quiet, *COMPLETE, *QUICK]),
                    ((state, K.CANCEL, {"fourth": IN}), S.RETURNING, [*RETURN, "hangup leg", "hangup fourth", *QUICK]),
                    ((state, K.LEG_GONE, {"fourth": OUT}), S.RETURNING, [*RETURN, "hangup fourth", *QUICK]),
                    ((state, K.DROP_TARGET, {"fourth": IN}), state, ["hangup leg"]),
                    ((state, K.DROP_TARGET, {}), S.RETURNING, [*RETURN, "hangup leg", *QUICK]),
                    ((state, K.DROP_FOURTH, {"fourth": IN}), state, ["hangup fourth"]),
                ]
            ),
            *(
                case
                for state in (S.CONSULTING, S.CONFERENCE)
                for case in [
                    ((state, K.ADD_PARTY, {}), state, []),  # the event has the party: below
                    ((state, K.FOURTH_ANSWERED, {"fourth": OUT}), state, ["add fourth to consult"]),
                    ((state, K.FOURTH_FAILED, {"fourth": OUT}), state, []),
                    ((state, K.FOURTH_GONE, {"fourth": IN}), state, []),
                ]
            ),
            *(
                case
                for state in (S.SWAPPED, S.CONFERENCE)
                for quiet in [["no music leg"] if state is S.SWAPPED else []]
                for case in [
                    ((state, K.COMPLETE, {}), S.COMPLETING, [*quiet, *COMPLETE, *QUICK]),
                    ((state, K.TRANSFEROR_GONE, {}), S.COMPLETING, [*quiet, *COMPLETE, *QUICK]),
                    ((state, K.CANCEL, {}), S.RETURNING, [*RETURN, "hangup leg", *QUICK]),
                    ((state, K.LEG_GONE, {}), S.RETURNING, [*RETURN, *QUICK]),
                ]
            ),
            *(
                ((state, K.CALLER_GONE, {"fourth": IN}), S.ABANDONED, [*DROP_ALL, *CLEAR, *NO_TIMER])
                for state in (S.CONSULTING, S.SWAPPED)
            ),
            # --- shared: without the transferor (as in `sessions`), or without the caller
            ((S.CONFERENCE_WITHOUT_TRANSFEROR, K.LEG_GONE, {"fourth": IN}), S.DISSOLVING, ["mark fourth done", "mark caller done", "bridge fourth caller", *QUICK]),
            ((S.CONFERENCE_WITHOUT_TRANSFEROR, K.FOURTH_GONE, {"fourth": IN}), S.DISSOLVING, [*COMPLETE_BOTH, *QUICK]),
            ((S.CONFERENCE_WITHOUT_TRANSFEROR, K.TRANSFEROR_GONE, {"fourth": IN}), S.CONFERENCE_WITHOUT_TRANSFEROR, []),
            ((S.CONFERENCE_WITHOUT_TRANSFEROR, K.CALLER_GONE, {"fourth": IN}), S.COMPLETED, ["hangup leg", "hangup fourth", *CLEAR, *NO_TIMER]),
            ((S.CONFERENCE_WITHOUT_TRANSFEROR, K.TRANSFEROR_GONE, {"fourth": IN, "transferor": IN, "caller": GONE}), S.ABANDONED, ["hangup leg", "hangup fourth", *CLEAR, *NO_TIMER]),
            ((S.CONFERENCE_WITHOUT_TRANSFEROR, K.FOURTH_GONE, {"fourth": IN, "transferor": IN, "caller": GONE}), S.DISSOLVING, ["hush", "mark agent done", "mark leg done", "bridge agent leg", *QUICK]),
            # --- parting
            ((S.DISSOLVING, K.BRIDGED, {"outcome": S.COMPLETED}), S.COMPLETED, [*CLEAR, *NO_TIMER]),
            ((S.DISSOLVING, K.BRIDGED, {"outcome": S.ABANDONED}), S.ABANDONED, [*CLEAR, *NO_TIMER]),
            ((S.DISSOLVING, K.BRIDGED, {"outcome": S.FAILED}), S.FAILED, [*CLEAR, *NO_TIMER]),
            *(
                case
                for kind in (K.BRIDGE_FAILED, K.TIMED_OUT)
                for case in [
                    ((S.DISSOLVING, kind, {"outcome": S.COMPLETED, "leg": GONE}), S.COMPLETED, ["release caller", *CLEAR, *NO_TIMER]),
                    ((S.DISSOLVING, kind, {"outcome": S.FAILED, "transferor": IN, "caller": GONE}), S.FAILED, ["hangup agent", "hangup leg", *CLEAR, *NO_TIMER]),
                    ((S.DISSOLVING, kind, {"outcome": S.ABANDONED, "transferor": IN, "caller": GONE}), S.ABANDONED, ["hangup agent", "hangup leg", *CLEAR, *NO_TIMER]),
                ]
            ),
            *(((S.DISSOLVING, kind, {}), S.DISSOLVING, []) for kind in (K.TRANSFEROR_GONE, K.CALLER_GONE, K.LEG_GONE, K.FOURTH_GONE)),
            # --- completing
            ((S.COMPLETING, K.BRIDGED, {}), S.COMPLETED, ["hangup agent", *CLEAR, *NO_TIMER]),
            ((S.COMPLETING, K.BRIDGED, {"transferor": GONE}), S.COMPLETED, [*CLEAR, *NO_TIMER]),
            ((S.COMPLETING, K.BRIDGE_FAILED, {}), S.RETURNING, [*RETURN, "hangup leg", *QUICK]),
            ((S.COMPLETING, K.BRIDGE_FAILED, {"leg": GONE}), S.RETURNING, [*RETURN, *QUICK]),
            ((S.COMPLETING, K.BRIDGE_FAILED, {"transferor": GONE}), S.RECALLING, ["hangup leg", *RECALL, *QUICK]),
            ((S.COMPLETING, K.LEG_GONE, {}), S.COMPLETING, []),
            ((S.COMPLETING, K.TRANSFEROR_GONE, {}), S.COMPLETING, []),
            ((S.COMPLETING, K.CALLER_GONE, {}), S.ABANDONED, ["hangup leg", "hangup agent", *CLEAR, *NO_TIMER]),
            ((S.COMPLETING, K.TIMED_OUT, {}), S.RETURNING, [*RETURN, "hangup leg", *QUICK]),
            ((S.COMPLETING, K.TIMED_OUT, {"transferor": GONE}), S.RECALLING, ["hangup leg", *RECALL, *QUICK]),
            # --- returning
            ((S.RETURNING, K.BRIDGED, {"outcome": S.CANCELLED}), S.CANCELLED, [*CLEAR, *NO_TIMER]),
            ((S.RETURNING, K.BRIDGED, {"outcome": S.FAILED}), S.FAILED, [*CLEAR, *NO_TIMER]),
            ((S.RETURNING, K.BRIDGE_FAILED, {}), S.RECALLING, ["hangup agent", *RECALL, *QUICK]),
            ((S.RETURNING, K.LEG_ANSWERED, {}), S.RETURNING, ["hangup leg"]),
            ((S.RETURNING, K.LEG_FAILED, {}), S.RETURNING, []),
            ((S.RETURNING, K.LEG_GONE, {}), S.RETURNING, []),
            ((S.RETURNING, K.TRANSFEROR_GONE, {}), S.RETURNING, []),
            ((S.RETURNING, K.CALLER_GONE, {}), S.ABANDONED, ["hangup agent", *CLEAR, *NO_TIMER]),
            ((S.RETURNING, K.TIMED_OUT, {}), S.RECALLING, ["hangup agent", *RECALL, *QUICK]),
            # --- detaching
            ((S.RELEASING_LEG, K.LEG_GONE, {}), S.QUEUEING, [*QUEUE, *QUICK]),
            ((S.RELEASING_LEG, K.LEG_FAILED, {}), S.QUEUEING, [*QUEUE, *QUICK]),
            ((S.RELEASING_LEG, K.LEG_ANSWERED, {}), S.RELEASING_LEG, ["hangup leg"]),
            ((S.RELEASING_LEG, K.TRANSFEROR_GONE, {}), S.RELEASING_LEG, []),
            ((S.RELEASING_LEG, K.CALLER_GONE, {}), S.ABANDONED, ["hangup leg", "hangup agent", *CLEAR, *NO_TIMER]),
            ((S.RELEASING_LEG, K.TIMED_OUT, {}), S.QUEUEING, [*QUEUE, *QUICK]),
            # --- queueing
            ((S.QUEUEING, K.REDIRECTED, {}), S.QUEUED, ["hangup agent", *CLEAR, *HOLDING]),
            ((S.QUEUEING, K.REDIRECTED, {"transferor": GONE}), S.QUEUED, [*CLEAR, *HOLDING]),
            ((S.QUEUEING, K.REDIRECT_FAILED, {}), S.FAILED, ["mark caller none", "mark agent none", *CLEAR, *NO_TIMER]),
            ((S.QUEUEING, K.REDIRECT_FAILED, {"caller": IN}), S.RECALLING, [*RECALL, *QUICK]),
            ((S.QUEUEING, K.OFFERED, {}), S.OFFERED, ["hangup agent", *CLEAR, *HOLDING]),
            ((S.QUEUEING, K.DELIVERED, {}), S.COMPLETED, ["hangup agent", *CLEAR, *NO_TIMER]),
            ((S.QUEUEING, K.LEFT_QUEUE, {}), S.FAILED, ["hangup agent", *CLEAR, *NO_TIMER]),
            ((S.QUEUEING, K.LEG_GONE, {}), S.QUEUEING, []),
            ((S.QUEUEING, K.TRANSFEROR_GONE, {}), S.QUEUEING, []),
            ((S.QUEUEING, K.CALLER_GONE, {}), S.ABANDONED, ["hangup agent", *CLEAR, *NO_TIMER]),
            ((S.QUEUEING, K.TIMED_OUT, {"caller": IN}), S.RECALLING, [*RECALL, *QUICK]),
            ((S.QUEUEING, K.TIMED_OUT, {}), S.FAILED, ["hangup agent", *CLEAR, *NO_TIMER]),
            # --- queued and offered: app_queue works, we watch
            ((S.QUEUED, K.OFFERED, {}), S.OFFERED, []),
            ((S.OFFERED, K.OFFERED, {}), S.OFFERED, []),
            ((S.OFFERED, K.UNANSWERED, {}), S.QUEUED, []),
            *(
                case
                for state in (S.QUEUED, S.OFFERED)
                for case in [
                    ((state, K.DELIVERED, {}), S.COMPLETED, NO_TIMER),
                    ((state, K.LEFT_QUEUE, {}), S.FAILED, NO_TIMER),
                    ((state, K.CALLER_GONE, {}), S.ABANDONED, NO_TIMER),
                    ((state, K.TRANSFEROR_GONE, {}), state, []),
                    ((state, K.REDIRECTED, {}), state, []),
                    ((state, K.TIMED_OUT, {}), S.FAILED, NO_TIMER),
                ]
            ),
            # --- recalling
            ((S.RECALLING, K.REDIRECTED, {}), S.FAILED, ["hangup agent", *CLEAR, *NO_TIMER]),
            ((S.RECALLING, K.REDIRECTED, {"transferor": GONE}), S.FAILED, [*CLEAR, *NO_TIMER]),
            ((S.RECALLING, K.REDIRECT_FAILED, {}), S.FAILED, ["hangup agent", "release caller", *CLEAR, *NO_TIMER]),
            ((S.RECALLING, K.LEG_ANSWERED, {}), S.RECALLING, ["hangup leg"]),
            ((S.RECALLING, K.LEG_GONE, {}), S.RECALLING, []),
            ((S.RECALLING, K.TRANSFEROR_GONE, {}), S.RECALLING, []),
            ((S.RECALLING, K.CALLER_GONE, {}), S.ABANDONED, ["hangup agent", *CLEAR, *NO_TIMER]),
            ((S.RECALLING, K.TIMED_OUT, {}), S.FAILED, ["hangup agent", "release caller", *CLEAR, *NO_TIMER]),
            # --- the transferor has ended the call before it was moved
            *(((state, K.CALL_ENDED, {}), S.FAILED, ["hangup agent", *CLEAR, *NO_TIMER]) for state in (S.STARTING, S.QUEUEING)),
            # --- the caller is elsewhere, and everybody else is released
            *(
                ((state, K.CALLER_LEFT, {}), S.FAILED, [*LET_BE, "hangup agent", *CLEAR, *NO_TIMER])
                for state in (S.STARTING, S.COLLECTING, S.DECLINED, S.RETURNING, S.QUEUEING, S.RECALLING)
            ),
            *(
                ((state, K.CALLER_LEFT, {}), S.FAILED, [*LET_BE, "hangup leg", "hangup agent", *CLEAR, *NO_TIMER])
                for state in (S.WAITING, S.RINGING, S.CONSULTING, S.SWAPPED, S.COMPLETING, S.RELEASING_LEG)
            ),
            *(
                ((state, K.CALLER_LEFT, {"fourth": IN}), S.FAILED, [*LET_BE, *DROP_ALL, *CLEAR, *NO_TIMER])
                for state in (S.CONSULTING, S.SWAPPED)
            ),
            # but two colleagues talk on who have talked with them
            ((S.CONFERENCE, K.CALLER_LEFT, {}), S.DISSOLVING, [*LET_BE, "hush", "mark agent done", "mark leg done", "bridge agent leg", *QUICK]),
            ((S.CONFERENCE, K.CALLER_LEFT, {"fourth": IN}), S.DISSOLVING, [*LET_BE, "hangup fourth", "hush", "mark agent done", "mark leg done", "bridge agent leg", *QUICK]),
            ((S.CONFERENCE, K.CALLER_LEFT, {"transferor": GONE}), S.FAILED, [*LET_BE, "hangup leg", *CLEAR, *NO_TIMER]),
            ((S.CONFERENCE_WITHOUT_TRANSFEROR, K.CALLER_LEFT, {"fourth": IN}), S.COMPLETED, [*LET_BE, "hangup leg", "hangup fourth", *CLEAR, *NO_TIMER]),
            *(((state, K.CALLER_LEFT, {}), S.FAILED, ["mark caller none", *NO_TIMER]) for state in (S.QUEUED, S.OFFERED)),
        ]
    )
)
# fmt: on

ILLEGAL = sorted(
    set(itertools.product(S, K)) - {(case[0], case[1]) for case, _, _ in LEGAL.values()}
)


@pytest.mark.parametrize(
    ("case", "following", "expected"),
    LEGAL.values(),
    ids=[
        f"{case[0]}-{case[1]}-{'-'.join(map(str, case[2])) or 'usual'}"
        for case, _, _ in LEGAL.values()
    ],
)
def test_legal_pair(case: Case, following: S, expected: list[str]) -> None:
    state, kind, changes = case
    before = session(state, **changes)  # type: ignore[arg-type]  # the table knows the fields
    after, effects, _ = machine.step(before, SessionEvent(kind))
    assert after.state is following
    assert [short(effect) for effect in without_renewals(effects)] == expected


@pytest.mark.parametrize(("state", "kind"), ILLEGAL, ids=[f"{s}-{k}" for s, k in ILLEGAL])
def test_illegal_pair_changes_nothing(state: S, kind: K) -> None:
    before = session(state)
    after, effects, _ = machine.step(before, SessionEvent(kind))
    assert after is before
    assert effects == ()


def test_complete_needs_permission_to_detach() -> None:
    for state in (S.STARTING, S.WAITING, S.RINGING):
        before = session(state, may_detach=False)
        assert not machine.legal(before, K.COMPLETE)
        assert machine.step(before, SessionEvent(K.COMPLETE)) == (before, (), None)


def test_every_row_of_the_table_is_covered() -> None:
    """A row that no case above covers would be untested."""
    taken = set()
    for (state, kind, changes), _, _ in LEGAL.values():
        noted = machine._note(session(state, **changes), SessionEvent(kind))  # type: ignore[arg-type]
        taken.add(id(machine._choose(noted, kind)))
    assert [row for row in ROWS if id(row) not in taken] == []


def run(before: Session, *events: SessionEvent) -> Session:
    for event in events:
        before, _, _ = machine.step(before, event)
    return before


@pytest.mark.parametrize(
    ("events", "final", "reason"),
    [
        ((K.COMPLETE, K.BRIDGED), S.COMPLETED, "completed"),
        ((K.TRANSFEROR_GONE, K.BRIDGED), S.COMPLETED, "completed"),
        ((K.CANCEL, K.BRIDGED), S.CANCELLED, "cancelled"),
        ((K.LEG_GONE, K.BRIDGED), S.FAILED, "target_hangup"),
        ((K.CALLER_GONE,), S.ABANDONED, "caller_hangup"),
        ((K.TRANSFEROR_GONE, K.BRIDGE_FAILED, K.REDIRECTED), S.FAILED, "target_hangup"),
        ((K.CANCEL, K.BRIDGE_FAILED, K.REDIRECTED), S.FAILED, "transferor_hangup"),
    ],
)
def test_how_a_consult_ends(events: tuple[K, ...], final: S, reason: str) -> None:
    after = run(session(S.CONSULTING), *map(SessionEvent, events))
    assert (after.state, after.reason) == (final, reason)


@pytest.mark.parametrize("reason", ["rejected", "no_answer", "max_hold", "target_not_ready"])
def test_why_a_leg_ended_is_reported(reason: str) -> None:
    kind = K.LEG_UNANSWERED if reason in ("rejected", "no_answer") else K.LEG_LEFT_QUEUE
    after = run(session(S.RINGING), SessionEvent(kind, reason), SessionEvent(K.BRIDGED))
    assert (after.state, after.reason) == (S.FAILED, reason)


@pytest.mark.parametrize(
    "kind", [K.REDIRECTED, K.OFFERED, K.DELIVERED, K.LEFT_QUEUE, K.CALLER_GONE]
)
def test_the_dialplan_hangs_up_the_agent_of_an_unsupervised_transfer(kind: K) -> None:
    """AMI Hangup may reach a channel whose PBX has not started, which app_queue would not notice."""
    _, effects, _ = machine.step(
        session(S.QUEUEING, mode=Mode.UNSUPERVISED), SessionEvent(kind, agent="1002")
    )
    assert not [effect for effect in effects if isinstance(effect, fx.HangUp)]


@pytest.mark.parametrize("state", [S.CONSULTING, S.CONFERENCE])
def test_a_fourth_party_is_dialled_by_policys_permission_for_it(state: S) -> None:
    added = SessionEvent(K.ADD_PARTY, fourth=fourth_party(OUT))
    after, effects, _ = machine.step(session(state), added)
    assert after.state is state
    told, dialled = effects[:-1], effects[-1]
    assert short(dialled) == "dial fourth Local/+12015550123@avp-external-leg"
    assert after.fourth is not None
    known = {"AVP_FOURTH_CHANNEL": after.fourth.party.channel}
    parties = (after.caller.channel, after.transferor.channel)
    assert told == tuple(fx.SetVariables(channel, known) for channel in parties)
    assert [effect.fourth for effect in effects if isinstance(effect, fx.DialLeg)] == [True]


def test_the_fourth_party_takes_the_place_of_a_target_who_leaves() -> None:
    after = run(session(S.CONSULTING, fourth=IN), SessionEvent(K.LEG_GONE))
    assert (after.leg.channel, after.target_id, after.fourth) == ("avp-t1-1-leg", "party-4", None)
    assert not after.may_detach
    _, effects, _ = machine.step(after, SessionEvent(K.COMPLETE))
    assert short(effects[-2]) == "bridge fourth caller"


@pytest.mark.parametrize(
    ("state", "events", "final", "reason"),
    [
        (S.CONFERENCE, (K.TRANSFEROR_GONE, K.FOURTH_GONE, K.BRIDGED), S.COMPLETED, "completed"),
        # The end of a channel is reported twice: by StasisEnd and by Hangup.
        (
            S.CONFERENCE,
            (K.CALLER_GONE, K.CALLER_GONE, K.LEG_GONE, K.BRIDGED),
            S.ABANDONED,
            "caller_hangup",
        ),
        (
            S.CONFERENCE,
            (K.COMPLETE, K.TRANSFEROR_GONE, K.LEG_GONE, K.BRIDGED),
            S.COMPLETED,
            "completed",
        ),
        (S.CONSULTING, (K.COMPLETE, K.TRANSFEROR_GONE, K.CALLER_GONE), S.COMPLETED, "completed"),
        (S.CONFERENCE, (K.CALLER_GONE, K.LEG_GONE, K.BRIDGED), S.ABANDONED, "caller_hangup"),
        (S.CONFERENCE, (K.CALLER_GONE, K.TRANSFEROR_GONE), S.ABANDONED, "caller_hangup"),
    ],
)
def test_how_a_talk_of_four_ends(state: S, events: tuple[K, ...], final: S, reason: str) -> None:
    after = run(session(state, fourth=IN), *map(SessionEvent, events))
    assert (after.state, after.reason) == (final, reason)


def test_agent_hanging_up_while_it_rings_makes_it_unsupervised() -> None:
    after = run(
        session(S.RINGING),
        *map(SessionEvent, (K.TRANSFEROR_GONE, K.LEG_GONE, K.REDIRECTED, K.OFFERED)),
        SessionEvent(K.DELIVERED, agent="1002"),
    )
    assert (after.state, after.reason, after.delivered_to) == (S.COMPLETED, "completed", "1002")


OUTSIDE = Permission(SALES, number="+12025550100")
TO_ACCEPT = Permission(CAREFUL, number="+12025550100")
INSIDE = Permission(CAREFUL, queue="avp-agent-1002", agent="1002")


@pytest.mark.parametrize(
    ("permission", "first", "seconds"),
    [
        # The queue's own maximum; the ring time; the ring time and an acceptance; and grace.
        (INSIDE, None, 8 + 30),
        (OUTSIDE, None, 45 + 30),
        (TO_ACCEPT, fx.Destination("avp-accept", "s"), 45 + 60 + 30),
    ],
)
def test_who_has_to_accept_and_how_long_it_may_take(
    permission: Permission, first: fx.Destination | None, seconds: float
) -> None:
    before = session(S.STARTING, transferor=IN, permission=permission)
    after, effects, _ = machine.step(before, SessionEvent(K.CALLER_ENTERED))
    (dial,) = (effect for effect in effects if isinstance(effect, fx.DialLeg))
    assert dial.first == first
    assert effects[-1] == fx.SetTimer(seconds)
    after, effects, _ = machine.step(after, SessionEvent(K.LEG_RINGING))
    assert not [effect for effect in effects if isinstance(effect, fx.SetTimer)]
    assert after.permission.requires_acceptance is (first is not None)


def test_beginning_marks_before_it_moves() -> None:
    _, effects = machine.begin(session(S.STARTING))
    assert [short(effect) for effect in effects] == [
        "timer 5",
        "mark caller live",
        "mark agent live",
        "redirect caller avp-stasis/caller + agent transferor",
        "create hold",
        "create consult",
    ]
    _, effects = machine.begin(session(S.QUEUEING))
    assert [short(effect) for effect in effects] == [
        "timer 5",
        "mark caller live",
        "mark agent done",
        "redirect caller avp-agent-queue/1002 + agent park",
    ]


def test_a_second_consultation_has_nothing_of_the_first() -> None:
    """The dialplan reads these where somebody hangs up while no daemon runs (avp-orphaned)."""
    _, effects = machine.begin(session(S.STARTING))
    written = {
        (NAMES[effect.channel], name): value
        for effect in effects
        if isinstance(effect, fx.SetVariables)
        for name, value in effect.variables.items()
    }
    assert {who: written[who] for who in FORMER} == dict.fromkeys(FORMER, "")


FORMER = (
    ("agent", "AVP_SWAPPED"),
    ("agent", "AVP_FOURTH_CHANNEL"),
    ("caller", "AVP_FOURTH_CHANNEL"),
    ("caller", "AVP_ALONE"),
)


@pytest.mark.parametrize("case", [case for case, _, _ in LEGAL.values()], ids=str)
def test_nobody_is_moved_while_something_is_said_to_them(case: Case) -> None:
    """Asterisk would play it to the end, with the others in silence (`actions.stop_prompt`)."""
    state, kind, changes = case
    if state in (S.STARTING, S.COMPLETING):
        return  # nothing has been played yet; and `COMPLETING` has hung up or moves nobody
    _, effects, _ = machine.step(session(state, **changes), SessionEvent(kind))  # type: ignore[arg-type]
    said = True
    for effect in effects:
        said = said and not isinstance(effect, fx.StopPlaying)
        match effect:
            case fx.AddToBridge(_, "chan-agent") | fx.BridgePair("chan-agent"):
                assert not said
