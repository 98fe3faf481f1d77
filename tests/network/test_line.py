"""The line of `tests.network.line`: what arrives when, without a kernel."""

from __future__ import annotations

import itertools

import pytest

from tests.network.line import Line, Quality

ONE, OTHER = bytes([127, 66, 0, 12]), bytes([127, 66, 0, 21])


def packet(number: int, source: bytes = ONE, target: bytes = OTHER) -> bytes:
    """The addresses are where a header of IPv4 has them."""
    return bytes(12) + source + target + number.to_bytes(4, "big")


def numbers(packets: list[bytes]) -> list[int]:
    return [int.from_bytes(each[20:], "big") for each in packets]


def test_what_is_sent_arrives_after_the_delay_and_in_order() -> None:
    line = Line(Quality(delay=0.04, jitter=0.03))
    for number in range(100):
        line.send(packet(number), at=number * 0.001)
    assert line.arrived(0.0399) == []
    assert 0 < (line.pause(0.02) or 0.0) <= 0.05
    assert numbers(line.arrived(0.2)) == list(range(100))
    assert line.pause(0.2) is None


def test_packets_are_lost_and_overtaken_as_often_as_asked() -> None:
    line = Line(Quality(delay=0.15, loss=0.05, reordered=0.02))
    for number in range(10_000):
        line.send(packet(number), at=number * 0.02)
    arrived = numbers(line.arrived(1000.0))
    assert len(arrived) == 10_000 - line.lost
    assert 400 < line.lost < 600
    assert 150 < line.overtaken < 250
    behind = sum(later < sooner for sooner, later in itertools.pairwise(arrived))
    assert 100 < behind <= line.overtaken


def test_the_same_seed_loses_the_same() -> None:
    def lost(seed: int) -> list[int]:
        line = Line(Quality(loss=0.1, seed=seed))
        for number in range(200):
            line.send(packet(number), at=0.0)
        return numbers(line.arrived(1.0))

    assert lost(1) == lost(1) != lost(2)


def test_one_way_does_not_hold_up_the_other() -> None:
    line = Line(Quality(delay=0.1, jitter=0.0))
    line.send(packet(1), at=0.05)
    line.send(packet(2, OTHER, ONE), at=0.0)
    assert numbers(line.arrived(0.1)) == [2]


def test_at_an_address_that_is_cut_nothing_arrives() -> None:
    line = Line(Quality())
    line.told("cut 127.66.0.21 127.66.0.13")
    line.send(packet(1), at=0.0)
    line.send(packet(2, OTHER, ONE), at=0.0)
    line.told("mend 127.66.0.21 127.66.0.13")
    line.send(packet(3), at=0.0)
    assert numbers(line.arrived(0.0)) == [2, 3]


def test_what_a_line_is_like_is_written_in_a_few_words() -> None:
    quality = Quality.parse("40 ms, 1 %")
    assert (quality.delay, quality.loss, quality.lost_seconds) == (0.04, 0.01, 1.5)
    assert Quality.parse("150 ms, 5 %, seed 7").seed == 7
    assert Quality.parse("150 ms, 5 %").lost_seconds == 5.0
    with pytest.raises(ValueError, match="not a line"):
        Quality.parse("far away")
