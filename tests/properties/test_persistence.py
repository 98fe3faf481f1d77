"""Any channel variables, even manipulated ones, give a usable session or none."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from asterisk_avp.core.transfer import persistence
from asterisk_avp.core.transfer.session import State
from tests.core.sessions import IN, session
from tests.core.test_persistence import NAMES, WORLD


@given(st.dictionaries(st.sampled_from(NAMES), st.text()))
def test_any_variables(values: dict[str, str]) -> None:
    assert persistence.read(values, WORLD) is None


@given(st.text())
def test_any_text(text: str) -> None:
    assert persistence.decode(text, WORLD) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@settings(deadline=None)
@given(st.data())
def test_text_that_was_tampered_with(data: st.DataObject) -> None:
    """They are read as a session of the right types, or not at all."""
    read = json.loads(persistence.encode(session(State.CONSULTING, fourth=IN)))
    for name in data.draw(st.lists(st.sampled_from(sorted(read)), min_size=1, unique=True)):
        read[name] = data.draw(JSON)
    found = persistence.decode(json.dumps(read), WORLD)
    if found is not None:
        assert persistence.decode(persistence.encode(found), WORLD) == found
        assert found.group in WORLD.groups


NUMBERS_TOO = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
HOSTILE = (
    NUMBERS_TOO
    | st.sampled_from([-1, 10**30, 10**400, 1e308, "\ud800", "", True, "sales", "number"])
    | st.lists(st.sampled_from(["", "x", "\udfff", None, True, 3, "present"]), max_size=5)
)


@given(
    st.sampled_from(State),
    st.dictionaries(st.sampled_from(sorted(persistence.PERSISTED | {"v"})), HOSTILE, min_size=1),
)
def test_a_hostile_field_makes_no_session_or_a_usable_one(
    state: State, hostile: dict[str, object]
) -> None:
    """Whoever can write a channel's variables must not be able to stop the daemon."""
    text = json.dumps(json.loads(persistence.encode(session(state))) | hostile)
    found = persistence.decode(text, WORLD)
    if found is None:
        return
    assert persistence.decode(persistence.encode(found), WORLD) == found
    persistence.encode(found).encode()
    for seconds in (found.max_hold_seconds, found.ring_outside_seconds, found.tries):
        assert 0 <= seconds <= 86_400
    for text in (found.notes, found.caller.name, found.caller.number, *found.variables.values()):
        text.encode()
