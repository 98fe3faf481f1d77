"""ARI requests over WebSockets of their own, and over HTTP where those cannot be had."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from servers.ari_server import Answer, AriServer
from servers.waiting import eventually
from test_ari_client import APP, PASSWORD, REQUESTS, make_client, running

from asterisk_avp.ari.client import AriClient
from asterisk_avp.ari.request_sockets import MAX_CHARACTERS, SOCKETS, are_taken_by
from asterisk_avp.core.model.errors import AriError, AriGone, AsteriskSilent, AsteriskUnavailable
from asterisk_avp.core.pbx.versions import parse

INFO = ("GET", "/asterisk/info")
LISTS = ("GET /channels", "GET /bridges", "GET /applications")


def runs(server: AriServer, version: str) -> None:
    server.answers[INFO] = Answer(200, {"system": {"version": version}})


@pytest.fixture
async def server() -> AsyncIterator[AriServer]:
    async with AriServer(password=PASSWORD) as one:
        runs(one, "22.10.1")
        yield one


@pytest.fixture
async def client(server: AriServer) -> AsyncIterator[AriClient]:
    """A client that is connected, and whose sockets are in use."""
    one = make_client(server, request_timeout_seconds=1.0)
    async with running(one):
        await used(server, one)
        yield one


def free(client: AriClient) -> int:
    sockets = client._rest._sockets
    return 0 if sockets is None else sockets.free


async def used(server: AriServer, client: AriClient, opened: int = SOCKETS) -> None:
    """Wait until so many have been opened and the last ones tried out, and forget that."""
    await eventually(lambda: len(server.request_sockets) == opened and free(client) == SOCKETS)
    server.asked.clear()
    server.journal.clear()


@pytest.mark.parametrize(
    ("version", "taken"),
    [
        ("20.13.0", False),
        ("20.14.0", True),
        ("21.8.0", False),
        ("21.9.0", True),
        ("22.3.0", False),
        ("22.4.0", True),
        ("22.10.1+dfsg+~cs6.17-1", True),
        ("23.0.0", True),
        ("24.0.0", True),
        ("18.26.4", False),
        ("GIT-master-5a2b", False),
        ("", False),
    ],
)
def test_which_versions_take_them(version, taken):
    assert are_taken_by(parse(version)) is taken


@pytest.mark.parametrize(("call", "line", "query"), REQUESTS, ids=[case[1] for case in REQUESTS])
async def test_every_request_is_the_same_there(server, client, call, line, query):
    await call(client)
    assert server.journal == [line]
    (asked,) = server.asked
    assert asked.query == query
    # A list of all channels can be longer than a frame.
    assert asked.by_websocket is (line not in LISTS)


async def test_bodies_and_quoted_ids(server, client):
    variables = {"AVP_CALLER_ID": "+1202", "__AVP_NO_POP": "yes"}
    await client.channels.originate(
        "Local/1002@avp-agent-queue",
        app=APP,
        channel_id="c1",
        caller_id='"Zoë" <+1202>',
        variables=variables,
    )
    await client.channels.hangup("PJSIP/1?x=%2F#y+z é/../..")
    first, second = server.asked
    assert first.body == {"variables": variables}
    assert first.query["callerId"] == '"Zoë" <+1202>'
    assert second.path == "/channels/PJSIP%2F1%3Fx%3D%252F%23y%2Bz%20%C3%A9%2F..%2F.."
    assert first.by_websocket
    assert second.by_websocket


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, {"message": "Channel not found"}, AriGone),
        (409, {"message": "Channel not in Stasis application"}, AriGone),
        (400, {"message": "no"}, AriError),
        (500, {"error": "Allocation failed"}, AriError),
        (500, None, AsteriskUnavailable),
    ],
)
async def test_refusals_are_told_apart(server, client, status, body, error):
    server.answers["POST", "/channels/c/moh"] = Answer(status, body)
    with pytest.raises(error) as raised:
        await client.channels.start_moh("c")
    assert type(raised.value) is error
    assert server.asked[0].by_websocket


async def test_an_older_asterisk_gets_them_by_http(server):
    runs(server, "20.13.1")
    one = make_client(server)
    async with running(one):
        await eventually(lambda: INFO in {(x.method, x.path) for x in server.asked})
        await one.channels.start_moh("c")
    assert not any(asked.by_websocket for asked in server.asked)
    assert server.request_sockets == []


async def test_sockets_that_never_answer_are_not_used(server):
    server.takes_requests = False
    one = make_client(server)
    async with running(one):
        await eventually(lambda: len(server.request_sockets) == SOCKETS)
        await one.channels.start_moh("c")
    assert not any(asked.by_websocket for asked in server.asked)


async def test_a_slow_request_delays_no_other(server, client):
    hold = asyncio.Event()
    server.answers["POST", "/bridges/b/addChannel"] = Answer(204, hold=hold)
    slow = [asyncio.ensure_future(client.bridges.add_channel("b", f"c{i}")) for i in range(SOCKETS)]
    await eventually(lambda: len(server.asked) == SOCKETS)
    await client.channels.start_moh("c")
    assert [asked.by_websocket for asked in server.asked] == [True] * SOCKETS + [False]
    hold.set()
    await asyncio.gather(*slow)
    await client.channels.start_moh("c")
    assert server.asked[-1].by_websocket


async def test_one_that_is_too_long_goes_by_http(server, client):
    await client.channels.set_variable("c", "X", "x" * MAX_CHARACTERS)
    assert not server.asked[0].by_websocket


async def test_a_socket_is_used_again_once_the_late_response_has_come(server, client):
    hold = asyncio.Event()
    server.answers["POST", "/channels/slow/moh"] = Answer(204, hold=hold)
    silent = [client.channels.start_moh("slow") for _ in range(SOCKETS)]
    for error in await asyncio.gather(*silent, return_exceptions=True):
        assert isinstance(error, AsteriskSilent)
    await client.channels.start_moh("c")
    assert not server.asked[-1].by_websocket
    hold.set()

    await eventually(lambda: free(client) == SOCKETS)
    await client.channels.start_moh("c")
    assert server.asked[-1].by_websocket


async def test_the_outcome_is_unknown_if_the_socket_is_lost_and_it_comes_back(server, client):
    hold = asyncio.Event()
    server.answers["POST", "/channels/c/moh"] = Answer(204, hold=hold)
    asked = asyncio.ensure_future(client.channels.start_moh("c"))
    await eventually(lambda: len(server.asked) == 1)
    for socket in tuple(server.request_sockets):
        socket.drop()
    with pytest.raises(AsteriskUnavailable):
        await asked
    hold.set()
    sent = [asked.path for asked in server.asked]
    assert sent.count("/channels/c/moh") == 1  # nothing is sent twice
    await used(server, client, 2 * SOCKETS)
    await client.channels.answer("c")
    assert server.asked[-1].by_websocket


async def test_what_is_no_response_ends_the_socket_only(server, client):
    for socket in tuple(server.request_sockets):
        await socket.websocket.send_str("[1, 2")
    await eventually(lambda: all(socket.closed for socket in server.request_sockets[:SOCKETS]))
    await used(server, client, 2 * SOCKETS)
    await client.channels.start_moh("c")
    assert client.connected


async def test_events_and_other_responses_there_are_ignored(server, client):
    for socket in server.request_sockets:
        await socket.event("ApplicationReplaced", application=APP)
        await socket.event("RESTResponse", request_id="77", status_code=500)
    await client.channels.start_moh("c")
    assert server.asked[-1].by_websocket
    assert client.connected


async def test_they_end_with_the_connection(server, client):
    before = tuple(server.request_sockets)
    server.last.drop()
    await eventually(lambda: all(socket.closed for socket in before))
    await used(server, client, 2 * SOCKETS)
    await client.channels.start_moh("c")
    assert server.asked[-1].by_websocket


async def test_each_has_an_application_of_its_own(server, client):
    apps = {socket.request.query["app"] for socket in server.request_sockets}
    assert len(apps) == SOCKETS
    assert APP not in apps
    assert all(s.request.query["subscribeAll"] == "false" for s in server.request_sockets)
