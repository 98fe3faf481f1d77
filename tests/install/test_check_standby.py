"""What `check` says about the settings of a standby daemon."""

from __future__ import annotations

import pytest

from asterisk_avp.install.checks.model import Addresses, Facts, StandbyFacts
from asterisk_avp.install.checks.standby import standby

AWAY = "http://b.example:8766"


def found(facts: StandbyFacts, agi: str = "127.0.0.1") -> list[tuple[str, str]]:
    given = Facts({}, standby=facts, addresses=Addresses(agi=agi))
    return [(x.severity.value, x.what) for x in standby(given)]


def test_nothing_is_said_without_settings() -> None:
    assert list(standby(Facts({}))) == []
    assert found(StandbyFacts(orphan_seconds=10, api_port=1)) == []


@pytest.mark.parametrize(
    ("facts", "agi", "what"),
    [
        (StandbyFacts(active_url="http://127.0.0.1:8766"), "0.0.0.0", "own API"),
        (StandbyFacts(active_url="http://localhost:8766"), "0.0.0.0", "own API"),
        (StandbyFacts(active_url=AWAY), "127.0.0.1", "FastAGI listens on 127.0.0.1"),
        (StandbyFacts(frozen_seconds=10.0, orphan_seconds=50.0), "127.0.0.1", "up to 30 s"),
    ],
)
def test_what_does_not_fit(facts: StandbyFacts, agi: str, what: str) -> None:
    ((severity, said),) = found(facts, agi)
    assert severity == "warning"
    assert what in said


@pytest.mark.parametrize(
    ("facts", "agi"),
    [
        (StandbyFacts(active_url=AWAY), "192.0.2.1"),
        (StandbyFacts(active_url=AWAY, agi_url="agi://b.example:4583"), "127.0.0.1"),
        (StandbyFacts(active_url="http://127.0.0.1:8767"), "192.0.2.1"),
        (StandbyFacts(frozen_seconds=2.0), "127.0.0.1"),
    ],
)
def test_what_fits(facts: StandbyFacts, agi: str) -> None:
    assert [severity for severity, _ in found(facts, agi)] == ["ok"]
