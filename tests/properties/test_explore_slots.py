"""Two agents who transfer to the same target, in every order of events to a given depth.

Promise: at most one transferred call waits for an agent. A personal queue holds one (``maxlen=1``),
and Asterisk rejects a call that finds it occupied when the transferor may already be gone; so no
second call may even try. And whoever looks at the target is told when the slot is taken and when it
is free again: a panel that is not would offer them to nobody. `test_explore` explores one transfer
in every order; this explores two, less deeply.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import Refused
from asterisk_avp.core.model.world import Mode
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.machine import legal
from asterisk_avp.core.transfer.session import other_half
from tests.core.world import NOW, WORLD, call, member, request

DEPTH = 5
BEGUN: dict[str, tuple[tuple[str, ...], ...]] = {
    "nobody has asked": (),
    "one consultation is under way": (
        ("asks", "1001", Mode.SUPERVISED),
        ("does", "enter", "u-caller1"),
        ("does", "enter", "u-1001"),
    ),
    "its caller has gone": (
        ("asks", "1001", Mode.SUPERVISED),
        ("does", "enter", "u-caller1"),
        ("does", "enter", "u-1001"),
        ("ends", "u-caller1"),
    ),
}
"""The starting points; `DEPTH` counts from there."""
TARGET, SLOT = "1002", "avp-agent-1002"
CALLERS = {"1001": "caller1", "1004": "caller2"}

# Pending requests to Asterisk: the kind, and the channel or session.
Todo = tuple[str, str]


@dataclass
class CallCentre:
    """Our picture, beside the state of a very simple Asterisk."""

    engine: TransferEngine
    ids: int = 0
    slot: str = ""
    """The call in the target's queue."""
    todo: Counter[Todo] = field(default_factory=Counter)
    over: frozenset[str] = frozenset()
    """Channels that have ended."""
    way: tuple[str, ...] = ()
    shown: bool = False
    """Whether the slot is taken, as panels were last told."""

    def new_id(self) -> str:
        self.ids += 1
        return f"t{self.ids}"

    def __deepcopy__(self, memo: dict[int, Any]) -> CallCentre:
        memo[id(WORLD)] = WORLD
        for record in self.engine.store.records.values():
            memo[id(record.session)] = record.session
        made = CallCentre(self.engine, self.ids, self.slot, Counter(self.todo), self.over)
        made.way, made.shown = self.way, self.shown
        memo[id(self)] = made  # `new_id` refers back here
        made.engine = deepcopy(self.engine, memo)
        made.engine.factory.new_id = made.new_id
        return made

    @property
    def key(self) -> tuple[object, ...]:
        sessions = sorted(
            (s.agent, s.state, s.mode, s.intent, s.transferor.presence, s.caller.presence)
            for s in self.engine.store.sessions()
        )
        todo = sorted((what, self.of(who)) for what, who in self.todo.elements())
        waits = sorted(self.of(who) for who in self.engine.agents.by_id[TARGET].waiting)
        gone = sorted(map(self.of, self.over))
        return (*sessions, self.of(self.slot), *todo, "waits", *waits, "gone", *gone)

    def of(self, who: str) -> str:
        """A name that does not depend on the number of transfers so far."""
        for record in self.engine.store.records.values():
            who = who.replace(record.session.id + "-", record.session.agent + "-")
            who = record.session.agent if who == record.session.id else who
        return who

    # --- what Asterisk does ------------------------------------------------------------------

    def take(self, outcome: Outcome) -> None:
        taken = self.engine.slot_taken(TARGET)
        assert TARGET in outcome.agents or taken == self.shown, f"{taken} untold: {self.way}"
        self.shown = taken
        for session_id, effect in outcome.effects:
            match effect:
                case fx.Redirect(channel, destination, extra):
                    if destination.context == "avp-stasis":
                        self.todo["enter", channel] += 1
                        if extra:
                            self.todo["enter", extra] += 1
                    elif destination == fx.Destination("avp-agent-queue", TARGET):
                        self.todo["join", channel] += 1
                    if session_id:
                        self.todo["redirected", session_id] += 1
                case fx.DialLeg(channel=leg, other_channel=other):
                    for number, half in ((1, leg), (2, other)):
                        name = f"Local/{TARGET}@avp-agent-queue-00000001;{number}"
                        self.told(ev.ChannelSeen(half, name))
                    self.todo["join", other] += 1
                case fx.HangUp(channel) if channel.endswith("-leg"):
                    self.todo["end", channel] += 1
                case fx.BridgePair() if session_id:
                    self.todo["bridged", session_id] += 1

    def told(self, *facts: ev.Fact) -> None:
        for fact in facts:
            self.take(self.engine.fact(fact, NOW))

    def does(self, what: str, who: str) -> None:
        self.todo -= Counter([(what, who)])
        match what:
            case "enter" if who not in self.over:
                self.told(ev.StasisEntered(who))
            case "join" if who not in self.over:
                assert not self.slot, f"{who} finds the slot taken: {self.way}"
                self.slot = who
                self.told(ev.QueueJoined(SLOT, who))
            case "end" if who not in self.over:
                self.ends(who)
                if who.endswith("-leg"):  # and its other half a moment later
                    self.todo["end", other_half(who)] += 1
            case "redirected":
                self.take(self.engine.report(who, SessionEvent(EventType.REDIRECTED), NOW))
            case "bridged":
                self.take(self.engine.report(who, SessionEvent(EventType.BRIDGED), NOW))

    def ends(self, *channels: str) -> None:
        self.over |= set(channels)
        for channel in channels:
            if self.slot == channel:
                self.slot = ""
                self.told(ev.QueueLeft(SLOT, channel))
            self.told(ev.ChannelGone(channel))

    def answers(self) -> None:
        """The target takes the waiting call."""
        who, self.slot = self.slot, ""
        self.told(ev.QueueLeft(SLOT, who), ev.AgentConnected(SLOT, who, f"PJSIP/{TARGET}"))
        if who.endswith("-queue"):
            self.told(ev.StasisEntered(who.removesuffix("-queue")))


def centre() -> CallCentre:
    made = CallCentre(TransferEngine(WORLD, new_id=lambda: ""))
    made.engine.factory.new_id = made.new_id
    for agent in ("1001", "1002", "1004"):
        made.engine.fact(member(agent), NOW)
    for agent, caller in CALLERS.items():
        call(made.engine, agent, caller)
    return made


def moves(now: CallCentre) -> Iterator[tuple[str, ...]]:
    """Everything that may happen next."""
    yield from (("does", *todo) for todo in now.todo)
    if now.slot:
        yield ("answers",)
    for agent, caller in CALLERS.items():
        if now.engine.store.transferring(agent) is None and f"u-{agent}" not in now.over:
            yield from (("asks", agent, mode) for mode in Mode)
        for channel in (f"u-{agent}", f"u-{caller}"):
            if channel not in now.over and now.engine.store.role_of(channel):
                yield ("ends", channel)
    for session in now.engine.store.sessions():
        for kind in (EventType.COMPLETE, EventType.CANCEL):
            if legal(session, kind):
                yield ("wants", session.id, kind)


def after(before: CallCentre, move: tuple[str, ...]) -> CallCentre | None:
    """The call centre afterwards; None if the event has no effect."""
    now = deepcopy(before)
    now.way = (*before.way, " ".join(move))
    try:
        match move:
            case ("does", what, who):
                now.does(what, who)
            case ("answers",):
                now.answers()
            case ("ends", channel):
                now.ends(channel)
            case ("asks", agent, mode):
                asked = request(agent, TARGET, mode=Mode(mode))
                now.take(now.engine.request(asked, CallVariables(), NOW)[1])
            case ("wants", session_id, kind):
                now.take(now.engine.command(session_id, EventType(kind), NOW))
    except Refused:
        return None
    return now


@pytest.mark.parametrize("how", BEGUN)
def test_at_most_one_waits_for_an_agent(how: str) -> None:
    """Prints the number of states of the call centre, and of the steps between them."""
    begun = centre()
    for move in BEGUN[how]:
        moved = after(begun, move)
        assert moved is not None
        begun = moved
    deepest = len(begun.way) + DEPTH
    known, waiting, ways, seen = {begun.key}, deque([begun]), 0, set()
    while waiting:
        before = waiting.popleft()
        seen |= {(s.state.spec.reported, s.mode) for s in before.engine.store.sessions()}
        if len(before.way) == deepest:
            continue
        for move in moves(before):
            now = after(before, move)
            if now is None:
                continue
            ways += 1
            if now.key not in known:
                known.add(now.key)
                waiting.append(now)
    print(f"{how}: {len(known)} places to a depth of {DEPTH}, {ways} ways")
    assert {mode for _, mode in seen} == set(Mode), "it has come as far as two transfers"
