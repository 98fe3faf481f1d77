"""A daemon that is killed with many transfers open, and the next one, with a simulated Asterisk."""

from __future__ import annotations

import asyncio

import pytest
from servers.ari_server import Answer, Asked
from servers.killable import CONSULTING, WITHIN, Start, consulting, wish
from servers.pbx import Pbx
from servers.pbx_channels import Channel
from servers.waiting import eventually

from asterisk_avp.core.model.errors import AsteriskUnavailable, UnknownTransfer
from asterisk_avp.core.model.world import TransferState
from asterisk_avp.core.transfer import persistence
from tests.ports import free_port

CANCELLED, COMPLETED = TransferState.CANCELLED, TransferState.COMPLETED


def in_place(pbx: Pbx, callers: dict[str, Channel]) -> bool:
    """Every caller alone in a bridge, with music."""
    return all(
        caller.id in pbx.channels
        and caller.music
        and caller.bridge is not None
        and pbx.bridges[caller.bridge] == {caller.id: None}.keys()
        for caller in callers.values()
    )


async def test_all_are_continued_and_can_be_ended(start: Start, many_agents: Pbx) -> None:
    first = await start()
    await first.ready()
    callers = await consulting(first, many_agents)
    await first.kill()
    second = await start()
    await second.ready()
    assert second.states() == dict.fromkeys(callers, CONSULTING)
    for number, transfer in enumerate(callers):
        end = second.service.cancel if number % 2 else second.service.complete
        await end(transfer)
    wanted = {x: CANCELLED if n % 2 else COMPLETED for n, x in enumerate(callers)}
    await eventually(lambda: second.states() == wanted, WITHIN)
    for caller in callers.values():
        assert many_agents.peer(caller) is not None
        assert not caller.music
    assert many_agents.unknown == []


async def test_nobody_is_lost_if_the_next_one_is_killed_while_it_recovers(
    start: Start, many_agents: Pbx
) -> None:
    first = await start()
    await first.ready()
    callers = await consulting(first, many_agents, 8)
    await first.kill()
    caller = next(iter(callers.values()))
    many_agents.music(caller, on=False)  # the first one was killed before it began
    for _ in range(3):
        next_one = await start()
        await eventually(lambda one=next_one: len(one.states()) == len(callers), WITHIN)
        await next_one.kill()
    last = await start()
    await last.ready()
    assert last.states() == dict.fromkeys(callers, CONSULTING)
    await eventually(lambda: caller.music, WITHIN)
    for transfer in callers:
        await last.service.cancel(transfer)
    await eventually(lambda: set(last.states().values()) == {CANCELLED}, WITHIN)
    assert all(many_agents.peer(caller) is not None for caller in callers.values())


@pytest.mark.parametrize("lost", ["/moh", "-hold/addChannel"])
async def test_a_step_that_was_lost_is_done_although_the_target_answered(
    start: Start, many_agents: Pbx, lost: str
) -> None:
    """The first one is killed before the caller is on hold, and a moment later there is another
    state, whose own steps take that one for done.
    """
    first = await start()
    await first.ready()
    call = many_agents.offer("1000", "group0")
    many_agents.answer(call)
    await eventually(lambda: first.service.agent("1000").call is not None, WITHIN)
    handler, asked_for = many_agents.ari.handler, asyncio.Event()
    assert handler is not None

    hang = asyncio.Event()

    def lose(asked: Asked) -> Answer | None:
        if asked.method == "POST" and asked.path.endswith(lost):
            asked_for.set()
            return Answer(204, hold=hang)
        return handler(asked)

    many_agents.ari.handler = lose
    transfer = (await first.service.request(wish("1000"))).id
    await asked_for.wait()
    await eventually(lambda: first.states()[transfer] is CONSULTING, WITHIN)
    await first.kill()
    hang.set()
    many_agents.ari.handler = handler
    second = await start()
    await second.ready()
    await eventually(lambda: second.states() == {transfer: CONSULTING}, WITHIN)
    await eventually(lambda: in_place(many_agents, {transfer: call.caller}), WITHIN)


async def test_a_command_waits_for_a_transfer_that_is_not_known_yet(
    start: Start, many_agents: Pbx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asterisk_avp.service.facade.SETTLE_SECONDS", WITHIN)
    first = await start()
    await first.ready()
    (transfer,) = await consulting(first, many_agents, 1)
    await first.kill()
    second = await start()
    assert not second.daemon.readiness().synced
    found = await second.service.find(transfer)
    assert found.state is CONSULTING
    await second.ready()
    with pytest.raises(UnknownTransfer):
        await second.service.find("another")


async def test_what_cannot_be_known_is_not_denied(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asterisk is away: 404 would tell the agent that there is no such transfer."""
    monkeypatch.setattr("asterisk_avp.service.facade.SETTLE_SECONDS", 0.1)
    second = await start(AVP_AMI__PORT=str(free_port()))
    with pytest.raises(AsteriskUnavailable):
        await second.service.find("abc")


async def test_a_marker_in_a_list_is_not_believed(start: Start, many_agents: Pbx) -> None:
    """A caller can write AMI's list; what is continued comes from single answers."""
    first = await start()
    await first.ready()
    callers = await consulting(first, many_agents, 2)
    forged, true = callers.values()
    await first.kill()
    lists = many_agents.ami.answers["Status"]

    def forge(action: dict[str, str]) -> bytes | None:
        """Each of the two channels with the marker of another set, or of far too many chunks."""
        answer = lists(action) or b""
        for channel, marker in ((forged, b"b-2"), (true, b"a-60")):
            name = persistence.COMMIT_MARKER
            own = f"{name}={channel.variables[name]}".encode()
            head, found, tail = answer.partition(channel.id.encode())
            answer = head + found + tail.replace(own, name.encode() + b"=" + marker, 1)
        return answer

    many_agents.ami.answers["Status"] = forge
    second = await start()
    await second.ready()
    assert second.states() == dict.fromkeys(callers, CONSULTING)
    await eventually(lambda: in_place(many_agents, callers), WITHIN)
