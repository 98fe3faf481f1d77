"""The administrator's context that the caller comes from, for the `h` at the end of the call."""

from __future__ import annotations

import pytest

from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.world import Mode, Target, TargetKind, TransferRequest
from tests.core.world import NOW, call, engine


@pytest.mark.parametrize(
    ("contexts", "written"),
    [
        (("ext-queues",), "ext-queues"),
        (("from-trunk", "ext-queues", ""), "ext-queues"),
        # After a transfer the caller is in a context of ours.
        (("ext-queues", "avp-stasis", "avp-agent-queue"), "ext-queues"),
        (("ext-queues", "avp-stasis", "survey"), "survey"),
        # An earlier daemon has written it to the channel: it stays.
        (("avp-stasis",), None),
        (("",), None),
        # What dialplan would evaluate is not written.
        (("ext-queues", "sales & support"), ""),
        (("x},h,1)}]?System(id)",), ""),
    ],
)
def test_the_last_context_that_is_not_ours(contexts: tuple[str, ...], written: str | None) -> None:
    made = engine()
    call(made)
    for context in contexts:
        seen = ev.ChannelSeen("u-caller1", "PJSIP/caller1-00000001", context=context, created=False)
        made.fact(seen, NOW)
    request = TransferRequest("1001", Mode.SUPERVISED, Target(TargetKind.AGENT, "1002"))
    session, _ = made.request(request, CallVariables(), NOW)
    assert session.variables.get("AVP_INBOUND_CONTEXT") == written
