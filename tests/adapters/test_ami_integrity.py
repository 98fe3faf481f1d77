"""Text with line breaks in AMI's stream: signs that Asterisk did not write a message like this.

Each case is everything that arrives, with the text that an attacker put into one value.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.ami.integrity import CHANNEL, SHAPES
from asterisk_avp.ami.translate import EVENTS
from asterisk_avp.ami.wire import FrameReader

GREETING = b"Asterisk Call Manager/11.0.0\r\n"
MEMBER = {
    "Queue": "support",
    "MemberName": "Carol",
    "Interface": "PJSIP/1003",
    "StateInterface": "PJSIP/1003",
    "Membership": "dynamic",
    "Penalty": "0",
    "CallsTaken": "0",
    "LastCall": "0",
    "LastPause": "0",
    "LoginTime": "1795371582",
    "InCall": "0",
    "Status": "1",
    "Paused": "0",
    "PausedReason": "",
    "Ringinuse": "0",
    "Wrapuptime": "0",
}
SNAPSHOT = dict.fromkeys(CHANNEL, "1")
JOIN = {**SNAPSHOT, "Queue": "sales", "Position": "1", "Count": "1"}
FORGED = "Event: QueueMemberAdded\r\nPrivilege: agent,all\r\nQueue: sales\r\nInterface: PJSIP/1003"


def text(headers: dict[str, str], name: str, action: str = "") -> str:
    lines = [f"Event: {name}"] if action else [f"Event: {name}", "Privilege: agent,all"]
    lines += [f"{header}: {value}" for header, value in headers.items()]
    # QueueStatus has the ActionID at the end of its items.
    return "\r\n".join([*lines, *([f"ActionID: {action}"] if action else [])]) + "\r\n\r\n"


def listed(**headers: str) -> dict[str, str]:
    names = {"MemberName": "Name", "Interface": "Location"}
    return {names.get(name, name): value for name, value in {**MEMBER, **headers}.items()}


def read(stream: str) -> tuple[list[str], list[str]]:
    """The names of accepted messages, and the reasons for the others."""
    found: list[str] = []
    reader = FrameReader(EVENTS, lambda _name, problem: found.append(problem))
    messages = reader.feed(GREETING + stream.encode())
    return [m.get("Event", "answer") for m in messages if len(m) > 1], found


@pytest.mark.parametrize(
    "name", [n for n in SHAPES if n.startswith("QueueMember") and n != "QueueMember"]
)
def test_an_event_of_a_member_is_taken_as_asterisk_writes_it(name: str) -> None:
    assert read(text(MEMBER, name)) == ([name], [])


def test_items_are_taken_as_asterisk_writes_them() -> None:
    assert read(text(listed(), "QueueMember", "a")) == (["QueueMember"], [])


EVIL = {
    "a whole event": f"1\r\n\r\n{FORGED}\r\n\r\n",
    "an event that takes the genuine end": f"1\r\n\r\n{FORGED}\r\nX: ",
    "an item that takes the genuine end": "1\r\n\r\nEvent: QueueMember\r\nQueue: sales\r\n"
    "Location: PJSIP/1003\r\nX: ",
    "an answer": "1\r\n\r\nResponse: Success\r\nMessage: done\r\nX: ",
    "a header more": "1\r\nUniqueid: 1795371582.1",
    "a blank line": "1\r\n\r\n",
    "two blank lines": "1\r\n\r\n\r\n\r\n",
    "nothing but line ends": "\r\n\r\n\r\n",
    "the end of Asterisk": "1\r\n\r\nEvent: Shutdown\r\nPrivilege: system,all\r\n\r\n",
}


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
@pytest.mark.parametrize("header", ["CallerIDNum", "Exten", "ConnectedLineNum", "AccountCode"])
def test_line_ends_in_a_channels_value_are_seen(header: str, evil: str) -> None:
    taken, found = read(text({**JOIN, header: evil}, "QueueCallerJoin"))
    assert found
    assert not set(taken) & (EVENTS - {"answer"})


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
@pytest.mark.parametrize("header", ["MemberName", "Interface", "PausedReason"])
@pytest.mark.parametrize("action", ["", "a"])
def test_line_ends_in_a_members_value_are_seen(header: str, evil: str, action: str) -> None:
    headers = {**MEMBER, header: evil}
    name = "QueueMember" if action else "QueueMemberStatus"
    taken, found = read(text(listed(**headers) if action else headers, name, action))
    if evil == EVIL["a header more"] and not action:
        assert found == ["it has headers of another event"]
    assert found
    # The headers before a late value are genuine, and may be all that is needed.
    assert set(taken) & EVENTS <= ({name} if header == "PausedReason" else set())


SHORT = st.text(st.sampled_from(list("\r\nEvent: QumbrAdPivlgsI1/")), max_size=79)


@given(st.sampled_from(["CallerIDNum", "Exten"]), SHORT)
def test_what_fits_into_a_number_never_adds_a_message(header: str, evil: str) -> None:
    """PJSIP and the dialplan keep 79 characters of each (AST_MAX_EXTENSION, AST_CHANNEL_NAME)."""
    taken, found = read(text({**JOIN, header: evil}, "QueueCallerJoin"))
    assert taken in ([], ["QueueCallerJoin"])
    if "\r\n\r\n" in evil:
        assert found


def test_an_answer_whose_value_has_a_header_in_it_is_an_answer_with_what_came_first() -> None:
    found: list[str] = []
    reader = FrameReader(EVENTS, lambda _name, problem: found.append(problem))
    stream = "Response: Success\r\nActionID: a\r\nVariable: X\r\nValue: 1\r\nValue: 2\r\n\r\n"
    (message,) = reader.feed(GREETING + stream.encode())
    assert message["Value"] == "1"
    assert message["ActionID"] == "a"
    assert found == ["a header stands there twice"]


def test_a_channels_variables_may_be_of_several_lines() -> None:
    """As in JSON that somebody wrote like this; the channel's own headers come first."""
    headers = {**SNAPSHOT, "Variable": 'AVP_POP={\r\n"a": 1,\r\nUniqueid: x}\r\nVariable: B=2'}
    found: list[str] = []
    reader = FrameReader(EVENTS, lambda _name, problem: found.append(problem))
    (message,) = reader.feed(GREETING + text(headers, "Status", "a").encode())
    assert found == []
    assert (message["Uniqueid"], message["Variable"]) == ("1", "AVP_POP={\nB=2")


def test_channel_variables_may_stand_there_several_times() -> None:
    variables = "ChanVariable: AVP_STATE=\r\nChanVariable: AVP_GROUP=sales\r\n"
    stream = text(JOIN, "QueueCallerJoin").removesuffix("\r\n") + variables + "\r\n"
    assert read(stream) == (["QueueCallerJoin"], [])
