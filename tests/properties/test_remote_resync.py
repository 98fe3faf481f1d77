"""Whatever happened to other nodes' calls while nothing was heard of them: a resync finds it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.core.messages.remote import NodeCall
from tests.core.node_calls import TO_AGENT, TO_GROUP, Asterisk, Call

CALLS = st.lists(st.sampled_from([TO_AGENT, TO_GROUP]), min_size=1, max_size=4)
STEPS = st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12)


@given(CALLS, STEPS, STEPS, STEPS)
def test_after_a_resync_it_is_as_if_everything_had_been_heard(
    calls: list[NodeCall],
    before: list[tuple[int, bool]],
    meanwhile: list[tuple[int, bool]],
    after: list[tuple[int, bool]],
) -> None:
    made = [Call(replace(call, channel=f"in-{number}")) for number, call in enumerate(calls)]
    asterisk, reference = Asterisk(made), Asterisk(made)

    def run(steps: list[tuple[int, bool]]) -> None:
        for number, hangs_up in steps:
            call = made[number % len(made)]
            facts = call.hang_up() if hangs_up else call.step()
            asterisk.happens(facts)
            reference.happens(facts)

    run(before)
    asterisk.deaf = True
    unheard = {call.id for call in made if call.state == "new"}
    run(meanwhile)
    asterisk.resync()
    run(after)
    # Who was taken over while they talked is none of the calls that may still be ended.
    known = sorted(
        channel
        for channel in reference.engine.remote_calls.node_calls
        if channel not in unheard or channel in asterisk.engine.remote_calls.node_calls
    )
    assert asterisk.view() == (*reference.view()[:3], known)
