"""The parts of the benchmarks that need no Asterisk: figures, and the tracking of AMI events."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.benchmarks.crowd import sipp
from tests.benchmarks.crowd.watch import Watch, parsed
from tests.benchmarks.figures import percentile, ratio, spread, table


def test_percentile_is_a_value_that_was_measured() -> None:
    values = [float(n) for n in range(1, 201)]
    assert percentile(values, 50) == 100
    assert percentile(values, 99) == 198
    assert percentile(values, 100) == 200
    assert percentile([3.0], 1) == 3


def test_with_few_values_the_99th_is_the_longest() -> None:
    assert percentile([5.0, 1.0, 9.0], 99) == 9


def test_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_spread_and_ratio() -> None:
    assert spread([3.0, 1.0, 2.0]) == "2 (1-3)"
    assert spread([]) == "-"
    assert ratio([10.0, 20.0, 60.0], [10.0, 10.0, 20.0]) == "2.0"
    assert ratio([10.0, 20.0, 60.0], [10.0, 10.0, 20.0], 99) == "3.0"
    assert ratio([], [1.0]) == "-"


def test_table_lines_up() -> None:
    lines = table(("what", "ms"), [("a", "1"), ("longer", "100")]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| ------ | --: |"
    assert lines[2] == "| a      |   1 |"


@pytest.mark.parametrize("streams", [True, False])
def test_scenarios_are_xml_and_jump_to_labels_they_have(*, streams: bool) -> None:
    for text in (
        sipp.agents_scenario("agents", 200, streams=streams),
        sipp.callers_scenario("caller", streams=streams),
    ):
        root = ET.fromstring(text)  # noqa: S314 - our own text
        labels = [label.get("id") for label in root.iter("label")]
        assert len(labels) == len(set(labels))
        wanted = {e.get(key) for e in root.iter() for key in ("next", "ontimeout")} - {None}
        assert wanted <= set(labels)
        for send in root.iter("send"):
            assert (send.text or "").strip().splitlines()[0].strip(), "a message has a first line"


def test_mu_law() -> None:
    """ITU-T G.711, table 2a: the ends of the scale, and a step in between."""
    assert [sipp._ulaw(n) for n in (0, -1, 32635, -32635, 1000)] == [0xFF, 0x7F, 0x80, 0x00, 0xCE]
    assert len(sipp.ulaw_tone(440.0, 0.02)) == 160


def event(name: str, at: float, **headers: str) -> bytes:
    lines = [f"Event: {name}", "Privilege: call,all", f"Timestamp: {at:.6f}"]
    lines += [f"{key}: {value}" for key, value in headers.items()]
    return "\r\n".join(lines).encode()


async def test_who_is_connected_with_whom() -> None:
    watch = Watch(0, "")

    def handle(name: str, at: float, **headers: str) -> None:
        watch.handle(parsed(event(name, at, **headers)))

    def enters(at: float, channel: str, unique: str, bridge: str) -> None:
        handle("BridgeEnter", at, Channel=channel, Uniqueid=unique, BridgeUniqueid=bridge)

    rings = watch.ringing("2002")
    handle("Newstate", 1.0, Channel="PJSIP/2002-0a", Uniqueid="t", ChannelState="5")
    assert await rings == 1.0
    enters(2.0, "PJSIP/2002-0a", "t", "queue")
    enters(2.0, "Local/2002@avp-agent-queue-01;2", "l2", "queue")
    enters(3.0, "PJSIP/trunk-01", "c", "hold")
    joining = watch.joining("c", "2002", 4.0)
    assert not watch.together("c", "2002")
    # AMI Bridge: both in one bridge, with the Local channel still between them
    enters(5.0, "Local/2002@avp-agent-queue-01;1", "l1", "plain")
    assert not joining.connected.done()
    enters(5.1, "PJSIP/trunk-01", "c", "plain")
    assert await joining.connected == 5.1
    assert watch.together("c", "2002")
    assert not joining.bridged.done()
    # and then it is optimised away
    enters(5.2, "PJSIP/2002-0a", "t", "plain")
    assert await joining.bridged == 5.2
    ended = []
    watch.hung_up = lambda channel, cause: ended.append((channel, cause))
    handle("Hangup", 6.0, Channel="PJSIP/trunk-01", Uniqueid="c", Cause="16")
    assert ended == [("c", "16")]
    assert not watch.together("c", "2002")
