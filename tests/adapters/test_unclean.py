"""An unclean value that reached the adapters is not sent, and everything else is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from servers.ari_server import AriServer
from structlog.testing import capture_logs

from asterisk_avp.ari.client import AriClient
from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.model.errors import AriError
from asterisk_avp.core.model.permission import Permission
from asterisk_avp.core.model.world import Group
from asterisk_avp.core.transfer.events import EventType
from tests.adapters.test_perform import Reports, done, running_ari

EVIL = '1" & "):System(touch /tmp/x'
SALES = Group("sales", "sales", "Sales")


def said(logs: list[dict[str, object]]) -> list[object]:
    """The variables that the log names as unclean; no line contains the value."""
    assert EVIL not in repr(logs)
    assert all(line["log_level"] == "error" for line in logs if line["event"] == "unclean_value")
    return [line["variable"] for line in logs if line["event"] == "unclean_value"]


async def test_the_other_variables_are_set() -> None:
    values = {"AVP_STATE": "live", "AVP_CALLER_ID": EVIL, "AVP_TRANSFER": "t1"}
    with capture_logs() as logs:
        actions, reports = await done(fx.SetVariables("u2", values))
    assert [action["Value"] for action in actions] == ["live,t1"]
    assert said(logs) == ["AVP_CALLER_ID"]
    assert reports == []


@pytest.mark.parametrize(
    ("effect", "header", "kind"),
    [
        (
            fx.Redirect("u2", fx.Destination("avp-agent-queue", EVIL)),
            "Redirect Exten",
            EventType.REDIRECT_FAILED,
        ),
        (fx.BridgePair("/.*/", "u2"), "Bridge Channel1", EventType.BRIDGE_FAILED),
        (fx.HangUp("/.*/"), "Hangup Channel", None),
        (fx.AddMember("avp-agent-1", f"Local/{EVIL}", "", "x", False), "QueueAdd Interface", None),
        (fx.RemoveMember("avp-agent-1", f"Local/{EVIL}"), "QueueRemove Interface", None),
    ],
)
async def test_an_action_is_refused_as_asterisk_would(
    effect: fx.AmiEffect, header: str, kind: EventType | None
) -> None:
    with capture_logs() as logs:
        actions, reports = await done(effect)
    assert actions == []
    assert said(logs) == [header]
    assert reports.kinds() == ([] if kind is None else [kind])


@pytest.mark.parametrize(
    ("effect", "left_out", "action"),
    [
        (fx.AddMember("avp-agent-1", "PJSIP/1", "", EVIL, False), "MemberName", "QueueAdd"),
        (fx.PauseMember("sales", "PJSIP/1", True, EVIL), "Reason", "QueuePause"),
    ],
)
async def test_a_member_is_changed_without_the_text(
    effect: fx.AmiEffect, left_out: str, action: str
) -> None:
    """An agent's break and membership do not depend on a name or a reason."""
    with capture_logs() as logs:
        ((sent,), _) = await done(effect)
    assert sent["Action"] == action
    assert not sent.get(left_out)
    assert EVIL not in repr((sent, logs))


def leg(caller_id: str = '"Alice" <1001>', number: str | None = "+12025550100") -> fx.DialLeg:
    return fx.DialLeg(
        channel="leg",
        other_channel="leg-queue",
        permission=Permission(SALES, number=number),
        originator="u1",
        caller_id=caller_id,
        variables={"AVP_LEG": "consult", "AVP_CALLER_ID": EVIL},
    )


async def dialled(effect: fx.DialLeg) -> tuple[AriServer, Reports, list[dict[str, object]]]:
    reports = Reports()
    async with AriServer() as server, running_ari(server) as performer:
        with capture_logs() as logs:
            await performer.perform(effect, reports.append)
    return server, reports, list(logs)


async def test_the_leg_is_dialled_without_the_variable() -> None:
    server, reports, logs = await dialled(leg())
    (asked,) = server.asked
    assert asked.body == {"variables": {"AVP_LEG": "consult"}}
    assert said(logs) == ["AVP_CALLER_ID"]
    assert reports == []


@pytest.mark.parametrize(
    ("effect", "parameter"),
    [(leg(number=EVIL), "endpoint"), (leg(caller_id=f'"{EVIL}" <1001>'), "callerId")],
)
async def test_a_leg_that_would_be_dialplan_is_not_dialled(
    effect: fx.DialLeg, parameter: str
) -> None:
    server, reports, logs = await dialled(effect)
    assert server.asked == []
    assert said(logs) == ["AVP_CALLER_ID", parameter]
    assert reports.kinds() == [EventType.LEG_FAILED]


@pytest.mark.parametrize(
    "request_",
    [
        lambda c: c.channels.set_variable("u1", "AVP_STATE", EVIL),
        lambda c: c.asterisk.set_variable("AVP_DAEMON", EVIL),
        lambda c: c.channels.continue_in_dialplan("u1", context="x", extension=EVIL, priority=1),
        lambda c: c.channels.originate("PJSIP/1", app="a", app_args=EVIL, channel_id="x"),
        lambda c: c.events.user("a", "X", {"AVP_X": EVIL}),
    ],
)
async def test_no_request_of_ari_takes_it(request_: Callable[[AriClient], object]) -> None:
    async with AriServer() as server:
        client = AriClient(server.url, "avp", "pw", "asterisk_avp")
        with pytest.raises(AriError) as caught:
            await request_(client)  # type: ignore[misc]
        await client.close()
        assert server.asked == []
    assert EVIL not in str(caught.value)
