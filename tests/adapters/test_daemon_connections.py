"""The daemon and its connections: the answer of /readyz, and automatic reconnection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
from servers.ami_server import Action, AmiServer, error, message, success
from servers.ari_server import Answer, AriServer
from servers.waiting import eventually

from asterisk_avp.config.settings import Settings
from asterisk_avp.core.model.errors import AsteriskUnavailable, OtherDaemon
from asterisk_avp.core.model.world import Mode, Target, TargetKind, TransferRequest
from asterisk_avp.core.pbx import ami_rights
from asterisk_avp.core.pbx.agent import ACW_REASON
from asterisk_avp.service.daemon import Daemon
from asterisk_avp.service.inbox import NeedsResync
from tests.config.test_settings import NEEDED
from tests.ports import free_port

pytestmark = pytest.mark.usefixtures("quiet")

WITHIN = 15.0
PATIENT = "10"
"""Of a daemon that must not take the place of another before that has answered."""
Start = Callable[..., Daemon]


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asterisk_avp.service.readiness._POLL_SECONDS", 0.05)
    monkeypatch.setattr("asterisk_avp.service.resync.RETRY_SECONDS", 0.05)


def empty_list(action: Action) -> bytes:
    name = action["Action"]
    end = message(("Event", f"{name}Complete"), ActionID=action["ActionID"], EventList="Complete")
    return success(action, EventList="start") + end


MEMBER = {
    "Queue": "sales",
    "Name": "Alice",
    "Location": "PJSIP/1001",
    "StateInterface": "PJSIP/1001",
    "Membership": "dynamic",
    "Penalty": "0",
    "CallsTaken": "0",
    "LastCall": "0",
    "InCall": "0",
    "Status": "1",
    "Paused": "0",
    "PausedReason": "",
    "Wrapuptime": "0",
}
"""An item of QueueStatus."""


def event_of(member: dict[str, str]) -> list[tuple[str, str]]:
    """The same in an event, where two headers have other names."""
    names = {"Name": "MemberName", "Location": "Interface"}
    return [(names.get(name, name), value) for name, value in member.items()]


PAUSED = MEMBER | {"Paused": "1", "PausedReason": ACW_REASON}


def has_member(action: Action, member: dict[str, str] = MEMBER) -> bytes:
    """They are a member of sales, by Asterisk's answer."""
    own = ("ActionID", action["ActionID"])
    queue = (("Queue", "sales"), ("Max", "0"), ("Strategy", "ringall"), ("Calls", "0"), own)
    return (
        success(action, EventList="start")
        + message(("Event", "QueueParams"), *queue)
        + message(("Event", "QueueMember"), *member.items(), own)
        + message(("Event", "QueueStatusComplete"), own, EventList="Complete")
    )


@pytest.fixture
async def ami() -> AsyncIterator[AmiServer]:
    async with AmiServer() as server:
        may = dict.fromkeys(ami_rights.ACTIONS, "(Priv: …)")
        server.answers["ListCommands"] = lambda action: success(action, **may)
        for name in ("CoreShowChannels", "QueueStatus", "Status"):
            server.answers[name] = empty_list
        yield server


@pytest.fixture
async def ari() -> AsyncIterator[AriServer]:
    async with AriServer(stasis=True) as server:
        yield server


@pytest.fixture
async def start(ami: AmiServer, ari: AriServer) -> AsyncIterator[Start]:
    tasks: list[asyncio.Task[None]] = []
    stops: list[asyncio.Event] = []

    def begin(**more: str) -> Daemon:
        environ = {
            **NEEDED,
            "AVP_ARI__URL": ari.url,
            "AVP_ARI__USERNAME": "avp",
            "AVP_ARI__PASSWORD": "s3cret",
            "AVP_AMI__PORT": str(ami.port),
            "AVP_AMI__USERNAME": "avp",
            "AVP_AMI__SECRET": "s3cret",
            "AVP_API__PORT": str(free_port()),
            "AVP_AGI__PORT": str(free_port()),
            "AVP_ARI__REQUEST_TIMEOUT_SECONDS": "0.5",
            "AVP_AMI__ACTION_TIMEOUT_SECONDS": "0.5",
            "AVP_ARI__RECONNECT_MAX_SECONDS": "0.1",
            "AVP_AMI__RECONNECT_MAX_SECONDS": "0.1",
            "AVP_ARI__PROBE_SECONDS": "0.1",
            **more,
        }
        daemon = Daemon(Settings.load(environ, Path("/nonexistent")))
        stops.append(asyncio.Event())
        tasks.append(asyncio.create_task(daemon.run(stops[-1]), name="daemon"))
        return daemon

    try:
        yield begin
    finally:
        for stop in stops:
            stop.set()
        await asyncio.wait(tasks, timeout=20)
        for task in tasks:
            ended = task.exception() if task.done() else TimeoutError()
            assert ended is None or isinstance(ended, OtherDaemon)


async def is_ready(daemon: Daemon) -> None:
    await eventually(lambda: daemon.readiness().ready, WITHIN)


async def says(daemon: Daemon, *words: str) -> None:
    def told() -> bool:
        detail = daemon.readiness().detail
        return all(word in detail for word in words)

    try:
        await eventually(told, WITHIN)
    except AssertionError:
        raise AssertionError(f"it says: {daemon.readiness().detail}") from None
    wish = TransferRequest("1001", Mode.SUPERVISED, Target(TargetKind.AGENT, "1002"))
    with pytest.raises(AsteriskUnavailable):
        await daemon.transfer_service.request(wish)


async def test_each_connection_lost_and_found(start: Start, ami: AmiServer, ari: AriServer) -> None:
    daemon = start()
    await is_ready(daemon)
    for _ in range(3):
        await ami.stop()
        await says(daemon, "Not connected to Asterisk: AMI.")
        await ami.listen()
        await is_ready(daemon)
        await ari.stop()
        await says(daemon, "Not connected to Asterisk: ARI.")
        await ari.listen()
        await is_ready(daemon)


async def test_a_wrong_secret_and_a_wrong_password(
    start: Start, ami: AmiServer, ari: AriServer
) -> None:
    ami.secret, ari.password = "another", "another"
    daemon = start()
    await says(daemon, "AMI refuses the user 'avp'", "AVP_AMI__SECRET", "manager.conf")
    await says(daemon, "ARI refuses the user 'avp'", "AVP_ARI__PASSWORD", "ari.conf")
    assert "s3cret" not in daemon.readiness().detail
    ami.secret = ari.password = "s3cret"
    await is_ready(daemon)


async def test_rights_are_missing(start: Start, ami: AmiServer) -> None:
    allowed = ami.answers["ListCommands"]
    ami.answers["ListCommands"] = lambda action: success(action, Redirect="(Priv: call)")
    daemon = start()
    await says(daemon, "may not use", "QueueAdd", "write=", "agent")
    ami.answers["ListCommands"] = allowed
    await is_ready(daemon)


async def test_ami_hangs(start: Start, ami: AmiServer) -> None:
    daemon = start()
    await is_ready(daemon)
    ami.silent = True
    with pytest.raises(AsteriskUnavailable):
        await daemon._ami.action("Getvar", {"Variable": "X"})
    await says(daemon, "AMI does not answer")
    assert daemon.readiness().ami
    ami.silent = False
    for connection in ami.connections:
        if not connection.closed:
            waiting = [a for a in connection.actions if a["Action"] in ("Getvar", "Ping")]
            connection.send(b"".join(success(action) for action in waiting))
    await is_ready(daemon)


async def test_the_state_cannot_be_read(start: Start, ami: AmiServer) -> None:
    ami.answers["QueueStatus"] = lambda action: error(action, "No such thing")
    daemon = start()
    await says(daemon, "Reading the state of Asterisk.", "It failed", "No such thing")
    ami.answers["QueueStatus"] = empty_list
    await is_ready(daemon)


async def test_what_comes_after_the_reading_fails(start: Start, ari: AriServer) -> None:
    """Nothing that raises leaves it unready for ever."""
    ari.answers["GET", "/channels"] = Answer(500, text="?")
    daemon = start()
    await says(daemon, "It failed", "GET /channels")
    del ari.answers["GET", "/channels"]
    await is_ready(daemon)


async def test_the_application_is_stuck(start: Start, ari: AriServer) -> None:
    daemon = start(AVP_ARI__REQUEST_TIMEOUT_SECONDS="0.3")
    await is_ready(daemon)
    ari.stuck = True
    await says(daemon, "delivers no events", "core restart gracefully")
    assert "Not connected" not in daemon.readiness().detail
    assert b"asterisk_avp_stasis_stuck 1.0" in daemon._metrics.text()
    ari.stuck = False
    for socket_ in ari.sockets:
        if not socket_.closed:
            socket_.drop()
    await is_ready(daemon)
    assert b"asterisk_avp_stasis_stuck 0.0" in daemon._metrics.text()


async def test_another_daemon_comes_and_leaves(start: Start, ari: AriServer) -> None:
    first = start()
    await is_ready(first)
    second = start(AVP_ARI__REQUEST_TIMEOUT_SECONDS=PATIENT)
    await says(second, "Another daemon serves the Stasis application")
    assert first.readiness().ready
    assert not second._sync._restored
    assert len(ari.sockets) == 1


async def test_until_it_knows_to_be_alone_it_does_nothing(
    start: Start, ami: AmiServer, ari: AriServer
) -> None:
    """After-call work is over that somebody had extended: both would end the pause."""
    first = start()
    await is_ready(first)
    second = start(AVP_ARI__REQUEST_TIMEOUT_SECONDS=PATIENT)
    await eventually(lambda: len(ami.connections) == 2 and ami.last.logged_in)
    ami.answers["QueueStatus"] = partial(has_member, member=PAUSED)
    for connection in ami.connections:
        connection.event("QueueMemberAdded", ("Privilege", "agent,all"), *event_of(PAUSED))
    await says(second, "Another daemon serves")
    await eventually(lambda: "QueuePause" in ami.connections[0].names())
    assert "QueuePause" not in ami.connections[1].names()


async def test_replaced_by_another_daemon_it_does_nothing_more(
    start: Start, ari: AriServer
) -> None:
    first = start()
    await is_ready(first)
    ari.stuck = True  # the first hears nothing of the question
    second = start(AVP_ARI__PROBE_SECONDS="60")  # nor would the second of its own events
    await eventually(lambda: len(ari.sockets) > 1, WITHIN)
    ari.stuck = False
    await says(first, "Another daemon serves")
    assert first._workers.held
    await is_ready(second)


async def test_a_resync_is_read_once_for_all_who_need_it(start: Start, ami: AmiServer) -> None:
    daemon = start()
    await is_ready(daemon)
    read = len(ami.received("CoreShowChannels"))
    daemon._inbox.post(NeedsResync("nobody's"))
    daemon._inbox.post(NeedsResync())
    await eventually(lambda: len(ami.received("CoreShowChannels")) == read + 1)
    assert daemon.readiness().ready, "that is no reason to refuse transfers"
