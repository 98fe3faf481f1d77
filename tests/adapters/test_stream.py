"""One stream: what the engine hears, in the order in which it came (`service.inbox`).

Asterisk's own order is that of a connection. Between AMI and ARI there is none, and the end of a
call that an action of ours made must not be taken for the end that kept it from being made.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable

import pytest
from servers.ami_server import Action, AmiServer, error, message, success
from servers.pbx import Pbx
from servers.waiting import eventually
from structlog.testing import capture_logs

from asterisk_avp.ami.client import AmiClient
from asterisk_avp.ami.perform import AmiPerformer
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AmiError
from asterisk_avp.core.model.world import Mode, Target, TargetKind, TransferRequest, World
from asterisk_avp.core.pbx.calls import Calls
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import Session
from asterisk_avp.core.transfer.states import State
from asterisk_avp.service.channel_ends import EndWatch
from asterisk_avp.service.daemon import Daemon
from asterisk_avp.service.inbox import Inbox, Message, Report
from asterisk_avp.service.listeners import EngineStep
from asterisk_avp.service.part import Dispatcher
from tests.adapters.test_pbx import daemon, pbx  # noqa: F401 - fixtures
from tests.core.sessions import IN, SALES, session

WITHIN = 10.0


# --- one connection: the answer is told where it stands ----------------------------------------


class Wire:
    """A client of an AMI server, and what was told of its connection, in order."""

    def __init__(self, server: AmiServer) -> None:
        self.server = server
        self.told: list[str] = []
        self.client = AmiClient("127.0.0.1", server.port, "avp", "s3cret")

    def on_event(self, event: object) -> None:
        self.told.append(event["Event"])  # type: ignore[index]

    def answered(self, refusal: AmiError | None) -> None:
        self.told.append("done" if refusal is None else "refused")


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with AmiServer() as server:
        wire = Wire(server)
        running = asyncio.create_task(wire.client.run(wire.on_event, lambda _: None))
        await eventually(lambda: wire.client.connected)
        yield wire
        running.cancel()
        await asyncio.wait([running])


@pytest.mark.parametrize("size", [1, 5, 10_000])
@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("refused", [False, True])
async def test_an_answer_is_told_between_the_events_that_it_came_between(
    wire: Wire, before: int, size: int, *, refused: bool
) -> None:
    """In one segment, and cut into pieces of any size."""
    events = [message(("Event", f"E{number}"), Uniqueid="u1") for number in range(3)]

    def answer(action: Action) -> None:
        its = error(action, "no") if refused else success(action)
        stream = b"".join((*events[:before], its, *events[before:]))
        pieces.append(asyncio.create_task(wire.server.last.send_in_pieces(stream, size)))

    pieces: list[asyncio.Task[None]] = []
    wire.server.answers["Bridge"] = answer
    done = asyncio.gather(
        wire.client.action("Bridge", {"Channel1": "a"}, answered=wire.answered),
        return_exceptions=True,
    )
    await eventually(lambda: len(wire.told) == 4)
    names = ["E0", "E1", "E2"]
    assert wire.told == [*names[:before], "refused" if refused else "done", *names[before:]]
    (result,) = await done
    assert isinstance(result, AmiError) is refused


async def test_what_is_not_sent_is_told_as_a_refusal(wire: Wire) -> None:
    """Then the caller of `action` and whom it tells agree about every answer."""
    with capture_logs(), pytest.raises(AmiError):
        await wire.client.action(
            "Setvar", {"Channel": "a", "Variable": "X", "Value": "${X}"}, answered=wire.answered
        )
    assert wire.told == ["refused"]


async def test_an_answer_that_nobody_waits_for_is_told_to_nobody(wire: Wire) -> None:
    wire.server.answers["Bridge"] = lambda _action: None
    asking = asyncio.create_task(
        wire.client.action("Bridge", {"Channel1": "a"}, answered=wire.answered)
    )
    await eventually(lambda: wire.server.received("Bridge"))
    asking.cancel()
    await asyncio.wait([asking])
    wire.server.last.send(success(wire.server.received("Bridge")[0]))
    wire.server.last.event("Behind", Uniqueid="u1")
    await eventually(lambda: wire.told)
    assert wire.told == ["Behind"]


async def test_who_is_told_may_fail_and_the_rest_goes_on(wire: Wire) -> None:
    def answered(_refusal: AmiError | None) -> None:
        raise RuntimeError("unforeseen")

    with capture_logs() as lines:
        await wire.client.action("Bridge", {"Channel1": "a"}, answered=answered)
        await wire.client.action("Bridge", {"Channel1": "a"}, answered=wire.answered)
    assert wire.told == ["done"]
    assert [line["event"] for line in lines] == ["ami_answer_handler_failed"]


# --- two connections: an end waits for the answer to what is about it -----------------------------


class Stream:
    """A performer, its inbox, and what came out of that."""

    def __init__(self, wire: Wire) -> None:
        self.server = wire.server
        self.out: list[object] = []
        self.inbox = Inbox()
        self.inbox.consume(self.handle)
        self.calls = Calls()
        for channel in ("agent", "caller", "other"):
            self.calls.update(ev.ChannelSeen(channel, channel))
        self.ends = EndWatch(self.calls, lambda _channel: asyncio.sleep(0, False), self.inbox)
        self.performer = AmiPerformer(wire.client, str, ends=self.ends)

    def handle(self, message: Message) -> None:
        if isinstance(message, ev.ChannelGone):
            self.calls.gone(message.id)
            self.out.append(message.id)
        elif isinstance(message, Report):
            self.out.append(message.event.kind)
        self.ends.handle(message)

    def report(self, event: SessionEvent) -> None:
        self.inbox.post(Report("t1", event))

    async def bridge(self, answer: Callable[[Action], bytes], *ends: str, first: bool) -> None:
        """Have two bridged; the ends come before the answer, or behind it."""
        self.server.answers["Bridge"] = lambda _action: None
        doing = asyncio.create_task(
            self.performer.perform(fx.BridgePair("agent", "caller"), self.report)
        )
        await eventually(lambda: self.server.received("Bridge"))
        (action,) = self.server.received("Bridge")
        if not first:
            self.server.last.send(answer(action))
            await eventually(lambda: self.out or self.ends._expected)
        for channel in ends:
            self.inbox.post(ev.ChannelGone(channel))
        if first:
            self.server.last.send(answer(action))
        await asyncio.wait_for(doing, WITHIN)


@pytest.fixture
async def stream(wire: Wire) -> Stream:
    return Stream(wire)


@pytest.mark.parametrize("first", [True, False])
async def test_who_was_bridged_and_then_hung_up(stream: Stream, *, first: bool) -> None:
    await stream.bridge(success, "agent", "caller", first=first)
    assert stream.out == [EventType.BRIDGED, "agent", "caller"]


@pytest.mark.parametrize("first", [True, False])
async def test_who_hung_up_and_could_not_be_bridged(stream: Stream, *, first: bool) -> None:
    def missing(action: Action) -> bytes:
        return error(action, "Channel2 does not exist: caller")

    await stream.bridge(missing, "caller", first=first)
    assert stream.out == ["caller", EventType.BRIDGE_FAILED]


async def test_any_other_refusal_comes_behind_the_ends_before_it(stream: Stream) -> None:
    await stream.bridge(lambda a: error(a, "Unable to add Channel1"), "caller", first=True)
    assert stream.out == ["caller", EventType.BRIDGE_FAILED]


async def test_ends_of_others_wait_for_nothing(stream: Stream) -> None:
    await stream.bridge(success, "other", "caller", first=True)
    assert stream.out == ["other", EventType.BRIDGED, "caller"]


async def test_without_an_answer_an_end_is_told_all_the_same(stream: Stream) -> None:
    doing = asyncio.create_task(
        stream.performer.perform(fx.BridgePair("agent", "caller"), stream.report)
    )
    stream.server.answers["Bridge"] = lambda _action: None
    await eventually(lambda: stream.server.received("Bridge"))
    stream.inbox.post(ev.ChannelGone("caller"))
    assert stream.out == []
    stream.server.last.drop()
    await asyncio.wait([doing])
    assert doing.exception() is not None
    assert stream.out == ["caller"]


# --- the engine: whatever the order, the same end ------------------------------------------------

ACTIONS = {
    State.RETURNING: (EventType.BRIDGED, EventType.BRIDGE_FAILED, ("transferor", "caller")),
    State.COMPLETING: (EventType.BRIDGED, EventType.BRIDGE_FAILED, ("caller", "leg")),
    State.RECALLING: (EventType.REDIRECTED, EventType.REDIRECT_FAILED, ("caller",)),
    State.QUEUEING: (EventType.REDIRECTED, EventType.REDIRECT_FAILED, ("caller", "transferor")),
}
ENDS = ("transferor", "caller", "leg")


def ended(state: State, order: tuple[str, ...], *, done: bool) -> tuple[State, str]:
    """How a transfer ends whose action is answered, and whose parties hang up, in this order."""
    good, bad, about = ACTIONS[state]
    engine = TransferEngine(World(groups={"sales": SALES}), lambda: "new")
    inbox = Inbox()
    inbox.consume(Dispatcher([EngineStep(engine)]).handle)
    intended = {"outcome": OUTCOMES[state]} if state in OUTCOMES else {}
    before: Session = session(state, caller=IN, transferor=IN, leg=IN, **intended)
    engine.store.adopt(before, 1.0, Outcome())
    channels = {name: getattr(before, name).channel for name in ENDS}
    release = inbox.hold_ends([channels[name] for name in about])
    for step in order:
        if step != "answer":
            inbox.post(ev.ChannelGone(channels[step]))
        elif done:
            inbox.post(Report(before.id, SessionEvent(good)))
            release()
        else:
            release()
            inbox.post(Report(before.id, SessionEvent(bad)))
    after = engine.store.records[before.id].session
    return after.state, after.reason


OUTCOMES = {
    State.RETURNING: State.CANCELLED,
    State.COMPLETING: State.COMPLETED,
    State.RECALLING: State.FAILED,
}


@pytest.mark.parametrize("state", ACTIONS)
def test_what_was_done_counts_whoever_hangs_up_in_the_same_moment(state: State) -> None:
    orders = list(itertools.permutations(("answer", *ENDS)))
    first = ended(state, ("answer", *ENDS), done=True)
    assert {ended(state, order, done=True) for order in orders} == {first}
    if state in OUTCOMES:  # else the caller waits in a queue, and has given up
        assert first[0] is OUTCOMES[state]


@pytest.mark.parametrize("state", ACTIONS)
def test_what_was_refused_is_the_doing_of_who_had_hung_up(state: State) -> None:
    for order in itertools.permutations(("answer", *ENDS)):
        if order.index("caller") < order.index("answer"):
            assert ended(state, order, done=False) == (State.ABANDONED, "caller_hangup"), order


# --- the inbox itself ---------------------------------------------------------------------------


def test_what_is_posted_meanwhile_waits_for_its_turn() -> None:
    inbox, seen = Inbox(), []

    def handle(message: Message) -> None:
        seen.append(f"begin {message.session}")  # type: ignore[union-attr]
        if message == first:
            inbox.post(second)
        seen.append(f"end {message.session}")  # type: ignore[union-attr]

    first, second = (Report(name, SessionEvent(EventType.BRIDGED)) for name in "ab")
    inbox.post(first)
    assert seen == [], "nobody is there yet"
    inbox.consume(handle)
    assert seen == ["begin a", "end a", "begin b", "end b"]
    with pytest.raises(RuntimeError, match="within"):
        inbox.run(lambda _: inbox.run(lambda _: None))


def test_a_message_that_cannot_be_handled_holds_up_no_other() -> None:
    inbox, seen = Inbox(), []

    def handle(message: Message) -> None:
        if message == first:
            inbox.post(second)
            raise RuntimeError("unforeseen")
        seen.append(message)

    first, second = (Report(name, SessionEvent(EventType.BRIDGED)) for name in "ab")
    inbox.consume(handle)
    with capture_logs() as lines:
        inbox.post(first)
    assert seen == [second]
    assert [line["event"] for line in lines] == ["message_handler_failed"]


def test_what_changes_the_picture_waits_while_it_is_read() -> None:
    inbox, seen = Inbox(), []
    inbox.consume(seen.append)
    inbox.defer_state_facts()
    waits, enters = ev.ChannelGone("u1"), ev.StasisEntered("u1")
    inbox.post(waits)
    inbox.post(enters)
    assert seen == [enters]
    assert inbox.deferred_state_facts() == [waits]
    inbox.post(waits)
    assert seen == [enters, waits]


def test_an_end_that_two_actions_are_about_waits_for_both() -> None:
    inbox, seen = Inbox(), []
    inbox.consume(seen.append)
    one, two = inbox.hold_ends(["u1", "u2"]), inbox.hold_ends(["u1"])
    for channel in ("u1", "u2", "u3"):
        inbox.post(ev.ChannelGone(channel))
    assert seen == [ev.ChannelGone("u3")]
    one()
    one()
    assert seen == [ev.ChannelGone("u3"), ev.ChannelGone("u2")]
    two()
    assert seen[2:] == [ev.ChannelGone("u1")]
    inbox.post(ev.ChannelGone("u1"))
    assert len(seen) == 4


# --- the daemon -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "outcome"), [("cancel", "cancelled"), ("complete", "completed")]
)
async def test_a_call_that_ends_as_it_is_made_was_made(
    daemon: Daemon,  # noqa: F811
    pbx: Pbx,  # noqa: F811
    command: str,
    outcome: str,
) -> None:
    """Asterisk has bridged them and said so; both hang up. ARI is read first."""
    call = pbx.offer("1001", "sales")
    pbx.answer(call)
    service = daemon.transfer_service
    await eventually(lambda: service.agent("1001").call is not None, WITHIN)
    wish = TransferRequest("1001", Mode.SUPERVISED, Target(TargetKind.AGENT, "1002"))
    transfer = (await service.request(wish)).id
    await eventually(lambda: service.transfer(transfer).state.value == "consulting", WITHIN)

    kept: list[bytes] = []
    bridge = pbx.ami.answers["Bridge"]

    def keep(action: Action) -> None:
        answer = bridge(action)
        assert answer is not None
        kept.append(answer)

    pbx.ami.answers["Bridge"] = keep
    await getattr(service, command)(transfer)
    await eventually(lambda: kept, WITHIN)
    await eventually(lambda: pbx.peer(call.caller) is not None, WITHIN)
    pbx.hang_up(call.caller)
    # What ARI tells behind the end has been read: so has the end.
    behind = pbx.channel("PJSIP/behind-00000001")
    await eventually(lambda: behind.id in daemon._engine.calls.channels, WITHIN)
    assert service.transfer(transfer).state.value in ("cancelling", "completing", "consulting")
    for connection in pbx._connections():
        connection.send(kept[0])
    await eventually(lambda: service.transfer(transfer).ended_reason, WITHIN)
    assert service.transfer(transfer).state.value == outcome
    await eventually(lambda: call.caller.id not in daemon._engine.calls.channels, WITHIN)
