"""A session written on a channel is the same session when it is read."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.core import memory
from asterisk_avp.core.model import Target, TargetKind, World
from asterisk_avp.core.session import Session, State
from tests.core.sessions import GONE, IN, OUT, SALES, session

WORLD = World(groups={"sales": SALES})


def test_every_field_is_remembered() -> None:
    assert {field.name for field in fields(Session)} == memory.REMEMBERED


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("fourth", [None, OUT, IN])
def test_what_is_written_is_read(state: State, fourth: object) -> None:
    for changes in (
        {},
        {"target": None},
        {"target": Target(TargetKind.NUMBER, "(202) 555-0100")},
        {"notes": 'wants "blue", not {red}\r\n', "delivered_to": "1002", "leg": GONE},
    ):
        before = session(state, fourth=fourth, **changes)  # type: ignore[arg-type]
        assert memory.decode(memory.encode(before), WORLD) == before


def test_usual_length() -> None:
    """It is written in one request; Asterisk's own limit for a variable is far above this."""
    assert len(memory.encode(session(State.CONFERENCE, fourth=IN))) < 1_500


def test_another_version_or_group_is_no_session() -> None:
    text = memory.encode(session())
    assert memory.decode(text, World(groups={})) is None
    assert memory.decode(text.replace('"v":1', '"v":2'), WORLD) is None


@given(st.text())
def test_any_text(text: str) -> None:
    assert memory.decode(text, WORLD) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(st.data())
def test_text_that_was_tampered_with(data: st.DataObject) -> None:
    """It is read as a session of the right types, or not at all."""
    read = json.loads(memory.encode(session(State.CONSULTING, fourth=IN)))
    for name in data.draw(st.lists(st.sampled_from(sorted(read)), min_size=1, unique=True)):
        read[name] = data.draw(JSON)
    found = memory.decode(json.dumps(read), WORLD)
    if found is not None:
        assert memory.decode(memory.encode(found), WORLD) == found
        assert found.group in WORLD.groups


def test_deep_nesting() -> None:
    assert memory.decode("[" * 8_000, WORLD) is None
    assert memory.decode("x" * (memory.MAX_LENGTH + 1), WORLD) is None
