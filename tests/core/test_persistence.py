"""A session that is written to a channel is the same when it is read."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from asterisk_avp.core.model.world import Target, TargetKind, World
from asterisk_avp.core.transfer import persistence
from asterisk_avp.core.transfer.session import Session, Times
from asterisk_avp.core.transfer.states import State
from tests.core.sessions import GONE, IN, OUT, SALES, session

WORLD = World(groups={"sales": SALES})
NAMES = (persistence.COMMIT_MARKER, *persistence.SETS["a"], *persistence.SETS["b"])


def test_every_field_is_remembered() -> None:
    assert {field.name for field in fields(Session)} == persistence.PERSISTED


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("fourth", [None, OUT, IN])
def test_what_is_written_is_read(state: State, fourth: object) -> None:
    for changes in (
        {},
        {"target": None},
        {"target": Target(TargetKind.NUMBER, "(202) 555-0100")},
        {"times": Times(1769850307.25, 1769850310.5)},
        {"times": Times(1769850307.25, 1769850310.5, 1769850308.125)},
        {"notes": 'wants "blue", not {red}\r\n', "delivered_to": "1002", "leg": GONE},
    ):
        before = session(state, fourth=fourth, **changes)  # type: ignore[arg-type]
        assert persistence.decode(persistence.encode(before), WORLD) == before


@pytest.mark.parametrize("notes", ["", "☎" * 2_000])
def test_it_fits_into_channel_variables(notes: str) -> None:
    before = session(State.CONFERENCE, fourth=IN, notes=notes)
    variables = persistence.variables(before)
    assert len(variables) <= (2 if not notes else 16)
    assert max(map(len, variables.values())) <= persistence.CHUNK_CHARACTERS
    stale = dict.fromkeys(NAMES, "left over") | variables
    assert persistence.read(stale, WORLD) == before


def test_whoever_writes_it_may_be_killed_half_way() -> None:
    """The previous text remains valid until the new one is complete."""
    channel: dict[str, str] = {}
    written = None
    last = None
    for notes in ("first", "second " * 300, "third", "☎" * 200):
        following = session(State.CONSULTING, notes=notes)
        written = persistence.variables(following, written)
        for name, value in written.items():
            assert persistence.read(channel, WORLD) == last
            channel[name] = value
        last = following
        assert persistence.read(channel, WORLD) == last


def test_another_version_or_group_is_no_session() -> None:
    text = persistence.encode(session())
    assert persistence.decode(text, World(groups={})) is None
    assert persistence.decode(text.replace('"v":1', '"v":2'), WORLD) is None


@pytest.mark.parametrize(("name", "value"), [("target", []), ("target", {"0": 1}), ("fourth", [])])
def test_what_is_too_short(name: str, value: object) -> None:
    read = json.loads(persistence.encode(session(State.CONSULTING)))
    assert persistence.decode(json.dumps(read | {name: value}), WORLD) is None


def test_deep_nesting() -> None:
    assert persistence.decode("[" * 8_000, WORLD) is None
    assert persistence.decode("x" * (persistence.MAX_LENGTH + 1), WORLD) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_hold_seconds", 10**30),
        ("max_hold_seconds", -1),
        ("ring_outside_seconds", 86_401),
        ("notes", "\ud800"),
        ("id", "\udc00"),
        ("variables", {"X": "\ud800"}),
        ("caller", ["c", "\ud800", "", "present"]),
        ("v", 2),
        ("v", "1"),
        ("group", "another"),
        ("waiting", -1),
        ("waiting", 1e300),
        ("waiting", float("nan")),
        ("waiting", True),
        ("waiting", "1"),
        ("times", [1.0]),
        ("times", [1.0, None, None]),
        ("times", [1.0, 1e300, None]),
        ("times", [1.0, 2.0, "3"]),
        ("times", "123"),
        ("times", 1),
        ("asked", ["1001\r\n"]),
        ("asked", [1]),
        ("asked", 1),
    ],
)
def test_a_value_that_could_not_be_used_later_makes_no_session(field: str, value: object) -> None:
    text = json.dumps(json.loads(persistence.encode(session(State.WAITING))) | {field: value})
    assert persistence.decode(text, WORLD) is None


@pytest.mark.parametrize("count", ["\uff11", "²", "-1", "0", "36", "1e1", "+1", " 1"])
def test_a_number_of_pieces_that_is_none(count: str) -> None:
    assert persistence.chunk_names(f"{count}:{{}}") is None


def test_text_of_a_daemon_that_did_not_write_everything() -> None:
    read = json.loads(persistence.encode(session(State.WAITING)))
    for name in ("asked", "waiting", "times"):
        del read[name]
    found = persistence.decode(json.dumps(read), WORLD)
    assert found is not None
    assert (found.asked, found.waiting_since, found.times) == ((), None, None)
