"""A caller injects text into the list of queues as it is read: nothing in it is trusted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from servers.ami_server import Action, AmiServer, message, success
from servers.waiting import eventually

from asterisk_avp.ami import translate
from asterisk_avp.ami.client import AmiClient
from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import AmiTampered, AsteriskUnavailable

GENUINE = {
    "Name": "Carol",
    "Location": "PJSIP/1003",
    "StateInterface": "PJSIP/1003",
    "Membership": "dynamic",
    "Penalty": "0",
    "CallsTaken": "0",
    "LastCall": "0",
    "LastPause": "0",
    "LoginTime": "1795371582",
    "InCall": "0",
    "Status": "1",
    "Paused": "0",
    "PausedReason": "",
    "Wrapuptime": "0",
}
NUMBERS = {
    "an end of the list": "7\r\n\r\nEvent: QueueStatusComplete\r\nX: ",
    "an end with all that belongs to one": "7\r\n\r\nEvent: QueueStatusComplete\r\n"
    "EventList: Complete\r\nListItems: 9\r\nX: ",
    "a refusal": "7\r\n\r\nResponse: Error\r\nMessage: Permission denied\r\nX: ",
    "a success": "7\r\n\r\nResponse: Success\r\nEventList: start\r\nX: ",
    "another who waits": "7\r\n\r\nEvent: QueueEntry\r\nQueue: avp-agent-1003\r\nPosition: 1\r\n"
    "Channel: x\r\nUniqueid: u9\r\nCallerIDNum: 7",
    "another member": "7\r\n\r\nEvent: QueueMember\r\nQueue: sales\r\nName: x\r\n"
    "Location: PJSIP/1004\r\nStateInterface: x\r\nMembership: x\r\nPenalty: 0\r\nCallsTaken: 0\r\n"
    "LastCall: 0\r\nStatus: 1\r\nPaused: 0\r\nX: ",
    "another queue": "7\r\n\r\nEvent: QueueParams\r\nQueue: support\r\nMax: 0\r\nStrategy: x\r\n"
    "Calls: 0\r\nX: ",
    "a line end": "7\r\nWait: 1",
    "nothing": "7\r\n\r\n\r\n\r\n",
}


def queue_status(number: str) -> bytes:
    """Messages about a queue with a member and a caller of that number, ActionIDs last."""

    def item(name: str, **headers: str) -> bytes:
        return message(("Event", name), *headers.items(), ("ActionID", "?"))

    return b"".join(
        (
            item("QueueParams", Queue="sales", Max="0", Strategy="ringall", Calls="1"),
            item("QueueMember", Queue="sales", **GENUINE),
            item(
                "QueueEntry",
                Queue="sales",
                Position="1",
                Channel="PJSIP/trunk-00000001",
                Uniqueid="u1",
                CallerIDNum=number,
                CallerIDName="unknown",
                ConnectedLineNum="unknown",
                ConnectedLineName="unknown",
                Wait="3",
                Priority="0",
            ),
        )
    )


@asynccontextmanager
async def asterisk(number: str) -> AsyncIterator[tuple[AmiServer, AmiClient, list[str]]]:
    found: list[str] = []
    async with AmiServer() as server:

        def status(action: Action) -> bytes:
            own = ("ActionID", action["ActionID"])
            items = queue_status(number).replace(b"ActionID: ?", f"ActionID: {own[1]}".encode())
            end = message(
                ("Event", "QueueStatusComplete"), own, EventList="Complete", ListItems="3"
            )
            return (
                success(action, EventList="start", Message="Queue status will follow") + items + end
            )

        server.answers["QueueStatus"] = status
        client = AmiClient(
            "127.0.0.1",
            server.port,
            "avp",
            server.secret,
            wanted=translate.EVENTS,
            on_defect=lambda _event, problem: found.append(problem),
        )
        task = asyncio.create_task(client.run(lambda _event: None, lambda _up: None))
        await eventually(lambda: client.connected)
        yield server, client, found
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
async def test_a_tampered_list_is_believed_in_nothing(number: str) -> None:
    async with asterisk(number) as (_server, client, found):
        performer = AmiReader(client, str)
        with pytest.raises(AmiTampered):
            await performer.queues(lambda: 1.0)
        assert found
        with pytest.raises(AmiTampered):
            await performer.members("sales", "PJSIP/1003")
        # The connection is up, and other actions are answered.
        assert (await client.action("Ping"))["Ping"] == "Pong"
        assert client.connected


async def test_a_list_that_nobody_has_touched_is_believed() -> None:
    async with asterisk("+12025550100") as (_server, client, found):
        facts = await AmiReader(client, str).queues(lambda: 1.0)
        assert [type(fact) for fact in facts] == [ev.MemberSeen, ev.QueueJoined]
        assert found == []


async def test_a_list_that_lacks_items_is_not_whole() -> None:
    async with asterisk("7") as (server, client, found):
        whole = server.answers["QueueStatus"]
        server.answers["QueueStatus"] = lambda action: (whole(action) or b"").replace(
            b"ListItems: 3", b"ListItems: 4"
        )
        with pytest.raises(AmiTampered):
            await AmiReader(client, str).queues(lambda: 1.0)
        assert found == []


VALUES = {
    "QUEUE_MEMBER_LIST(sales)": "PJSIP/1003,PJSIP/1 4,PJSIP/1004",
    "QUEUE_MEMBER(sales,count)": "3",
    "QUEUE_WAITING_COUNT(sales)": "1",
    "QUEUE_MEMBER(sales,paused,PJSIP/1003)": "1",
    "QUEUE_MEMBER(sales,paused,PJSIP/1004)": "0",
    "DEVICE_STATE(PJSIP/1003)": "ONHOLD",
    "DEVICE_STATE(PJSIP/1004)": "NOT_INUSE",
}


async def by_functions(known: ev.MemberSeen | None = None, **other: str) -> list[ev.Fact]:
    """The result of these values, as AMI's Getvar returns them; "" if there is none."""
    async with asterisk("7") as (server, client, _found):
        values = VALUES | other

        def getvar(action: Action) -> bytes:
            value = values.get(action["Variable"], "")
            return success(action, Variable=action["Variable"], Value=value)

        server.answers["Getvar"] = getvar
        return await AmiReader(client, str).by_functions("sales", lambda _interface: known)


async def test_a_queue_is_read_by_functions() -> None:
    facts = await by_functions()
    members = [fact for fact in facts if isinstance(fact, ev.MemberSeen)]
    assert [(m.interface, m.paused, m.status) for m in members] == [
        ("PJSIP/1003", True, 8),
        ("PJSIP/1004", False, 1),
    ]
    assert facts[-1] == ev.QueueJoined("sales", "somebody")


async def test_what_functions_do_not_tell_stays_as_it_was() -> None:
    known = replace(
        next(f for f in await by_functions() if isinstance(f, ev.MemberSeen)),
        name="Carol",
        state_interface="PJSIP/1004",
        last_call=5.0,
        wrapup_seconds=7,
    )
    first = next(f for f in await by_functions(known) if isinstance(f, ev.MemberSeen))
    assert (first.name, first.last_call, first.wrapup_seconds, first.status) == ("Carol", 5.0, 7, 1)


@pytest.mark.parametrize(
    "values",
    [
        {"QUEUE_MEMBER_LIST(sales)": ""},  # as ARI and a missing right answer for everything
        {"QUEUE_MEMBER_LIST(sales)": "PJSIP/1003,Local/1\r\n\r\nEvent: X,PJSIP/1004"},
        {"QUEUE_MEMBER(sales,count)": ""},
        {"QUEUE_WAITING_COUNT(sales)": ""},
        {"DEVICE_STATE(PJSIP/1004)": ""},
    ],
    ids=lambda values: next(iter(values)),
)
async def test_no_answer_of_a_function_is_no_evidence(values: dict[str, str]) -> None:
    with pytest.raises(AsteriskUnavailable):
        await by_functions(**values)
