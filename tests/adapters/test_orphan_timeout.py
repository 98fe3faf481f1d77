"""Which channels' orphan timeout is renewed, and which not."""

from __future__ import annotations

import asyncio

import pytest
from servers.waiting import eventually

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.model.errors import AsteriskUnavailable
from asterisk_avp.core.model.world import World
from asterisk_avp.core.transfer.session import Presence
from asterisk_avp.core.transfer.states import State
from asterisk_avp.service.inbox import Message
from asterisk_avp.service.links import Links
from asterisk_avp.service.orphan_timeout import TALK_SECONDS, OrphanTimeoutRenewal, renewal
from tests.core.sessions import IN, SALES, session

NOW = 1_800_000_000.0
TALKS = {State.SWAPPED, State.CONFERENCE, State.CONFERENCE_WITHOUT_TRANSFEROR, State.DECLINED}


class Asterisk:
    connected = True
    stuck = False


async def nothing(_name: str, _value: str) -> None:
    pass


async def test_it_tells_the_dialplan_that_it_is_there() -> None:
    """As long as Asterisk executes its requests; a failed request is no end of it."""
    told: list[tuple[str, str]] = []

    async def tell(name: str, value: str) -> None:
        told.append((name, value))
        raise AsteriskUnavailable("")

    asterisk = Asterisk()
    engine = TransferEngine(World(groups={"sales": SALES}), lambda: "new")
    beating = OrphanTimeoutRenewal(
        engine, Links(asterisk, asterisk), list[Message]().append, 60, tell
    )
    running = asyncio.create_task(beating.run())
    await eventually(lambda: len(told) > 1)
    running.cancel()
    assert {name for name, _ in told} == {"AVP_HEARTBEAT"}
    assert told[0] != told[1]


async def test_it_tells_so_before_the_first_transfer() -> None:
    """A daemon that dies within its first second has been seen as well."""
    told: list[str] = []

    async def tell(name: str, _value: str) -> None:
        told.append(name)

    asterisk = Asterisk()
    engine = TransferEngine(World(groups={"sales": SALES}), lambda: "new")
    links = Links(asterisk, asterisk)
    beating = OrphanTimeoutRenewal(engine, links, list[Message]().append, 60, tell)
    await beating.resynced()
    assert told == ["AVP_HEARTBEAT"]


async def test_only_a_daemon_that_has_asterisk_in_hand_renews_it() -> None:
    engine = TransferEngine(World(groups={"sales": SALES}), lambda: "new")
    engine.store.adopt(session(State.CONSULTING), 1.0, Outcome())
    done: list[Message] = []
    asterisk = Asterisk()
    renewing = OrphanTimeoutRenewal(engine, Links(asterisk, asterisk), done.append, 60, nothing)
    asterisk.stuck = True
    renewing.renew()
    assert done == []
    asterisk.stuck = False
    renewing.renew()
    (outcome,) = done
    assert isinstance(outcome, Outcome)
    ((session_id, limit),) = outcome.effects
    assert session_id == "t1"
    assert isinstance(limit, fx.LimitCall)


async def test_it_is_renewed_again_and_again() -> None:
    engine = TransferEngine(World(groups={"sales": SALES}), lambda: "new")
    engine.store.adopt(session(State.CONSULTING), 1.0, Outcome())
    done: list[Message] = []
    asterisk = Asterisk()
    # A limit of no seconds: a renewal in every iteration of the loop.
    renewing = OrphanTimeoutRenewal(engine, Links(asterisk, asterisk), done.append, 0, nothing)
    running = asyncio.create_task(renewing.run())
    await eventually(lambda: len(done) > 3)
    running.cancel()


@pytest.mark.parametrize("state", State)
def test_who_is_with_us_is_looked_after(state: State) -> None:
    limit = renewal(session(state, caller=IN), NOW, 60)
    if state.spec.held_in_stasis:
        assert limit == fx.LimitCall("chan-caller", NOW + (TALK_SECONDS if state in TALKS else 60))
    else:
        assert limit is None, "their own limit is in force, or the dialplan has them"


@pytest.mark.parametrize("presence", [Presence.EXPECTED, Presence.GONE])
def test_who_is_not_with_us_is_let_alone(presence: Presence) -> None:
    assert renewal(session(State.WAITING, caller=presence), NOW, 60) is None


def test_a_long_limit_is_no_shorter_for_who_talks() -> None:
    limit = renewal(session(State.CONFERENCE), NOW, 3600)
    assert limit == fx.LimitCall("chan-caller", NOW + 3600)
