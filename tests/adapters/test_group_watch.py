"""Which groups panels are told of when an agent changes."""

from __future__ import annotations

import pytest
from servers.waiting import eventually

from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.work import GroupView
from asterisk_avp.service import group_watch
from tests.core.world import NOW, engine, member


async def test_a_group_that_an_agent_has_left_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_watch, "TELL_SECONDS", 0.01)
    made, told = engine(), dict[str, GroupView]()
    watch = group_watch.GroupWatch(
        made,
        None,  # type: ignore[arg-type]  # nobody waits
        lambda _: None,
        lambda view: told.__setitem__(view.id, view),
    )

    async def counts(fact: ev.Fact, logged_in: int, ready: int) -> None:
        outcome: Outcome = made.fact(fact, NOW)
        watch.perform(outcome)
        await eventually(
            lambda: (
                "support" in told
                and (told["support"].logged_in, told["support"].ready) == (logged_in, ready)
            )
        )

    await counts(member("1002", "q-support"), 2, 2)
    await counts(member("1002", "q-support", paused=True), 2, 1)
    await counts(ev.MemberRemoved("q-support", "PJSIP/1002", NOW), 1, 1)
