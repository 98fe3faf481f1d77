"""What the dialplan tells of calls between nodes, as facts."""

from __future__ import annotations

from functools import partial

import pytest

from asterisk_avp.ari.translate import Translator
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.remote import NodeCall, RemoteEnded, RemoteLeg
from asterisk_avp.core.model.nodes import Node, node_of

NODES = {"b": Node("b", "trunk-b")}


def told(name: str, **values: object) -> tuple[ev.Fact, ...]:
    event = {
        "type": "ChannelUserevent",
        "eventname": name,
        "userevent": {"eventname": name, **values},
        "channel": {"id": "u-1", "name": "PJSIP/trunk-b-1"},
    }
    return Translator(partial(node_of, NODES)).translate(event)


def test_the_dialplans_events() -> None:
    assert told("AVPRemoteLeg", Agent="1003", Trunk="trunk-b", Transfer="t1") == (
        RemoteLeg("u-1", "1003", "b", "t1"),
    )
    assert told("AVPRemoteEnded", Status="BUSY", Cause="17") == (RemoteEnded("u-1", "BUSY", 17),)
    (heard,) = told("AVPNodeIn", Agent="1001", Trunk="trunk-b", Leg="consult", Call="c.1")
    assert heard == NodeCall("u-1", "1001", "", "", "b", "c.1", "", "consult", "")


@pytest.mark.parametrize(
    "value", ["${SHELL(x)}", "a b", "x" * 200, None, 7, ["x"], "a\r\nEvent: b"]
)
def test_what_is_not_clean_is_dropped(value: object) -> None:
    assert told("AVPRemoteLeg", Agent=value) == (RemoteLeg("u-1", "", "", ""),)
    assert told("AVPRemoteEnded", Status=value, Cause=value) == (RemoteEnded("u-1", "", 0),)


def test_a_call_by_another_endpoint_is_no_nodes() -> None:
    (heard,) = told("AVPNodeIn", Agent="1001", Trunk="phone-1")
    assert isinstance(heard, NodeCall)
    assert heard.anchor == ""
