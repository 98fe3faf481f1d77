"""Who puts the end of a caller's time in Stasis off, and who does not."""

from __future__ import annotations

import asyncio

from servers.waiting import eventually

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.messages.effects import Effect
from asterisk_avp.core.model.world import World
from asterisk_avp.core.transfer.session import State
from asterisk_avp.service.orphan_timeout import OrphanTimeoutRenewal
from tests.core.sessions import SALES, session


async def test_only_a_daemon_that_has_asterisk_in_hand_puts_it_off() -> None:
    engine = TransferEngine(World(groups={"sales": SALES}), lambda: "new")
    engine.store.adopt(session(State.CONSULTING), 1.0, Outcome())
    done: list[tuple[str | None, Effect]] = []
    in_control = False
    dead_man = OrphanTimeoutRenewal(engine, lambda *what: done.append(what), 60, lambda: in_control)
    dead_man.put_off()
    assert done == []
    in_control = True
    dead_man.put_off()
    ((session_id, limit),) = done
    assert session_id == "t1"
    assert isinstance(limit, fx.LimitCall)


async def test_it_is_put_off_again_and_again() -> None:
    engine = TransferEngine(World(groups={"sales": SALES}), lambda: "new")
    engine.store.adopt(session(State.CONSULTING), 1.0, Outcome())
    done: list[Effect] = []
    # A limit of no seconds: a round as often as the loop comes round.
    dead_man = OrphanTimeoutRenewal(engine, lambda _, effect: done.append(effect), 0, lambda: True)
    running = asyncio.create_task(dead_man.run())
    await eventually(lambda: len(done) > 3)
    running.cancel()
