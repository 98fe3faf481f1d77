"""New transfers are refused while Asterisk is too busy, before their calls are touched."""

from __future__ import annotations

import asyncio

import pytest
from servers.ami_server import Action, success
from servers.killable import CONSULTING, MANY, WITHIN, Killable, Start, consulting, wish
from servers.pbx import Pbx
from servers.waiting import eventually

from asterisk_avp.core.model.errors import AsteriskBusy
from asterisk_avp.core.model.world import TransferState

TOUCHING = {"Setvar", "Redirect", "Bridge", "Hangup"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asterisk_avp.service.admission.PROBE_SECONDS", 0.02)


def busy(one: Killable) -> bool:
    return bool(one.metrics()["asterisk_avp_asterisk_busy"])


async def test_a_slow_asterisk_gets_no_new_transfer_and_finishes_the_others(
    start: Start, many_agents: Pbx
) -> None:
    one = await start(AVP_SESSION__BUSY_ANSWER_SECONDS="1", AVP_AMI__ACTION_TIMEOUT_SECONDS="60")
    await one.ready()
    (transfer,) = await consulting(one, many_agents, 1)
    call = many_agents.offer("1001", "group1")
    many_agents.answer(call)
    await eventually(lambda: one.service.agent("1001").call is not None, WITHIN)

    held: list[Action] = []
    many_agents.ami.answers["Ping"] = held.append  # type: ignore[func-returns-value]
    await eventually(lambda: busy(one), WITHIN)
    before = [name for name in many_agents.ami.last.names() if name in TOUCHING]
    with pytest.raises(AsteriskBusy):
        await one.service.request(wish("1001"))
    assert [name for name in many_agents.ami.last.names() if name in TOUCHING] == before
    assert many_agents.peer(call.caller) is call.phone
    assert one.metrics()["asterisk_avp_transfers_refused_busy"] == 1

    await one.service.cancel(transfer)
    await eventually(lambda: one.states()[transfer] is TransferState.CANCELLED, WITHIN)

    many_agents.ami.answers["Ping"] = success
    for action in held:
        many_agents.ami.last.send(success(action))
    await eventually(lambda: not busy(one), WITHIN)
    second = (await one.service.request(wish("1001"))).id
    await eventually(lambda: one.states()[second] is CONSULTING, WITHIN)


async def test_of_many_at_once_each_has_its_turn_or_an_answer(
    start: Start, many_agents: Pbx
) -> None:
    """As many as there are turns begin; as many more wait for theirs; the rest is told at once."""
    one = await start()
    await one.ready()
    calls = {}
    for number in range(MANY):
        agent = str(1000 + number)
        calls[agent] = many_agents.offer(agent, f"group{number % 4}")
        many_agents.answer(calls[agent])
        await eventually(lambda agent=agent: one.service.agent(agent).call is not None, WITHIN)
    answers = await asyncio.gather(
        *(one.service.request(wish(agent)) for agent in calls),
        return_exceptions=True,
    )
    refused = [x for x in answers if isinstance(x, BaseException)]
    assert all(isinstance(x, AsteriskBusy) for x in refused)
    assert 0 < len(refused) <= MANY - 8
    begun = MANY - len(refused)
    await eventually(lambda: [*one.states().values()].count(CONSULTING) == begun, WITHIN)
    for agent, answer in zip(calls, answers, strict=True):
        call = calls[agent]
        assert (many_agents.peer(call.caller) is call.phone) is isinstance(answer, BaseException)
    assert one.metrics()["asterisk_avp_transfers_beginning"] == 0
