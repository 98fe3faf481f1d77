"""Several variables in one action mean the same as one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.ami.variables import actions
from asterisk_avp.ami.wire import MAX_LINE_BYTES
from asterisk_avp.core.transfer import persistence
from asterisk_avp.core.transfer.states import State
from tests.core.sessions import IN, session


def undone(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """How Asterisk's ARRAY parses it (func_strings.c)."""
    one_by_one = []
    for name, value in found:
        if name.startswith("ARRAY("):
            names = name.removeprefix("ARRAY(").removesuffix(")").split(",")
            one_by_one += zip(names, value.split(","), strict=True)
        else:
            one_by_one.append((name, value))
    return one_by_one


def test_plain_ones_go_together_and_in_order() -> None:
    marks = {"AVP_STATE": "live", "AVP_ENDS_AT": "", "__AVP_EXCLUDE": "1001"}
    assert list(actions(marks)) == [("ARRAY(AVP_STATE,AVP_ENDS_AT,__AVP_EXCLUDE)", "live,,1001")]


def test_others_stay_alone_and_in_their_place() -> None:
    """The commit marker of a session's text comes after its chunks."""
    variables = {"AVP_SESSION_a0": '{"v":1,', "AVP_SESSION_a1": '"x":2}', "AVP_SESSION_0": "a:2"}
    assert list(actions(variables)) == list(variables.items())
    with_limit = {"AVP_STATE": "done", "AVP_GROUP": "a b", "TIMEOUT(absolute)": "0"}
    assert list(actions(with_limit)) == list(with_limit.items())


@pytest.mark.parametrize(("notes", "most"), [("", 1), ("☎" * 2_000, 16)])
def test_a_session_takes_few_actions(notes: str, most: int) -> None:
    variables = persistence.variables(session(State.CONFERENCE, fourth=IN, notes=notes))
    written = list(actions(variables))
    assert len(written) <= most
    assert max(len(f"Value: {value}".encode()) for _, value in written) <= MAX_LINE_BYTES


def test_none() -> None:
    assert list(actions({})) == []


@given(
    st.dictionaries(
        st.from_regex(r"_{0,2}[A-Z_]{1,60}(\([a-z]+\))?", fullmatch=True),
        st.one_of(st.from_regex(r"[A-Za-z0-9_.:@+-]{0,60}", fullmatch=True), st.text(max_size=20)),
        max_size=200,
    )
)
def test_nothing_is_lost_or_changed(variables: dict[str, str]) -> None:
    found = list(actions(variables))
    assert undone(found) == list(variables.items())
    assert all(len(name) < 1000 and len(value) < 1000 for name, value in found)
