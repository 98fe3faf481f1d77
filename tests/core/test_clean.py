"""No value that Asterisk's dialplan could interpret is ever sent to Asterisk."""

from __future__ import annotations

import pytest

from asterisk_avp.core.messages import clean, packing
from asterisk_avp.core.model.errors import UncleanValue

EVIL = (
    '" & "):System(touch /tmp/x',
    "1002):System(id)",
    "${SHELL(id)}",
    "$[1+1]",
    "1,2",
    "a|b",
    "a;b",
    "a&b",
    "a:b",
    "\\",
    "`id`",
    "<1>",
    "a^b",
    "1\r\nAction: Originate",
    "\x00",
    "\x7f",
    "\u202e1",
    "\ud800",
)


@pytest.mark.parametrize(
    "text", [*EVIL, "", "+", "1 2", "+1-202", "1" * 16, "٣٤", "anonymous", "1\n"]
)
def test_what_is_no_number(text: str) -> None:
    assert clean.number(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "Alice",
        "Zoë Müller-O'Brien",
        "Dr. José",
        "王小明",
        "Алиса",
        "नमस्ते",
        "محمّد",
        "می‌خواهم",
        "1001",
    ],
)
def test_names_of_all_scripts(text: str) -> None:
    assert clean.name(text) == text


@pytest.mark.parametrize("text", [*EVIL, "", " ", "...", "Müller, Anna", "a" * 81, "tab\there"])
def test_what_is_no_name(text: str) -> None:
    assert clean.name(text) == ""


def test_what_would_fill_the_memory_is_not_unpacked() -> None:
    packed = packing.pack("x" * 1_000_000)
    assert len(packed) < 2_000
    with pytest.raises(ValueError, match="too long"):
        packing.unpack(packed, 16_384)


def test_a_channel_is_one_channel() -> None:
    """Hangup treats a name that begins with a slash as a pattern of many channels."""
    clean.check_action("Hangup", {"Channel": "PJSIP/1001-00000001"})
    clean.check_action("Hangup", {"Channel": "asterisk-1769850300.25"})
    for channel in ("/.*/", "", "x\ny"):
        if channel:
            with pytest.raises(UncleanValue):
                clean.check_action("Hangup", {"Channel": channel})


def test_the_guard_of_an_endpoint_may_be_asked_for() -> None:
    clean.check_action("Getvar", {"Variable": "PJSIP_ENDPOINT(a.b-1,PJSIP_TRANSFER_HANDLING())"})
    for name in ("a,b", "a)", "${X}", "", "a b"):
        with pytest.raises(UncleanValue):
            clean.check_action(
                "Getvar", {"Variable": f"PJSIP_ENDPOINT({name},PJSIP_TRANSFER_HANDLING())"}
            )


@pytest.mark.parametrize(
    ("function", "clear"),
    [
        ("REALTIME_FIELD(queue_members,interface LIKE,%,interface)", True),
        ("REALTIME_FIELD(queue_members,interface LIKE,%,uniqueid)", False),
        ("REALTIME_FIELD(queue_members,interface LIKE,%a,interface)", False),
        ("REALTIME_FIELD(ps_auths,id LIKE,%,id) ", False),
        ("QUEUE_EXISTS(sales)", True),
        ("QUEUE_EXISTS(%)", False),
    ],
)
def test_whether_a_table_has_rows_is_the_only_question_with_a_wildcard(
    function: str, *, clear: bool
) -> None:
    """Nor may it be written to."""
    if clear:
        clean.check_action("Getvar", {"Variable": function})
    else:
        with pytest.raises(UncleanValue):
            clean.check_action("Getvar", {"Variable": function})
    if "%" in function:
        with pytest.raises(UncleanValue):
            clean.check_action("Setvar", {"Variable": function, "Value": "1"})
